//! How commands and events are written down.
//!
//! Commands come as JSON (the default) or as bincode behind a format-version byte; events go out as JSON, and can be
//! kept as bincode. Decoding is strict: what is not understood is refused by name, never ignored.

pub mod binary;
mod fields;
pub mod json;

use crate::command::{Command, limits};
use crate::excerpt::excerpt;
use crate::ids::CommandId;

/// The content type of JSON; also assumed when there is none.
pub const CONTENT_TYPE_JSON: &str = "application/json";
/// The content type of bincode.
pub const CONTENT_TYPE_BINCODE: &str = "application/vnd.chronicle.bincode";

/// Bytes that are no command (or no event), and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// The command's id, if as much could be read.
    pub command_id: Option<CommandId>,
}

impl Malformed {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            command_id: None,
        }
    }

    /// The same, of a part of the body.
    fn within(self, name: &str) -> Self {
        Self {
            message: format!("{name}: {}", self.message),
            ..self
        }
    }
}

/// Decodes a command by the content type that came with it.
pub fn decode_command(content_type: Option<&str>, payload: &[u8]) -> Result<Command, Malformed> {
    if payload.len() > limits::BODY_BYTES_MAX {
        return Err(Malformed::new(
            "too_large",
            format!(
                "a command has at most {} bytes, and this has {}",
                limits::BODY_BYTES_MAX,
                payload.len()
            ),
        ));
    }
    // Parameters such as "; charset=utf-8" say nothing new about JSON.
    let essence = content_type
        .unwrap_or(CONTENT_TYPE_JSON)
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    if essence.eq_ignore_ascii_case(CONTENT_TYPE_JSON) {
        json::decode_command(payload)
    } else if essence.eq_ignore_ascii_case(CONTENT_TYPE_BINCODE) {
        binary::decode_command(payload)
    } else {
        let shown = excerpt(essence);
        Err(Malformed::new(
            "unsupported_content_type",
            format!(
                "Content-Type {shown:?} is not known; use {CONTENT_TYPE_JSON} or {CONTENT_TYPE_BINCODE}"
            ),
        ))
    }
}
