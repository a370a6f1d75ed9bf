//! The operator of the pipeline `comparison`: accounts in, what does not agree with the event store out.
//!
//! What is found is looked at twice, some seconds apart, and counts if it was there both times: a swap of read models, a
//! feed that is made anew or a projection that commits may be met in the midst, and is over by then.
//!
//! At shutdown the present step is left undone. The sink keeps the place, so the next run does it again.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::time::Duration;

use engine::{Failure, Operator, Step};
use sinks::divergences::{Compared, Divergence};
use sinks::projection::Pace;
use sources::Walk;
use tokio_util::sync::CancellationToken;

use crate::commands::{Found, Slowly};
use crate::topology::Parts;

/// How long after the first look the second one is taken.
const CONFIRM_AFTER: Duration = Duration::from_secs(3);

/// The operator.
pub(crate) struct Compare {
    slowly: Slowly,
    rate: NonZeroU32,
    shutdown: CancellationToken,
}

impl Compare {
    /// Compares at most so many events a second, until `shutdown`.
    pub(crate) fn new(parts: &Parts, rate: NonZeroU32, shutdown: &CancellationToken) -> Self {
        Self {
            slowly: Slowly {
                store: parts.store_for_comparison.clone(),
                nats: parts.nats.clone(),
                read_model: parts.read_model.clone(),
                pace: Pace::new(rate),
            },
            rate,
            shutdown: shutdown.clone(),
        }
    }

    async fn compare(&mut self, walk: Walk) -> Result<Compared, Failure> {
        let mut found = self.look(&walk).await?;
        if !found.divergences.is_empty() {
            tokio::time::sleep(CONFIRM_AFTER).await;
            let again = self.look(&walk).await?;
            found = Found {
                events: found.events,
                divergences: both(&found.divergences, again.divergences),
            };
            say(&found.divergences);
        }
        Ok(Compared {
            walk,
            events: found.events,
            divergences: found.divergences,
        })
    }

    async fn look(&mut self, walk: &Walk) -> Result<Found, Failure> {
        let found = match walk {
            Walk::Accounts { after, accounts } => {
                self.slowly.accounts(after.as_ref(), accounts).await
            }
            Walk::Remainder => self.slowly.remainder().await,
        };
        found.map_err(|error| {
            Failure::retry("the comparison with the event store could not go on").because(error)
        })
    }
}

impl Operator for Compare {
    type Input = Walk;
    type Output = Compared;

    async fn apply(&mut self, batch: Vec<Walk>) -> Result<Vec<Step<Compared>>, Failure> {
        let shutdown = self.shutdown.clone();
        let mut steps = Vec::with_capacity(batch.len());
        for walk in batch {
            let compared = shutdown.run_until_cancelled(self.compare(walk)).await;
            steps.push(match compared {
                Some(compared) => Step::Emit(compared?),
                None => Step::Skip("left undone at shutdown"),
            });
        }
        Ok(steps)
    }

    fn describe(&self) -> String {
        format!(
            "chains, feed and read models with the event store, {} events a second",
            self.rate
        )
    }
}

/// What is in both, as it was seen last.
fn both(first: &[Divergence], second: Vec<Divergence>) -> Vec<Divergence> {
    fn key(one: &Divergence) -> (&str, &str, Option<&str>) {
        (&one.place, &one.invariant, one.account_id.as_deref())
    }
    let known: HashSet<_> = first.iter().map(key).collect();
    second
        .into_iter()
        .filter(|one| known.contains(&key(one)))
        .collect()
}

fn say(divergences: &[Divergence]) {
    for one in divergences {
        tracing::error!(
            place = one.place,
            invariant = one.invariant,
            account_id = one.account_id,
            version = one.version,
            "differs from the event store: {}",
            one.message
        );
    }
}
