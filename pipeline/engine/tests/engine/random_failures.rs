//! Everything may fail at any moment, and still nothing is lost, settled too early or out of order. A seed reproduces
//! each run; the clock is paused, so the seeds are also schedules.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::testing::{MemoryDeadLetters, MemoryLog, MemoryTable};
use engine::{Batch, Cause, Failure, PipelineStatus, Sink, State, Step, Topology, supervise};
use tokio_util::sync::CancellationToken;

use crate::operators::{batches_of, batchwise};

const SEEDS: u64 = 200;
const RECORDS: u64 = 120;
/// One call in so many fails.
const FAILS_ONCE_IN: u64 = 25;

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_settled_early_whatever_fails() {
    let mut failed_runs = 0;
    for seed in 0..SEEDS {
        failed_runs += one_seed(seed).await;
    }
    // Else the failures were not there, and this test has shown nothing.
    assert!(failed_runs > SEEDS, "only {failed_runs} runs failed");
}

/// Runs one pipeline to its end through all of its failures; returns how many runs failed.
async fn one_seed(seed: u64) -> u64 {
    let world = World::new(seed);
    let status = PipelineStatus::new("random");
    let supervised = supervise(
        "random",
        || world.topology(),
        status.clone(),
        CancellationToken::new(),
    );
    let finished = supervised.await.unwrap();

    assert_eq!(status.state(), State::Drained, "seed {seed}");
    assert_eq!(
        finished.settled, RECORDS,
        "seed {seed}: settled twice or not at all"
    );
    let wanted = |kept: fn(u64) -> bool| (1..=RECORDS).filter(move |number| kept(*number));
    let emitted: Vec<u64> = wanted(is_emitted).collect();
    assert_eq!(world.first.items(), emitted, "seed {seed}");
    assert_eq!(world.second.items(), emitted, "seed {seed}");
    let buried: BTreeSet<u64> = world.letters.positions().into_iter().collect();
    assert_eq!(buried, wanted(is_dead).collect(), "seed {seed}");

    let settle_calls = world.log.settle_calls();
    assert!(
        settle_calls.is_sorted_by(|earlier, later| earlier < later),
        "seed {seed}: {settle_calls:?}"
    );
    assert_eq!(settle_calls.last(), Some(&RECORDS), "seed {seed}");
    assert_eq!(
        *world.wrong.lock().unwrap(),
        Vec::<String>::new(),
        "seed {seed}"
    );
    status.snapshot().runs - 1
}

fn is_dead(number: u64) -> bool {
    number.is_multiple_of(10)
}

fn is_emitted(number: u64) -> bool {
    !is_dead(number) && !number.is_multiple_of(7)
}

/// What outlives the runs of one seed.
struct World {
    log: MemoryLog<u64>,
    first: MemoryTable<u64>,
    second: MemoryTable<u64>,
    letters: MemoryDeadLetters,
    dice: Dice,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let dice = Dice(Arc::new(Mutex::new(seed)));
        Self {
            log: MemoryLog::of(1..=RECORDS),
            first: MemoryTable::new(),
            second: MemoryTable::new(),
            letters: MemoryDeadLetters::new().failing(dice.failing()),
            dice,
            wrong: Arc::new(Mutex::new(Vec::new())),
        }
    }

    fn topology(&self) -> Topology {
        let records_max = match self.dice.below(4) {
            0 => 1,
            1 => 2,
            2 => 5,
            _ => 16,
        };
        Topology::named("random")
            .source(
                "log",
                self.log
                    .source()
                    .ending()
                    .failing(self.dice.failing())
                    .failing_to_settle(self.settle_check()),
            )
            .batching(batches_of(records_max))
            .then("sort", self.operator(sort))
            .then("copy", self.operator(Step::Emit))
            .into("first", self.sink(&self.first))
            .into("second", self.sink(&self.second))
            .dead_letters("letters", self.letters.clone())
            .build()
    }

    fn operator(&self, step: fn(u64) -> Step<u64>) -> crate::operators::Scripted<u64, u64> {
        let dice = self.dice.clone();
        let slow = self.dice.clone();
        batchwise(move |inputs: Vec<u64>| {
            assert!(dice.below(FAILS_ONCE_IN * 4) > 0, "by dice");
            dice.fails()?;
            Ok(inputs.into_iter().map(step).collect())
        })
        .slow(move || slow.delay())
    }

    fn sink(&self, table: &MemoryTable<u64>) -> Watched {
        Watched {
            table: table.clone(),
            dice: self.dice.clone(),
            last: 0,
            wrong: Arc::clone(&self.wrong),
        }
    }

    /// At each settlement everything up to there must be done, everywhere.
    fn settle_check(&self) -> impl FnMut(u64) -> Option<Failure> + Send + 'static {
        let (first, second, letters) = (
            self.first.clone(),
            self.second.clone(),
            self.letters.clone(),
        );
        let (dice, wrong) = (self.dice.clone(), Arc::clone(&self.wrong));
        move |position| {
            let (first, second, letters) = (first.rows(), second.rows(), letters.positions());
            for number in 1..=position {
                let written = first.contains_key(&number) && second.contains_key(&number);
                if is_emitted(number) && !written || is_dead(number) && !letters.contains(&number) {
                    let early = format!("{number} is not done and {position} was settled");
                    wrong.lock().unwrap().push(early);
                }
            }
            dice.fails().err()
        }
    }
}

fn sort(number: u64) -> Step<u64> {
    if is_dead(number) {
        Step::DeadLetter(Cause {
            code: "dead",
            message: "dead".to_owned(),
        })
    } else if is_emitted(number) {
        Step::Emit(number)
    } else {
        Step::Skip("seventh")
    }
}

/// A sink that fails before or after its write, and watches the order within its run.
struct Watched {
    table: MemoryTable<u64>,
    dice: Dice,
    last: u64,
    wrong: Arc<Mutex<Vec<String>>>,
}

impl Sink for Watched {
    type Item = u64;

    async fn write(&mut self, batch: &Batch<u64>) -> Result<(), Failure> {
        tokio::time::sleep(self.dice.delay()).await;
        self.dice.fails()?;
        for delivery in &batch.deliveries {
            if delivery.position <= self.last {
                let disorder = format!("{} came after {}", delivery.position, self.last);
                self.wrong.lock().unwrap().push(disorder);
            }
            self.last = delivery.position;
        }
        self.table.sink().write(batch).await?;
        self.dice.fails()
    }

    fn describe(&self) -> String {
        "a watched table".to_owned()
    }
}

/// Random numbers from a seed (splitmix64), shared by all components.
#[derive(Clone)]
struct Dice(Arc<Mutex<u64>>);

impl Dice {
    fn below(&self, limit: u64) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn fails(&self) -> Result<(), Failure> {
        if self.below(FAILS_ONCE_IN) == 0 {
            return Err(Failure::retry("by dice"));
        }
        Ok(())
    }

    fn failing(&self) -> impl FnMut(u64) -> Option<Failure> + Send + 'static {
        let dice = self.clone();
        move |_| dice.fails().err()
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(self.below(20))
    }
}
