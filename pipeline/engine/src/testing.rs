//! Pipelines without servers: a log, a table and dead letters in memory, and the contract that every source and sink
//! has to keep.
//!
//! Owns what tests of this and of other crates need to run a topology in one process, with a paused clock if they
//! like. The components here keep the contract themselves; failures and delays are added by hand. Not for production,
//! though nothing in it would hurt there.
//!
//! ```
//! use engine::Topology;
//! use engine::testing::{MemoryLog, MemoryTable, run_to_end};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), engine::Failure> {
//! let log = MemoryLog::of(["a", "b", "c"]);
//! let table = MemoryTable::new();
//! let topology = Topology::named("letters")
//!     .source("letters", log.source().ending())
//!     .into("table", table.sink())
//!     .build();
//! let finished = run_to_end(topology).await?;
//! assert_eq!(finished.settled, 3);
//! assert_eq!(table.items(), ["a", "b", "c"]);
//! assert_eq!(log.settled(), 3);
//! # Ok(())
//! # }
//! ```

#![allow(
    clippy::missing_panics_doc,
    reason = "a panic is how a test says that something is wrong"
)]

pub mod contract;
mod dead_letters;
mod log;
mod table;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use dead_letters::MemoryDeadLetters;
pub use log::{MemoryLog, MemorySource};
pub use table::{MemorySink, MemoryTable};

use crate::failure::Failure;
use crate::message::Message;
use crate::run::Finished;
use crate::status::PipelineStatus;
use crate::topology::Topology;

/// Decides which calls fail: gets the number or position of the call, and answers with its failure.
pub(crate) type FailWhen = Box<dyn FnMut(u64) -> Option<Failure> + Send>;

/// Runs a topology until its source ends (see [`MemorySource::ending`]), without supervision.
pub async fn run_to_end(topology: Topology) -> Result<Finished, Failure> {
    let status = PipelineStatus::new(topology.name());
    topology.run(status, CancellationToken::new()).await
}

/// A message with nothing in it.
fn bare_message(position: u64) -> Arc<Message> {
    Arc::new(Message {
        position,
        subject: format!("memory.{position}"),
        headers: Vec::new(),
        payload: Bytes::new(),
        stored_at: SystemTime::UNIX_EPOCH,
    })
}

/// What a test waits for comes by then, or never; at once with a paused clock.
const DEADLINE: Duration = Duration::from_mins(5);

async fn within_deadline(event: impl Future<Output = ()>, otherwise: &str) {
    timeout(DEADLINE, event)
        .await
        .unwrap_or_else(|_| panic!("{otherwise} within {DEADLINE:?}"));
}

/// A test that panicked elsewhere has left whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
