//! The bounded queues between stages.
//!
//! Owns the channel between two stages and the gauge that shows how full it is. Guarantees order and a fixed
//! capacity; a stage that is slow makes the one before it wait, back to the source. A closed queue is no failure:
//! the neighbour has ended, and if it ended badly its own failure says why.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::counters::NodeCounters;
use crate::message::Batch;

/// A batch on its way, with what the engine wants to know about it at the end.
pub(crate) struct Parcel<T> {
    pub(crate) batch: Batch<T>,
    /// How many records the source delivered for it; some may have been skipped or buried since.
    pub(crate) records: u64,
    /// When it was gathered.
    pub(crate) gathered_at: Instant,
}

/// The end of a queue that is written to.
pub(crate) struct Outlet<T> {
    sender: mpsc::Sender<Parcel<T>>,
    /// Of the node behind the queue.
    receiving: Arc<NodeCounters>,
}

/// The end of a queue that is read from.
pub(crate) struct Inlet<T> {
    receiver: mpsc::Receiver<Parcel<T>>,
    receiving: Arc<NodeCounters>,
}

/// The neighbour behind the queue has ended.
pub(crate) struct Closed;

/// A queue for at most `batches` in front of the node with the counters `receiving`.
pub(crate) fn queue<T>(batches: usize, receiving: Arc<NodeCounters>) -> (Outlet<T>, Inlet<T>) {
    let (sender, receiver) = mpsc::channel(batches);
    receiving.queue_can_hold(batches);
    let outlet = Outlet {
        sender,
        receiving: Arc::clone(&receiving),
    };
    (
        outlet,
        Inlet {
            receiver,
            receiving,
        },
    )
}

impl<T> Outlet<T> {
    /// Waits for room, and returns a place that is sure.
    pub(crate) async fn reserve(&self) -> Result<Place<'_, T>, Closed> {
        let permit = self.sender.reserve().await.map_err(|_| Closed)?;
        Ok(Place {
            permit,
            outlet: self,
        })
    }

    /// Waits for room, and puts the parcel there. The wait counts as the sender's backpressure.
    pub(crate) async fn send(
        &self,
        parcel: Parcel<T>,
        sending: &NodeCounters,
    ) -> Result<(), Closed> {
        let since = Instant::now();
        let place = self.reserve().await?;
        sending.blocked(since.elapsed());
        place.fill(parcel);
        Ok(())
    }
}

/// A sure place in a queue.
pub(crate) struct Place<'a, T> {
    permit: mpsc::Permit<'a, Parcel<T>>,
    outlet: &'a Outlet<T>,
}

impl<T> Place<'_, T> {
    /// Puts the parcel there.
    pub(crate) fn fill(self, parcel: Parcel<T>) {
        self.permit.send(parcel);
        let sender = &self.outlet.sender;
        let waiting = sender.max_capacity() - sender.capacity();
        self.outlet.receiving.queue_holds(waiting);
    }
}

impl<T> Inlet<T> {
    /// The next parcel; `None` when the neighbour before has ended and the queue is empty. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Parcel<T>> {
        let parcel = self.receiver.recv().await;
        self.receiving.queue_holds(self.receiver.len());
        parcel
    }
}
