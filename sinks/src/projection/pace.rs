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
    rests: f64,
    /// Since when it works; `None` while nothing is to do.
    works_since: Option<Instant>,
    /// How long it has worked since it rested last.
    worked: Duration,
}

impl Pace {
    /// At most so many events a second.
    pub fn new(per_second: NonZeroU32) -> Self {
        Self {
            per_second,
            next: Instant::now(),
            rests: 0.0,
            works_since: None,
            worked: Duration::ZERO,
        }
    }

    /// The same pace for work in the background, which is to have at most so many hundredths of the time: whenever it waits,
    /// it rests in proportion to what it has worked, between [`Pace::begin`] and [`Pace::end`], since it rested last. On a
    /// machine that is busy with other things the work takes longer, and so does the rest.
    #[must_use]
    pub fn with_percent_of_time(mut self, percent: u32) -> Self {
        let percent = f64::from(percent.clamp(1, 100));
        self.rests = (100.0 - percent) / percent;
        self
    }

    /// Work begins.
    pub fn begin(&mut self) {
        self.works_since = Some(Instant::now());
    }

    /// Work ends: what comes until it begins again is none.
    pub fn end(&mut self) {
        if let Some(since) = self.works_since.take() {
            self.worked += since.elapsed();
        }
    }

    /// Waits until so many more events may be begun.
    pub async fn wait(&mut self, events: usize) {
        let is_at_work = self.works_since.is_some();
        self.end();
        let worked = std::mem::take(&mut self.worked);
        let now = Instant::now();
        let rested = now + worked.mul_f64(self.rests).min(REST_MAX);
        let begins = self.next.max(rested);
        let seconds = events as f64 / f64::from(self.per_second.get());
        self.next = begins + Duration::from_secs_f64(seconds);
        sleep_until(begins).await;
        if is_at_work {
            self.begin();
        }
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
    async fn work_is_followed_by_a_rest_in_proportion_and_what_is_none_is_not() {
        let mut pace = Pace::new(NonZeroU32::new(1_000_000).unwrap()).with_percent_of_time(10);
        pace.begin();
        tokio::time::advance(Duration::from_millis(60)).await;
        pace.end();
        // Nothing is to do for a while.
        tokio::time::advance(Duration::from_mins(1)).await;
        pace.begin();
        tokio::time::advance(Duration::from_millis(40)).await;
        let began = Instant::now();
        pace.wait(1).await;
        assert_eq!(began.elapsed(), Duration::from_millis(900));
        // What was rested for is done with.
        let began = Instant::now();
        pace.wait(1).await;
        assert!(began.elapsed() < Duration::from_millis(2));
        // There is an end to it.
        tokio::time::advance(Duration::from_mins(5)).await;
        let began = Instant::now();
        pace.wait(1).await;
        assert_eq!(began.elapsed(), REST_MAX);
    }
}
