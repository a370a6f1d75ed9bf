//! Commands: what a publisher asks for. Well-formed by construction; whether the ledger can do it is for
//! [`decide`](crate::decide) to say.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sha2::{Digest, Sha256};

use crate::codec::json;
use crate::excerpt::excerpt;
use crate::hash::Hash;
use crate::ids::{AccountId, CommandId, HoldId, Version};
use crate::money::CurrencyCode;
use crate::rules::Rules;
use crate::timestamp::Timestamp;

/// How large the parts of a command can be. Each limit is checked by the codecs, with an error that names it.
pub mod limits {
    /// The longest encoded command, in bytes.
    pub const BODY_BYTES_MAX: usize = 256 * 1024;
    /// How many commands a batch can have.
    pub const BATCH_COMMANDS_MAX: usize = 1_000;
    /// How many entries a posting can have.
    pub const POST_ENTRIES_MAX: usize = 1_000;
    /// How much one command may write, in bytes: each text stands in every event that it comes with, and each change of an
    /// account's profile writes all of the profile. Below what CockroachDB takes in one statement.
    pub const WRITTEN_BYTES_MAX: usize = 4 * 1024 * 1024;
    /// What one event counts at least, in bytes: ids, hashes, amounts, and its place in the outcome.
    pub const EVENT_BYTES_MIN: usize = 512;
    /// No command makes as many events.
    pub const EVENTS_MAX: usize = WRITTEN_BYTES_MAX / EVENT_BYTES_MIN;
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
    /// How many counterparties the rules of an account can name.
    pub const COUNTERPARTIES_MAX: usize = 100;
    /// The longest reason for a freeze or a reversal, in bytes of UTF-8.
    pub const REASON_BYTES_MAX: usize = 512;
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
    /// What must hold when it is decided, or it is refused.
    pub conditions: Conditions,
    /// The business date: from when on the money counts as moved. When it is recorded, if not given. Only a command that
    /// [moves money](Action::moves_money) has one; each command of a batch has its own.
    pub effective_at: Option<Timestamp>,
}

/// What must hold when a command is decided. Conditions on an account are about [`Command::account_id`]: the one debited,
/// or the only one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The version that the account must have: optimistic concurrency on the publisher's side.
    pub expected_version: Option<Version>,
    /// The account's balance must be this or more.
    pub if_balance_at_least: Option<Decimal>,
    /// It must not be decided before this instant.
    pub not_before: Option<Timestamp>,
    /// It must be decided before this instant.
    pub expires_at: Option<Timestamp>,
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
    /// Forbids debits, credits or both.
    FreezeAccount(FreezeAccount),
    /// Allows again what was forbidden.
    UnfreezeAccount(UnfreezeAccount),
    /// Ends an account, for ever.
    CloseAccount(CloseAccount),
    /// Changes how far below zero the balance may fall.
    SetOverdraftLimit(SetOverdraftLimit),
    /// Changes what is known about the account.
    UpdateAccount(UpdateAccount),
    /// Reserves money for a later capture.
    Hold(PlaceHold),
    /// Takes money that is held.
    Capture(Capture),
    /// Gives money that is held back to the account's available balance.
    Release(Release),
    /// Ends a hold whose time is over. The ledger sends it to itself.
    ExpireHold(ExpireHold),
    /// Moves the money of an earlier command back.
    Reverse(Reverse),
    /// Moves money between any number of accounts at once.
    Post(Post),
    /// Several commands of which all are done, or none.
    Batch(Batch),
    /// Moves money from an account of one currency to an account of another.
    Exchange(Exchange),
    /// Changes what the account's movements must obey.
    SetAccountRules(SetAccountRules),
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

/// Which movements a freeze forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Money that goes out, holds included.
    Debits,
    /// Money that comes in.
    Credits,
    /// Both.
    All,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 3] = [Self::Debits, Self::Credits, Self::All];

    /// The scope as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debits => "debits",
            Self::Credits => "credits",
            Self::All => "all",
        }
    }

    /// Whether it is about money that goes out.
    pub fn has_debits(self) -> bool {
        matches!(self, Self::Debits | Self::All)
    }

    /// Whether it is about money that comes in.
    pub fn has_credits(self) -> bool {
        matches!(self, Self::Credits | Self::All)
    }
}

/// A text that names no [`Scope`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a scope is debits, credits or all, and this is not: {text:?}")]
pub struct InvalidScope {
    text: String,
}

impl std::str::FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| InvalidScope {
                text: excerpt(text),
            })
    }
}

/// Forbids debits, credits or both, until they are allowed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezeAccount {
    /// The account.
    pub account_id: AccountId,
    /// What is forbidden, in addition to what is already.
    pub scope: Scope,
    /// Why; kept with the account.
    pub reason: String,
}

/// Allows again what was forbidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfreezeAccount {
    /// The account.
    pub account_id: AccountId,
    /// What is allowed again.
    pub scope: Scope,
    /// Why.
    pub reason: Option<String>,
}

/// Ends an account, for ever. Its history stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseAccount {
    /// The account.
    pub account_id: AccountId,
    /// Where what is left in it goes. Without it, the balance must be zero.
    pub sweep_to_account_id: Option<AccountId>,
}

/// Changes how far below zero the balance may fall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetOverdraftLimit {
    /// The account.
    pub account_id: AccountId,
    /// The new limit; zero or more, and no less than what is used of it.
    pub overdraft_limit: Decimal,
}

/// Changes what is known about the account; what is not given stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateAccount {
    /// The account.
    pub account_id: AccountId,
    /// Whose it is from now on.
    pub owner_name: Option<String>,
    /// All of the account's own metadata from now on.
    pub account_metadata: Option<BTreeMap<String, String>>,
}

/// Reserves money for a later capture: what is held cannot be withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceHold {
    /// The account.
    pub account_id: AccountId,
    /// The publisher's name for the hold; used once within an account.
    pub hold_id: HoldId,
    /// How much; more than zero.
    pub amount: Decimal,
    /// Must be the account's, if given.
    pub currency: Option<CurrencyCode>,
    /// When it ends by itself. Without it, it lasts until it is captured or released.
    pub hold_expires_at: Option<Timestamp>,
}

/// Takes money that is held, to outside or to another account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// The account that the money is held on.
    pub account_id: AccountId,
    /// The hold.
    pub hold_id: HoldId,
    /// How much; all that is still held, if not given.
    pub amount: Option<Decimal>,
    /// The last capture: the rest of the hold is released with it.
    pub is_final: bool,
    /// The account credited; without it the money goes to outside.
    pub to_account_id: Option<AccountId>,
}

/// Gives money that is held back to the account's available balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The account that the money is held on.
    pub account_id: AccountId,
    /// The hold.
    pub hold_id: HoldId,
    /// How much; all that is still held, if not given.
    pub amount: Option<Decimal>,
}

/// Ends a hold whose time is over: what is still held becomes available again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpireHold {
    /// The account that the money is held on.
    pub account_id: AccountId,
    /// The hold.
    pub hold_id: HoldId,
}

/// Moves the money of an earlier command back, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reverse {
    /// The account that the earlier command was sent to: [`Command::account_id`].
    pub account_id: AccountId,
    /// The earlier command.
    pub reversed_command_id: CommandId,
    /// How much; all that has not been moved back yet, if not given.
    pub amount: Option<Decimal>,
    /// Why.
    pub reason: String,
}

/// Moves money between any number of accounts at once: entries that balance, per currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// What each account has less or more; at least two. The command is sent to the account of the first.
    pub entries: Vec<Entry>,
}

/// What one account has less or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The account.
    pub account_id: AccountId,
    /// Whether it has less or more.
    pub direction: Direction,
    /// How much; more than zero.
    pub amount: Decimal,
    /// Must be the account's, if given.
    pub currency: Option<CurrencyCode>,
}

/// Whether money leaves an account or comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The account has less.
    Debit,
    /// The account has more.
    Credit,
}

impl Direction {
    /// The direction as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debit => "debit",
            Self::Credit => "credit",
        }
    }
}

/// A text that names no [`Direction`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a direction is debit or credit, and this is not: {text:?}")]
pub struct InvalidDirection {
    text: String,
}

impl std::str::FromStr for Direction {
    type Err = InvalidDirection;

    fn from_str(text: &str) -> Result<Self, InvalidDirection> {
        [Self::Debit, Self::Credit]
            .into_iter()
            .find(|direction| direction.as_str() == text)
            .ok_or_else(|| InvalidDirection {
                text: excerpt(text),
            })
    }
}

/// Moves money from an account of one currency to an account of another, through two accounts that take the one and give
/// the other: a posting of four entries, which balances in both currencies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The account debited.
    pub from_account_id: AccountId,
    /// The account credited.
    pub to_account_id: AccountId,
    /// Where the money goes: an account in the currency of the one debited.
    pub from_clearing_account_id: AccountId,
    /// Where the other money comes from: an account in the currency of the one credited.
    pub to_clearing_account_id: AccountId,
    /// How much is debited; more than zero.
    pub amount: Decimal,
    /// How much is credited for it.
    pub price: Price,
}

/// How much of another currency an amount is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Price {
    /// This much.
    ToAmount(Decimal),
    /// The amount times this, rounded half to even (IEEE 754 §4.3.1) to the decimals of the other currency.
    Rate(Decimal),
}

/// Changes what the account's movements must obey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAccountRules {
    /// The account.
    pub account_id: AccountId,
    /// All of its rules from now on.
    pub rules: Rules<Decimal>,
}

/// Several commands of which all are done, or none. Each sees what those before it have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// At least one, and none a batch itself. They have the batch's `command_id` and `actor`, and words and conditions of
    /// their own. The batch is sent to the account of the first.
    pub commands: Vec<Command>,
}

impl Action {
    /// Every command's type, as on the wire.
    pub const TYPE_NAMES: [&'static str; 18] = [
        "create_account",
        "deposit",
        "withdraw",
        "transfer",
        "freeze_account",
        "unfreeze_account",
        "close_account",
        "set_overdraft_limit",
        "update_account",
        "hold",
        "capture",
        "release",
        "expire_hold",
        "reverse",
        "post",
        "batch",
        "exchange",
        "set_account_rules",
    ];

    /// Whether it moves money and does nothing else, so that it can have a business date.
    pub fn moves_money(&self) -> bool {
        matches!(
            self,
            Self::Deposit(_)
                | Self::Withdraw(_)
                | Self::Transfer(_)
                | Self::Capture(_)
                | Self::Reverse(_)
                | Self::Post(_)
                | Self::Exchange(_)
        )
    }
}

impl Command {
    /// The account under whose subject the command is published: the one debited, or the only one.
    pub fn account_id(&self) -> &AccountId {
        match &self.action {
            Action::CreateAccount(action) => &action.account_id,
            Action::Deposit(action) => &action.account_id,
            Action::Withdraw(action) => &action.account_id,
            Action::Transfer(action) => &action.from_account_id,
            Action::FreezeAccount(action) => &action.account_id,
            Action::UnfreezeAccount(action) => &action.account_id,
            Action::CloseAccount(action) => &action.account_id,
            Action::SetOverdraftLimit(action) => &action.account_id,
            Action::UpdateAccount(action) => &action.account_id,
            Action::Hold(action) => &action.account_id,
            Action::Capture(action) => &action.account_id,
            Action::Release(action) => &action.account_id,
            Action::ExpireHold(action) => &action.account_id,
            Action::SetAccountRules(action) => &action.account_id,
            Action::Reverse(action) => &action.account_id,
            Action::Post(action) => &first(&action.entries).account_id,
            Action::Batch(action) => first(&action.commands).account_id(),
            Action::Exchange(action) => &action.from_account_id,
        }
    }

    /// The commands of a batch; none of any other command.
    pub fn parts(&self) -> &[Self] {
        match &self.action {
            Action::Batch(action) => &action.commands,
            _ => &[],
        }
    }

    /// Every account that it names, some perhaps several times. Those of the commands that it reverses are to be known,
    /// too, to decide it: see [`reversed_command_ids`](Self::reversed_command_ids).
    pub fn account_ids(&self) -> impl Iterator<Item = &AccountId> {
        let parts = self.parts().iter().flat_map(Self::own_account_ids);
        self.own_account_ids().chain(parts)
    }

    fn own_account_ids(&self) -> impl Iterator<Item = &AccountId> {
        let second = match &self.action {
            Action::Transfer(action) => Some(&action.to_account_id),
            Action::CloseAccount(action) => action.sweep_to_account_id.as_ref(),
            Action::Capture(action) => action.to_account_id.as_ref(),
            Action::Exchange(action) => Some(&action.to_account_id),
            _ => None,
        };
        let clearing = match &self.action {
            Action::Exchange(action) => Some([
                &action.from_clearing_account_id,
                &action.to_clearing_account_id,
            ]),
            _ => None,
        };
        let entries: &[Entry] = match &self.action {
            Action::Post(action) => &action.entries,
            _ => &[],
        };
        std::iter::once(self.account_id())
            .chain(second)
            .chain(clearing.into_iter().flatten())
            .chain(entries.iter().map(|entry| &entry.account_id))
    }

    /// The holds, each on its account, that must be known to decide it.
    pub fn hold_ids(&self) -> impl Iterator<Item = (&AccountId, HoldId)> {
        std::iter::once(self)
            .chain(self.parts())
            .filter_map(|command| Some((command.account_id(), command.hold_id()?)))
    }

    /// The hold that it is about. The commands of a batch have their own.
    pub fn hold_id(&self) -> Option<HoldId> {
        match &self.action {
            Action::Hold(action) => Some(action.hold_id),
            Action::Capture(action) => Some(action.hold_id),
            Action::Release(action) => Some(action.hold_id),
            Action::ExpireHold(action) => Some(action.hold_id),
            _ => None,
        }
    }

    /// The earlier commands, each with the account that it was sent to, that must be known to decide it.
    pub fn reversed_command_ids(&self) -> impl Iterator<Item = (&AccountId, CommandId)> {
        std::iter::once(self)
            .chain(self.parts())
            .filter_map(|command| match &command.action {
                Action::Reverse(action) => Some((&action.account_id, action.reversed_command_id)),
                _ => None,
            })
    }

    /// The command's type, as on the wire.
    pub fn type_name(&self) -> &'static str {
        match &self.action {
            Action::CreateAccount(_) => "create_account",
            Action::Deposit(_) => "deposit",
            Action::Withdraw(_) => "withdraw",
            Action::Transfer(_) => "transfer",
            Action::FreezeAccount(_) => "freeze_account",
            Action::UnfreezeAccount(_) => "unfreeze_account",
            Action::CloseAccount(_) => "close_account",
            Action::SetOverdraftLimit(_) => "set_overdraft_limit",
            Action::UpdateAccount(_) => "update_account",
            Action::Hold(_) => "hold",
            Action::Capture(_) => "capture",
            Action::Release(_) => "release",
            Action::ExpireHold(_) => "expire_hold",
            Action::Reverse(_) => "reverse",
            Action::Post(_) => "post",
            Action::Batch(_) => "batch",
            Action::Exchange(_) => "exchange",
            Action::SetAccountRules(_) => "set_account_rules",
        }
    }

    /// What makes two commands the same: SHA-256 over the canonical JSON, with amounts freed of trailing zeros. JSON
    /// or bincode, `25` or `25.0`, order of fields and white space make no difference.
    pub fn fingerprint(&self) -> Hash {
        let canonical = json::encode_normalized(self);
        Hash::from(<[u8; 32]>::from(Sha256::digest(canonical)))
    }
}

/// The codecs let no posting and no batch through that is empty.
fn first<T>(items: &[T]) -> &T {
    items
        .first()
        .expect("a posting has entries, and a batch has commands")
}
