//! The command line of `chronicle bench`.

use clap::{Args, ValueEnum};

/// `chronicle bench`
#[derive(Debug, Args)]
#[command(after_help = "\
Without URLs it starts a NATS, a PostgreSQL (fsync on) and a `chronicle run` of its own, below --data-dir, and takes them \
away again. With --event-store-url alone the event store is there (as its owner), and the rest is its own. With all three \
URLs it measures the ledger that runs there, opens accounts in it that stay, and leaves the ceiling out.

Latencies count from when a command was to be sent, not from when it was: what waits in the generator has waited, too. How \
it is measured: docs/performance.md.

Exit codes: 0 measured, and nothing is violated; 1 an invariant is violated, or a command has no outcome; 2 the call was \
wrong; 3 a server failed.")]
pub(crate) struct BenchArguments {
    /// What the commands are
    #[arg(long, value_enum, default_value_t = WorkloadName::TransferUniform)]
    pub(crate) workload: WorkloadName,
    /// Send so many commands a second, whatever becomes of them; as fast as it goes, if it is not given
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// How long to send commands, in seconds
    #[arg(long, default_value_t = 20, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// The way in
    #[arg(long, value_enum, default_value_t = Through::Nats)]
    pub(crate) through: Through,
    /// How many commands may wait for their outcome at a time; through HTTP each has a connection. If it is not given:
    /// through NATS 16,384, or 500,000 at a --rate; through HTTP 64, or 256 at a --rate
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=500_000))]
    pub(crate) in_flight: Option<u32>,
    /// How many accounts there are
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(crate) accounts: u32,
    /// The same seed makes the same commands
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// The HTTP API of the ledger that the three URLs name, for --through http; e.g. http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    pub(crate) http_url: Option<String>,
    /// Run the read model account_balance alone while it is measured, as the ceiling does; the others catch up before all is
    /// verified. Only with a stack of the bench's own
    #[arg(long)]
    pub(crate) one_read_model: bool,
    /// Leave the ceiling out: the bare loop that the result is a share of
    #[arg(long)]
    pub(crate) no_ceiling: bool,
}

/// What the commands are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkloadName {
    /// Deposits into accounts chosen evenly
    Deposit,
    /// Transfers between accounts chosen evenly
    TransferUniform,
    /// Transfers between accounts of which the k-th is chosen 1/k as often as the first
    TransferZipf,
    /// Transfers from one and the same account to all others
    HotAccount,
    /// Deposits, transfers and withdrawals, of which one in ten is refused
    Mixed,
    /// Commands of 32 transfers each, of which all are done or none
    Batch,
}

impl WorkloadName {
    /// As on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::TransferUniform => "transfer-uniform",
            Self::TransferZipf => "transfer-zipf",
            Self::HotAccount => "hot-account",
            Self::Mixed => "mixed",
            Self::Batch => "batch",
        }
    }
}

/// The way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Through {
    /// Published to the stream of commands
    Nats,
    /// Posted to the HTTP API
    Http,
}

impl Through {
    /// As on the command line.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Http => "http",
        }
    }

    /// How many commands may wait for their outcome, if nothing is said of it. At a fixed rate the bound is there for memory's
    /// sake alone.
    pub(crate) fn in_flight_usual(self, is_paced: bool) -> u32 {
        match (self, is_paced) {
            (Self::Nats, false) => 16_384,
            (Self::Nats, true) => 500_000,
            (Self::Http, false) => 64,
            (Self::Http, true) => 256,
        }
    }
}
