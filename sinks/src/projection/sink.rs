//! The sink that all projections share: rows, order guard and offset in one transaction.
//!
//! Each transaction begins with the compare-and-set of the offset ([`Fence::advance`]), so it commits only if no other
//! copy of the projection has started since. Versions are compared with what is applied, account by account, before
//! anything is written; a hole is filled from the event store at once. Nothing that is remembered here is trusted
//! after a failure: the run ends, and the next one reads it again.
//!
//! How a run begins is in `opening`, the transaction in `committing`, and what is taken from the event store in
//! `making_up`.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use engine::{Batch, Failure, Resume, Sink};
use ledger::{AccountId, Event, Version};
use lru::LruCache;
use operators::{FeedEvent, NoEvent};
use sqlx::postgres::{PgConnectOptions, PgPool};
use store::EventStore;
use tokio::time::Instant;
use transport::Nats;
use transport::streams::Limits;

use super::Projection;
use super::making_up::{Comparison, Feed, Suspects};
use super::offset::{Fence, Target};
use super::opening::Renew;
use super::skips::Skips;
use crate::read_model;

/// How many accounts' versions are kept in memory.
const VERSIONS_CACHED_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("100,000 is not zero");
/// How often a step of the comparison is made at least, when the feed is never idle.
const COMPARE_AT_LEAST_EVERY: Duration = Duration::from_secs(10);

/// A projection as a sink.
pub struct ProjectionSink<P> {
    pub(super) projection: P,
    pub(super) nats: Nats,
    pub(super) limits: Limits,
    pub(super) pool: PgPool,
    pub(super) store: EventStore,
    pub(super) fence: Option<Fence>,
    /// What to do when the rows that are there are of an older definition; `None`: stop.
    pub(super) renew: Option<Renew>,
    /// Up to where accounts are applied; only what has been committed. An entry that is dropped is read again.
    pub(super) versions: LruCache<AccountId, Version>,
    /// What an operator told this projection to skip: such a version counts as applied, and its rows are not written.
    pub(super) skips: Skips,
    pub(super) comparison: Comparison,
    /// When the last step of the comparison was made.
    pub(super) compared_at: Instant,
    /// What accounts lacked then, while events were flowing.
    pub(super) suspects: Suspects,
    /// When the message was stored that the feed has brought last.
    pub(super) brought: Option<SystemTime>,
}

impl<P: Projection> ProjectionSink<P> {
    /// A sink that has not been opened yet. It has connections of its own to the database of `pool`.
    /// They live as long as its run ([`another`](read_model::another) says why).
    ///
    /// They do not wait for the disk at each commit: rows, versions and offset are lost together, if at all, and made anew
    /// from the feed or the event store. See decision 19.
    pub fn new(
        projection: P,
        nats: Nats,
        limits: Limits,
        pool: &PgPool,
        store: EventStore,
    ) -> Self {
        let options = PgConnectOptions::clone(&pool.connect_options())
            .options([("synchronous_commit", "off")]);
        let pool = read_model::another_with(pool, options);
        Self {
            projection,
            nats,
            limits,
            pool,
            store,
            fence: None,
            renew: None,
            versions: LruCache::new(VERSIONS_CACHED_MAX),
            skips: Skips::default(),
            compared_at: Instant::now(),
            suspects: Suspects::default(),
            brought: None,
            comparison: Comparison::Walking { after: None },
        }
    }

    /// The same sink, which does this when it meets rows of an older definition, instead of stopping.
    #[must_use]
    pub fn renewed_by(mut self, renew: Option<Renew>) -> Self {
        self.renew = renew;
        self
    }

    pub(super) fn fence(&mut self) -> &mut Fence {
        self.fence
            .as_mut()
            .expect("the engine opens a sink before it writes")
    }
}

impl<P: Projection> Sink for ProjectionSink<P> {
    type Item = FeedEvent;

    async fn open(&mut self) -> Result<Option<Resume>, Failure> {
        self.take_over().await.map(Some)
    }

    async fn write(&mut self, batch: &Batch<FeedEvent>) -> Result<(), Failure> {
        let mut events: Vec<Arc<Event>> = Vec::with_capacity(batch.deliveries.len());
        let mut last_event_id = None;
        for delivery in &batch.deliveries {
            match &delivery.item {
                FeedEvent::Event(event) => {
                    last_event_id = Some(event.event_id);
                    events.push(Arc::clone(event));
                }
                FeedEvent::Poison { message, reason } => {
                    if !self.skips.sequences.contains(&delivery.position) {
                        return Err(stopped_at(
                            P::NAME,
                            delivery.position,
                            &message.subject,
                            reason,
                        ));
                    }
                    tracing::warn!(
                        projection = P::NAME,
                        sequence = delivery.position,
                        "skipped by an operator's order: {reason}"
                    );
                    last_event_id = None;
                }
                FeedEvent::Lost { why } => {
                    let target = Target {
                        sequence: self.fence().last_sequence(),
                        event_id: None,
                    };
                    self.apply(std::mem::take(&mut events), target).await?;
                    self.make_up_everything(delivery.position, why).await?;
                    last_event_id = None;
                }
            }
        }
        let target = Target {
            // A batch that comes twice does not move the offset back.
            sequence: batch.last_position.max(self.fence().last_sequence()),
            event_id: last_event_id,
        };
        self.apply(events, target).await?;
        let last = batch.deliveries.last();
        self.brought = last
            .and_then(|delivery| Some(delivery.origin.as_ref()?.stored_at))
            .or(self.brought);
        if self.compared_at.elapsed() >= COMPARE_AT_LEAST_EVERY {
            // A feed that is never idle must not keep losses from being found.
            self.look_around(Feed::Flows).await?;
        }
        Ok(())
    }

    async fn idle(&mut self) -> Result<(), Failure> {
        self.look_around(Feed::Rests).await
    }

    fn describe(&self) -> String {
        format!(
            "PostgreSQL {}: rows and offset in one transaction, each event once",
            P::NAME
        )
    }
}

/// A projection that has met a message which it cannot apply. An event that takes a newer program is no message to be
/// skipped.
fn stopped_at(name: &str, sequence: u64, subject: &str, reason: &NoEvent) -> Failure {
    let what = format!(
        "projection {name} stops at sequence {sequence} of the feed (subject {subject}): {reason}"
    );
    Failure::fatal(match reason {
        NoEvent::TooNew(_) => what,
        NoEvent::Malformed(_) | NoEvent::Damaged(_) => format!(
            "{what}. To go on without it, run: chronicle projection skip {name} --sequence {sequence} --reason \"…\""
        ),
    })
}

#[cfg(test)]
mod tests {
    use ledger::codec::json;

    use super::*;

    #[test]
    fn the_advice_to_skip_is_for_what_is_no_event_only() {
        let newer = NoEvent::TooNew("upgrade this process first".to_owned());
        let said = stopped_at("transfers", 7, "ledger.events.A", &newer).chain();
        assert!(said.ends_with("upgrade this process first"), "{said}");
        let malformed = json::decode_event(b"no event").expect_err("it is none");
        let malformed = NoEvent::Malformed(malformed);
        let said = stopped_at("transfers", 7, "ledger.events.A", &malformed).chain();
        assert!(
            said.contains("projection skip transfers --sequence 7"),
            "{said}"
        );
    }
}
