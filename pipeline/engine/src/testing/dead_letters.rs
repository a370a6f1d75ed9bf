//! Dead letters in memory.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{FailWhen, lock};
use crate::component::{DeadLetter, DeadLetters};
use crate::failure::Failure;

/// Dead letters in memory; clones are the same ones, so a test keeps one clone and gives the topology another.
#[derive(Clone, Default)]
pub struct MemoryDeadLetters {
    letters: Arc<Mutex<Vec<DeadLetter>>>,
    delay: Duration,
    fail: Arc<Mutex<Calls>>,
}

#[derive(Default)]
struct Calls {
    count: u64,
    fail: Option<FailWhen>,
}

impl MemoryDeadLetters {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits so long in each call before it does anything.
    #[must_use]
    pub fn slow(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Fails the calls (1, 2, 3 …) for which `when` answers with a failure; they bury nothing.
    #[must_use]
    pub fn failing(self, when: impl FnMut(u64) -> Option<Failure> + Send + 'static) -> Self {
        lock(&self.fail).fail = Some(Box::new(when));
        self
    }

    /// All that have been buried, in order, repeated ones included.
    pub fn letters(&self) -> Vec<DeadLetter> {
        lock(&self.letters).clone()
    }

    /// Their positions, in order.
    pub fn positions(&self) -> Vec<u64> {
        let letters = self.letters();
        letters
            .iter()
            .map(|letter| letter.origin.position)
            .collect()
    }

    /// Counts a call, and says whether it fails.
    fn call(&self) -> Result<(), Failure> {
        let mut calls = lock(&self.fail);
        calls.count += 1;
        let count = calls.count;
        match calls.fail.as_mut().and_then(|fail| fail(count)) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}

impl DeadLetters for MemoryDeadLetters {
    async fn bury(&self, letters: Vec<DeadLetter>) -> Result<(), Failure> {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        self.call()?;
        lock(&self.letters).extend(letters);
        Ok(())
    }

    fn describe(&self) -> String {
        "a list in memory".to_owned()
    }
}
