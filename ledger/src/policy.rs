//! What the operator of a ledger decides about its commands.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::timestamp::Timestamp;

/// What commands may ask for, beyond what accounts allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long before it is recorded a movement may be effective.
    pub effective_past_max: Duration,
    /// How long after it is recorded a movement may be effective.
    pub effective_future_max: Duration,
}

/// A year each way, a leap year included.
impl Default for Policy {
    fn default() -> Self {
        const YEAR: Duration = Duration::from_hours(366 * 24);
        Self {
            effective_past_max: YEAR,
            effective_future_max: YEAR,
        }
    }
}

impl Policy {
    /// The business dates that a command can have which is recorded at `recorded_at`: both ends are allowed.
    pub fn effective_window(&self, recorded_at: Timestamp) -> RangeInclusive<Timestamp> {
        let microseconds = |duration: Duration| i64::try_from(duration.as_micros());
        let at = recorded_at.unix_microseconds();
        let past = microseconds(self.effective_past_max).unwrap_or(i64::MAX);
        let future = microseconds(self.effective_future_max).unwrap_or(i64::MAX);
        Timestamp::from_unix_microseconds(at.saturating_sub(past))
            ..=Timestamp::from_unix_microseconds(at.saturating_add(future))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_has_both_its_ends_and_ends_with_the_calendar() {
        let at: Timestamp = "2026-03-01T12:00:00.000001Z".parse().unwrap();
        let policy = Policy {
            effective_past_max: Duration::from_hours(24),
            effective_future_max: Duration::from_micros(1),
        };
        let window = policy.effective_window(at);
        assert_eq!(window.start().to_string(), "2026-02-28T12:00:00.000001Z");
        assert_eq!(window.end().to_string(), "2026-03-01T12:00:00.000002Z");
        let unlimited = Policy {
            effective_past_max: Duration::MAX,
            effective_future_max: Duration::MAX,
        };
        assert_eq!(
            unlimited.effective_window(at),
            Timestamp::MIN..=Timestamp::MAX
        );
        let none = Policy {
            effective_past_max: Duration::ZERO,
            effective_future_max: Duration::ZERO,
        };
        assert_eq!(none.effective_window(at), at..=at);
    }
}
