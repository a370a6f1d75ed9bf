//! The decision: what a command does to the accounts as they are. Pure: the same accounts, command and time give the
//! same events or the same rejection.

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;

use crate::account::Account;
use crate::command::{Action, Command, CreateAccount, Transfer};
use crate::event::{AccountCreated, Event, EventData, MoneyMoved, TransferLeg};
use crate::hash::Hash;
use crate::ids::{AccountId, Version};
use crate::money::{Currency, CurrencyCode, Money};
use crate::rejection::Rejection;
use crate::timestamp::Timestamp;

/// The accounts that a decision can look at.
pub trait Accounts {
    /// The account's present state; `None` when it does not exist.
    fn account(&self, account_id: &AccountId) -> Option<&Account>;
}

impl<S: std::hash::BuildHasher> Accounts for HashMap<AccountId, Account, S> {
    fn account(&self, account_id: &AccountId) -> Option<&Account> {
        self.get(account_id)
    }
}

impl Accounts for BTreeMap<AccountId, Account> {
    fn account(&self, account_id: &AccountId) -> Option<&Account> {
        self.get(account_id)
    }
}

/// Decides a command: the events that it makes, in order, or why it is refused.
///
/// Every event gets the same `recorded_at`: `now`, or one microsecond after the newest event of the accounts concerned
/// if that is later, so that time rises within an account even when the clock does not.
///
/// Of several reasons to refuse a command, the first of these is given: `expected_version`, the same account twice, an
/// account that is there or not, the currency, the amount, the funds, overflow of a balance.
pub fn decide(
    accounts: &impl Accounts,
    command: &Command,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    check_expected_version(accounts, command)?;
    match &command.action {
        Action::CreateAccount(action) => create_account(accounts, command, action, now),
        Action::Deposit(action) => {
            let account = existing(accounts, &action.account_id)?;
            let amount = positive_amount(action.amount, action.currency, account)?;
            let event = next_event(
                command,
                0,
                now_after(now, &[account]),
                account,
                credit(command, amount, None),
            )?;
            Ok(vec![event])
        }
        Action::Withdraw(action) => {
            let account = existing(accounts, &action.account_id)?;
            let amount = positive_amount(action.amount, action.currency, account)?;
            check_funds(account, amount)?;
            let event = next_event(
                command,
                0,
                now_after(now, &[account]),
                account,
                debit(command, amount, None),
            )?;
            Ok(vec![event])
        }
        Action::Transfer(action) => transfer(accounts, command, action, now),
    }
}

fn create_account(
    accounts: &impl Accounts,
    command: &Command,
    action: &CreateAccount,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    if accounts.account(&action.account_id).is_some() {
        return Err(Rejection::account_exists(&action.account_id));
    }
    let currency = Currency::lookup(action.currency)
        .map_err(|error| Rejection::unknown_currency(action.currency, &error))?;
    let initial_balance = not_negative("initial_balance", action.initial_balance, currency)?;
    let overdraft_limit = not_negative("overdraft_limit", action.overdraft_limit, currency)?;
    check_room(&action.account_id, initial_balance, overdraft_limit)?;
    let created = AccountCreated {
        owner_name: action.owner_name.clone(),
        initial_balance,
        overdraft_limit,
        description: command.description.clone(),
        metadata: command.metadata.clone(),
    };
    let event = sealed(Event {
        event_id: command.command_id.event_id(0),
        account_id: action.account_id.clone(),
        version: Version::FIRST,
        data: EventData::AccountCreated(created),
        balance_after: initial_balance,
        command_id: command.command_id,
        actor: command.actor.clone(),
        recorded_at: now,
        prev_hash: Hash::ZERO,
        hash: Hash::ZERO,
    });
    Ok(vec![event])
}

fn transfer(
    accounts: &impl Accounts,
    command: &Command,
    action: &Transfer,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    if action.from_account_id == action.to_account_id {
        return Err(Rejection::same_account(&action.from_account_id));
    }
    let from = existing(accounts, &action.from_account_id)?;
    let to = existing(accounts, &action.to_account_id)?;
    if to.currency() != from.currency() {
        let currency = from.currency().code();
        return Err(Rejection::currency_mismatch(
            &to.account_id,
            to.currency().code(),
            currency,
        ));
    }
    let amount = positive_amount(action.amount, action.currency, from)?;
    check_funds(from, amount)?;
    let leg = |counterparty: &Account| {
        Some(TransferLeg {
            transfer_id: command.command_id.transfer_id(0),
            counterparty_account_id: counterparty.account_id.clone(),
        })
    };
    let recorded_at = now_after(now, &[from, to]);
    Ok(vec![
        next_event(
            command,
            0,
            recorded_at,
            from,
            debit(command, amount, leg(to)),
        )?,
        next_event(
            command,
            1,
            recorded_at,
            to,
            credit(command, amount, leg(from)),
        )?,
    ])
}

fn check_expected_version(accounts: &impl Accounts, command: &Command) -> Result<(), Rejection> {
    let Some(expected) = command.expected_version else {
        return Ok(());
    };
    let account_id = command.account_id();
    let actual = accounts
        .account(account_id)
        .map_or(Version::NONE, |account| account.version);
    if actual == expected {
        Ok(())
    } else if actual == Version::NONE && !matches!(command.action, Action::CreateAccount(_)) {
        // "No such account" says more than "version 0", but not to the command that opens it.
        Err(Rejection::account_not_found(account_id))
    } else {
        Err(Rejection::version_conflict(account_id, expected, actual))
    }
}

fn existing<'a>(
    accounts: &'a impl Accounts,
    account_id: &AccountId,
) -> Result<&'a Account, Rejection> {
    accounts
        .account(account_id)
        .ok_or_else(|| Rejection::account_not_found(account_id))
}

/// The amount of a movement: of the account's currency, with no more decimals than it has, above zero.
fn positive_amount(
    amount: Decimal,
    currency: Option<CurrencyCode>,
    account: &Account,
) -> Result<Money, Rejection> {
    let account_currency = account.currency();
    if let Some(code) = currency
        && code != account_currency.code()
    {
        return Err(Rejection::currency_mismatch(
            &account.account_id,
            account_currency.code(),
            code,
        ));
    }
    let money = Money::new(amount, account_currency)
        .map_err(|error| Rejection::invalid_amount("amount", &error))?;
    if money.is_positive() {
        Ok(money)
    } else {
        Err(Rejection::amount_out_of_range(
            "amount",
            amount,
            "more than zero",
        ))
    }
}

fn not_negative(field: &str, amount: Decimal, currency: Currency) -> Result<Money, Rejection> {
    let money =
        Money::new(amount, currency).map_err(|error| Rejection::invalid_amount(field, &error))?;
    if money.is_negative() {
        Err(Rejection::amount_out_of_range(
            field,
            amount,
            "zero or more",
        ))
    } else {
        Ok(money)
    }
}

/// The invariant `no_overdraft`.
fn check_funds(account: &Account, amount: Money) -> Result<(), Rejection> {
    let overflow = |_| Rejection::balance_overflow(&account.account_id);
    let available = account.available().map_err(overflow)?;
    let rest = available.checked_sub(amount).map_err(overflow)?;
    if rest.is_negative() {
        Err(Rejection::insufficient_funds(
            &account.account_id,
            available,
            amount,
        ))
    } else {
        Ok(())
    }
}

/// What is available must stay a number, too: a balance up to the last digit would make every later debit fail.
fn check_room(
    account_id: &AccountId,
    balance: Money,
    overdraft_limit: Money,
) -> Result<(), Rejection> {
    balance
        .checked_add(overdraft_limit)
        .map(drop)
        .map_err(|_| Rejection::balance_overflow(account_id))
}

fn credit(command: &Command, amount: Money, transfer: Option<TransferLeg>) -> EventData {
    EventData::MoneyDeposited(moved(command, amount, transfer))
}

fn debit(command: &Command, amount: Money, transfer: Option<TransferLeg>) -> EventData {
    EventData::MoneyWithdrawn(moved(command, amount, transfer))
}

fn moved(command: &Command, amount: Money, transfer: Option<TransferLeg>) -> MoneyMoved {
    MoneyMoved {
        amount,
        transfer,
        description: command.description.clone(),
        metadata: command.metadata.clone(),
    }
}

/// The invariant `monotonic_time`: never before, and never at, the newest event of an account concerned.
fn now_after(now: Timestamp, accounts: &[&Account]) -> Timestamp {
    accounts
        .iter()
        .map(|account| account.last_recorded_at.next_microsecond())
        .fold(now, Timestamp::max)
}

/// The `index`th event of the command: the account's next version.
fn next_event(
    command: &Command,
    index: u32,
    recorded_at: Timestamp,
    account: &Account,
    data: EventData,
) -> Result<Event, Rejection> {
    let balance_after = match &data {
        EventData::AccountCreated(created) => Ok(created.initial_balance),
        EventData::MoneyDeposited(moved) => account.balance.checked_add(moved.amount),
        EventData::MoneyWithdrawn(moved) => account.balance.checked_sub(moved.amount),
    }
    .map_err(|_| Rejection::balance_overflow(&account.account_id))?;
    check_room(&account.account_id, balance_after, account.overdraft_limit)?;
    Ok(sealed(Event {
        event_id: command.command_id.event_id(index),
        account_id: account.account_id.clone(),
        version: account.version.next(),
        data,
        balance_after,
        command_id: command.command_id,
        actor: command.actor.clone(),
        recorded_at,
        prev_hash: account.last_hash,
        hash: Hash::ZERO,
    }))
}

/// The event with its hash.
fn sealed(mut event: Event) -> Event {
    event.hash = event.compute_hash();
    event
}
