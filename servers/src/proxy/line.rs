//! What kind of line it is, and how much goes over it.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What was ordered last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Line {
    pub(super) bytes_per_second: Option<NonZeroU64>,
    pub(super) latency: Duration,
    pub(super) is_black: bool,
    /// How often all connections were reset.
    pub(super) resets: u64,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared {
    line: watch::Sender<Line>,
    pub(super) to_target: Direction,
    pub(super) to_clients: Direction,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            line: watch::Sender::new(Line::default()),
            to_target: Direction::default(),
            to_clients: Direction::default(),
        }
    }
}

impl Shared {
    /// Changes the line, for everything that is on its way, too.
    pub(super) fn change(&self, change: impl FnOnce(&mut Line)) {
        // What was booked at the old rate does not count at the new one.
        self.to_target.forget();
        self.to_clients.forget();
        self.line.send_modify(change);
    }

    pub(super) fn line(&self) -> Line {
        *self.line.borrow()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Line> {
        self.line.subscribe()
    }
}

/// One direction of the line.
#[derive(Debug, Default)]
pub(super) struct Direction {
    carried: AtomicU64,
    /// Until when the line is taken by what was booked; `None`: it is free.
    taken_until: Mutex<Option<Instant>>,
}

impl Direction {
    pub(super) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, bytes: usize) {
        self.carried.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Books the line for so many bytes, behind those that were booked before; answers with when they are through.
    pub(super) fn book(&self, bytes: usize, bytes_per_second: NonZeroU64) -> Instant {
        let takes = Duration::from_secs_f64(bytes as f64 / bytes_per_second.get() as f64);
        let now = Instant::now();
        let mut taken_until = self
            .taken_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let through = taken_until.map_or(now, |until| until.max(now)) + takes;
        *taken_until = Some(through);
        through
    }

    fn forget(&self) {
        *self
            .taken_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}
