//! What the rules for sinks share: records, pipelines, and how a broken rule is told.

use std::future::Future;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::SinkUnderTest;
use crate::batching::Batching;
use crate::component::{Resume, Sink};
use crate::failure::{Failure, RetryClass};
use crate::message::{Batch, Delivery};
use crate::run::Finished;
use crate::testing::{MemoryLog, run_to_end};
use crate::topology::Topology;

/// How many records each rule writes.
pub(super) const RECORDS: u64 = 48;
/// The last record before something happens.
pub(super) const FIRST: u64 = 16;
/// The last record of the batch after that.
pub(super) const SECOND: u64 = 32;
/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// The effect of all records written by one sink without any disturbance.
pub(super) async fn undisturbed<U: SinkUnderTest>(new_place: &impl AsyncFn() -> U) -> String {
    let place = new_place().await;
    let log = log_of(&place);
    whole(run_to_end(pipeline(&log, place.build().await, true)).await);
    place.effect().await
}

pub(super) async fn opened<U: SinkUnderTest>(place: &U) -> (U::Sink, Option<Resume>) {
    let mut sink = place.build().await;
    let resume = must(sink.open().await, "open the sink");
    (sink, resume)
}

/// The records at these positions.
pub(super) fn batch<U: SinkUnderTest>(
    place: &U,
    positions: RangeInclusive<u64>,
) -> Batch<<U::Sink as Sink>::Item> {
    Batch {
        last_position: *positions.end(),
        deliveries: deliveries(place)
            .filter(|delivery| positions.contains(&delivery.position))
            .collect(),
    }
}

fn deliveries<U: SinkUnderTest>(
    place: &U,
) -> impl Iterator<Item = Delivery<<U::Sink as Sink>::Item>> {
    let positions = 1..=RECORDS;
    let items = place.items(positions.clone().count());
    assert_eq!(
        items.len(),
        positions.clone().count(),
        "`items` must give as many as asked for"
    );
    positions.zip(items).map(|(position, item)| Delivery {
        position,
        origin: place.origin(position),
        item,
    })
}

pub(super) fn log_of<U: SinkUnderTest>(place: &U) -> MemoryLog<<U::Sink as Sink>::Item> {
    let log = MemoryLog::of([]);
    for delivery in deliveries(place) {
        log.append(delivery);
    }
    log
}

/// Small batches and short queues, so that many are in flight at once.
pub(super) fn pipeline<S: Sink<Item: Clone>>(
    log: &MemoryLog<S::Item>,
    sink: S,
    ending: bool,
) -> Topology {
    let source = if ending {
        log.source().ending()
    } else {
        log.source()
    };
    Topology::named("contract")
        .source("log", source)
        .batching(Batching {
            records_max: 4,
            queue_batches: 1,
            idle_after: Duration::from_millis(1),
            ..Batching::default()
        })
        .drain_within(PATIENCE)
        .into("sink", sink)
        .build()
}

/// Takes its time before each write, so that the queues in front of it fill.
pub(super) struct Slow<S>(pub(super) S);

impl<S: Sink> Sink for Slow<S> {
    type Item = S::Item;

    fn open(&mut self) -> impl Future<Output = Result<Option<Resume>, Failure>> + Send {
        self.0.open()
    }

    async fn write(&mut self, batch: &Batch<S::Item>) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        self.0.idle().await?;
        self.0.write(batch).await
    }

    fn idle(&mut self) -> impl Future<Output = Result<(), Failure>> + Send {
        self.0.idle()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}

fn whole(finished: Result<Finished, Failure>) {
    let finished = must(finished, "run to the end of the log");
    assert_eq!(finished.settled, RECORDS, "all records must be settled");
}

pub(super) fn assert_fenced(written: Result<(), Failure>) {
    let Err(failure) = written else {
        panic!("a sink must be refused once its twin has taken the fence");
    };
    let chain = failure.chain();
    assert_eq!(
        failure.class(),
        RetryClass::Fatal,
        "must stop for good: {chain}"
    );
    assert!(chain.contains("fenced"), "must say \"fenced\": {chain}");
}

pub(super) fn must<T>(result: Result<T, Failure>, what: &str) -> T {
    result.unwrap_or_else(|failure| panic!("must be able to {what}: {}", failure.chain()))
}
