//! Dead letters: what is no command goes to `LEDGER_DEAD_LETTERS`, whole, with the reason; its publisher is told.

use std::time::SystemTime;

use bytes::Bytes;
use engine::{DeadLetter, DeadLetters, Failure};
use futures::future::try_join_all;
use serde::Serialize;
use transport::dead_letter;
use transport::streams::{self, Limits};
use transport::{Nats, headers, subjects};

use crate::outcomes;

/// Where a pipeline buries what it cannot process.
pub struct JetStreamDeadLetters {
    nats: Nats,
    limits: Limits,
}

/// What a publisher gets who waits for the outcome of something that is no command. It has the fields of an outcome.
#[derive(Serialize)]
struct Answer<'a> {
    status: &'static str,
    events: [(); 0],
    rejection: Reason<'a>,
    dead_letter_id: String,
}

#[derive(Serialize)]
struct Reason<'a> {
    code: &'a str,
    message: &'a str,
}

impl JetStreamDeadLetters {
    /// Dead letters over this connection. `limits` count when the stream has to be made.
    pub fn new(nats: Nats, limits: Limits) -> Self {
        Self { nats, limits }
    }

    async fn answer(&self, letter: &DeadLetter) -> Result<(), Failure> {
        let Some(reply_to) = letter.origin.header(headers::REPLY_TO) else {
            return Ok(());
        };
        let answer = serde_json::to_vec(&Answer {
            status: "rejected",
            events: [],
            rejection: Reason {
                code: letter.cause.code,
                message: &letter.cause.message,
            },
            dead_letter_id: dead_letter::id_of(&letter.origin),
        })
        .map_err(|error| Failure::fatal("an answer could not be written as JSON").because(error))?;
        outcomes::reply(&self.nats, reply_to, Bytes::from(answer)).await
    }
}

impl DeadLetters for JetStreamDeadLetters {
    async fn open(&self) -> Result<(), Failure> {
        self.nats.ready().await?;
        streams::dead_letters(&self.nats.jetstream, &self.limits).await?;
        Ok(())
    }

    async fn bury(&self, letters: Vec<DeadLetter>) -> Result<(), Failure> {
        let payload_bytes_max = self.nats.client.server_info().max_payload;
        let now = SystemTime::now();
        for letter in &letters {
            let mut acknowledgements = Vec::new();
            for part in dead_letter::encode(letter, now, payload_bytes_max) {
                let publish = self.nats.jetstream.publish_with_headers(
                    part.subject,
                    part.headers,
                    part.payload,
                );
                let acknowledgement = publish.await.map_err(failure)?;
                acknowledgements.push(acknowledgement.into_future());
            }
            try_join_all(acknowledgements).await.map_err(failure)?;
            tracing::debug!(
                id = dead_letter::id_of(&letter.origin),
                code = letter.cause.code,
                subject = letter.origin.subject,
                "dead letter: {}",
                letter.cause.message
            );
            // Only once it is kept: the publisher may go and look for it.
            self.answer(letter).await?;
        }
        if let Some(first) = letters.first() {
            tracing::warn!(
                count = letters.len(),
                first = dead_letter::id_of(&first.origin),
                code = first.cause.code,
                "dead letters; see `chronicle dead-letter list`"
            );
        }
        outcomes::flush(&self.nats).await
    }

    fn describe(&self) -> String {
        format!(
            "JetStream {} ({}.<code>), with the original's bytes",
            streams::DEAD_LETTERS,
            subjects::DEAD_LETTERS
        )
    }
}

fn failure(error: async_nats::jetstream::context::PublishError) -> Failure {
    Failure::retry(format!(
        "a dead letter could not be kept in {}; is the stream full?",
        streams::DEAD_LETTERS
    ))
    .because(error)
}
