//! Random sequences of commands: few accounts, several currencies, and of everything that can be wrong, some.

use crate::ask::Step;
use crate::asking::{Table, around, ask, sent_again, terms};
use crate::combining::combined;
use crate::model::{DAY, Model, Moved};
use crate::random::Random;
use crate::reversing::reverse;

/// How many accounts a sequence plays with.
pub(crate) const ACCOUNTS: usize = 4;
const ALL: Table = [0, 1, 2, 3];
/// Once there is something to move back.
const REVERSE_PERCENT: usize = 15;

/// The sequence that `seed` stands for: 20 to 35 commands.
pub(crate) fn generate(seed: u64) -> Vec<Step> {
    let mut random = Random::seeded(seed);
    // The model runs along, so that amounts can be aimed at what is available, to the last unit.
    let mut model = Model::default();
    let mut now = 1_700_000_000_000_000;
    let length = 20 + random.below(16);
    let mut steps: Vec<Step> = Vec::with_capacity(length);
    for id in 0..length {
        now = clock(&mut random, &model, now);
        let id = u64::try_from(id).expect("a small number");
        let step = if !steps.is_empty() && random.chance(6) {
            sent_again(&mut random, &steps, now)
        } else {
            let is_moved = model.moved.values().any(Moved::is_reversible);
            let ask = if is_moved && random.chance(REVERSE_PERCENT) {
                reverse(&mut random, &model, ALL, id)
            } else {
                let combined = combined(&mut random, &model, ALL, now, id);
                combined.unwrap_or_else(|| ask(&mut random, &model, ALL, now))
            };
            let terms = terms(&mut random, &model, &ask, now);
            Step {
                id,
                ask,
                terms,
                now,
            }
        };
        if step.id == id {
            // Whether it is accepted does not matter here.
            drop(model.process_named(id, &step.ask, step.terms, now));
        }
        steps.push(step);
    }
    steps
}

/// A little later, sometimes earlier, sometimes just when a hold is over, or a day whose debits are counted.
fn clock(random: &mut Random, model: &Model, now: i64) -> i64 {
    if random.chance(15) {
        let books = ALL.into_iter().filter_map(|account| model.known(account));
        let holds = books.flat_map(|book| book.holds.iter().flatten());
        let open = holds.filter(|held| held.remaining() > 0);
        let ends: Vec<i64> = open.filter_map(|held| held.expires_at).collect();
        if !ends.is_empty() {
            let end = *random.pick(&ends);
            return around(random, end);
        }
    }
    let books = ALL.into_iter().filter_map(|account| model.known(account));
    let newest = books
        .filter_map(|book| book.today)
        .map(|today| today.day)
        .max();
    if let Some(day) = newest
        && random.chance(10)
    {
        return around(random, (day + 1) * DAY).max(now);
    }
    now + [-2_000_000, -1, 0, 0, 0, 1, 1, 1_000, 5_000_000, 60_000_000][random.below(10)]
}
