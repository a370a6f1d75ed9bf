//! Locking the tables of a swap against everybody.
//!
//! Whoever waits for such a lock has all later readers of the table wait behind him. So a try is short, and readers have
//! a break between two tries. But PostgreSQL cancels an autovacuum that is in somebody's way only when that somebody has
//! waited for `deadlock_timeout` (1 s, unless it was changed), and no short try ever waits so long: an autovacuum of a
//! large table would outlast them all. So one try waits for longer than that, early, and so does the last one.

use std::time::Duration;

use sqlx::PgConnection;
use store::sqlstate;
use tokio::time::{Instant, sleep};

use super::copies::Error;
use super::schemas::execute;

/// How long a short try may hold readers up.
const SHORT_MS: u32 = 200;
/// Which try is the long one, if all before it fail.
const LONG_TRY: u32 = 5;
/// By how much the long one is longer than `deadlock_timeout`.
const BEYOND_DEADLOCK_TIMEOUT_MS: u32 = 500;
/// How long readers may be held up at most, whatever `deadlock_timeout` is.
const LONG_MS_MAX: u32 = 5_000;
/// For how long it is tried.
const TRY_FOR: Duration = Duration::from_secs(20);
/// How long readers have between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(300);

/// Locks these tables, named as SQL takes them, or says who is in the way.
pub(super) async fn lock_tables(
    connection: &mut PgConnection,
    projection: &str,
    tables: &[String],
) -> Result<(), Error> {
    let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", "));
    let long_ms = long_ms(connection).await?;
    let began = Instant::now();
    for number in 1.. {
        let is_last = began.elapsed() >= TRY_FOR;
        let within_ms = if number == LONG_TRY || is_last {
            long_ms
        } else {
            SHORT_MS
        };
        let sql = format!("SAVEPOINT unlocked; SET LOCAL lock_timeout = {within_ms}; {lock}");
        match execute(connection, sql).await {
            Ok(()) => break,
            Err(error) if sqlstate::is_lock_not_available(&error) => {
                let undo = "ROLLBACK TO SAVEPOINT unlocked".to_owned();
                execute(connection, undo).await?;
                if is_last {
                    return Err(in_use(connection, projection, tables).await?);
                }
                sleep(BETWEEN_TRIES).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    // What follows needs few locks, and nobody waits behind it.
    execute(connection, "SET LOCAL lock_timeout = DEFAULT".to_owned()).await?;
    Ok(())
}

/// How long the long try waits for each table.
async fn long_ms(connection: &mut PgConnection) -> Result<u32, sqlx::Error> {
    let deadlock_timeout_ms: i64 = sqlx::query_scalar(
        "SELECT setting::bigint FROM pg_settings WHERE name = 'deadlock_timeout'",
    )
    .fetch_one(connection)
    .await?;
    let deadlock_timeout_ms = u32::try_from(deadlock_timeout_ms).unwrap_or(LONG_MS_MAX);
    Ok(deadlock_timeout_ms
        .saturating_add(BEYOND_DEADLOCK_TIMEOUT_MS)
        .min(LONG_MS_MAX))
}

/// Who holds the tables: what others are and do is seen only by whoever may see it, their process ids by everybody.
async fn in_use(
    connection: &mut PgConnection,
    projection: &str,
    tables: &[String],
) -> Result<Error, sqlx::Error> {
    let holders: Vec<String> = sqlx::query_scalar(
        "SELECT concat('process ', pid, ' (', concat_ws(', ', backend_type, 'user ' || usename,
                NULLIF(application_name, ''), state, 'since ' || date_trunc('second', xact_start)), ')')
         FROM (SELECT DISTINCT pid FROM pg_locks
            WHERE locktype = 'relation' AND granted AND pid <> pg_backend_pid()
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND relation IN (SELECT to_regclass(name) FROM unnest($1::text[]) AS name)
            ORDER BY pid LIMIT 10) AS holders
            LEFT JOIN pg_stat_activity USING (pid)
         ORDER BY pid",
    )
    .bind(tables)
    .fetch_all(connection)
    .await?;
    let holders = if holders.is_empty() {
        "others, who have ended by now".to_owned()
    } else {
        holders.join("; ")
    };
    Ok(Error::InUse(format!(
        "the tables of {projection} cannot be locked: for {} s they were in use without a break, at last by {holders}. Nothing \
         was changed, and the copy is kept. Let them end, or end them (SELECT pg_terminate_backend(PROCESS)), and give the \
         command again: it goes on from here",
        TRY_FOR.as_secs()
    )))
}
