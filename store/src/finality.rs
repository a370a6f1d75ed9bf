//! When an answer about the past is final: from when on no writer can commit at or before an instant any more.
//!
//! Writers stamp events with their own clocks, and a stamp says nothing about when its commit becomes visible. So the
//! database refuses what reaches it too late ([`FRESH_FOR`]), and ends what takes too long (`statement_timeout`); what
//! it has not shown [`FINAL_AFTER`] an instant, it never will. Nothing here trusts a writer's clock: one that is behind
//! is refused, one that is ahead records events in the future, which is not yet final.

use std::time::Duration;

use ledger::Timestamp;

use crate::append::Decision;
use crate::connect::STATEMENT_TIMEOUT;

/// How old a decision may be, by the database's clock, when the statement that appends it is carried out. An older one
/// is refused, and decided anew.
pub const FRESH_FOR: Duration = Duration::from_secs(10);

/// How far the clocks of the event store's own nodes may be apart, and to spare: CockroachDB ends a node whose clock is
/// more than 500 ms off (`--max-offset`).
const CLOCKS_APART_MAX: Duration = Duration::from_secs(1);

/// How long after an instant what the event store says about it is final.
///
/// An append is checked within [`FRESH_FOR`] of the earliest `recorded_at` in it, and the statement ends within
/// `statement_timeout` of its check, since the server has that limit, too; a second covers the clocks of a cluster's
/// nodes. The sum rests on the usual `statement_timeout`: a writer that is given a longer one takes the right to call
/// an answer final away from all readers.
///
/// PostgreSQL does not count the flush of a commit, to its disk or to a synchronous standby, as part of the statement:
/// one that stands still for longer than the statement had left is beyond this bound.
pub const FINAL_AFTER: Duration = Duration::from_secs(
    FRESH_FOR.as_secs() + STATEMENT_TIMEOUT.as_secs() + CLOCKS_APART_MAX.as_secs(),
);

/// What was, at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Then<T> {
    /// What was there, as far as it is known.
    pub what: T,
    /// The database's clock at the time of asking.
    pub asked_at: Timestamp,
    /// No writer can commit at or before the instant any more: the answer will always be the same.
    pub is_final: bool,
}

impl<T> Then<T> {
    /// `what` was found at `at`, in a look at the event store that began not before `asked_at`.
    pub(crate) fn new(what: T, at: Timestamp, asked_at: Timestamp) -> Self {
        Self {
            what,
            asked_at,
            is_final: is_final(at, asked_at),
        }
    }
}

/// Whether a look at the event store that began not before `asked_at`, by the database's clock, sees all that will ever
/// have been recorded at or before `at`.
pub fn is_final(at: Timestamp, asked_at: Timestamp) -> bool {
    asked_at > after(at, FINAL_AFTER)
}

/// Until when, by the database's clock, these may be appended.
pub(crate) fn commit_by(decisions: &[Decision<'_>]) -> Timestamp {
    let earliest = decisions
        .iter()
        .map(|decision| decision.decided_at.min(decision.recorded_at))
        .min();
    after(earliest.unwrap_or(Timestamp::MAX), FRESH_FOR)
}

fn after(at: Timestamp, duration: Duration) -> Timestamp {
    let microseconds = i64::try_from(duration.as_micros()).expect("a limit is a matter of seconds");
    Timestamp::from_unix_microseconds(at.unix_microseconds().saturating_add(microseconds))
}

/// How long it is from `earlier` to `later`; nothing if they are the other way round.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    let microseconds = later.unix_microseconds() - earlier.unix_microseconds();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_final_when_the_last_writer_has_been_refused_or_ended() {
        let at: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        for (asked_at, is_final) in [
            ("2026-01-31T12:00:00.000000Z", false),
            ("2026-01-31T12:00:41.000000Z", false),
            ("2026-01-31T12:00:41.000001Z", true),
        ] {
            let then = Then::new((), at, asked_at.parse().unwrap());
            assert_eq!(then.is_final, is_final, "asked at {asked_at}");
        }
        // The end of time never passes.
        assert!(!Then::new((), Timestamp::MAX, Timestamp::MAX).is_final);
        assert!(Then::new((), Timestamp::MIN, at).is_final);
    }
}
