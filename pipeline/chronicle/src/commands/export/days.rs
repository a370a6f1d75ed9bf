//! The ends of days, in UTC: what an account had when a day on which it had events was over.

use ledger::{AccountId, Event, Money};
use time::Date;

/// What an account had at the end of a day, or at the end of the book if that is within it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DayEnd {
    pub(super) account_id: AccountId,
    pub(super) date: Date,
    pub(super) balance: Money,
}

impl DayEnd {
    fn of(event: &Event) -> Self {
        Self {
            account_id: event.account_id.clone(),
            date: date(event),
            balance: event.balance_after,
        }
    }
}

/// The day on which an event was recorded.
pub(super) fn date(event: &Event) -> Date {
    event.recorded_at.to_date_time().date()
}

/// Finds the ends of days in events that come by account and version.
#[derive(Default)]
pub(super) struct Days {
    open: Option<DayEnd>,
}

impl Days {
    /// Takes an event; answers with the day that was over before it.
    pub(super) fn take(&mut self, event: &Event) -> Option<DayEnd> {
        let next = DayEnd::of(event);
        let over = self
            .open
            .take()
            .filter(|open| (&open.account_id, open.date) != (&next.account_id, next.date));
        self.open = Some(next);
        over
    }

    /// The last day.
    pub(super) fn finish(self) -> Option<DayEnd> {
        self.open
    }
}
