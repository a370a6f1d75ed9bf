//! Events: what has happened. Never changed, never removed; one event is one line of one account.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::account::BrokenChain;
use crate::codec::json;
use crate::hash::Hash;
use crate::ids::{AccountId, CommandId, EventId, TransferId, Version};
use crate::money::{Currency, Money};
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
    /// The command that caused it.
    pub command_id: CommandId,
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

impl EventData {
    /// The event's type, as on the wire.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::AccountCreated(_) => "AccountCreated",
            Self::MoneyDeposited(_) => "MoneyDeposited",
            Self::MoneyWithdrawn(_) => "MoneyWithdrawn",
        }
    }

    /// The money that the event is about: what was moved, or what an account began with.
    pub fn amount(&self) -> Money {
        match self {
            Self::AccountCreated(created) => created.initial_balance,
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => moved.amount,
        }
    }

    /// Why, in the publisher's words.
    pub fn description(&self) -> Option<&str> {
        match self {
            Self::AccountCreated(created) => created.description.as_deref(),
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => {
                moved.description.as_deref()
            }
        }
    }

    /// The command's metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        match self {
            Self::AccountCreated(created) => &created.metadata,
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => &moved.metadata,
        }
    }

    /// The transfer that the event is one half of, if it is.
    pub fn transfer(&self) -> Option<&TransferLeg> {
        match self {
            Self::AccountCreated(_) => None,
            Self::MoneyDeposited(moved) | Self::MoneyWithdrawn(moved) => moved.transfer.as_ref(),
        }
    }
}

impl Event {
    /// The currency of the event's money.
    pub fn currency(&self) -> Currency {
        self.balance_after.currency()
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
