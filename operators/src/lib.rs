//! What happens on the way: from bytes to commands, from commands to outcomes, from bytes to events.

mod counters;
mod decode_command;
mod decode_event;
mod expire_hold;
mod validate;

pub use counters::CommandCounters;
pub use decode_command::{DecodeCommand, Received};
pub use decode_event::{DecodeEvent, FeedEvent};
pub use expire_hold::ExpireHold;
/// What a message of the feed holds, as the source judges it.
pub use sources::{NoEvent, event_in};
pub use validate::{Decided, Validate};
