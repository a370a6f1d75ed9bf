//! A log in memory, and the source that reads it.
//!
//! The log outlives its sources, as a stream on a server does. It remembers what is settled: a new source begins
//! behind that, or behind the offset of a sink that keeps one.

use std::sync::{Arc, Mutex};

use futures::future::BoxFuture;
use futures::stream;
use tokio::sync::watch;

use super::{FailWhen, bare_message, lock, within_deadline};
use crate::component::{Opened, Resume, Settler, Source};
use crate::failure::Failure;
use crate::message::{Delivery, Message};

/// A log in memory; clones are the same log.
pub struct MemoryLog<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Told of each change.
    changed: watch::Sender<()>,
}

struct State<T> {
    records: Vec<Delivery<T>>,
    delivered: u64,
    settle_calls: Vec<u64>,
    opened: Vec<Option<Resume>>,
}

impl<T> Clone for MemoryLog<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl MemoryLog<Arc<Message>> {
    /// A log of whole messages at their own positions, which must rise.
    pub fn of_messages(messages: impl IntoIterator<Item = Message>) -> Self {
        let log = Self::of([]);
        for message in messages {
            let origin = Arc::new(message);
            log.append(Delivery {
                position: origin.position,
                item: Arc::clone(&origin),
                origin: Some(origin),
            });
        }
        log
    }
}

impl<T: Clone + Send + 'static> MemoryLog<T> {
    /// A log of these items, at the positions 1, 2, 3 and so on.
    pub fn of(items: impl IntoIterator<Item = T>) -> Self {
        let log = Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    records: Vec::new(),
                    delivered: 0,
                    settle_calls: Vec::new(),
                    opened: Vec::new(),
                }),
                changed: watch::Sender::new(()),
            }),
        };
        for item in items {
            log.push(item);
        }
        log
    }

    /// Appends an item at the position after the last; its origin is an empty message called `memory.<position>`.
    pub fn push(&self, item: T) {
        let last = lock(&self.shared.state)
            .records
            .last()
            .map(|last| last.position);
        let position = last.unwrap_or(0) + 1;
        self.append(Delivery {
            position,
            origin: Some(bare_message(position)),
            item,
        });
    }

    /// Appends a delivery as it is.
    pub fn append(&self, delivery: Delivery<T>) {
        lock(&self.shared.state).records.push(delivery);
        self.shared.changed.send_replace(());
    }

    /// A source that reads this log, waiting at its end for more.
    pub fn source(&self) -> MemorySource<T> {
        MemorySource {
            log: self.clone(),
            ending: false,
            fail_open: None,
            fail_delivery: None,
            fail_settle: None,
        }
    }

    /// Everything up to and including this position is settled; 0 = nothing yet.
    pub fn settled(&self) -> u64 {
        lock(&self.shared.state).settled()
    }

    /// The position of each call of settle, in order.
    pub fn settle_calls(&self) -> Vec<u64> {
        lock(&self.shared.state).settle_calls.clone()
    }

    /// How many deliveries have been handed out, repeated ones included.
    pub fn delivered(&self) -> u64 {
        lock(&self.shared.state).delivered
    }

    /// With what each source was opened, in order.
    pub fn opened(&self) -> Vec<Option<Resume>> {
        lock(&self.shared.state).opened.clone()
    }

    /// Waits until `position` is settled, with a deadline of five minutes.
    pub async fn until_settled(&self, position: u64) {
        let reached = |log: &Self| log.settled() >= position;
        self.until(reached, &format!("position {position} was not settled"))
            .await;
    }

    /// Waits until `count` deliveries have been handed out, with a deadline of five minutes.
    pub async fn until_delivered(&self, count: u64) {
        let reached = |log: &Self| log.delivered() >= count;
        self.until(reached, &format!("{count} records were not delivered"))
            .await;
    }

    async fn until(&self, reached: impl Fn(&Self) -> bool, otherwise: &str) {
        let mut changed = self.shared.changed.subscribe();
        let waiting = async {
            // The sender lives in the log that `self` holds.
            while !reached(self) && changed.changed().await.is_ok() {}
        };
        within_deadline(waiting, otherwise).await;
    }

    /// Counts and returns the record behind `position`, if there is one.
    fn next_after(&self, position: u64) -> Option<Delivery<T>> {
        let mut state = lock(&self.shared.state);
        let next = state
            .records
            .partition_point(|record| record.position <= position);
        let next = state.records.get(next).cloned()?;
        state.delivered += 1;
        self.shared.changed.send_replace(());
        Some(next)
    }
}

impl<T> State<T> {
    fn settled(&self) -> u64 {
        self.settle_calls.iter().copied().max().unwrap_or(0)
    }
}

/// Reads a [`MemoryLog`] from its first unsettled record, or from behind a sink's offset.
pub struct MemorySource<T> {
    log: MemoryLog<T>,
    ending: bool,
    fail_open: Option<Failure>,
    fail_delivery: Option<FailWhen>,
    fail_settle: Option<FailWhen>,
}

impl<T> MemorySource<T> {
    /// The stream ends at the end of the log instead of waiting for more.
    #[must_use]
    pub fn ending(mut self) -> Self {
        self.ending = true;
        self
    }

    /// Cannot be opened.
    #[must_use]
    pub fn failing_to_open(mut self, failure: Failure) -> Self {
        self.fail_open = Some(failure);
        self
    }

    /// Fails instead of delivering the positions for which `when` answers with a failure.
    #[must_use]
    pub fn failing(mut self, when: impl FnMut(u64) -> Option<Failure> + Send + 'static) -> Self {
        self.fail_delivery = Some(Box::new(when));
        self
    }

    /// Fails to settle the positions for which `when` answers with a failure.
    #[must_use]
    pub fn failing_to_settle(
        mut self,
        when: impl FnMut(u64) -> Option<Failure> + Send + 'static,
    ) -> Self {
        self.fail_settle = Some(Box::new(when));
        self
    }
}

impl<T: Clone + Send + 'static> Source for MemorySource<T> {
    type Item = T;

    async fn open(self, resume: Option<Resume>) -> Result<Opened<T>, Failure> {
        let Self {
            log,
            ending,
            fail_open,
            fail_delivery,
            fail_settle,
        } = self;
        if let Some(failure) = fail_open {
            return Err(failure);
        }
        let settled = log.settled();
        let position = resume.as_ref().map_or(settled, |resume| resume.position);
        lock(&log.shared.state).opened.push(resume);
        let reader = Reader {
            log: log.clone(),
            position,
            ending,
            fail: fail_delivery,
        };
        Ok(Opened {
            deliveries: Box::pin(stream::unfold(reader, Reader::next)),
            settler: Box::new(MemorySettler {
                log,
                fail: fail_settle,
            }),
        })
    }

    fn describe(&self) -> String {
        "a log in memory".to_owned()
    }
}

struct Reader<T> {
    log: MemoryLog<T>,
    position: u64,
    ending: bool,
    fail: Option<FailWhen>,
}

impl<T: Clone + Send + 'static> Reader<T> {
    async fn next(mut self) -> Option<(Result<Delivery<T>, Failure>, Self)> {
        let mut changed = self.log.shared.changed.subscribe();
        loop {
            if let Some(delivery) = self.log.next_after(self.position) {
                self.position = delivery.position;
                let failure = self.fail.as_mut().and_then(|fail| fail(self.position));
                return Some((failure.map_or(Ok(delivery), Err), self));
            }
            if self.ending || changed.changed().await.is_err() {
                return None;
            }
        }
    }
}

struct MemorySettler<T> {
    log: MemoryLog<T>,
    fail: Option<FailWhen>,
}

impl<T: Send> Settler for MemorySettler<T> {
    fn settle(&mut self, position: u64) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            if let Some(failure) = self.fail.as_mut().and_then(|fail| fail(position)) {
                return Err(failure);
            }
            lock(&self.log.shared.state).settle_calls.push(position);
            self.log.shared.changed.send_replace(());
            Ok(())
        })
    }
}
