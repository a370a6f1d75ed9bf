//! What the runs of one source in a process have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process has read the log before: then that run has failed, perhaps over what was delivered to it.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    begun: Arc<AtomicBool>,
}

impl Runs {
    /// A run begins; says whether it follows another.
    pub(crate) fn begin(&self) -> bool {
        self.begun.swap(true, Ordering::Relaxed)
    }
}
