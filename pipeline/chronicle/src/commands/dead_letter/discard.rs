//! `chronicle dead-letter discard`: a letter that nobody needs is removed, and why is kept.
//!
//! The record is a message of the same stream, `LEDGER_DEAD_LETTERS`, under `ledger.dead_letters.discarded`, with the
//! header `Chronicle-Dead-Letter-Discarded: <id>` and a JSON body ([`Record`]); `list` passes over it. It is acknowledged
//! before the letter is removed. If this dies in between, the letter is still there, and a second discard writes a
//! second record. To read the records: `nats stream view LEDGER_DEAD_LETTERS --subject ledger.dead_letters.discarded`.

use async_nats::HeaderMap;
use engine::Message;
use ledger::codec::CONTENT_TYPE_JSON;
use ledger::{Hash, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use transport::{headers, streams, subjects};

use super::Place;
use super::find::{self, Found};
use crate::commands::reach;
use crate::output::{self, Format};
use crate::submission::publishing::{self, Unacknowledged};

/// The header that tells a record from a letter; its value is the letter's id.
const DISCARDED: &str = "Chronicle-Dead-Letter-Discarded";

/// Whether a message of the stream is the record of a discard, and no letter.
pub(in crate::commands) fn is_record(message: &Message) -> bool {
    message.header(DISCARDED).is_some()
}

/// What is kept of a letter that was discarded.
#[derive(Serialize)]
struct Record<'a> {
    id: &'a str,
    code: &'a str,
    subject: &'a str,
    /// Why it had become a dead letter.
    buried_because: &'a str,
    buried_at: &'a str,
    discarded_by: String,
    discarded_at: Timestamp,
    /// Why it was discarded.
    reason: &'a str,
    /// How long the original was; null when parts of it were missing.
    payload_bytes: Option<usize>,
    /// What the original's bytes were; null when parts of them were missing.
    payload_sha256: Option<Hash>,
}

pub(super) async fn execute(place: &Place<'_>, found: &Found, reason: &str) -> anyhow::Result<()> {
    // A letter that cannot be put together any more can still be discarded.
    let payload = find::open(place, found)
        .await?
        .ok()
        .map(|letter| letter.payload);
    let record = Record {
        id: &found.id,
        code: found.header(headers::DEAD_LETTER_CODE),
        subject: found.header(headers::DEAD_LETTER_SUBJECT),
        buried_because: found.header(headers::DEAD_LETTER_REASON),
        buried_at: found.header(headers::DEAD_LETTER_BURIED_AT),
        discarded_by: reach::operator(),
        discarded_at: Timestamp::from_date_time(OffsetDateTime::now_utc()),
        reason,
        payload_bytes: payload.as_ref().map(bytes::Bytes::len),
        payload_sha256: payload
            .map(|payload| Hash::from(<[u8; 32]>::from(Sha256::digest(payload)))),
    };
    let mut headers = HeaderMap::new();
    headers.insert(headers::CONTENT_TYPE, CONTENT_TYPE_JSON);
    headers.insert(DISCARDED, found.id.as_str());
    let message = publishing::Outgoing {
        subject: format!("{}.discarded", subjects::DEAD_LETTERS),
        headers,
        payload: serde_json::to_vec(&record)?.into(),
    };
    publishing::publish(place.nats, message)
        .await
        .map_err(|error| place.failed(unrecorded(&found.id, &error)))?;
    place.remove(found).await?;
    match place.output {
        Format::Json => output::json(&record),
        Format::Table => output::line(format!(
            "dead letter {} was removed; why is kept in {} under {}.discarded",
            found.id,
            streams::DEAD_LETTERS,
            subjects::DEAD_LETTERS
        )),
    }
}

/// The record must come first, and a full stream does not take it.
fn unrecorded(id: &str, error: &Unacknowledged) -> String {
    let remedy = if matches!(error, Unacknowledged::Full(_)) {
        format!(
            "; make room first: retry a letter, or raise the stream's limit (nats stream edit {} --max-bytes …)",
            streams::DEAD_LETTERS
        )
    } else {
        String::new()
    };
    format!(
        "the record of the discard could not be kept, so dead letter {id} was not removed: {error}{remedy}"
    )
}
