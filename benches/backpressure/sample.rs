//! Everything as it was at one moment.

use crate::phase::Phase;

/// The programs whose memory is looked at, as they are called on the page.
pub(crate) const PROGRAMS: [&str; 5] = [
    "chronicle (intake, 4 read models)",
    "chronicle (transactions)",
    "nats-server",
    "PostgreSQL (event store)",
    "PostgreSQL (read models)",
];
/// Which of them are ours: the first ones.
pub(crate) const OURS: usize = 2;

/// How far a read model is behind the feed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lag {
    pub(crate) events: u64,
    /// How long the oldest of these has been seen in the feed.
    pub(crate) seconds: f64,
}

/// One look at everything.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Seconds since the beginning.
    pub(crate) at: f64,
    pub(crate) phase: Phase,
    /// Commands that the stream has taken since the beginning.
    pub(crate) taken: u64,
    /// Commands that it has refused.
    pub(crate) refused: u64,
    /// Outcomes that were committed.
    pub(crate) outcomes: u64,
    /// Messages in `LEDGER_COMMANDS`.
    pub(crate) waiting: u64,
    /// Of the throttled read model, and of the others.
    pub(crate) lags: [Lag; 5],
    /// Of [`PROGRAMS`], in KiB.
    pub(crate) memory_kib: [u64; 5],
    /// Records in flight: of intake, and of the pipeline of the throttled read model.
    pub(crate) in_flight: [u64; 2],
    /// Whether a queue of the throttled read model's pipeline was full.
    pub(crate) throttled_is_full: bool,
}

impl Sample {
    /// The lag of the read model whose line is throttled.
    pub(crate) fn throttled_lag(&self) -> Lag {
        self.lags[0]
    }

    /// The greatest lag of the others.
    pub(crate) fn others_lag(&self) -> Lag {
        let greatest = self.lags[1..].iter();
        let greatest = greatest.max_by(|one, other| one.seconds.total_cmp(&other.seconds));
        greatest.copied().unwrap_or_default()
    }

    /// Whether nothing waits anywhere.
    pub(crate) fn is_done(&self) -> bool {
        self.waiting == 0 && self.lags.iter().all(|lag| lag.events == 0)
    }
}
