//! The ledger's domain: what a command may do, which events it makes, and how both are written down.
//!
//! Owns money, accounts, commands, events, outcomes, the pure functions [`decide`] and [`Account::apply`], the hash
//! chain and the codecs. No I/O, no clock, no randomness: time is passed in, ids are derived from the command's.
//!
//! A command type is one variant of [`Action`], one arm in [`decide`], one entry in `codec/json.rs` and one in
//! `codec/binary.rs`. The types of DESIGN §6 that are still to come (freeze_account, unfreeze_account, close_account,
//! hold, capture, release, reverse, batch) have their place there.

mod account;
pub mod codec;
mod command;
mod decide;
mod event;
mod excerpt;
mod hash;
mod ids;
mod money;
mod outcome;
mod rejection;
mod sum;
mod timestamp;

pub use account::{Account, BrokenChain, Profile, Status};
pub use command::{Action, Command, CreateAccount, Deposit, Transfer, Withdraw, limits};
pub use decide::{Accounts, decide};
pub use event::{AccountCreated, Event, EventData, MoneyMoved, TransferLeg};
pub use hash::{Hash, InvalidHash};
pub use ids::{AccountId, CommandId, EventId, InvalidId, TransferId, Version};
pub use money::{Currency, CurrencyCode, InvalidAmount, InvalidCurrency, Money, parse_decimal};
pub use outcome::{EventReference, Outcome, Verdict};
pub use rejection::{Rejection, RejectionCode};
pub use sum::Sum;
pub use timestamp::{InvalidTimestamp, Timestamp};
