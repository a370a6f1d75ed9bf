//! What is replayed: an event with its place in where it comes from.

use std::fmt;

use bytes::Bytes;
use engine::Message;
use ledger::codec::{CONTENT_TYPE_JSON, json};
use ledger::{AccountId, Event, Version};
use transport::headers;

/// Where an event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the feed.
    Sequence(u64),
    /// In the event store.
    Version(AccountId, Version),
}

impl Place {
    /// Its sequence in the feed.
    pub(super) fn sequence(&self) -> Option<u64> {
        match self {
            Self::Sequence(sequence) => Some(*sequence),
            Self::Version(..) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sequence(sequence) => write!(f, "sequence {sequence}"),
            Self::Version(account_id, version) => {
                write!(f, "version {version} of account {account_id}")
            }
        }
    }
}

/// An event that is replayed.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) place: Place,
    pub(super) event: Event,
    /// Its bytes as they were published, or as they would be.
    pub(super) payload: Bytes,
    pub(super) headers: Vec<(String, String)>,
}

impl Replayed {
    /// An event of the feed, whose message this is.
    pub(super) fn of_feed(message: Message, event: Event) -> Self {
        Self {
            place: Place::Sequence(message.position),
            event,
            payload: message.payload,
            headers: message.headers,
        }
    }

    /// An event of the event store, as the feed would have it.
    pub(super) fn of_event_store(event: Event) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            place: Place::Version(event.account_id.clone(), event.version),
            payload: json::encode_event(&event).into(),
            headers: vec![
                header(headers::EVENT_TYPE, event.data.type_name()),
                header(headers::SCHEMA_VERSION, &event.schema_version().to_string()),
                header(headers::CONTENT_TYPE, CONTENT_TYPE_JSON),
            ],
            event,
        }
    }
}

/// One step of a source.
#[derive(Debug)]
pub(super) enum Step {
    /// An event that is wanted.
    Event(Box<Replayed>),
    /// Something that is not: of another type, or no event at all.
    Passed,
    /// There is no more.
    End,
}

/// How much there was.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    /// What went into the target.
    pub(super) replayed: u64,
    /// Events that were not wanted.
    pub(super) filtered: u64,
    /// Messages of the feed that are no events.
    pub(super) unreadable: u64,
    /// Sequences, or versions, that the feed no longer has.
    pub(super) missing: u64,
}
