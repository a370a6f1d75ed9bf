//! Pipelines without servers: a log, a table and dead letters in memory, and the contract that every source and sink
//! has to keep.
//!
//! Owns what tests of this and of other crates need to run a topology in one process, with a paused clock if they
//! like. The components here keep the contract themselves; failures and delays are added by hand. Not for production,
//! though nothing in it would hurt there.
//!
//! ```text
//! let log = MemoryLog::of(["a", "b", "c"]);
//! let table = MemoryTable::new();
//! let topology = Topology::named("letters")
//!     .source("letters", log.source().ending())
//!     .into("table", table.sink())
//!     .build();
//! let finished = testing::run_to_end(topology).await?;
//! assert_eq!(table.items(), ["a", "b", "c"]);
//! assert_eq!(log.settled(), 3);
//! ```

#![allow(
    clippy::missing_panics_doc,
    reason = "a panic is how a test says that something is wrong"
)]

pub mod contract;
mod dead_letters;
mod log;
mod table;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

pub use dead_letters::MemoryDeadLetters;
pub use log::{MemoryLog, MemorySource};
pub use table::{MemorySink, MemoryTable};

use crate::failure::Failure;
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

/// A test that panicked elsewhere has left whole values behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
