//! What a message of the feed holds.
//!
//! Whoever has to know whether a message of the feed is an event asks [`event_in`]: the pipelines, a replay, and an
//! operator's order to skip it come to one judgement.

use std::fmt;
use std::sync::Arc;

use engine::Message;
use ledger::codec::{Malformed, json};
use ledger::{BrokenChain, Event};
use transport::headers;

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

/// Why the message says that it cannot be read here. An event may look as if it could be, and mean something else.
fn too_new(message: &Message) -> Option<String> {
    let version = message.header(headers::SCHEMA_VERSION)?;
    ledger::too_new(version.parse().ok()?)
}

/// A message of the feed, and the judgement of it if somebody has made it before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedMessage {
    message: Arc<Message>,
    judged: Option<Result<Arc<Event>, NoEvent>>,
}

impl FeedMessage {
    /// One that nobody has looked into.
    pub fn unread(message: Arc<Message>) -> Self {
        Self {
            message,
            judged: None,
        }
    }

    /// One that is looked into here, for all who will ask.
    pub(super) fn judged(message: Arc<Message>) -> Self {
        Self {
            judged: Some(event_in(&message).map(Arc::new)),
            message,
        }
    }

    /// As it was delivered.
    pub fn message(&self) -> &Arc<Message> {
        &self.message
    }

    /// The event that it holds.
    pub fn event(self) -> Result<Arc<Event>, NoEvent> {
        self.judged
            .unwrap_or_else(|| event_in(&self.message).map(Arc::new))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const DEPOSIT: &[u8] =
        include_bytes!("../../../ledger/tests/golden/events/money_deposited.json");

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

    #[test]
    fn an_event_of_a_newer_schema_is_none_whatever_it_looks_like() {
        for known in [None, Some(1), Some(ledger::SCHEMA_VERSION)] {
            assert!(event_in(&message(known, DEPOSIT)).is_ok(), "{known:?}");
        }
        let newer = event_in(&message(Some(ledger::SCHEMA_VERSION + 1), DEPOSIT));
        let Err(NoEvent::TooNew(reason)) = newer else {
            panic!("{newer:?}");
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

    #[test]
    fn it_is_the_same_whoever_has_looked_into_it_first() {
        for payload in [DEPOSIT, b"no event"] {
            let message = Arc::new(message(None, payload));
            let unread = FeedMessage::unread(Arc::clone(&message));
            assert_eq!(unread.event(), FeedMessage::judged(message).event());
        }
    }
}
