//! A number for the rows of a read model: equal rows give equal digests, in whatever order they lie.
//!
//! Computed by the database, table by table, as a sum of hashes of the rows' texts, in one snapshot and under settings
//! that decide what texts look like. The versions that count as applied are among the tables.

use serde::Serialize;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::Definition;
use super::copies::Error;
use super::schemas::{Home, execute, exists, table_in};

/// Which copy of a read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that readers see.
    Live,
    /// The one that is being built.
    Shadow,
    /// The one that was live before the last swap.
    Retired,
}

/// The digest of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableDigest {
    /// The table.
    pub table: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 of the number of rows and the sums of their hashes.
    pub digest: String,
}

/// The digests of a projection's tables; `None` when there is no such copy.
pub async fn digest(
    pool: &PgPool,
    definition: Definition,
    which: Which,
) -> Result<Option<Vec<TableDigest>>, Error> {
    let mut transaction = pool.begin().await?;
    execute(
        &mut transaction,
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = 0;
         SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'iso_8601';
         SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1"
            .to_owned(),
    )
    .await?;
    let home = Home::of(&mut transaction).await?;
    let schema = match which {
        Which::Live => home.name().to_owned(),
        Which::Shadow => home.shadow_of(definition.name)?,
        Which::Retired => home.retired_of(definition.name)?,
    };
    if !exists(&mut transaction, &schema).await? {
        return Ok(None);
    }
    let mut digests = Vec::with_capacity(definition.tables.len() + 1);
    for table in definition.tables {
        let rows = format!(
            "SELECT t::text AS line FROM {} AS t",
            table_in(&schema, table)
        );
        digests.push(of_rows(&mut transaction, table, &rows).await?);
    }
    // The projection's name is an identifier of ours, and has no quotes in it.
    let versions = format!(
        "SELECT account_id || '|' || version AS line FROM {} WHERE projection = '{}'",
        table_in(&schema, "projection_versions"),
        definition.name
    );
    digests.push(of_rows(&mut transaction, "projection_versions", &versions).await?);
    transaction.rollback().await?;
    Ok(Some(digests))
}

async fn of_rows(
    connection: &mut PgConnection,
    table: &'static str,
    rows: &str,
) -> Result<TableDigest, sqlx::Error> {
    let half = |from: u32| {
        format!("COALESCE(sum(('x' || substr(hash, {from}, 15))::bit(60)::bigint), 0)::text")
    };
    let sql = format!(
        "SELECT rows, encode(sha256(convert_to(rows || '|' || low || '|' || high, 'UTF8')), 'hex') AS digest FROM (
            SELECT count(*) AS rows, {} AS low, {} AS high
            FROM (SELECT encode(sha256(convert_to(line, 'UTF8')), 'hex') AS hash FROM ({rows}) AS texts) AS hashed
         ) AS summed",
        half(1),
        half(17)
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .fetch_one(connection)
        .await?;
    Ok(TableDigest {
        table,
        rows: row.try_get::<i64, _>("rows")?.unsigned_abs(),
        digest: row.try_get("digest")?,
    })
}
