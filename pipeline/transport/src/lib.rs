//! The wire: the names that everybody has to agree upon, and the connection to NATS.
//!
//! Owns subjects, streams, headers, the form of a dead letter, and connecting. Sources and sinks are built on it; it
//! moves no data of its own.

mod connection;
pub mod dead_letter;
pub mod headers;
pub mod message;
pub mod restoring;
mod shown;
pub mod stored;
pub mod streams;
pub mod subjects;

pub use connection::{ConnectError, Nats, PUBLISHES_IN_FLIGHT_MAX};
pub use shown::shown;
