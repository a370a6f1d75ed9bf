//! Random sequences of commands, judged step by step by a model that does the same with whole numbers.
//!
//! 100,000 sequences by default. `CHRONICLE_TEST_SEQUENCES` says how many, `CHRONICLE_TEST_SEED` where to begin: the
//! sequence with the number n is made of the seed + n. A failure prints its seed and the fewest steps that still fail.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

use ledger::codec::{binary, json};
use ledger::{
    Account, AccountId, Action, Command, CreateAccount, CurrencyCode, Deposit, Event, EventData,
    Hash, Rejection, RejectionCode, Timestamp, Transfer, Version, Withdraw, decide,
};
use rust_decimal::Decimal;
use support::model::{ACCOUNTS, Amount, Ask, LARGEST, Line, Model};
use support::random::from_environment;
use support::sequence::{Step, generate};
use uuid::Uuid;

const SEQUENCES: u64 = 100_000;
const SEED: u64 = 0x00c0_ffee;
/// One sequence in so many is looked at more closely, at a cost of several times its own.
const CLOSE_LOOK_EVERY: u64 = 16;

#[test]
fn one_hundred_thousand_random_sequences_hold_every_invariant() {
    let sequences = from_environment("CHRONICLE_TEST_SEQUENCES", SEQUENCES);
    let first_seed = from_environment("CHRONICLE_TEST_SEED", SEED);
    let begin = Instant::now();
    let (next, total) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let failure: Mutex<Option<u64>> = Mutex::new(None);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut tally = Tally::default();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= sequences || failure.lock().unwrap().is_some() {
                        break;
                    }
                    let seed = first_seed.wrapping_add(number);
                    if run(&generate(seed), close_look(seed), &mut tally).is_err() {
                        failure.lock().unwrap().get_or_insert(seed);
                    }
                }
                total.lock().unwrap().add(&tally);
            });
        }
    });
    if let Some(seed) = *failure.lock().unwrap() {
        panic!("{}", describe_failure(seed));
    }
    let tally = total.into_inner().unwrap();
    println!(
        "{sequences} sequences from seed {first_seed} in {:.1} s: {tally:#?}",
        begin.elapsed().as_secs_f64()
    );
    if sequences >= 10_000 {
        tally.check_nothing_was_missed();
    }
}

/// The model must be able to disagree: otherwise the test above proves nothing.
#[test]
fn a_sequence_that_goes_wrong_is_noticed_and_made_short() {
    let steps = generate(SEED);
    let fails = |steps: &[Step]| {
        steps
            .iter()
            .any(|step| matches!(step.ask, Ask::Withdraw { .. }))
    };
    assert!(fails(&steps));
    let shortest = shortened(steps, fails);
    assert_eq!(shortest.len(), 1);
}

fn close_look(seed: u64) -> bool {
    seed.is_multiple_of(CLOSE_LOOK_EVERY)
}

/// What the sequences have met.
#[derive(Debug, Default)]
struct Tally {
    commands: u64,
    accepted: BTreeMap<&'static str, u64>,
    rejected: BTreeMap<RejectionCode, u64>,
    sent_again: u64,
    events: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.sent_again += other.sent_again;
        self.events += other.events;
        for (name, count) in &other.accepted {
            *self.accepted.entry(name).or_default() += count;
        }
        for (code, count) in &other.rejected {
            *self.rejected.entry(*code).or_default() += count;
        }
    }

    /// A sequence test that never reaches a case does not test it.
    fn check_nothing_was_missed(&self) {
        for name in ["create_account", "deposit", "withdraw", "transfer"] {
            let count = self.accepted.get(name).copied().unwrap_or(0);
            assert!(count > 1_000, "only {count} accepted {name}");
        }
        for code in RejectionCode::ALL {
            let count = self.rejected.get(&code).copied().unwrap_or(0);
            assert!(count > 100, "only {count} rejected {code}");
        }
        let accepted: u64 = self.accepted.values().sum();
        assert!(accepted * 3 > self.commands, "most commands were refused");
        assert!(self.sent_again > 1_000);
    }
}

/// A writer as small as can be: the accounts, their events, and the outcome of every command so far.
#[derive(Default)]
struct Ledger {
    accounts: HashMap<AccountId, Account>,
    events: Vec<Event>,
    outcomes: HashMap<u64, (Command, Ask, Option<u64>)>,
}

/// Runs the steps on the ledger and on the model; the error says where they differ or which invariant broke.
fn check(steps: &[Step], close: bool, tally: &mut Tally) -> Result<(), String> {
    let (mut ledger, mut model) = (Ledger::default(), Model::default());
    for (index, step) in steps.iter().enumerate() {
        check_step(&mut ledger, &mut model, step, close, tally)
            .and_then(|()| same_state(&ledger, &model))
            .map_err(|error| format!("at step {index}, {step:?}: {error}"))?;
    }
    check_history(&ledger, &model, close)
}

/// [`check`] that takes a panic for an error.
fn run(steps: &[Step], close: bool, tally: &mut Tally) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| check(steps, close, tally))).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(format!("panicked: {message:?}"))
    })
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
            let rejection = Rejection::idempotency_conflict(command.command_id);
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
    let amount = event.data.amount().value().mantissa();
    let change = match event.data {
        EventData::AccountCreated(_) | EventData::MoneyDeposited(_) => amount,
        EventData::MoneyWithdrawn(_) => -amount,
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

fn describe_failure(seed: u64) -> String {
    let close = close_look(seed);
    let fails = |steps: &[Step]| run(steps, close, &mut Tally::default()).is_err();
    let steps = shortened(generate(seed), fails);
    let reason = run(&steps, close, &mut Tally::default()).unwrap_err();
    let listing: Vec<String> = steps.iter().map(|step| format!("  {step:?}")).collect();
    format!(
        "seed {seed}: {reason}\nthe fewest steps:\n{}\nagain: CHRONICLE_TEST_SEED={seed} CHRONICLE_TEST_SEQUENCES=1 cargo test -p ledger --test random_sequences",
        listing.join("\n")
    )
}

/// Leaves out one step after the other, as long as what is left still fails.
fn shortened(mut steps: Vec<Step>, fails: impl Fn(&[Step]) -> bool) -> Vec<Step> {
    let mut index = 0;
    while index < steps.len() {
        let mut fewer = steps.clone();
        fewer.remove(index);
        if fails(&fewer) {
            steps = fewer;
            index = 0;
        } else {
            index += 1;
        }
    }
    steps
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
        expected_version: step.expected_version.map(Version::new),
    }
}
