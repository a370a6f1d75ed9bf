//! What each node of a pipeline has done so far, counted without locks on the way of a batch.
//!
//! Owns the counters of one node and the snapshot that people and programs read. Counters rise for the life of the
//! process, over all runs of the pipeline; gauges start anew with each run. A snapshot is not one instant: its numbers
//! are read one after the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
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
    queue_batches_max: AtomicU64,
    /// Unix milliseconds; 0 = at rest.
    busy_since_unix_ms: AtomicU64,
    /// Touched once per batch and reason. The keys are words of the program, so there are few of them.
    skipped: Mutex<BTreeMap<&'static str, u64>>,
    /// Touched once per batch with dead letters and code, and as small.
    dead_letter_codes: Mutex<BTreeMap<&'static str, u64>>,
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
    /// The same by the code of the cause.
    pub dead_letter_codes: BTreeMap<String, u64>,
    /// Batches that it has finished.
    pub batches: u64,
    /// Time spent at work, in microseconds.
    pub busy_us: u64,
    /// Time spent waiting for room in the next node's queue, in microseconds: backpressure.
    pub blocked_us: u64,
    /// Batches that wait in front of it right now.
    pub queue_batches: u64,
    /// How many batches can wait there; 0 when it has no queue (a source, dead letters).
    pub queue_batches_max: u64,
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

    /// Records with these codes are dead letters now.
    pub(crate) fn dead_lettered(&self, codes: impl Iterator<Item = &'static str>) {
        let mut by_code = lock(&self.dead_letter_codes);
        for code in codes {
            *by_code.entry(code).or_default() += 1;
            add(&self.dead_lettered, 1);
        }
    }

    /// Nothing was to be done for some records; counted by reason.
    pub(crate) fn skipped(&self, reasons: &BTreeMap<&'static str, u64>) {
        if reasons.is_empty() {
            return;
        }
        let mut skipped = lock(&self.skipped);
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
        set(&self.queue_batches, batches);
    }

    /// Its queue has so many places.
    pub(crate) fn queue_can_hold(&self, batches: usize) {
        set(&self.queue_batches_max, batches);
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
        let by_word = |counts: &Mutex<BTreeMap<&'static str, u64>>| {
            let counts = lock(counts);
            let counts = counts
                .iter()
                .map(|(word, count)| ((*word).to_owned(), *count));
            counts.collect()
        };
        NodeSnapshot {
            name: name.to_owned(),
            records_in: read(&self.records_in),
            records_out: read(&self.records_out),
            skipped: by_word(&self.skipped),
            dead_lettered: read(&self.dead_lettered),
            dead_letter_codes: by_word(&self.dead_letter_codes),
            batches: read(&self.batches),
            busy_us: read(&self.busy_us),
            blocked_us: read(&self.blocked_us),
            queue_batches: read(&self.queue_batches),
            queue_batches_max: read(&self.queue_batches_max),
            busy_since_unix_ms: Some(read(&self.busy_since_unix_ms)).filter(|since| *since > 0),
        }
    }
}

/// The upper bounds of the sizes that [`BatchSizes`] tells apart; larger ones are counted above the last.
const SIZE_BOUNDS: usize = 17;

/// How many batches of which size a source has delivered. The bounds are powers of two, from 1 to 65,536.
#[derive(Debug, Default)]
pub(crate) struct BatchSizeCounters {
    counts: [AtomicU64; SIZE_BOUNDS + 1],
    records: AtomicU64,
}

/// How many batches of which size there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BatchSizes {
    /// For each upper bound how many batches had at most so many records, and more than the bound before. The last one,
    /// `None`, stands for all that are larger.
    pub counts: Vec<(Option<u64>, u64)>,
    /// The records in all of them.
    pub records: u64,
}

impl BatchSizeCounters {
    /// A batch of `records` has been gathered.
    pub(crate) fn gathered(&self, records: u64) {
        let bound = records.max(1).next_power_of_two().trailing_zeros();
        let place = usize::try_from(bound)
            .unwrap_or(SIZE_BOUNDS)
            .min(SIZE_BOUNDS);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> BatchSizes {
        let bounds = (0..SIZE_BOUNDS).map(|place| Some(1 << place)).chain([None]);
        let counts = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        BatchSizes {
            counts: bounds.zip(counts).collect(),
            records: self.records.load(Ordering::Relaxed),
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

/// Whoever panicked while holding one of these locks has left whole values behind.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(gauge: &AtomicU64, count: usize) {
    gauge.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
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

    use super::{BatchSizeCounters, NodeCounters};

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

    #[test]
    fn dead_letters_are_counted_by_code_and_in_all() {
        let counters = NodeCounters::default();
        counters.dead_lettered(["invalid_json", "wrong_subject"].into_iter());
        counters.dead_lettered(["invalid_json"].into_iter());
        let snapshot = counters.snapshot("decode");
        assert_eq!(snapshot.dead_lettered, 3);
        assert_eq!(snapshot.dead_letter_codes["invalid_json"], 2);
        assert_eq!(snapshot.dead_letter_codes["wrong_subject"], 1);
    }

    #[test]
    fn a_batch_is_counted_under_the_smallest_bound_that_holds_it() {
        for (records, bound) in [
            (1, Some(1)),
            (2, Some(2)),
            (3, Some(4)),
            (4, Some(4)),
            (2_048, Some(2_048)),
            (2_049, Some(4_096)),
            (65_536, Some(65_536)),
            (65_537, None),
            (1 << 40, None),
        ] {
            let counters = BatchSizeCounters::default();
            counters.gathered(records);
            let sizes = counters.snapshot();
            assert_eq!(sizes.records, records);
            let counted: Vec<_> = sizes
                .counts
                .iter()
                .filter(|(_, count)| *count > 0)
                .collect();
            assert_eq!(counted, [&(bound, 1)], "{records}");
        }
    }
}
