//! What publishing to the feed comes to, counted for the life of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one pipeline's publishes, over all its runs. Clones count in the same place.
#[derive(Debug, Clone, Default)]
pub struct FeedCounters {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    acknowledged: AtomicU64,
    duplicates: AtomicU64,
    failures: AtomicU64,
}

/// What publishing came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedSnapshot {
    /// Publishes that were acknowledged, duplicates included.
    pub acknowledged: u64,
    /// Those of them that the stream had already, and dropped.
    pub duplicates: u64,
    /// Publishes that could not be sent, or whose acknowledgement did not come. The first one in a batch ends the run,
    /// and the next run publishes the batch again.
    pub failures: u64,
}

impl FeedCounters {
    pub(crate) fn acknowledged(&self, is_duplicate: bool) {
        self.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
        if is_duplicate {
            self.counts.duplicates.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn failed(&self) {
        self.counts.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// What has been counted up to now.
    pub fn snapshot(&self) -> FeedSnapshot {
        FeedSnapshot {
            acknowledged: self.counts.acknowledged.load(Ordering::Relaxed),
            duplicates: self.counts.duplicates.load(Ordering::Relaxed),
            failures: self.counts.failures.load(Ordering::Relaxed),
        }
    }
}
