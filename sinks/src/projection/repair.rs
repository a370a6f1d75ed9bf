//! Mending a read model from the event store: the rows of one account, or of one transfer, are removed and made anew by the
//! projection's own code, beside a copy that runs.
//!
//! One transaction, in READ COMMITTED, and behind the lock on the projection's row of `projection_offsets`, as for a
//! [`replay`](super::replay()): the running copy waits until it is over (and tries again, if that is longer than it waits
//! for a lock), and then reads anew what it remembers. Nothing is applied that does not count as applied already, and no
//! offset moves: what the projection lacks beyond that it brings itself. If rows are there of later events that the event
//! store has, it is the record of the account's version that is damaged; it is set to the last of them.
//!
//! What an operator told the projection to skip is in the rows afterwards, as after a rebuild.
//!
//! The event store is never written to. An event that is not what its hash says, that does not follow upon the one
//! before, or that is missing below a version that counts as applied ends the repair, and nothing is changed.

use ledger::{AccountId, CommandId, Event, Hash, TransferId, Version};
use serde_json::json;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row, Transaction};
use store::{EventStore, sqlstate};
use uuid::Uuid;

use super::audit::{self, Action, Order};
use super::committing::borrowed;
use super::offset::{signed, unsigned};
use super::replay::{ReplayError, lock, unsettle};
use super::{AccountBalance, Holds, Projection, Transactions, Transfers};

/// How many events are read, and applied, at a time.
const PAGE: u32 = 2_000;

/// What was made anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repaired {
    /// How many rows were there before.
    pub rows_removed: u64,
    /// From how many events the rows were made.
    pub events: u64,
    /// The version up to which the account counts as applied; 0 for a transfer.
    pub up_to: Version,
}

/// A transfer whose row is to be mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferPlace {
    /// The transfer.
    pub transfer_id: Uuid,
    /// One of its events, if one is known.
    pub event: Option<(AccountId, Version)>,
}

/// Why nothing was mended. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As things are it cannot be done.
    #[error("{0}")]
    Refused(String),
    /// The projection's row cannot be locked, or is of another definition.
    #[error(transparent)]
    Projection(#[from] ReplayError),
    /// The event store cannot be read.
    #[error(transparent)]
    EventStore(#[from] store::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Projection(error.into())
    }
}

/// Makes the rows of one account anew, in a projection whose rows belong to accounts.
///
/// # Errors
///
/// Nothing was changed then.
pub async fn account(
    pool: &PgPool,
    store: &EventStore,
    projection: &str,
    account_id: &str,
    order: &Order<'_>,
) -> Result<Repaired, Error> {
    match projection {
        AccountBalance::NAME => account_of(pool, store, &AccountBalance, account_id, order).await,
        Transactions::NAME => account_of(pool, store, &Transactions, account_id, order).await,
        Holds::NAME => account_of(pool, store, &Holds, account_id, order).await,
        other => Err(Error::Refused(format!(
            "the rows of {other} do not belong to one account each; build it anew: chronicle projection rebuild {other}"
        ))),
    }
}

async fn account_of<P: Projection>(
    pool: &PgPool,
    store: &EventStore,
    projection: &P,
    account_id: &str,
    order: &Order<'_>,
) -> Result<Repaired, Error> {
    let mut transaction = begin::<P>(pool).await?;
    let counted = applied(&mut transaction, P::NAME, account_id).await?;
    let up_to = last_with_rows::<P>(&mut transaction, store, account_id, counted).await?;
    let mut rows_removed = 0;
    for table in P::TABLES {
        // A name of ours, not one that somebody has given.
        let sql = format!("DELETE FROM {table} WHERE account_id = $1");
        let removed = sqlx::query(AssertSqlSafe(sql))
            .bind(account_id)
            .execute(&mut *transaction)
            .await?;
        rows_removed += removed.rows_affected();
    }
    let mut walk = Walk {
        version: Version::NONE,
        hash: Hash::ZERO,
    };
    // A row may name an account that nobody can have opened.
    let id: Option<AccountId> = account_id.parse().ok();
    while let Some(id) = id.as_ref().filter(|_| walk.version < up_to) {
        let wanted = up_to.get() - walk.version.get();
        let limit = u32::try_from(wanted).unwrap_or(u32::MAX).min(PAGE);
        let events = store.history(id, walk.version, limit).await?;
        if events.is_empty() {
            break;
        }
        walk.check(&events)?;
        projection
            .apply(&mut transaction, &borrowed(&events))
            .await?;
    }
    if walk.version != up_to {
        return Err(Error::Refused(format!(
            "version {up_to} of account {account_id} counts as applied, and the event store has {} versions of it: the event \
             store has lost events, and nothing may be mended from it",
            walk.version
        )));
    }
    if up_to > counted {
        count(&mut transaction, P::NAME, account_id, up_to).await?;
    }
    let repaired = Repaired {
        rows_removed,
        events: up_to.get(),
        up_to,
    };
    let details = json!({
        "account_id": account_id, "version": up_to.get(), "events": repaired.events, "rows_removed": rows_removed,
    });
    finish::<P>(transaction, order, details).await?;
    Ok(repaired)
}

/// Makes the row of one transfer anew; a row of a transfer that the event store does not have goes.
///
/// # Errors
///
/// Nothing was changed then.
pub async fn transfer(
    pool: &PgPool,
    store: &EventStore,
    place: &TransferPlace,
    order: &Order<'_>,
) -> Result<Repaired, Error> {
    let mut transaction = begin::<Transfers>(pool).await?;
    // Behind the lock, so that no half comes in between.
    let halves = halves(&mut transaction, store, place).await?;
    let removed = sqlx::query("DELETE FROM transfers WHERE transfer_id = $1")
        .bind(place.transfer_id)
        .execute(&mut *transaction)
        .await?;
    let mut applying = Vec::new();
    for event in halves {
        event.check_hash().map_err(damaged)?;
        let name = event.account_id.as_str();
        if event.version <= applied(&mut transaction, Transfers::NAME, name).await? {
            applying.push(event);
        }
    }
    Transfers
        .apply(&mut transaction, &borrowed(&applying))
        .await?;
    let repaired = Repaired {
        rows_removed: removed.rows_affected(),
        events: applying.len() as u64,
        up_to: Version::NONE,
    };
    let details = json!({
        "transfer_id": place.transfer_id, "events": repaired.events, "rows_removed": repaired.rows_removed,
    });
    finish::<Transfers>(transaction, order, details).await?;
    Ok(repaired)
}

async fn begin<P: Projection>(pool: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
    let mut transaction = pool.begin().await?;
    for setting in [
        // An account may have many rows, and between two pages the event store is read.
        "SET LOCAL statement_timeout = 0",
        // Longer than a swap exchanges versions.
        "SET LOCAL lock_timeout = '30s'",
        "SET LOCAL idle_in_transaction_session_timeout = '5min'",
    ] {
        sqlx::query(setting).execute(&mut *transaction).await?;
    }
    match lock::<P>(&mut transaction).await {
        Err(ReplayError::Failed(error)) if sqlstate::is_lock_not_available(&error) => {
            return Err(Error::Refused(format!(
                "another session holds the row of {} in projection_offsets for more than 30 seconds, e.g. a swap or another \
                 repair: give the command again when that is over",
                P::NAME
            )));
        }
        locked => locked?,
    }
    Ok(transaction)
}

async fn finish<P: Projection>(
    mut transaction: Transaction<'static, Postgres>,
    order: &Order<'_>,
    details: serde_json::Value,
) -> Result<(), Error> {
    audit::record(&mut transaction, P::NAME, Action::Repaired, order, details).await?;
    unsettle::<P>(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Up to where an account counts as applied.
async fn applied(
    transaction: &mut PgConnection,
    projection: &str,
    account_id: &str,
) -> Result<Version, sqlx::Error> {
    let version: Option<i64> = sqlx::query_scalar(
        "SELECT version FROM projection_versions WHERE projection = $1 AND account_id = $2",
    )
    .bind(projection)
    .bind(account_id)
    .fetch_optional(transaction)
    .await?;
    Ok(Version::new(unsigned(version.unwrap_or_default())))
}

/// The version of the last event that has a row, if that is later than what counts as applied. A row whose event the event
/// store does not have counts for nothing.
async fn last_with_rows<P: Projection>(
    transaction: &mut PgConnection,
    store: &EventStore,
    account_id: &str,
    counted: Version,
) -> Result<Version, Error> {
    const LOOKED_AT_MAX: i64 = 1_000;
    let mut last = counted;
    for table in P::TABLES {
        // A name of ours, not one that somebody has given.
        let sql = format!(
            "SELECT DISTINCT version FROM {table} WHERE account_id = $1 AND version > $2 ORDER BY version DESC LIMIT $3"
        );
        let versions: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(account_id)
            .bind(signed(last))
            .bind(LOOKED_AT_MAX)
            .fetch_all(&mut *transaction)
            .await?;
        let places: Vec<(&str, i64)> = versions
            .iter()
            .map(|version| (account_id, *version))
            .collect();
        let existing = store.existing(&places).await?;
        let versions = existing.into_iter().map(|(_, version)| version);
        last = versions
            .map(|version| Version::new(unsigned(version)))
            .fold(last, Version::max);
    }
    Ok(last)
}

/// Records up to where an account counts as applied.
async fn count(
    transaction: &mut PgConnection,
    projection: &str,
    account_id: &str,
    version: Version,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO projection_versions (projection, account_id, version) VALUES ($1, $2, $3)
         ON CONFLICT (projection, account_id) DO UPDATE SET version = excluded.version",
    )
    .bind(projection)
    .bind(account_id)
    .bind(signed(version))
    .execute(transaction)
    .await
    .map(drop)
}

/// Up to where an account's history has been read, with its chain.
struct Walk {
    version: Version,
    hash: Hash,
}

impl Walk {
    fn check(&mut self, events: &[Event]) -> Result<(), Error> {
        for event in events {
            event.check_hash().map_err(damaged)?;
            if event.version != self.version.next() || event.prev_hash != self.hash {
                return Err(Error::Refused(format!(
                    "version {} of account {} does not follow upon the one before it: the event store is damaged, and nothing \
                     may be mended from it",
                    event.version, event.account_id
                )));
            }
            (self.version, self.hash) = (event.version, event.hash);
        }
        Ok(())
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the shape that map_err wants"
)]
fn damaged(broken: ledger::BrokenChain) -> Error {
    Error::Refused(format!(
        "the event store is damaged, and nothing may be mended from it: {broken}"
    ))
}

/// The events of a transfer, as the event store has them; none, if it has no such transfer.
async fn halves(
    transaction: &mut PgConnection,
    store: &EventStore,
    place: &TransferPlace,
) -> Result<Vec<Event>, Error> {
    let wanted: TransferId = place.transfer_id.into();
    if let Some((account_id, version)) = &place.event {
        let before = Version::new(version.get().saturating_sub(1));
        let found = store.history(account_id, before, 1).await?;
        let Some(event) = found.first().filter(|event| is_of(event, wanted)) else {
            return Err(Error::Refused(format!(
                "version {version} of account {account_id} is no half of transfer {wanted}: give the command again"
            )));
        };
        return with(event, of_command(store, event.command_id, wanted).await?);
    }
    let row = sqlx::query(
        "SELECT command_id, from_account_id, to_account_id FROM transfers WHERE transfer_id = $1",
    )
    .bind(place.transfer_id)
    .fetch_optional(transaction)
    .await?;
    let Some(row) = row else {
        return Ok(Vec::new());
    };
    let command_id: CommandId = row.try_get::<Uuid, _>("command_id")?.into();
    let found = of_command(store, command_id, wanted).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    // The row may name another command than the transfer's: its accounts are looked through before it goes.
    for name in ["from_account_id", "to_account_id"] {
        let Ok(account_id) = row.try_get::<&str, _>(name)?.parse::<AccountId>() else {
            continue;
        };
        if let Some(event) = in_account(store, &account_id, wanted).await? {
            return with(&event, of_command(store, event.command_id, wanted).await?);
        }
    }
    Ok(Vec::new())
}

/// The events of a transfer, of which this is known to be one.
fn with(known: &Event, halves: Vec<Event>) -> Result<Vec<Event>, Error> {
    if halves.iter().any(|half| half.event_id == known.event_id) {
        return Ok(halves);
    }
    Err(Error::Refused(format!(
        "version {} of account {} is an event of command {} whose outcome does not name it: the event store is damaged, and \
         nothing may be mended from it",
        known.version, known.account_id, known.command_id
    )))
}

fn is_of(event: &Event, transfer_id: TransferId) -> bool {
    event
        .data
        .transfer()
        .is_some_and(|leg| leg.transfer_id == transfer_id)
}

/// Those of a command's events that are halves of the transfer, in the order of the outcome.
async fn of_command(
    store: &EventStore,
    command_id: CommandId,
    transfer_id: TransferId,
) -> Result<Vec<Event>, Error> {
    let stored = store.outcomes(&[command_id]).await?;
    let references: Vec<_> = stored
        .iter()
        .flat_map(|stored| stored.outcome.events().iter().cloned())
        .collect();
    let mut events = store.events(&references).await?;
    events.retain(|event| is_of(event, transfer_id));
    Ok(events)
}

/// The half of the transfer that an account has.
async fn in_account(
    store: &EventStore,
    account_id: &AccountId,
    transfer_id: TransferId,
) -> Result<Option<Event>, Error> {
    let mut after = Version::NONE;
    loop {
        let page = store.history(account_id, after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        after = last.version;
        if let Some(event) = page.into_iter().find(|event| is_of(event, transfer_id)) {
            return Ok(Some(event));
        }
    }
}
