//! What each node of a pipeline has done so far, counted without locks on the way of a batch.
//!
//! Owns the counters of one node and the snapshot that people and programs read. Counters rise for the life of the
//! process, over all runs of the pipeline; gauges start anew with each run. A snapshot is not one instant: its numbers
//! are read one after the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::Instant;

/// The counters of one node. All of them are read with [`NodeCounters::snapshot`].
#[derive(Debug, Default)]
pub(crate) struct NodeCounters {
    records_in: AtomicU64,
    records_out: AtomicU64,
    dead_lettered: AtomicU64,
    batches: AtomicU64,
    busy_us: AtomicU64,
    blocked_us: AtomicU64,
    queue_batches: AtomicU64,
    /// Unix milliseconds; 0 = at rest.
    busy_since_unix_ms: AtomicU64,
    /// Touched once per batch and reason. The keys are words of the program, so there are few of them.
    skipped: Mutex<BTreeMap<&'static str, u64>>,
}

/// What one node has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeSnapshot {
    /// The node's name in its topology.
    pub name: String,
    /// Records that the node has taken in (a source takes none).
    pub records_in: u64,
    /// Records that it has handed on or, for the last node, written.
    pub records_out: u64,
    /// Records that it had nothing to do for, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Records that it gave up, and that are now dead letters.
    pub dead_lettered: u64,
    /// Batches that it has finished.
    pub batches: u64,
    /// Time spent at work, in microseconds.
    pub busy_us: u64,
    /// Time spent waiting for room in the next node's queue, in microseconds: backpressure.
    pub blocked_us: u64,
    /// Batches that wait in front of it right now.
    pub queue_batches: u64,
    /// Since when it has been at work on one batch, in unix milliseconds; `None` when it is at rest. A value far in the
    /// past means that the node hangs.
    pub busy_since_unix_ms: Option<u64>,
}

impl NodeCounters {
    /// One batch of `records` has been taken in.
    pub(crate) fn took(&self, records: usize) {
        add(&self.records_in, records);
    }

    /// One batch is finished; `records` of it are left.
    pub(crate) fn finished(&self, records: usize) {
        add(&self.records_out, records);
        add(&self.batches, 1);
    }

    /// `records` are dead letters now.
    pub(crate) fn dead_lettered(&self, records: usize) {
        add(&self.dead_lettered, records);
    }

    /// Nothing was to be done for some records; counted by reason.
    pub(crate) fn skipped(&self, reasons: &BTreeMap<&'static str, u64>) {
        if reasons.is_empty() {
            return;
        }
        let mut skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, count) in reasons {
            *skipped.entry(reason).or_default() += count;
        }
    }

    /// Waited so long for room in the next queue.
    pub(crate) fn blocked(&self, waited: Duration) {
        add_time(&self.blocked_us, waited);
    }

    /// Sets the gauge of its queue.
    pub(crate) fn queue_holds(&self, batches: usize) {
        self.queue_batches.store(
            u64::try_from(batches).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// Is at work until the guard is dropped, be it by success, failure, panic or abort.
    pub(crate) fn work(&self) -> Work<'_> {
        self.busy_since_unix_ms
            .store(unix_ms(SystemTime::now()), Ordering::Relaxed);
        Work {
            counters: self,
            since: Instant::now(),
        }
    }

    /// Gauges start anew with a run: what the last run left in its queues is gone.
    pub(crate) fn begin_run(&self) {
        self.queue_holds(0);
    }

    /// What has been counted up to now.
    pub(crate) fn snapshot(&self, name: &str) -> NodeSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        NodeSnapshot {
            name: name.to_owned(),
            records_in: read(&self.records_in),
            records_out: read(&self.records_out),
            skipped: skipped
                .iter()
                .map(|(reason, count)| ((*reason).to_owned(), *count))
                .collect(),
            dead_lettered: read(&self.dead_lettered),
            batches: read(&self.batches),
            busy_us: read(&self.busy_us),
            blocked_us: read(&self.blocked_us),
            queue_batches: read(&self.queue_batches),
            busy_since_unix_ms: Some(read(&self.busy_since_unix_ms)).filter(|since| *since > 0),
        }
    }
}

/// A node is at work as long as this lives.
pub(crate) struct Work<'a> {
    counters: &'a NodeCounters,
    since: Instant,
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        add_time(&self.counters.busy_us, self.since.elapsed());
        self.counters.busy_since_unix_ms.store(0, Ordering::Relaxed);
    }
}

/// A point in time as programs and browsers like it.
pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn add_time(counter: &AtomicU64, time: Duration) {
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    counter.fetch_add(us, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::NodeCounters;

    #[test]
    fn counters_rise_over_runs_and_gauges_start_anew() {
        let counters = NodeCounters::default();
        counters.took(3);
        counters.skipped(&BTreeMap::from([("already applied", 2)]));
        counters.finished(1);
        counters.queue_holds(2);
        counters.begin_run();
        counters.skipped(&BTreeMap::from([("already applied", 1), ("not ours", 1)]));

        let snapshot = counters.snapshot("apply");
        assert_eq!(snapshot.records_in, 3);
        assert_eq!(snapshot.records_out, 1);
        assert_eq!(snapshot.batches, 1);
        assert_eq!(snapshot.queue_batches, 0);
        assert_eq!(snapshot.skipped["already applied"], 3);
        assert_eq!(snapshot.skipped["not ours"], 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_busy_while_its_work_lives() {
        let counters = NodeCounters::default();
        assert_eq!(counters.snapshot("decode").busy_since_unix_ms, None);
        let working = counters.work();
        tokio::time::advance(Duration::from_millis(5)).await;
        assert!(counters.snapshot("decode").busy_since_unix_ms.is_some());
        drop(working);
        let snapshot = counters.snapshot("decode");
        assert_eq!(snapshot.busy_since_unix_ms, None);
        assert_eq!(snapshot.busy_us, 5_000);
    }
}
