//! A failure anywhere ends the run; what was not settled is delivered again to the next one.

use std::time::Duration;

use engine::testing::{
    MemoryDeadLetters, MemoryLog, MemorySink, MemorySource, MemoryTable, run_to_end,
};
use engine::{Cause, Failure, PipelineStatus, RetryClass, Step, Topology};
use tokio_util::sync::CancellationToken;

use crate::operators::{Scripted, batches_of, batchwise, each};

const RECORDS: u64 = 40;
const DEAD: u64 = 33;

/// The components of one pipeline, to be replaced by broken ones.
struct Parts {
    source: MemorySource<u64>,
    operator: Scripted<u64, u64>,
    first: MemorySink<u64>,
    second: MemorySink<u64>,
    letters: MemoryDeadLetters,
}

struct Places {
    log: MemoryLog<u64>,
    first: MemoryTable<u64>,
    second: MemoryTable<u64>,
    letters: MemoryDeadLetters,
}

impl Places {
    fn new() -> Self {
        Self {
            log: MemoryLog::of(1..=RECORDS),
            first: MemoryTable::new(),
            second: MemoryTable::new(),
            letters: MemoryDeadLetters::new(),
        }
    }

    fn parts(&self) -> Parts {
        Parts {
            source: self.log.source().ending(),
            operator: each(sort),
            first: self.first.sink(),
            second: self.second.sink(),
            letters: self.letters.clone(),
        }
    }
}

fn sort(number: u64) -> Step<u64> {
    if number == DEAD {
        Step::DeadLetter(Cause {
            code: "dead",
            message: "dead".to_owned(),
        })
    } else {
        Step::Emit(number)
    }
}

fn topology(parts: Parts) -> Topology {
    Topology::named("fragile")
        .source("log", parts.source)
        .batching(batches_of(3))
        .then("sort", parts.operator)
        .into("first", parts.first)
        .into("second", parts.second)
        .dead_letters("graveyard", parts.letters)
        .build()
}

fn failure() -> Failure {
    Failure::retry("connection lost")
}

fn at(when: u64) -> impl FnMut(u64) -> Option<Failure> + Send + 'static {
    move |call| (call == when).then(failure)
}

fn breaking_operator(when: usize, breaks: fn() -> Failure) -> Scripted<u64, u64> {
    let mut calls = 0;
    batchwise(move |inputs: Vec<u64>| {
        calls += 1;
        if calls == when {
            return Err(breaks());
        }
        Ok(inputs.into_iter().map(sort).collect())
    })
}

/// One way to break, and the node that is to blame.
type Break = (&'static str, fn(&mut Parts, &Places));

const BREAKS: [Break; 10] = [
    ("log", |parts, places| {
        parts.source = places.log.source().failing_to_open(failure());
    }),
    ("log", |parts, places| {
        parts.source = places.log.source().failing(at(20));
    }),
    ("sort", |parts, _| {
        parts.operator = breaking_operator(7, failure);
    }),
    ("sort", |parts, _| {
        parts.operator = breaking_operator(7, || panic!("out of cheese"));
    }),
    ("first", |parts, places| {
        parts.first = places.first.sink().failing_to_open(failure());
    }),
    ("first", |parts, places| {
        parts.first = places.first.sink().failing(at(5));
    }),
    ("second", |parts, places| {
        parts.second = places.second.sink().failing(at(5));
    }),
    ("second", |parts, places| {
        parts.second = places.second.sink().failing_after_commit(at(5));
    }),
    ("graveyard", |parts, _| {
        parts.letters = MemoryDeadLetters::new().failing(at(1));
    }),
    ("log", |parts, places| {
        parts.source = places.log.source().failing_to_settle(at(15));
    }),
];

#[tokio::test(start_paused = true)]
async fn whatever_breaks_the_next_run_does_the_rest() {
    for (index, (blamed, break_it)) in BREAKS.into_iter().enumerate() {
        let places = Places::new();
        let mut parts = places.parts();
        break_it(&mut parts, &places);
        let status = PipelineStatus::new("fragile");
        let run = topology(parts).run(status.clone(), CancellationToken::new());
        let failed = run.await.expect_err("the break was not noticed");
        assert_eq!(failed.class(), RetryClass::Retry, "break {index}");
        let last = status.snapshot().last_failure.unwrap();
        assert_eq!(last.node, blamed, "break {index}");
        assert_eq!(last.reason, failed.chain());

        let settled = places.log.settled();
        assert!(
            settled < RECORDS,
            "break {index}: settled in spite of the break"
        );
        let done = places
            .second
            .items()
            .into_iter()
            .chain(places.letters.positions());
        let done: Vec<u64> = done.collect();
        assert!(
            (1..=settled).all(|number| done.contains(&number)),
            "break {index}: settled too early"
        );

        let finished = run_to_end(topology(places.parts())).await.unwrap();
        assert_eq!(
            finished.settled,
            RECORDS - settled,
            "break {index}: not all redelivered"
        );
        let wanted: Vec<u64> = (1..=RECORDS).filter(|number| *number != DEAD).collect();
        assert_eq!(places.first.items(), wanted, "break {index}");
        assert_eq!(places.second.items(), wanted, "break {index}");
        // A dead letter may come twice, when its batch was not settled; never not at all.
        let mut buried = places.letters.positions();
        buried.dedup();
        assert_eq!(buried, [DEAD], "break {index}");
        assert_eq!(places.log.settled(), RECORDS, "break {index}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_to_be_retried_and_names_its_node() {
    let places = Places::new();
    let mut parts = places.parts();
    parts.operator = breaking_operator(1, || panic!("out of {}", "cheese"));
    let failure = run_to_end(topology(parts)).await.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Retry);
    assert_eq!(
        failure.chain(),
        "node \"sort\" of pipeline \"fragile\" panicked, which is a bug: out of cheese"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fatal_failure_of_a_component_stays_fatal() {
    let places = Places::new();
    let mut parts = places.parts();
    parts.first = places
        .first
        .sink()
        .failing(|_| Some(Failure::fatal("fenced by a twin")));
    let failure = run_to_end(topology(parts)).await.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal);
    assert_eq!(failure.chain(), "fenced by a twin");
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_is_the_one_that_is_told() {
    let places = Places::new();
    let mut parts = places.parts();
    let second = Duration::from_secs(1);
    parts.first = places
        .first
        .sink()
        .slow(second * 2)
        .failing(|_| Some(Failure::fatal("too late")));
    parts.operator = batchwise(|_: Vec<u64>| Err(failure())).slow(move || second);
    let failed = run_to_end(topology(parts)).await.unwrap_err();
    assert_eq!(failed.chain(), "connection lost");
}

#[tokio::test(start_paused = true)]
async fn no_task_outlives_a_failed_run() {
    let places = Places::new();
    let mut parts = places.parts();
    // The second sink is in the midst of a slow write when the first one fails.
    parts.second = places.second.sink().slow(Duration::from_secs(5));
    parts.first = places.first.sink().failing(at(3));
    run_to_end(topology(parts)).await.unwrap_err();
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(places.second.writes().is_empty(), "a task went on writing");
    assert_eq!(places.log.settled(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_leaves_no_task_behind() {
    let places = Places::new();
    let mut parts = places.parts();
    parts.first = places.first.sink().slow(Duration::from_secs(5));
    let run = run_to_end(topology(parts));
    assert!(
        tokio::time::timeout(Duration::from_secs(1), run)
            .await
            .is_err()
    );
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(places.first.writes().is_empty(), "a task went on writing");
}
