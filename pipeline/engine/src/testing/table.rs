//! A table in memory, and the sink that writes it.
//!
//! The table outlives its sinks, as one in a database does. Rows are keyed by position, so writing a batch twice
//! changes nothing. On request a sink keeps its offset in the table, with an epoch as its fence.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::{FailWhen, lock, within_deadline};
use crate::component::{Resume, Sink};
use crate::failure::Failure;
use crate::message::Batch;

/// A table in memory; clones are the same table.
pub struct MemoryTable<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Told of each change.
    changed: watch::Sender<()>,
}

struct State<T> {
    rows: BTreeMap<u64, T>,
    /// The positions of each write, in order, repeated ones included.
    writes: Vec<Vec<u64>>,
    idle_calls: u64,
    offset: u64,
    epoch: u64,
}

impl<T> Clone for MemoryTable<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: Clone> Default for MemoryTable<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> MemoryTable<T> {
    /// An empty table.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    rows: BTreeMap::new(),
                    writes: Vec::new(),
                    idle_calls: 0,
                    offset: 0,
                    epoch: 0,
                }),
                changed: watch::Sender::new(()),
            }),
        }
    }

    /// A sink that writes this table.
    pub fn sink(&self) -> MemorySink<T> {
        MemorySink {
            table: self.clone(),
            epoch: None,
            keeps_offset: false,
            delay: Duration::ZERO,
            writes: 0,
            fail_open: None,
            fail_before: None,
            fail_after: None,
        }
    }

    /// What it holds, in order of position.
    pub fn rows(&self) -> BTreeMap<u64, T> {
        lock(&self.shared.state).rows.clone()
    }

    /// The items alone, in order of position.
    pub fn items(&self) -> Vec<T> {
        self.rows().into_values().collect()
    }

    /// The positions of each write, in order, repeated ones included.
    pub fn writes(&self) -> Vec<Vec<u64>> {
        lock(&self.shared.state).writes.clone()
    }

    /// How often a sink has been told that it is idle.
    pub fn idle_calls(&self) -> u64 {
        lock(&self.shared.state).idle_calls
    }

    /// Up to where a sink that keeps the offset has written.
    pub fn offset(&self) -> u64 {
        lock(&self.shared.state).offset
    }

    /// Waits until there have been `count` writes, with a deadline of five minutes.
    pub async fn until_writes(&self, count: usize) {
        let mut changed = self.shared.changed.subscribe();
        let waiting = async {
            // The sender lives in the table that `self` holds.
            while self.writes().len() < count && changed.changed().await.is_ok() {}
        };
        within_deadline(waiting, &format!("{count} writes did not come")).await;
    }
}

/// Writes a [`MemoryTable`].
pub struct MemorySink<T> {
    table: MemoryTable<T>,
    /// Its fence, once open, if it keeps the offset.
    epoch: Option<u64>,
    keeps_offset: bool,
    delay: Duration,
    writes: u64,
    fail_open: Option<Failure>,
    fail_before: Option<FailWhen>,
    fail_after: Option<FailWhen>,
}

impl<T> MemorySink<T> {
    /// Keeps the offset in the table, and is fenced by the next sink that does.
    #[must_use]
    pub fn keeping_offset(mut self) -> Self {
        self.keeps_offset = true;
        self
    }

    /// Waits so long in each write before it does anything.
    #[must_use]
    pub fn slow(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Cannot be opened.
    #[must_use]
    pub fn failing_to_open(mut self, failure: Failure) -> Self {
        self.fail_open = Some(failure);
        self
    }

    /// Fails the writes (1, 2, 3 …) for which `when` answers with a failure; they change nothing.
    #[must_use]
    pub fn failing(mut self, when: impl FnMut(u64) -> Option<Failure> + Send + 'static) -> Self {
        self.fail_before = Some(Box::new(when));
        self
    }

    /// Fails the writes for which `when` answers with a failure, but after they have taken effect: the answer of the
    /// server was lost.
    #[must_use]
    pub fn failing_after_commit(
        mut self,
        when: impl FnMut(u64) -> Option<Failure> + Send + 'static,
    ) -> Self {
        self.fail_after = Some(Box::new(when));
        self
    }
}

impl<T: Clone + Send + Sync + 'static> MemorySink<T> {
    /// The transaction: fence, offset and rows at once.
    fn commit(&self, batch: &Batch<T>) -> Result<(), Failure> {
        let mut state = lock(&self.table.shared.state);
        let mut after = None;
        if let Some(epoch) = self.epoch {
            if state.epoch != epoch {
                return Err(Failure::fatal(format!(
                    "fenced: the table is written by epoch {}, this sink has epoch {epoch}; stop one of the two",
                    state.epoch
                )));
            }
            after = Some(state.offset);
            state.offset = state.offset.max(batch.last_position);
        }
        state.writes.push(
            batch
                .deliveries
                .iter()
                .map(|delivery| delivery.position)
                .collect(),
        );
        for delivery in &batch.deliveries {
            if after.is_none_or(|offset| delivery.position > offset) {
                state.rows.insert(delivery.position, delivery.item.clone());
            }
        }
        drop(state);
        self.table.shared.changed.send_replace(());
        Ok(())
    }
}

impl<T: Clone + Send + Sync + 'static> Sink for MemorySink<T> {
    type Item = T;

    async fn open(&mut self) -> Result<Option<Resume>, Failure> {
        if let Some(failure) = self.fail_open.take() {
            return Err(failure);
        }
        if !self.keeps_offset {
            return Ok(None);
        }
        let mut state = lock(&self.table.shared.state);
        state.epoch += 1;
        self.epoch = Some(state.epoch);
        Ok(Some(Resume {
            position: state.offset,
            mark: None,
        }))
    }

    async fn write(&mut self, batch: &Batch<T>) -> Result<(), Failure> {
        self.writes += 1;
        let write = self.writes;
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        if let Some(failure) = self.fail_before.as_mut().and_then(|fail| fail(write)) {
            return Err(failure);
        }
        self.commit(batch)?;
        match self.fail_after.as_mut().and_then(|fail| fail(write)) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    async fn idle(&mut self) -> Result<(), Failure> {
        lock(&self.table.shared.state).idle_calls += 1;
        Ok(())
    }

    fn describe(&self) -> String {
        "a table in memory".to_owned()
    }
}
