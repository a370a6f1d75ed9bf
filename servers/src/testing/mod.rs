//! Servers for tests: own folders below the temporary folder, free ports, thrown away after.
//!
//! A server that is missing and cannot be fetched makes the test fail with the reason; nothing is skipped. Whatever
//! ends the test process ends its servers, and what it left in the temporary folder is removed by the next one.

mod event_store;
mod nats;
mod postgres;

pub use event_store::{EVENT_STORE_VARIABLE, event_store_url};
pub use nats::Nats;
pub use postgres::{Postgres, SharedPostgres, postgres};
