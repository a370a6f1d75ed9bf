//! The ledger's domain: what a command may do, which events it makes, and how both are written down.
//!
//! Owns money, accounts, commands, events, outcomes, the pure functions [`decide`] and [`Account::apply`], the hash
//! chain and the codecs. No I/O, no clock, no randomness: time is passed in, ids are derived from the command's.
//!
//! A command type is one variant of [`Action`], a function in `decide/`, one entry in `codec/json/command.rs` and one in
//! `codec/binary/`; an event type is one variant of [`EventData`], what it changes in `account.rs`, and the same in the
//! codecs. What is written once is read for ever: `tests/golden` has every form that ever was.

mod account;
mod book;
pub mod codec;
mod command;
mod decide;
mod declared;
mod event;
mod excerpt;
mod hash;
mod ids;
mod money;
mod original;
mod outcome;
mod overlay;
mod policy;
mod rejection;
mod rules;
mod schema;
mod sum;
mod timestamp;

pub use account::{Account, BrokenChain, Profile, Status};
pub use book::Book;
pub use command::{
    Action, Batch, Capture, CloseAccount, Command, Conditions, CreateAccount, Deposit, Direction,
    Entry, Exchange, ExpireHold, FreezeAccount, InvalidDirection, InvalidScope, PlaceHold, Post,
    Price, Release, Reverse, Scope, SetAccountRules, SetOverdraftLimit, Transfer, UnfreezeAccount,
    UpdateAccount, Withdraw, limits,
};
pub use decide::{Accounts, decide};
pub use declared::{Declaration, InvalidDeclaration, declare};
pub use event::{
    AccountClosed, AccountCreated, AccountRulesSet, AccountUpdated, Event, EventData,
    FreezeChanged, Hold, HoldChanged, MoneyMoved, OverdraftLimitSet, Reversal, TransferLeg,
};
pub use hash::{Hash, InvalidHash};
pub use ids::{AccountId, CommandId, EventId, HoldId, InvalidId, PostingId, TransferId, Version};
pub use money::{Currency, CurrencyCode, InvalidAmount, InvalidCurrency, Money, parse_decimal};
pub use original::{Movement, Original};
pub use outcome::{EventReference, Outcome, Verdict};
pub use policy::Policy;
pub use rejection::{Rejection, RejectionCode};
pub use rules::{DayDebits, Restrictions, Rules};
pub use schema::{SCHEMA_VERSION, too_new};
pub use sum::Sum;
pub use timestamp::{Day, InvalidTimestamp, Timestamp};
