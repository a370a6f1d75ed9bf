//! An account's state, and how events change it. Folding an account's events from the first gives its state; so does
//! reading its newest event and its newest profile, which is why loading does not get slower with the history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::command::Scope;
use crate::event::{Event, EventData};
use crate::hash::Hash;
use crate::ids::{AccountId, HoldId, Version};
use crate::money::{Currency, CurrencyCode, InvalidAmount, Money};
use crate::rules::{DayDebits, Restrictions, Rules};
use crate::timestamp::Timestamp;

/// Whether an account takes part in money's movements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In all of them.
    Active,
    /// Not in debits.
    DebitsFrozen,
    /// Not in credits.
    CreditsFrozen,
    /// In none.
    Frozen,
    /// In none, for ever.
    Closed,
}

impl Status {
    /// Every status there is.
    pub const ALL: [Self; 5] = [
        Self::Active,
        Self::DebitsFrozen,
        Self::CreditsFrozen,
        Self::Frozen,
        Self::Closed,
    ];

    /// The status as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::DebitsFrozen => "debits_frozen",
            Self::CreditsFrozen => "credits_frozen",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
        }
    }

    /// Whether money may go out, or be held.
    pub fn allows_debits(self) -> bool {
        matches!(self, Self::Active | Self::CreditsFrozen)
    }

    /// Whether money may come in.
    pub fn allows_credits(self) -> bool {
        matches!(self, Self::Active | Self::DebitsFrozen)
    }

    /// This status, and `scope` forbidden as well.
    #[must_use]
    pub fn frozen(self, scope: Scope) -> Self {
        self.allowing(
            self.allows_debits() && !scope.has_debits(),
            self.allows_credits() && !scope.has_credits(),
        )
    }

    /// This status, and `scope` allowed again.
    #[must_use]
    pub fn unfrozen(self, scope: Scope) -> Self {
        self.allowing(
            self.allows_debits() || scope.has_debits(),
            self.allows_credits() || scope.has_credits(),
        )
    }

    fn allowing(self, debits: bool, credits: bool) -> Self {
        match (self, debits, credits) {
            (Self::Closed, _, _) => Self::Closed,
            (_, true, true) => Self::Active,
            (_, false, true) => Self::DebitsFrozen,
            (_, true, false) => Self::CreditsFrozen,
            (_, false, false) => Self::Frozen,
        }
    }
}

/// What changes seldom about an account. Stored in full with each event that changes it, so that no event but the
/// newest such one is needed to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Whose it is.
    pub owner_name: String,
    /// What its money is.
    pub currency: CurrencyCode,
    /// How far below zero the balance may fall, as a decimal string.
    pub overdraft_limit: String,
    /// Whether it takes part in money's movements.
    pub status: Status,
    /// Why it is frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_reason: Option<String>,
    /// The account's own metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What its movements must obey, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules<String>>,
}

impl Profile {
    /// Changes it by an event of the account that is open; says whether the event changes it.
    pub fn apply(&mut self, data: &EventData) -> bool {
        match data {
            EventData::AccountFrozen(freeze) => {
                self.status = self.status.frozen(freeze.scope);
                self.freeze_reason.clone_from(&freeze.reason);
            }
            EventData::AccountUnfrozen(freeze) => {
                self.status = self.status.unfrozen(freeze.scope);
                if self.status == Status::Active {
                    self.freeze_reason = None;
                }
            }
            EventData::AccountClosed(_) => self.status = Status::Closed,
            EventData::OverdraftLimitSet(set) => {
                self.overdraft_limit = set.overdraft_limit.to_string();
            }
            EventData::AccountUpdated(updated) => {
                if let Some(owner_name) = &updated.owner_name {
                    self.owner_name.clone_from(owner_name);
                }
                if let Some(metadata) = &updated.account_metadata {
                    self.metadata.clone_from(metadata);
                }
            }
            EventData::AccountRulesSet(set) => {
                self.rules =
                    Some(set.rules.map(Money::to_string)).filter(|rules| !rules.is_empty());
            }
            EventData::AccountCreated(_)
            | EventData::MoneyDeposited(_)
            | EventData::MoneyWithdrawn(_)
            | EventData::HoldPlaced(_)
            | EventData::HoldReleased(_)
            | EventData::HoldExpired(_) => return false,
        }
        true
    }
}

/// The state of an account after one of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub account_id: AccountId,
    /// How many events it has had.
    pub version: Version,
    /// Whose it is.
    pub owner_name: String,
    /// What is in it.
    pub balance: Money,
    /// What of it is held; see [`Hold`](crate::Hold).
    pub held: Money,
    /// How far below zero the balance may fall.
    pub overdraft_limit: Money,
    /// Whether it takes part in money's movements.
    pub status: Status,
    /// Why it is frozen.
    pub freeze_reason: Option<String>,
    /// Its own metadata.
    pub metadata: BTreeMap<String, String>,
    /// What its movements must obey; `None` for an account without rules, which pays nothing for them.
    pub restrictions: Option<Box<Restrictions>>,
    /// The version of the newest event that changed the profile.
    pub profile_version: Version,
    /// When its newest event was recorded.
    pub last_recorded_at: Timestamp,
    /// The hash of its newest event.
    pub last_hash: Hash,
}

/// An event that cannot follow upon an account's state: the history was damaged, or read with a hole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    /// The event is another account's.
    #[error("account {account_id}: version {version} of account {actual} cannot follow here")]
    Account {
        /// The account.
        account_id: AccountId,
        /// The event's version.
        version: Version,
        /// The event's account.
        actual: AccountId,
    },
    /// The event's money is another currency's.
    #[error(
        "account {account_id} version {version}: the account is kept in {expected}, and the event is in {actual}"
    )]
    Currency {
        /// The account.
        account_id: AccountId,
        /// The event's version.
        version: Version,
        /// The account's currency.
        expected: Currency,
        /// The event's currency.
        actual: Currency,
    },
    /// The version is not the next one.
    #[error("account {account_id}: version {actual} follows upon version {previous}")]
    Version {
        /// The account.
        account_id: AccountId,
        /// The version before.
        previous: Version,
        /// The event's version.
        actual: Version,
    },
    /// The first event does not open the account, or a later one does.
    #[error("account {account_id} version {version}: {type_name} cannot stand here")]
    Type {
        /// The account.
        account_id: AccountId,
        /// The event's version.
        version: Version,
        /// The event's type.
        type_name: &'static str,
    },
    /// `prev_hash` is not the hash of the event before.
    #[error(
        "account {account_id} version {version}: prev_hash is not the hash of the version before"
    )]
    PreviousHash {
        /// The account.
        account_id: AccountId,
        /// The event's version.
        version: Version,
    },
    /// `hash` is not the hash of the event.
    #[error(
        "account {account_id} version {version}: the event's content does not have the hash that it names"
    )]
    OwnHash {
        /// The account.
        account_id: AccountId,
        /// The event's version.
        version: Version,
    },
    /// `balance_after` is not what the event makes of the balance before.
    #[error(
        "account {account_id} version {version}: the balance is {expected} by the events and {actual} by balance_after"
    )]
    Balance {
        /// The account.
        account_id: AccountId,
        /// The event's version.
        version: Version,
        /// The balance by the events.
        expected: Money,
        /// What the event says.
        actual: Money,
    },
    /// `held_after` is not what the event makes of what was held before.
    #[error(
        "account {account_id} version {version}: {expected} is held by the events and {actual} by held_after"
    )]
    Held {
        /// The account.
        account_id: AccountId,
        /// The event's version.
        version: Version,
        /// What is held by the events.
        expected: Money,
        /// What the event says.
        actual: Money,
    },
    /// The hold that the event names is not what the event makes of the hold before.
    #[error("account {account_id} version {version}: hold {hold_id}: {problem}")]
    Hold {
        /// The account.
        account_id: AccountId,
        /// The event's version.
        version: Version,
        /// The hold.
        hold_id: HoldId,
        /// What does not fit.
        problem: &'static str,
    },
    /// `recorded_at` falls. (It may stay, for events of one command on one account.)
    #[error(
        "account {account_id} version {version}: recorded_at {actual} lies before that of the version before, {previous}"
    )]
    Time {
        /// The account.
        account_id: AccountId,
        /// The event's version.
        version: Version,
        /// When the event before was recorded.
        previous: Timestamp,
        /// When this one was.
        actual: Timestamp,
    },
    /// The amounts cannot be added.
    #[error("account {account_id} version {version}: {source}")]
    Amount {
        /// The account.
        account_id: AccountId,
        /// The event's version.
        version: Version,
        /// Why.
        source: InvalidAmount,
    },
}

impl Account {
    /// What its money is.
    pub fn currency(&self) -> Currency {
        self.balance.currency()
    }

    /// What could be withdrawn now: the balance and the overdraft limit, without what is held.
    pub fn available(&self) -> Result<Money, InvalidAmount> {
        self.balance
            .checked_add(self.overdraft_limit)?
            .checked_sub(self.held)
    }

    /// What changes seldom about it.
    pub fn profile(&self) -> Profile {
        Profile {
            owner_name: self.owner_name.clone(),
            currency: self.currency().code(),
            overdraft_limit: self.overdraft_limit.to_string(),
            status: self.status,
            freeze_reason: self.freeze_reason.clone(),
            metadata: self.metadata.clone(),
            rules: self
                .restrictions
                .as_ref()
                .map(|restrictions| restrictions.rules.map(Money::to_string)),
        }
    }

    /// The state that an account's first event makes.
    pub fn open(event: &Event) -> Result<Self, BrokenChain> {
        if event.version != Version::FIRST {
            return Err(BrokenChain::Version {
                account_id: event.account_id.clone(),
                previous: Version::NONE,
                actual: event.version,
            });
        }
        let EventData::AccountCreated(created) = &event.data else {
            return Err(BrokenChain::Type {
                account_id: event.account_id.clone(),
                version: event.version,
                type_name: event.data.type_name(),
            });
        };
        check_currency(event, event.currency())?;
        let account = Self {
            account_id: event.account_id.clone(),
            version: event.version,
            owner_name: created.owner_name.clone(),
            balance: created.initial_balance,
            held: Money::zero(event.currency()),
            overdraft_limit: created.overdraft_limit,
            status: Status::Active,
            freeze_reason: None,
            metadata: BTreeMap::new(),
            restrictions: None,
            profile_version: event.version,
            last_recorded_at: event.recorded_at,
            last_hash: event.hash,
        };
        check(event, account.balance, account.held, Hash::ZERO)?;
        Ok(account)
    }

    /// Changes the state by the account's next event. On an error the state is as it was.
    ///
    /// Checks that the event belongs here and follows upon the one before, its `balance_after` included; whether its
    /// own `hash` is right is [`Event::check_hash`], which costs more than all the rest.
    pub fn apply(&mut self, event: &Event) -> Result<(), BrokenChain> {
        if event.account_id != self.account_id {
            return Err(BrokenChain::Account {
                account_id: self.account_id.clone(),
                version: event.version,
                actual: event.account_id.clone(),
            });
        }
        if event.version != self.version.next() {
            return Err(BrokenChain::Version {
                account_id: self.account_id.clone(),
                previous: self.version,
                actual: event.version,
            });
        }
        if event.recorded_at < self.last_recorded_at {
            return Err(BrokenChain::Time {
                account_id: self.account_id.clone(),
                version: event.version,
                previous: self.last_recorded_at,
                actual: event.recorded_at,
            });
        }
        check_currency(event, self.currency())?;
        let stands_here = match &event.data {
            EventData::AccountCreated(_) => false,
            _ => self.status != Status::Closed,
        };
        if !stands_here {
            return Err(BrokenChain::Type {
                account_id: self.account_id.clone(),
                version: event.version,
                type_name: event.data.type_name(),
            });
        }
        let amount = |source| BrokenChain::Amount {
            account_id: self.account_id.clone(),
            version: event.version,
            source,
        };
        let balance = self.balance_after(&event.data).map_err(amount)?;
        let held = self.held_after(&event.data).map_err(amount)?;
        let day_debits = self.day_debits_after(event).map_err(amount)?;
        check(event, balance, held, self.last_hash)?;
        self.balance = balance;
        self.held = held;
        if let (Some(restrictions), Some(_)) = (&mut self.restrictions, &day_debits) {
            restrictions.day_debits = day_debits;
        }
        self.describe(event);
        self.version = event.version;
        self.last_recorded_at = event.recorded_at;
        self.last_hash = event.hash;
        Ok(())
    }

    /// The balance after an event.
    pub(crate) fn balance_after(&self, data: &EventData) -> Result<Money, InvalidAmount> {
        match data.balance_change() {
            Some(change) => self.balance.checked_add(change),
            None => Ok(self.balance),
        }
    }

    /// What is held after an event.
    pub(crate) fn held_after(&self, data: &EventData) -> Result<Money, InvalidAmount> {
        match data.held_change() {
            Some(change) => self.held.checked_add(change),
            None => Ok(self.held),
        }
    }

    /// What is counted of the day with an event that counts; `None` for one that does not, and when nothing is counted.
    fn day_debits_after(&self, event: &Event) -> Result<Option<DayDebits<Money>>, InvalidAmount> {
        match (&self.restrictions, event.data.counted_debit()) {
            (Some(restrictions), Some(amount)) => {
                restrictions.day_debits_with(amount, event.recorded_at)
            }
            _ => Ok(None),
        }
    }

    /// What has left it on the last day on which anything has, if its rules count that. Stored with each event, so that the
    /// newest one has it.
    pub fn day_debits(&self) -> Option<&DayDebits<Money>> {
        self.restrictions.as_ref()?.day_debits.as_ref()
    }

    /// Changes what an event changes of the profile.
    fn describe(&mut self, event: &Event) {
        if event.data.balance_change().is_some() {
            return;
        }
        let mut profile = self.profile();
        if !profile.apply(&event.data) {
            return;
        }
        match &event.data {
            EventData::OverdraftLimitSet(set) => self.overdraft_limit = set.overdraft_limit,
            EventData::AccountRulesSet(set) => {
                self.restrictions =
                    Restrictions::replaced(self.restrictions.as_deref(), &set.rules);
            }
            _ => {}
        }
        self.owner_name = profile.owner_name;
        self.status = profile.status;
        self.freeze_reason = profile.freeze_reason;
        self.metadata = profile.metadata;
        self.profile_version = event.version;
    }

    /// Folds one more event into what is known of an account; the first one opens it.
    pub fn fold(state: Option<Self>, event: &Event) -> Result<Self, BrokenChain> {
        match state {
            None => Self::open(event),
            Some(mut account) => {
                account.apply(event)?;
                Ok(account)
            }
        }
    }
}

/// All of an event's money is in the account's currency; arithmetic rests on it.
fn check_currency(event: &Event, expected: Currency) -> Result<(), BrokenChain> {
    let overdraft_limit = match &event.data {
        EventData::AccountCreated(created) => Some(created.overdraft_limit),
        _ => None,
    };
    let rules = match &event.data {
        EventData::AccountRulesSet(set) => Some(&set.rules),
        _ => None,
    };
    let hold = event.data.hold();
    let other = [event.balance_after, event.held_after]
        .into_iter()
        .chain(event.data.amount())
        .chain(overdraft_limit)
        .chain(rules.into_iter().flat_map(Rules::amounts).copied())
        .chain(event.data.reversal().map(|reversal| reversal.reversed))
        .chain(
            hold.into_iter()
                .flat_map(|hold| [hold.amount, hold.captured, hold.remaining]),
        )
        .map(Money::currency)
        .find(|currency| *currency != expected);
    match other {
        None => Ok(()),
        Some(actual) => Err(BrokenChain::Currency {
            account_id: event.account_id.clone(),
            version: event.version,
            expected,
            actual,
        }),
    }
}

/// What an event says about itself agrees with what it follows upon.
fn check(event: &Event, balance: Money, held: Money, previous: Hash) -> Result<(), BrokenChain> {
    if event.balance_after != balance {
        return Err(BrokenChain::Balance {
            account_id: event.account_id.clone(),
            version: event.version,
            expected: balance,
            actual: event.balance_after,
        });
    }
    if event.held_after != held {
        return Err(BrokenChain::Held {
            account_id: event.account_id.clone(),
            version: event.version,
            expected: held,
            actual: event.held_after,
        });
    }
    if event.prev_hash != previous {
        return Err(BrokenChain::PreviousHash {
            account_id: event.account_id.clone(),
            version: event.version,
        });
    }
    Ok(())
}
