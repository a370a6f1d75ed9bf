//! The accounts: which partition has them, and how often they are chosen.

use super::random::Random;
use super::{Model, Popularity};

/// The weight of the account that is chosen most often, if they differ.
const WEIGHT_MAX: u64 = 1_000_000_000_000;

/// All accounts, by number. Account k lies in partition k mod P.
pub(super) struct Accounts {
    count: usize,
    all: Weights,
    partitions: Vec<Weights>,
    anywhere_per_mille: u64,
}

impl Accounts {
    pub(super) fn of(model: &Model) -> Self {
        let weight = |account: usize| match model.popularity {
            Popularity::Uniform => 1,
            Popularity::Zipf => WEIGHT_MAX / (account as u64 + 1),
        };
        let partition = |first| {
            let accounts = (first..model.accounts).step_by(model.partitions);
            Weights::of(accounts.map(weight))
        };
        Self {
            count: model.accounts,
            all: Weights::of((0..model.accounts).map(weight)),
            partitions: (0..model.partitions).map(partition).collect(),
            anywhere_per_mille: model.anywhere_per_mille,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The share of the partition that is chosen most often.
    pub(super) fn busiest_share(&self) -> f64 {
        let totals = self.partitions.iter().map(Weights::total);
        totals.max().unwrap_or(0) as f64 / self.all.total() as f64
    }

    /// A transfer that this partition decides: the account that is debited and the one that is credited.
    pub(super) fn transfer(&self, partition: usize, random: &mut Random) -> [usize; 2] {
        let own = &self.partitions[partition];
        let global = |place: usize| place * self.partitions.len() + partition;
        let from = own.choose(random);
        if random.below(1_000) < self.anywhere_per_mille {
            let to = self.all.choose(random);
            // Nobody pays himself: then it is the next one.
            let to = if to == global(from) {
                (to + 1) % self.count
            } else {
                to
            };
            return [global(from), to];
        }
        let to = own.choose(random);
        let to = if to == from { (to + 1) % own.len() } else { to };
        [global(from), global(to)]
    }
}

/// For each account its weight and those of all before it. Whole numbers, so that every machine chooses the same.
struct Weights(Vec<u64>);

impl Weights {
    fn of(weights: impl Iterator<Item = u64>) -> Self {
        let sums = weights.scan(0, |total, weight| {
            *total += weight;
            Some(*total)
        });
        Self(sums.collect())
    }

    fn total(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn choose(&self, random: &mut Random) -> usize {
        let place = random.below(self.total());
        self.0.partition_point(|sum| *sum <= place)
    }
}
