//! What a writer's commands and appends came to, counted without locks.
//!
//! Owns the counters and their snapshot; a writer adds to them, and whoever holds a clone reads them. They rise for the
//! life of the process: a pipeline that is built anew goes on counting in the same ones. The histogram is a row of
//! atomics, so that this crate need not know who publishes the numbers, and in what form.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ledger::RejectionCode;

use crate::{Error, Processed};

/// The upper bounds of the durations that are told apart, in microseconds. From a fast local disk to the statement's
/// time limit.
const BOUNDS_US: [u64; 15] = [
    500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000, 30_000_000,
];

/// The counters of one writer, or of several that follow one another. Clones count in the same place.
#[derive(Debug, Clone, Default)]
pub struct WriterCounters {
    counts: Arc<Counts>,
}

/// One number for each code: more than arrays with a `Default` of their own have.
#[derive(Debug)]
struct Rejected([AtomicU64; RejectionCode::ALL.len()]);

impl Default for Rejected {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicU64,
    /// In the order of [`RejectionCode::ALL`].
    rejected: Rejected,
    repeated: AtomicU64,
    /// One more than there are bounds: the last one is for all that took longer.
    durations: [AtomicU64; BOUNDS_US.len() + 1],
    duration_us: AtomicU64,
    conflicts: AtomicU64,
    ambiguous: AtomicU64,
    failures: AtomicU64,
    decided_anew: AtomicU64,
}

/// What the commands and the appends came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriterSnapshot {
    /// Commands that were accepted and committed.
    pub accepted: u64,
    /// Commands that were rejected, and whose rejection was committed; for every code there is.
    pub rejected: Vec<(RejectionCode, u64)>,
    /// Commands that had an outcome already, and got it again.
    pub repeated: u64,
    /// For each upper bound in microseconds how many appends were committed in at most that time, and in more than the
    /// bound before. The last one, `None`, stands for all that took longer.
    pub durations: Vec<(Option<u64>, u64)>,
    /// The time that all committed appends took, in microseconds.
    pub duration_us: u64,
    /// Appends that met another writer's; nothing was changed by them.
    pub conflicts: u64,
    /// Appends of which it was unknown whether they had committed.
    pub ambiguous: u64,
    /// Appends that failed otherwise; nothing was changed by them.
    pub failures: u64,
    /// How often a batch was decided anew after one of the first two.
    pub decided_anew: u64,
}

impl WriterCounters {
    /// This became of a command. What is no outcome of it is not counted here: it goes to the dead letters.
    pub(crate) fn processed(&self, processed: &Processed) {
        let counter = match processed {
            Processed::Committed { outcome, .. } => match outcome.rejection() {
                None => &self.counts.accepted,
                Some(rejection) => {
                    let place = RejectionCode::ALL
                        .iter()
                        .position(|code| *code == rejection.code)
                        .expect("every code is in the list of all codes");
                    &self.counts.rejected.0[place]
                }
            },
            Processed::Repeated(_) => &self.counts.repeated,
            Processed::IdempotencyConflict(_) | Processed::Refused(_) => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// An append has ended so, after `took`.
    pub(crate) fn appended(&self, appended: &Result<(), Error>, took: Duration) {
        let counter = match appended {
            Ok(()) => {
                let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.counts.duration_us.fetch_add(us, Ordering::Relaxed);
                &self.counts.durations[BOUNDS_US.partition_point(|bound| *bound < us)]
            }
            Err(Error::Conflict) => &self.counts.conflicts,
            Err(Error::Ambiguous(_)) => &self.counts.ambiguous,
            Err(_) => &self.counts.failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A batch is decided anew.
    pub(crate) fn decides_anew(&self) {
        self.counts.decided_anew.fetch_add(1, Ordering::Relaxed);
    }

    /// What has been counted up to now.
    pub fn snapshot(&self) -> WriterSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let bounds = BOUNDS_US.into_iter().map(Some).chain([None]);
        let rejected = self.counts.rejected.0.iter().map(read);
        WriterSnapshot {
            accepted: read(&self.counts.accepted),
            rejected: RejectionCode::ALL.into_iter().zip(rejected).collect(),
            repeated: read(&self.counts.repeated),
            durations: bounds.zip(self.counts.durations.iter().map(read)).collect(),
            duration_us: read(&self.counts.duration_us),
            conflicts: read(&self.counts.conflicts),
            ambiguous: read(&self.counts.ambiguous),
            failures: read(&self.counts.failures),
            decided_anew: read(&self.counts.decided_anew),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::WriterCounters;
    use crate::Error;

    #[test]
    fn an_append_is_counted_under_the_smallest_bound_that_holds_its_duration() {
        for (us, bound) in [
            (0, Some(500)),
            (500, Some(500)),
            (501, Some(1_000)),
            (30_000_000, Some(30_000_000)),
            (30_000_001, None),
        ] {
            let counters = WriterCounters::default();
            counters.appended(&Ok(()), Duration::from_micros(us));
            let snapshot = counters.snapshot();
            assert_eq!(snapshot.duration_us, us);
            let mut counted = snapshot.durations;
            counted.retain(|(_, count)| *count > 0);
            assert_eq!(counted, [(bound, 1)], "{us} µs");
        }
    }

    #[test]
    fn what_was_not_committed_has_no_duration() {
        let counters = WriterCounters::default();
        let took = Duration::from_secs(1);
        counters.appended(&Err(Error::Conflict), took);
        counters.appended(&Err(Error::Ambiguous(sqlx::Error::PoolClosed)), took);
        counters.appended(&Err(Error::Unavailable(sqlx::Error::PoolClosed)), took);
        let snapshot = counters.clone().snapshot();
        assert_eq!(
            (snapshot.conflicts, snapshot.ambiguous, snapshot.failures),
            (1, 1, 1)
        );
        assert_eq!(snapshot.duration_us, 0);
        assert!(snapshot.durations.iter().all(|(_, count)| *count == 0));
    }
}
