//! What can be said of the events alone, without the model: `gapless_versions`, `monotonic_time`, the hash chain, the
//! rules of statuses and holds, and that their fold is the state. And which edges a sequence has met.

use std::collections::{BTreeMap, HashMap, HashSet};

use ledger::codec::{binary, json};
use ledger::{
    Account, Accounts, Book, CommandId, Event, EventData, Hash, Hold, HoldId, Scope, Timestamp,
    TransferId,
};

use crate::ask::{Ask, Step};
use crate::combined::check_postings;
use crate::dates::{check_business_dates, count_business_dates};
use crate::judge::Ledger;
use crate::model::{self, Line, Model};
use crate::names::name_of;
use crate::reversals::{check_originals, check_reversals};
use crate::rules::check_rules;
use crate::same::equal;
use crate::sequence::ACCOUNTS;
use crate::tally::Tally;

pub(crate) fn check_history(ledger: &Ledger, model: &Model, close: bool) -> Result<(), String> {
    check_commands(&ledger.events)?;
    check_transfers(&ledger.events)?;
    check_postings(&ledger.events)?;
    check_reversals(&ledger.events)?;
    check_originals(ledger, model)?;
    check_business_dates(&ledger.events, model, close)?;
    let mut folded = Book::default();
    for number in 0..ACCOUNTS {
        let of_account = |event: &&Event| event.account_id == *name_of(number);
        let events: Vec<&Event> = ledger.events.iter().filter(of_account).collect();
        check_chain(&events)?;
        check_statuses(&events)?;
        check_holds(&events)?;
        check_rules(&events)?;
        for event in &events {
            let as_read = if close { as_read(event)? } else { None };
            let event = as_read.as_ref().unwrap_or(event);
            folded.apply(event).map_err(|error| error.to_string())?;
        }
        let account = folded.account(name_of(number));
        equal("fold", account, ledger.book.account(name_of(number)))?;
        if let Some(newest) = events.last() {
            same_as_newest(account, newest)?;
        }
        let versions = model.known(number).map_or(0, |book| book.version);
        equal("versions", u64::try_from(events.len()).ok(), Some(versions))?;
    }
    Ok(())
}

/// All events of a command share one instant, and the next command of an account has a later one.
fn check_commands(events: &[Event]) -> Result<(), String> {
    let mut instants: HashMap<CommandId, Timestamp> = HashMap::new();
    for event in events {
        let instant = *instants
            .entry(event.command_id)
            .or_insert(event.recorded_at);
        equal("one recorded_at per command", event.recorded_at, instant)?;
    }
    Ok(())
}

/// A transfer is one debit and one credit of the same amount on two accounts, of one command.
fn check_transfers(events: &[Event]) -> Result<(), String> {
    let mut debits: HashMap<TransferId, &Event> = HashMap::new();
    for event in events {
        let Some(leg) = event.data.transfer() else {
            continue;
        };
        if matches!(event.data, EventData::MoneyWithdrawn(_)) {
            equal("one debit", debits.insert(leg.transfer_id, event), None)?;
            continue;
        }
        let debit = debits
            .remove(&leg.transfer_id)
            .ok_or_else(|| format!("a credit without its debit: {event:?}"))?;
        let amount = debit.data.amount();
        equal("amount of a transfer", event.data.amount(), amount)?;
        equal("command", event.command_id, debit.command_id)?;
        let payer = &leg.counterparty_account_id;
        equal("payer", payer, &debit.account_id)?;
        let credited = debit
            .data
            .transfer()
            .map(|leg| &leg.counterparty_account_id);
        equal("payee", Some(&event.account_id), credited)?;
    }
    equal("debits without their credits", debits.len(), 0)
}

fn check_chain(events: &[&Event]) -> Result<(), String> {
    let (mut version, mut hash) = (0, Hash::ZERO);
    let mut last: Option<(CommandId, Timestamp)> = None;
    let mut commands = HashSet::new();
    for event in events {
        version += 1;
        equal("gapless_versions", event.version.get(), version)?;
        equal("prev_hash", event.prev_hash, hash)?;
        hash = event.hash;
        match last {
            Some((command_id, recorded_at)) if command_id == event.command_id => {
                equal("monotonic_time", event.recorded_at, recorded_at)?;
            }
            Some((_, recorded_at)) if event.recorded_at <= recorded_at => {
                return Err(format!("monotonic_time: {event:?}"));
            }
            _ => equal(
                "events of a command",
                commands.insert(event.command_id),
                true,
            )?,
        }
        last = Some((event.command_id, event.recorded_at));
    }
    Ok(())
}

/// Nothing leaves an account whose debits are frozen, nothing comes to one whose credits are, and nothing at all happens
/// after the closing, which finds the account empty.
fn check_statuses(events: &[&Event]) -> Result<(), String> {
    let (mut debits, mut credits, mut is_closed) = (true, true, false);
    for event in events {
        let is_allowed = match &event.data {
            EventData::MoneyDeposited(_) => credits,
            EventData::MoneyWithdrawn(_) | EventData::HoldPlaced(_) => debits,
            EventData::AccountClosed(_) => {
                debits && credits && event.balance_after.is_zero() && event.held_after.is_zero()
            }
            _ => true,
        };
        if is_closed || !is_allowed {
            return Err(format!("the status forbids it: {event:?}"));
        }
        match &event.data {
            EventData::AccountFrozen(freeze) => {
                debits &= freeze.scope == Scope::Credits;
                credits &= freeze.scope == Scope::Debits;
            }
            EventData::AccountUnfrozen(freeze) => {
                debits |= freeze.scope != Scope::Credits;
                credits |= freeze.scope != Scope::Debits;
            }
            EventData::AccountClosed(_) => is_closed = true,
            _ => {}
        }
    }
    Ok(())
}

/// Where the money of each hold went, counted by the events; and that [`Hold::check_follows`] knows what follows.
fn check_holds(events: &[&Event]) -> Result<(), String> {
    let mut taken: BTreeMap<HoldId, [i128; 3]> = BTreeMap::new();
    let mut newest: BTreeMap<HoldId, &Hold> = BTreeMap::new();
    for event in events {
        let (Some(hold), Some(amount)) = (event.data.hold(), event.data.amount()) else {
            continue;
        };
        let previous = newest.insert(hold.hold_id, hold);
        hold.check_follows(previous, event)
            .map_err(|error| error.to_string())?;
        // It follows upon nothing else that the hold has been: not upon itself, nor upon never having been.
        let follows_itself = hold.check_follows(Some(hold), event).is_ok();
        let begins = hold.check_follows(None, event).is_ok();
        equal("follows upon itself", follows_itself, false)?;
        equal("begins", begins, previous.is_none())?;
        let counts = taken.entry(hold.hold_id).or_default();
        let amount = amount.value().mantissa();
        match &event.data {
            EventData::MoneyWithdrawn(_) => {
                counts[0] += amount;
                let is_over = hold.expires_at.is_some_and(|end| event.recorded_at >= end);
                equal("captured when it was over", is_over, false)?;
            }
            EventData::HoldReleased(_) => counts[1] += amount,
            EventData::HoldExpired(_) => {
                counts[2] += amount;
                let is_over = hold.expires_at.is_some_and(|end| event.recorded_at >= end);
                equal("expired when it was over", is_over, true)?;
                equal("is open after it has expired", hold.is_open(), false)?;
            }
            _ => {}
        }
        let whole = hold.amount.value().mantissa();
        let rest = whole - counts.iter().sum::<i128>();
        equal("captured", hold.captured.value().mantissa(), counts[0])?;
        equal("remaining", hold.remaining.value().mantissa(), rest)?;
        if rest < 0 || rest > whole {
            return Err(format!("more was taken than was held: {event:?}"));
        }
    }
    Ok(())
}

/// The newest event has what changes often; see the documentation of `account.rs`.
fn same_as_newest(account: Option<&Account>, newest: &Event) -> Result<(), String> {
    let account = account.ok_or("no account in spite of its events")?;
    equal("balance_after", account.balance, newest.balance_after)?;
    equal("held_after", account.held, newest.held_after)?;
    equal("last_hash", account.last_hash, newest.hash)?;
    let recorded_at = newest.recorded_at;
    equal("last_recorded_at", account.last_recorded_at, recorded_at)
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

/// What an accepted step was that is worth to have been met: see [`crate::tally::EDGES`].
pub(crate) fn count_edges(
    step: &Step,
    before: Option<&model::Book>,
    lines: &[Line],
    tally: &mut Tally,
) {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else {
        return;
    };
    let at = first.recorded_at;
    if step.now < at {
        tally.meet("the clock was behind");
    }
    if step.terms.not_before == Some(at) {
        tally.meet("a command was decided just when it might be");
    }
    if step.terms.expires_at == Some(at + 1) {
        tally.meet("a command was decided in its last microsecond");
    }
    count_business_dates(step, lines, tally);
    let Some(book) = before else {
        return;
    };
    let is_movement = first.what.starts_with("Money") && first.hold.is_none();
    if is_movement && first.held > 0 {
        tally.meet("a movement on an account with money held");
    }
    match step.ask {
        Ask::Capture { is_final, to, .. } => {
            let (_, held) = first.hold.expect("a capture is of a hold");
            let has_rest = last.what == "HoldReleased";
            match (is_final, has_rest) {
                (true, true) => tally.meet("a final capture released the rest"),
                (true, false) => tally.meet("a final capture had no rest"),
                _ => {}
            }
            if held.remaining() > 0 {
                tally.meet("a capture of a part");
            }
            if to.is_some() {
                tally.meet("a capture went to another account");
            }
            if first.balance < 0 {
                tally.meet("a capture overdrew the account");
            }
            if held.expires_at == Some(at + 1) {
                tally.meet("a capture in the hold's last microsecond");
            }
        }
        Ask::Expire { .. } => {
            let (_, held) = first.hold.expect("an expiry is of a hold");
            if held.expires_at == Some(at) {
                tally.meet("a hold expired exactly when it was over");
            }
            if held.captured > 0 && held.released > 0 {
                tally.meet("a hold was captured, released and expired");
            }
        }
        Ask::Hold { .. } => {
            if first.balance + book.overdraft == first.held {
                tally.meet("all that was available was held");
            }
            if first.amount.is_some_and(|amount| amount > 10_i128.pow(25)) {
                tally.meet("a hold of more than 25 digits");
            }
            if book.credits_frozen {
                tally.meet("a hold on an account whose credits are frozen");
            }
        }
        Ask::Close { .. } if lines.len() > 1 => tally.meet("an account was closed with a sweep"),
        Ask::Close { .. } => tally.meet("an account was closed empty"),
        Ask::Limit { .. } if first.amount == Some(first.held - first.balance) => {
            tally.meet("the overdraft limit was set to what is used");
        }
        _ => {}
    }
}

/// What a refused step was that is worth to have been met.
pub(crate) fn count_refusals(step: &Step, at: i64, model: &Model, tally: &mut Tally) {
    if step.terms.expires_at == Some(at) {
        tally.meet("a command expired in that microsecond");
    }
    if step.terms.not_before == Some(at + 1) {
        tally.meet("a command was a microsecond too early");
    }
    let (Ask::Capture { account, hold, .. } | Ask::Expire { account, hold }) = step.ask else {
        return;
    };
    let Some(reserved) = model.known(account).and_then(|book| book.holds[hold]) else {
        return;
    };
    let is_capture = matches!(step.ask, Ask::Capture { .. });
    let is_open = reserved.remaining() > 0;
    if is_capture && is_open && reserved.expires_at == Some(at) {
        tally.meet("a capture came in the microsecond when the hold was over");
    }
    if !is_capture && is_open && reserved.expires_at == Some(at + 1) {
        tally.meet("an expiry came a microsecond too early");
    }
    if is_capture && reserved.expired > 0 {
        tally.meet("a capture came after the expiry");
    }
    if !is_capture && !is_open && reserved.captured > 0 {
        tally.meet("an expiry came after the capture");
    }
}
