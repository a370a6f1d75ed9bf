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
use sources::{Part, Walk};
use sqlx::postgres::PgPool;
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
    pub(crate) fn new(
        parts: &Parts,
        read_model: &PgPool,
        rate: NonZeroU32,
        shutdown: &CancellationToken,
    ) -> Self {
        Self {
            slowly: Slowly::new(
                parts.store_for_comparison.clone(),
                parts.nats.clone(),
                read_model.clone(),
                Pace::new(rate).with_percent_of_time(parts.compare_percent),
            ),
            rate,
            shutdown: shutdown.clone(),
        }
    }

    async fn compare(&mut self, walk: Walk) -> Result<Compared, Failure> {
        let mut found = self.look(&walk, true).await.map_err(failed)?;
        // The sums were compared as they were at one instant, and are gone now: there is no second look at them.
        if !found.divergences.is_empty() && walk != Walk::Remainder(Part::Totals) {
            tokio::time::sleep(CONFIRM_AFTER).await;
            let again = self.look(&walk, false).await.map_err(failed)?;
            found.divergences = both(&found.divergences, again.divergences);
            found.not_compared.extend(again.not_compared);
        }
        say(&found.divergences);
        Ok(Compared {
            walk,
            events: found.events,
            divergences: found.divergences,
            not_compared: found.not_compared,
        })
    }

    async fn look(&mut self, walk: &Walk, is_first: bool) -> anyhow::Result<Found> {
        match walk {
            Walk::Accounts { after, heads } => {
                if after.is_none() && is_first {
                    self.slowly.begin().await?;
                }
                self.slowly.accounts(after.as_ref(), heads, is_first).await
            }
            Walk::Remainder(part) => self.slowly.remainder(*part).await,
        }
    }
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::retry("the comparison with the event store could not go on").because(error)
}

impl Operator for Compare {
    type Input = Walk;
    type Output = Compared;

    async fn apply(&mut self, batch: Vec<Walk>) -> Result<Vec<Step<Compared>>, Failure> {
        let shutdown = self.shutdown.clone();
        let mut steps = Vec::with_capacity(batch.len());
        for walk in batch {
            let compared = Box::pin(self.compare(walk));
            let compared = shutdown.run_until_cancelled(compared).await;
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
    let key = |one: &Divergence| (one.place.clone(), one.invariant.clone(), one.subject());
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
