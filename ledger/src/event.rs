//! Events: what has happened. Never changed, never removed; one event is one line of one account.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::account::BrokenChain;
use crate::codec::json;
use crate::command::Scope;
use crate::hash::Hash;
use crate::ids::{AccountId, CommandId, EventId, HoldId, PostingId, TransferId, Version};
use crate::money::{Currency, Money};
use crate::rules::Rules;
use crate::timestamp::Timestamp;

/// One thing that happened to one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub event_id: EventId,
    /// The account that it happened to.
    pub account_id: AccountId,
    /// Its place in the account's history: 1, 2, 3 …
    pub version: Version,
    /// What happened.
    pub data: EventData,
    /// What was in the account afterwards.
    pub balance_after: Money,
    /// What of it was held afterwards. Not written when it is nothing.
    pub held_after: Money,
    /// The command that caused it.
    pub command_id: CommandId,
    /// Which command of a batch it was, from 0; `None` for a command that is no batch.
    pub part: Option<u32>,
    /// Who asked for it.
    pub actor: Option<String>,
    /// When the writer recorded it; all events of a command share it, and it rises within an account.
    pub recorded_at: Timestamp,
    /// The hash of the account's event before this one; zeros for version 1.
    pub prev_hash: Hash,
    /// SHA-256 over the RFC 8785 canonical JSON of the event without this field.
    pub hash: Hash,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventData {
    /// The account was opened.
    AccountCreated(AccountCreated),
    /// Money came in.
    MoneyDeposited(MoneyMoved),
    /// Money went out.
    MoneyWithdrawn(MoneyMoved),
    /// Debits, credits or both were forbidden.
    AccountFrozen(FreezeChanged),
    /// Debits, credits or both were allowed again.
    AccountUnfrozen(FreezeChanged),
    /// The account was ended.
    AccountClosed(AccountClosed),
    /// The balance may fall further below zero, or less far.
    OverdraftLimitSet(OverdraftLimitSet),
    /// What is known about the account changed.
    AccountUpdated(AccountUpdated),
    /// What the account's movements must obey changed.
    AccountRulesSet(AccountRulesSet),
    /// Money was reserved.
    HoldPlaced(HoldChanged),
    /// Money that was held became available again, by command.
    HoldReleased(HoldChanged),
    /// Money that was held became available again, for its time was over.
    HoldExpired(HoldChanged),
}

/// The account was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountCreated {
    /// Whose it is.
    pub owner_name: String,
    /// What is in it from the start.
    pub initial_balance: Money,
    /// How far below zero its balance may fall.
    pub overdraft_limit: Money,
    /// Why, in the publisher's words.
    pub description: Option<String>,
    /// The command's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// Money came in or went out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneyMoved {
    /// How much; more than zero, the direction is the event's type.
    pub amount: Money,
    /// The transfer that this is one half of, if it is.
    pub transfer: Option<TransferLeg>,
    /// The posting that this is one entry of, if it is; then it is no half of a transfer.
    pub posting_id: Option<PostingId>,
    /// The hold that the money was taken from, as it is afterwards. Only money that goes out has one.
    pub hold: Option<Hold>,
    /// The earlier movement that this one moves back, if it does.
    pub reversal: Option<Reversal>,
    /// The business date that the command gave: from when on the money counts as moved.
    pub effective_at: Option<Timestamp>,
    /// Why, in the publisher's words.
    pub description: Option<String>,
    /// The command's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// What ties the two halves of a transfer together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferLeg {
    /// The same in both halves.
    pub transfer_id: TransferId,
    /// The account of the other half.
    pub counterparty_account_id: AccountId,
}

/// What a movement moves back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reversal {
    /// The command of the earlier movement, which was on the same account in the other direction.
    pub command_id: CommandId,
    /// How much of the earlier movement has been moved back so far, this time included.
    pub reversed: Money,
    /// Why.
    pub reason: String,
}

/// Debits, credits or both were forbidden, or allowed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeChanged {
    /// Which.
    pub scope: Scope,
    /// Why.
    pub reason: Option<String>,
    /// Why, in the publisher's words.
    pub description: Option<String>,
    /// The command's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// The account was ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountClosed {
    /// Why, in the publisher's words.
    pub description: Option<String>,
    /// The command's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// The balance may fall further below zero, or less far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdraftLimitSet {
    /// How far, from now on.
    pub overdraft_limit: Money,
    /// Why, in the publisher's words.
    pub description: Option<String>,
    /// The command's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// What is known about the account changed; what is `None` stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountUpdated {
    /// Whose it is from now on.
    pub owner_name: Option<String>,
    /// All of the account's own metadata from now on.
    pub account_metadata: Option<BTreeMap<String, String>>,
    /// Why, in the publisher's words.
    pub description: Option<String>,
    /// The command's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// What the account's movements must obey changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRulesSet {
    /// All of the account's rules from now on.
    pub rules: Rules<Money>,
    /// Why, in the publisher's words.
    pub description: Option<String>,
    /// The command's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// Money was reserved, or became available again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldChanged {
    /// How much; more than zero, the direction is the event's type.
    pub amount: Money,
    /// The hold as it is afterwards.
    pub hold: Hold,
    /// Why, in the publisher's words.
    pub description: Option<String>,
    /// The command's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A hold after one of its events. Its newest event has all that is to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its name.
    pub hold_id: HoldId,
    /// How much was reserved at first.
    pub amount: Money,
    /// How much of it has been taken so far.
    pub captured: Money,
    /// How much of it is still held. The rest of `amount` was released, or expired.
    pub remaining: Money,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Timestamp>,
}

impl Hold {
    /// Whether money is still held.
    pub fn is_open(&self) -> bool {
        self.remaining.is_positive()
    }

    /// Whether its time is over at that instant.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| now >= expires_at)
    }
}

/// What every event has of its command.
struct Words<'a> {
    description: &'a Option<String>,
    metadata: &'a BTreeMap<String, String>,
}

impl EventData {
    /// Every event's type, as on the wire.
    pub const TYPE_NAMES: [&'static str; 12] = [
        "AccountCreated",
        "MoneyDeposited",
        "MoneyWithdrawn",
        "AccountFrozen",
        "AccountUnfrozen",
        "AccountClosed",
        "OverdraftLimitSet",
        "AccountUpdated",
        "HoldPlaced",
        "HoldReleased",
        "HoldExpired",
        "AccountRulesSet",
    ];

    /// The event's type, as on the wire.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::AccountCreated(_) => "AccountCreated",
            Self::MoneyDeposited(_) => "MoneyDeposited",
            Self::MoneyWithdrawn(_) => "MoneyWithdrawn",
            Self::AccountFrozen(_) => "AccountFrozen",
            Self::AccountUnfrozen(_) => "AccountUnfrozen",
            Self::AccountClosed(_) => "AccountClosed",
            Self::OverdraftLimitSet(_) => "OverdraftLimitSet",
            Self::AccountUpdated(_) => "AccountUpdated",
            Self::AccountRulesSet(_) => "AccountRulesSet",
            Self::HoldPlaced(_) => "HoldPlaced",
            Self::HoldReleased(_) => "HoldReleased",
            Self::HoldExpired(_) => "HoldExpired",
        }
    }

    /// The money that the event is about: what was moved, what an account began with, what was held or is no longer, how
    /// far the balance may fall. `None` for what is not about money.
    pub fn amount(&self) -> Option<Money> {
        match self {
            Self::AccountCreated(created) => Some(created.initial_balance),
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => Some(moved.amount),
            Self::OverdraftLimitSet(set) => Some(set.overdraft_limit),
            Self::HoldPlaced(changed)
            | Self::HoldReleased(changed)
            | Self::HoldExpired(changed) => Some(changed.amount),
            Self::AccountFrozen(_)
            | Self::AccountUnfrozen(_)
            | Self::AccountClosed(_)
            | Self::AccountUpdated(_)
            | Self::AccountRulesSet(_) => None,
        }
    }

    /// What the event adds to the balance; `None` when it leaves it as it is.
    pub fn balance_change(&self) -> Option<Money> {
        match self {
            Self::AccountCreated(created) => Some(created.initial_balance),
            Self::MoneyDeposited(moved) => Some(moved.amount),
            Self::MoneyWithdrawn(moved) => Some(moved.amount.negated()),
            Self::AccountFrozen(_)
            | Self::AccountUnfrozen(_)
            | Self::AccountClosed(_)
            | Self::OverdraftLimitSet(_)
            | Self::AccountUpdated(_)
            | Self::AccountRulesSet(_)
            | Self::HoldPlaced(_)
            | Self::HoldReleased(_)
            | Self::HoldExpired(_) => None,
        }
    }

    /// What the event adds to what is held; `None` when it leaves it as it is.
    pub fn held_change(&self) -> Option<Money> {
        match self {
            Self::HoldPlaced(changed) => Some(changed.amount),
            Self::HoldReleased(changed) | Self::HoldExpired(changed) => {
                Some(changed.amount.negated())
            }
            Self::MoneyWithdrawn(moved) if moved.hold.is_some() => Some(moved.amount.negated()),
            Self::AccountCreated(_)
            | Self::MoneyDeposited(_)
            | Self::MoneyWithdrawn(_)
            | Self::AccountFrozen(_)
            | Self::AccountUnfrozen(_)
            | Self::AccountClosed(_)
            | Self::OverdraftLimitSet(_)
            | Self::AccountUpdated(_)
            | Self::AccountRulesSet(_) => None,
        }
    }

    /// What counts towards the daily limits of an account: money that leaves it, and money that is held on it. Money that
    /// was held counts when it is held and not when it is taken, and moving back what came counts nothing.
    pub fn counted_debit(&self) -> Option<Money> {
        match self {
            Self::MoneyWithdrawn(moved) if moved.hold.is_none() && moved.reversal.is_none() => {
                Some(moved.amount)
            }
            Self::HoldPlaced(changed) => Some(changed.amount),
            _ => None,
        }
    }

    fn words(&self) -> Words<'_> {
        let (description, metadata) = match self {
            Self::AccountCreated(data) => (&data.description, &data.metadata),
            Self::MoneyDeposited(data) | Self::MoneyWithdrawn(data) => {
                (&data.description, &data.metadata)
            }
            Self::AccountFrozen(data) | Self::AccountUnfrozen(data) => {
                (&data.description, &data.metadata)
            }
            Self::AccountClosed(data) => (&data.description, &data.metadata),
            Self::OverdraftLimitSet(data) => (&data.description, &data.metadata),
            Self::AccountUpdated(data) => (&data.description, &data.metadata),
            Self::AccountRulesSet(data) => (&data.description, &data.metadata),
            Self::HoldPlaced(data) | Self::HoldReleased(data) | Self::HoldExpired(data) => {
                (&data.description, &data.metadata)
            }
        };
        Words {
            description,
            metadata,
        }
    }

    /// Why, in the publisher's words.
    pub fn description(&self) -> Option<&str> {
        self.words().description.as_deref()
    }

    /// The command's metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        self.words().metadata
    }

    /// The transfer that the event is one half of, if it is.
    pub fn transfer(&self) -> Option<&TransferLeg> {
        match self {
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => moved.transfer.as_ref(),
            _ => None,
        }
    }

    /// The posting that the event is one entry of, if it is.
    pub fn posting_id(&self) -> Option<PostingId> {
        match self {
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => moved.posting_id,
            _ => None,
        }
    }

    /// Whether the money stayed within the ledger: what one account had less, others had more.
    pub fn is_internal(&self) -> bool {
        self.transfer().is_some() || self.posting_id().is_some()
    }

    /// What the event moves back, if it does.
    pub fn reversal(&self) -> Option<&Reversal> {
        match self {
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => moved.reversal.as_ref(),
            _ => None,
        }
    }

    /// The business date that the command gave, if it did; see [`Event::effective_at`].
    pub fn effective_at(&self) -> Option<Timestamp> {
        match self {
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => moved.effective_at,
            _ => None,
        }
    }

    /// The hold that the event changes, as it is afterwards.
    pub fn hold(&self) -> Option<&Hold> {
        match self {
            Self::MoneyWithdrawn(moved) => moved.hold.as_ref(),
            Self::HoldPlaced(changed)
            | Self::HoldReleased(changed)
            | Self::HoldExpired(changed) => Some(&changed.hold),
            _ => None,
        }
    }
}

impl Event {
    /// The currency of the event's money.
    pub fn currency(&self) -> Currency {
        self.balance_after.currency()
    }

    /// Its business date: from when on it counts. When it was recorded, unless its command said otherwise.
    pub fn effective_at(&self) -> Timestamp {
        self.data.effective_at().unwrap_or(self.recorded_at)
    }

    /// What `hash` must be: SHA-256 over the RFC 8785 canonical JSON of the event without `hash`.
    pub fn compute_hash(&self) -> Hash {
        let canonical = json::encode_event_without_hash(self);
        Hash::from(<[u8; 32]>::from(Sha256::digest(canonical)))
    }

    /// Whether the event's content has the hash that it names.
    pub fn check_hash(&self) -> Result<(), BrokenChain> {
        if self.compute_hash() == self.hash {
            Ok(())
        } else {
            Err(BrokenChain::OwnHash {
                account_id: self.account_id.clone(),
                version: self.version,
            })
        }
    }
}
