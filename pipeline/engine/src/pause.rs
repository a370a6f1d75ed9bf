//! How long to wait between two tries.
//!
//! Owns the only use of the crate `backoff`, which is no longer maintained: whoever replaces it does so here.
//! Guarantees exponential growth with jitter, an upper limit, and that there is always another try.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// The first pause is about this long.
pub(crate) const FIRST: Duration = Duration::from_millis(100);

/// No pause is longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

/// Pauses that grow.
pub(crate) struct Pause {
    backoff: ExponentialBackoff,
}

impl Pause {
    /// Begins with the shortest.
    pub(crate) fn new() -> Self {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST)
            .with_multiplier(2.0)
            // Half up and down, so that pipelines that lost the same peer do not come back in step.
            .with_randomization_factor(0.5)
            .with_max_interval(LONGEST)
            .with_max_elapsed_time(None)
            .build();
        Self { backoff }
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        // Without a limit on the time elapsed the crate never gives up.
        self.backoff.next_backoff().unwrap_or(LONGEST).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FIRST, LONGEST, Pause};

    #[test]
    fn pauses_grow_with_jitter_up_to_a_limit_and_never_end() {
        let mut pause = Pause::new();
        let mut middle = FIRST;
        for _ in 0..1_000 {
            let next = pause.next();
            assert!(next >= middle / 2, "{next:?} is too short");
            assert!(
                next <= (middle * 3 / 2).min(LONGEST),
                "{next:?} is too long"
            );
            middle = (middle * 2).min(LONGEST);
        }
    }

    #[test]
    fn two_pipelines_do_not_pause_in_step() {
        let pauses = || {
            let mut pause = Pause::new();
            (0..8).map(|_| pause.next()).collect::<Vec<Duration>>()
        };
        assert_ne!(pauses(), pauses());
    }
}
