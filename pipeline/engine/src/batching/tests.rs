//! The limits of a batch, with a paused clock.

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
async fn while_records_flow_batches_keep_their_distance_and_full_ones_do_not() {
    let one_a_millisecond = stream::iter(1..=100).then(|position| async move {
        sleep(Duration::from_millis(1)).await;
        Ok(at(position))
    });
    let mut flowing = batcher(one_a_millisecond);
    (flowing.linger, flowing.spacing) = (Duration::ZERO, Duration::from_millis(20));
    let mut sizes = Vec::new();
    while let Some(positions) = next_positions(&mut flowing).await {
        sizes.push(positions.len());
    }
    // The first goes at once, and is followed by a quarter of the distance.
    assert_eq!(sizes, [1, 5, 20, 20, 20, 20, 14]);

    let mut full = batcher(ready(1..=5000).chain(stream::pending()));
    full.spacing = Duration::from_millis(20);
    let begun = Instant::now();
    next_positions(&mut full).await;
    next_positions(&mut full).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_when_nothing_flows_does_not_wait() {
    let now_and_then = stream::iter(1..=3).then(|position| async move {
        sleep(Duration::from_millis(5)).await;
        Ok(at(position))
    });
    let mut batcher = batcher(now_and_then);
    (batcher.linger, batcher.spacing) = (Duration::ZERO, Duration::from_millis(20));
    let begun = Instant::now();
    for position in 1..=3 {
        assert_eq!(next_positions(&mut batcher).await, Some(vec![position]));
    }
    assert_eq!(begun.elapsed(), Duration::from_millis(15));
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
