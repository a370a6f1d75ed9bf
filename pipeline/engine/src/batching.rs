//! How deliveries become batches.
//!
//! Owns the limits of a batch and the loop that gathers one. Guarantees that a batch is never empty, never larger than
//! [`Batching::records_max`], holds deliveries in strictly rising order of position, and that its first delivery
//! waits at most [`Batching::linger`] for company, or as long as the batches keep their distance ([`Batching::spacing`]).
//! Does not look into items, and does not settle anything.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::message::{Batch, Delivery};

/// How large batches grow, how long they wait, and how many may queue between two stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batching {
    /// The most records in one batch; at least 1.
    pub records_max: usize,
    /// How long the first record of a batch waits for more once nothing else is there. What is there already never
    /// waits: it is taken without looking at the clock.
    pub linger: Duration,
    /// How long after a batch the next one is closed at the earliest, unless it is full: while records flow, each batch
    /// costs the stages behind as much as many records, so fewer and larger ones leave them more time. Behind a batch of
    /// fewer than four records it is a quarter of that for each: who sends one after the other does not wait for company
    /// that will not come.
    pub spacing: Duration,
    /// How many batches may wait in front of each stage; at least 1.
    pub queue_batches: usize,
    /// How long nothing must have arrived at a sink before it is told that it is idle; at least 1 ms.
    pub idle_after: Duration,
}

impl Default for Batching {
    /// Measured on a JetStream consumer at 76,000 messages/s: without a linger chunks hold 8 to 15 records, with 2 ms
    /// some 380. Two batches per queue keep a stage busy while its neighbour hiccups; more would only add latency.
    fn default() -> Self {
        Self {
            records_max: 2048,
            linger: Duration::from_millis(2),
            spacing: Duration::ZERO,
            queue_batches: 2,
            idle_after: Duration::from_secs(1),
        }
    }
}

impl Batching {
    /// The same with every limit raised to the least that can work.
    pub(crate) fn at_least_one(self) -> Self {
        Self {
            records_max: self.records_max.max(1),
            queue_batches: self.queue_batches.max(1),
            idle_after: self.idle_after.max(Duration::from_millis(1)),
            linger: self.linger,
            spacing: self.spacing,
        }
    }
}

/// A batch of so many records is followed by the whole distance.
const SPACED_FROM: u32 = 4;

/// Gathers the deliveries of one source into batches.
pub(crate) struct Batcher<T> {
    deliveries: BoxStream<'static, Result<Delivery<T>, Failure>>,
    source: String,
    records_max: usize,
    linger: Duration,
    spacing: Duration,
    /// When the next batch may be closed.
    not_before: Instant,
    /// The last position taken; `None` before the first, so that a log may begin at position 0.
    last_position: Option<u64>,
    shutdown: CancellationToken,
    ended: bool,
}

impl<T> Batcher<T> {
    /// Gathers from `deliveries`, which come from the node called `source`, until they end or `shutdown`.
    pub(crate) fn new(
        source: &str,
        deliveries: BoxStream<'static, Result<Delivery<T>, Failure>>,
        batching: &Batching,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            deliveries,
            source: source.to_owned(),
            records_max: batching.records_max,
            linger: batching.linger,
            spacing: batching.spacing,
            not_before: Instant::now(),
            last_position: None,
            shutdown,
            ended: false,
        }
    }

    /// The next batch; `None` when the deliveries have ended or shutdown has begun.
    ///
    /// At shutdown what has been gathered so far still makes a batch: it has been taken from the source and is cheaper
    /// to finish than to deliver again. A failure of the source abandons it.
    pub(crate) async fn next(&mut self) -> Result<Option<Batch<T>>, Failure> {
        let mut gathered = Vec::new();
        self.gather(&mut gathered, 1, None).await?;
        if !gathered.is_empty() {
            let until = (Instant::now() + self.linger).max(self.not_before);
            self.gather(&mut gathered, self.records_max, Some(until))
                .await?;
            let records = u32::try_from(gathered.len()).unwrap_or(u32::MAX);
            let distance = self.spacing * records.min(SPACED_FROM) / SPACED_FROM;
            self.not_before = Instant::now() + distance;
        }
        let last_position = gathered.last().map(|delivery| delivery.position);
        Ok(last_position.map(|last_position| Batch {
            deliveries: gathered,
            last_position,
        }))
    }

    /// Takes deliveries until there are `enough`, or the time has come, or there will be no more.
    async fn gather(
        &mut self,
        gathered: &mut Vec<Delivery<T>>,
        enough: usize,
        until: Option<Instant>,
    ) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        let shutdown = self.shutdown.clone();
        let time_has_come = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {
                self.ended = true;
                Ok(())
            }
            // Before the clock: what is ready is taken even when the linger is over, since it costs no wait.
            taken = poll_fn(|context| self.take_ready(gathered, enough, context)) => taken,
            () = time_has_come => Ok(()),
        }
    }

    /// Takes what is ready until there are `enough`, in one go: a look at the clock or at the shutdown for each record
    /// would cost more than the record.
    fn take_ready(
        &mut self,
        gathered: &mut Vec<Delivery<T>>,
        enough: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        while gathered.len() < enough {
            match self.deliveries.poll_next_unpin(context) {
                Poll::Ready(Some(delivery)) => {
                    let delivery = delivery?;
                    self.accept(&delivery)?;
                    gathered.push(delivery);
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    break;
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Positions are what is settled, so one that does not rise would settle deliveries that nobody has seen.
    fn accept(&mut self, delivery: &Delivery<T>) -> Result<(), Failure> {
        let position = delivery.position;
        if let Some(last) = self.last_position
            && position <= last
        {
            return Err(Failure::fatal(format!(
                "source \"{}\" delivered position {position} after position {last}: positions must rise; \
                 this is a bug of the source",
                self.source
            )));
        }
        self.last_position = Some(position);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
