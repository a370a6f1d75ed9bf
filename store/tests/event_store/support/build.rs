//! Commands, in one line each.

use std::collections::BTreeMap;

use ledger::{
    AccountId, Action, Batch, Capture, Command, Conditions, CreateAccount, CurrencyCode, Deposit,
    Direction, Entry, FreezeAccount, HoldId, PlaceHold, Post, Release, Reverse, Scope, Timestamp,
    Transfer, Version, Withdraw,
};
use rust_decimal::Decimal;
use uuid::Uuid;

/// An account id that nobody has yet.
pub(crate) fn new_account_id(name: &str) -> AccountId {
    format!("{name}-{}", Uuid::new_v4().simple())
        .parse()
        .unwrap()
}

pub(crate) fn create(account_id: &AccountId, initial_balance: &str) -> Command {
    create_with(account_id, initial_balance, "USD", "0")
}

pub(crate) fn create_with(
    account_id: &AccountId,
    initial_balance: &str,
    currency: &str,
    overdraft_limit: &str,
) -> Command {
    command(Action::CreateAccount(CreateAccount {
        account_id: account_id.clone(),
        owner_name: "Ada Lovelace".to_owned(),
        currency: code(currency),
        initial_balance: decimal(initial_balance),
        overdraft_limit: decimal(overdraft_limit),
    }))
}

pub(crate) fn deposit(account_id: &AccountId, amount: &str) -> Command {
    command(Action::Deposit(Deposit {
        account_id: account_id.clone(),
        amount: decimal(amount),
        currency: None,
    }))
}

pub(crate) fn withdraw(account_id: &AccountId, amount: &str) -> Command {
    command(Action::Withdraw(Withdraw {
        account_id: account_id.clone(),
        amount: decimal(amount),
        currency: None,
    }))
}

pub(crate) fn transfer(from: &AccountId, to: &AccountId, amount: &str) -> Command {
    command(Action::Transfer(Transfer {
        from_account_id: from.clone(),
        to_account_id: to.clone(),
        amount: decimal(amount),
        currency: None,
    }))
}

pub(crate) fn hold(account_id: &AccountId, hold_id: HoldId, amount: &str) -> Command {
    command(Action::Hold(PlaceHold {
        account_id: account_id.clone(),
        hold_id,
        amount: decimal(amount),
        currency: None,
        hold_expires_at: None,
    }))
}

pub(crate) fn capture(account_id: &AccountId, hold_id: HoldId, amount: &str) -> Command {
    command(Action::Capture(Capture {
        account_id: account_id.clone(),
        hold_id,
        amount: Some(decimal(amount)),
        is_final: false,
        to_account_id: None,
    }))
}

pub(crate) fn release(account_id: &AccountId, hold_id: HoldId) -> Command {
    command(Action::Release(Release {
        account_id: account_id.clone(),
        hold_id,
        amount: None,
    }))
}

pub(crate) fn freeze(account_id: &AccountId, scope: Scope) -> Command {
    command(Action::FreezeAccount(FreezeAccount {
        account_id: account_id.clone(),
        scope,
        reason: "a court order".to_owned(),
    }))
}

/// Commands of which all are done, or none.
pub(crate) fn batch(commands: impl IntoIterator<Item = Command>) -> Command {
    let whole = command(Action::Batch(Batch {
        commands: Vec::new(),
    }));
    let part = |part: Command| Command {
        command_id: whole.command_id,
        ..part
    };
    let commands = commands.into_iter().map(part).collect();
    Command {
        action: Action::Batch(Batch { commands }),
        ..whole
    }
}

/// A posting: below zero what is debited, above what is credited.
pub(crate) fn post(entries: &[(&AccountId, &str)]) -> Command {
    let entry = |(account_id, amount): &(&AccountId, &str)| Entry {
        account_id: (*account_id).clone(),
        direction: if amount.starts_with('-') {
            Direction::Debit
        } else {
            Direction::Credit
        },
        amount: decimal(amount).abs(),
        currency: None,
    };
    command(Action::Post(Post {
        entries: entries.iter().map(entry).collect(),
    }))
}

/// A hold's id that nobody has yet.
pub(crate) fn new_hold_id() -> HoldId {
    Uuid::new_v4().into()
}

/// A command with a new id and nothing but its action.
pub(crate) fn command(action: Action) -> Command {
    Command {
        command_id: Uuid::new_v4().into(),
        action,
        description: None,
        actor: None,
        metadata: BTreeMap::new(),
        conditions: Conditions::default(),
        effective_at: None,
    }
}

/// The command with a business date.
pub(crate) fn dated(command: Command, effective_at: Timestamp) -> Command {
    Command {
        effective_at: Some(effective_at),
        ..command
    }
}

/// The command, if the account has that version.
pub(crate) fn expecting(command: Command, version: u64) -> Command {
    Command {
        conditions: Conditions {
            expected_version: Some(Version::new(version)),
            ..Conditions::default()
        },
        ..command
    }
}

/// Another command under the same id.
pub(crate) fn under_the_id_of(first: &Command, other: Command) -> Command {
    Command {
        command_id: first.command_id,
        ..other
    }
}

pub(crate) fn decimal(text: &str) -> Decimal {
    ledger::parse_decimal(text).unwrap()
}

pub(crate) fn code(text: &str) -> CurrencyCode {
    text.parse().unwrap()
}

pub(crate) fn reverse(original: &Command, amount: Option<&str>) -> Command {
    command(Action::Reverse(Reverse {
        account_id: original.account_id().clone(),
        reversed_command_id: original.command_id,
        amount: amount.map(decimal),
        reason: "a mistake".to_owned(),
    }))
}
