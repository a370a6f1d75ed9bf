//! Random sequences of commands: few accounts, several currencies, and of everything that can be wrong, some.

use crate::model::{ACCOUNTS, Amount, Ask, LARGEST, Model, exponent_of};
use crate::random::Random;

/// One command of a sequence. The same `id` twice is the same command sent again, or another that stole its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) id: u64,
    pub(crate) ask: Ask,
    pub(crate) expected_version: Option<u64>,
    /// What the writer's clock shows, in microseconds; it can stand still and go backwards.
    pub(crate) now: i64,
}

const CURRENCIES: [&str; 8] = ["USD", "USD", "USD", "USD", "EUR", "JPY", "BHD", "CLF"];
const NO_CURRENCIES: [&str; 3] = ["XAU", "ZZZ", "POINTS"];

/// The sequence that `seed` stands for: 10 to 17 commands.
pub(crate) fn generate(seed: u64) -> Vec<Step> {
    let mut random = Random::seeded(seed);
    // The model runs along, so that amounts can be aimed at what is available, to the last unit.
    let mut model = Model::default();
    let mut now = 1_700_000_000_000_000;
    let length = 10 + random.below(8);
    let mut steps: Vec<Step> = Vec::with_capacity(length);
    for id in 0..length {
        now += [-2_000_000, -1, 0, 0, 0, 1, 1, 1_000, 5_000_000, 60_000_000][random.below(10)];
        let id = u64::try_from(id).expect("a small number");
        let step = if !steps.is_empty() && random.chance(6) {
            sent_again(&mut random, &steps, now)
        } else {
            let ask = ask(&mut random, &model);
            let expected_version = expected_version(&mut random, &model, ask);
            Step {
                id,
                ask,
                expected_version,
                now,
            }
        };
        if step.id == id {
            // Whether it is accepted does not matter here.
            drop(model.process(step.ask, step.expected_version, now));
        }
        steps.push(step);
    }
    steps
}

/// An earlier command's id with its own body, with its own body spelt otherwise, or with another body.
fn sent_again(random: &mut Random, steps: &[Step], now: i64) -> Step {
    let mut step = Step {
        now,
        ..*random.pick(steps)
    };
    match random.below(3) {
        0 => {}
        1 => respell(&mut step.ask),
        _ => match random.below(3) {
            0 => {
                step.expected_version =
                    Some(step.expected_version.map_or(1, |version| version ^ 1));
            }
            1 => {
                let (Ask::Open {
                    initial: amount, ..
                }
                | Ask::Deposit { amount, .. }
                | Ask::Withdraw { amount, .. }
                | Ask::Transfer { amount, .. }) = &mut step.ask;
                amount.digits += 1;
            }
            _ => step.ask = random.pick(steps).ask,
        },
    }
    step
}

/// One more zero behind the point: the same number.
fn respell(ask: &mut Ask) {
    let (Ask::Open {
        overdraft: amount, ..
    }
    | Ask::Deposit { amount, .. }
    | Ask::Withdraw { amount, .. }
    | Ask::Transfer { amount, .. }) = ask;
    if amount.digits.abs() < LARGEST / 10 && amount.scale < 28 {
        amount.digits *= 10;
        amount.scale += 1;
    }
}

fn ask(random: &mut Random, model: &Model) -> Ask {
    let is_open = |account: &usize| model.books[*account].is_some();
    let opened: Vec<usize> = (0..ACCOUNTS).filter(is_open).collect();
    if opened.len() < ACCOUNTS && random.chance(45) {
        return open(random, model, opened.len());
    }
    let account = one_of(random, &opened);
    let others: Vec<usize> = opened.into_iter().filter(|one| *one != account).collect();
    let other = one_of(random, &others);
    match random.below(24) {
        0 => open(random, model, account),
        1..=6 => Ask::Deposit {
            account,
            amount: amount(random, model, account),
            currency: currency(random, model, account),
        },
        7..=12 => Ask::Withdraw {
            account,
            amount: amount(random, model, account),
            currency: currency(random, model, account),
        },
        _ => Ask::Transfer {
            from: account,
            to: other,
            amount: amount(random, model, account),
            currency: currency(random, model, account),
        },
    }
}

/// Mostly one of these, sometimes any at all.
fn one_of(random: &mut Random, accounts: &[usize]) -> usize {
    if accounts.is_empty() || random.chance(4) {
        random.below(ACCOUNTS)
    } else {
        *random.pick(accounts)
    }
}

fn open(random: &mut Random, model: &Model, account: usize) -> Ask {
    let currency = match (random.below(20), model.books[0]) {
        (0, _) => *random.pick(&NO_CURRENCIES),
        // Mostly the first account's, so that there is somewhere to transfer to.
        (1..=15, Some(first)) => first.currency,
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

fn amount(random: &mut Random, model: &Model, account: usize) -> Amount {
    let Some(book) = model.books[account] else {
        return units(1 + random.wide_below(10_000), 2);
    };
    match random.below(20) {
        // All that is available, one unit less, one unit more.
        0..=2 => units(
            book.balance + book.overdraft + 1 - random.wide_below(3),
            book.exponent,
        ),
        // All that it can still hold, one unit less, one unit more.
        3 => units(
            LARGEST - book.overdraft - book.balance + 1 - random.wide_below(3),
            book.exponent,
        ),
        4 => odd(random),
        _ => units(1 + random.wide_below(10_000), book.exponent),
    }
}

/// Zero, below zero, too many decimals, too many digits.
fn odd(random: &mut Random) -> Amount {
    match random.below(6) {
        0 => units(0, 2),
        1 => units(-1 - random.wide_below(100), 0),
        2 => units(1 + random.wide_below(100), 5),
        3 => units(100_000, 5),
        4 => units(LARGEST - random.wide_below(1_000), 0),
        _ => units(random.wide_below(LARGEST), 28),
    }
}

fn units(digits: i128, scale: u32) -> Amount {
    Amount { digits, scale }
}

fn currency(random: &mut Random, model: &Model, account: usize) -> Option<&'static str> {
    match random.below(20) {
        0..=9 => None,
        10 => Some(*random.pick(&CURRENCIES)),
        11 if random.chance(30) => Some(*random.pick(&NO_CURRENCIES)),
        _ => model.books[account].map(|book| book.currency),
    }
}

fn expected_version(random: &mut Random, model: &Model, ask: Ask) -> Option<u64> {
    let account = match ask {
        Ask::Open { account, .. }
        | Ask::Deposit { account, .. }
        | Ask::Withdraw { account, .. } => account,
        Ask::Transfer { from, .. } => from,
    };
    let version = model.books[account].map_or(0, |book| book.version);
    match random.below(20) {
        0..=13 => None,
        14..=18 => Some(version),
        _ => Some([0, version + 1, version.saturating_sub(1), u64::MAX][random.below(4)]),
    }
}
