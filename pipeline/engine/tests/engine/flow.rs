//! How batches flow: in order, through every stage, several stages at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::testing::{MemoryLog, MemoryTable, run_to_end};
use engine::{Failure, PipelineStatus, RetryClass, State, Step, Topology};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::operators::{batches_of, batchwise, each};

#[tokio::test(start_paused = true)]
async fn items_go_through_all_operators_into_all_sinks() {
    let log = MemoryLog::of(["1", "2", "x", "4"]);
    let (first, second) = (MemoryTable::new(), MemoryTable::new());
    let status = PipelineStatus::new("numbers");
    let topology = Topology::named("numbers")
        .source("texts", log.source().ending())
        .then(
            "parse",
            each(|text: &str| match text.parse::<u64>() {
                Ok(number) => Step::Emit(number),
                Err(_) => Step::Skip("no number"),
            }),
        )
        .then("double", each(|number: u64| Step::Emit(number * 2)))
        .into("first", first.sink())
        .into("second", second.sink())
        .build();
    let finished = topology
        .run(status.clone(), CancellationToken::new())
        .await
        .unwrap();

    assert_eq!((finished.settled, finished.abandoned), (4, false));
    assert_eq!(log.settle_calls(), [4]);
    assert_eq!(
        first.rows().into_iter().collect::<Vec<_>>(),
        [(1, 2), (2, 4), (4, 8)]
    );
    assert_eq!(second.items(), first.items());

    let snapshot = status.snapshot();
    assert_eq!(snapshot.state, State::Running);
    assert_eq!(snapshot.in_flight_records, 0);
    let names: Vec<&str> = snapshot
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(names, ["texts", "parse", "double", "first", "second"]);
    let counts: Vec<(u64, u64)> = snapshot
        .nodes
        .iter()
        .map(|node| (node.records_in, node.records_out))
        .collect();
    assert_eq!(counts, [(0, 4), (4, 3), (3, 3), (3, 3), (3, 3)]);
    assert_eq!(snapshot.nodes[1].skipped["no number"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_nothing_left_still_reaches_the_sink_and_is_settled() {
    let log = MemoryLog::of(1..=10);
    let table = MemoryTable::<u64>::new();
    let topology = Topology::named("nothing")
        .source("log", log.source().ending())
        .then("skip", each(|_: u64| Step::<u64>::Skip("not wanted")))
        .then(
            "never_asked",
            batchwise(|_: Vec<u64>| -> Result<Vec<Step<u64>>, _> {
                Err(Failure::fatal("asked about nothing"))
            }),
        )
        .into("table", table.sink().keeping_offset())
        .build();
    run_to_end(topology).await.unwrap();
    assert_eq!(log.settled(), 10);
    assert_eq!(table.writes(), [Vec::<u64>::new()]);
    assert_eq!(table.offset(), 10);
}

#[tokio::test(start_paused = true)]
async fn stages_work_on_different_batches_at_the_same_time() {
    let log = MemoryLog::of(1..=10);
    let table = MemoryTable::new();
    let tick = Duration::from_millis(10);
    let topology = Topology::named("overlap")
        .source("log", log.source().ending())
        .batching(batches_of(1))
        .then("slow", each(Step::Emit).slow(move || tick))
        .then("also_slow", each(Step::Emit::<u64>).slow(move || tick))
        .into("table", table.sink().slow(tick))
        .build();
    let begun = Instant::now();
    run_to_end(topology).await.unwrap();
    // Ten batches through three stages: 30 ticks one after the other, 12 when they overlap.
    assert_eq!(begun.elapsed(), tick * 12);
}

#[tokio::test(start_paused = true)]
async fn batches_never_overtake() {
    let log = MemoryLog::of(1..=200);
    let table = MemoryTable::new();
    // Every third batch is slow in one stage, every fourth in the other.
    let every = |nth: u64| {
        let mut count = 0;
        move || {
            count += 1;
            Duration::from_millis(if count % nth == 0 { 50 } else { 0 })
        }
    };
    let topology = Topology::named("order")
        .source("log", log.source().ending())
        .batching(batches_of(3))
        .then("third", each(Step::Emit::<u64>).slow(every(3)))
        .then("fourth", each(Step::Emit).slow(every(4)))
        .into("table", table.sink())
        .build();
    run_to_end(topology).await.unwrap();
    let written: Vec<u64> = table.writes().into_iter().flatten().collect();
    assert_eq!(written, (1..=200).collect::<Vec<u64>>());
    assert!(log.settle_calls().is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_sink_sees_a_batch_when_the_one_before_has_written_it() {
    let log = MemoryLog::of(1..=20);
    let (first, second) = (MemoryTable::new(), MemoryTable::new());
    let missing = Arc::new(Mutex::new(Vec::new()));
    let check = {
        let (first, missing) = (first.clone(), Arc::clone(&missing));
        move |write: u64| {
            if (first.writes().len() as u64) < write {
                missing.lock().unwrap().push(write);
            }
            None
        }
    };
    let topology = Topology::named("in_a_row")
        .source("log", log.source().ending())
        .batching(batches_of(2))
        .into("first", first.sink().slow(Duration::from_millis(5)))
        .into("second", second.sink().failing(check))
        .build();
    run_to_end(topology).await.unwrap();
    assert_eq!(second.items(), first.items());
    assert_eq!(*missing.lock().unwrap(), Vec::<u64>::new());
}

#[tokio::test(start_paused = true)]
async fn an_operator_must_answer_each_input_with_one_step() {
    for wrong in [-1_isize, 1] {
        let log = MemoryLog::of(1..=5);
        let table = MemoryTable::new();
        let miscount = move |inputs: Vec<u64>| {
            let count = inputs.len().checked_add_signed(wrong).unwrap();
            Ok((0..count as u64).map(Step::Emit).collect())
        };
        let topology = Topology::named("miscount")
            .source("log", log.source().ending())
            .then("count", batchwise(miscount))
            .into("table", table.sink())
            .build();
        let failure = run_to_end(topology).await.unwrap_err();
        assert_eq!(failure.class(), RetryClass::Fatal);
        let named = format!(
            "node \"count\" of pipeline \"miscount\" answered 5 inputs with {} steps",
            5 + wrong
        );
        assert!(failure.chain().contains(&named), "{}", failure.chain());
        assert_eq!(log.settled(), 0);
        assert!(table.items().is_empty());
    }
}
