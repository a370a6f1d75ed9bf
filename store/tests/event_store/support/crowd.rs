//! Many rows, quickly: written by SQL, as the owner.

use std::ops::RangeInclusive;

use ledger::AccountId;
use sqlx::{AssertSqlSafe, Executor};

use super::database::Database;

/// CockroachDB holds a statement's rows in memory.
const ROWS_PER_STATEMENT: usize = 5_000;

/// Gives an account events that can be read and continued, though their hashes are not right.
pub(crate) async fn add_history(
    database: &Database,
    account_id: &AccountId,
    versions: RangeInclusive<usize>,
) {
    insert(database, &format!("'{account_id}'"), "number", versions).await;
}

/// Adds accounts with one event each.
pub(crate) async fn add_accounts(database: &Database, name: &str, accounts: usize) {
    insert(
        database,
        &format!("'{name}-' || number::text"),
        "1",
        1..=accounts,
    )
    .await;
}

async fn insert(
    database: &Database,
    account_id: &str,
    version: &str,
    numbers: RangeInclusive<usize>,
) {
    let mut owner = database.owner().await;
    let end = *numbers.end();
    for first in numbers.step_by(ROWS_PER_STATEMENT) {
        let last = end.min(first + ROWS_PER_STATEMENT - 1);
        let statement = format!(
            r#"INSERT INTO events (account_id, version, event_id, event_type, command_id, data, balance_after,
                recorded_at, prev_hash, hash, profile_version, profile)
            SELECT account_id, version, gen_random_uuid(),
                CASE WHEN version = 1 THEN 'AccountCreated' ELSE 'MoneyDeposited' END, gen_random_uuid(),
                CASE WHEN version = 1
                    THEN '{{"currency":"USD","initial_balance":"1.00","overdraft_limit":"0.00","owner_name":"Ada"}}'
                    ELSE '{{"amount":"1.00","currency":"USD"}}' END::jsonb,
                version::numeric, '2026-01-01 00:00:00Z'::timestamptz + version * '1 second'::interval,
                decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex'), 1,
                CASE WHEN version = 1
                    THEN '{{"currency":"USD","overdraft_limit":"0.00","owner_name":"Ada","status":"active"}}' END::jsonb
            FROM (SELECT {account_id} AS account_id, {version} AS version
                FROM generate_series({first}, {last}) AS number) AS rows"#
        );
        owner.execute(AssertSqlSafe(statement)).await.unwrap();
    }
}
