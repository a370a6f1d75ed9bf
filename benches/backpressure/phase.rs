//! The parts of a run, in their order.

/// What is done to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Accounts are opened; how much the ledger takes is found out.
    WarmUp,
    /// A load that it can hold.
    Baseline,
    /// The same load; one read model gets a twentieth of the bytes that it needs.
    Throttled,
    /// The same load; the line is well again.
    Unthrottled,
    /// The same load; the read models' PostgreSQL is stopped.
    ReadModelStopped,
    /// The same load; it is there again.
    ReadModelBack,
    /// Far more load; the event store's PostgreSQL is stopped.
    EventStoreStopped,
    /// No load; it is there again.
    Drain,
}

impl Phase {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::WarmUp,
        Self::Baseline,
        Self::Throttled,
        Self::Unthrottled,
        Self::ReadModelStopped,
        Self::ReadModelBack,
        Self::EventStoreStopped,
        Self::Drain,
    ];
    /// For the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Baseline => "baseline",
            Self::Throttled => "`transactions` throttled to 1/20",
            Self::Unthrottled => "… released",
            Self::ReadModelStopped => "read models' PostgreSQL stopped",
            Self::ReadModelBack => "… started",
            Self::EventStoreStopped => "event store stopped",
            Self::Drain => "… started, no load",
        }
    }

    /// For the chart, where there is little room.
    pub(crate) fn short_name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Baseline => "baseline",
            Self::Throttled => "1/20 throttle",
            Self::Unthrottled => "released",
            Self::ReadModelStopped => "read model stopped",
            Self::ReadModelBack => "back",
            Self::EventStoreStopped => "event store stopped",
            Self::Drain => "drain",
        }
    }
}
