//! Decoding events of the feed.
//!
//! Whoever has to know whether a message of the feed is an event asks [`event_in`]: the pipelines, a replay, and an
//! operator's order to skip it come to one judgement.

use std::fmt;
use std::sync::Arc;

use engine::{Failure, Message, Operator, Step};
use ledger::codec::{Malformed, json};
use ledger::{BrokenChain, Event};
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

/// Why a message is no event, or none that can be taken for one here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoEvent {
    /// It says that it takes a newer program to read it: it is an event, and upgrading is the remedy.
    TooNew(String),
    /// Its body is none.
    Malformed(Malformed),
    /// Its body is one whose content is not what its hash says.
    Damaged(BrokenChain),
}

impl fmt::Display for NoEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooNew(reason) => f.write_str(reason),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Damaged(damaged) => damaged.fmt(f),
        }
    }
}

impl std::error::Error for NoEvent {}

/// The event that a message of the feed holds: it says that it can be read here, its body is read strictly, and the hash
/// is right.
pub fn event_in(message: &Message) -> Result<Event, NoEvent> {
    if let Some(reason) = too_new(message) {
        return Err(NoEvent::TooNew(reason));
    }
    let event = json::decode_event(&message.payload).map_err(NoEvent::Malformed)?;
    event.check_hash().map_err(NoEvent::Damaged)?;
    Ok(event)
}

fn decode(item: FeedItem) -> FeedEvent {
    let message = match item {
        FeedItem::Message(message) => message,
        FeedItem::Lost { why } => return FeedEvent::Lost { why },
    };
    match event_in(&message) {
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

    const DEPOSIT: &[u8] = include_bytes!("../../ledger/tests/golden/events/money_deposited.json");

    fn message(schema_version: Option<u32>, payload: &[u8]) -> Message {
        let header = |version: u32| (headers::SCHEMA_VERSION.to_owned(), version.to_string());
        Message {
            position: 1,
            subject: "ledger.events.ACC-1".to_owned(),
            headers: schema_version.map(header).into_iter().collect(),
            payload: payload.trim_ascii().to_vec().into(),
            stored_at: SystemTime::UNIX_EPOCH,
        }
    }

    fn decoded(schema_version: Option<u32>) -> FeedEvent {
        let message = message(schema_version, DEPOSIT);
        decode(FeedItem::Message(Arc::new(message)))
    }

    #[test]
    fn an_event_of_a_newer_schema_is_not_applied_whatever_it_looks_like() {
        for known in [None, Some(1), Some(ledger::SCHEMA_VERSION)] {
            assert!(matches!(decoded(known), FeedEvent::Event(_)), "{known:?}");
        }
        let FeedEvent::Poison { reason, .. } = decoded(Some(ledger::SCHEMA_VERSION + 1)) else {
            panic!("it is newer");
        };
        let NoEvent::TooNew(reason) = reason else {
            panic!("{reason:?}");
        };
        assert!(reason.contains("upgrade this process first"), "{reason}");
    }

    #[test]
    fn each_reason_for_which_a_message_is_no_event_is_told_from_the_others() {
        assert!(event_in(&message(None, DEPOSIT)).is_ok());
        let newer = message(Some(ledger::SCHEMA_VERSION + 1), b"{}");
        assert!(matches!(event_in(&newer), Err(NoEvent::TooNew(_))));
        let no_event = message(Some(1), b"no event");
        assert!(matches!(event_in(&no_event), Err(NoEvent::Malformed(_))));
        let text = String::from_utf8(DEPOSIT.to_vec()).expect("it is JSON");
        let mut event: Event = json::decode_event(text.trim().as_bytes()).expect("it is an event");
        event.actor = Some("somebody else".to_owned());
        let changed = message(None, &json::encode_event(&event));
        assert!(matches!(event_in(&changed), Err(NoEvent::Damaged(_))));
    }
}
