//! What an account's events make of it: the fold, and what is compared with it (balance, overdraft limit, profile).

use ledger::{Account, BrokenChain, Event, EventData, Hash, Money, Timestamp, Version};
use serde::Serialize;
use store::{Dates, EventRow};

use super::conservation;
use super::history::{History, violation};
use super::report::{Invariant, Report, Violation};

impl History {
    /// Adds the event's money to what has moved.
    pub(super) fn add(&mut self, event: &Event) {
        let one_currency = *self.currency.get_or_insert(event.currency()) == event.currency()
            && event
                .data
                .amount()
                .is_none_or(|amount| amount.currency() == event.currency());
        self.several_currencies |= !one_currency;
        self.flow = self
            .flow
            .take()
            .filter(|_| one_currency)
            .and_then(|flow| flow.with(event));
    }

    /// Folds the event into the account's state, as the ledger itself does. Version, time and link are made to fit
    /// first, for they have been checked by then.
    pub(super) fn fold(&mut self, event: &Event, follows: bool, report: &mut Report) {
        let Some(account) = &mut self.account else {
            if self.previous.version == 0 {
                self.open(event, report);
            }
            return;
        };
        account.version = Version::new(event.version.get().saturating_sub(1));
        account.last_recorded_at = event.recorded_at;
        account.last_hash = event.prev_hash;
        let comparable = follows && self.balance.is_some();
        if let Some(balance) = self
            .balance
            .filter(|balance| balance.currency() == account.currency())
        {
            account.balance = balance;
        }
        let Err(broken) = account.apply(event) else {
            return;
        };
        let invariant = match broken {
            BrokenChain::Balance {
                expected, actual, ..
            } => {
                if comparable {
                    self.unbalanced = true;
                    let violation = violation(
                        event,
                        "balance_after is not what the event makes of the balance before",
                    );
                    report.violated(Invariant::Conservation, violation.values(expected, actual));
                }
                // So much was in it before, by what the event says is in it after.
                let before = actual
                    .checked_sub(expected)
                    .and_then(|more| account.balance.checked_add(more));
                if let Ok(before) = before {
                    account.balance = before;
                    // What else can be wrong with it was restrictions out before the balance.
                    let _ = account.apply(event);
                }
                return;
            }
            BrokenChain::Held {
                expected, actual, ..
            } => {
                if comparable {
                    let violation = violation(
                        event,
                        "held_after is not what the event makes of what was held",
                    );
                    report.violated(Invariant::Conservation, violation.values(expected, actual));
                }
                // So much was held before, by what the event says is held after.
                let before = actual
                    .checked_sub(expected)
                    .and_then(|more| account.held.checked_add(more));
                if let Ok(before) = before {
                    account.held = before;
                    let _ = account.apply(event);
                }
                return;
            }
            BrokenChain::Type { .. } => Invariant::GaplessVersions,
            _ => Invariant::Conservation,
        };
        self.flow = None;
        report.violated(invariant, violation(event, broken.to_string()));
        account.version = event.version;
    }

    fn open(&mut self, event: &Event, report: &mut Report) {
        let mut first = Event {
            version: Version::FIRST,
            prev_hash: Hash::ZERO,
            ..event.clone()
        };
        if !matches!(event.data, EventData::AccountCreated(_)) {
            if event.version == Version::FIRST {
                let message = format!(
                    "version 1 opens an account, and this is {}",
                    event.data.type_name()
                );
                report.violated(Invariant::GaplessVersions, violation(event, message));
            }
            return;
        }
        let mut opened = Account::open(&first);
        if let Err(BrokenChain::Balance {
            expected, actual, ..
        }) = opened
        {
            self.unbalanced = true;
            let violation = violation(
                event,
                "balance_after is not what the account was opened with",
            );
            report.violated(Invariant::Conservation, violation.values(expected, actual));
            first.balance_after = expected;
            opened = Account::open(&first);
        }
        match opened {
            Ok(account) => {
                self.opened_at = Some(event.recorded_at);
                self.account = Some(Account {
                    version: event.version,
                    profile_version: event.version,
                    balance: event.balance_after,
                    ..account
                });
            }
            Err(broken) => report.violated(
                Invariant::Conservation,
                violation(event, broken.to_string()),
            ),
        }
    }

    pub(super) fn check_funds(&self, event: &Event, report: &mut Report) {
        let Some(account) = &self.account else {
            return;
        };
        let limit = account.overdraft_limit;
        if limit.currency() == event.currency()
            && event.held_after.currency() == event.currency()
            && conservation::is_overdrawn(event.balance_after, event.held_after, limit)
        {
            let lowest = if limit.is_positive() {
                format!("-{limit} or more")
            } else {
                "0 or more".to_owned()
            };
            let (what, actual) = if event.held_after.is_zero() {
                ("the balance", event.balance_after.to_string())
            } else {
                let (balance, held) = (event.balance_after, event.held_after);
                (
                    "the balance without what is held",
                    format!("{balance} with {held} held"),
                )
            };
            let violation = violation(event, format!("{what} lies below the overdraft limit"));
            report.violated(Invariant::NoOverdraft, violation.values(lowest, actual));
        }
    }

    /// The event's hold is what it makes of the hold before, and the row is found by it.
    pub(super) fn check_hold(&mut self, row: &EventRow, event: &Event, report: &mut Report) {
        let hold = event.data.hold();
        let expected = store::thread_key(event);
        if row.thread_key != expected {
            let shown = |key: &Option<String>| key.clone().unwrap_or_else(|| "none".to_owned());
            let violation = violation(event, "thread_key is not what the event says");
            report.violated(
                Invariant::AppendOnly,
                violation.values(shown(&expected), shown(&row.thread_key)),
            );
        }
        let Some(hold) = hold else {
            return;
        };
        let Some(holds) = &mut self.holds else {
            return;
        };
        let previous = holds.get(&hold.hold_id);
        if let Err(broken) = hold.check_follows(previous, event) {
            report.violated(
                Invariant::Conservation,
                violation(event, broken.to_string()),
            );
        }
        if hold.is_open() {
            holds.insert(hold.hold_id, hold.clone());
        } else {
            holds.remove(&hold.hold_id);
        }
    }

    /// The row is found by the event's business date.
    pub(super) fn check_dates(row: &EventRow, event: &Event, report: &mut Report) {
        let expected = Dates::of(event);
        if row.dates == expected {
            return;
        }
        let violation = violation(
            event,
            "effective_at, dated_account_id and dated_until are not what the event says",
        );
        report.violated(
            Invariant::AppendOnly,
            violation.values(shown_dates(&expected), shown_dates(&row.dates)),
        );
    }

    /// What an account is loaded by stands beside the events, and no hash covers it.
    pub(super) fn check_profile(&self, row: &EventRow, report: &mut Report) {
        let Some(account) = &self.account else {
            return;
        };
        let violation = |message: &str| {
            Violation::new(message)
                .at(&row.account_id, row.version)
                .command(row.command_id)
        };
        if row.profile_version.unsigned_abs() != account.profile_version.get() {
            let violation = violation("profile_version is not the newest version with a profile");
            report.violated(
                Invariant::AppendOnly,
                violation.values(account.profile_version, row.profile_version),
            );
        }
        let counted = account
            .day_debits()
            .map(|debits| debits.map(Money::to_string));
        if row.day_debits.as_ref() != Ok(&counted) {
            let found = match &row.day_debits {
                Ok(found) => shown(found.as_ref()),
                Err(message) => message.clone(),
            };
            let violation = violation("what is counted of a day is not what the events say");
            report.violated(
                Invariant::AppendOnly,
                violation.values(shown(counted.as_ref()), found),
            );
        }
        let expected = (account.profile_version == account.version).then(|| account.profile());
        let found = match &row.profile {
            Ok(found) if *found == expected => return,
            Ok(found) => shown(found.as_ref()),
            Err(message) => message.clone(),
        };
        let violation = violation("the profile is not what the events say");
        report.violated(
            Invariant::AppendOnly,
            violation.values(shown(expected.as_ref()), found),
        );
    }
}

fn shown_dates(dates: &Dates) -> String {
    let instant = |instant: &Option<Result<Timestamp, String>>| match instant {
        None => "none".to_owned(),
        Some(Ok(instant)) => instant.to_string(),
        Some(Err(reason)) => reason.clone(),
    };
    let (effective_at, until) = (&dates.effective_at, &dates.dated_until);
    let account_id = dates.dated_account_id.as_deref().unwrap_or("none");
    format!(
        "{} for {account_id} until {}",
        instant(effective_at),
        instant(until)
    )
}

fn shown(value: Option<&impl Serialize>) -> String {
    value.map_or_else(
        || "none".to_owned(),
        |value| serde_json::to_string(value).unwrap_or_default(),
    )
}
