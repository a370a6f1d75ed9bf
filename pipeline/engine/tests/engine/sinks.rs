//! How sinks are opened, resumed and told that nothing comes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::testing::{MemoryLog, MemoryTable, run_to_end};
use engine::{Batch, Failure, PipelineStatus, Resume, RetryClass, Sink, Topology};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[tokio::test(start_paused = true)]
async fn the_source_begins_behind_the_offset_of_the_sink() {
    let log = MemoryLog::of(1..=5);
    let table = MemoryTable::new();
    let topology = || {
        Topology::named("resume")
            .source("log", log.source().ending())
            .into("table", table.sink().keeping_offset())
            .build()
    };
    run_to_end(topology()).await.unwrap();
    log.push(6);
    run_to_end(topology()).await.unwrap();
    let positions: Vec<Option<u64>> = log
        .opened()
        .into_iter()
        .map(|resume| resume.map(|resume| resume.position))
        .collect();
    assert_eq!(positions, [Some(0), Some(5)]);
    assert_eq!(table.writes(), [vec![1, 2, 3, 4, 5], vec![6]]);
}

#[tokio::test(start_paused = true)]
async fn all_sinks_are_opened_in_order_and_before_the_source() {
    let log = MemoryLog::<u64>::of([1]);
    let journal = Arc::new(Mutex::new(Vec::new()));
    let noting = |name| Noting {
        name,
        journal: Arc::clone(&journal),
        log: log.clone(),
    };
    let topology = Topology::named("opening")
        .source("log", log.source().ending())
        .into("first", noting("first"))
        .into("second", noting("second"))
        .build();
    run_to_end(topology).await.unwrap();
    assert_eq!(
        *journal.lock().unwrap(),
        ["open first", "open second", "write first", "write second"]
    );
}

#[tokio::test(start_paused = true)]
async fn two_sinks_that_keep_an_offset_are_a_mistake() {
    let log = MemoryLog::<u64>::of([1]);
    let (left, right) = (MemoryTable::new(), MemoryTable::new());
    let topology = Topology::named("two_masters")
        .source("log", log.source().ending())
        .into("left", left.sink().keeping_offset())
        .into("right", right.sink().keeping_offset())
        .build();
    let failure = run_to_end(topology).await.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal);
    let chain = failure.chain();
    assert!(chain.contains("sinks \"left\" and \"right\""), "{chain}");
    assert!(
        log.opened().is_empty(),
        "the source was opened all the same"
    );
}

#[tokio::test(start_paused = true)]
async fn two_nodes_of_one_name_are_a_mistake() {
    let log = MemoryLog::<u64>::of([1]);
    let table = MemoryTable::new();
    let topology = Topology::named("twins")
        .source("log", log.source().ending())
        .into("table", table.sink())
        .into("table", table.sink())
        .build();
    let failure = run_to_end(topology).await.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal);
    assert!(failure.chain().contains("two nodes called \"table\""));
}

#[tokio::test(start_paused = true)]
async fn a_sink_is_told_each_time_that_nothing_has_come_for_a_while() {
    let log = MemoryLog::<u64>::of([1]);
    let table = MemoryTable::new();
    let topology = Topology::named("idle")
        .source("log", log.source())
        .into("table", table.sink())
        .build();
    let run = topology.run(PipelineStatus::new("idle"), CancellationToken::new());
    let watch = async {
        let begun = Instant::now();
        table.until_writes(1).await;
        let written = begun.elapsed();
        tokio::time::sleep(Duration::from_millis(3_500)).await;
        assert_eq!(table.idle_calls(), 3);
        // An arrival starts the wait anew.
        log.push(2);
        table.until_writes(2).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(table.idle_calls(), 3);
        written
    };
    tokio::select! {
        ended = run => panic!("{ended:?}"),
        written = watch => assert!(written < Duration::from_millis(10), "{written:?}"),
    }
}

/// Notes what happens to it.
struct Noting {
    name: &'static str,
    journal: Arc<Mutex<Vec<String>>>,
    log: MemoryLog<u64>,
}

impl Noting {
    fn note(&self, what: &str) {
        self.journal
            .lock()
            .unwrap()
            .push(format!("{what} {}", self.name));
    }
}

impl Sink for Noting {
    type Item = u64;

    async fn open(&mut self) -> Result<Option<Resume>, Failure> {
        assert!(self.log.opened().is_empty(), "the source is open already");
        self.note("open");
        Ok(None)
    }

    async fn write(&mut self, _batch: &Batch<u64>) -> Result<(), Failure> {
        self.note("write");
        Ok(())
    }

    fn describe(&self) -> String {
        "a journal".to_owned()
    }
}
