//! The form of a dead letter: the original's bytes and headers as they were, with headers that say why.
//!
//! Our headers come on top of the original's, so a message that was as large as NATS allows would not fit again. Such
//! a letter is sealed: the original's headers and bytes become one JSON document, which is cut into parts. Headers that
//! would mean something to JetStream (an expectation that the letter cannot meet, say) or to the readers of dead letters
//! are carried under another name.

use std::borrow::Cow;
use std::time::SystemTime;

use async_nats::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use engine::{DeadLetter, Message};
use ledger::Timestamp;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{headers, streams, subjects};

/// Room for our headers and the protocol's own in one message.
const HEADROOM_BYTES: usize = 8 * 1024;
/// The most bytes of the original's headers that are carried as headers: JetStream takes 64 KiB in all.
const HEADERS_BYTES_MAX: usize = 32 * 1024;

/// One message of the dead-letter stream.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// Where it is published.
    pub subject: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub payload: Bytes,
}

/// A dead letter as it is read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Its id, see [`id_of`].
    pub id: String,
    /// Where it lies in the dead-letter stream: one sequence per part.
    pub sequences: Vec<u64>,
    /// The subject that the original was published under (with the partition that the stream put in).
    pub subject: String,
    /// The node that gave it up.
    pub node: String,
    /// A stable word for why.
    pub code: String,
    /// A sentence for why.
    pub reason: String,
    /// When the original was stored.
    pub stored_at: String,
    /// When it was given up.
    pub buried_at: String,
    /// The original's headers.
    pub headers: Vec<(String, String)>,
    /// The original's bytes.
    #[serde(serialize_with = "as_base64", rename = "payload_base64")]
    pub payload: Bytes,
}

/// The original, when it is too large to be carried as it is.
#[derive(Serialize, Deserialize)]
struct Sealed {
    headers: Vec<(String, String)>,
    payload_base64: String,
}

/// Writes a dead letter down, in as many messages as it takes.
pub fn encode(letter: &DeadLetter, now: SystemTime, payload_bytes_max: usize) -> Vec<Encoded> {
    let origin = &letter.origin;
    let room = payload_bytes_max.saturating_sub(HEADROOM_BYTES).max(1);
    let header_bytes: usize = origin
        .headers
        .iter()
        .map(|(name, value)| carried(name).len() + value.len() + 4)
        .sum();
    if header_bytes <= HEADERS_BYTES_MAX && header_bytes + origin.payload.len() <= room {
        let mut whole = reason_headers(letter, now);
        for (name, value) in &origin.headers {
            append(&mut whole, &carried(name), value);
        }
        return vec![encoded(letter, whole, origin.payload.clone(), 0)];
    }
    let sealed = serde_json::to_vec(&Sealed {
        headers: origin.headers.clone(),
        payload_base64: BASE64.encode(&origin.payload),
    })
    .expect("strings always become JSON");
    let parts: Vec<Bytes> = sealed.chunks(room).map(Bytes::copy_from_slice).collect();
    let count = parts.len();
    parts
        .into_iter()
        .enumerate()
        .map(|(index, part)| {
            let mut part_headers = reason_headers(letter, now);
            append(
                &mut part_headers,
                headers::DEAD_LETTER_PART,
                &format!("{}/{count}", index + 1),
            );
            encoded(letter, part_headers, part, index)
        })
        .collect()
}

/// The name under which a header of the original is carried.
fn carried(name: &str) -> Cow<'_, str> {
    if has_prefix(name, headers::SERVER_PREFIX) || has_prefix(name, headers::DEAD_LETTER_PREFIX) {
        Cow::Owned(format!("{}{name}", headers::DEAD_LETTER_ORIGINAL_PREFIX))
    } else {
        Cow::Borrowed(name)
    }
}

/// The name that a header of the original had; `None` for a header of the letter's own.
fn original(name: &str) -> Option<&str> {
    match name.strip_prefix(headers::DEAD_LETTER_ORIGINAL_PREFIX) {
        None if has_prefix(name, headers::SERVER_PREFIX)
            || has_prefix(name, headers::DEAD_LETTER_PREFIX) =>
        {
            None
        }
        None => Some(name),
        name => name,
    }
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn encoded(letter: &DeadLetter, mut headers: HeaderMap, payload: Bytes, part: usize) -> Encoded {
    let id = format!("{}-{part}", id_of(&letter.origin));
    headers.insert(headers::MESSAGE_ID, id.as_str());
    Encoded {
        subject: format!("{}.{}", subjects::DEAD_LETTERS, letter.cause.code),
        headers,
        payload,
    }
}

/// The id of the dead letter that this message becomes: `<stream>-<sequence>-<microseconds since 1970 when it was stored>`.
/// The sequence alone would come again when the stream is made anew.
pub fn id_of(origin: &Message) -> String {
    let stored_at = origin.stored_at.duration_since(SystemTime::UNIX_EPOCH);
    let stored_at_us = stored_at.map_or(0, |since| since.as_micros());
    format!("{}-{}-{stored_at_us}", streams::COMMANDS, origin.position)
}

fn reason_headers(letter: &DeadLetter, now: SystemTime) -> HeaderMap {
    const REASON_BYTES_MAX: usize = 2048;
    let mut map = HeaderMap::new();
    append(&mut map, headers::DEAD_LETTER_ID, &id_of(&letter.origin));
    append(
        &mut map,
        headers::DEAD_LETTER_SUBJECT,
        &letter.origin.subject,
    );
    append(&mut map, headers::DEAD_LETTER_NODE, &letter.node);
    append(&mut map, headers::DEAD_LETTER_CODE, letter.cause.code);
    let reason: String = letter
        .cause
        .message
        .chars()
        .take(REASON_BYTES_MAX / 4)
        .collect();
    append(&mut map, headers::DEAD_LETTER_REASON, &reason);
    append(
        &mut map,
        headers::DEAD_LETTER_STORED_AT,
        &rfc3339(letter.origin.stored_at),
    );
    append(&mut map, headers::DEAD_LETTER_BURIED_AT, &rfc3339(now));
    map
}

fn rfc3339(time: SystemTime) -> String {
    Timestamp::from_date_time(OffsetDateTime::from(time)).to_string()
}

/// A header value is one line: line breaks (from an error message, say) become spaces.
fn append(map: &mut HeaderMap, name: &str, value: &str) {
    let line: String = value.replace(['\r', '\n'], " ");
    map.append(name, line.as_str());
}

/// Why a message of the dead-letter stream cannot be read as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A header is missing.
    #[error(
        "sequence {sequence} of the dead letters has no header {header}: it was put there by something else"
    )]
    Header {
        /// Where it lies.
        sequence: u64,
        /// What it lacks.
        header: &'static str,
    },
    /// Not all parts of a letter are there.
    #[error("dead letter {id} has only {present} of its parts")]
    Parts {
        /// The letter.
        id: String,
        /// How many parts there are.
        present: usize,
    },
    /// The parts do not make a sealed original.
    #[error("dead letter {id} cannot be unsealed: {message}")]
    Sealed {
        /// The letter.
        id: String,
        /// Why not.
        message: String,
    },
}

/// Which letter a message of the stream belongs to, which part of it it is, and of how many.
pub fn part_of(message: &Message) -> Result<(String, usize, usize), Unreadable> {
    let id = required(message, headers::DEAD_LETTER_ID)?.to_owned();
    let Some(part) = message.header(headers::DEAD_LETTER_PART) else {
        return Ok((id, 1, 1));
    };
    let numbers = part
        .split_once('/')
        .and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)));
    let (number, count) = numbers.ok_or(Unreadable::Header {
        sequence: message.position,
        header: headers::DEAD_LETTER_PART,
    })?;
    Ok((id, number, count))
}

/// Reads a dead letter from its parts, in their order.
pub fn decode(parts: &[Message]) -> Result<Letter, Unreadable> {
    let Some(first) = parts.first() else {
        return Err(Unreadable::Parts {
            id: String::new(),
            present: 0,
        });
    };
    let (id, _, count) = part_of(first)?;
    if parts.len() != count {
        return Err(Unreadable::Parts {
            id,
            present: parts.len(),
        });
    }
    let (original_headers, payload) = if first.header(headers::DEAD_LETTER_PART).is_none() {
        let original =
            |(name, value): &(String, String)| Some((original(name)?.to_owned(), value.clone()));
        let mut originals: Vec<_> = first.headers.iter().filter_map(original).collect();
        originals.sort_by(|(one, _), (other, _)| one.cmp(other));
        (originals, first.payload.clone())
    } else {
        unseal(&id, parts)?
    };
    let field = |header| required(first, header).map(str::to_owned);
    Ok(Letter {
        sequences: parts.iter().map(|part| part.position).collect(),
        subject: field(headers::DEAD_LETTER_SUBJECT)?,
        node: field(headers::DEAD_LETTER_NODE)?,
        code: field(headers::DEAD_LETTER_CODE)?,
        reason: field(headers::DEAD_LETTER_REASON)?,
        stored_at: field(headers::DEAD_LETTER_STORED_AT)?,
        buried_at: field(headers::DEAD_LETTER_BURIED_AT)?,
        headers: original_headers,
        payload,
        id,
    })
}

type Original = (Vec<(String, String)>, Bytes);

fn unseal(id: &str, parts: &[Message]) -> Result<Original, Unreadable> {
    let refuse = |message: String| Unreadable::Sealed {
        id: id.to_owned(),
        message,
    };
    let document: Vec<u8> = parts
        .iter()
        .flat_map(|part| part.payload.iter().copied())
        .collect();
    let sealed: Sealed =
        serde_json::from_slice(&document).map_err(|error| refuse(error.to_string()))?;
    let payload = BASE64
        .decode(&sealed.payload_base64)
        .map_err(|error| refuse(error.to_string()))?;
    Ok((sealed.headers, Bytes::from(payload)))
}

fn required<'a>(message: &'a Message, header: &'static str) -> Result<&'a str, Unreadable> {
    message.header(header).ok_or(Unreadable::Header {
        sequence: message.position,
        header,
    })
}

fn as_base64<S: serde::Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(payload))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::Cause;

    use super::*;

    fn letter(headers: Vec<(String, String)>, payload: Vec<u8>) -> DeadLetter {
        DeadLetter {
            origin: Arc::new(Message {
                position: 7,
                subject: "ledger.commands.0.ACC-1".to_owned(),
                headers,
                payload: payload.into(),
                stored_at: SystemTime::UNIX_EPOCH,
            }),
            node: "decode".to_owned(),
            cause: Cause {
                code: "invalid_json",
                message: "not\nJSON".to_owned(),
            },
        }
    }

    fn stored(encoded: &[Encoded]) -> Vec<Message> {
        (1..)
            .zip(encoded)
            .map(|(position, encoded)| Message {
                position,
                subject: encoded.subject.clone(),
                headers: crate::message::headers_of(Some(&encoded.headers)),
                payload: encoded.payload.clone(),
                stored_at: SystemTime::UNIX_EPOCH,
            })
            .collect()
    }

    #[test]
    fn a_letter_keeps_the_originals_bytes_and_headers() {
        let headers = vec![
            ("Content-Type".to_owned(), "text/plain".to_owned()),
            ("Nats-Msg-Id".to_owned(), "mine".to_owned()),
        ];
        let encoded = encode(
            &letter(headers.clone(), vec![0, 159, 255]),
            SystemTime::UNIX_EPOCH,
            1 << 20,
        );
        assert_eq!(encoded.len(), 1);
        assert_eq!(encoded[0].subject, "ledger.dead_letters.invalid_json");
        let read = decode(&stored(&encoded)).unwrap();
        assert_eq!(read.id, "LEDGER_COMMANDS-7-0");
        assert_eq!(read.payload, vec![0, 159, 255]);
        assert_eq!(read.reason, "not JSON");
        assert_eq!(read.headers, headers);
        assert_eq!(read.stored_at, "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn headers_that_mean_something_to_others_are_only_carried() {
        let names = [
            "Chronicle-Dead-Letter-Code",
            "Chronicle-Dead-Letter-Original-Nats-Msg-Id",
            "Chronicle-Dead-Letter-Part",
            "Nats-Expected-Stream",
            "nats-msg-id",
        ];
        let headers: Vec<(String, String)> =
            names.map(|name| (name.to_owned(), "x".to_owned())).into();
        let encoded = encode(
            &letter(headers.clone(), Vec::new()),
            SystemTime::UNIX_EPOCH,
            1 << 20,
        );
        let read = decode(&stored(&encoded)).unwrap();
        assert_eq!(read.code, "invalid_json");
        assert_eq!(read.headers, headers);
        let to_server = |(name, _): &(String, String)| has_prefix(name, headers::SERVER_PREFIX);
        let to_server: Vec<_> = stored(&encoded)[0]
            .headers
            .iter()
            .filter(|header| to_server(header))
            .cloned()
            .collect();
        assert_eq!(
            to_server,
            [("Nats-Msg-Id".to_owned(), format!("{}-0", read.id))]
        );
    }

    #[test]
    fn more_headers_than_jetstream_takes_beside_ours_are_sealed() {
        let headers: Vec<(String, String)> = (0..3_000)
            .map(|number| (format!("Nats-{number:04}"), String::new()))
            .collect();
        let encoded = encode(
            &letter(headers.clone(), b"{".to_vec()),
            SystemTime::UNIX_EPOCH,
            1 << 20,
        );
        assert!(encoded[0].headers.len() < 20);
        let read = decode(&stored(&encoded)).unwrap();
        assert_eq!(
            (read.headers, read.payload),
            (headers, Bytes::from_static(b"{"))
        );
    }

    #[test]
    fn an_original_as_large_as_nats_allows_comes_back_whole() {
        const PAYLOAD_MAX: usize = 1 << 20;
        let payload: Vec<u8> = (0..PAYLOAD_MAX)
            .map(|index| (index % 251).try_into().unwrap())
            .collect();
        let headers = vec![("A".to_owned(), "b".repeat(1000))];
        let encoded = encode(
            &letter(headers.clone(), payload.clone()),
            SystemTime::UNIX_EPOCH,
            PAYLOAD_MAX,
        );
        assert!(encoded.len() > 1);
        for part in &encoded {
            assert!(part.payload.len() + HEADROOM_BYTES <= PAYLOAD_MAX);
        }
        let messages = stored(&encoded);
        let read = decode(&messages).unwrap();
        assert_eq!(read.payload, payload);
        assert_eq!(read.headers, headers);
        assert_eq!(
            decode(&messages[..1]),
            Err(Unreadable::Parts {
                id: read.id,
                present: 1
            })
        );
    }
}
