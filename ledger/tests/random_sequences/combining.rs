//! Postings, batches and exchanges, at random: mostly what can be done, and of everything that cannot, some.

use crate::ask::{Ask, Entry, Part, Price, Terms};
use crate::asking::{Table, ask, currency, odd, terms, units};
use crate::model::{Book, Model};
use crate::random::Random;
use crate::reversing::reverse;

const POST_PERCENT: usize = 8;
const BATCH_PERCENT: usize = 15;
const EXCHANGE_PERCENT: usize = 8;
const PARTS_MAX: usize = 6;
/// How many of the newest commands a batch can move back.
const NEWEST: usize = 2_000;
/// How often something else is tried for a command of a batch that would be refused.
const TRIES: usize = 8;

/// Now and then a posting or a batch of these accounts; `next` is the number of the one that asks.
pub(crate) fn combined(
    random: &mut Random,
    model: &Model,
    table: Table,
    now: i64,
    next: u64,
) -> Option<Ask> {
    if !table.iter().any(|account| model.known(*account).is_some()) {
        return None;
    }
    match random.below(100) {
        percent if percent < POST_PERCENT => Some(post(random, model, table)),
        percent if percent < POST_PERCENT + BATCH_PERCENT => {
            Some(batch(random, model, table, now, next))
        }
        percent if percent < POST_PERCENT + BATCH_PERCENT + EXCHANGE_PERCENT => {
            exchange(random, model, table)
        }
        _ => None,
    }
}

/// Between two accounts of one currency and two of another, mostly.
fn exchange(random: &mut Random, model: &Model, table: Table) -> Option<Ask> {
    let currency_of = |account: usize| model.known(account).map(|book| book.currency);
    let from = *random.pick(&table);
    let others = |of: Option<&'static str>| -> Vec<usize> {
        let is_alike = |other: &usize| currency_of(*other) == of;
        table.iter().copied().filter(is_alike).collect()
    };
    let own = others(currency_of(from));
    let foreign: Vec<usize> = table
        .iter()
        .copied()
        .filter(|other| currency_of(*other) != currency_of(from))
        .collect();
    let to = foreign.first().copied().unwrap_or(from);
    let alike = others(currency_of(to));
    if (own.len(), alike.len()) != (2, 2) && !random.chance(10) {
        return None;
    }
    let another = |random: &mut Random, of: &[usize], than: usize| {
        let mut of = of.to_vec();
        of.retain(|other| *other != than);
        if of.is_empty() || random.chance(3) {
            *random.pick(&table)
        } else {
            *random.pick(&of)
        }
    };
    let (taker, giver) = (another(random, &own, from), another(random, &alike, to));
    let book = model.known(from);
    let exponent = book.map_or(2, |book| book.exponent);
    let price = match random.below(10) {
        0..=3 => Price::ToAmount(units(
            payable(random, model.known(giver)),
            model.known(giver).map_or(2, |book| book.exponent),
        )),
        4 => Price::Rate(odd(random)),
        // Halves of a unit, often.
        5 | 6 => Price::Rate(units(5 * (1 + random.wide_below(40)), 1 + exponent)),
        _ => Price::Rate(units(1 + random.wide_below(20_000), 4)),
    };
    Some(Ask::Exchange {
        from,
        to,
        taker,
        giver,
        amount: units(payable(random, book), exponent),
        price,
    })
}

/// Entries that balance, mostly, in one currency or two.
fn post(random: &mut Random, model: &Model, table: Table) -> Ask {
    let open = |account: &usize| model.known(*account).is_some_and(|book| !book.closed);
    let mut accounts: Vec<usize> = table.into_iter().filter(open).collect();
    if accounts.is_empty() || random.chance(3) {
        accounts = table.to_vec();
    }
    let first = *random.pick(&accounts);
    let mut entries = balanced(random, model, &accounts, first);
    let currency_of = |account: usize| model.known(account).map(|book| book.currency);
    let others = accounts.iter().copied();
    let mut others = others.filter(|other| currency_of(*other) != currency_of(first));
    if let Some(other) = others.next()
        && random.chance(50)
    {
        entries.extend(balanced(random, model, &accounts, other));
    }
    if random.chance(25) {
        let by = random.below(entries.len());
        entries.rotate_left(by);
    }
    spoil(random, &mut entries, table);
    Ask::Post { entries }
}

/// One account pays some of its currency, or one gets what they pay; or several steps, each from one to another.
fn balanced(random: &mut Random, model: &Model, accounts: &[usize], first: usize) -> Vec<Entry> {
    let book = model.known(first);
    let currency_of = |account: usize| model.known(account).map(|book| book.currency);
    let is_alike = |other: &&usize| currency_of(**other) == currency_of(first);
    let mut others: Vec<usize> = accounts.iter().filter(is_alike).copied().collect();
    if others.len() > 1 && !random.chance(6) {
        others.retain(|other| *other != first);
    }
    let total = payable(random, book);
    let exponent = book.map_or(2, |book| book.exponent);
    let other = *random.pick(&others);
    // Account, whether it is debited, units.
    let legs = match random.below(4) {
        // From one to one.
        0 => vec![(first, true, total), (other, false, total)],
        // From one to several.
        1 => {
            let mut legs = vec![(first, true, total)];
            let mut rest = total;
            for _ in 0..random.below(3) {
                let some = random.wide_below(rest);
                if some > 0 {
                    legs.push((*random.pick(&others), false, some));
                    rest -= some;
                }
            }
            legs.push((other, false, rest));
            legs
        }
        // On through another.
        2 => vec![
            (first, true, total),
            (other, false, total),
            (other, true, total),
            (*random.pick(&others), false, total),
        ],
        // The one who gets it stands first.
        _ => vec![(other, false, total), (first, true, total)],
    };
    let entry = |(account, is_debit, digits)| Entry {
        account,
        is_debit,
        amount: units(digits, exponent),
        currency: if random.chance(60) {
            None
        } else {
            named(random, model.known(account))
        },
    };
    legs.into_iter().map(entry).collect()
}

/// The account's own currency, mostly.
fn named(random: &mut Random, book: Option<&Book>) -> Option<&'static str> {
    if random.chance(15) {
        currency(random, book)
    } else {
        book.map(|book| book.currency)
    }
}

/// Something that the account has, mostly; all of it and a unit more or less, sometimes.
fn payable(random: &mut Random, book: Option<&Book>) -> i128 {
    let available = book.map_or(0, |book| book.balance + book.overdraft - book.held());
    match random.below(10) {
        0 | 1 => (available + 1 - random.wide_below(3)).max(1),
        2 => 1 + random.wide_below(10_000),
        _ => 1 + random.wide_below(available.clamp(1, 10_000)),
    }
}

fn spoil(random: &mut Random, entries: &mut Vec<Entry>, table: Table) {
    let place = random.below(entries.len());
    match random.below(40) {
        0 => entries[place].amount.digits += 1,
        1 => entries[place].amount = odd(random),
        2 => entries[place].account = *random.pick(&table),
        3 if entries.len() > 1 => drop(entries.remove(place)),
        4 => entries[place].is_debit = !entries[place].is_debit,
        5 => entries.reverse(),
        _ => {}
    }
}

/// Up to six commands of any other type. Mostly each of them would be done after those before it; sometimes it is left to
/// chance.
fn batch(random: &mut Random, model: &Model, table: Table, now: i64, next: u64) -> Ask {
    let mut trial = model.only(&table, NEWEST);
    let length = 1 + random.below(PARTS_MAX);
    let (is_careful, is_of_movements) = (random.chance(80), random.chance(40));
    let mut parts: Vec<Part> = Vec::new();
    while parts.len() < length {
        for one_try in 1..=TRIES {
            let is_last = one_try == TRIES;
            let part = part(random, &trial, table, now, next);
            if is_of_movements && !part.ask.moves_money() && !is_last {
                continue;
            }
            if trial.process(&part.ask, part.terms, now).is_ok() || !is_careful || is_last {
                parts.push(part);
                break;
            }
        }
    }
    // The same once more: a hold that is there by now, a command that is moved back already.
    if random.chance(6) {
        parts.push(random.pick(&parts).clone());
    }
    // The same amount for another account: that is not one amount that was moved once.
    if let [
        Part {
            ask: Ask::Deposit { amount, .. },
            ..
        },
    ] = parts[..]
        && random.chance(85)
    {
        let ask = Ask::Deposit {
            account: *random.pick(&table),
            amount,
            currency: None,
        };
        let terms = Terms::default();
        parts.push(Part { ask, terms });
    }
    Ask::Batch { parts }
}

fn part(random: &mut Random, trial: &Model, table: Table, now: i64, next: u64) -> Part {
    let ask = match random.below(100) {
        0..=9 => post(random, trial, table),
        10..=24 if !trial.moved.is_empty() => reverse(random, trial, table, next),
        _ => ask(random, trial, table, now),
    };
    let terms = if random.chance(60) {
        Terms::default()
    } else {
        terms(random, trial, &ask, now)
    };
    Part { ask, terms }
}
