//! The last stage: reads events and writes the newest of each account, with the offset, in one transaction a batch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull;
use sqlx::postgres::PgPool;
use time::OffsetDateTime;

use super::{Done, Error, Loop, batch};

/// The name of the loop's offset.
const NAME: &str = "ceiling";

const BEGIN: &str =
    "INSERT INTO projection_offsets (projection, stream_id, epoch, last_sequence, updated_at)
    VALUES ($1, 'ceiling', 1, 0, now())
    ON CONFLICT (projection) DO UPDATE SET last_sequence = 0";

/// By compare-and-set, as the ledger moves its offsets: it also locks the row until the commit.
const ADVANCE: &str =
    "UPDATE projection_offsets SET last_sequence = $1, updated_at = clock_timestamp()
    WHERE projection = $2 AND last_sequence = $3";

/// A conflict is an account that has a row already: all of them but for its first event.
const UPSERT: &str = "INSERT INTO account_balance
        (account_id, owner_name, balance, currency, overdraft_limit, status, version, opened_at, updated_at)
    SELECT u.account_id, 'Owner', u.balance::numeric, 'USD', 0, 'active', u.version, u.updated_at, u.updated_at
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[]) AS u(account_id, balance, version, updated_at)
    ON CONFLICT (account_id) DO UPDATE
        SET balance = excluded.balance, version = excluded.version, updated_at = excluded.updated_at";

pub(super) async fn events(all: Arc<Loop>, mut messages: pull::Stream) -> Result<Done, Error> {
    let pool = &all.servers.read_model;
    sqlx::query(BEGIN)
        .bind(NAME)
        .execute(pool)
        .await
        .map_err(Error::database("make its offset"))?;
    let mut versions = HashMap::new();
    let mut projected = 0;
    let mut at = Instant::now();
    loop {
        let batch = batch::next(&mut messages, projected, &all.events).await?;
        if batch.is_empty() {
            return Ok(Done::Projected { at });
        }
        let newest = newest(&batch, &mut versions);
        let through = projected + batch.len() as u64;
        let written = write(pool, &all.samples.balance, &newest, projected, through).await;
        written.map_err(Error::database("project its events"))?;
        projected = through;
        at = Instant::now();
    }
}

/// Of each account in a batch its newest version. The subject names the account; nothing is decoded.
fn newest(batch: &[Message], versions: &mut HashMap<String, i64>) -> HashMap<String, i64> {
    let mut newest = HashMap::new();
    for message in batch {
        let account = message.subject.rsplit('.').next().unwrap_or_default();
        let version = versions.entry(account.to_owned()).or_insert(0);
        *version += 1;
        newest.insert(account.to_owned(), *version);
    }
    newest
}

async fn write(
    pool: &PgPool,
    balance: &str,
    newest: &HashMap<String, i64>,
    from: u64,
    through: u64,
) -> Result<(), sqlx::Error> {
    let signed = |sequence: u64| i64::try_from(sequence).unwrap_or(i64::MAX);
    let accounts: Vec<&str> = newest.keys().map(String::as_str).collect();
    let versions: Vec<i64> = newest.values().copied().collect();
    let now = OffsetDateTime::now_utc();
    let mut transaction = pool.begin().await?;
    sqlx::query(ADVANCE)
        .bind(signed(through))
        .bind(NAME)
        .bind(signed(from))
        .execute(&mut *transaction)
        .await?;
    sqlx::query(UPSERT)
        .bind(accounts)
        .bind(vec![balance; newest.len()])
        .bind(versions)
        .bind(vec![now; newest.len()])
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}
