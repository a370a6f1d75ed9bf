//! Subjects: where commands go in, and where events and outcomes come out.

use ledger::{AccountId, CommandId};

/// What commands are published under: one token follows, the account debited (or the only one).
pub const COMMANDS: &str = "ledger.commands";
/// What events are published under: one token follows, the account.
pub const EVENTS: &str = "ledger.events";
/// What events are published under while the feed is being restored; the stream stores them under [`EVENTS`].
pub const RESTORED_EVENTS: &str = "ledger.restored_events";
/// What the feed takes while a restoration of it is given up: nobody publishes there.
pub const ABANDONED_EVENTS: &str = "ledger.abandoned_events";
/// What outcomes are published under: one token follows, the command.
pub const OUTCOMES: &str = "ledger.outcomes";
/// What dead letters are published under: one token follows, the code of the reason.
pub const DEAD_LETTERS: &str = "ledger.dead_letters";

/// Where a command about this account is published.
pub fn command(account_id: &AccountId) -> String {
    format!("{COMMANDS}.{account_id}")
}

/// Where an event of this account is published.
pub fn event(account_id: &AccountId) -> String {
    format!("{EVENTS}.{account_id}")
}

/// Where an event of this account is published while the feed is being restored.
pub fn restored_event(account_id: &AccountId) -> String {
    format!("{RESTORED_EVENTS}.{account_id}")
}

/// Where the outcome of this command is published.
pub fn outcome(command_id: CommandId) -> String {
    format!("{OUTCOMES}.{command_id}")
}

/// The account that a command's subject names: its last token.
pub fn account_of(subject: &str) -> &str {
    subject.rsplit('.').next().unwrap_or_default()
}

/// The subjects of one partition inside the commands stream, after the stream has put the partition in.
pub fn partition_filter(partition: u32) -> String {
    format!("{COMMANDS}.{partition}.*")
}
