//! A limit on how many events are worked on in a second.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The longest rest after a piece of work that took long.
const REST_MAX: Duration = Duration::from_secs(10);

/// Holds work up so that it keeps to a rate, and leaves time to others.
#[derive(Debug)]
pub struct Pace {
    per_second: NonZeroU32,
    /// When the next events may be begun.
    next: Instant,
    /// How many times as long as it has worked it rests.
    rests: u32,
    /// Since when it works.
    works_since: Option<Instant>,
}

impl Pace {
    /// At most so many events a second.
    pub fn new(per_second: NonZeroU32) -> Self {
        Self {
            per_second,
            next: Instant::now(),
            rests: 0,
            works_since: None,
        }
    }

    /// The same pace for work in the background: after each piece of work it rests at least so many times as long as that
    /// took. What is done between two waits is a piece of work. On a machine that is busy with other things it takes
    /// longer, and so does the rest.
    #[must_use]
    pub fn resting(mut self, times: u32) -> Self {
        self.rests = times;
        self
    }

    /// Waits until so many more events may be begun.
    pub async fn wait(&mut self, events: usize) {
        let now = Instant::now();
        let worked = self.works_since.map_or(Duration::ZERO, |since| now - since);
        let rested = now + worked.saturating_mul(self.rests).min(REST_MAX);
        let begins = self.next.max(rested);
        let seconds = events as f64 / f64::from(self.per_second.get());
        self.next = begins + Duration::from_secs_f64(seconds);
        sleep_until(begins).await;
        self.works_since = Some(Instant::now());
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

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_long_is_followed_by_a_longer_rest() {
        let mut pace = Pace::new(NonZeroU32::new(1_000).unwrap()).resting(9);
        pace.wait(10).await;
        let began = Instant::now();
        sleep_until(began + Duration::from_millis(100)).await;
        pace.wait(10).await;
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        // There is an end to it.
        let began = Instant::now();
        sleep_until(began + Duration::from_mins(5)).await;
        pace.wait(10).await;
        assert_eq!(began.elapsed(), Duration::from_mins(5) + REST_MAX);
    }
}
