//! One run: what happens, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::accounts::Accounts;
use super::random::Random;
use super::{Measured, Model};

/// As the writer has it, unless it is told otherwise.
const ATTEMPTS_MAX: u32 = 12;
/// The pauses between attempts, in microseconds.
const PAUSE_US: u64 = 5_000;
const PAUSE_US_MAX: u64 = 500_000;
/// The pauses before a pipeline is built anew.
const REBUILD_US: u64 = 100_000;
const REBUILD_US_MAX: u64 = 10_000_000;
/// An account that the writer does not remember.
const UNKNOWN: u32 = u32::MAX;

/// The events of one batch on one account.
struct Touched {
    account: usize,
    events: u32,
    /// The version that the batch is decided over.
    seen: u32,
}

/// What a writer does next, at the time that stands with it.
#[derive(Clone, Copy)]
enum Step {
    /// Takes the accounts of its batch from memory and the store, decides and appends.
    Begin,
    /// Learns what became of its append.
    End,
}

struct Writer {
    partition: usize,
    step: Step,
    batch: Vec<Touched>,
    /// By account.
    remembered: Vec<u32>,
    attempt: u32,
    pause_us: u64,
    rebuild_us: u64,
    random: Random,
}

/// What is counted, from `since` on.
struct Counts {
    since: u64,
    /// Of each partition.
    batches: Vec<u64>,
    first_attempts: u64,
    first_conflicts: u64,
    attempts: u64,
    given_up: u64,
}

pub(super) fn run(model: &Model) -> Measured {
    let accounts = Accounts::of(model);
    let round = model.timing.undisturbed(model.batch_commands);
    // Until every writer has touched every account about four times, as far as it commits anything.
    let until_known = 100 + 2 * (model.accounts / model.batch_commands) as u64;
    let since = round * until_known;
    let until = since + round * model.rounds;
    let mut counts = Counts {
        since,
        batches: vec![0; model.partitions],
        first_attempts: 0,
        first_conflicts: 0,
        attempts: 0,
        given_up: 0,
    };
    let mut store = vec![0; accounts.count()];
    let mut writers: Vec<Writer> = (0..model.partitions)
        .map(|partition| Writer::new(model, partition, &accounts))
        .collect();
    let mut agenda: BinaryHeap<Reverse<(u64, usize)>> = writers
        .iter_mut()
        .map(|writer| Reverse((writer.random.below(round), writer.partition)))
        .collect();
    while let Some(Reverse((now, index))) = agenda.pop() {
        if now >= until {
            break;
        }
        let writer = &mut writers[index];
        let after = match writer.step {
            Step::Begin => writer.begin(model, &store),
            Step::End => writer.end(model, &accounts, &mut store, now, &mut counts),
        };
        agenda.push(Reverse((now + after, index)));
    }
    let seconds = (until - since) as f64 / 1e6;
    let batches: u64 = counts.batches.iter().sum();
    let fewest = counts.batches.iter().min().copied().unwrap_or(0);
    Measured {
        batches,
        first_attempts: counts.first_attempts,
        first_conflicts: counts.first_conflicts,
        attempts: counts.attempts,
        given_up: counts.given_up,
        commands_per_second: batches as f64 * model.batch_commands as f64 / seconds,
        slowest: super::ratio(fewest * model.partitions as u64, batches),
        busiest_share: accounts.busiest_share(),
    }
}

impl Writer {
    fn new(model: &Model, partition: usize, accounts: &Accounts) -> Self {
        let mut writer = Self {
            partition,
            step: Step::Begin,
            batch: Vec::new(),
            remembered: vec![UNKNOWN; accounts.count()],
            attempt: 1,
            pause_us: PAUSE_US,
            rebuild_us: REBUILD_US,
            random: Random::of(model.seed, partition as u64),
        };
        writer.take_batch(model, accounts);
        writer
    }

    /// The commands that wait in its partition.
    fn take_batch(&mut self, model: &Model, accounts: &Accounts) {
        let mut touched = Vec::with_capacity(2 * model.batch_commands);
        for _ in 0..model.batch_commands {
            touched.extend(accounts.transfer(self.partition, &mut self.random));
        }
        touched.sort_unstable();
        self.batch.clear();
        let runs = touched.chunk_by(|one, other| one == other);
        self.batch.extend(runs.map(|run| Touched {
            account: run[0],
            events: u32::try_from(run.len()).expect("a batch is small"),
            seen: UNKNOWN,
        }));
    }

    /// How long it takes until the append has ended.
    fn begin(&mut self, model: &Model, store: &[u32]) -> u64 {
        let mut loaded = 0;
        for touched in &mut self.batch {
            touched.seen = self.remembered[touched.account];
            if touched.seen == UNKNOWN {
                touched.seen = store[touched.account];
                loaded += 1;
            }
        }
        self.step = Step::End;
        let timing = &model.timing;
        let load = if loaded > 0 { timing.read(loaded) } else { 0 };
        let append = timing.append(model.batch_commands);
        load + timing.decide(model.batch_commands) + self.random.around(append, 4)
    }

    /// How long it takes until it begins again, with this batch or the next.
    fn end(
        &mut self,
        model: &Model,
        accounts: &Accounts,
        store: &mut [u32],
        now: u64,
        counts: &mut Counts,
    ) -> u64 {
        self.step = Step::Begin;
        let stale = |touched: &Touched| store[touched.account] != touched.seen;
        let conflict = self.batch.iter().any(stale);
        if now >= counts.since {
            let first = u64::from(self.attempt == 1);
            counts.attempts += 1;
            counts.first_attempts += first;
            counts.first_conflicts += first * u64::from(conflict);
            counts.batches[self.partition] += u64::from(!conflict);
        }
        if conflict {
            return self.fail(model, now, counts);
        }
        for touched in &self.batch {
            let version = touched.seen + touched.events;
            store[touched.account] = version;
            if model.remembers {
                self.remembered[touched.account] = version;
            }
        }
        self.rebuild_us = REBUILD_US;
        self.first_attempt();
        self.take_batch(model, accounts);
        0
    }

    /// Forgets what was wrong, or may have been.
    fn fail(&mut self, model: &Model, now: u64, counts: &mut Counts) -> u64 {
        if self.attempt == ATTEMPTS_MAX {
            counts.given_up += u64::from(now >= counts.since);
            self.remembered.fill(UNKNOWN);
            self.first_attempt();
            let pause = self.random.around(self.rebuild_us, 2);
            self.rebuild_us = (2 * self.rebuild_us).min(REBUILD_US_MAX);
            return pause + model.timing.read(model.batch_commands);
        }
        for touched in &self.batch {
            self.remembered[touched.account] = UNKNOWN;
        }
        let mut pause = 0;
        if self.attempt > 1 {
            pause = self.random.around(self.pause_us, 2);
            self.pause_us = (self.pause_us * 3 / 2).min(PAUSE_US_MAX);
        }
        self.attempt += 1;
        // The outcomes that may be stored already.
        pause + model.timing.read(model.batch_commands)
    }

    fn first_attempt(&mut self) {
        self.attempt = 1;
        self.pause_us = PAUSE_US;
    }
}
