//! JSON: the wire format, and the canonical form that fingerprints and hashes are made of.
//!
//! Everything here is written in the form of RFC 8785 at once: fields in the order of their names, no white space,
//! strings escaped as little as possible (what serde_json does), whole numbers below 2^53, money as strings. So
//! hashing needs no second pass; a test holds it against an independent implementation of the RFC.

mod command;
mod event;
pub(crate) mod once;

use serde::Serialize;

pub(in crate::codec) use command::nested_batch;
pub use command::{decode_command, encode_command};
pub(crate) use command::{differing_fields, encode_normalized};
pub(crate) use event::encode_event_without_hash;
pub use event::{decode_event, decode_event_data, encode_event, encode_event_data};

fn written(value: &impl Serialize) -> Vec<u8> {
    const TYPICAL_BYTES: usize = 640;
    let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
    serde_json::to_writer(&mut bytes, value)
        .expect("these structures always become JSON, and memory takes all bytes");
    bytes
}
