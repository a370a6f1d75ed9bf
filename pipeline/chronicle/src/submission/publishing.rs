//! Publishing into a stream, and what it means when the stream does not take it.

use std::error::Error as _;

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;
use ledger::Command;
use ledger::codec::CONTENT_TYPE_JSON;
use transport::{Nats, headers, subjects};

/// A message on its way into a stream. Cloning it costs nothing, so it can be sent again as it is.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl Outgoing {
    /// A command on its way, to be answered on `reply_to`.
    pub(crate) fn command(command: &Command, payload: Bytes, reply_to: &str) -> Self {
        let mut map = HeaderMap::new();
        map.insert(headers::CONTENT_TYPE, CONTENT_TYPE_JSON);
        map.insert(headers::REPLY_TO, reply_to);
        Self {
            subject: subjects::command(command.account_id()),
            headers: map,
            payload,
        }
    }
}

/// Why a stream has not acknowledged a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unacknowledged {
    /// The stream has reached its limits and refuses what is new. The message is not in it.
    #[error("the stream is full ({0})")]
    Full(String),
    /// No stream takes this subject. The message is nowhere.
    #[error(
        "no stream takes the subject; the pipelines make it when they first start (`chronicle run`, `chronicle dev`)"
    )]
    NoStream,
    /// There is no connection, so nothing was sent.
    #[error("NATS is not connected")]
    NotConnected,
    /// No acknowledgement: the message may be in the stream or not.
    #[error("no acknowledgement came ({0})")]
    Unknown(String),
    /// The server refuses it for another reason. The message is not in the stream.
    #[error("the server refuses it: {0}")]
    Refused(String),
}

impl Unacknowledged {
    /// Whether time alone may heal it. A server that has just started knows its streams only after a while.
    pub(crate) fn may_pass(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

impl From<PublishError> for Unacknowledged {
    fn from(error: PublishError) -> Self {
        let refusal = error
            .source()
            .and_then(|source| source.downcast_ref::<jetstream::Error>());
        if let Some(refusal) = refusal {
            let code = refusal.error_code();
            let text = refusal.to_string();
            // A stream that discards what is new says "maximum messages exceeded" or "maximum bytes exceeded" under
            // the code of any failure to store.
            let full = code == ErrorCode::STREAM_STORE_FAILED && text.contains("maximum");
            return if full
                || code == ErrorCode::STORAGE_RESOURCES_EXCEEDED
                || code == ErrorCode::INSUFFICIENT_RESOURCES
            {
                Self::Full(text)
            } else {
                Self::Refused(text)
            };
        }
        match error.kind() {
            PublishErrorKind::StreamNotFound => Self::NoStream,
            PublishErrorKind::MaxPayloadExceeded => Self::Refused(error.to_string()),
            _ => Self::Unknown(error.to_string()),
        }
    }
}

/// Hands a message to the server; the future waits for the stream's acknowledgement. Messages enter the stream in the
/// order of these calls.
pub(crate) async fn begin(
    nats: &Nats,
    message: Outgoing,
) -> impl Future<Output = Result<PublishAck, Unacknowledged>> + Send + use<> {
    let begun = nats
        .jetstream
        .publish_with_headers(message.subject, message.headers, message.payload)
        .await;
    // Bound here: the acknowledgement must not borrow the connection.
    let begun = begun.map(IntoFuture::into_future);
    async move { Ok(begun?.await?) }
}

/// Publishes a message and waits for the stream's acknowledgement.
pub(crate) async fn publish(nats: &Nats, message: Outgoing) -> Result<PublishAck, Unacknowledged> {
    begin(nats, message).await.await
}
