//! What can be said of reversals by the events alone, that the ledger knows of each command what the model knows, and
//! which edges a sequence has met.

use std::collections::{BTreeMap, HashMap};

use ledger::{AccountId, Accounts, CommandId, Event, EventData, Original, RejectionCode, Reversal};

use crate::ask::{Ask, LARGEST, Step};
use crate::judge::Ledger;
use crate::model::{Line, Model, Moved, Undone};
use crate::names::name_of;
use crate::same::equal;
use crate::tally::Tally;
use crate::wire::{command_id, reason};

/// Cases on an edge, which [`Tally::met`] counts besides those of [`crate::tally::EDGES`].
pub(crate) const EDGES: [&str; 31] = [
    "all of a command was moved back at once",
    "a part of a command was moved back",
    "the last part of a command was moved back",
    "all but one unit of a command was moved back",
    "the last unit of a command was moved back",
    "a deposit was moved back",
    "a withdrawal was moved back",
    "a transfer was moved back",
    "a capture was moved back",
    "a capture to another account was moved back",
    "a last capture that released the rest was moved back",
    "a capture of a hold that is still open was moved back",
    "a reversal overdrew the account that it took from",
    "a reversal took all that was available",
    "a reversal filled an account to the last unit",
    "a reversal of more than 20 digits",
    "a reversal took from an account whose credits are frozen",
    "a reversal gave to an account whose debits are frozen",
    "a reversal was pushed behind the other account's newest event",
    "a reversal of one unit more than the rest was refused",
    "a reversal of one unit more than was available was refused",
    "a reversal of money that is held was refused",
    "a reversal of a command that was never sent was refused",
    "a reversal of a refused command was refused",
    "a reversal of another account's command was refused",
    "a reversal was refused to the account that got the money",
    "a reversal of a reversal was refused",
    "a reversal of what is no movement was refused",
    "a reversal was refused because the other account is frozen",
    "a reversal was refused because the other account is closed",
    "a reversal that there is no room for was refused",
];

/// What the model says of what an event moves back is what the event says.
pub(crate) fn same_reversal(
    reversal: Option<&Reversal>,
    undone: Option<&Undone>,
) -> Result<(), String> {
    let (Some(reversal), Some(undone)) = (reversal, undone) else {
        return equal("moves back", reversal.is_some(), undone.is_some());
    };
    let id = command_id(undone.command);
    equal("reversed command", reversal.command_id, id)?;
    let reversed = reversal.reversed.value().mantissa();
    equal("reversed so far", reversed, undone.back)?;
    equal("reason", &reversal.reason, &reason(undone.reason))
}

/// Of every accepted command the ledger knows what the model knows, and it finds the same by reading the events.
pub(crate) fn check_originals(ledger: &Ledger, model: &Model) -> Result<(), String> {
    let mut by_command: HashMap<CommandId, Vec<Event>> = HashMap::new();
    for event in &ledger.events {
        let events = by_command.entry(event.command_id).or_default();
        events.push(event.clone());
    }
    equal("accepted", by_command.len(), model.moved.len())?;
    for (command, moved) in &model.moved {
        let id = command_id(*command);
        let original = ledger.book.original(id).ok_or("an unknown command")?;
        same_original(original, moved)?;
        let events = by_command.get(&id).ok_or("a command without events")?;
        let mut read = Original::of(events).ok_or("no original")?;
        let is_its_own = |event: &&Event| {
            let reversal = event.data.reversal();
            event.account_id == read.account_id
                && reversal.is_some_and(|reversal| reversal.command_id == id)
        };
        if let Some(newest) = ledger.events.iter().rev().find(is_its_own) {
            read.take(newest);
        }
        equal("original as it is read", &read, original)?;
    }
    Ok(())
}

fn same_original(original: &Original, moved: &Moved) -> Result<(), String> {
    let sent_to = name_of(moved.ask.account());
    equal("sent to", &original.account_id, sent_to)?;
    let can_be = !original.is_final && !original.movements.is_empty();
    equal("can be reversed", can_be, moved.is_reversible())?;
    let reversed = original
        .reversed
        .map_or(0, |money| money.value().mantissa());
    equal("reversed", reversed, moved.back)?;
    if moved.back < 0 || moved.rest() < 0 {
        return Err(format!("more was moved back than was moved: {moved:?}"));
    }
    let movements = &moved.movements;
    equal("movements", original.movements.len(), movements.len())?;
    for (movement, known) in original.movements.iter().zip(movements) {
        let account = name_of(known.account);
        equal("account of a movement", &movement.account_id, account)?;
        equal("direction of a movement", movement.came_in, known.came_in)?;
        let units = movement.amount.value().mantissa();
        equal("amount of a movement", units, known.units)?;
        let other = movement.transfer.as_ref().map(|(_, other)| other);
        let known = known.counterparty.map(name_of);
        equal("counterparty of a movement", other, known)?;
    }
    Ok(())
}

/// Each reversal goes through the movements of its command from the last to the first, in the other direction: all of each,
/// or of the one amount that was moved the same part of each. On each account they add up to what the newest one says, and
/// never to more than the command moved there.
pub(crate) fn check_reversals(events: &[Event]) -> Result<(), String> {
    let mut movements: HashMap<CommandId, Vec<&Event>> = HashMap::new();
    let mut back: BTreeMap<CommandId, Vec<&Event>> = BTreeMap::new();
    for event in events {
        if event.data.balance_change().is_none() || event.data.type_name() == "AccountCreated" {
            continue;
        }
        movements.entry(event.command_id).or_default().push(event);
        if let Some(reversal) = event.data.reversal() {
            equal("before", movements.contains_key(&reversal.command_id), true)?;
            back.entry(reversal.command_id).or_default().push(event);
        }
    }
    for (command_id, back) in back {
        let moved = &movements[&command_id];
        equal("half a reversal", back.len() % moved.len(), 0)?;
        let mut sums: BTreeMap<&AccountId, i128> = BTreeMap::new();
        for once in back.chunks(moved.len()) {
            check_once(once, moved, &mut sums)?;
        }
        for (account_id, sum) in sums {
            let own = moved.iter().filter(|event| event.account_id == *account_id);
            let whole: i128 = own.map(|event| units(event)).sum();
            if sum > whole {
                return Err(format!("more of {command_id} was moved back than moved"));
            }
        }
    }
    Ok(())
}

fn units(event: &Event) -> i128 {
    let amount = event.data.amount();
    amount.map_or(0, |money| money.value().mantissa())
}

/// One reversal of what was moved.
fn check_once<'a>(
    once: &[&'a Event],
    moved: &[&Event],
    sums: &mut BTreeMap<&'a AccountId, i128>,
) -> Result<(), String> {
    let counterparty = |event: &Event| {
        let leg = event.data.transfer();
        leg.map(|leg| leg.counterparty_account_id.clone())
    };
    let goes_out = |event: &Event| matches!(event.data, EventData::MoneyWithdrawn(_));
    let is_whole = once.iter().zip(moved.iter().rev());
    let is_whole = is_whole
        .into_iter()
        .all(|(event, moved)| units(event) == units(moved));
    for (event, moved) in once.iter().zip(moved.iter().rev()) {
        let reversal = event.data.reversal().ok_or("no reversal")?;
        equal("account", &event.account_id, &moved.account_id)?;
        equal("another direction", goes_out(event), !goes_out(moved))?;
        equal("no reversal itself", moved.data.reversal(), None)?;
        equal("hold of a reversal", event.data.hold(), None)?;
        equal("counterparty", counterparty(event), counterparty(moved))?;
        let is_posted = |event: &Event| event.data.posting_id().is_some();
        equal("of a posting", is_posted(event), is_posted(moved))?;
        let of_one = (once[0].command_id, once[0].part, units(once[0]));
        equal("command", event.command_id, of_one.0)?;
        equal("part", event.part, of_one.1)?;
        if !is_whole {
            equal("the same part of each", units(event), of_one.2)?;
            equal("of one amount", once.len() <= 2, true)?;
        }
        let sum = sums.entry(&event.account_id).or_default();
        *sum += units(event);
        equal("reversed", reversal.reversed.value().mantissa(), *sum)?;
        equal("something", units(event) > 0, true)?;
    }
    Ok(())
}

/// What an accepted reversal was that is worth to have been met; the model is as it is afterwards.
pub(crate) fn count_reversal(step: &Step, lines: &[Line], model: &Model, tally: &mut Tally) {
    let Ask::Reverse {
        account, command, ..
    } = step.ask
    else {
        return;
    };
    let moved = model.moved_by(account, command).expect("it was moved back");
    if !moved.is_divisible() {
        return;
    }
    let units = lines[0].amount.expect("money was moved");
    let before = moved.back - units;
    tally.meet(match (before, moved.rest()) {
        (0, 0) => "all of a command was moved back at once",
        (_, 0) => "the last part of a command was moved back",
        _ => "a part of a command was moved back",
    });
    if moved.rest() == 1 {
        tally.meet("all but one unit of a command was moved back");
    }
    if moved.rest() == 0 && units == 1 && before > 0 {
        tally.meet("the last unit of a command was moved back");
    }
    if units > 10_i128.pow(20) {
        tally.meet("a reversal of more than 20 digits");
    }
    count_kind(moved, model, tally);
    if let Some(got) = moved.got().and_then(|got| model.known(got)) {
        let line = lines[0];
        if line.balance < 0 {
            tally.meet("a reversal overdrew the account that it took from");
        }
        if line.balance + got.overdraft == line.held {
            tally.meet("a reversal took all that was available");
        }
        if got.credits_frozen {
            tally.meet("a reversal took from an account whose credits are frozen");
        }
    }
    if let Some(paid) = moved.paid().and_then(|paid| model.known(paid)) {
        if paid.balance + paid.overdraft == LARGEST {
            tally.meet("a reversal filled an account to the last unit");
        }
        if paid.debits_frozen {
            tally.meet("a reversal gave to an account whose debits are frozen");
        }
    }
}

fn count_kind(moved: &Moved, model: &Model, tally: &mut Tally) {
    match moved.ask {
        Ask::Deposit { .. } => tally.meet("a deposit was moved back"),
        Ask::Withdraw { .. } => tally.meet("a withdrawal was moved back"),
        Ask::Transfer { .. } => tally.meet("a transfer was moved back"),
        Ask::Capture {
            account, hold, to, ..
        } => {
            tally.meet(if to.is_some() {
                "a capture to another account was moved back"
            } else {
                "a capture was moved back"
            });
            if moved.released {
                tally.meet("a last capture that released the rest was moved back");
            }
            let held = model.known(account).and_then(|book| book.holds[hold]);
            if held.is_some_and(|held| held.remaining() > 0) {
                tally.meet("a capture of a hold that is still open was moved back");
            }
        }
        _ => {}
    }
}

/// Whether the reversal's time is not its own account's but the other one's.
pub(crate) fn is_pushed_by_the_other(step: &Step, model: &Model) -> bool {
    let Ask::Reverse { account, .. } = step.ask else {
        return false;
    };
    let own = model
        .known(account)
        .map_or(step.now, |book| book.last_recorded_at + 1);
    model.recorded_at(&step.ask, step.now) > own.max(step.now)
}

/// What a refused reversal was that is worth to have been met.
pub(crate) fn count_refused_reversal(
    step: &Step,
    code: RejectionCode,
    model: &Model,
    tally: &mut Tally,
) {
    let Ask::Reverse {
        account,
        command,
        amount,
        ..
    } = step.ask
    else {
        return;
    };
    if code == RejectionCode::CommandNotFound {
        return tally.meet(match model.moved.get(&command) {
            Some(moved) if moved.got() == Some(account) => {
                "a reversal was refused to the account that got the money"
            }
            Some(_) => "a reversal of another account's command was refused",
            None if command < step.id => "a reversal of a refused command was refused",
            None => "a reversal of a command that was never sent was refused",
        });
    }
    let Some(moved) = model.moved_by(account, command) else {
        return;
    };
    let other = moved.ask.other().and_then(|other| model.known(other));
    let units = amount.and_then(|amount| {
        let exponent = model.known(account)?.exponent;
        (amount.scale == exponent).then_some(amount.digits)
    });
    let got = moved.got().and_then(|got| model.known(got));
    let available = got.map(|book| book.balance + book.overdraft - book.held());
    match (code, other) {
        (RejectionCode::NotReversible, _) => {
            tally.meet(if matches!(moved.ask, Ask::Reverse { .. }) {
                "a reversal of a reversal was refused"
            } else {
                "a reversal of what is no movement was refused"
            });
        }
        (RejectionCode::AmountExceedsRest, _) if units == Some(moved.rest() + 1) => {
            tally.meet("a reversal of one unit more than the rest was refused");
        }
        (RejectionCode::ReversalUncovered, _) => {
            let units = units.unwrap_or(moved.rest());
            if Some(units - 1) == available {
                tally.meet("a reversal of one unit more than was available was refused");
            }
            if got.is_some_and(|book| book.balance + book.overdraft >= units) {
                tally.meet("a reversal of money that is held was refused");
            }
        }
        (RejectionCode::AccountFrozen, Some(other)) if other.debits_frozen => {
            tally.meet("a reversal was refused because the other account is frozen");
        }
        (RejectionCode::AccountClosed, Some(other)) if other.closed => {
            tally.meet("a reversal was refused because the other account is closed");
        }
        (RejectionCode::AmountOverflow, _) if units.is_none_or(|units| units <= moved.rest()) => {
            tally.meet("a reversal that there is no room for was refused");
        }
        _ => {}
    }
}
