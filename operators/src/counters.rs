//! What validating comes to, counted for the life of the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store::WriterCounters;

/// The counters of one pipeline's commands, over all its runs. Clones count in the same place.
#[derive(Debug, Clone, Default)]
pub struct CommandCounters {
    /// What became of the commands, and what their commits took. The writer counts these.
    pub writer: WriterCounters,
    events_again: Arc<AtomicU64>,
}

impl CommandCounters {
    /// Events that were handed on to be published again, since whoever committed them may have died before.
    pub fn events_again(&self) -> u64 {
        self.events_again.load(Ordering::Relaxed)
    }

    pub(crate) fn publishes_again(&self, events: usize) {
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        self.events_again.fetch_add(events, Ordering::Relaxed);
    }
}
