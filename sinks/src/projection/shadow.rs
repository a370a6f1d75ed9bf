//! The copy of a read model that is being built beside the live one: a schema with the projection's own tables, its own
//! offset, versions and skips, and a note of how far the walk over the event store has come.
//!
//! All of it is made in one transaction, so it is there as a whole or not at all. Nothing of the live model is touched.

use ledger::{AccountId, Version};
use serde_json::json;
use sqlx::postgres::PgPool;
use sqlx::{Acquire, PgConnection, Row};
use store::sqlstate;
use time::OffsetDateTime;

use super::audit::{self, Action, Order};
use super::copies::Error;
use super::obstacles::{BOOKKEEPING, check_definition, shape_of_shadow, shape_was_copied};
use super::offset::{signed, signed_sequence, unsigned};
use super::schemas::{Home, execute, exists, pool_in, quoted, table_in};
use super::shapes::{Compared, copy_shape, missing_indexes};
use super::{Definition, orders};

/// How far the walk over the event store has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// When the copy was begun, by the database's clock.
    pub begun_at: OffsetDateTime,
    /// Events walked over.
    pub events: u64,
    /// The last of them.
    pub place: Option<(AccountId, Version)>,
    /// Whether the end was reached.
    pub is_complete: bool,
}

/// A copy that is being built.
#[derive(Debug, Clone)]
pub struct Shadow {
    /// Connections that see its tables and no others.
    pub pool: PgPool,
    /// Whether it was begun before.
    pub is_resumed: bool,
    /// How far it has come.
    pub walked: Walked,
}

/// What there is of a copy, for whoever looks from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The version of the definition that it is built by.
    pub definition: i32,
    /// How far the walk has come.
    pub walked: Walked,
    /// The last sequence of the feed that it has applied.
    pub last_sequence: u64,
}

/// Looks for a copy that is being built.
pub async fn look(pool: &PgPool, projection: &str) -> Result<Option<Found>, Error> {
    let mut connection = pool.acquire().await?;
    let home = Home::of(&mut connection).await?;
    look_over(&mut connection, &home, projection).await
}

/// The same over this connection.
pub(super) async fn look_over(
    connection: &mut PgConnection,
    home: &Home,
    projection: &str,
) -> Result<Option<Found>, Error> {
    let schema = home.shadow_of(projection)?;
    if !exists(connection, &schema).await? {
        return Ok(None);
    }
    match found(connection, &schema).await {
        Ok(found) => Ok(Some(found)),
        // It was there a moment ago: it has been swapped in, or removed.
        Err(error) if sqlstate::is_missing_table(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn found(connection: &mut PgConnection, schema: &str) -> Result<Found, sqlx::Error> {
    let sql = format!(
        "SELECT definition, last_sequence FROM {}",
        table_in(schema, "projection_offsets")
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_one(&mut *connection)
        .await?;
    Ok(Found {
        definition: row.try_get("definition")?,
        last_sequence: unsigned(row.try_get("last_sequence")?),
        walked: walked(connection, schema).await?,
    })
}

/// The copy of a projection's read model, made now or begun before. `last_sequence` is where the feed ended before this
/// was called: the walk over the event store brings everything up to there.
pub async fn prepare(
    pool: &PgPool,
    definition: Definition,
    stream_id: &str,
    last_sequence: u64,
    order: &Order<'_>,
) -> Result<Shadow, Error> {
    let projection = definition.name;
    let mut is_resumed = false;
    if let Some(found) = look(pool, projection).await? {
        check_definition(&found, definition)?;
        is_resumed = found.definition == definition.version;
        if !is_resumed {
            // Nobody can finish it any more.
            discard(pool, projection, order).await?;
        }
    }
    if !is_resumed {
        make(pool, definition, stream_id, last_sequence, order).await?;
    }
    let mut connection = pool.acquire().await?;
    let home = Home::of(&mut connection).await?;
    let schema = home.shadow_of(projection)?;
    let own_pool = pool_in(pool, &schema);
    if is_resumed {
        let compared = Compared::ColumnsAndConstraints;
        shape_of_shadow(&mut connection, &home, definition, compared).await?;
        copy_skips(&mut connection, &home, projection).await?;
        // A feed that was made anew meanwhile is read from its beginning; what it lacks comes from the event store.
        orders::adopt_unrecorded(&own_pool, projection, stream_id).await?;
    }
    let walked = walked(&mut connection, &schema).await?;
    Ok(Shadow {
        pool: own_pool,
        is_resumed,
        walked,
    })
}

async fn make(
    pool: &PgPool,
    definition: Definition,
    stream_id: &str,
    last_sequence: u64,
    order: &Order<'_>,
) -> Result<(), Error> {
    let projection = definition.name;
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    let home = Home::of(&mut transaction).await?;
    let schema = home.shadow_of(projection)?;
    execute(
        &mut transaction,
        format!("CREATE SCHEMA {}", quoted(&schema)),
    )
    .await?;
    let bookkeeping = BOOKKEEPING.iter().chain(&["projection_skips"]);
    for table in definition.tables.iter().chain(bookkeeping) {
        copy_shape(&mut transaction, home.name(), &schema, table).await?;
    }
    shape_was_copied(&mut transaction, &home, definition).await?;
    let offsets = table_in(&schema, "projection_offsets");
    let insert = format!(
        "INSERT INTO {offsets} (projection, stream_id, epoch, last_sequence, updated_at, definition)
         VALUES ($1, $2, 0, $3, clock_timestamp(), $4)"
    );
    sqlx::query(sqlx::AssertSqlSafe(insert))
        .bind(projection)
        .bind(stream_id)
        .bind(signed_sequence(last_sequence))
        .bind(definition.version)
        .execute(&mut *transaction)
        .await?;
    let walk = table_in(&schema, "walk");
    execute(
        &mut transaction,
        format!(
            "CREATE TABLE {walk} (begun_at TIMESTAMPTZ NOT NULL, events BIGINT NOT NULL, account_id TEXT, version BIGINT,
                is_complete BOOLEAN NOT NULL) WITH (autovacuum_enabled = false);
             INSERT INTO {walk} VALUES (clock_timestamp(), 0, NULL, NULL, false)"
        ),
    )
    .await?;
    copy_skips(&mut transaction, &home, projection).await?;
    let details = json!({"definition": definition.version, "from_sequence": last_sequence});
    let action = Action::RebuildStarted;
    audit::record(&mut transaction, projection, action, order, details).await?;
    transaction.commit().await?;
    Ok(())
}

/// Orders to skip messages that cannot be read hold for the copy, too. Events that were skipped are applied: that is what
/// makes a model whole again.
async fn copy_skips(
    transaction: &mut PgConnection,
    home: &Home,
    projection: &str,
) -> Result<(), Error> {
    let (original, copy) = (
        table_in(home.name(), "projection_skips"),
        table_in(&home.shadow_of(projection)?, "projection_skips"),
    );
    let sql = format!(
        "INSERT INTO {copy} SELECT * FROM {original} WHERE projection = $1 AND event_id IS NULL ON CONFLICT DO NOTHING"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(projection)
        .execute(transaction)
        .await?;
    Ok(())
}

async fn walked(connection: &mut PgConnection, schema: &str) -> Result<Walked, sqlx::Error> {
    let sql = format!(
        "SELECT begun_at, events, account_id, version, is_complete FROM {}",
        table_in(schema, "walk")
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_one(connection)
        .await?;
    let account_id: Option<&str> = row.try_get("account_id")?;
    let version: Option<i64> = row.try_get("version")?;
    let place = account_id
        .and_then(|account_id| account_id.parse().ok())
        .zip(version.map(|version| Version::new(version.unsigned_abs())));
    Ok(Walked {
        begun_at: row.try_get("begun_at")?,
        events: row.try_get::<i64, _>("events")?.unsigned_abs(),
        place,
        is_complete: row.try_get("is_complete")?,
    })
}

/// Notes how far the walk has come, within the transaction that applies what was walked over, and over a connection that
/// sees the copy.
pub(super) async fn note(
    transaction: &mut PgConnection,
    walked: &Walked,
) -> Result<(), sqlx::Error> {
    let (account_id, version) = walked
        .place
        .as_ref()
        .map(|(account_id, version)| (account_id.as_str(), signed(*version)))
        .unzip();
    sqlx::query("UPDATE walk SET events = $1, account_id = $2, version = $3, is_complete = $4")
        .bind(i64::try_from(walked.events).unwrap_or(i64::MAX))
        .bind(account_id)
        .bind(version)
        .bind(walked.is_complete)
        .execute(transaction)
        .await?;
    Ok(())
}

/// Gives the copy the indexes that only readers need, and [vacuums](vacuum) it. They come behind the walk, which is faster
/// without them. May be repeated.
pub async fn finish_tables(pool: &PgPool, definition: Definition) -> Result<(), Error> {
    let mut connection = unhurried(pool).await?;
    let home = Home::of(&mut connection).await?;
    let schema = home.shadow_of(definition.name)?;
    for table in definition.tables {
        for statement in missing_indexes(&mut connection, home.name(), &schema, table).await? {
            execute(&mut connection, statement).await?;
        }
    }
    vacuum(pool, definition).await
}

/// Does what autovacuum would do, which leaves a copy alone: room for new rows, what index-only scans need, and the planner's
/// statistics. Whoever reads and writes goes on meanwhile; a second time it takes little.
pub async fn vacuum(pool: &PgPool, definition: Definition) -> Result<(), Error> {
    let mut connection = unhurried(pool).await?;
    let schema = Home::of(&mut connection)
        .await?
        .shadow_of(definition.name)?;
    for table in definition.tables.iter().chain(&BOOKKEEPING) {
        let sql = format!("VACUUM (ANALYZE) {}", table_in(&schema, table));
        execute(&mut connection, sql).await?;
    }
    Ok(())
}

/// A connection for what may take long, gone afterwards.
async fn unhurried(pool: &PgPool) -> Result<PgConnection, sqlx::Error> {
    let mut connection = pool.acquire().await?.detach();
    let sql = "SET statement_timeout = 0; SET lock_timeout = '10s'".to_owned();
    execute(&mut connection, sql).await?;
    Ok(connection)
}

/// Removes a copy that is being built. Answers with false when there is none. Whoever builds it stops.
pub async fn discard(pool: &PgPool, projection: &str, order: &Order<'_>) -> Result<bool, Error> {
    let mut transaction = pool.begin().await?;
    let schema = Home::of(&mut transaction).await?.shadow_of(projection)?;
    if !exists(&mut transaction, &schema).await? {
        return Ok(false);
    }
    execute(
        &mut transaction,
        format!("DROP SCHEMA {} CASCADE", quoted(&schema)),
    )
    .await?;
    let action = Action::Discarded;
    audit::record(&mut transaction, projection, action, order, json!({})).await?;
    transaction.commit().await?;
    Ok(true)
}
