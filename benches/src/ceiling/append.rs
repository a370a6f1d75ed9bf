//! The second stage: reads commands and appends their rows, one statement a batch.

use std::sync::Arc;

use async_nats::Subject;
use async_nats::jetstream::consumer::pull;
use sqlx::Row;
use sqlx::postgres::PgPool;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Done, Error, Loop, batch, names};

/// The columns and casts of the ledger's own statement (`store/src/append.rs`), less those that such a row leaves empty,
/// and less its questions about stale accounts and late clocks.
const APPEND: &str = "WITH c AS (
        INSERT INTO commands (command_id, account_id, command_type, fingerprint, body, outcome, recorded_at)
        SELECT u.command_id, u.account_id, u.command_type, u.fingerprint, u.body::jsonb, u.outcome::jsonb, u.recorded_at
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[], $7::timestamptz[])
            AS u(command_id, account_id, command_type, fingerprint, body, outcome, recorded_at)
        RETURNING 1
    ), e AS (
        INSERT INTO events (account_id, version, event_id, event_type, command_id, data, balance_after, actor,
            recorded_at, prev_hash, hash, profile_version)
        SELECT u.account_id, u.version, u.event_id, u.event_type, u.command_id, u.data::jsonb, u.balance_after::numeric,
            u.actor, u.recorded_at, u.prev_hash, u.hash, 1
        FROM unnest($8::text[], $9::bigint[], $10::uuid[], $11::text[], $12::uuid[], $13::text[], $14::text[], $15::text[],
            $16::timestamptz[], $17::bytea[], $18::bytea[])
            AS u(account_id, version, event_id, event_type, command_id, data, balance_after, actor, recorded_at, prev_hash,
                hash)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM c) AS commands, (SELECT count(*) FROM e) AS events";

/// What was appended and is to be published.
pub(super) struct Appended {
    pub(super) commands: usize,
    /// Of each event its account and its id.
    pub(super) events: Vec<(usize, Uuid)>,
    /// Acknowledges the commands.
    pub(super) reply: Option<Subject>,
}

pub(super) async fn commands(
    all: Arc<Loop>,
    mut messages: pull::Stream,
    appended: mpsc::Sender<Appended>,
) -> Result<Done, Error> {
    // The newest version of each account.
    let mut versions = vec![0_i64; all.accounts.len()];
    let (mut commands, mut appends) = (0, 0);
    loop {
        let batch = batch::next(&mut messages, commands, &all.commands).await?;
        let Some(last) = batch.last() else {
            return Ok(Done::Appended { commands, appends });
        };
        let rows = Rows::of(&all, commands, batch.len(), &mut versions);
        let events = rows.events.iter().map(|row| (row.account, row.event_id));
        let done = Appended {
            commands: batch.len(),
            events: events.collect(),
            reply: last.reply.clone(),
        };
        append(&all.servers.event_store, &all, rows).await?;
        commands += batch.len() as u64;
        appends += 1;
        if appended.send(done).await.is_err() {
            // The next stage has failed, and says why.
            return Ok(Done::Appended { commands, appends });
        }
    }
}

struct CommandRow {
    command_id: Uuid,
    account: usize,
    fingerprint: [u8; 32],
}

struct EventRow {
    account: usize,
    version: i64,
    event_id: Uuid,
    command_id: Uuid,
    prev_hash: [u8; 32],
    hash: [u8; 32],
}

#[derive(Default)]
struct Rows {
    commands: Vec<CommandRow>,
    /// In the order in which they are published.
    events: Vec<EventRow>,
}

impl Rows {
    /// The rows of `count` commands from number `first` on. The stream has them in the order in which they were published.
    fn of(all: &Loop, first: u64, count: usize, versions: &mut [i64]) -> Self {
        let mut rows = Self::default();
        for number in (first..).take(count) {
            let touched = (all.touch)(number);
            let command_id = names::command_id(number);
            rows.commands.push(CommandRow {
                command_id,
                account: touched.account,
                fingerprint: names::hash(number, 2),
            });
            for (index, account) in (0..).zip(touched.events.into_iter().flatten()) {
                versions[account] += 1;
                rows.events.push(EventRow {
                    account,
                    version: versions[account],
                    event_id: names::event_id(number, index),
                    command_id,
                    prev_hash: names::hash(!number, index),
                    hash: names::hash(number, index),
                });
            }
        }
        rows
    }
}

async fn append(pool: &PgPool, all: &Loop, rows: Rows) -> Result<(), Error> {
    let Rows {
        mut commands,
        mut events,
    } = rows;
    // As the ledger does: by the order of their keys.
    commands.sort_unstable_by_key(|row| row.command_id);
    let name = |account: usize| all.accounts[account].as_str();
    events.sort_unstable_by(|one, other| {
        (name(one.account), one.version).cmp(&(name(other.account), other.version))
    });
    let samples = &all.samples;
    let now = OffsetDateTime::now_utc();
    let wanted = (commands.len(), events.len());
    let row = sqlx::query(APPEND)
        .bind(column(&commands, |row| row.command_id))
        .bind(column(&commands, |row| name(row.account)))
        .bind(vec![samples.command_type.as_str(); commands.len()])
        .bind(column(&commands, |row| row.fingerprint.as_slice()))
        .bind(vec![samples.body.as_str(); commands.len()])
        .bind(vec![samples.outcome.as_str(); commands.len()])
        .bind(vec![now; commands.len()])
        .bind(column(&events, |row| name(row.account)))
        .bind(column(&events, |row| row.version))
        .bind(column(&events, |row| row.event_id))
        .bind(vec![samples.event_type.as_str(); events.len()])
        .bind(column(&events, |row| row.command_id))
        .bind(vec![samples.data.as_str(); events.len()])
        .bind(vec![samples.balance.as_str(); events.len()])
        .bind(vec![samples.actor.as_deref(); events.len()])
        .bind(vec![now; events.len()])
        .bind(column(&events, |row| row.prev_hash.as_slice()))
        .bind(column(&events, |row| row.hash.as_slice()))
        .fetch_one(pool)
        .await
        .map_err(Error::database("append its rows"))?;
    let counted: (i64, i64) = (row.get("commands"), row.get("events"));
    debug_assert_eq!(
        (usize::try_from(counted.0), usize::try_from(counted.1)),
        (Ok(wanted.0), Ok(wanted.1)),
        "all of it or an error"
    );
    Ok(())
}

fn column<'a, R, T>(rows: &'a [R], of: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}
