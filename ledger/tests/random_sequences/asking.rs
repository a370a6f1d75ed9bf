//! What is asked next, at random: mostly what makes sense for the accounts as the model has them, and of everything that
//! can be wrong, some.

use crate::ask::{Allowed, Amount, Ask, HOLDS, LARGEST, Limits, Reach, Step, Terms};
use crate::model::{Book, EFFECTIVE_MAX, Held, Model, Rules, exponent_of};
use crate::random::Random;

/// The accounts that one command chooses from.
pub(crate) type Table = [usize; 4];

const CURRENCIES: [&str; 8] = ["USD", "USD", "USD", "USD", "EUR", "JPY", "BHD", "CLF"];
const NO_CURRENCIES: [&str; 3] = ["XAU", "ZZZ", "POINTS"];
const REACHES: [Reach; 3] = [
    Reach {
        debits: true,
        credits: false,
    },
    Reach {
        debits: false,
        credits: true,
    },
    Reach {
        debits: true,
        credits: true,
    },
];

/// How often something is said of an account's rules.
const RULES_PERCENT: usize = 5;

/// That instant, one microsecond before, one after.
pub(crate) fn around(random: &mut Random, instant: i64) -> i64 {
    instant + [-1, 0, 1][random.below(3)]
}

/// An earlier command's id with its own body, with its own body spelt otherwise, or with another body.
pub(crate) fn sent_again(random: &mut Random, steps: &[Step], now: i64) -> Step {
    let mut step = Step {
        now,
        ..random.pick(steps).clone()
    };
    match random.below(8) {
        0 | 1 => {}
        2 | 3 => step.ask.amounts().into_iter().for_each(respell),
        4 => {
            let version = step.terms.expected_version;
            step.terms.expected_version = Some(version.map_or(1, |version| version ^ 1));
        }
        5 if step.terms.effective_at.is_some() => {
            step.terms.effective_at = step.terms.effective_at.map(|at| at + 1);
        }
        5 => step
            .ask
            .amounts()
            .into_iter()
            .for_each(|amount| amount.digits += 1),
        6 => match &mut step.ask {
            Ask::Capture { is_final, .. } => *is_final = !*is_final,
            Ask::Reverse { reason, .. } => *reason += 1,
            Ask::Hold { expires_at: at, .. } => *at = Some(at.map_or(now, |at| at + 1)),
            Ask::Rules { limits, .. } => {
                limits.daily_count = Some(limits.daily_count.map_or(0, |count| count + 1));
            }
            Ask::Post { entries } => entries.reverse(),
            Ask::Batch { parts } if parts.len() > 1 => drop(parts.pop()),
            Ask::Batch { parts } => parts[0].terms.expires_at = Some(now),
            _ => step.terms.expires_at = Some(now),
        },
        _ => step.ask = random.pick(steps).ask.clone(),
    }
    if !step.ask.can_be_dated() {
        step.terms.effective_at = None;
    }
    step
}

/// One more zero behind the point: the same number.
fn respell(amount: &mut Amount) {
    if amount.digits.abs() < LARGEST / 10 && amount.scale < 28 {
        amount.digits *= 10;
        amount.scale += 1;
    }
}

/// Something of these accounts.
pub(crate) fn ask(random: &mut Random, model: &Model, table: Table, now: i64) -> Ask {
    let (opened, unknown): (Vec<usize>, Vec<usize>) = table
        .into_iter()
        .partition(|account| model.known(*account).is_some());
    let open_percent = [100, 90, 40, 20, 0][opened.len()];
    if random.chance(open_percent) {
        return open(random, model, table, unknown[0]);
    }
    let is_unclosed = |account: &usize| model.known(*account).is_some_and(|book| !book.closed);
    let unclosed: Vec<usize> = opened.into_iter().filter(is_unclosed).collect();
    let account = one_of(random, table, &unclosed);
    let others: Vec<usize> = unclosed.into_iter().filter(|one| *one != account).collect();
    let other = one_of(random, table, &others);
    let book = model.known(account);
    let is_frozen = book.is_some_and(|book| book.debits_frozen || book.credits_frozen);
    if is_frozen && random.chance(25) {
        return unfreeze(random, account);
    }
    if random.chance(RULES_PERCENT) {
        return rules(random, table, account, book);
    }
    match random.below(100) {
        0..=11 => Ask::Deposit {
            account,
            amount: amount(random, book),
            currency: currency(random, book),
        },
        12..=22 => Ask::Withdraw {
            account,
            amount: amount(random, book),
            currency: currency(random, book),
        },
        23..=38 => Ask::Transfer {
            from: account,
            to: other,
            amount: amount(random, book),
            currency: currency(random, book),
        },
        39..=57 => place_hold(random, model, account, now),
        58..=83 => of_a_hold(random, model, now, (table, account, other)),
        84..=86 => Ask::Freeze {
            account,
            reach: *random.pick(&REACHES),
            reason: random.byte() % 3,
        },
        87 => unfreeze(random, account),
        88..=91 => Ask::Close {
            account,
            sweep_to: random.chance(65).then_some(other),
        },
        92..=95 => Ask::Limit {
            account,
            overdraft: overdraft(random, book),
        },
        96..=98 => update(random, account),
        _ => open(random, model, table, account),
    }
}

/// Mostly one of these, sometimes any at all.
fn one_of(random: &mut Random, table: Table, accounts: &[usize]) -> usize {
    if accounts.is_empty() || random.chance(4) {
        *random.pick(&table)
    } else {
        *random.pick(accounts)
    }
}

fn open(random: &mut Random, model: &Model, table: Table, account: usize) -> Ask {
    let currency = match (random.below(20), model.known(table[0])) {
        (0, _) => *random.pick(&NO_CURRENCIES),
        // Mostly the first account's, so that there is somewhere to transfer to; or another's, so that there are two of
        // two.
        (1..=12, Some(first)) => first.currency,
        (13..=17, Some(first)) => {
            let others = table.iter().filter_map(|other| model.known(*other));
            let mut others = others.filter(|other| other.currency != first.currency);
            others.next().map_or("EUR", |other| other.currency)
        }
        _ => *random.pick(&CURRENCIES),
    };
    let exponent = exponent_of(currency).unwrap_or(2);
    let mut one = |zero_percent, largest_percent| {
        if random.chance(zero_percent) {
            units(0, 0)
        } else if random.chance(largest_percent) {
            units(LARGEST - random.wide_below(3), exponent)
        } else if random.chance(4) {
            odd(random)
        } else {
            units(random.wide_below(30_000), exponent)
        }
    };
    Ask::Open {
        account,
        currency,
        initial: one(15, 6),
        overdraft: one(50, 2),
    }
}

fn unfreeze(random: &mut Random, account: usize) -> Ask {
    Ask::Unfreeze {
        account,
        reach: *random.pick(&REACHES),
        reason: random.chance(50).then_some(1),
    }
}

/// Something is always given.
fn update(random: &mut Random, account: usize) -> Ask {
    let (owner, notes) = (random.byte() % 3, random.byte() % 3);
    let which = random.below(3);
    Ask::Update {
        account,
        owner: (which != 0).then_some(owner),
        notes: (which != 1).then_some(notes),
    }
}

/// None at all, the same again, or some: near what the account has and what it has spent, so that they are met soon, now
/// and then beyond it already.
fn rules(random: &mut Random, table: Table, account: usize, book: Option<&Book>) -> Ask {
    let limits = match (random.below(20), book) {
        (0, _) | (_, None) => Limits::default(),
        (1..=6, Some(book)) if book.rules != Rules::default() => Limits::default(),
        (7, Some(book)) => same_rules(book),
        (_, Some(book)) => some_rules(random, table, book),
    };
    Ask::Rules { account, limits }
}

fn same_rules(book: &Book) -> Limits {
    let own = |amount: Option<i128>| amount.map(|digits| units(digits, book.exponent));
    Limits {
        minimum: own(book.rules.minimum),
        maximum: own(book.rules.maximum),
        daily_amount: own(book.rules.daily_amount),
        daily_count: book.rules.daily_count,
        allowed: book.rules.allowed,
    }
}

fn some_rules(random: &mut Random, table: Table, book: &Book) -> Limits {
    let free = book.balance - book.held();
    let spent = book.today.map_or(0, |today| today.units);
    let mut near = |percent, digits: i128, spread: i128| {
        random.chance(percent).then(|| match random.below(20) {
            0 => odd(random),
            1..=3 => units(digits + 1 - random.wide_below(3), book.exponent),
            // What is there violates it.
            4..=7 => units(digits - random.wide_below(12_000) * spread, book.exponent),
            _ => units(digits + random.wide_below(12_000) * spread, book.exponent),
        })
    };
    let minimum = near(40, free, -1);
    let maximum = near(30, book.balance, 1);
    let daily_amount = near(35, spent, 1);
    let mut allowed: Vec<usize> = table.to_vec();
    allowed.retain(|_| random.chance(60));
    Limits {
        minimum,
        maximum,
        daily_amount,
        daily_count: random.chance(30).then(|| u32::from(random.byte() % 6)),
        allowed: random.chance(25).then(|| Allowed::these(allowed)),
    }
}

fn place_hold(random: &mut Random, model: &Model, account: usize, now: i64) -> Ask {
    let book = model.known(account);
    let is_free = |hold: &usize| book.is_none_or(|book| book.holds[*hold].is_none());
    let free: Vec<usize> = (0..HOLDS).filter(is_free).collect();
    let hold = if free.is_empty() || random.chance(9) {
        random.below(HOLDS)
    } else {
        *random.pick(&free)
    };
    let begin = book.map_or(now, |book| now.max(book.last_recorded_at + 1));
    let expires_at = match random.below(20) {
        0..=7 => None,
        8 => Some(around(random, begin)),
        9 | 10 => Some(begin + 2),
        11 | 12 => Some(begin + 1_001),
        _ => Some(begin + 60_000_000),
    };
    Ask::Hold {
        account,
        hold,
        amount: amount(random, book),
        currency: currency(random, book),
        expires_at,
    }
}

/// Mostly of one that is open, on whichever account it is; where there is none, one is placed.
fn of_a_hold(
    random: &mut Random,
    model: &Model,
    now: i64,
    (table, account, other): (Table, usize, usize),
) -> Ask {
    let held = |account: usize, hold: usize| model.known(account).and_then(|book| book.holds[hold]);
    let is_open = |(account, hold): &(usize, usize)| {
        held(*account, *hold).is_some_and(|held| held.remaining() > 0)
    };
    let all = table
        .into_iter()
        .flat_map(|account| (0..HOLDS).map(move |hold| (account, hold)));
    let open: Vec<(usize, usize)> = all.filter(is_open).collect();
    let is_closed = |hold: &usize| held(account, *hold).is_some_and(|held| held.remaining() == 0);
    let closed: Vec<usize> = (0..HOLDS).filter(is_closed).collect();
    let (account, number) = if !closed.is_empty() && random.chance(15) {
        (account, *random.pick(&closed))
    } else if random.chance(6) {
        (account, random.below(HOLDS))
    } else if open.is_empty() {
        return place_hold(random, model, account, now);
    } else {
        *random.pick(&open)
    };
    let amount = part(random, model.known(account), held(account, number));
    match random.below(20) {
        0..=9 => Ask::Capture {
            account,
            hold: number,
            amount,
            is_final: random.chance(35),
            to: random.chance(40).then_some(other),
        },
        10..=13 => Ask::Release {
            account,
            hold: number,
            amount,
        },
        _ => Ask::Expire {
            account,
            hold: number,
        },
    }
}

/// Of what a hold still holds: all, some, one unit less than all, one unit more.
fn part(random: &mut Random, book: Option<&Book>, held: Option<Held>) -> Option<Amount> {
    let (Some(book), Some(held)) = (book, held) else {
        return random.chance(50).then(|| units(1, 0));
    };
    let remaining = held.remaining();
    match random.below(20) {
        0..=5 => None,
        6..=9 => Some(units(remaining + 1 - random.wide_below(3), book.exponent)),
        10 => Some(odd(random)),
        11..=13 => Some(units(1, book.exponent)),
        _ => Some(units(
            1 + random.wide_below(remaining.max(1)),
            book.exponent,
        )),
    }
}

fn amount(random: &mut Random, book: Option<&Book>) -> Amount {
    let Some(book) = book else {
        return units(1 + random.wide_below(10_000), 2);
    };
    if random.chance(20)
        && let Some(most) = within_rules(random, book)
    {
        return units(most + 1 - random.wide_below(3), book.exponent);
    }
    match random.below(20) {
        // All that is available, one unit less, one unit more.
        0..=2 => units(
            book.balance + book.overdraft - book.held() + 1 - random.wide_below(3),
            book.exponent,
        ),
        // All that it can still take, one unit less, one unit more.
        3 => units(
            LARGEST - book.overdraft - book.balance + 1 - random.wide_below(3),
            book.exponent,
        ),
        4 => odd(random),
        _ => units(1 + random.wide_below(10_000), book.exponent),
    }
}

/// As much as one of its rules still allows, if it has some.
fn within_rules(random: &mut Random, book: &Book) -> Option<i128> {
    let rules = book.rules;
    let spent = book.today.map_or(0, |today| today.units);
    let left = [
        rules
            .minimum
            .map(|least| book.balance - book.held() - least),
        rules.maximum.map(|most| most - book.balance),
        rules.daily_amount.map(|most| most - spent),
    ];
    let left: Vec<i128> = left.into_iter().flatten().filter(|it| *it > 0).collect();
    (!left.is_empty()).then(|| *random.pick(&left))
}

/// Around what is used, around what it is, around what there is room for.
fn overdraft(random: &mut Random, book: Option<&Book>) -> Amount {
    let Some(book) = book else {
        return units(1, 0);
    };
    match random.below(12) {
        0..=3 => units(
            book.held() - book.balance + 1 - random.wide_below(3),
            book.exponent,
        ),
        4 => units(book.overdraft, book.exponent),
        5 => units(
            LARGEST - book.balance + 1 - random.wide_below(3),
            book.exponent,
        ),
        6 => odd(random),
        7 => units(0, 0),
        _ => units(random.wide_below(20_000), book.exponent),
    }
}

/// Zero, below zero, too many decimals, too many digits.
pub(crate) fn odd(random: &mut Random) -> Amount {
    match random.below(6) {
        0 => units(0, 2),
        1 => units(-1 - random.wide_below(100), 0),
        2 => units(1 + random.wide_below(100), 5),
        3 => units(100_000, 5),
        4 => units(LARGEST - random.wide_below(1_000), 0),
        _ => units(random.wide_below(LARGEST), 28),
    }
}

pub(crate) fn units(digits: i128, scale: u32) -> Amount {
    Amount { digits, scale }
}

pub(crate) fn currency(random: &mut Random, book: Option<&Book>) -> Option<&'static str> {
    match random.below(20) {
        0..=9 => None,
        10 => Some(*random.pick(&CURRENCIES)),
        11 if random.chance(30) => Some(*random.pick(&NO_CURRENCIES)),
        _ => book.map(|book| book.currency),
    }
}

pub(crate) fn terms(random: &mut Random, model: &Model, ask: &Ask, now: i64) -> Terms {
    let book = model.known(ask.account());
    let version = book.map_or(0, |book| book.version);
    let at = model.recorded_at(ask, now);
    let expected_version = match random.below(20) {
        0..=14 => None,
        15..=18 => Some(version),
        _ => Some([0, version + 1, version.saturating_sub(1), u64::MAX][random.below(4)]),
    };
    let balance_at_least = match (random.below(30), book) {
        (0 | 1, Some(book)) => Some(units(
            book.balance + 1 - random.wide_below(3),
            book.exponent,
        )),
        (2, _) if random.chance(50) => Some(odd(random)),
        _ => None,
    };
    let mut instant = |later| match random.below(40) {
        0 => Some(around(random, at)),
        1 => Some(at + later),
        _ => None,
    };
    let (not_before, expires_at) = (instant(-1_000), instant(1_000));
    Terms {
        expected_version,
        balance_at_least,
        not_before,
        expires_at,
        effective_at: ask
            .can_be_dated()
            .then(|| business_date(random, at))
            .flatten(),
    }
}

/// Mostly near the other commands, so that the orders by business date and by time of recording differ; now and then at
/// an end of what is allowed.
fn business_date(random: &mut Random, at: i64) -> Option<i64> {
    match random.below(20) {
        0..=3 => {
            let away = i64::try_from(random.below(300_000_000)).expect("a few minutes");
            Some(at + away - 200_000_000)
        }
        4 => Some(around(random, at)),
        5 => Some(at - EFFECTIVE_MAX + [-1, 0, 1][random.below(3)]),
        6 => Some(at + EFFECTIVE_MAX + [-1, 0, 1][random.below(3)]),
        _ => None,
    }
}
