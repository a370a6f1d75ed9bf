//! Where data enters a pipeline.
//!
//! A source delivers messages in the order of its log, from the first one that is not settled, and forgets nothing
//! before the engine has settled it.

mod accounts;
mod commands;
mod due_holds;
mod feed;
mod runs;
mod settled;

pub use accounts::{Accounts, Part, Place, Walk};
pub use commands::{Incoming, JetStreamCommands, JetStreamCommandsConfig};
pub use due_holds::{DueHold, DueHolds};
pub use feed::{FeedItem, FeedMessage, FeedTail, JetStreamEvents, NoEvent, event_in};
pub use runs::Runs;
