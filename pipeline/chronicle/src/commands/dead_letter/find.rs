//! Finding letters in the stream: by their headers, without their bodies. A letter may lie in several messages, and may
//! have been buried more than once (by an intake that died before it had settled the command).

use std::collections::{BTreeMap, HashMap};

use async_nats::jetstream::stream::Stream;
use engine::{Failure, Message};
use transport::dead_letter::{self, Letter, Unreadable};
use transport::stored::StoredMessages;
use transport::{Nats, headers, streams, subjects};

use super::Place;
use super::discard::is_record;
use crate::commands::reach;
use crate::commands::reading::{Reading, Step, Wanted};
use crate::commands::rows::plain;

/// What the server says of a body that it leaves out.
const BODY_BYTES: &str = "Nats-Msg-Size";

/// All letters, oldest first.
#[derive(Default)]
pub(super) struct Letters {
    pub(super) found: Vec<Found>,
    /// What else lies in the stream, in sentences.
    pub(super) unreadable: Vec<String>,
}

/// A letter, without its body.
pub(super) struct Found {
    pub(super) id: String,
    /// The first message of it, without its body.
    first: Message,
    /// How many parts it should have.
    count: usize,
    /// Where each part lies, by its number.
    parts: BTreeMap<usize, u64>,
    /// The same parts once more.
    copies: Vec<u64>,
}

impl Letters {
    pub(super) fn by_id(&self, id: &str) -> Option<&Found> {
        self.found.iter().find(|found| found.id == id)
    }
}

impl Found {
    /// A header of the letter; empty when it is missing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.first.header(name).unwrap_or_default()
    }

    /// Whether the original lies there as it was, in one message.
    pub(super) fn is_whole(&self) -> bool {
        self.first.header(headers::DEAD_LETTER_PART).is_none()
    }

    /// How many bytes the first message has.
    pub(super) fn stored_bytes(&self) -> Option<usize> {
        self.first.header(BODY_BYTES)?.parse().ok()
    }

    /// All messages that belong to it.
    pub(super) fn sequences(&self) -> impl Iterator<Item = u64> {
        self.parts.values().chain(&self.copies).copied()
    }
}

/// Reads the headers of the whole stream.
pub(super) async fn all(nats: &Nats, stream: &Stream) -> Result<Letters, Failure> {
    let wanted = Wanted {
        filter: filter(),
        from_sequence: 1,
        headers_only: true,
    };
    let mut reading = Reading::open(nats, stream, wanted).await?;
    let mut letters = Letters::default();
    let mut known: HashMap<String, usize> = HashMap::new();
    while let Step::Message(message) = reading.next().await? {
        if is_record(&message) {
            continue;
        }
        let (id, number, count) = match dead_letter::part_of(&message) {
            Ok(part) => part,
            Err(unreadable) => {
                letters.unreadable.push(plain(&unreadable.to_string()));
                continue;
            }
        };
        let sequence = message.position;
        match known.get(&id) {
            None => {
                known.insert(id.clone(), letters.found.len());
                letters.found.push(Found {
                    id,
                    first: message,
                    count,
                    parts: BTreeMap::from([(number, sequence)]),
                    copies: Vec::new(),
                });
            }
            Some(&index) => {
                let found = &mut letters.found[index];
                if let std::collections::btree_map::Entry::Vacant(vacant) =
                    found.parts.entry(number)
                {
                    vacant.insert(sequence);
                } else {
                    found.copies.push(sequence);
                }
            }
        }
    }
    Ok(letters)
}

fn filter() -> String {
    format!("{}.*", subjects::DEAD_LETTERS)
}

/// Fetches the bodies and puts the letter together; the inner error says what is wrong with it.
pub(super) async fn open(
    place: &Place<'_>,
    found: &Found,
) -> anyhow::Result<Result<Letter, Unreadable>> {
    if found.parts.len() != found.count {
        return Ok(Err(Unreadable::Parts {
            id: found.id.clone(),
            present: found.parts.len(),
        }));
    }
    let jetstream = place.nats.jetstream.clone();
    let stored = StoredMessages::new(jetstream, streams::DEAD_LETTERS, &filter(), 1);
    let mut parts = Vec::with_capacity(found.parts.len());
    for sequence in found.parts.values() {
        let part = stored.at(*sequence).await;
        let part = part.map_err(|failure| reach::nats_failed(place.servers, &failure))?;
        let part = part.ok_or_else(|| {
            place.failed(format!(
                "sequence {sequence} of the dead letters is gone; somebody may just have dealt with it"
            ))
        })?;
        parts.push(part.message);
    }
    Ok(dead_letter::decode(&parts))
}
