//! The offsets and versions of the live model and of a copy, and how a swap exchanges them.
//!
//! The live versions lie in one table with those of other projections, so they cannot be moved as the rows are. While they are
//! exchanged the running projection waits, and with a million accounts to write them all anew takes many seconds. But a
//! copy that has read as far as the live model has nearly the same ones: those that differ are found by one pass over
//! both tables, and only they are written, on either side. Then the copy's table is that of the model that leaves.

use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection};

use super::schemas::{execute, table_in};
use super::shapes::copy_shape;

/// The offset of a copy or of the live model, locked.
pub(super) async fn offset(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
) -> Result<PgRow, sqlx::Error> {
    let sql = format!(
        "SELECT stream_id, epoch, generation, last_sequence, last_event_id, definition FROM {}
         WHERE projection = $1 FOR UPDATE",
        table_in(schema, "projection_offsets")
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(projection)
        .fetch_one(connection)
        .await
}

/// What is live keeps its offset in the schema `leaving`, so that it can come back.
pub(super) async fn keep_offset(
    connection: &mut PgConnection,
    projection: &str,
    home: &str,
    leaving: &str,
) -> Result<(), sqlx::Error> {
    const TABLE: &str = "projection_offsets";
    copy_shape(connection, home, leaving, TABLE).await?;
    let (original, copy) = (table_in(home, TABLE), table_in(leaving, TABLE));
    let sql = format!("INSERT INTO {copy} SELECT * FROM {original} WHERE projection = $1");
    run(connection, sql, projection).await
}

/// Exchanges the versions of `source` and `home`. `scratch` is a schema of this transaction's own.
pub(super) async fn exchange_versions(
    connection: &mut PgConnection,
    projection: &str,
    home: &str,
    source: &str,
    scratch: &str,
) -> Result<(), sqlx::Error> {
    let (live, copy) = (
        table_in(home, "projection_versions"),
        table_in(source, "projection_versions"),
    );
    let differing = table_in(scratch, "differing_versions");
    execute(
        connection,
        format!(
            "CREATE UNLOGGED TABLE {differing} (account_id TEXT NOT NULL, live BIGINT, copy BIGINT)"
        ),
    )
    .await?;
    let find = format!(
        "INSERT INTO {differing} SELECT account_id, live.version, copy.version
         FROM (SELECT account_id, version FROM {live} WHERE projection = $1) AS live
            FULL JOIN (SELECT account_id, version FROM {copy} WHERE projection = $1) AS copy USING (account_id)
         WHERE live.version IS DISTINCT FROM copy.version"
    );
    run(connection, find, projection).await?;
    // It is new: without statistics the planner guesses how many differ.
    execute(connection, format!("ANALYZE {differing}")).await?;
    for (table, own, other) in [(&live, "live", "copy"), (&copy, "copy", "live")] {
        let here = "known.projection = $1 AND known.account_id = differing.account_id";
        for sql in [
            format!(
                "UPDATE {table} AS known SET version = differing.{other} FROM {differing} AS differing
                 WHERE {here} AND differing.{own} IS NOT NULL AND differing.{other} IS NOT NULL"
            ),
            format!(
                "DELETE FROM {table} AS known USING {differing} AS differing
                 WHERE {here} AND differing.{other} IS NULL"
            ),
            format!(
                "INSERT INTO {table} (projection, account_id, version)
                 SELECT $1, account_id, {other} FROM {differing} WHERE {own} IS NULL"
            ),
        ] {
            run(connection, sql, projection).await?;
        }
    }
    execute(connection, format!("DROP TABLE {differing}")).await
}

async fn run(
    connection: &mut PgConnection,
    sql: String,
    projection: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(projection)
        .execute(connection)
        .await?;
    Ok(())
}
