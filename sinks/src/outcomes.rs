//! The answers: each outcome goes to whoever waits for it, and to `ledger.outcomes.<command_id>`.
//!
//! Plain NATS: an answer that nobody hears is no loss, for the outcome can be looked up at any time.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use engine::{Batch, Failure, Sink};
use ledger::codec::CONTENT_TYPE_JSON;
use operators::Decided;
use transport::{Nats, headers, subjects};

/// How long the server may take to receive what we have sent.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// The sink.
pub struct Outcomes {
    nats: Nats,
}

impl Outcomes {
    /// A sink over this connection.
    pub fn new(nats: Nats) -> Self {
        Self { nats }
    }
}

impl Sink for Outcomes {
    type Item = Decided;

    async fn write(&mut self, batch: &Batch<Decided>) -> Result<(), Failure> {
        for decided in batch.items() {
            let answer = serde_json::to_vec(&decided.outcome).map_err(|error| {
                Failure::fatal("an outcome could not be written as JSON").because(error)
            })?;
            let answer = Bytes::from(answer);
            let public = subjects::outcome(decided.outcome.command_id);
            send(&self.nats, public, answer.clone()).await?;
            if let Some(reply_to) = &decided.reply_to {
                reply(&self.nats, reply_to, answer).await?;
            }
        }
        flush(&self.nats).await
    }

    fn describe(&self) -> String {
        format!(
            "NATS {}.<command_id>, and the command's {}",
            subjects::OUTCOMES,
            headers::REPLY_TO
        )
    }
}

/// Sends an answer to where its publisher waits. A subject that the publisher chose badly is the publisher's loss alone.
pub(crate) async fn reply(nats: &Nats, reply_to: &str, answer: Bytes) -> Result<(), Failure> {
    if is_subject(reply_to) {
        send(nats, reply_to.to_owned(), answer).await
    } else {
        tracing::debug!(
            reply_to,
            "this is no subject to answer on: {} was ignored",
            headers::REPLY_TO
        );
        Ok(())
    }
}

async fn send(nats: &Nats, subject: String, answer: Bytes) -> Result<(), Failure> {
    let mut map = HeaderMap::new();
    map.insert(headers::CONTENT_TYPE, CONTENT_TYPE_JSON);
    nats.client
        .publish_with_headers(subject, map, answer)
        .await
        .map_err(|error| Failure::retry("an outcome could not be sent").because(error))
}

/// Waits until the server has what was sent.
pub(crate) async fn flush(nats: &Nats) -> Result<(), Failure> {
    match tokio::time::timeout(FLUSH_WITHIN, nats.client.flush()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::retry("outcomes could not be sent").because(error)),
        Err(_) => Err(Failure::retry("NATS does not take the outcomes")),
    }
}

/// Whether a text can be published to, and by us: no wildcards, no white space, no empty tokens, and nothing that would
/// feed the ledger itself or the server's own subjects.
fn is_subject(text: &str) -> bool {
    const LENGTH_MAX: usize = 256;
    let token = |token: &str| {
        !token.is_empty()
            && token != "*"
            && token != ">"
            && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let first = text.split('.').next().unwrap_or_default();
    text.len() <= LENGTH_MAX
        && text.split('.').all(token)
        && first != "ledger"
        && !first.starts_with('$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_go_to_plain_subjects_only() {
        for good in ["_INBOX.abc.1", "replies", "a.b-c_d"] {
            assert!(is_subject(good), "{good}");
        }
        for bad in [
            "",
            "a..b",
            "a b",
            "a.*",
            ">",
            ".a",
            "a.",
            "ledger.commands.ACC-1",
            "$JS.API.STREAM.DELETE.X",
            "ä",
            &"a".repeat(300),
        ] {
            assert!(!is_subject(bad), "{bad}");
        }
    }
}
