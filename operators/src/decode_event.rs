//! Decoding events of the feed.

use std::sync::Arc;

use engine::{Failure, Message, Operator, Step};
use ledger::Event;
use ledger::codec::json;
use sources::FeedItem;
use transport::headers;

/// One step of the feed, understood as far as it can be.
#[derive(Debug, Clone)]
pub enum FeedEvent {
    /// An event.
    Event(Box<Event>),
    /// A message that is no event, or not the one that it says it is. What to do about it is for the projection to
    /// say: it stops, unless an operator has told it to skip this one.
    Poison {
        /// The message.
        message: Arc<Message>,
        /// What is wrong with it.
        reason: String,
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
    if let Some(reason) = too_new(&message) {
        return FeedEvent::Poison { message, reason };
    }
    let event = json::decode_event(&message.payload).map_err(|error| error.to_string());
    match event.and_then(|event| {
        event
            .check_hash()
            .map(|()| event)
            .map_err(|error| error.to_string())
    }) {
        Ok(event) => FeedEvent::Event(Box::new(event)),
        Err(reason) => FeedEvent::Poison { message, reason },
    }
}

/// Why the message says that it cannot be read here. An event may look as if it could be, and mean something else.
fn too_new(message: &Message) -> Option<String> {
    let version = message.header(headers::SCHEMA_VERSION)?;
    ledger::too_new(version.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn decoded(schema_version: Option<u32>) -> FeedEvent {
        let payload = include_bytes!("../../ledger/tests/golden/events/money_deposited.json");
        let header = |version: u32| (headers::SCHEMA_VERSION.to_owned(), version.to_string());
        decode(FeedItem::Message(Arc::new(Message {
            position: 1,
            subject: "ledger.events.ACC-1".to_owned(),
            headers: schema_version.map(header).into_iter().collect(),
            payload: payload.trim_ascii().into(),
            stored_at: SystemTime::UNIX_EPOCH,
        })))
    }

    #[test]
    fn an_event_of_a_newer_schema_is_not_applied_whatever_it_looks_like() {
        for known in [None, Some(1), Some(ledger::SCHEMA_VERSION)] {
            assert!(matches!(decoded(known), FeedEvent::Event(_)), "{known:?}");
        }
        let FeedEvent::Poison { reason, .. } = decoded(Some(ledger::SCHEMA_VERSION + 1)) else {
            panic!("it is newer");
        };
        assert!(reason.contains("upgrade this process first"), "{reason}");
    }
}
