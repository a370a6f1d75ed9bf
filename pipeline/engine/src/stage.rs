//! What the source, the sinks and the settlement do with a batch.
//!
//! Owns their loops; each is one task, between two queues. Guarantees that a batch leaves a sink only when its write
//! has returned, and that a position is settled only after the last sink has written it. Operators have a module of
//! their own; starting and ending the tasks is the run's business.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::batching::Batcher;
use crate::component::{Resume, Settler, Sink};
use crate::counters::NodeCounters;
use crate::failure::Failure;
use crate::fault;
use crate::message::Batch;
use crate::queue::{Inlet, Outlet, Parcel};
use crate::status::PipelineStatus;

/// A sink whose type has been forgotten, so that a topology can hold several.
pub(crate) trait AnySink<T>: Send {
    fn open(&mut self) -> BoxFuture<'_, Result<Option<Resume>, Failure>>;
    fn write<'a>(&'a mut self, batch: &'a Batch<T>) -> BoxFuture<'a, Result<(), Failure>>;
    fn idle(&mut self) -> BoxFuture<'_, Result<(), Failure>>;
}

impl<S: Sink> AnySink<S::Item> for S {
    fn open(&mut self) -> BoxFuture<'_, Result<Option<Resume>, Failure>> {
        Box::pin(Sink::open(self))
    }

    fn write<'a>(&'a mut self, batch: &'a Batch<S::Item>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(Sink::write(self, batch))
    }

    fn idle(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(Sink::idle(self))
    }
}

/// Gathers batches and hands them on, until the source ends or shutdown begins.
pub(crate) async fn gather<T: Send>(
    mut batcher: Batcher<T>,
    outlet: Outlet<T>,
    counters: Arc<NodeCounters>,
    status: PipelineStatus,
    over: CancellationToken,
) -> Result<(), Failure> {
    // The place comes first: what arrives while the queue is full makes a larger batch, and nothing is taken from the
    // source that there is no room for.
    loop {
        let since = Instant::now();
        let Ok(place) = outlet.reserve().await else {
            break;
        };
        counters.blocked(since.elapsed());
        let Some(batch) = batcher.next().await? else {
            break;
        };
        let records = batch.deliveries.len();
        counters.finished(records);
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        status.taken(records);
        place.fill(Parcel {
            batch,
            records,
            gathered_at: Instant::now(),
        });
    }
    drop(outlet);
    // The source stays open, unread, until the last batch is settled: one that gave up its claim on the log earlier
    // would have its unsettled deliveries handed to someone else.
    over.cancelled().await;
    drop(batcher);
    Ok(())
}

/// Writes each batch to the sink and hands it on; tells the sink when nothing comes.
pub(crate) async fn write<T: Send + Sync>(
    mut sink: Box<dyn AnySink<T>>,
    mut inlet: Inlet<T>,
    outlet: Outlet<T>,
    counters: Arc<NodeCounters>,
    idle_after: Duration,
) -> Result<(), Failure> {
    loop {
        let Ok(arrived) = timeout(idle_after, inlet.next()).await else {
            let _working = counters.work();
            sink.idle().await?;
            continue;
        };
        let Some(parcel) = arrived else {
            return Ok(());
        };
        let records = parcel.batch.deliveries.len();
        counters.took(records);
        let working = counters.work();
        sink.write(&parcel.batch).await?;
        drop(working);
        counters.finished(records);
        if outlet.send(parcel, &counters).await.is_err() {
            return Ok(());
        }
    }
}

/// Settles each batch that has come through the last sink.
pub(crate) async fn settle<T: Send>(
    mut settler: Box<dyn Settler>,
    mut inlet: Inlet<T>,
    status: PipelineStatus,
) -> Result<(), Failure> {
    while let Some(parcel) = inlet.next().await {
        let position = parcel.batch.last_position;
        fault::point("before_settle");
        settler.settle(position).await?;
        let took = parcel.gathered_at.elapsed();
        let batch_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        status.settled(parcel.records, position, batch_us);
    }
    settler.finish().await;
    Ok(())
}
