//! What is asked to be moved back, at random: mostly what can be, and of everything that cannot, some.

use crate::ask::{Amount, Ask};
use crate::model::{Model, Moved};
use crate::random::Random;

/// A number that no command of a sequence has.
const UNKNOWN: u64 = 1_000;

/// Of these accounts, of any command so far; `next` is the number of the one that asks.
pub(crate) fn reverse(random: &mut Random, model: &Model, table: [usize; 4], next: u64) -> Ask {
    let account = *random.pick(&table);
    let some = |fits: &dyn Fn(&Moved) -> bool| -> Vec<(u64, &Moved)> {
        let is_here = |moved: &Moved| table.contains(&moved.ask.account());
        let all = model.moved.iter();
        all.filter(|(_, moved)| is_here(moved) && fits(moved))
            .map(|(command, moved)| (*command, moved))
            .collect()
    };
    let is_open = |number: usize| model.known(number).is_some_and(|book| !book.closed);
    let candidates = match random.below(24) {
        // Never sent, refused, or another account's: whatever it is.
        0 => return named(random, account, UNKNOWN + next),
        1 | 2 => {
            let number = random.below(usize::try_from(next).expect("a small number") + 1);
            let number = u64::try_from(number).expect("a small number");
            return named(random, account, number);
        }
        3 => {
            let others = some(&|moved| moved.ask.account() != account);
            if let Some((command, _)) = pick(random, &others) {
                return named(random, account, command);
            }
            others
        }
        4 => some(&|moved| matches!(moved.ask, Ask::Reverse { .. })),
        5 => some(&|moved| !moved.is_reversible()),
        6 | 7 => some(&|moved| moved.is_reversible() && moved.rest() == 0),
        // Of which a part is back already.
        8..=11 => some(&|moved| moved.is_reversible() && moved.back > 0 && moved.rest() > 0),
        12..=14 => some(&|moved| matches!(moved.ask, Ask::Capture { .. })),
        15..=17 => some(&|moved| moved.is_reversible() && !moved.is_divisible()),
        _ => Vec::new(),
    };
    let candidates = if candidates.is_empty() {
        some(&|moved| moved.is_reversible() && moved.rest() > 0 && is_open(moved.ask.account()))
    } else {
        candidates
    };
    let Some((command, moved)) = pick(random, &candidates) else {
        return named(random, account, UNKNOWN);
    };
    Ask::Reverse {
        account: moved.ask.account(),
        command,
        amount: part(random, model, moved),
        reason: random.byte() % 3,
    }
}

fn pick<'a>(random: &mut Random, candidates: &[(u64, &'a Moved)]) -> Option<(u64, &'a Moved)> {
    (!candidates.is_empty()).then(|| *random.pick(candidates))
}

fn named(random: &mut Random, account: usize, command: u64) -> Ask {
    Ask::Reverse {
        account,
        command,
        amount: random.chance(30).then_some(Amount {
            digits: 1,
            scale: 0,
        }),
        reason: 0,
    }
}

/// Of what is not back yet: all, some, one unit less than all, one unit more; or as much as is there, one less, one more.
fn part(random: &mut Random, model: &Model, moved: &Moved) -> Option<Amount> {
    let exponent = model
        .known(moved.ask.account())
        .map_or(2, |book| book.exponent);
    let units = |digits| {
        Some(Amount {
            digits,
            scale: exponent,
        })
    };
    if !moved.is_divisible() && random.chance(65) {
        return None;
    }
    let rest = moved.rest().max(1);
    let around = 1 - random.wide_below(3);
    match random.below(20) {
        0..=5 => None,
        6..=8 => units(rest + around),
        9 | 10 => {
            let got = moved.got().and_then(|got| model.known(got));
            let available = got.map(|book| book.balance + book.overdraft - book.held());
            units(available.unwrap_or(rest) + around)
        }
        11 => Some(Amount {
            digits: [0, -1, 1, 100_000][random.below(4)],
            scale: 5,
        }),
        12 | 13 => units(1),
        _ => units(1 + random.wide_below(rest)),
    }
}
