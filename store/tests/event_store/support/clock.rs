//! Time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ledger::Timestamp;
use time::OffsetDateTime;

/// This machine's time.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_date_time(OffsetDateTime::now_utc())
}

/// A clock that stands until it is set.
pub(crate) struct Manual(AtomicI64);

impl Manual {
    pub(crate) fn at(time: &str) -> Self {
        let at: Timestamp = time.parse().unwrap();
        Self(AtomicI64::new(at.unix_microseconds()))
    }

    pub(crate) fn advance(&self, microseconds: i64) {
        self.0.fetch_add(microseconds, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_microseconds(self.0.load(Ordering::Relaxed))
    }
}

/// `at`, moved by some microseconds.
pub(crate) fn moved(at: Timestamp, microseconds: i64) -> Timestamp {
    Timestamp::from_unix_microseconds(at.unix_microseconds() + microseconds)
}

/// Waits until `condition` holds; fails when it does not in time.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
