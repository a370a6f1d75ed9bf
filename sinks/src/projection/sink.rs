//! The sink that all projections share: rows, order guard and offset in one transaction.
//!
//! Each transaction begins with the compare-and-set of the offset ([`Fence::advance`]), so it commits only if no other
//! copy of the projection has started since. Versions are compared with what is applied, account by account, before
//! anything is written; a hole is filled from the event store at once. Nothing that is remembered here is trusted
//! after a failure: the run ends, and the next one reads it again.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use engine::{Batch, Failure, Resume, RetryClass, Sink, fault};
use futures::future::BoxFuture;
use ledger::{AccountId, Event, Version};
use lru::LruCache;
use operators::FeedEvent;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::{PgConnection, Row};
use store::EventStore;
use store::sqlstate::{self, Class};
use tokio::time::Instant;
use transport::Nats;
use transport::streams::{self, Limits};

use super::guard::{Applied, guard};
use super::offset::{Fence, Target, signed};
use super::shadow::Walked;
use super::skips::{self, Skips};
use super::{Definition, Projection, walk};
use crate::read_model;

/// How many accounts' versions are kept in memory.
const VERSIONS_CACHED_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("100,000 is not zero");
/// How many accounts are compared with the event store at a time.
const ACCOUNTS_COMPARED_AT_A_TIME: u32 = 1_000;
/// How many events are read from the event store, and applied in one transaction, when there is something to make up for.
const EVENTS_MADE_UP_AT_A_TIME: u32 = 2_000;
/// How many events are gathered for one transaction when many accounts lack something.
const MADE_UP_AT_A_TIME: usize = EVENTS_MADE_UP_AT_A_TIME as usize;
/// How often a step of the comparison is made at least, when the feed is never idle.
const COMPARE_AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// How long to rest, when idle, after all accounts have been compared.
const COMPARE_EVERY: Duration = Duration::from_mins(1);

/// Builds the rows of a new definition beside those of the older one, and swaps.
pub type Renew = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Failure>> + Send + Sync>;

/// A projection as a sink.
pub struct ProjectionSink<P> {
    projection: P,
    nats: Nats,
    limits: Limits,
    pub(super) pool: PgPool,
    pub(super) store: EventStore,
    pub(super) fence: Option<Fence>,
    /// What to do when the rows that are there are of an older definition; `None`: stop.
    renew: Option<Renew>,
    /// Up to where accounts are applied; only what has been committed. An entry that is dropped is read again.
    versions: LruCache<AccountId, Version>,
    /// What an operator told this projection to skip: such a version counts as applied, and its rows are not written.
    pub(super) skips: Skips,
    comparison: Comparison,
    /// When the last step of the comparison was made.
    compared_at: Instant,
}

/// What an account lacks.
struct Missing {
    account_id: AccountId,
    from: Version,
    /// The first version that it does not lack.
    before: Version,
}

/// The walk over all accounts, in small steps while nothing else is to do: it finds what the feed never brought.
enum Comparison {
    /// The next step begins behind this account.
    Walking { after: Option<AccountId> },
    /// All accounts have been compared.
    Resting { until: Instant },
}

impl<P: Projection> ProjectionSink<P> {
    /// A sink that has not been opened yet. It has connections of its own to the database of `pool`.
    ///
    /// A run that is given up may leave a connection in the midst of a transaction (sqlx forgets a BEGIN whose answer
    /// nobody awaited). In a pool that outlives the run, the next run's statements would become part of that
    /// transaction, and its fence would be rolled back with it. So connections live as long as the run.
    pub fn new(
        projection: P,
        nats: Nats,
        limits: Limits,
        pool: &PgPool,
        store: EventStore,
    ) -> Self {
        let options = PgConnectOptions::clone(&pool.connect_options());
        let pool = pool.options().clone().connect_lazy_with(options);
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
            comparison: Comparison::Walking { after: None },
        }
    }

    /// The same sink, which does this when it meets rows of an older definition, instead of stopping.
    #[must_use]
    pub fn renewed_by(mut self, renew: Option<Renew>) -> Self {
        self.renew = renew;
        self
    }

    /// Which life of the feed there is now.
    pub(super) async fn stream_id(&self) -> Result<String, Failure> {
        self.nats.ready().await?;
        let stream = streams::events(&self.nats.jetstream, &self.limits).await?;
        Ok(streams::identity(&stream))
    }

    /// Makes sure that the rows are of this program's definition.
    async fn be_of_this_definition(&self) -> Result<(), Failure> {
        let sql =
            "SELECT definition FROM projection_offsets WHERE projection = $1 AND paused_at IS NULL";
        let known: Option<i32> = sqlx::query_scalar(sql)
            .bind(P::NAME)
            .fetch_optional(&self.pool)
            .await
            .map_err(Self::read_failed)?;
        let Some(known) = known else {
            return Ok(());
        };
        let (name, own) = (P::NAME, P::DEFINITION);
        match known.cmp(&own) {
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(Failure::fatal(format!(
                "the rows of projection {name} are of definition {known}, made by a newer program, and this one makes {own}: \
                 run the newer one, or go back with it to the rows from before (chronicle projection rollback {name})"
            ))),
            Ordering::Less => match &self.renew {
                Some(renew) => {
                    tracing::info!(
                        projection = name,
                        "the rows are of definition {known}, and this program makes {own}: building them beside the old ones"
                    );
                    renew().await
                }
                None => Err(Failure::fatal(format!(
                    "the rows of projection {name} are of definition {known}, and this program makes {own}. To build new ones \
                     beside them and swap, run: chronicle projection rebuild {name}; or start with --on-new-definition rebuild"
                ))),
            },
        }
    }

    fn fence(&mut self) -> &mut Fence {
        self.fence
            .as_mut()
            .expect("the engine opens a sink before it writes")
    }

    fn read_failed(error: sqlx::Error) -> Failure {
        read_model::failure(
            format!("projection {} cannot read its versions", P::NAME),
            error,
        )
    }

    /// Up to where these accounts are applied.
    pub(super) async fn applied<'a>(
        &mut self,
        account_ids: impl Iterator<Item = &'a AccountId>,
    ) -> Result<Applied, Failure> {
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
        let names: Vec<&str> = missing
            .iter()
            .map(|account_id| account_id.as_str())
            .collect();
        let rows = sqlx::query(
            "SELECT account_id, version FROM projection_versions WHERE projection = $1 AND account_id = ANY($2)",
        )
        .bind(P::NAME)
        .bind(names)
        .fetch_all(&self.pool)
        .await
        .map_err(Self::read_failed)?;
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
            let mut applied = self
                .applied(events.iter().map(|event| &event.account_id))
                .await?;
            let (guarded, rest) = guard(&mut applied, events);
            let Some((account_id, version)) = guarded.gap else {
                return self.commit(&guarded.events, &applied, target).await;
            };
            // What stands before the hole is committed first, then the hole is filled, then the rest is looked at anew.
            let here = self.here();
            self.commit(&guarded.events, &applied, here).await?;
            let first_missing = applied
                .get(&account_id)
                .copied()
                .unwrap_or(Version::NONE)
                .next();
            tracing::debug!(
                projection = P::NAME,
                %account_id,
                %first_missing,
                next = %version,
                "the feed has a hole; filling it from the event store"
            );
            let missing = Missing {
                account_id,
                from: first_missing,
                before: version,
            };
            if self.make_up(vec![missing]).await? == 0 {
                return Err(Failure::retry(format!(
                    "projection {}: the feed has version {version} of an account whose version {first_missing} the event \
                     store does not have (yet)",
                    P::NAME
                )));
            }
            events = rest;
        }
    }

    /// Where the offset is now: for transactions that apply events without having read any further.
    pub(super) fn here(&mut self) -> Target {
        Target {
            sequence: self.fence().last_sequence(),
            event_id: None,
        }
    }

    /// Applies what accounts lack, from the event store, many accounts in one transaction. Answers with the number of
    /// events applied.
    async fn make_up(&mut self, missing: Vec<Missing>) -> Result<usize, Failure> {
        let mut made_up = 0;
        let mut pending: Vec<Event> = Vec::new();
        for Missing {
            account_id,
            mut from,
            before,
        } in missing
        {
            while from < before {
                let wanted = u32::try_from(before.get() - from.get()).unwrap_or(u32::MAX);
                let after = Version::new(from.get() - 1);
                let limit = wanted.min(EVENTS_MADE_UP_AT_A_TIME);
                let events = self.store.history(&account_id, after, limit).await;
                let events = events.map_err(store_failure)?;
                let Some(last) = events.last() else {
                    break;
                };
                from = last.version.next();
                pending.extend(events);
                if pending.len() >= MADE_UP_AT_A_TIME {
                    made_up += self.apply_made_up(std::mem::take(&mut pending)).await?;
                }
            }
        }
        Ok(made_up + self.apply_made_up(pending).await?)
    }

    async fn apply_made_up(&mut self, events: Vec<Event>) -> Result<usize, Failure> {
        let mut applied = self
            .applied(events.iter().map(|event| &event.account_id))
            .await?;
        let (guarded, _) = guard(&mut applied, events);
        if let Some((account_id, version)) = guarded.gap {
            return Err(Failure::fatal(format!(
                "the event store has version {version} of account {account_id} and not the one before it; run \
                 `chronicle verify`"
            )));
        }
        let here = self.here();
        self.commit(&guarded.events, &applied, here).await?;
        Ok(guarded.events.len())
    }

    /// Compares the next accounts with the event store and makes up for what is missing. Answers with the last of them;
    /// `None` when there are no more.
    async fn compare(&mut self, after: Option<AccountId>) -> Result<Option<AccountId>, Failure> {
        self.compared_at = Instant::now();
        let heads = self
            .store
            .heads(after.as_ref(), ACCOUNTS_COMPARED_AT_A_TIME)
            .await
            .map_err(store_failure)?;
        let applied = self
            .applied(heads.iter().map(|head| &head.account_id))
            .await?;
        let missing: Vec<Missing> = heads
            .iter()
            .map(|head| Missing {
                account_id: head.account_id.clone(),
                from: applied
                    .get(&head.account_id)
                    .copied()
                    .unwrap_or(Version::NONE)
                    .next(),
                before: head.version.next(),
            })
            .filter(|missing| missing.from < missing.before)
            .collect();
        if !missing.is_empty() {
            let accounts = missing.len();
            let events = self.make_up(missing).await?;
            tracing::info!(
                projection = P::NAME,
                accounts,
                events,
                "applied events from the event store that the feed had not brought yet"
            );
        }
        Ok(heads.into_iter().next_back().map(|head| head.account_id))
    }

    /// One step of the walk over all accounts, unless it rests.
    async fn compare_some(&mut self) -> Result<(), Failure> {
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

    /// The feed does not have everything (any more): makes up for it from the event store, all accounts, and then moves
    /// the offset to `position`. Interrupted at any point, it begins anew and skips what is applied.
    async fn make_up_everything(&mut self, position: u64, why: &str) -> Result<(), Failure> {
        tracing::warn!(
            projection = P::NAME,
            "{why}; catching up from the event store"
        );
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
    async fn commit(
        &mut self,
        events: &[Event],
        applied: &Applied,
        target: Target,
    ) -> Result<(), Failure> {
        if events.is_empty() && target.sequence == self.fence().last_sequence() {
            return Ok(());
        }
        self.commit_all(events, applied, target, None).await
    }

    /// The same with the place that the walk over the event store has reached.
    pub(super) async fn commit_walked(
        &mut self,
        events: &[Event],
        applied: &Applied,
        walked: &Walked,
    ) -> Result<(), Failure> {
        let here = self.here();
        self.commit_all(events, applied, here, Some(walked)).await
    }

    async fn commit_all(
        &mut self,
        events: &[Event],
        applied: &Applied,
        target: Target,
        walked: Option<&Walked>,
    ) -> Result<(), Failure> {
        let failed =
            |error| read_model::failure(format!("projection {} cannot commit", P::NAME), error);
        let fence = self.fence().clone();
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let moved = fence.advance(&mut transaction, target).await?;
        if !events.is_empty() {
            let applying = self.without_skipped(events);
            if let Err(error) = self.projection.apply(&mut transaction, &applying).await {
                if sqlstate::is_duplicate_key(&error) {
                    // Nobody else writes here under our fence.
                    return Err(Failure::fatal(format!(
                        "the rows of projection {} and its record of what is applied disagree: the read model was changed or \
                         restored in part; make it anew (see runbooks)",
                        P::NAME
                    ))
                    .because(error));
                }
                if sqlstate::classify(&error) == Class::Refused {
                    drop(transaction);
                    return Err(self.name_the_poison(&applying, error).await);
                }
                return Err(failed(error));
            }
            record(&mut transaction, P::NAME, events, applied)
                .await
                .map_err(failed)?;
        }
        if let Some(walked) = walked {
            walk::note(&mut transaction, walked).await.map_err(failed)?;
        }
        fault::point("in_projection_transaction");
        transaction.commit().await.map_err(failed)?;
        self.fence = Some(moved);
        for event in events {
            self.versions.put(event.account_id.clone(), event.version);
        }
        Ok(())
    }

    fn without_skipped<'a>(&self, events: &'a [Event]) -> Cow<'a, [Event]> {
        if self.skips.events.is_empty() {
            return Cow::Borrowed(events);
        }
        let wanted = |event: &&Event| !self.skips.events.contains(&event.event_id);
        Cow::Owned(events.iter().filter(wanted).cloned().collect())
    }

    /// Finds the event that the read model refuses, by applying ever fewer of them in transactions that are rolled back.
    async fn name_the_poison(&self, events: &[Event], error: sqlx::Error) -> Failure {
        for count in 1..=events.len() {
            let Ok(mut transaction) = self.pool.begin().await else {
                break;
            };
            if self
                .projection
                .apply(&mut transaction, &events[..count])
                .await
                .is_err()
            {
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
        read_model::failure(
            format!("projection {} cannot apply its events", P::NAME),
            error,
        )
    }
}

/// Records up to where the accounts of `events` are applied.
pub(super) async fn record(
    transaction: &mut PgConnection,
    projection: &str,
    events: &[Event],
    applied: &Applied,
) -> Result<(), sqlx::Error> {
    let mut touched: Vec<&AccountId> = events.iter().map(|event| &event.account_id).collect();
    touched.sort_unstable();
    touched.dedup();
    let account_id: Vec<&str> = touched
        .iter()
        .map(|account_id| account_id.as_str())
        .collect();
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
        let stream_id = self.stream_id().await?;
        self.be_of_this_definition().await?;
        let definition = Definition::of::<P>();
        let (fence, resume) = Fence::take(&self.pool, definition, &stream_id).await?;
        self.skips = skips::skips(&self.pool, P::NAME, &stream_id).await?;
        self.fence = Some(fence);
        if resume.position == 0 {
            // A new projection, or one that goes on with a new feed: the event store may be older than the feed.
            let mut after = None;
            while let Some(last) = self.compare(after).await? {
                after = Some(last);
            }
        }
        Ok(Some(resume))
    }

    async fn write(&mut self, batch: &Batch<FeedEvent>) -> Result<(), Failure> {
        let mut events: Vec<Event> = Vec::with_capacity(batch.deliveries.len());
        let mut last_event_id = None;
        for delivery in &batch.deliveries {
            match &delivery.item {
                FeedEvent::Event(event) => {
                    last_event_id = Some(event.event_id);
                    events.push(Event::clone(event));
                }
                FeedEvent::Poison { message, reason } => {
                    if !self.skips.sequences.contains(&delivery.position) {
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
        self.apply(events, target).await?;
        if self.compared_at.elapsed() >= COMPARE_AT_LEAST_EVERY {
            // A feed that is never idle must not keep losses from being found.
            self.idle().await?;
        }
        Ok(())
    }

    /// Looks whether the projection is still ours, and compares some accounts with the event store: what was committed
    /// and never reached the feed (NATS can lose its newest messages with a machine) is found here.
    async fn idle(&mut self) -> Result<(), Failure> {
        self.fence().clone().check(&self.pool).await?;
        match self.compare_some().await {
            // The feed is fine: an event store that is away for a while is no reason to stop reading it.
            Err(failure) if failure.class() == RetryClass::Retry => {
                tracing::warn!(
                    projection = P::NAME,
                    "the comparison with the event store rests: {}",
                    failure.chain()
                );
                self.comparison = Comparison::Resting {
                    until: Instant::now() + COMPARE_EVERY,
                };
                Ok(())
            }
            done => done,
        }
    }

    fn describe(&self) -> String {
        format!(
            "PostgreSQL {}: rows and offset in one transaction, each event once",
            P::NAME
        )
    }
}

pub(super) fn store_failure(error: store::Error) -> Failure {
    let failure = if error.is_transient() {
        Failure::retry
    } else {
        Failure::fatal
    };
    failure("the event store cannot be read".to_owned()).because(error)
}
