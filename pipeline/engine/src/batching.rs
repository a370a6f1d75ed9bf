//! How deliveries become batches.
//!
//! Owns the limits of a batch and the loop that gathers one. Guarantees that a batch is never empty, never larger than
//! [`Batching::records_max`], holds deliveries in strictly rising order of position, and that its first delivery
//! waits at most [`Batching::linger`] for company. Does not look into items, and does not settle anything.

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
        }
    }
}

/// Gathers the deliveries of one source into batches.
pub(crate) struct Batcher<T> {
    deliveries: BoxStream<'static, Result<Delivery<T>, Failure>>,
    source: String,
    records_max: usize,
    linger: Duration,
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
            let until = Instant::now() + self.linger;
            self.gather(&mut gathered, self.records_max, Some(until))
                .await?;
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

    /// Takes all that is ready, in one go: a look at the clock or at the shutdown for each record would cost more
    /// than the record.
    fn take_ready(
        &mut self,
        gathered: &mut Vec<Delivery<T>>,
        enough: usize,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        while gathered.len() < self.records_max {
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
                Poll::Pending if gathered.len() < enough => return Poll::Pending,
                Poll::Pending => break,
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
mod tests {
    use std::time::Duration;

    use futures::stream::{self, Stream, StreamExt};
    use tokio::time::{Instant, sleep};
    use tokio_util::sync::CancellationToken;

    use super::{Batcher, Batching};
    use crate::failure::{Failure, RetryClass};
    use crate::message::Delivery;

    type Arrival = Result<Delivery<()>, Failure>;

    fn at(position: u64) -> Delivery<()> {
        Delivery {
            position,
            origin: None,
            item: (),
        }
    }

    fn ready(
        positions: impl IntoIterator<Item = u64, IntoIter: Send> + 'static,
    ) -> impl Stream<Item = Arrival> + Send {
        stream::iter(positions.into_iter().map(at).map(Ok))
    }

    fn batcher(stream: impl Stream<Item = Arrival> + Send + 'static) -> Batcher<()> {
        let batching = Batching::default();
        Batcher::new("log", stream.boxed(), &batching, CancellationToken::new())
    }

    async fn next_positions(batcher: &mut Batcher<()>) -> Option<Vec<u64>> {
        let batch = batcher.next().await.unwrap()?;
        let positions: Vec<u64> = batch
            .deliveries
            .iter()
            .map(|delivery| delivery.position)
            .collect();
        assert_eq!(positions.last(), Some(&batch.last_position));
        Some(positions)
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_record_waits_for_the_linger_and_no_longer() {
        let mut batcher = batcher(ready([1]).chain(stream::pending()));
        let begun = Instant::now();
        assert_eq!(next_positions(&mut batcher).await, Some(vec![1]));
        assert_eq!(begun.elapsed(), Duration::from_millis(2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_arrived_fills_batches_without_a_wait() {
        let mut batcher = batcher(ready(1..=5000).chain(stream::pending()));
        let begun = Instant::now();
        assert_eq!(next_positions(&mut batcher).await.unwrap().len(), 2048);
        assert_eq!(next_positions(&mut batcher).await.unwrap().len(), 2048);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(next_positions(&mut batcher).await.unwrap().len(), 904);
        assert_eq!(begun.elapsed(), Duration::from_millis(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_linger_begins_with_the_first_record_of_each_batch() {
        let trickle = stream::unfold(1, |position| async move {
            sleep(Duration::from_millis(3)).await;
            Some((Ok(at(position)), position + 1))
        });
        let mut batcher = batcher(trickle);
        batcher.linger = Duration::from_millis(7);
        // Arrivals at 3, 6, 9 ms, closed at 10; then 12, 15, 18, closed at 19.
        assert_eq!(next_positions(&mut batcher).await, Some(vec![1, 2, 3]));
        assert_eq!(next_positions(&mut batcher).await, Some(vec![4, 5, 6]));
    }

    #[tokio::test(start_paused = true)]
    async fn records_that_are_there_are_taken_even_when_the_linger_is_over() {
        let slow_to_decode = ready(1..=20).map(|arrival| {
            std::thread::sleep(Duration::from_micros(10));
            arrival
        });
        let mut batcher = batcher(slow_to_decode);
        batcher.linger = Duration::ZERO;
        assert_eq!(next_positions(&mut batcher).await.unwrap().len(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_stream_closes_the_last_batch_at_once() {
        let mut batcher = batcher(ready([1, 2]));
        let begun = Instant::now();
        assert_eq!(next_positions(&mut batcher).await, Some(vec![1, 2]));
        assert_eq!(next_positions(&mut batcher).await, None);
        assert_eq!(next_positions(&mut batcher).await, None);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_closes_the_batch_that_is_open_and_takes_no_more() {
        let later = stream::once(async {
            sleep(Duration::from_secs(1)).await;
            Ok(at(3))
        });
        let mut batcher = batcher(ready([1, 2]).chain(later).chain(ready([4])));
        batcher.linger = Duration::from_mins(1);
        let shutdown = batcher.shutdown.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(500)).await;
            shutdown.cancel();
        });
        assert_eq!(next_positions(&mut batcher).await, Some(vec![1, 2]));
        sleep(Duration::from_secs(5)).await;
        assert_eq!(next_positions(&mut batcher).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_position_that_does_not_rise_is_a_bug_of_the_source() {
        for positions in [[1, 2, 2], [1, 7, 3]] {
            let last = positions[1];
            let wrong = positions[2];
            // In the same batch, and in the next one.
            for records_max in [10, 2] {
                let mut batcher = batcher(ready(positions));
                batcher.records_max = records_max;
                let failure = loop {
                    match batcher.next().await {
                        Ok(batch) => assert!(batch.is_some(), "the wrong position was let through"),
                        Err(failure) => break failure,
                    }
                };
                assert_eq!(failure.class(), RetryClass::Fatal);
                let named = format!("\"log\" delivered position {wrong} after position {last}");
                assert!(failure.chain().contains(&named), "{}", failure.chain());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_of_the_source_abandons_the_open_batch() {
        let failing = stream::once(async { Err(Failure::retry("connection lost")) });
        let mut batcher = batcher(ready([1, 2]).chain(failing));
        assert_eq!(batcher.next().await.unwrap_err().chain(), "connection lost");
    }
}
