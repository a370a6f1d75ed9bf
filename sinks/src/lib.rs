//! Where data leaves a pipeline: the feed, the answers, the dead letters, the read models, what was found to be
//! wrong.
//!
//! A sink's `write` returns when the batch is durable, or harmless to repeat.

mod commands;
mod counters;
mod dead_letters;
pub mod divergences;
mod event_feed;
mod outcomes;
pub mod projection;
pub mod read_model;
mod restored_feed;

pub use commands::Commands;
pub use counters::{FeedCounters, FeedSnapshot};
pub use dead_letters::JetStreamDeadLetters;
pub use divergences::Divergences;
pub use event_feed::EventFeed;
pub use outcomes::Outcomes;
pub use restored_feed::{RestoredFeed, restored_bytes};
