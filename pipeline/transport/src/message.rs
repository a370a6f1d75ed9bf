//! Messages of NATS as messages of the engine.

use std::time::SystemTime;

use async_nats::HeaderMap;
use engine::Message;

/// Headers in their order of names; a name may have several values.
pub fn headers_of(headers: Option<&HeaderMap>) -> Vec<(String, String)> {
    headers.map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .flat_map(|(name, values)| {
                values
                    .iter()
                    .map(move |value| (name.to_string(), value.as_str().to_owned()))
            })
            .collect()
    })
}

/// A message that a consumer has delivered; `None` if its acknowledgement subject cannot be read (then it is no
/// message of a stream).
pub fn from_jetstream(message: &async_nats::jetstream::Message) -> Option<Message> {
    let info = message.info().ok()?;
    Some(Message {
        position: info.stream_sequence,
        subject: message.subject.to_string(),
        headers: headers_of(message.headers.as_ref()),
        payload: message.payload.clone(),
        stored_at: SystemTime::from(info.published),
    })
}

/// A message as the stream holds it.
pub fn from_stream(message: async_nats::jetstream::message::StreamMessage) -> Message {
    Message {
        position: message.sequence,
        subject: message.subject.to_string(),
        headers: headers_of(Some(&message.headers)),
        payload: message.payload,
        stored_at: SystemTime::from(message.time),
    }
}
