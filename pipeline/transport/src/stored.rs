//! Messages read one by one as a stream stores them, whatever their publishers made of them.
//!
//! A publisher can send headers and subjects that async-nats does not understand: not UTF-8, a name with a space, a line
//! without a colon, a carriage return within a value. nats-server stores and delivers them, and whoever receives one
//! loses the connection over it, or the client panics; and again after each reconnect. The answers to the request that
//! this module makes (`$JS.API.STREAM.MSG.GET`) are JSON with headers and body in base64: no message can break those.
//! They are slower than a consumer, so this is for making up what a consumer cannot bring.

use std::time::SystemTime;

use async_nats::jetstream::response::Response;
use async_nats::jetstream::{self, ErrorCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use engine::{Failure, Message};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::headers;
use crate::message::read_headers;

/// How many requests are under way at a time.
const LANES: u64 = 8;
/// About how many messages one lane brings, one after the other. Few, for each may be as large as NATS allows.
const MESSAGES_PER_LANE: u64 = 8;

/// A message of a stream.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The message. Headers that cannot be read are missing; then all of them stand, as bytes in base64, in
    /// [`headers::UNREADABLE`].
    pub message: Message,
    /// What is wrong with its headers.
    pub problem: Option<String>,
}

/// The messages of one stream under one filter.
#[derive(Debug, Clone)]
pub struct StoredMessages {
    jetstream: jetstream::Context,
    stream: String,
    filter: String,
    /// How many sequences one lane covers.
    stride: u64,
}

#[derive(Serialize)]
struct Request<'a> {
    seq: u64,
    next_by_subj: &'a str,
}

#[derive(Serialize)]
struct LastOf<'a> {
    last_by_subj: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    message: Found,
}

#[derive(Deserialize)]
struct Found {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    #[serde(with = "time::serde::rfc3339")]
    time: OffsetDateTime,
}

impl StoredMessages {
    /// The messages of `stream` under the subjects of `filter`, of which about every `apart`-th message is one.
    pub fn new(jetstream: jetstream::Context, stream: &str, filter: &str, apart: u32) -> Self {
        Self {
            jetstream,
            stream: stream.to_owned(),
            filter: filter.to_owned(),
            stride: MESSAGES_PER_LANE * u64::from(apart.max(1)),
        }
    }

    /// The first message at or behind `position`.
    pub async fn next(&self, position: u64) -> Result<Option<Stored>, Failure> {
        let unreadable = || {
            Failure::retry(format!(
                "sequence {position} of {} cannot be looked up",
                self.stream
            ))
        };
        let request = Request {
            seq: position,
            next_by_subj: &self.filter,
        };
        self.get(&request, unreadable).await
    }

    /// The last message under one subject.
    pub async fn last_of(&self, subject: &str) -> Result<Option<Stored>, Failure> {
        let unreadable = || {
            Failure::retry(format!(
                "the last message of {} under {subject} cannot be looked up",
                self.stream
            ))
        };
        let request = LastOf {
            last_by_subj: subject,
        };
        self.get(&request, unreadable).await
    }

    async fn get(
        &self,
        request: &impl Serialize,
        unreadable: impl Fn() -> Failure,
    ) -> Result<Option<Stored>, Failure> {
        let answer = self
            .jetstream
            .request(format!("STREAM.MSG.GET.{}", self.stream), request);
        match answer.await.map_err(|error| unreadable().because(error))? {
            Response::Ok(Answer { message }) => stored(message)
                .map(Some)
                .map_err(|error| unreadable().because(error)),
            Response::Err { error } if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => {
                Ok(None)
            }
            Response::Err { error } => Err(unreadable().because(error)),
        }
    }

    /// The message at `position`, if it is still there.
    pub async fn at(&self, position: u64) -> Result<Option<Stored>, Failure> {
        Ok(self
            .next(position)
            .await?
            .filter(|found| found.message.position == position))
    }

    /// Some messages at or behind `from` and up to `through`, in order, and where to go on; `None` when those were all.
    pub async fn some(
        &self,
        from: u64,
        through: u64,
    ) -> Result<(Vec<Stored>, Option<u64>), Failure> {
        let lanes = (0..LANES)
            .map(|lane| from.saturating_add(lane * self.stride))
            .take_while(|start| *start <= through)
            .map(|start| self.lane(start, through.min(start.saturating_add(self.stride - 1))));
        let lanes: Vec<(Vec<Stored>, u64)> = stream::iter(lanes)
            .buffered(usize::try_from(LANES).unwrap_or(1))
            .try_collect()
            .await?;
        let go_on = lanes
            .last()
            .map(|(_, next)| *next)
            .filter(|next| *next <= through);
        Ok((
            lanes
                .into_iter()
                .flat_map(|(messages, _)| messages)
                .collect(),
            go_on,
        ))
    }

    /// All messages from `start` to `end`, and a position before which there are no others.
    async fn lane(&self, start: u64, end: u64) -> Result<(Vec<Stored>, u64), Failure> {
        let mut messages = Vec::new();
        let mut position = start;
        while position <= end {
            let Some(found) = self.next(position).await? else {
                return Ok((messages, u64::MAX));
            };
            if found.message.position > end {
                return Ok((messages, found.message.position));
            }
            position = found.message.position + 1;
            messages.push(found);
        }
        Ok((messages, position))
    }
}

fn stored(found: Found) -> Result<Stored, base64::DecodeError> {
    let block = BASE64.decode(&found.hdrs)?;
    let (mut headers, problem) = read_headers(&block);
    if problem.is_some() {
        headers.push((headers::UNREADABLE.to_owned(), found.hdrs));
    }
    let message = Message {
        position: found.seq,
        subject: found.subject,
        headers,
        payload: BASE64.decode(&found.data)?.into(),
        stored_at: SystemTime::from(found.time),
    };
    Ok(Stored { message, problem })
}
