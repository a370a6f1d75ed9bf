//! Supervision: what follows a run that failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::testing::{MemoryLog, MemoryTable};
use engine::{Failure, PipelineStatus, RetryClass, State, Topology, supervise};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::operators::batches_of;

const SECOND: Duration = Duration::from_secs(1);

fn lost() -> Failure {
    Failure::retry("connection lost")
}

/// A pipeline of which the first `failing` runs cannot open their source; tells when each run was built.
struct Patient {
    log: MemoryLog<u64>,
    table: MemoryTable<u64>,
    runs: AtomicU64,
    failing: u64,
    built: Mutex<Vec<Instant>>,
}

impl Patient {
    fn failing(runs: u64) -> Self {
        Self {
            log: MemoryLog::of(1..=10),
            table: MemoryTable::new(),
            runs: AtomicU64::new(0),
            failing: runs,
            built: Mutex::new(Vec::new()),
        }
    }

    fn build(&self) -> Topology {
        self.built.lock().unwrap().push(Instant::now());
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        let mut source = self.log.source().ending();
        if run < self.failing {
            source = source.failing_to_open(lost());
        }
        Topology::named("patient")
            .source("log", source)
            .into("table", self.table.sink())
            .build()
    }

    fn pauses(&self) -> Vec<Duration> {
        let built = self.built.lock().unwrap();
        built.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn failed_runs_are_followed_by_growing_pauses_until_one_succeeds() {
    let patient = Patient::failing(40);
    let status = PipelineStatus::new("patient");
    let supervised = supervise(
        "patient",
        || patient.build(),
        status.clone(),
        CancellationToken::new(),
    );
    assert_eq!(supervised.await.unwrap().settled, 10);
    assert_eq!(status.state(), State::Drained);
    assert_eq!(status.snapshot().runs, 41);
    assert_eq!(status.snapshot().failed_runs, 40);

    let pauses = patient.pauses();
    assert!(
        pauses[0] >= SECOND / 20 && pauses[0] <= SECOND / 6,
        "{pauses:?}"
    );
    assert!(pauses[39] >= SECOND * 5, "{pauses:?}");
    // The timer rounds up to the next millisecond.
    let longest = SECOND * 10 + Duration::from_millis(1);
    assert!(pauses.iter().all(|pause| *pause <= longest), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_settled_something_ends_the_trouble() {
    // Eight runs cannot open; then each run settles one batch of one record, and fails at the next.
    let log = MemoryLog::of(1..=20);
    let table = MemoryTable::new();
    let runs = AtomicU64::new(0);
    let begun = Mutex::new(Vec::new());
    let build = || {
        begun.lock().unwrap().push(Instant::now());
        let mut source = log.source().ending();
        if runs.fetch_add(1, Ordering::SeqCst) < 8 {
            source = source.failing_to_open(lost());
        }
        // Slow enough for the first write to be settled before the second one fails.
        let sink = table.sink().slow(Duration::from_millis(5));
        Topology::named("limping")
            .source("log", source)
            .batching(batches_of(1))
            .into("table", sink.failing(|write| (write == 2).then(lost)))
            .build()
    };
    let status = PipelineStatus::new("limping");
    supervise("limping", build, status, CancellationToken::new())
        .await
        .unwrap();

    let begun = begun.lock().unwrap();
    let pauses: Vec<Duration> = begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[7] > SECOND * 4, "{pauses:?}");
    let limping = &pauses[8..];
    assert_eq!(limping.len(), 19);
    assert!(
        limping.iter().all(|pause| *pause < SECOND / 4),
        "{pauses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_open_for_long_ends_the_trouble_though_nothing_came() {
    for (open_for, fresh) in [(SECOND * 31, true), (SECOND * 29, false)] {
        let log = MemoryLog::<u64>::of([]);
        let table = MemoryTable::new();
        let runs = AtomicU64::new(0);
        let build = || {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            let mut source = log.source();
            if run != 8 {
                source = source.failing_to_open(lost());
            }
            Topology::named("quiet")
                .source("log", source.failing(|_| Some(lost())))
                .into("table", table.sink())
                .build()
        };
        let status = PipelineStatus::new("quiet");
        let mut changes = status.watch_state();
        let watch = async {
            changes
                .wait_for(|state| *state == State::Running)
                .await
                .unwrap();
            sleep(open_for).await;
            log.push(1);
            let retrying = |state: &State| matches!(state, State::Retrying { .. });
            match changes.wait_for(retrying).await.unwrap().clone() {
                State::Retrying { attempt, .. } => attempt,
                other => panic!("{other:?}"),
            }
        };
        tokio::select! {
            ended = supervise("quiet", build, status.clone(), CancellationToken::new()) => panic!("{ended:?}"),
            attempt = watch => assert_eq!(attempt, if fresh { 1 } else { 9 }),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_state_tells_why_since_when_and_when_next() {
    let patient = Patient::failing(3);
    let status = PipelineStatus::new("patient");
    assert_eq!(status.state(), State::Starting);
    let mut changes = status.watch_state();
    let watch = async {
        let mut seen = Vec::new();
        loop {
            if changes.changed().await.is_err() {
                return seen;
            }
            let state = changes.borrow_and_update().clone();
            let last = state == State::Drained;
            seen.push(state);
            if last {
                return seen;
            }
        }
    };
    let supervised = supervise(
        "patient",
        || patient.build(),
        status.clone(),
        CancellationToken::new(),
    );
    let (ended, seen) = tokio::join!(supervised, watch);
    ended.unwrap();
    let mut began = None;
    let mut attempts = Vec::new();
    for state in &seen {
        if let State::Retrying {
            since,
            attempt,
            reason,
            next_try,
        } = state
        {
            assert_eq!(reason, "connection lost");
            assert!(next_try > since);
            assert_eq!(began.get_or_insert(*since), since, "the trouble began anew");
            attempts.push(*attempt);
        }
    }
    assert_eq!(attempts, [1, 2, 3]);
    assert_eq!(seen.last(), Some(&State::Drained));
    assert_eq!(status.snapshot().last_failure.unwrap().node, "log");
}

#[tokio::test(start_paused = true)]
async fn a_fatal_failure_stops_the_pipeline_and_is_handed_to_the_caller() {
    let log = MemoryLog::of(1..=10);
    let table = MemoryTable::new();
    let builds = AtomicU64::new(0);
    let build = || {
        builds.fetch_add(1, Ordering::SeqCst);
        let fenced = |_| Some(Failure::fatal("fenced: another copy writes"));
        Topology::named("fenced")
            .source("log", log.source())
            .into("table", table.sink().failing(fenced))
            .build()
    };
    let status = PipelineStatus::new("fenced");
    let failure = supervise("fenced", build, status.clone(), CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal);
    assert_eq!(builds.load(Ordering::SeqCst), 1);
    let stopped = State::Stopped {
        reason: "fenced: another copy writes".to_owned(),
        fatal: true,
    };
    assert_eq!(status.state(), stopped);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_a_pause_at_once() {
    let patient = Patient::failing(u64::MAX);
    let status = PipelineStatus::new("patient");
    let shutdown = CancellationToken::new();
    let supervised = supervise(
        "patient",
        || patient.build(),
        status.clone(),
        shutdown.clone(),
    );
    let begun = Instant::now();
    let cancel = async {
        sleep(SECOND * 120).await;
        shutdown.cancel();
    };
    let (ended, ()) = tokio::join!(supervised, cancel);
    assert_eq!(ended.unwrap().settled, 0);
    assert_eq!(begun.elapsed(), SECOND * 120);
    let stopped = State::Stopped {
        reason: "connection lost".to_owned(),
        fatal: false,
    };
    assert_eq!(status.state(), stopped);
}

#[tokio::test(start_paused = true)]
async fn one_pipeline_in_trouble_does_not_hold_up_another() {
    let sick = Arc::new(Patient::failing(u64::MAX));
    let well = Patient::failing(0);
    let shutdown = CancellationToken::new();
    let status = PipelineStatus::new("sick");
    let trouble = {
        let (sick, status, shutdown) = (Arc::clone(&sick), status.clone(), shutdown.clone());
        // Spawned, as the binary does: so the future has to be `Send`.
        tokio::spawn(async move { supervise("sick", || sick.build(), status, shutdown).await })
    };
    let begun = Instant::now();
    let other = PipelineStatus::new("well");
    supervise("well", || well.build(), other, shutdown.clone())
        .await
        .unwrap();
    assert!(begun.elapsed() < SECOND);
    assert!(matches!(status.state(), State::Retrying { .. }));
    shutdown.cancel();
    trouble.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_told_to_rest_is_paused_looks_every_second_and_has_not_failed() {
    let log = MemoryLog::of(1..=10);
    let table = MemoryTable::new();
    let runs = AtomicU64::new(0);
    let status = PipelineStatus::new("resting");
    let seen = Mutex::new(Vec::new());
    let began = Instant::now();
    let build = || {
        seen.lock().unwrap().push(status.state());
        let mut source = log.source().ending();
        if runs.fetch_add(1, Ordering::SeqCst) < 5 {
            source = source.failing_to_open(Failure::rest("somebody said so"));
        }
        Topology::named("resting")
            .source("log", source)
            .into("table", table.sink())
            .build()
    };
    let finished = supervise("resting", build, status.clone(), CancellationToken::new());
    assert_eq!(finished.await.unwrap().settled, 10);
    let paused = State::Paused {
        reason: "somebody said so".to_owned(),
    };
    assert_eq!(seen.lock().unwrap()[1..], vec![paused; 5]);
    assert!(began.elapsed() >= SECOND * 5 && began.elapsed() < SECOND * 6);
    let snapshot = status.snapshot();
    assert_eq!((snapshot.failed_runs, snapshot.last_failure), (0, None));
}
