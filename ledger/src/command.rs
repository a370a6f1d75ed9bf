//! Commands: what a publisher asks for. Well-formed by construction; whether the ledger can do it is for
//! [`decide`](crate::decide) to say.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use crate::codec::json;
use crate::hash::Hash;
use crate::ids::{AccountId, CommandId, Version};
use crate::money::CurrencyCode;

/// How large the parts of a command can be. Each limit is checked by the codecs, with an error that names it.
pub mod limits {
    /// The longest encoded command, in bytes.
    pub const BODY_BYTES_MAX: usize = 64 * 1024;
    /// The longest owner name, in bytes of UTF-8.
    pub const OWNER_NAME_BYTES_MAX: usize = 256;
    /// The longest description, in bytes of UTF-8.
    pub const DESCRIPTION_BYTES_MAX: usize = 2_048;
    /// The longest actor, in bytes of UTF-8.
    pub const ACTOR_BYTES_MAX: usize = 256;
    /// How many metadata entries a command can have.
    pub const METADATA_ENTRIES_MAX: usize = 50;
    /// The longest metadata key; keys are printable ASCII without spaces.
    pub const METADATA_KEY_BYTES_MAX: usize = 64;
    /// The longest metadata value, in bytes of UTF-8.
    pub const METADATA_VALUE_BYTES_MAX: usize = 512;
}

/// One request to change the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The publisher's name for it; the same id again is the same command again.
    pub command_id: CommandId,
    /// What is asked for.
    pub action: Action,
    /// Why, in the publisher's words.
    pub description: Option<String>,
    /// Who asks.
    pub actor: Option<String>,
    /// Whatever the publisher wants to find again; kept with the events.
    pub metadata: BTreeMap<String, String>,
    /// The version that the account must have now (the one debited, for a transfer): optimistic concurrency on the
    /// publisher's side.
    pub expected_version: Option<Version>,
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Opens an account.
    CreateAccount(CreateAccount),
    /// Puts money into an account, from outside.
    Deposit(Deposit),
    /// Takes money out of an account, to outside.
    Withdraw(Withdraw),
    /// Moves money from one account to another.
    Transfer(Transfer),
}

/// Opens an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateAccount {
    /// The new account.
    pub account_id: AccountId,
    /// Whose it is.
    pub owner_name: String,
    /// What its money is; never changes.
    pub currency: CurrencyCode,
    /// What is in it from the start.
    pub initial_balance: Decimal,
    /// How far below zero the balance may fall.
    pub overdraft_limit: Decimal,
}

/// Puts money into an account, from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deposit {
    /// The account credited.
    pub account_id: AccountId,
    /// How much; more than zero.
    pub amount: Decimal,
    /// Must be the account's, if given.
    pub currency: Option<CurrencyCode>,
}

/// Takes money out of an account, to outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdraw {
    /// The account debited.
    pub account_id: AccountId,
    /// How much; more than zero.
    pub amount: Decimal,
    /// Must be the account's, if given.
    pub currency: Option<CurrencyCode>,
}

/// Moves money from one account to another of the same currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The account debited.
    pub from_account_id: AccountId,
    /// The account credited.
    pub to_account_id: AccountId,
    /// How much; more than zero.
    pub amount: Decimal,
    /// Must be the accounts', if given.
    pub currency: Option<CurrencyCode>,
}

impl Command {
    /// The account under whose subject the command is published: the one debited, or the only one.
    pub fn account_id(&self) -> &AccountId {
        match &self.action {
            Action::CreateAccount(action) => &action.account_id,
            Action::Deposit(action) => &action.account_id,
            Action::Withdraw(action) => &action.account_id,
            Action::Transfer(action) => &action.from_account_id,
        }
    }

    /// Every account that must be known to decide it.
    pub fn account_ids(&self) -> impl Iterator<Item = &AccountId> {
        let second = match &self.action {
            Action::Transfer(action) => Some(&action.to_account_id),
            Action::CreateAccount(_) | Action::Deposit(_) | Action::Withdraw(_) => None,
        };
        std::iter::once(self.account_id()).chain(second)
    }

    /// The command's type, as on the wire.
    pub fn type_name(&self) -> &'static str {
        match &self.action {
            Action::CreateAccount(_) => "create_account",
            Action::Deposit(_) => "deposit",
            Action::Withdraw(_) => "withdraw",
            Action::Transfer(_) => "transfer",
        }
    }

    /// What makes two commands the same: SHA-256 over the canonical JSON, with amounts freed of trailing zeros. JSON
    /// or bincode, `25` or `25.0`, order of fields and white space make no difference.
    pub fn fingerprint(&self) -> Hash {
        let canonical = json::encode_normalized(self);
        Hash::from(<[u8; 32]>::from(Sha256::digest(canonical)))
    }
}
