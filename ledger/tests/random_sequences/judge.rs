//! The judge: runs the steps of a sequence on the ledger and on the model, and compares after each.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use ledger::codec::{binary, json};
use ledger::{
    Account, AccountId, Action, Command, Conditions, CreateAccount, CurrencyCode, Deposit, Event,
    EventData, Hash, Rejection, Timestamp, Transfer, Version, Withdraw, decide,
};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::model::{ACCOUNTS, Amount, Ask, LARGEST, Line, Model};
use crate::sequence::Step;
use crate::tally::Tally;

/// A writer as small as can be: the accounts, their events, and the outcome of every command so far.
#[derive(Default)]
struct Ledger {
    accounts: HashMap<AccountId, Account>,
    events: Vec<Event>,
    outcomes: HashMap<u64, (Command, Ask, Option<u64>)>,
}

/// Runs the steps on the ledger and on the model; the error says where they differ or which invariant broke.
pub(crate) fn check(steps: &[Step], close: bool, tally: &mut Tally) -> Result<(), String> {
    let (mut ledger, mut model) = (Ledger::default(), Model::default());
    for (index, step) in steps.iter().enumerate() {
        check_step(&mut ledger, &mut model, step, close, tally)
            .and_then(|()| same_state(&ledger, &model))
            .map_err(|error| format!("at step {index}, {step:?}: {error}"))?;
    }
    check_history(&ledger, &model, close)
}

fn check_step(
    ledger: &mut Ledger,
    model: &mut Model,
    step: &Step,
    close: bool,
    tally: &mut Tally,
) -> Result<(), String> {
    let command = command_of(step);
    tally.commands += 1;
    if let Some((first, ask, expected_version)) = ledger.outcomes.get(&step.id) {
        // The domain's share of one_outcome: the fingerprint tells a repetition from a theft of the id.
        tally.sent_again += 1;
        let same = *ask == step.ask && *expected_version == step.expected_version;
        if !same {
            let rejection = Rejection::idempotency_conflict(&command, None);
            *tally.rejected.entry(rejection.code).or_default() += 1;
        }
        return equal(
            "same fingerprint as the first",
            first.fingerprint() == command.fingerprint(),
            same,
        );
    }
    let now = Timestamp::from_unix_microseconds(step.now);
    let decision = decide(&ledger.accounts, &command, now);
    if close && fits_the_wire(step) {
        check_decision_again(&ledger.accounts, &command, now, &decision)?;
    }
    match (
        decision,
        model.process(step.ask, step.expected_version, step.now),
    ) {
        (Ok(events), Ok(lines)) => {
            *tally.accepted.entry(command.type_name()).or_default() += 1;
            equal("events", events.len(), lines.len())?;
            for ((index, event), line) in (0..).zip(&events).zip(&lines) {
                check_event(event, line, &command, index)?;
            }
            for event in &events {
                let state = ledger.accounts.remove(&event.account_id);
                let account = Account::fold(state, event).map_err(|error| error.to_string())?;
                ledger.accounts.insert(event.account_id.clone(), account);
            }
            tally.events += u64::try_from(events.len()).unwrap_or(0);
            ledger.events.extend(events);
        }
        (Err(rejection), Err(code)) => {
            *tally.rejected.entry(code).or_default() += 1;
            equal("rejection", rejection.code, code)?;
        }
        (decision, judgement) => {
            return Err(format!("decide: {decision:?}\nmodel: {judgement:?}"));
        }
    }
    let known = (command, step.ask, step.expected_version);
    ledger.outcomes.insert(step.id, known);
    Ok(())
}

/// `decide` is given some commands that no decoder lets through: more than 27 digits, versions beyond 2^53.
fn fits_the_wire(step: &Step) -> bool {
    let amounts = match step.ask {
        Ask::Open {
            initial, overdraft, ..
        } => [initial, overdraft],
        Ask::Deposit { amount, .. }
        | Ask::Withdraw { amount, .. }
        | Ask::Transfer { amount, .. } => [amount; 2],
    };
    amounts.iter().all(|amount| amount.digits.abs() <= LARGEST)
        && step.expected_version.unwrap_or(0) <= Version::MAX.get()
}

/// The same decision from the command as it comes over the wire, in both encodings.
fn check_decision_again(
    accounts: &HashMap<AccountId, Account>,
    command: &Command,
    now: Timestamp,
    decision: &Result<Vec<Event>, Rejection>,
) -> Result<(), String> {
    for received in [
        json::decode_command(&json::encode_command(command)),
        binary::decode_command(&binary::encode_command(command)),
    ] {
        let received = received.map_err(|error| error.to_string())?;
        equal("decision", &decide(accounts, &received, now), decision)?;
    }
    Ok(())
}

fn check_event(event: &Event, line: &Line, command: &Command, index: u32) -> Result<(), String> {
    let amount = event.data.amount().unwrap().value().mantissa();
    let change = match event.data {
        EventData::AccountCreated(_) | EventData::MoneyDeposited(_) => amount,
        EventData::MoneyWithdrawn(_) => -amount,
        _ => return Err(format!("no such event is asked for: {event:?}")),
    };
    let transfer = event.data.transfer();
    let counterparty = transfer.map(|leg| &leg.counterparty_account_id);
    equal("account", &event.account_id, name_of(line.account))?;
    equal("version", event.version.get(), line.version)?;
    equal("change", change, line.change)?;
    equal(
        "balance",
        event.balance_after.value().mantissa(),
        line.balance,
    )?;
    equal(
        "recorded_at",
        event.recorded_at.unix_microseconds(),
        line.recorded_at,
    )?;
    equal("counterparty", counterparty, line.counterparty.map(name_of))?;
    equal(
        "event id",
        event.event_id,
        command.command_id.event_id(index),
    )?;
    equal("command id", event.command_id, command.command_id)
}

/// Every account of the ledger is as the model has it, which also says that a rejection has changed nothing; and
/// `no_overdraft`, `conservation`.
fn same_state(ledger: &Ledger, model: &Model) -> Result<(), String> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for (number, book) in model.books.iter().enumerate() {
        let account = ledger.accounts.get(name_of(number));
        let (Some(account), Some(book)) = (account, book) else {
            equal("account is there", account.is_some(), book.is_some())?;
            continue;
        };
        let balance = account.balance.value().mantissa();
        equal(
            "scale of the balance",
            account.balance.value().scale(),
            book.exponent,
        )?;
        equal("balance", balance, book.balance)?;
        equal(
            "overdraft limit",
            account.overdraft_limit.value().mantissa(),
            book.overdraft,
        )?;
        equal("version", account.version.get(), book.version)?;
        equal(
            "last_recorded_at",
            account.last_recorded_at.unix_microseconds(),
            book.last_recorded_at,
        )?;
        if balance + account.overdraft_limit.value().mantissa() < 0 {
            return Err(format!("no_overdraft: {account:?}"));
        }
        *sums.entry(book.currency).or_default() += balance;
    }
    let sums_by_commands = model.from_outside.iter();
    for (currency, expected) in sums_by_commands {
        let sum = sums.get(currency).copied().unwrap_or(0);
        equal("conservation", (currency, sum), (currency, *expected))?;
    }
    Ok(())
}

/// What can be said of the events alone: `gapless_versions`, `monotonic_time`, the hash chain, and that their fold is
/// the state.
fn check_history(ledger: &Ledger, model: &Model, close: bool) -> Result<(), String> {
    for number in 0..ACCOUNTS {
        let of_account = |event: &&Event| event.account_id == *name_of(number);
        let mut state: Option<Account> = None;
        let (mut version, mut hash) = (0, Hash::ZERO);
        let mut last_recorded_at = None;
        for event in ledger.events.iter().filter(of_account) {
            version += 1;
            equal("gapless_versions", event.version.get(), version)?;
            equal("prev_hash", event.prev_hash, hash)?;
            if last_recorded_at >= Some(event.recorded_at) {
                return Err(format!("monotonic_time: {event:?}"));
            }
            (hash, last_recorded_at) = (event.hash, Some(event.recorded_at));
            let as_read = if close { as_read(event)? } else { None };
            let event = as_read.as_ref().unwrap_or(event);
            let account = Account::fold(state, event).map_err(|error| error.to_string())?;
            state = Some(account);
        }
        equal("fold", state.as_ref(), ledger.accounts.get(name_of(number)))?;
        equal(
            "versions",
            version,
            model.books[number].map_or(0, |book| book.version),
        )?;
    }
    Ok(())
}

/// The event as it comes back from its encodings, its hash checked.
fn as_read(event: &Event) -> Result<Option<Event>, String> {
    event.check_hash().map_err(|error| error.to_string())?;
    let from_json = json::decode_event(&json::encode_event(event));
    let from_binary = binary::decode_event(&binary::encode_event(event));
    equal("event from JSON", from_json.as_ref(), Ok(event))?;
    equal("event from bincode", from_binary.as_ref(), Ok(event))?;
    Ok(from_json.ok())
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "so that a call says what is equal and no more"
)]
fn equal<T: PartialEq + std::fmt::Debug>(what: &str, ledger: T, model: T) -> Result<(), String> {
    if ledger == model {
        Ok(())
    } else {
        Err(format!(
            "{what}: the ledger has {ledger:?}, the model {model:?}"
        ))
    }
}

fn name_of(number: usize) -> &'static AccountId {
    static NAMES: LazyLock<[AccountId; ACCOUNTS]> =
        LazyLock::new(|| ["A", "B", "C", "D"].map(|name| name.parse().unwrap()));
    &NAMES[number]
}

fn command_of(step: &Step) -> Command {
    let decimal = |amount: Amount| Decimal::from_i128_with_scale(amount.digits, amount.scale);
    let code = |code: &str| code.parse::<CurrencyCode>().unwrap();
    let action = match step.ask {
        Ask::Open {
            account,
            currency,
            initial,
            overdraft,
        } => Action::CreateAccount(CreateAccount {
            account_id: name_of(account).clone(),
            owner_name: "Ada".to_owned(),
            currency: code(currency),
            initial_balance: decimal(initial),
            overdraft_limit: decimal(overdraft),
        }),
        Ask::Deposit {
            account,
            amount,
            currency,
        } => Action::Deposit(Deposit {
            account_id: name_of(account).clone(),
            amount: decimal(amount),
            currency: currency.map(code),
        }),
        Ask::Withdraw {
            account,
            amount,
            currency,
        } => Action::Withdraw(Withdraw {
            account_id: name_of(account).clone(),
            amount: decimal(amount),
            currency: currency.map(code),
        }),
        Ask::Transfer {
            from,
            to,
            amount,
            currency,
        } => Action::Transfer(Transfer {
            from_account_id: name_of(from).clone(),
            to_account_id: name_of(to).clone(),
            amount: decimal(amount),
            currency: currency.map(code),
        }),
    };
    Command {
        command_id: Uuid::from_u128(u128::from(step.id)).into(),
        action,
        description: None,
        actor: None,
        metadata: BTreeMap::new(),
        conditions: Conditions {
            expected_version: step.expected_version.map(Version::new),
            ..Conditions::default()
        },
    }
}
