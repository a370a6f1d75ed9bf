//! A limit on the rate: so many events a second, evenly, with little to catch up after a pause.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// After a pause (of the target, say) no more than so much time is made up for.
const CATCH_UP_MAX: Duration = Duration::from_millis(100);

/// Keeps a rate.
pub(super) struct Pace {
    apart: Option<Duration>,
    next: Instant,
}

impl Pace {
    /// At most so many a second; without a limit, as fast as it goes.
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self {
            apart: per_second.map(|rate| Duration::from_secs(1) / rate.get()),
            next: Instant::now(),
        }
    }

    /// Waits until the next one may go.
    pub(super) async fn wait(&mut self) {
        let Some(apart) = self.apart else { return };
        let now = Instant::now();
        if let Some(earliest) = now.checked_sub(CATCH_UP_MAX) {
            self.next = self.next.max(earliest);
        }
        if self.next > now {
            sleep_until(self.next).await;
        }
        self.next += apart;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_and_a_pause_is_not_made_up_for() {
        let begun = Instant::now();
        let mut pace = Pace::new(NonZeroU32::new(50));
        for _ in 0..100 {
            pace.wait().await;
        }
        assert_eq!(begun.elapsed().as_millis(), 99 * 20);
        tokio::time::sleep(Duration::from_mins(1)).await;
        let begun = Instant::now();
        for _ in 0..50 {
            pace.wait().await;
        }
        // Five of them were due within what may be caught up.
        assert!(begun.elapsed() >= Duration::from_millis(44 * 20));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        let begun = Instant::now();
        let mut pace = Pace::new(None);
        for _ in 0..1_000 {
            pace.wait().await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
