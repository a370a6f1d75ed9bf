//! What can be said of the rules of accounts by the events alone, and which edges of them a sequence has met.

use std::collections::{HashMap, HashSet};

use ledger::{CommandId, Day, Event, EventData, Money, RejectionCode};

use crate::ask::{Amount, Ask, Limits, Step, Terms};
use crate::model::{Book, DAY, Line, Model, Rules};
use crate::sequence::ACCOUNTS;
use crate::tally::Tally;

/// Cases on an edge, which [`Tally::met`] counts besides those of [`crate::tally::EDGES`].
pub(crate) const EDGES: [&str; 39] = [
    "rules were replaced",
    "all rules were removed",
    "rules were set that the balance violates already",
    "rules were set on a frozen account",
    "new daily rules went on with what the day had seen",
    "what the day had seen was forgotten with the last daily rule",
    "an account fell to its minimum and no further",
    "an account rose to its maximum and no further",
    "a day's amount was used up to the last unit",
    "a day's last debit",
    "money came to an account that stays below its minimum",
    "money left an account that stays above its maximum",
    "money that was held was captured below the minimum",
    "money that was held was captured on a day that was used up",
    "money was moved back from an account on a day that was used up",
    "a debit was done that the day before was used up for",
    "a debit was done in the first microsecond of a day",
    "a debit was done in the last microsecond of a day",
    "an account was closed past its minimum",
    "an account was closed past what its day allows",
    "a posting counted several debits of one account",
    "a batch counted several debits of one account",
    "a batch set rules and moved money by them",
    "one unit below the minimum was refused",
    "one unit above the maximum was refused",
    "one unit more than the day allows was refused",
    "a hold was refused by the minimum",
    "a reversal was refused by the minimum",
    "a reversal was refused by the maximum",
    "a transfer was refused by the maximum of the account that gets it",
    "a hold was refused by what the day had seen",
    "a posting was refused by what the day had seen",
    "a batch was refused by what it had used up itself",
    "a transfer was refused by the rules of the account that pays",
    "a transfer was refused by the rules of the account that gets it",
    "a capture or a sweep was refused for the other account",
    "a posting or an exchange was refused for the other side",
    "a reversal of a transfer was refused for the other account",
    "a reversal of a posting was refused for the other side",
];

/// No event breaks the rules that its account had by then: what comes, the maximum; what leaves or is held and is no
/// capture, the minimum and the day, unless the account is closed with it; what is moved back, not the day. And no half of
/// a transfer names an account that is not allowed.
pub(crate) fn check_rules(events: &[&Event]) -> Result<(), String> {
    let closings: Vec<(CommandId, Option<u32>)> = events
        .iter()
        .filter(|event| matches!(event.data, EventData::AccountClosed(_)))
        .map(|event| (event.command_id, event.part))
        .collect();
    let mut rules: Option<&ledger::Rules<Money>> = None;
    let mut days: HashMap<Day, (i128, u32)> = HashMap::new();
    for event in events {
        if let EventData::AccountRulesSet(set) = &event.data {
            let is_daily = |rules: &ledger::Rules<Money>| {
                rules.daily_debit_amount_max.is_some() || rules.daily_debit_count_max.is_some()
            };
            if !rules.is_some_and(is_daily) {
                days.clear();
            }
            rules = Some(&set.rules);
            continue;
        }
        let Some(rules) = rules else { continue };
        let is_closing = closings.contains(&(event.command_id, event.part));
        check_event(event, rules, &mut days, is_closing)
            .map_err(|broken| format!("{broken} of {rules:?}: {event:?}"))?;
    }
    Ok(())
}

fn check_event(
    event: &Event,
    rules: &ledger::Rules<Money>,
    days: &mut HashMap<Day, (i128, u32)>,
    is_closing: bool,
) -> Result<(), &'static str> {
    let units = |money: Money| money.value().mantissa();
    let leg = event.data.transfer();
    if let (Some(leg), Some(allowed)) = (leg, &rules.allowed_counterparties)
        && !allowed.contains(&leg.counterparty_account_id)
    {
        return Err("the counterparties");
    }
    let (is_capture, is_back) = match &event.data {
        EventData::MoneyDeposited(_) => {
            let most = rules.maximum_balance.map(units);
            return match most {
                Some(most) if units(event.balance_after) > most => Err("the maximum"),
                _ => Ok(()),
            };
        }
        EventData::MoneyWithdrawn(moved) => (moved.hold.is_some(), moved.reversal.is_some()),
        EventData::HoldPlaced(_) => (false, false),
        _ => return Ok(()),
    };
    let left = units(event.balance_after) - units(event.held_after);
    let least = rules.minimum_balance.map(units);
    if !is_capture && !is_closing && least.is_some_and(|least| left < least) {
        return Err("the minimum");
    }
    if is_capture || is_back {
        return Ok(());
    }
    let (spent, count) = days.entry(event.recorded_at.day()).or_default();
    *spent += event.data.amount().map_or(0, units);
    *count += 1;
    let most = rules.daily_debit_amount_max.map(units);
    if !is_closing && most.is_some_and(|most| *spent > most) {
        return Err("the daily amount");
    }
    let most = rules.daily_debit_count_max;
    if !is_closing && most.is_some_and(|most| *count > most) {
        return Err("the daily count");
    }
    Ok(())
}

/// All accounts as they are.
pub(crate) type Books = [Option<Book>; ACCOUNTS];

pub(crate) fn books(model: &Model) -> Books {
    std::array::from_fn(|number| model.known(number).copied())
}

/// What of an accepted step was worth to have been met.
pub(crate) fn count_rules(step: &Step, lines: &[Line], before: &Books, tally: &mut Tally) {
    if let Ask::Batch { .. } = step.ask {
        return count_batch(lines, before, tally);
    }
    if let (Ask::Post { .. }, true) = (&step.ask, counts_twice(lines, before)) {
        tally.meet("a posting counted several debits of one account");
    }
    let mut seen = HashSet::new();
    for line in lines.iter().filter(|line| seen.insert(line.account)) {
        let Some(book) = &before[line.account] else {
            continue;
        };
        match step.ask {
            Ask::Rules { limits, .. } => count_new_rules(&limits, line, book, tally),
            Ask::Close { .. } if line.what == "MoneyWithdrawn" => count_sweep(line, book, tally),
            _ => count_movement(line, book, tally),
        }
    }
}

fn is_debit(line: &Line) -> bool {
    let leaves = line.what == "MoneyWithdrawn" && line.hold.is_none() && line.undone.is_none();
    leaves || line.what == "HoldPlaced"
}

fn counts_twice(lines: &[Line], before: &Books) -> bool {
    let counts = |line: &&Line| {
        is_debit(line) && before[line.account].is_some_and(|book| book.rules.count_days())
    };
    let mut seen = HashSet::new();
    !lines
        .iter()
        .filter(counts)
        .all(|line| seen.insert(line.account))
}

fn count_batch(lines: &[Line], before: &Books, tally: &mut Tally) {
    if counts_twice(lines, before) {
        tally.meet("a batch counted several debits of one account");
    }
    let set = |line: &&Line| line.what == "AccountRulesSet";
    for line in lines.iter().filter(set) {
        let is_later = |other: &Line| other.account == line.account && other.part > line.part;
        let moves = |other: &Line| is_debit(other) || other.what == "MoneyDeposited";
        if lines.iter().any(|other| is_later(other) && moves(other)) {
            tally.meet("a batch set rules and moved money by them");
        }
    }
}

fn count_new_rules(limits: &Limits, line: &Line, book: &Book, tally: &mut Tally) {
    let had_some = book.rules != Rules::default();
    let is_daily = limits.daily_amount.is_some() || limits.daily_count.is_some();
    match (had_some, *limits == Limits::default()) {
        (true, true) => tally.meet("all rules were removed"),
        (true, false) => tally.meet("rules were replaced"),
        _ => {}
    }
    match (book.today.is_some(), is_daily) {
        (true, true) => tally.meet("new daily rules went on with what the day had seen"),
        (true, false) => {
            tally.meet("what the day had seen was forgotten with the last daily rule");
        }
        _ => {}
    }
    if book.debits_frozen || book.credits_frozen {
        tally.meet("rules were set on a frozen account");
    }
    let of = |amount: Option<Amount>| {
        let amount = amount.filter(|amount| amount.scale == book.exponent);
        amount.map(|amount| amount.digits)
    };
    if of(limits.minimum).is_some_and(|least| line.balance - line.held < least)
        || of(limits.maximum).is_some_and(|most| line.balance > most)
    {
        tally.meet("rules were set that the balance violates already");
    }
}

/// Whether what the day has seen leaves no room for so much.
fn is_used_up(rules: &Rules, (spent, times): (i128, u32), units: i128) -> bool {
    rules.daily_amount.is_some_and(|most| spent + units > most)
        || rules.daily_count.is_some_and(|most| times >= most)
}

fn count_sweep(line: &Line, book: &Book, tally: &mut Tally) {
    let units = line.amount.unwrap_or(0);
    if book.rules.minimum.is_some_and(|least| least > 0) {
        tally.meet("an account was closed past its minimum");
    }
    if is_used_up(&book.rules, book.on_day(line.recorded_at), units) {
        tally.meet("an account was closed past what its day allows");
    }
}

fn count_movement(line: &Line, book: &Book, tally: &mut Tally) {
    let (rules, at) = (book.rules, line.recorded_at);
    let (units, left) = (line.amount.unwrap_or(0), line.balance - line.held);
    let is_below = rules.minimum.is_some_and(|least| left < least);
    let used_up = is_used_up(&rules, book.on_day(at), units);
    if line.what == "MoneyDeposited" {
        if rules.maximum == Some(line.balance) {
            tally.meet("an account rose to its maximum and no further");
        }
        if is_below {
            tally.meet("money came to an account that stays below its minimum");
        }
    } else if is_debit(line) {
        count_debit(line, book, tally);
    } else if line.what == "MoneyWithdrawn" && line.undone.is_some() {
        if used_up {
            tally.meet("money was moved back from an account on a day that was used up");
        }
    } else if line.what == "MoneyWithdrawn" {
        if is_below {
            tally.meet("money that was held was captured below the minimum");
        }
        if used_up {
            tally.meet("money that was held was captured on a day that was used up");
        }
    }
}

fn count_debit(line: &Line, book: &Book, tally: &mut Tally) {
    let (rules, at) = (book.rules, line.recorded_at);
    let (units, left) = (line.amount.unwrap_or(0), line.balance - line.held);
    let (spent, times) = book.on_day(at);
    if rules.minimum == Some(left) {
        tally.meet("an account fell to its minimum and no further");
    }
    if line.what == "MoneyWithdrawn" && rules.maximum.is_some_and(|most| line.balance > most) {
        tally.meet("money left an account that stays above its maximum");
    }
    if rules.daily_amount == Some(spent + units) {
        tally.meet("a day's amount was used up to the last unit");
    }
    if rules.daily_count == Some(times + 1) {
        tally.meet("a day's last debit");
    }
    if !rules.count_days() {
        return;
    }
    let before = book.today.map(|today| (today.units, today.count));
    if (spent, times) == (0, 0) && before.is_some_and(|seen| is_used_up(&rules, seen, units)) {
        tally.meet("a debit was done that the day before was used up for");
    }
    match at.rem_euclid(DAY) {
        0 => tally.meet("a debit was done in the first microsecond of a day"),
        last if last == DAY - 1 => tally.meet("a debit was done in the last microsecond of a day"),
        _ => {}
    }
}

/// What of a refused step was worth to have been met.
pub(crate) fn count_refused_rules(
    step: &Step,
    code: RejectionCode,
    model: &Model,
    tally: &mut Tally,
) {
    match code {
        RejectionCode::BelowMinimumBalance => match step.ask {
            Ask::Hold { .. } => tally.meet("a hold was refused by the minimum"),
            Ask::Reverse { .. } => tally.meet("a reversal was refused by the minimum"),
            _ => {}
        },
        RejectionCode::AboveMaximumBalance => match step.ask {
            Ask::Reverse { .. } => tally.meet("a reversal was refused by the maximum"),
            Ask::Transfer { .. } => {
                tally.meet("a transfer was refused by the maximum of the account that gets it");
            }
            _ => {}
        },
        RejectionCode::DailyAmountExceeded | RejectionCode::DailyCountExceeded => {
            count_refused_day(step, model, tally);
        }
        RejectionCode::CounterpartyNotAllowed => count_refused_counterparty(step, model, tally),
        _ => return,
    }
    count_one_unit(step, code, model, tally);
}

fn count_one_unit(step: &Step, code: RejectionCode, model: &Model, tally: &mut Tally) {
    let (Ask::Withdraw {
        account, amount, ..
    }
    | Ask::Hold {
        account, amount, ..
    }
    | Ask::Deposit {
        account, amount, ..
    }) = step.ask
    else {
        return;
    };
    let Some(book) = model.known(account) else {
        return;
    };
    let (rules, units) = (book.rules, amount.digits);
    let (spent, _) = book.on_day(model.recorded_at(&step.ask, step.now));
    if amount.scale != book.exponent {
        return;
    }
    let left = book.balance - book.held() - units;
    match code {
        RejectionCode::BelowMinimumBalance if rules.minimum == Some(left + 1) => {
            tally.meet("one unit below the minimum was refused");
        }
        RejectionCode::AboveMaximumBalance if rules.maximum == Some(book.balance + units - 1) => {
            tally.meet("one unit above the maximum was refused");
        }
        RejectionCode::DailyAmountExceeded if rules.daily_amount == Some(spent + units - 1) => {
            tally.meet("one unit more than the day allows was refused");
        }
        _ => {}
    }
}

fn count_refused_day(step: &Step, model: &Model, tally: &mut Tally) {
    match &step.ask {
        Ask::Hold { .. } => tally.meet("a hold was refused by what the day had seen"),
        Ask::Post { .. } => tally.meet("a posting was refused by what the day had seen"),
        Ask::Batch { parts } => {
            let part = &parts[model.refused.part.expect("it was one of its commands")];
            let alone = model.clone().process(&part.ask, Terms::default(), step.now);
            if alone.is_ok() {
                tally.meet("a batch was refused by what it had used up itself");
            }
        }
        _ => {}
    }
}

fn count_refused_counterparty(step: &Step, model: &Model, tally: &mut Tally) {
    match step.ask {
        Ask::Transfer { from, to, .. } => {
            let payer = model.known(from).map(|book| book.rules);
            tally.meet(if payer.is_some_and(|rules| !rules.allow(to)) {
                "a transfer was refused by the rules of the account that pays"
            } else {
                "a transfer was refused by the rules of the account that gets it"
            });
        }
        Ask::Capture { .. } | Ask::Close { .. } => {
            tally.meet("a capture or a sweep was refused for the other account");
        }
        Ask::Post { .. } | Ask::Exchange { .. } => {
            tally.meet("a posting or an exchange was refused for the other side");
        }
        Ask::Reverse {
            account, command, ..
        } => {
            let moved = model.moved_by(account, command);
            let moved = moved.expect("it was found");
            let is_posted = moved.movements.iter().any(|one| one.posting.is_some());
            tally.meet(if is_posted {
                "a reversal of a posting was refused for the other side"
            } else {
                "a reversal of a transfer was refused for the other account"
            });
        }
        _ => {}
    }
}
