//! A limit on how many events are worked on in a second.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Holds work up so that it keeps to a rate.
#[derive(Debug)]
pub struct Pace {
    per_second: NonZeroU32,
    /// When the next events may be begun.
    next: Instant,
}

impl Pace {
    /// At most so many events a second.
    pub fn new(per_second: NonZeroU32) -> Self {
        Self {
            per_second,
            next: Instant::now(),
        }
    }

    /// Waits until so many more events may be begun.
    pub async fn wait(&mut self, events: usize) {
        let now = Instant::now();
        let begins = self.next.max(now);
        let seconds = events as f64 / f64::from(self.per_second.get());
        self.next = begins + Duration::from_secs_f64(seconds);
        sleep_until(begins).await;
    }

    /// The most events that should be begun at a time.
    pub fn at_a_time(&self, usual: u32) -> u32 {
        usual.min(self.per_second.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_a_second_and_no_more() {
        let mut pace = Pace::new(NonZeroU32::new(100).unwrap());
        let began = Instant::now();
        for _ in 0..5 {
            pace.wait(50).await;
        }
        // The last of them ends half a second later.
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }
}
