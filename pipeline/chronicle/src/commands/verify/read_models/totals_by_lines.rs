//! `daily_totals` against the lines in `transactions`, each of which is compared with the event store by the same walk.
//!
//! `chronicle verify` adds the events themselves up; a slow walk cannot, for the totals go on changing meanwhile. Here the
//! database adds up the lines of events that `daily_totals` counts as applied, and sees both at one instant.

use anyhow::Context;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

use super::totals::{COLUMNS, judge};
use super::{UNREADABLE, differ, differences};
use crate::commands::verify::report::Report;

/// Lines that `transactions` does not have yet cannot be added up.
const IS_BEHIND: &str = "
SELECT EXISTS (
    SELECT 1 FROM projection_versions AS totals
    LEFT JOIN projection_versions AS lines ON lines.projection = 'transactions' AND lines.account_id = totals.account_id
    WHERE totals.projection = 'daily_totals' AND COALESCE(lines.version, 0) < totals.version)";

/// The lines that change a balance, added up; and what is different.
fn differing() -> String {
    format!(
        "WITH wanted AS (
            SELECT lines.currency, (lines.timestamp AT TIME ZONE 'UTC')::date AS day, lines.type, count(*) AS count,
                sum(abs(lines.amount)) AS amount
            FROM transactions AS lines
            JOIN projection_versions AS totals
                ON totals.projection = 'daily_totals' AND totals.account_id = lines.account_id
            WHERE lines.version <= totals.version AND lines.type IN ('opening', 'deposit', 'withdrawal', 'capture',
                'transfer_in', 'transfer_out', 'posting_in', 'posting_out')
            GROUP BY 1, 2, 3
         )
         SELECT currency, to_char(day, 'YYYY-MM-DD') AS day, type, found.count IS NULL AS missing,
            wanted.count IS NULL AS extra, {differences}
         FROM wanted FULL JOIN daily_totals AS found USING (currency, day, type)
         WHERE {differ} ORDER BY currency, day, type",
        differences = differences(&COLUMNS),
        differ = differ(&COLUMNS),
    )
}

/// Compares all rows, if `transactions` has the lines for it.
pub(in crate::commands::verify) async fn compare(
    pool: &PgPool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut transaction = pool.begin().await.context(UNREADABLE)?;
    for statement in [
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        // All lines are read once: that is a small part of what the walk over them takes.
        "SET LOCAL statement_timeout = 0",
    ] {
        sqlx::query(statement)
            .execute(&mut *transaction)
            .await
            .context(UNREADABLE)?;
    }
    let is_behind: bool = sqlx::query_scalar(IS_BEHIND)
        .fetch_one(&mut *transaction)
        .await
        .context(UNREADABLE)?;
    if !is_behind {
        let rows = sqlx::query(AssertSqlSafe(differing()))
            .fetch_all(&mut *transaction)
            .await
            .context(UNREADABLE)?;
        for row in rows {
            judge(&row, report)?;
        }
    }
    transaction.rollback().await.context(UNREADABLE)
}
