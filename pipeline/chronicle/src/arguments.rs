//! The command line.

mod bench;
mod feed;
mod projection;
mod replay;
mod send;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ledger::{AccountId, CommandId, Declaration, Timestamp};

use crate::http::access::Role;
use crate::output::Format;
use crate::servers_at::ServerArguments;

pub(crate) use self::bench::{BenchArguments, Through, WorkloadName};
pub(crate) use self::feed::{FeedTask, RestoreArguments};
pub(crate) use self::projection::{DigestArguments, ProjectionTask, RebuildArguments};
pub(crate) use self::replay::{ReplayArguments, ReplayCommands, ReplayTask};
pub(crate) use self::send::{Envelope, SendCommand};

/// An event-sourced financial ledger: commands on NATS become events in CockroachDB and balances in PostgreSQL.
#[derive(Debug, Parser)]
#[command(
    name = "chronicle",
    version,
    about,
    max_term_width = 110,
    propagate_version = true,
    after_help = "\
Exit codes: 0 done; 1 the answer is no (rejected, violated, not found); 2 the call was wrong; 3 a server could not be \
reached or failed; 4 a pipeline has stopped and a person has to act."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
    #[command(flatten)]
    pub(crate) servers: ServerArguments,
    /// The form of answers
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    pub(crate) output: Format,
    /// Write the log as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
    /// A currency that ISO 4217 does not have, and its number of decimals; the same wherever the ledger's data is read or
    /// written, for ever. May be repeated
    #[arg(
        long = "declare-currency",
        env = "CHRONICLE_CURRENCIES",
        value_name = "CODE:DECIMALS",
        value_delimiter = ',',
        global = true
    )]
    pub(crate) currencies: Vec<Declaration>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run everything on this machine: servers, intake, projections
    Dev(DevArguments),
    /// Show the stack that runs in this folder: URLs, process, what is ready
    Status,
    /// Run pipelines against servers that are there
    Run(RunArguments),
    /// Make or update the tables of the event store and the read model
    Migrate(MigrateArguments),
    /// Print the dataflow
    Describe(DescribeArguments),
    /// Check every invariant that can be checked from outside
    Verify(VerifyArguments),
    /// Show what the comparison in the background has found to differ from the event store
    Divergences(DivergencesArguments),
    /// Publish commands and wait for their outcomes
    Send(Box<SendArguments>),
    /// Show an account as the event store has it now, or as it was
    #[command(disable_version_flag = true)] // its own --version is the account's
    Account(AccountArguments),
    /// Show all accounts and their totals, now or at an instant
    Balances(BalancesArguments),
    /// Show why a balance is what it is: from the balance back to the opening
    Explain(ExplainArguments),
    /// Show an account's events, oldest first
    History(HistoryArguments),
    /// Write the whole book for other programs, now or as it was
    Export(ExportArguments),
    /// Show the holds of an account, newest first, as the read model has them
    Holds(HoldsArguments),
    /// Show what became of a command
    Outcome {
        /// The command
        command_id: CommandId,
    },
    /// Show events of the feed
    Events(EventsArguments),
    /// Bring events of the feed out again: into a file, a subject or a projection
    Replay(Box<ReplayArguments>),
    /// Look after messages that were no commands
    #[command(subcommand)]
    DeadLetter(DeadLetterTask),
    /// Look after projections
    #[command(subcommand)]
    Projection(ProjectionTask),
    /// Look after the feed
    #[command(subcommand)]
    Feed(FeedTask),
    /// Explain the codes that commands are refused with
    Rejections(RejectionsArguments),
    /// Make a token for the HTTP API
    Token(TokenArguments),
    /// Measure how fast the ledger is on this machine, next to a bare loop that does the same I/O
    Bench(BenchArguments),
}

/// `chronicle rejections`
#[derive(Debug, Args)]
pub(crate) struct RejectionsArguments {
    /// Only this one, e.g. insufficient_funds
    pub(crate) code: Option<String>,
    /// Print the reference page, in Markdown
    #[arg(long, conflicts_with = "code")]
    pub(crate) page: bool,
}

/// `chronicle token`
#[derive(Debug, Args)]
#[command(after_help = "\
The token goes to stderr once and is kept nowhere; the line for the file of tokens goes to stdout:

  chronicle token teller-3 --role writer --role reader >> tokens")]
pub(crate) struct TokenArguments {
    /// Whose it is: becomes the actor of commands that name none
    pub(crate) name: String,
    /// What it may do; may be repeated
    #[arg(long, value_enum, required = true)]
    pub(crate) role: Vec<Role>,
}

/// `chronicle dev`
#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// The port of NATS; 0 = any free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) nats_port: u16,
    /// The port of PostgreSQL; 0 = any free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) postgres_port: u16,
    /// The port of the HTTP API; 0 = any free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) http_port: u16,
    /// Feed a small realistic workload, so that there is something to see
    #[arg(long)]
    pub(crate) demo: bool,
}

/// `chronicle run`
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Run only these pipelines: `intake`, `projection.NAME`, `expiry` or `comparison`; may be repeated
    #[arg(long, value_name = "PIPELINE")]
    pub(crate) only: Vec<String>,
    /// Serve the HTTP API, liveness, readiness and metrics on this address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) api: ApiArguments,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}

/// Who may call the HTTP API, and how much of it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArguments {
    /// Let only those in who hold a token of this file; `chronicle token` makes them. Without it everybody may do
    /// everything, and only a loopback address is served
    #[arg(
        long = "http-tokens",
        env = "CHRONICLE_HTTP_TOKENS",
        value_name = "FILE",
        help_heading = "HTTP"
    )]
    pub(crate) tokens: Option<PathBuf>,
    /// Serve an address that is not loopback without tokens: only where nobody else can reach it
    #[arg(
        long = "http-open",
        env = "CHRONICLE_HTTP_OPEN",
        conflicts_with = "tokens",
        help_heading = "HTTP"
    )]
    pub(crate) open: bool,
    /// Let pages of this origin call the API from a browser, e.g. https://ledger.example; may be repeated
    #[arg(
        long = "http-origin",
        env = "CHRONICLE_HTTP_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = origin,
        help_heading = "HTTP"
    )]
    pub(crate) origin: Vec<String>,
    /// How many requests are worked on at a time
    #[arg(long = "http-requests-max", env = "CHRONICLE_HTTP_REQUESTS_MAX", default_value_t = 1_024, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "HTTP")]
    pub(crate) requests_max: u32,
    /// How many requests one client may make in a second, on average
    #[arg(long = "http-rate-max", env = "CHRONICLE_HTTP_RATE_MAX", default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "HTTP")]
    pub(crate) rate_max: u32,
    /// How many readers may follow live events
    #[arg(long = "http-streams-max", env = "CHRONICLE_HTTP_STREAMS_MAX", default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000), help_heading = "HTTP")]
    pub(crate) streams_max: u32,
}

/// An origin as browsers send it: a scheme and a host, and perhaps a port.
fn origin(text: &str) -> Result<String, String> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".:-[]".contains(&byte))
    };
    if host.is_some_and(is_host) {
        Ok(text.to_owned())
    } else {
        Err(
            "an origin is a scheme and a host, such as https://ledger.example, without a path"
                .to_owned(),
        )
    }
}

/// Numbers that an operator may want to turn.
#[derive(Debug, Clone, Args)]
pub(crate) struct Tuning {
    /// How many partitions the commands stream has
    #[arg(long, env = "CHRONICLE_PARTITIONS", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256), help_heading = "Tuning")]
    pub(crate) partitions: u32,
    /// The most commands or events in one batch
    #[arg(long, env = "CHRONICLE_BATCH_MAX", default_value_t = 2_048, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536), help_heading = "Tuning")]
    pub(crate) batch_max: u32,
    /// How long a batch waits for more when nothing came before it, in milliseconds
    #[arg(long, env = "CHRONICLE_LINGER_MS", default_value_t = 0, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=1_000), help_heading = "Tuning")]
    pub(crate) linger_ms: u64,
    /// While commands flow, how long after a batch of them the next one is committed at the earliest, in milliseconds
    #[arg(long, env = "CHRONICLE_INTAKE_SPACING_MS", default_value_t = 10, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=1_000), help_heading = "Tuning")]
    pub(crate) intake_spacing_ms: u64,
    /// The same of a projection and its events
    #[arg(long, env = "CHRONICLE_PROJECTION_SPACING_MS", default_value_t = 25, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=1_000), help_heading = "Tuning")]
    pub(crate) projection_spacing_ms: u64,
    /// The most commands that one partition has in flight
    #[arg(long, env = "CHRONICLE_CREDIT", default_value_t = 16_384, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "Tuning")]
    pub(crate) credit: u32,
    /// How many accounts one partition keeps in memory
    #[arg(long, env = "CHRONICLE_ACCOUNTS_CACHED_MAX", default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000), help_heading = "Tuning")]
    pub(crate) accounts_cached_max: u32,
    /// How many servers hold each stream that has to be made
    #[arg(long, env = "CHRONICLE_STREAM_REPLICAS", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5), help_heading = "Tuning")]
    pub(crate) stream_replicas: u32,
    /// How many bytes of events the feed keeps, in MiB
    #[arg(long, env = "CHRONICLE_FEED_MIB_MAX", default_value_t = 4_096, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Tuning")]
    pub(crate) feed_mib_max: u32,
    /// How many commands may wait for their outcome; one more is refused
    #[arg(long, env = "CHRONICLE_COMMANDS_WAITING_MAX", default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Tuning")]
    pub(crate) commands_waiting_max: u32,
    /// How many days before it is recorded money may be moved by its business date
    #[arg(long, env = "CHRONICLE_EFFECTIVE_PAST_DAYS_MAX", default_value_t = 366, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_600), help_heading = "Tuning")]
    pub(crate) effective_past_days_max: u32,
    /// How many days after it is recorded money may be moved by its business date
    #[arg(long, env = "CHRONICLE_EFFECTIVE_FUTURE_DAYS_MAX", default_value_t = 366, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_600), help_heading = "Tuning")]
    pub(crate) effective_future_days_max: u32,
    /// How many events a second are compared in the background, everywhere, with the event store; 0: none
    #[arg(
        long,
        env = "CHRONICLE_COMPARE_RATE",
        default_value_t = 500,
        value_name = "N",
        help_heading = "Tuning"
    )]
    pub(crate) compare_rate: u32,
    /// How many hundredths of the time that comparison may work, at most
    #[arg(long, env = "CHRONICLE_COMPARE_PERCENT", default_value_t = 10, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100), help_heading = "Tuning")]
    pub(crate) compare_percent: u32,
    /// What a projection does whose rows are of an older definition than the program's
    #[arg(long, env = "CHRONICLE_ON_NEW_DEFINITION", value_enum, default_value_t = OnNewDefinition::Rebuild, help_heading = "Tuning")]
    pub(crate) on_new_definition: OnNewDefinition,
    /// How long a shutdown waits for what is in flight, in seconds
    #[arg(long, env = "CHRONICLE_DRAIN_SECONDS_MAX", default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u64).range(0..=600), help_heading = "Tuning")]
    pub(crate) drain_seconds_max: u64,
}

impl Tuning {
    /// What the environment says, and the defaults for the rest.
    pub(crate) fn of_environment() -> anyhow::Result<Self> {
        #[derive(Parser)]
        struct Environment {
            #[command(flatten)]
            tuning: Tuning,
        }
        let read = Environment::try_parse_from(["chronicle"]);
        let read = read.map_err(|error| crate::exit::usage(error.to_string()))?;
        Ok(read.tuning)
    }
}

/// What a projection does whose rows are of an older definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnNewDefinition {
    /// Build new rows beside the old ones, swap, and go on
    Rebuild,
    /// Stop, and name the command that does it
    Stop,
}

/// `chronicle migrate`
#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    /// The event store as its owner, who may make tables and roles
    #[arg(
        long,
        env = "CHRONICLE_EVENT_STORE_OWNER_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) event_store_owner_url: Option<String>,
    /// Make the databases, too, if they are missing
    #[arg(long)]
    pub(crate) create_databases: bool,
}

/// `chronicle describe`
#[derive(Debug, Args)]
pub(crate) struct DescribeArguments {
    /// The form of the picture (instead of -o)
    #[arg(long, value_enum)]
    pub(crate) form: Option<Picture>,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}

/// The forms in which a dataflow can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    /// For people
    Text,
    /// Graphviz
    Dot,
    /// Mermaid
    Mermaid,
    /// For programs
    Json,
}

/// `chronicle verify`
#[derive(Debug, Args)]
#[command(after_help = "\
  chronicle verify                      # every invariant that can be checked from outside
  chronicle verify --deep               # and every message of the feed against the event store
  chronicle verify --repair --dry-run   # which rows of read models would be made anew
  chronicle verify --repair --reason \"after the disk was replaced\"

Read models are repaired from the event store. The event store is never repaired: if it is damaged, or the feed or a read model \
has more than it has, nothing is changed.")]
pub(crate) struct VerifyArguments {
    /// How long to wait for projections that are behind, in seconds
    #[arg(long, default_value_t = 30, value_name = "S")]
    pub(crate) wait_seconds: u64,
    /// Compare every message of the feed with the event store, too
    #[arg(long)]
    pub(crate) deep: bool,
    /// Compare everything, and make wrong rows of read models anew from the event store; then compare again
    #[arg(long)]
    pub(crate) repair: bool,
    /// Say what would be repaired, and change nothing
    #[arg(long, requires = "repair")]
    pub(crate) dry_run: bool,
    /// Why it is repaired
    #[arg(long, requires = "repair")]
    pub(crate) reason: Option<String>,
}

/// `chronicle send`
#[derive(Debug, Args)]
#[command(after_help = "\
A table is sent with a mapping, a TOML file:

  chronicle send --file payroll.csv --mapping payroll.toml

  type = \"transfer\"                         # or [types], for tables that hold several
  [columns]                                 # field = the column that holds it
  from_account_id = \"From\"
  to_account_id = \"To\"
  amount = \"Amount\"
  metadata.invoice = \"Invoice no.\"
  [constants]
  currency = \"EUR\"
  [command_id]                              # the same values are the same command
  derived_from = [\"Invoice no.\"]

All of it: docs/export.md.

Exit codes: 0 accepted (all of them, for --file); 1 rejected, or a dead letter (some of them); 2 the call was wrong; 3 no \
outcome in time, or a server failed. A command that was published is never lost, and sending it again under the same id \
changes nothing: it is answered with its first outcome.")]
pub(crate) struct SendArguments {
    /// Commands from a file, one JSON object a line, or CSV with a --mapping; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The file is CSV, and this TOML file says how its rows become commands
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// How many commands may wait for their outcome at a time
    #[arg(long, default_value_t = 2_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) in_flight: u32,
    /// How long to wait for an outcome, in seconds; a later one is not lost, see `chronicle outcome`
    #[arg(long, default_value_t = 30, value_name = "S", value_parser = clap::value_parser!(u64).range(0..=86_400), global = true)]
    pub(crate) wait_seconds: u64,
    #[command(subcommand)]
    pub(crate) command: Option<SendCommand>,
}

/// `chronicle account`
#[derive(Debug, Args)]
pub(crate) struct AccountArguments {
    /// The account
    pub(crate) account_id: AccountId,
    /// As it was at this instant: RFC 3339, to the microsecond, e.g. 2026-01-31T12:00:00.000001Z
    #[arg(long, value_name = "TIMESTAMP", conflicts_with = "version")]
    pub(crate) at: Option<Timestamp>,
    /// As it was after this version
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
    /// The balance by business date: of all that is effective at or before this instant, as it is known now, or was known
    /// --at another
    #[arg(long, value_name = "TIMESTAMP", conflicts_with = "version")]
    pub(crate) effective: Option<Timestamp>,
}

/// `chronicle balances`
#[derive(Debug, Args)]
pub(crate) struct BalancesArguments {
    /// As they were at this instant: RFC 3339, to the microsecond; now, if it is not given
    #[arg(long, value_name = "TIMESTAMP")]
    pub(crate) at: Option<Timestamp>,
    /// Show at most so many accounts; the totals are those of all
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

/// `chronicle explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The account
    pub(crate) account_id: AccountId,
    /// The balance at this instant: RFC 3339, to the microsecond; now, if it is not given
    #[arg(long, value_name = "TIMESTAMP")]
    pub(crate) at: Option<Timestamp>,
    /// Go back at most so many events
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

/// `chronicle history`
#[derive(Debug, Args)]
pub(crate) struct HistoryArguments {
    /// The account
    pub(crate) account_id: AccountId,
    /// Begin behind this version
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) after_version: u64,
    /// Show at most so many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

/// `chronicle divergences`
#[derive(Debug, Args)]
pub(crate) struct DivergencesArguments {
    /// Also those that are gone
    #[arg(long)]
    pub(crate) gone: bool,
    /// Show at most so many, the newest
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

/// `chronicle export`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:

  chronicle export --format hledger --to book.journal
  hledger -f book.journal check --strict

  chronicle export --format beancount --at 2026-01-31T23:59:59.999999Z --to book.beancount
  bean-check book.beancount

  chronicle export --format csv | head
  chronicle export --format ndjson | gzip > events.ndjson.gz

The same book at the same instant gives the same bytes. A file has its name only when it is complete.")]
pub(crate) struct ExportArguments {
    /// The form: journals with balance assertions, or one event a line
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// What was recorded at or before this instant: RFC 3339, to the microsecond; now, if it is not given
    #[arg(long, value_name = "TIMESTAMP")]
    pub(crate) at: Option<Timestamp>,
    /// Write into this file; without it, or with `-`, to stdout
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
}

/// The forms in which the book can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A journal for hledger
    Hledger,
    /// A journal for Beancount
    Beancount,
    /// One event a line, RFC 4180
    Csv,
    /// One event a line, JSON as on the wire
    Ndjson,
}

/// `chronicle holds`
#[derive(Debug, Args)]
pub(crate) struct HoldsArguments {
    /// The account
    pub(crate) account_id: AccountId,
    /// Only those in this status
    #[arg(long, value_enum)]
    pub(crate) status: Option<HoldStatus>,
    /// Show at most so many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

/// What has become of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HoldStatus {
    /// Something is still held
    Open,
    /// All of it was captured, or some, and the rest was released
    Captured,
    /// All of it was released
    Released,
    /// Its time was over
    Expired,
}

impl HoldStatus {
    /// As the read model writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Captured => "captured",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// `chronicle events`
#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    /// Begin at this sequence
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) from_sequence: u64,
    /// End with this sequence
    #[arg(long, value_name = "M")]
    pub(crate) to_sequence: Option<u64>,
    /// Only this account's
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<AccountId>,
    /// Go on with what comes
    #[arg(long, conflicts_with = "to_sequence")]
    pub(crate) follow: bool,
}

/// `chronicle dead-letter`
#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetterTask {
    /// List them, oldest first
    List,
    /// Show one, with its bytes
    Show {
        /// Its id, as listed
        id: String,
    },
    /// Publish one again as it was, and remove it from the dead letters
    Retry {
        /// Its id, as listed
        id: String,
    },
    /// Remove one, with a reason that is recorded
    Discard {
        /// Its id, as listed
        id: String,
        /// Why it is not needed
        #[arg(long)]
        reason: String,
    },
}
