//! One account's history, event by event: the chain, the versions, the times, the balances.
//!
//! A broken event is reported once, where it breaks; then the walk goes on from what that event itself says, so that one
//! change does not show as a break of everything behind it.

use ledger::{
    Account, AccountId, BrokenChain, CommandId, Currency, Event, EventData, Hash, Money, Timestamp,
    Version,
};
use store::EventRow;

use super::conservation::{self, Conservation, Flow};
use super::report::{Invariant, Report, Violation};

/// What is remembered of the row before.
struct Previous {
    version: i64,
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
    previous: Previous,
    /// The state after the last event; `None` when the account's first event is missing or damaged.
    account: Option<Account>,
    /// What the event before says is in the account; `None` when that is unknown.
    balance: Option<Money>,
    opened_at: Option<Timestamp>,
    currency: Option<Currency>,
    several_currencies: bool,
    /// `None` when the events cannot be added up: one cannot be read, or is in another currency.
    flow: Option<Flow>,
    /// A `balance_after` was reported.
    unbalanced: bool,
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
            previous: Previous { version: 0, link: None },
            account: None,
            balance: None,
            opened_at: None,
            currency: None,
            several_currencies: false,
            flow: Some(Flow::default()),
            unbalanced: false,
        }
    }

    pub(super) fn account_id(&self) -> &str {
        &self.account_id
    }

    /// Checks the next row.
    pub(super) fn take(&mut self, row: &EventRow, report: &mut Report) {
        let missing = self.check_version(row, report);
        match &row.event {
            Ok(event) => {
                self.check_chain(event, missing.as_deref(), report);
                self.check_time(event, report);
                self.add(event);
                self.fold(event, missing.is_none(), report);
                self.check_funds(event, report);
                self.check_profile(row, report);
                self.balance = Some(event.balance_after);
                let link = Link { hash: event.hash, recorded_at: event.recorded_at, command_id: event.command_id };
                self.previous = Previous { version: row.version, link: Some(link) };
            }
            Err(message) => {
                let violation = Violation::new(format!("the row cannot be read: {message}"));
                report.violated(Invariant::AppendOnly, violation.at(&row.account_id, row.version).command(row.command_id));
                self.flow = None;
                self.balance = None;
                self.previous = Previous { version: row.version, link: None };
            }
        }
    }

    /// Answers with the versions that are missing before this row, as text.
    fn check_version(&self, row: &EventRow, report: &mut Report) -> Option<String> {
        let expected = self.previous.version + 1;
        if row.version == expected {
            return None;
        }
        let violation = Violation::new("the versions have a hole").at(&row.account_id, row.version).command(row.command_id);
        report.violated(Invariant::GaplessVersions, violation.values(expected, row.version));
        Some(match row.version - 1 {
            last if last == expected => format!("version {expected} is missing"),
            last if last > expected => format!("versions {expected} to {last} are missing"),
            _ => "the version stands there twice".to_owned(),
        })
    }

    fn check_chain(&self, event: &Event, missing: Option<&str>, report: &mut Report) {
        let computed = event.compute_hash();
        if computed != event.hash {
            let violation = violation(event, "the content does not have the hash that the row names");
            report.violated(Invariant::AppendOnly, violation.values(computed, event.hash));
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
        report.violated(Invariant::AppendOnly, violation(event, message).values(before, event.prev_hash));
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

    /// Adds the event's money to what has moved.
    fn add(&mut self, event: &Event) {
        let one_currency = *self.currency.get_or_insert(event.currency()) == event.currency()
            && event.data.amount().currency() == event.currency();
        self.several_currencies |= !one_currency;
        self.flow = self.flow.take().filter(|_| one_currency).and_then(|flow| flow.with(event));
    }

    /// Folds the event into the account's state, as the ledger itself does. Version, time and link are made to fit
    /// first, for they have been checked by then.
    fn fold(&mut self, event: &Event, follows: bool, report: &mut Report) {
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
        if let Some(balance) = self.balance.filter(|balance| balance.currency() == account.currency()) {
            account.balance = balance;
        }
        let Err(broken) = account.apply(event) else {
            return;
        };
        let invariant = match broken {
            BrokenChain::Balance { expected, actual, .. } => {
                if comparable {
                    self.unbalanced = true;
                    let violation = violation(event, "balance_after is not what the event makes of the balance before");
                    report.violated(Invariant::Conservation, violation.values(expected, actual));
                }
                // So much was in it before, by what the event says is in it after.
                let before = actual.checked_sub(expected).and_then(|more| account.balance.checked_add(more));
                if let Ok(before) = before {
                    account.balance = before;
                    // What else can be wrong with it was ruled out before the balance.
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
        let mut first = Event { version: Version::FIRST, prev_hash: Hash::ZERO, ..event.clone() };
        if !matches!(event.data, EventData::AccountCreated(_)) {
            if event.version == Version::FIRST {
                let message = format!("version 1 opens an account, and this is {}", event.data.type_name());
                report.violated(Invariant::GaplessVersions, violation(event, message));
            }
            return;
        }
        let mut opened = Account::open(&first);
        if let Err(BrokenChain::Balance { expected, actual, .. }) = opened {
            self.unbalanced = true;
            let violation = violation(event, "balance_after is not what the account was opened with");
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
            Err(broken) => report.violated(Invariant::Conservation, violation(event, broken.to_string())),
        }
    }

    fn check_funds(&self, event: &Event, report: &mut Report) {
        let Some(account) = &self.account else {
            return;
        };
        let limit = account.overdraft_limit;
        if limit.currency() == event.currency() && conservation::is_overdrawn(event.balance_after, limit) {
            let lowest = if limit.is_positive() { format!("-{limit} or more") } else { "0 or more".to_owned() };
            let violation = violation(event, "the balance lies below the overdraft limit");
            report.violated(Invariant::NoOverdraft, violation.values(lowest, event.balance_after));
        }
    }

    /// What an account is loaded by stands beside the events, and no hash covers it.
    fn check_profile(&self, row: &EventRow, report: &mut Report) {
        let Some(account) = &self.account else {
            return;
        };
        let violation = |message: &str| Violation::new(message).at(&row.account_id, row.version).command(row.command_id);
        if row.profile_version.unsigned_abs() != account.profile_version.get() {
            let violation = violation("profile_version is not the newest version with a profile");
            report.violated(Invariant::AppendOnly, violation.values(account.profile_version, row.profile_version));
        }
        let expected = (account.profile_version == account.version).then(|| account.profile());
        let found = match &row.profile {
            Ok(found) if *found == expected => return,
            Ok(found) => shown(found.as_ref()),
            Err(message) => message.clone(),
        };
        let violation = violation("the profile is not what the events say");
        report.violated(Invariant::AppendOnly, violation.values(shown(expected.as_ref()), found));
    }

    /// Ends the walk: the account's money goes into the sums.
    pub(super) fn finish(self, sums: &mut Conservation, report: &mut Report) -> Walked {
        match (self.flow, self.balance) {
            (Some(flow), Some(newest)) => {
                if let Some(expected) = conservation::balance_difference(&flow, newest).filter(|_| !self.unbalanced) {
                    let violation = Violation::new("the newest balance is not what the events add up to")
                        .at(&self.account_id, self.previous.version);
                    report.violated(Invariant::Conservation, violation.values(expected, newest));
                }
                sums.add(newest, flow);
            }
            _ => sums.leave_out(self.currency.filter(|_| !self.several_currencies)),
        }
        Walked {
            version: self.previous.version,
            state: self.account.zip(self.opened_at).filter(|(account, _)| account.account_id.as_str() == self.account_id),
            account_id: self.account_id,
        }
    }
}

fn shown(profile: Option<&ledger::Profile>) -> String {
    profile.map_or_else(|| "none".to_owned(), |profile| serde_json::to_string(profile).unwrap_or_default())
}

/// A violation at an event.
fn violation(event: &Event, message: impl Into<String>) -> Violation {
    let account_id: &AccountId = &event.account_id;
    Violation::new(message)
        .at(account_id.as_str(), i64::try_from(event.version.get()).unwrap_or(i64::MAX))
        .command(event.command_id)
}
