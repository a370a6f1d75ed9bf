//! What is asked for, as a command.

use std::collections::{BTreeMap, BTreeSet};

use ledger::{
    AccountId, Action, Batch, Capture, CloseAccount, Command, CommandId, Conditions, CreateAccount,
    CurrencyCode, Deposit, Direction, Entry, Exchange, ExpireHold, FreezeAccount, HoldId,
    PlaceHold, Post, Price, Release, Reverse, Rules, Scope, SetAccountRules, SetOverdraftLimit,
    Timestamp, Transfer, UnfreezeAccount, UpdateAccount, Version, Withdraw,
};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::ask::{self, Allowed, Amount, Ask, LARGEST, Limits, Reach, Step, Terms};
use crate::names::name_of;

pub(crate) fn hold_id(number: usize) -> HoldId {
    Uuid::from_u128(u128::try_from(number).unwrap()).into()
}

pub(crate) fn command_id(number: u64) -> CommandId {
    Uuid::from_u128(u128::from(number)).into()
}

pub(crate) fn owner_name(number: u8) -> String {
    format!("owner {number}")
}

pub(crate) fn reason(number: u8) -> String {
    format!("reason {number}")
}

/// An account's own metadata; 0 stands for none.
pub(crate) fn notes(number: u8) -> BTreeMap<String, String> {
    let entry = (number != 0).then(|| ("note".to_owned(), number.to_string()));
    entry.into_iter().collect()
}

/// `decide` is given some commands that no decoder lets through: more than 27 digits, versions beyond 2^53.
pub(crate) fn fits_the_wire(step: &Step) -> bool {
    let mut ask = step.ask.clone();
    let parts = step.ask.parts().iter().map(|part| part.terms);
    let terms: Vec<Terms> = std::iter::once(step.terms).chain(parts).collect();
    let amounts = ask.amounts().into_iter().map(|amount| *amount);
    let mut amounts = amounts.chain(terms.iter().filter_map(|terms| terms.balance_at_least));
    let mut versions = terms.iter().filter_map(|terms| terms.expected_version);
    amounts.all(|amount| amount.digits.abs() <= LARGEST)
        && versions.all(|version| version <= Version::MAX.get())
}

pub(crate) fn command_of(step: &Step) -> Command {
    command(command_id(step.id), &step.ask, step.terms)
}

fn command(command_id: CommandId, ask: &Ask, terms: Terms) -> Command {
    let action = match ask {
        Ask::Batch { parts } => {
            let parts = parts.iter();
            let commands = parts.map(|part| command(command_id, &part.ask, part.terms));
            Action::Batch(Batch {
                commands: commands.collect(),
            })
        }
        ask => action_of(ask),
    };
    Command {
        command_id,
        action,
        description: None,
        actor: None,
        metadata: BTreeMap::new(),
        conditions: Conditions {
            expected_version: terms.expected_version.map(Version::new),
            if_balance_at_least: terms.balance_at_least.map(decimal),
            not_before: terms.not_before.map(Timestamp::from_unix_microseconds),
            expires_at: terms.expires_at.map(Timestamp::from_unix_microseconds),
        },
        effective_at: terms.effective_at.map(Timestamp::from_unix_microseconds),
    }
}

fn decimal(amount: Amount) -> Decimal {
    Decimal::from_i128_with_scale(amount.digits, amount.scale)
}

fn code(code: &str) -> CurrencyCode {
    code.parse().unwrap()
}

fn scope(reach: Reach) -> Scope {
    match (reach.debits, reach.credits) {
        (true, false) => Scope::Debits,
        (false, true) => Scope::Credits,
        _ => Scope::All,
    }
}

/// The accounts that an account may deal with.
pub(crate) fn names(allowed: Allowed) -> BTreeSet<AccountId> {
    allowed.accounts().map(|one| name_of(one).clone()).collect()
}

fn rules(limits: &Limits) -> Rules<Decimal> {
    Rules {
        allowed_counterparties: limits.allowed.map(names),
        daily_debit_amount_max: limits.daily_amount.map(decimal),
        daily_debit_count_max: limits.daily_count,
        maximum_balance: limits.maximum.map(decimal),
        minimum_balance: limits.minimum.map(decimal),
    }
}

#[expect(clippy::too_many_lines, reason = "one arm per type of command")]
fn action_of(ask: &Ask) -> Action {
    let account_id = name_of(ask.account()).clone();
    let other = ask.other().map(|other| name_of(other).clone());
    match *ask {
        Ask::Open {
            currency,
            initial,
            overdraft,
            ..
        } => Action::CreateAccount(CreateAccount {
            account_id,
            owner_name: owner_name(0),
            currency: code(currency),
            initial_balance: decimal(initial),
            overdraft_limit: decimal(overdraft),
        }),
        Ask::Deposit {
            amount, currency, ..
        } => Action::Deposit(Deposit {
            account_id,
            amount: decimal(amount),
            currency: currency.map(code),
        }),
        Ask::Withdraw {
            amount, currency, ..
        } => Action::Withdraw(Withdraw {
            account_id,
            amount: decimal(amount),
            currency: currency.map(code),
        }),
        Ask::Transfer {
            to,
            amount,
            currency,
            ..
        } => Action::Transfer(Transfer {
            from_account_id: account_id,
            to_account_id: name_of(to).clone(),
            amount: decimal(amount),
            currency: currency.map(code),
        }),
        Ask::Freeze {
            reach, reason: why, ..
        } => Action::FreezeAccount(FreezeAccount {
            account_id,
            scope: scope(reach),
            reason: reason(why),
        }),
        Ask::Unfreeze {
            reach, reason: why, ..
        } => Action::UnfreezeAccount(UnfreezeAccount {
            account_id,
            scope: scope(reach),
            reason: why.map(reason),
        }),
        Ask::Close { .. } => Action::CloseAccount(CloseAccount {
            account_id,
            sweep_to_account_id: other,
        }),
        Ask::Limit { overdraft, .. } => Action::SetOverdraftLimit(SetOverdraftLimit {
            account_id,
            overdraft_limit: decimal(overdraft),
        }),
        Ask::Update {
            owner,
            notes: known,
            ..
        } => Action::UpdateAccount(UpdateAccount {
            account_id,
            owner_name: owner.map(owner_name),
            account_metadata: known.map(notes),
        }),
        Ask::Hold {
            hold,
            amount,
            currency,
            expires_at,
            ..
        } => Action::Hold(PlaceHold {
            account_id,
            hold_id: hold_id(hold),
            amount: decimal(amount),
            currency: currency.map(code),
            hold_expires_at: expires_at.map(Timestamp::from_unix_microseconds),
        }),
        Ask::Capture {
            hold,
            amount,
            is_final,
            ..
        } => Action::Capture(Capture {
            account_id,
            hold_id: hold_id(hold),
            amount: amount.map(decimal),
            is_final,
            to_account_id: other,
        }),
        Ask::Release { hold, amount, .. } => Action::Release(Release {
            account_id,
            hold_id: hold_id(hold),
            amount: amount.map(decimal),
        }),
        Ask::Expire { hold, .. } => Action::ExpireHold(ExpireHold {
            account_id,
            hold_id: hold_id(hold),
        }),
        Ask::Reverse {
            command,
            amount,
            reason: why,
            ..
        } => Action::Reverse(Reverse {
            account_id,
            reversed_command_id: command_id(command),
            amount: amount.map(decimal),
            reason: reason(why),
        }),
        Ask::Post { ref entries } => {
            let entry = |entry: &ask::Entry| Entry {
                account_id: name_of(entry.account).clone(),
                direction: if entry.is_debit {
                    Direction::Debit
                } else {
                    Direction::Credit
                },
                amount: decimal(entry.amount),
                currency: entry.currency.map(code),
            };
            Action::Post(Post {
                entries: entries.iter().map(entry).collect(),
            })
        }
        Ask::Exchange {
            to,
            taker,
            giver,
            amount,
            price,
            ..
        } => Action::Exchange(Exchange {
            from_account_id: account_id,
            to_account_id: name_of(to).clone(),
            from_clearing_account_id: name_of(taker).clone(),
            to_clearing_account_id: name_of(giver).clone(),
            amount: decimal(amount),
            price: match price {
                ask::Price::ToAmount(to_amount) => Price::ToAmount(decimal(to_amount)),
                ask::Price::Rate(rate) => Price::Rate(decimal(rate)),
            },
        }),
        Ask::Rules { ref limits, .. } => Action::SetAccountRules(SetAccountRules {
            account_id,
            rules: rules(limits),
        }),
        Ask::Batch { .. } => unreachable!("a batch is made of its commands"),
    }
}
