//! What travels through a pipeline: messages as they came in, and deliveries that carry them on.
//!
//! A delivery has no acknowledgement in it. Operators and sinks cannot settle anything by accident, and a
//! delivery that is dropped (error, crash, shutdown) is *abandoned*: its position stays unsettled, so the source
//! delivers it again.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

/// One message as it lay in a log, before anybody has looked into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Where in its log the message stood; rises with every message.
    pub position: u64,
    /// The name it was published under, e.g. a subject.
    pub subject: String,
    /// Headers in their order; names may repeat.
    pub headers: Vec<(String, String)>,
    /// The bytes, as published.
    pub payload: Bytes,
    /// When the log stored it.
    pub stored_at: SystemTime,
}

impl Message {
    /// The first value of the header `name`, compared without regard to ASCII case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// One item on its way through a pipeline.
#[derive(Debug, Clone)]
pub struct Delivery<T> {
    /// The position of the message that it came from; what the engine settles in the end.
    pub position: u64,
    /// The message that it came from, kept for the dead letter that it may become.
    pub origin: Option<Arc<Message>>,
    /// What the stages before have made of it.
    pub item: T,
}

impl<T> Delivery<T> {
    /// The same delivery with another item.
    pub fn with<U>(self, item: U) -> Delivery<U> {
        Delivery {
            position: self.position,
            origin: self.origin,
            item,
        }
    }
}

/// The unit of flow between stages: deliveries in order of position, at most
/// [`Batching::records_max`](crate::Batching) of them.
///
/// Deliveries that an operator skipped or buried are gone from `deliveries`; `last_position` still covers them, so a
/// batch may be empty and yet has to travel to the end to be settled.
#[derive(Debug, Clone)]
pub struct Batch<T> {
    /// What is left to do, in order.
    pub deliveries: Vec<Delivery<T>>,
    /// Every position up to and including this one is done once this batch is through the last sink.
    pub last_position: u64,
}

impl<T> Batch<T> {
    /// The items, in order.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &T> {
        self.deliveries.iter().map(|delivery| &delivery.item)
    }
}
