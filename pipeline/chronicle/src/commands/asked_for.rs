//! What a command asks for, in words for people.

use ledger::{
    AccountId, Action, Command, Conditions, Direction, Entry, Exchange, Price, Rules,
    UnfreezeAccount, UpdateAccount,
};
use rust_decimal::Decimal;

/// An amount, or all that there is.
fn all_or(amount: Option<Decimal>) -> String {
    amount.map_or_else(|| "all".to_owned(), |amount| amount.to_string())
}

/// A command in words, without what stands beside it: its id, description and actor.
pub(super) fn asked_for(command: &Command) -> String {
    let action = match &command.action {
        Action::CreateAccount(action) => format!(
            "create_account {} with {} {}",
            action.account_id, action.initial_balance, action.currency
        ),
        Action::Deposit(action) => format!("deposit {} into {}", action.amount, action.account_id),
        Action::Withdraw(action) => {
            format!("withdraw {} from {}", action.amount, action.account_id)
        }
        Action::Transfer(action) => format!(
            "transfer {} from {} to {}",
            action.amount, action.from_account_id, action.to_account_id
        ),
        Action::FreezeAccount(action) => format!(
            "freeze {} of {}: {}",
            action.scope.as_str(),
            action.account_id,
            action.reason
        ),
        Action::UnfreezeAccount(action) => unfreeze(action),
        Action::CloseAccount(action) => match &action.sweep_to_account_id {
            Some(to) => format!("close {}, sweeping to {to}", action.account_id),
            None => format!("close {}", action.account_id),
        },
        Action::SetOverdraftLimit(action) => format!(
            "set overdraft limit of {} to {}",
            action.account_id, action.overdraft_limit
        ),
        Action::UpdateAccount(action) => update(action),
        Action::SetAccountRules(action) => {
            format!(
                "set rules of {}: {}",
                action.account_id,
                rules(&action.rules)
            )
        }
        Action::Hold(action) => {
            let until = action
                .hold_expires_at
                .map(|expires_at| format!(" until {expires_at}"));
            format!(
                "hold {} on {} as {}{}",
                action.amount,
                action.account_id,
                action.hold_id,
                until.unwrap_or_default()
            )
        }
        Action::Capture(action) => {
            let to = action.to_account_id.as_ref().map(|to| format!(" to {to}"));
            format!(
                "capture {} of hold {} on {}{}{}",
                all_or(action.amount),
                action.hold_id,
                action.account_id,
                to.unwrap_or_default(),
                if action.is_final { ", finally" } else { "" }
            )
        }
        Action::Release(action) => format!(
            "release {} of hold {} on {}",
            all_or(action.amount),
            action.hold_id,
            action.account_id
        ),
        Action::Reverse(action) => format!(
            "reverse {} of command {}: {}",
            all_or(action.amount),
            action.reversed_command_id,
            action.reason
        ),
        Action::Post(action) => {
            let entry = |entry: &Entry| {
                let preposition = match entry.direction {
                    Direction::Debit => "from",
                    Direction::Credit => "to",
                };
                format!("{} {preposition} {}", entry.amount, entry.account_id)
            };
            some_of("post", &action.entries, entry)
        }
        Action::Exchange(action) => exchange(action),
        Action::Batch(action) => format!("batch of {} commands", action.commands.len()),
        Action::ExpireHold(action) => {
            format!("expire hold {} on {}", action.hold_id, action.account_id)
        }
    };
    let metadata = command
        .metadata
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let effective = command.effective_at.map(|at| format!("effective at {at}"));
    let words: Vec<String> = std::iter::once(action)
        .chain(effective)
        .chain(conditions(&command.conditions))
        .chain(metadata)
        .collect();
    words.join(", ")
}

fn unfreeze(action: &UnfreezeAccount) -> String {
    let reason = action.reason.as_ref().map(|reason| format!(": {reason}"));
    format!(
        "unfreeze {} of {}{}",
        action.scope.as_str(),
        action.account_id,
        reason.unwrap_or_default()
    )
}

/// What is given, and what is got for it.
fn exchange(action: &Exchange) -> String {
    let price = match action.price {
        Price::ToAmount(to_amount) => format!("for {to_amount}"),
        Price::Rate(rate) => format!("at {rate}"),
    };
    format!(
        "exchange {} from {} {price} to {}, through {} and {}",
        action.amount,
        action.from_account_id,
        action.to_account_id,
        action.from_clearing_account_id,
        action.to_clearing_account_id
    )
}

/// A list, and of a long one not all of it.
fn some_of<T>(verb: &str, items: &[T], shown: impl Fn(&T) -> String) -> String {
    const ITEMS_MAX: usize = 8;
    let some: Vec<String> = items.iter().take(ITEMS_MAX).map(shown).collect();
    let more = match items.len().saturating_sub(ITEMS_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{verb} {}{more}", some.join(", "))
}

/// What is to be known about an account from now on.
fn update(action: &UpdateAccount) -> String {
    let owner = action
        .owner_name
        .as_ref()
        .map(|owner_name| format!(", owner {owner_name}"));
    let metadata = action.account_metadata.as_ref().map(|metadata| {
        let entries: Vec<String> = metadata
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!(", account metadata {{{}}}", entries.join(", "))
    });
    format!(
        "update {}{}{}",
        action.account_id,
        owner.unwrap_or_default(),
        metadata.unwrap_or_default()
    )
}

/// The rules of an account, in words.
pub(super) fn rules<A: std::fmt::Display>(rules: &Rules<A>) -> String {
    let amount =
        |name: &str, amount: &Option<A>| amount.as_ref().map(|amount| format!("{name} {amount}"));
    let words: Vec<String> = [
        amount("minimum balance", &rules.minimum_balance),
        amount("maximum balance", &rules.maximum_balance),
        amount("debits a day up to", &rules.daily_debit_amount_max),
        rules
            .daily_debit_count_max
            .map(|count| format!("{count} debits a day at the most")),
        rules.allowed_counterparties.as_ref().map(|allowed| {
            let names: Vec<&str> = allowed.iter().map(AccountId::as_str).collect();
            match names[..] {
                [] => "no counterparties".to_owned(),
                _ => format!("counterparties {} only", names.join(" ")),
            }
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

/// What had to hold.
fn conditions(conditions: &Conditions) -> impl Iterator<Item = String> {
    let version = conditions
        .expected_version
        .map(|version| format!("expected version {version}"));
    let balance = conditions
        .if_balance_at_least
        .map(|amount| format!("if the balance is at least {amount}"));
    let not_before = conditions.not_before.map(|at| format!("not before {at}"));
    let expires_at = conditions.expires_at.map(|at| format!("expires at {at}"));
    version
        .into_iter()
        .chain(balance)
        .chain(not_before)
        .chain(expires_at)
}
