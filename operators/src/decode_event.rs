//! Decoding events of the feed.

use std::sync::Arc;

use engine::{Failure, Message, Operator, Step};
use ledger::Event;
use sources::{FeedItem, NoEvent};

/// One step of the feed, understood as far as it can be.
#[derive(Debug, Clone)]
pub enum FeedEvent {
    /// An event. Several pipelines may share it.
    Event(Arc<Event>),
    /// A message that is no event, or not the one that it says it is. What to do about it is for the projection to
    /// say: it stops, unless an operator has told it to skip this one.
    Poison {
        /// The message.
        message: Arc<Message>,
        /// What is wrong with it.
        reason: NoEvent,
    },
    /// Events up to this delivery's position may be missing.
    Lost {
        /// What happened, for people.
        why: String,
    },
}

/// The operator.
#[derive(Debug, Default)]
pub struct DecodeEvent;

impl Operator for DecodeEvent {
    type Input = FeedItem;
    type Output = FeedEvent;

    async fn apply(&mut self, batch: Vec<FeedItem>) -> Result<Vec<Step<FeedEvent>>, Failure> {
        Ok(batch
            .into_iter()
            .map(|item| Step::Emit(decode(item)))
            .collect())
    }

    fn describe(&self) -> String {
        "JSON becomes an event whose hash is checked".to_owned()
    }
}

fn decode(item: FeedItem) -> FeedEvent {
    let message = match item {
        FeedItem::Message(message) => message,
        FeedItem::Lost { why } => return FeedEvent::Lost { why },
    };
    let origin = Arc::clone(message.message());
    match message.event() {
        Ok(event) => FeedEvent::Event(event),
        Err(reason) => FeedEvent::Poison {
            message: origin,
            reason,
        },
    }
}
