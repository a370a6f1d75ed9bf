//! The sink that all projections share: rows, order guard and offset in one transaction.
//!
//! Each transaction begins with the compare-and-set of the offset ([`Fence::advance`]), so it commits only if no other
//! copy of the projection has started since. Versions are compared with what is applied, account by account, before
//! anything is written; a hole is filled from the event store at once. Nothing that is remembered here is trusted
//! after a failure: the run ends, and the next one reads it again.

use std::borrow::Cow;
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use engine::{Batch, Failure, Resume, Sink, fault};
use ledger::{AccountId, Event, EventId, Version};
use lru::LruCache;
use operators::FeedEvent;
use sqlx::postgres::PgPool;
use sqlx::{PgConnection, Row};
use store::EventStore;
use store::sqlstate::{self, Class};
use tokio::time::Instant;
use transport::Nats;
use transport::streams::{self, Limits};

use super::Projection;
use super::guard::{Applied, guard};
use super::offset::{self, Fence, Target, signed};
use crate::read_model;

/// How many accounts' versions are kept in memory.
const VERSIONS_CACHED_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("100,000 is not zero");
/// How many accounts are compared with the event store at a time.
const ACCOUNTS_COMPARED_AT_A_TIME: u32 = 1_000;
/// How many events are read from the event store, and applied in one transaction, when there is something to make up for.
const EVENTS_MADE_UP_AT_A_TIME: u32 = 2_000;
/// How long to rest, when idle, after all accounts have been compared.
const COMPARE_EVERY: Duration = Duration::from_secs(60);

/// A projection as a sink.
pub struct ProjectionSink<P> {
    projection: P,
    nats: Nats,
    limits: Limits,
    pool: PgPool,
    store: EventStore,
    fence: Option<Fence>,
    /// Up to where accounts are applied; only what has been committed. An entry that is dropped is read again.
    versions: LruCache<AccountId, Version>,
    skips: Vec<u64>,
    /// Events that an operator told this projection to skip: their versions count as applied, their rows are not written.
    skipped_events: HashSet<EventId>,
    comparison: Comparison,
}

/// The walk over all accounts, in small steps while nothing else is to do: it finds what the feed never brought.
enum Comparison {
    /// The next step begins behind this account.
    Walking { after: Option<AccountId> },
    /// All accounts have been compared.
    Resting { until: Instant },
}

impl<P: Projection> ProjectionSink<P> {
    /// A sink that has not been opened yet.
    pub fn new(projection: P, nats: Nats, limits: Limits, pool: PgPool, store: EventStore) -> Self {
        Self {
            projection,
            nats,
            limits,
            pool,
            store,
            fence: None,
            versions: LruCache::new(VERSIONS_CACHED_MAX),
            skips: Vec::new(),
            skipped_events: HashSet::new(),
            comparison: Comparison::Walking { after: None },
        }
    }

    fn fence(&mut self) -> &mut Fence {
        self.fence.as_mut().expect("the engine opens a sink before it writes")
    }

    fn read_failed(&self, error: sqlx::Error) -> Failure {
        read_model::failure(format!("projection {} cannot read its versions", P::NAME), error)
    }

    /// Up to where these accounts are applied.
    async fn applied<'a>(&mut self, account_ids: impl Iterator<Item = &'a AccountId>) -> Result<Applied, Failure> {
        let mut applied = Applied::new();
        let mut missing: Vec<&AccountId> = Vec::new();
        for account_id in account_ids {
            if applied.contains_key(account_id) {
                continue;
            }
            let known = self.versions.get(account_id).copied();
            if known.is_none() {
                missing.push(account_id);
            }
            applied.insert(account_id.clone(), known.unwrap_or(Version::NONE));
        }
        if missing.is_empty() {
            return Ok(applied);
        }
        let names: Vec<&str> = missing.iter().map(|account_id| account_id.as_str()).collect();
        let rows = sqlx::query(
            "SELECT account_id, version FROM projection_versions WHERE projection = $1 AND account_id = ANY($2)",
        )
        .bind(P::NAME)
        .bind(names)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.read_failed(error))?;
        for row in rows {
            let version = u64::try_from(row.get::<i64, _>("version")).unwrap_or_default();
            if let Ok(account_id) = row.get::<&str, _>("account_id").parse() {
                applied.insert(account_id, Version::new(version));
            }
        }
        Ok(applied)
    }

    /// Applies events of the feed and moves the offset to `target`.
    async fn apply(&mut self, mut events: Vec<Event>, target: Target) -> Result<(), Failure> {
        loop {
            let mut applied = self.applied(events.iter().map(|event| &event.account_id)).await?;
            let (guarded, rest) = guard(&mut applied, events);
            let Some((account_id, version)) = guarded.gap else {
                return self.commit(&guarded.events, &applied, target).await;
            };
            // What stands before the hole is committed first, then the hole is filled, then the rest is looked at anew.
            let here = self.here();
            self.commit(&guarded.events, &applied, here).await?;
            let first_missing = applied.get(&account_id).copied().unwrap_or(Version::NONE).next();
            tracing::info!(
                projection = P::NAME,
                %account_id,
                %first_missing,
                next = %version,
                "the feed has a hole; filling it from the event store"
            );
            let made_up = self.make_up(&account_id, Some(version)).await?;
            if made_up == 0 {
                return Err(Failure::retry(format!(
                    "projection {}: the feed has version {version} of account {account_id}, and the event store does not \
                     have version {first_missing} (yet)",
                    P::NAME
                )));
            }
            events = rest;
        }
    }

    /// Where the offset is now: for transactions that apply events without having read any further.
    fn here(&mut self) -> Target {
        Target {
            sequence: self.fence().last_sequence(),
            event_id: None,
        }
    }

    /// Applies what an account lacks, up to `before` (exclusive) or to its newest event. Answers with the number of
    /// events applied.
    async fn make_up(&mut self, account_id: &AccountId, before: Option<Version>) -> Result<usize, Failure> {
        let mut made_up = 0;
        loop {
            let mut applied = self.applied(std::iter::once(account_id)).await?;
            let after = applied.get(account_id).copied().unwrap_or(Version::NONE);
            let mut events = self
                .store
                .history(account_id, after, EVENTS_MADE_UP_AT_A_TIME)
                .await
                .map_err(store_failure)?;
            events.retain(|event| before.is_none_or(|before| event.version < before));
            if events.is_empty() {
                return Ok(made_up);
            }
            let (guarded, _) = guard(&mut applied, events);
            if let Some((account_id, version)) = guarded.gap {
                return Err(Failure::fatal(format!(
                    "the event store has version {version} of account {account_id} and not the one before it; run \
                     `chronicle verify`"
                )));
            }
            made_up += guarded.events.len();
            let here = self.here();
            self.commit(&guarded.events, &applied, here).await?;
        }
    }

    /// Compares the next accounts with the event store and makes up for what is missing. Answers with the last of them;
    /// `None` when there are no more.
    async fn compare(&mut self, after: Option<AccountId>) -> Result<Option<AccountId>, Failure> {
        let heads = self
            .store
            .heads(after.as_ref(), ACCOUNTS_COMPARED_AT_A_TIME)
            .await
            .map_err(store_failure)?;
        let applied = self.applied(heads.iter().map(|head| &head.account_id)).await?;
        for head in &heads {
            if applied.get(&head.account_id).copied().unwrap_or(Version::NONE) < head.version {
                let made_up = self.make_up(&head.account_id, None).await?;
                tracing::info!(
                    projection = P::NAME,
                    account_id = %head.account_id,
                    made_up,
                    "applied events that the feed has not brought"
                );
            }
        }
        Ok(heads.into_iter().next_back().map(|head| head.account_id))
    }

    /// The feed does not have everything (any more): makes up for it from the event store, all accounts, and then moves
    /// the offset to `position`. Interrupted at any point, it begins anew and skips what is applied.
    async fn make_up_everything(&mut self, position: u64, why: &str) -> Result<(), Failure> {
        tracing::warn!(projection = P::NAME, "{why}; catching up from the event store");
        let mut after = None;
        while let Some(last) = self.compare(after).await? {
            after = Some(last);
        }
        let target = Target {
            sequence: position,
            event_id: None,
        };
        self.commit(&[], &Applied::new(), target).await
    }

    /// One transaction: offset, rows, versions. `applied` says up to where the accounts of `events` are applied with
    /// them.
    async fn commit(&mut self, events: &[Event], applied: &Applied, target: Target) -> Result<(), Failure> {
        if events.is_empty() && target.sequence == self.fence().last_sequence() {
            return Ok(());
        }
        let failed = |error| read_model::failure(format!("projection {} cannot commit", P::NAME), error);
        let fence = self.fence().clone();
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        fence.advance(&mut transaction, target).await?;
        if !events.is_empty() {
            let applying = self.without_skipped(events);
            if let Err(error) = self.projection.apply(&mut transaction, &applying).await {
                if sqlstate::classify(&error) == Class::Refused {
                    drop(transaction);
                    return Err(self.name_the_poison(&applying, error).await);
                }
                return Err(failed(error));
            }
            record(&mut transaction, P::NAME, events, applied).await.map_err(failed)?;
        }
        fault::point("in_projection_transaction");
        transaction.commit().await.map_err(failed)?;
        self.fence().advanced(target);
        for event in events {
            self.versions.put(event.account_id.clone(), event.version);
        }
        Ok(())
    }

    fn without_skipped<'a>(&self, events: &'a [Event]) -> Cow<'a, [Event]> {
        if self.skipped_events.is_empty() {
            return Cow::Borrowed(events);
        }
        let wanted = |event: &&Event| !self.skipped_events.contains(&event.event_id);
        Cow::Owned(events.iter().filter(wanted).cloned().collect())
    }

    /// Finds the event that the read model refuses, by applying ever fewer of them in transactions that are rolled back.
    async fn name_the_poison(&self, events: &[Event], error: sqlx::Error) -> Failure {
        for count in 1..=events.len() {
            let Ok(mut transaction) = self.pool.begin().await else {
                break;
            };
            if self.projection.apply(&mut transaction, &events[..count]).await.is_err() {
                let event = &events[count - 1];
                return Failure::fatal(format!(
                    "projection {name} stops at event {event} (version {version} of account {account}): the read model \
                     refuses it. To go on without it, look its sequence up with `chronicle events --account {account}` and \
                     run: chronicle projection skip {name} --sequence N --reason \"…\"",
                    name = P::NAME,
                    event = event.event_id,
                    account = event.account_id,
                    version = event.version
                ))
                .because(error);
            }
        }
        read_model::failure(format!("projection {} cannot apply its events", P::NAME), error)
    }
}

/// Records up to where the accounts of `events` are applied.
async fn record(
    transaction: &mut PgConnection,
    projection: &str,
    events: &[Event],
    applied: &Applied,
) -> Result<(), sqlx::Error> {
    let mut touched: Vec<&AccountId> = events.iter().map(|event| &event.account_id).collect();
    touched.sort_unstable();
    touched.dedup();
    let account_id: Vec<&str> = touched.iter().map(|account_id| account_id.as_str()).collect();
    let version: Vec<i64> = touched
        .iter()
        .map(|account_id| applied.get(*account_id).copied().map_or(0, signed))
        .collect();
    sqlx::query(
        "INSERT INTO projection_versions (projection, account_id, version)
         SELECT $1, u.account_id, u.version FROM unnest($2::text[], $3::bigint[]) AS u(account_id, version)
         ON CONFLICT (projection, account_id) DO UPDATE SET version = excluded.version",
    )
    .bind(projection)
    .bind(account_id)
    .bind(version)
    .execute(transaction)
    .await?;
    Ok(())
}

impl<P: Projection> Sink for ProjectionSink<P> {
    type Item = FeedEvent;

    async fn open(&mut self) -> Result<Option<Resume>, Failure> {
        self.nats.ready().await?;
        let stream = streams::events(&self.nats.jetstream, &self.limits).await?;
        let stream_id = streams::identity(&stream);
        let (fence, resume) = Fence::take(&self.pool, P::NAME, &stream_id).await?;
        self.skips = offset::skips(&self.pool, P::NAME, &stream_id).await?;
        self.fence = Some(fence);
        Ok(Some(resume))
    }

    async fn write(&mut self, batch: &Batch<FeedEvent>) -> Result<(), Failure> {
        let mut events: Vec<Event> = Vec::with_capacity(batch.deliveries.len());
        let mut last_event_id = None;
        for delivery in &batch.deliveries {
            match &delivery.item {
                FeedEvent::Event(event) => {
                    if self.skips.contains(&delivery.position) {
                        self.skipped_events.insert(event.event_id);
                    }
                    last_event_id = Some(event.event_id);
                    events.push(Event::clone(event));
                }
                FeedEvent::Poison { message, reason } => {
                    if !self.skips.contains(&delivery.position) {
                        return Err(Failure::fatal(format!(
                            "projection {name} stops at sequence {sequence} of the feed (subject {subject}): {reason}. To \
                             go on without it, run: chronicle projection skip {name} --sequence {sequence} --reason \"…\"",
                            name = P::NAME,
                            sequence = delivery.position,
                            subject = message.subject
                        )));
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
        self.apply(events, target).await
    }

    /// Compares some accounts with the event store: what was committed and never reached the feed (NATS can lose its
    /// newest messages with a machine) is found here.
    async fn idle(&mut self) -> Result<(), Failure> {
        let after = match &mut self.comparison {
            Comparison::Walking { after } => after.take(),
            Comparison::Resting { until } if Instant::now() < *until => return Ok(()),
            Comparison::Resting { .. } => None,
        };
        self.comparison = match self.compare(after).await? {
            Some(last) => Comparison::Walking { after: Some(last) },
            None => Comparison::Resting {
                until: Instant::now() + COMPARE_EVERY,
            },
        };
        Ok(())
    }

    fn describe(&self) -> String {
        format!("PostgreSQL {}: rows and offset in one transaction, each event once", P::NAME)
    }
}

fn store_failure(error: store::Error) -> Failure {
    let failure = if error.is_transient() { Failure::retry } else { Failure::fatal };
    failure("the event store cannot be read".to_owned()).because(error)
}
