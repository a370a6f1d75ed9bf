//! A simulation of conflicts between the writers of several partitions, for capacity planning.
//!
//! Every partition has a writer. A transfer goes to the partition of the account that is debited; the one that is credited
//! lies in another with a probability of 1 − 1/P, unless [`Model::anywhere_per_mille`] says otherwise. So writers write to
//! each other's accounts, and the primary key (account, version) lets one of two have a version. What a writer does then is
//! modelled after `store/src/writer.rs`:
//!
//! - A batch is decided over accounts as the writer remembers them from its own last commit that touched them; those that
//!   it does not remember are loaded, in one query, as they are when the query begins.
//! - All of a batch is one append. It fails whole if any of its accounts has moved on since it was remembered or loaded.
//!   Of two appends that overlap, the one that ends first wins.
//! - Then all accounts of the batch are forgotten, the outcomes are looked up, the accounts loaded, and it is decided anew:
//!   at once the first time, then after pauses of 5 ms, each 1.5 times as long as the one before, up to 500 ms, shortened
//!   or lengthened by up to a half at random.
//! - After 12 attempts the writer gives up: it forgets everything, its pipeline is built anew after 100 ms, twice as long
//!   each time, up to 10 s, until it commits something (`pipeline/engine/src/supervise.rs`), and the same commands come
//!   again.
//!
//! What is assumed, and no more than that:
//!
//! - Every partition always has a full batch waiting, whatever its share of the accounts; so a throughput here is what the
//!   writers could do, not what one hot partition lets through (see [`Measured::busiest_share`]).
//! - The event store takes the appends of all writers side by side as fast as one alone. It does not: all of this is an
//!   upper bound for what partitions bring.
//! - An append takes a fixed time and one for each command ([`Timing`]), a quarter less to a quarter more at random. One
//!   that fails takes as long as one that commits, and waits for nobody.
//! - Account k lies in partition k mod P. JetStream deals them out by a hash, which is less even.
//! - A writer remembers all accounts that there are; no transfer is refused; no writer fails; nothing but transfers.
//!
//! Time is counted in whole microseconds and chance comes from a seed, so a run gives the same figures everywhere.

mod accounts;
mod random;
mod run;

/// How often an account is debited or credited, next to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Popularity {
    /// All equally often.
    Uniform,
    /// The k-th 1/k as often as the first.
    Zipf,
}

/// How long things take, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// An append with nothing in it.
    pub append_us: u64,
    /// What each command adds to an append, in nanoseconds.
    pub append_command_ns: u64,
    /// A query for outcomes or accounts.
    pub read_us: u64,
    /// What each row adds to a query, in nanoseconds.
    pub read_row_ns: u64,
    /// Deciding one command, in nanoseconds.
    pub decide_ns: u64,
}

impl Timing {
    /// PostgreSQL. Appends: a line through the rates that were measured with one connection, 2,500 a second in batches of
    /// 1, 44,000 of 64, 70,000 of 512, 75,000 of 2,048. Queries are an assumption.
    pub const POSTGRESQL: Self = Self {
        append_us: 400,
        append_command_ns: 13_000,
        read_us: 400,
        read_row_ns: 2_000,
        decide_ns: 10_000,
    };
    /// CockroachDB, the same: 460, 9,600, 15,600 and 17,700 a second.
    pub const COCKROACHDB: Self = Self {
        append_us: 2_200,
        append_command_ns: 56_000,
        read_us: 1_500,
        read_row_ns: 8_000,
        decide_ns: 10_000,
    };

    fn append(&self, commands: usize) -> u64 {
        self.append_us + self.append_command_ns * commands as u64 / 1_000
    }

    fn read(&self, rows: usize) -> u64 {
        self.read_us + self.read_row_ns * rows as u64 / 1_000
    }

    fn decide(&self, commands: usize) -> u64 {
        self.decide_ns * commands as u64 / 1_000
    }

    /// What a batch takes that meets nobody.
    fn undisturbed(&self, commands: usize) -> u64 {
        (self.decide(commands) + self.append(commands)).max(1)
    }
}

/// What is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// How many partitions, each with a writer; at least 1.
    pub partitions: usize,
    /// How many accounts; at least two for each partition.
    pub accounts: usize,
    /// Which of them are wanted how often.
    pub popularity: Popularity,
    /// How many of a thousand transfers go to any account at all; the others go to one of the same partition.
    pub anywhere_per_mille: u64,
    /// How many commands a batch has; at least 1.
    pub batch_commands: usize,
    /// Whether a writer remembers accounts from one batch to the next, as it does. Otherwise it loads them for each.
    pub remembers: bool,
    /// How long things take.
    pub timing: Timing,
    /// How long it runs: as long as so many undisturbed batches of one writer take.
    pub rounds: u64,
    /// Where chance begins.
    pub seed: u64,
}

/// What came of it, once every writer has seen about all accounts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Batches that were committed.
    pub batches: u64,
    /// Batches that were begun.
    pub first_attempts: u64,
    /// How many of those met a conflict at their first attempt.
    pub first_conflicts: u64,
    /// Attempts in all.
    pub attempts: u64,
    /// How often a writer gave up and its pipeline was built anew.
    pub given_up: u64,
    /// Commands that were committed in a second.
    pub commands_per_second: f64,
    /// What the slowest partition committed, next to the mean of all: 1 if all are alike, 0 if one committed nothing.
    pub slowest: f64,
    /// The share of all debits that goes to the partition that has most of them. If commands come as accounts are popular,
    /// no number of partitions makes it faster than one partition by more than 1 / this.
    pub busiest_share: f64,
}

impl Measured {
    /// The share of batches that conflict at least once.
    pub fn conflicting(&self) -> f64 {
        ratio(self.first_conflicts, self.first_attempts)
    }

    /// Attempts beside the one that a batch needs in any case; endless if none was committed.
    pub fn extra_attempts(&self) -> f64 {
        if self.batches == 0 {
            return f64::INFINITY;
        }
        ratio(self.attempts, self.batches) - 1.0
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

impl Model {
    /// Runs it.
    ///
    /// # Panics
    /// If a number is smaller than it must be.
    pub fn run(&self) -> Measured {
        assert!(self.partitions >= 1, "somebody has to write");
        assert!(
            self.accounts >= 2 * self.partitions,
            "a transfer needs two accounts"
        );
        assert!(self.batch_commands >= 1, "a batch is never empty");
        run::run(self)
    }
}

/// Up to how many partitions it pays to double them: every doubling up to there brings at least a quarter more. Of pairs of
/// partitions and commands a second, each with twice as many partitions as the one before.
pub fn pays_up_to(rates: &[(usize, f64)]) -> usize {
    let mut best = rates.first().map_or(1, |(partitions, _)| *partitions);
    for pair in rates.windows(2) {
        if pair[1].1 < 1.25 * pair[0].1 {
            break;
        }
        best = pair[1].0;
    }
    best
}

#[cfg(test)]
mod tests;
