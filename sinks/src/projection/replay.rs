//! An operator's replay into a projection: what it lacks of the given events is applied under its rules, beside a copy that
//! runs.
//!
//! Why that is safe. Every transaction here locks the projection's row of `projection_offsets` first, as each of the running
//! copy's does ([`Fence::advance`](super::offset)): they never overlap, and the versions that are read behind the lock are
//! those that were committed last. If something is applied, the row's `updated_at` changes in the same transaction; epoch
//! and offset stay as they are. The running copy remembers versions, but it may commit only onto the `updated_at` that it
//! has written itself: its next transaction fails before it has changed anything, and its next run reads the versions anew.
//! So nothing is applied twice and nothing from memory that is out of date; nobody is fenced, and no offset moves. If
//! nothing is applied, nothing is written; if something is, the same transaction says so in the [record of
//! orders](super::audit): one entry for a replay, whatever number of transactions it takes.

use std::collections::HashSet;

use ledger::{AccountId, BrokenChain, Event, EventId, Version};
use serde_json::json;
use sqlx::{PgConnection, PgPool, Row};
use store::sqlstate::{self, Class};
use uuid::Uuid;

use super::audit::{self, Action, Order};
use super::committing::borrowed;
use super::guard::{Applied, guard};
use super::offset::Versions;
use super::{AccountBalance, DailyTotals, Holds, Projection, Transactions, Transfers};

/// A replay as it is recorded.
#[derive(Debug)]
pub struct Recording {
    by: String,
    reason: Option<String>,
    /// Where the events come from, for people.
    from: String,
    /// Its entry, once something was applied, and how much.
    entry: Option<i64>,
    applied: u64,
}

impl Recording {
    /// Of a replay that has applied nothing yet: who ordered it, and why, if that was said.
    pub fn new(by: String, reason: Option<String>) -> Self {
        Self {
            by,
            reason,
            from: String::new(),
            entry: None,
            applied: 0,
        }
    }

    /// Where the events come from.
    pub fn comes_from(&mut self, from: String) {
        self.from = from;
    }

    /// Notes within the transaction that applies so many more events. It counts once that is committed.
    async fn note(
        &self,
        transaction: &mut PgConnection,
        projection: &str,
        more: u64,
    ) -> Result<i64, sqlx::Error> {
        let details = json!({"from": self.from, "applied": self.applied + more});
        let order = Order {
            by: &self.by,
            reason: self.reason.as_deref(),
        };
        if let Some(entry) = self.entry {
            audit::amend(transaction, entry, details).await?;
            return Ok(entry);
        }
        let action = Action::Replayed;
        audit::record(transaction, projection, action, &order, details).await
    }
}

/// What became of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many were applied.
    pub applied: u64,
    /// How many had been applied before.
    pub skipped: u64,
    /// Those that were not applied, since they come behind versions that were neither applied nor given.
    pub ahead: Vec<Ahead>,
}

/// Events of one account that come behind a hole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// The account.
    pub account_id: AccountId,
    /// The first version that is missing.
    pub missing: Version,
    /// How many events come behind it.
    pub events: u64,
}

/// Why events could not be applied. None of them was.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such projection on this read model yet.
    #[error("the projection has never run on this read model")]
    NeverRan,
    /// A row is there that the projection has no record of.
    #[error(
        "the rows of the projection and its record of what is applied disagree: the read model was changed or restored in \
         part, and has to be made anew ({0})"
    )]
    Disagree(#[source] sqlx::Error),
    /// An event is not what its hash says.
    #[error("an event is damaged, and is not applied: {0}")]
    Damaged(#[from] BrokenChain),
    /// The rows are of another definition of the projection than this program's.
    #[error(
        "the rows of the projection have definition {found}, and this program knows {known}; use the program that runs the \
         projection"
    )]
    Definition {
        /// That of the rows.
        found: i32,
        /// The program's.
        known: i32,
    },
    /// The read model refuses one of the events.
    #[error("the read model refuses one of the events: {0}")]
    Refused(#[source] sqlx::Error),
    /// The read model could not be read or changed.
    #[error(transparent)]
    Failed(#[from] sqlx::Error),
}

/// Applies what the projection lacks of these events, in one transaction that also records it. The next events of the same
/// replay are given with the same recording.
///
/// # Errors
///
/// Nothing was changed then.
pub async fn replay(
    pool: &PgPool,
    projection: &str,
    events: Vec<Event>,
    recording: &mut Recording,
) -> Result<Replayed, ReplayError> {
    match projection {
        AccountBalance::NAME => replay_into(pool, &AccountBalance, events, recording).await,
        Transactions::NAME => replay_into(pool, &Transactions, events, recording).await,
        Transfers::NAME => replay_into(pool, &Transfers, events, recording).await,
        Holds::NAME => replay_into(pool, &Holds, events, recording).await,
        DailyTotals::NAME => replay_into(pool, &DailyTotals, events, recording).await,
        _ => Err(ReplayError::NeverRan),
    }
}

async fn replay_into<P: Projection>(
    pool: &PgPool,
    projection: &P,
    events: Vec<Event>,
    recording: &mut Recording,
) -> Result<Replayed, ReplayError> {
    for event in &events {
        event.check_hash()?;
    }
    let mut transaction = pool.begin().await?;
    lock::<P>(&mut transaction).await?;
    let mut applied = applied::<P>(&mut transaction, &events).await?;
    let (taken, replayed) = sort_out(&mut applied, events);
    if taken.is_empty() {
        return Ok(replayed);
    }
    let skips = skipped_events::<P>(&mut transaction).await?;
    let applying: Vec<&Event> = taken
        .iter()
        .filter(|event| !skips.contains(&event.event_id))
        .collect();
    projection
        .apply(&mut transaction, &applying)
        .await
        .map_err(|error| {
            if sqlstate::is_duplicate_key(&error) {
                ReplayError::Disagree(error)
            } else if sqlstate::classify(&error) == Class::Refused {
                ReplayError::Refused(error)
            } else {
                ReplayError::Failed(error)
            }
        })?;
    Versions::of(&borrowed(&taken), &applied)
        .note(&mut transaction, P::NAME)
        .await?;
    unsettle::<P>(&mut transaction).await?;
    let entry = recording
        .note(&mut transaction, P::NAME, replayed.applied)
        .await?;
    transaction.commit().await?;
    recording.entry = Some(entry);
    recording.applied += replayed.applied;
    Ok(replayed)
}

/// Waits for the running copy's transaction, and keeps its next one waiting until the end of ours.
pub(super) async fn lock<P: Projection>(transaction: &mut PgConnection) -> Result<(), ReplayError> {
    let found =
        sqlx::query("SELECT definition FROM projection_offsets WHERE projection = $1 FOR UPDATE")
            .bind(P::NAME)
            .fetch_optional(transaction)
            .await?
            .ok_or(ReplayError::NeverRan)?
            .try_get("definition")?;
    if found == P::DEFINITION {
        Ok(())
    } else {
        Err(ReplayError::Definition {
            found,
            known: P::DEFINITION,
        })
    }
}

/// Up to where the accounts of these events are applied. A statement of its own behind the lock: in READ COMMITTED it sees
/// what was committed before the lock was ours.
async fn applied<P: Projection>(
    transaction: &mut PgConnection,
    events: &[Event],
) -> Result<Applied, sqlx::Error> {
    let names: HashSet<&str> = events
        .iter()
        .map(|event| event.account_id.as_str())
        .collect();
    let rows = sqlx::query(
        "SELECT account_id, known.version FROM unnest($2::text[]) AS wanted(account_id),
            LATERAL (SELECT version FROM projection_versions AS one
                WHERE one.projection = $1 AND one.account_id = wanted.account_id LIMIT 1) AS known",
    )
    .bind(P::NAME)
    .bind(names.into_iter().collect::<Vec<_>>())
    .fetch_all(transaction)
    .await?;
    let mut applied = Applied::new();
    for row in rows {
        let version = u64::try_from(row.try_get::<i64, _>("version")?).unwrap_or_default();
        if let Ok(account_id) = row.try_get::<&str, _>("account_id")?.parse() {
            applied.insert(account_id, Version::new(version));
        }
    }
    Ok(applied)
}

/// What is to be applied, in order, and what becomes of the rest.
fn sort_out(applied: &mut Applied, mut events: Vec<Event>) -> (Vec<Event>, Replayed) {
    let mut taken = Vec::new();
    let mut replayed = Replayed::default();
    loop {
        let (guarded, rest) = guard(applied, events);
        taken.extend(guarded.events);
        replayed.skipped += guarded.skipped as u64;
        let Some((account_id, _)) = guarded.gap else {
            replayed.applied = taken.len() as u64;
            return (taken, replayed);
        };
        let last = applied.get(&account_id).copied().unwrap_or(Version::NONE);
        let mut behind = 0;
        events = rest;
        // Later ones of this account may still be those that are missing, or ones that it has.
        events.retain(|event| {
            let is_behind = event.account_id == account_id && event.version > last.next();
            behind += u64::from(is_behind);
            !is_behind
        });
        replayed.ahead.push(Ahead {
            account_id,
            missing: last.next(),
            events: behind,
        });
    }
}

/// The events that an operator told the projection to skip: they count as applied, and their rows are not written.
async fn skipped_events<P: Projection>(
    transaction: &mut PgConnection,
) -> Result<HashSet<EventId>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT event_id FROM projection_skips WHERE projection = $1 AND event_id IS NOT NULL",
    )
    .bind(P::NAME)
    .fetch_all(transaction)
    .await?;
    rows.iter()
        .map(|row| Ok(row.try_get::<Uuid, _>("event_id")?.into()))
        .collect()
}

/// Makes the running copy read its versions anew: the row is no longer as it has left it, whatever the clock says.
pub(super) async fn unsettle<P: Projection>(
    transaction: &mut PgConnection,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE projection_offsets
         SET updated_at = GREATEST(clock_timestamp(), updated_at + interval '1 microsecond') WHERE projection = $1",
    )
    .bind(P::NAME)
    .execute(transaction)
    .await
    .map(drop)
}
