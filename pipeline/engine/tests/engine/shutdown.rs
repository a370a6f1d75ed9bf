//! Shutdown: what is in flight is finished and settled, within a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use engine::testing::{MemoryLog, MemoryTable, run_to_end};
use engine::{
    Batch, Failure, Finished, Opened, PipelineStatus, Resume, Sink, Source, State, Step, Topology,
    supervise,
};
use futures::StreamExt;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::operators::{batches_of, each};

const SECOND: Duration = Duration::from_secs(1);

/// Cancels after the time, and says what the run came to and when.
async fn shut_down_after(
    wait: Duration,
    topology: Topology,
) -> (Result<Finished, Failure>, Duration) {
    let shutdown = CancellationToken::new();
    let run = topology.run(PipelineStatus::new("ending"), shutdown.clone());
    let begun = Instant::now();
    let cancel = async {
        sleep(wait).await;
        shutdown.cancel();
    };
    let (ended, ()) = tokio::join!(run, cancel);
    (ended, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_finished_and_settled() {
    let log = MemoryLog::of(1..=1_000);
    let table = MemoryTable::new();
    let topology = Topology::named("ending")
        .source("log", log.source())
        .batching(batches_of(1))
        .then("copy", each(Step::Emit))
        .into("table", table.sink().slow(SECOND))
        .build();
    let (ended, took) = shut_down_after(SECOND * 2 + SECOND / 2, topology).await;

    let finished = ended.unwrap();
    assert!(!finished.abandoned);
    // Two written by then, one half written; behind it two in its queue, and three at the operator.
    assert_eq!(finished.settled, 8);
    assert_eq!(took, SECOND * 8);
    assert_eq!(log.settled(), 8);
    assert_eq!(log.delivered(), 8, "the source was read after the shutdown");
    assert_eq!(table.items().len(), 8);
}

#[tokio::test(start_paused = true)]
async fn past_the_drain_deadline_the_rest_is_abandoned_and_comes_again() {
    let log = MemoryLog::of(1..=1_000);
    let table = MemoryTable::new();
    let topology = Topology::named("ending")
        .source("log", log.source())
        .batching(batches_of(1))
        .drain_within(SECOND * 3)
        .then("copy", each(Step::Emit))
        .into("table", table.sink().slow(SECOND))
        .build();
    let (ended, took) = shut_down_after(SECOND * 2 + SECOND / 2, topology).await;
    let expected = Finished {
        settled: 5,
        abandoned: true,
    };
    assert_eq!(ended.unwrap(), expected);
    assert_eq!(took, SECOND * 5 + SECOND / 2);
    assert_eq!(log.settled(), 5);
    sleep(SECOND * 60).await;
    assert_eq!(table.items().len(), 5, "a task went on after the deadline");

    let rest = Topology::named("ending")
        .source("log", log.source().ending())
        .into("table", table.sink())
        .build();
    assert_eq!(run_to_end(rest).await.unwrap().settled, 995);
    assert_eq!(table.items(), (1..=1_000).collect::<Vec<u64>>());
}

#[tokio::test(start_paused = true)]
async fn the_drain_deadline_is_ten_seconds_unless_told_otherwise() {
    let log = MemoryLog::of([1]);
    let topology = Topology::named("ending")
        .source("log", log.source())
        .into("table", MemoryTable::new().sink().slow(SECOND * 3_600))
        .build();
    let (ended, took) = shut_down_after(SECOND, topology).await;
    assert!(ended.unwrap().abandoned);
    assert_eq!(took, SECOND * 11);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_at_rest_ends_at_once() {
    let log = MemoryLog::<u64>::of([]);
    let topology = Topology::named("ending")
        .source("log", log.source())
        .into("table", MemoryTable::new().sink())
        .build();
    let (ended, took) = shut_down_after(SECOND, topology).await;
    assert_eq!(ended.unwrap().settled, 0);
    assert_eq!(took, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_still_opening_ends_at_once() {
    let log = MemoryLog::<u64>::of([1]);
    let topology = Topology::named("ending")
        .source("log", log.source())
        .into("table", OpensNever)
        .build();
    let (ended, took) = shut_down_after(SECOND, topology).await;
    let expected = Finished {
        settled: 0,
        abandoned: false,
    };
    assert_eq!(ended.unwrap(), expected);
    assert_eq!(took, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_failure_while_draining_is_told() {
    let log = MemoryLog::of(1..=10);
    let topology = Topology::named("ending")
        .source("log", log.source())
        .batching(batches_of(1))
        .into(
            "table",
            MemoryTable::new()
                .sink()
                .slow(SECOND)
                .failing(|write| (write == 2).then(|| Failure::retry("connection lost"))),
        )
        .build();
    let (ended, _) = shut_down_after(SECOND + SECOND / 2, topology).await;
    assert_eq!(ended.unwrap_err().chain(), "connection lost");
    assert_eq!(log.settled(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_source_is_kept_open_until_the_last_settlement() {
    let log = MemoryLog::of(1..=3);
    let table = MemoryTable::new();
    let closed = Arc::new(AtomicBool::new(false));
    let open_at_write = Arc::clone(&closed);
    let closed_early = Arc::new(AtomicBool::new(false));
    let early = Arc::clone(&closed_early);
    let topology = Topology::named("ending")
        .source(
            "log",
            TellsWhenClosed {
                log: log.clone(),
                closed: Arc::clone(&closed),
            },
        )
        .batching(batches_of(1))
        .into(
            "table",
            table.sink().slow(SECOND).failing(move |_| {
                early.fetch_or(open_at_write.load(Ordering::SeqCst), Ordering::SeqCst);
                None
            }),
        )
        .build();
    let (ended, _) = shut_down_after(SECOND / 2, topology).await;
    assert_eq!(ended.unwrap().settled, 3);
    assert!(
        !closed_early.load(Ordering::SeqCst),
        "closed while work was in flight"
    );
    assert!(closed.load(Ordering::SeqCst), "never closed");
}

#[tokio::test(start_paused = true)]
async fn the_state_says_whether_everything_was_drained() {
    for (deadline, drained) in [(SECOND * 60, true), (SECOND, false)] {
        let log = MemoryLog::of(1..=10);
        let build = || {
            Topology::named("ending")
                .source("log", log.source())
                .drain_within(deadline)
                .into("table", MemoryTable::new().sink().slow(SECOND * 5))
                .build()
        };
        let status = PipelineStatus::new("ending");
        let shutdown = CancellationToken::new();
        let supervised = supervise("ending", build, status.clone(), shutdown.clone());
        let cancel = async {
            sleep(SECOND).await;
            shutdown.cancel();
        };
        let (ended, ()) = tokio::join!(supervised, cancel);
        assert_eq!(ended.unwrap().abandoned, !drained);
        match status.state() {
            State::Drained => assert!(drained),
            State::Stopped { reason, fatal } => {
                assert!(!drained && !fatal);
                assert!(reason.contains("drain deadline"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A source that notes when its deliveries are dropped.
struct TellsWhenClosed {
    log: MemoryLog<u64>,
    closed: Arc<AtomicBool>,
}

struct Tell(Arc<AtomicBool>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Source for TellsWhenClosed {
    type Item = u64;

    async fn open(self, resume: Option<Resume>) -> Result<Opened<u64>, Failure> {
        let opened = self.log.source().open(resume).await?;
        let tell = Tell(self.closed);
        let deliveries = opened.deliveries.map(move |delivery| {
            let _held = &tell;
            delivery
        });
        Ok(Opened {
            deliveries: deliveries.boxed(),
            settler: opened.settler,
        })
    }

    fn describe(&self) -> String {
        "a log with a bell".to_owned()
    }
}

/// A sink whose server never answers.
struct OpensNever;

impl Sink for OpensNever {
    type Item = u64;

    async fn open(&mut self) -> Result<Option<Resume>, Failure> {
        std::future::pending().await
    }

    async fn write(&mut self, _batch: &Batch<u64>) -> Result<(), Failure> {
        Ok(())
    }

    fn describe(&self) -> String {
        "a server that is silent".to_owned()
    }
}
