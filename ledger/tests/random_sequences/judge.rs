//! The judge: runs the steps of a sequence on the ledger and on the model, and compares after each.

use std::collections::{BTreeMap, HashMap};

use ledger::codec::{binary, json};
use ledger::{
    Account, Accounts, Book, Command, Event, EventData, Original, Policy, Rejection, RejectionCode,
    Timestamp, decide,
};

use crate::ask::{Ask, HOLDS, Step, Terms};
use crate::combined::{count_combined, count_refused_combined};
use crate::history::{check_history, count_edges, count_refusals};
use crate::model::{self, Line, Model, Refused};
use crate::names::name_of;
use crate::reversals::{
    count_refused_reversal, count_reversal, is_pushed_by_the_other, same_reversal,
};
use crate::rules::{books, count_refused_rules, count_rules};
use crate::same::{equal, same_account, same_hold};
use crate::sequence::ACCOUNTS;
use crate::tally::Tally;
use crate::wire::{command_of, fits_the_wire, hold_id};

/// A writer as small as can be: the book, its events, and the outcome of every command so far.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) book: Book,
    pub(crate) events: Vec<Event>,
    outcomes: HashMap<u64, (Command, Ask, Terms)>,
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
    if let Some((first, ask, terms)) = ledger.outcomes.get(&step.id) {
        let same = *ask == step.ask && *terms == step.terms;
        tally.sent_again += 1;
        if !same {
            let code = RejectionCode::IdempotencyConflict;
            *tally.rejected.entry(code).or_default() += 1;
        }
        return check_sent_again(first, &command, same);
    }
    let now = Timestamp::from_unix_microseconds(step.now);
    let decision = decide(&ledger.book, &command, now, &Policy::default());
    if close && fits_the_wire(step) {
        check_decision_again(&ledger.book, &command, now, &decision)?;
    }
    let before = model.known(step.ask.account()).copied();
    let is_one = step.ask.parts().is_empty()
        && !matches!(
            step.ask,
            Ask::Post { .. } | Ask::Reverse { .. } | Ask::Exchange { .. }
        );
    let books_before = books(model);
    let whole_before = (!is_one).then(|| model.clone());
    let is_pushed = is_pushed_by_the_other(step, model);
    let judgement = model.process_named(step.id, &step.ask, step.terms, step.now);
    match (decision, judgement) {
        (Ok(events), Ok(lines)) => {
            *tally.accepted.entry(command.type_name()).or_default() += 1;
            equal("events", events.len(), lines.len())?;
            for ((index, event), line) in (0..).zip(&events).zip(&lines) {
                check_event(event, line, &command, index)?;
                *tally.events.entry(event.data.type_name()).or_default() += 1;
            }
            for event in &events {
                let applied = ledger.book.apply(event);
                applied.map_err(|error| error.to_string())?;
            }
            let original = Original::of(&events).ok_or("a command without events")?;
            ledger.book.insert_original(original);
            count_edges(step, before.as_ref(), &lines, tally);
            count_reversal(step, &lines, model, tally);
            count_rules(step, &lines, &books_before, tally);
            if let Some(before) = &whole_before {
                count_combined(step, &lines, before, tally);
            }
            if is_pushed {
                tally.meet("a reversal was pushed behind the other account's newest event");
            }
            ledger.events.extend(events);
        }
        (Err(rejection), Err(code)) => {
            *tally.rejected.entry(code).or_default() += 1;
            equal("rejection", rejection.code, code)?;
            check_rejection(&rejection, &command, model.refused)?;
            let at = model.recorded_at(&step.ask, step.now);
            count_refusals(step, at, model, tally);
            count_refused_reversal(step, code, model, tally);
            count_refused_combined(step, code, model, tally);
            count_refused_rules(step, code, model, tally);
        }
        (decision, judgement) => {
            return Err(format!("decide: {decision:?}\nmodel: {judgement:?}"));
        }
    }
    let known = (command, step.ask.clone(), step.terms);
    ledger.outcomes.insert(step.id, known);
    Ok(())
}

/// The domain's share of `one_outcome`: the fingerprint tells a repetition from a theft of the id, and the rejection
/// says what is different.
fn check_sent_again(first: &Command, command: &Command, same: bool) -> Result<(), String> {
    equal(
        "same fingerprint as the first",
        first.fingerprint() == command.fingerprint(),
        same,
    )?;
    let rejection = Rejection::idempotency_conflict(command, Some(first));
    equal(
        "no field differs",
        rejection.data["fields"].is_empty(),
        same,
    )
}

/// Only what the reference says a code can have, and which part of the command it is about.
fn check_rejection(
    rejection: &Rejection,
    command: &Command,
    refused: Refused,
) -> Result<(), String> {
    let of = |name| rejection.data.get(name).cloned();
    let text = |number: Option<usize>| number.map(|number| number.to_string());
    equal("refused command", of("command"), text(refused.part))?;
    equal("refused entry", of("entry"), text(refused.entry))?;
    let part = refused.part.map_or_else(String::new, |part| {
        format!("commands[{part}] ({}): ", command.parts()[part].type_name())
    });
    let entry = refused
        .entry
        .map_or_else(String::new, |entry| format!("entries[{entry}]: "));
    let prefix = part + &entry;
    equal("message", rejection.message.starts_with(&prefix), true)?;
    let known = rejection.code.data_names();
    let strange =
        |name: &&String| !known.contains(&name.as_str()) && *name != "command" && *name != "entry";
    match rejection.data.keys().find(strange) {
        None if !rejection.message.is_empty() => Ok(()),
        _ => Err(format!(
            "the reference has no such rejection: {rejection:?}"
        )),
    }
}

/// The same decision from the command as it comes over the wire, in both encodings.
fn check_decision_again(
    book: &Book,
    command: &Command,
    now: Timestamp,
    decision: &Result<Vec<Event>, Rejection>,
) -> Result<(), String> {
    for received in [
        json::decode_command(&json::encode_command(command)),
        binary::decode_command(&binary::encode_command(command)),
    ] {
        let received = received.map_err(|error| error.to_string())?;
        equal(
            "decision",
            &decide(book, &received, now, &Policy::default()),
            decision,
        )?;
    }
    Ok(())
}

fn check_event(event: &Event, line: &Line, command: &Command, index: u32) -> Result<(), String> {
    let units = |money: ledger::Money| money.value().mantissa();
    let transfer = event.data.transfer();
    let counterparty = transfer.map(|leg| &leg.counterparty_account_id);
    equal("account", &event.account_id, name_of(line.account))?;
    equal("version", event.version.get(), line.version)?;
    equal("type", event.data.type_name(), line.what)?;
    equal("amount", event.data.amount().map(units), line.amount)?;
    equal("balance", units(event.balance_after), line.balance)?;
    equal("held", units(event.held_after), line.held)?;
    let recorded_at = event.recorded_at.unix_microseconds();
    equal("recorded_at", recorded_at, line.recorded_at)?;
    equal("counterparty", counterparty, line.counterparty.map(name_of))?;
    let transfer_id = |index| command.command_id.transfer_id(index);
    let posting_id = |index| command.command_id.posting_id(index);
    let known = line.transfer.map(transfer_id);
    equal("transfer", transfer.map(|leg| leg.transfer_id), known)?;
    let known = line.posting.map(posting_id);
    equal("posting", event.data.posting_id(), known)?;
    equal("part", event.part, line.part)?;
    match (event.data.hold(), line.hold) {
        (Some(hold), Some((number, known))) => same_hold(hold, number, &known)?,
        (hold, known) => equal("the event has a hold", hold.is_some(), known.is_some())?,
    }
    same_reversal(event.data.reversal(), line.undone.as_ref())?;
    let effective_at = event.data.effective_at();
    let effective_at = effective_at.map(Timestamp::unix_microseconds);
    equal("effective_at", effective_at, line.effective_at)?;
    if let EventData::MoneyDeposited(deposited) = &event.data {
        equal("hold of a deposit", deposited.hold.as_ref(), None)?;
    }
    let event_id = command.command_id.event_id(index);
    equal("event id", event.event_id, event_id)?;
    equal("command id", event.command_id, command.command_id)
}

/// Every account and hold of the ledger is as the model has it, which also says that a rejection has changed nothing;
/// and `no_overdraft`, `conservation`.
fn same_state(ledger: &Ledger, model: &Model) -> Result<(), String> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for number in 0..ACCOUNTS {
        let account = ledger.book.account(name_of(number));
        let (Some(account), Some(book)) = (account, model.known(number)) else {
            equal(
                "account is there",
                account.is_some(),
                model.known(number).is_some(),
            )?;
            continue;
        };
        same_account(account, book)?;
        let last_recorded_at = account.last_recorded_at.unix_microseconds();
        equal("last_recorded_at", last_recorded_at, book.last_recorded_at)?;
        check_holds(&ledger.book, account, number, book)?;
        *sums.entry(book.currency).or_default() += account.balance.value().mantissa();
    }
    for (currency, expected) in &model.from_outside {
        let sum = sums.get(currency).copied().unwrap_or(0);
        equal("conservation", (currency, sum), (currency, *expected))?;
    }
    Ok(())
}

/// What is held on an account is what its open holds hold.
fn check_holds(
    ledger: &Book,
    account: &Account,
    number: usize,
    book: &model::Book,
) -> Result<(), String> {
    let mut sum = 0;
    for (index, known) in book.holds.iter().enumerate().take(HOLDS) {
        match (ledger.hold(name_of(number), hold_id(index)), known) {
            (Some(hold), Some(known)) => {
                same_hold(hold, index, known)?;
                equal("is open", hold.is_open(), known.remaining() > 0)?;
                sum += hold.remaining.value().mantissa();
            }
            (hold, known) => equal("hold is there", hold.is_some(), known.is_some())?,
        }
    }
    equal("sum of holds", sum, account.held.value().mantissa())
}
