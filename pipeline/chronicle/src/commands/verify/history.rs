//! One account's history, event by event: the chain, the versions, the times, the balances.
//!
//! A broken event is reported once, where it breaks; then the walk goes on from what that event itself says, so that one
//! change does not show as a break of everything behind it.

use std::collections::HashMap;

use ledger::{
    Account, AccountId, CommandId, Currency, Event, Hash, Hold, HoldId, Money, Timestamp,
};
use store::EventRow;

use super::conservation::{self, Conservation, Flow};
use super::report::{Invariant, Report, Violation};
use super::reversals::Reversed;

/// What is remembered of the row before.
pub(super) struct Previous {
    pub(super) version: i64,
    /// `None` when the row could not be read.
    link: Option<Link>,
}

#[derive(Clone, Copy)]
struct Link {
    hash: Hash,
    recorded_at: Timestamp,
    command_id: CommandId,
}

/// An account whose history is being walked.
pub(super) struct History {
    account_id: String,
    pub(super) previous: Previous,
    /// The state after the last event; `None` when the account's first event is missing or damaged.
    pub(super) account: Option<Account>,
    /// What the event before says is in the account; `None` when that is unknown.
    pub(super) balance: Option<Money>,
    pub(super) opened_at: Option<Timestamp>,
    pub(super) currency: Option<Currency>,
    pub(super) several_currencies: bool,
    /// `None` when the events cannot be added up: one cannot be read, or is in another currency.
    pub(super) flow: Option<Flow>,
    /// A `balance_after` was reported.
    pub(super) unbalanced: bool,
    /// What has been moved back, while no event is missing.
    pub(super) reversed: Option<Reversed>,
    /// The holds that are open; `None` when an event is missing that may have changed them.
    pub(super) holds: Option<HashMap<HoldId, Hold>>,
}

/// An account whose history has been walked to its end.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) account_id: String,
    /// Its newest version.
    pub(super) version: i64,
    /// Its state, by the fold of its events, and when it was opened; `None` when they cannot be folded.
    pub(super) state: Option<(Account, Timestamp)>,
}

impl History {
    pub(super) fn of(account_id: &str) -> Self {
        Self {
            account_id: account_id.to_owned(),
            previous: Previous {
                version: 0,
                link: None,
            },
            account: None,
            balance: None,
            opened_at: None,
            currency: None,
            several_currencies: false,
            flow: Some(Flow::default()),
            unbalanced: false,
            reversed: Some(Reversed::default()),
            holds: Some(HashMap::new()),
        }
    }

    pub(super) fn account_id(&self) -> &str {
        &self.account_id
    }

    /// Checks the next row.
    pub(super) fn take(&mut self, row: &EventRow, report: &mut Report) {
        let missing = self.check_version(row, report);
        if missing.is_some() || row.event.is_err() {
            self.holds = None;
            self.reversed = None;
        }
        match &row.event {
            Ok(event) => {
                self.check_chain(event, missing.as_deref(), report);
                self.check_time(event, report);
                self.add(event);
                self.fold(event, missing.is_none(), report);
                self.check_funds(event, report);
                self.check_hold(row, event, report);
                Self::check_dates(row, event, report);
                if let Some(reversed) = &mut self.reversed {
                    reversed.take(event, report);
                }
                self.check_profile(row, report);
                self.balance = Some(event.balance_after);
                let link = Link {
                    hash: event.hash,
                    recorded_at: event.recorded_at,
                    command_id: event.command_id,
                };
                self.previous = Previous {
                    version: row.version,
                    link: Some(link),
                };
            }
            Err(message) => {
                let violation = Violation::new(format!("the row cannot be read: {message}"));
                report.violated(
                    Invariant::AppendOnly,
                    violation
                        .at(&row.account_id, row.version)
                        .command(row.command_id),
                );
                self.flow = None;
                self.balance = None;
                self.previous = Previous {
                    version: row.version,
                    link: None,
                };
            }
        }
    }

    /// Answers with the versions that are missing before this row, as text.
    fn check_version(&self, row: &EventRow, report: &mut Report) -> Option<String> {
        let expected = self.previous.version + 1;
        if row.version == expected {
            return None;
        }
        let violation = Violation::new("the versions have a hole")
            .at(&row.account_id, row.version)
            .command(row.command_id);
        report.violated(
            Invariant::GaplessVersions,
            violation.values(expected, row.version),
        );
        Some(match row.version - 1 {
            last if last == expected => format!("version {expected} is missing"),
            last if last > expected => format!("versions {expected} to {last} are missing"),
            _ => "the version stands there twice".to_owned(),
        })
    }

    fn check_chain(&self, event: &Event, missing: Option<&str>, report: &mut Report) {
        let computed = event.compute_hash();
        if computed != event.hash {
            let violation = violation(
                event,
                "the content does not have the hash that the row names",
            );
            report.violated(
                Invariant::AppendOnly,
                violation.values(computed, event.hash),
            );
        }
        let before = match &self.previous {
            Previous { version: 0, .. } => Some(Hash::ZERO),
            Previous { link, .. } => link.map(|link| link.hash),
        };
        let Some(before) = before.filter(|before| *before != event.prev_hash) else {
            return;
        };
        let message = match missing {
            Some(missing) => format!("the chain is broken before it: {missing}"),
            None => "prev_hash is not the hash of the version before".to_owned(),
        };
        report.violated(
            Invariant::AppendOnly,
            violation(event, message).values(before, event.prev_hash),
        );
    }

    fn check_time(&self, event: &Event, report: &mut Report) {
        let Some(before) = self.previous.link else {
            return;
        };
        // The last instant has no next one.
        let same = event.recorded_at == before.recorded_at
            && (event.command_id == before.command_id || event.recorded_at == Timestamp::MAX);
        if event.recorded_at > before.recorded_at || same {
            return;
        }
        let violation = violation(event, "recorded_at does not rise with the version")
            .values(format!("after {}", before.recorded_at), event.recorded_at);
        report.violated(Invariant::MonotonicTime, violation);
    }

    /// Ends the walk: the account's money goes into the sums.
    pub(super) fn finish(self, sums: &mut Conservation, report: &mut Report) -> Walked {
        match (self.flow, self.balance) {
            (Some(flow), Some(newest)) => {
                if let Some(expected) =
                    conservation::balance_difference(&flow, newest).filter(|_| !self.unbalanced)
                {
                    let violation =
                        Violation::new("the newest balance is not what the events add up to")
                            .at(&self.account_id, self.previous.version);
                    report.violated(Invariant::Conservation, violation.values(expected, newest));
                }
                sums.add(newest, flow);
            }
            _ => sums.leave_out(self.currency.filter(|_| !self.several_currencies)),
        }
        Walked {
            version: self.previous.version,
            state: self
                .account
                .zip(self.opened_at)
                .filter(|(account, _)| account.account_id.as_str() == self.account_id),
            account_id: self.account_id,
        }
    }
}

/// A violation at an event.
pub(super) fn violation(event: &Event, message: impl Into<String>) -> Violation {
    let account_id: &AccountId = &event.account_id;
    Violation::new(message)
        .at(
            account_id.as_str(),
            i64::try_from(event.version.get()).unwrap_or(i64::MAX),
        )
        .command(event.command_id)
}
