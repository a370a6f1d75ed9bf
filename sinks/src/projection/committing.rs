//! One transaction of a projection: offset, rows and versions, and what stands before it: up to where accounts are applied,
//! and which event it is that the read model refuses.

use std::borrow::{Borrow, Cow};
use std::sync::Arc;

use engine::{Failure, fault};
use ledger::{AccountId, Event, Version};
use sqlx::Row;
use store::sqlstate::{self, Class};

use super::guard::{Applied, guard};
use super::making_up::Missing;
use super::offset::{Target, Versions};
use super::shadow::Walked;
use super::{Projection, ProjectionSink, walk};
use crate::read_model;

impl<P: Projection> ProjectionSink<P> {
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
        // LIMIT, so that each is looked up by its key: with no or old statistics the whole projection would be read.
        let rows = sqlx::query(
            "SELECT account_id, known.version FROM unnest($2::text[]) AS wanted(account_id),
                LATERAL (SELECT version FROM projection_versions AS one
                    WHERE one.projection = $1 AND one.account_id = wanted.account_id LIMIT 1) AS known",
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
    pub(super) async fn apply(
        &mut self,
        mut events: Vec<Arc<Event>>,
        target: Target,
    ) -> Result<(), Failure> {
        loop {
            let mut applied = self
                .applied(events.iter().map(|event| &event.account_id))
                .await?;
            let (guarded, rest) = guard(&mut applied, events);
            let Some((account_id, version)) = guarded.gap else {
                return self
                    .commit(&borrowed(&guarded.events), &applied, target)
                    .await;
            };
            // What stands before the hole is committed first, then the hole is filled, then the rest is looked at anew.
            let here = self.here();
            self.commit(&borrowed(&guarded.events), &applied, here)
                .await?;
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

    /// One transaction: offset, rows, versions. `applied` says up to where the accounts of `events` are applied with
    /// them.
    pub(super) async fn commit(
        &mut self,
        events: &[&Event],
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
        events: &[&Event],
        applied: &Applied,
        walked: &Walked,
    ) -> Result<(), Failure> {
        let here = self.here();
        self.commit_all(events, applied, here, Some(walked)).await
    }

    async fn commit_all(
        &mut self,
        events: &[&Event],
        applied: &Applied,
        target: Target,
        walked: Option<&Walked>,
    ) -> Result<(), Failure> {
        let failed =
            |error| read_model::failure(format!("projection {} cannot commit", P::NAME), error);
        let fence = self.fence().clone();
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let versions = Versions::of(events, applied);
        let moved = fence.advance(&mut transaction, target, &versions).await?;
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

    fn without_skipped<'a>(&self, events: &'a [&'a Event]) -> Cow<'a, [&'a Event]> {
        if self.skips.events.is_empty() {
            return Cow::Borrowed(events);
        }
        let wanted = |event: &&Event| !self.skips.events.contains(&event.event_id);
        Cow::Owned(events.iter().copied().filter(wanted).collect())
    }

    /// Finds the event that the read model refuses, by applying ever fewer of them in transactions that are rolled back.
    async fn name_the_poison(&self, events: &[&Event], error: sqlx::Error) -> Failure {
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
                let event = events[count - 1];
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

    pub(super) fn read_failed(error: sqlx::Error) -> Failure {
        read_model::failure(
            format!("projection {} cannot read its versions", P::NAME),
            error,
        )
    }
}

/// As projections want them.
pub(super) fn borrowed<E: Borrow<Event>>(events: &[E]) -> Vec<&Event> {
    events.iter().map(Borrow::borrow).collect()
}
