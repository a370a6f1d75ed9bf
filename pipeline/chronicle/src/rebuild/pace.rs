//! An operator that holds events up so that they keep to a rate.

use std::num::NonZeroU32;

use engine::{Failure, Operator, Step};
use operators::FeedEvent;
use sinks::projection::Pace;

/// Passes everything on, at most so much a second.
pub(crate) struct KeepPace {
    rate: NonZeroU32,
    pace: Pace,
}

impl KeepPace {
    pub(crate) fn new(rate: NonZeroU32) -> Self {
        Self {
            rate,
            pace: Pace::new(rate),
        }
    }
}

impl Operator for KeepPace {
    type Input = FeedEvent;
    type Output = FeedEvent;

    async fn apply(&mut self, batch: Vec<FeedEvent>) -> Result<Vec<Step<FeedEvent>>, Failure> {
        self.pace.wait(batch.len()).await;
        Ok(batch.into_iter().map(Step::Emit).collect())
    }

    fn describe(&self) -> String {
        format!("at most {} events a second", self.rate)
    }
}
