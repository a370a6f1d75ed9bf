//! What the comparison in the background has found, in the read model's database: the tables `comparison` and
//! `divergences`.
//!
//! Each step is one transaction: what was found, what is gone, and where the walk stands. One process compares at a time,
//! by a lease: it is renewed with each step and, while a step is long, whenever nothing arrives here. A process that
//! finds the lease held rests, and takes it when it has run out; one that has lost it commits nothing more. (Two that
//! compare would do no harm, only twice the work.)

use std::collections::HashSet;
use std::time::Duration;

use engine::{Batch, Failure, Resume, Sink};
use sources::Walk;
use sqlx::postgres::PgPool;
use sqlx::types::time::OffsetDateTime;
use sqlx::{PgConnection, Row};
use tokio::time::Instant;
use uuid::Uuid;

use crate::read_model;

/// For how long a lease holds. A process that dies is followed by another after so long.
const LEASE: Duration = Duration::from_secs(15);
/// How often it is renewed at least.
const RENEW_EVERY: Duration = Duration::from_secs(4);

/// The event store, among the places where something differs.
pub const PLACE_EVENT_STORE: &str = "event_store";
/// The feed, among them.
pub const PLACE_FEED: &str = "feed";

/// One thing that is not as the event store has it, or in the event store not as its own hashes and rules have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// Where: a projection, or `feed`, or `event_store`.
    pub place: String,
    /// The invariant that does not hold there (DESIGN §3).
    pub invariant: String,
    /// The account, if it is about one, and
    pub account_id: Option<String>,
    /// the version where it begins, if that is known.
    pub version: Option<i64>,
    /// What is wrong.
    pub message: String,
    /// What should be there.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
}

impl Divergence {
    /// What it is about: the account, or else the words without their numbers, which may be others at the next look.
    pub fn subject(&self) -> String {
        self.account_id.clone().unwrap_or_else(|| {
            self.message
                .chars()
                .filter(|c| !c.is_ascii_digit())
                .collect()
        })
    }
}

/// A step of the walk that has been compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// The step.
    pub walk: Walk,
    /// How many events were compared.
    pub events: u64,
    /// What was found: for each place, invariant and account one, the first.
    pub divergences: Vec<Divergence>,
    /// The places that were not compared, or not whole: what is known of them stays known.
    pub not_compared: Vec<String>,
}

/// The sink.
pub struct Divergences {
    pool: PgPool,
    /// The process, over all its runs.
    holder: Uuid,
    renewed_at: Instant,
}

/// Takes the lease if it is ours, or nobody's any more.
const TAKE: &str = "
INSERT INTO comparison AS known (holder, leased_until)
VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (only_row) DO UPDATE SET holder = excluded.holder, leased_until = excluded.leased_until
WHERE known.holder = excluded.holder OR known.leased_until < clock_timestamp()
RETURNING step, place";

/// Only one whose lease was not taken by another gets past this; it locks the row until the transaction's end.
const RENEW: &str = "
UPDATE comparison SET leased_until = clock_timestamp() + make_interval(secs => $2) WHERE holder = $1
RETURNING step";

const MOVE: &str = "
UPDATE comparison SET step = $1, place = NULLIF($2, ''), accounts = accounts + $3, events = events + $4,
    passes = passes + $5, pass_ended_at = CASE WHEN $5 > 0 THEN clock_timestamp() ELSE pass_ended_at END";

const RECORD: &str = "
INSERT INTO divergences AS known
    (place, invariant, subject, found_by, account_id, version, message, expected, found, first_seen_at, last_seen_at)
SELECT place, invariant, subject, $9, account_id, version, message, expected, found, $10, $10
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[])
    AS seen(place, invariant, subject, account_id, version, message, expected, found)
ON CONFLICT (place, invariant, subject) DO UPDATE SET
    found_by = excluded.found_by, account_id = excluded.account_id, version = excluded.version,
    message = excluded.message, expected = excluded.expected, found = excluded.found,
    first_seen_at = CASE WHEN known.gone_at IS NULL THEN known.first_seen_at ELSE excluded.first_seen_at END,
    last_seen_at = excluded.last_seen_at, gone_at = NULL";

/// What the same step had found before, and did not find now.
const GONE: &str = "
UPDATE divergences SET gone_at = $1
WHERE gone_at IS NULL AND last_seen_at < $1 AND found_by = $2
    AND ($3::text[] IS NULL OR account_id = ANY($3)) AND NOT place = ANY($4)";

impl Divergences {
    /// A sink into this database. `holder` is what the process is called in the lease: the same for all its runs.
    pub fn new(pool: &PgPool, holder: Uuid) -> Self {
        Self {
            pool: pool.clone(),
            holder,
            renewed_at: Instant::now(),
        }
    }

    /// Renews the lease; answers with the last step that is recorded.
    async fn renew(&mut self, connection: &mut PgConnection) -> Result<i64, Failure> {
        self.renewed_at = Instant::now();
        let step: Option<i64> = sqlx::query_scalar(RENEW)
            .bind(self.holder)
            .bind(LEASE.as_secs_f64())
            .fetch_optional(connection)
            .await
            .map_err(failed)?;
        step.ok_or_else(|| {
            Failure::rest(
                "another process compares now, since this one was away for longer than its lease",
            )
        })
    }

    async fn record(&mut self, position: u64, step: &Compared) -> Result<(), Failure> {
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        if self.renew(&mut transaction).await? >= signed(position) {
            // It comes again after a crash behind its commit.
            return transaction.commit().await.map_err(failed);
        }
        let now: OffsetDateTime = sqlx::query_scalar("SELECT clock_timestamp()")
            .fetch_one(&mut *transaction)
            .await
            .map_err(failed)?;
        let found_by = found_by(&step.walk);
        insert(&mut transaction, &step.divergences, found_by, now)
            .await
            .map_err(failed)?;
        let accounts = accounts(&step.walk);
        sqlx::query(GONE)
            .bind(now)
            .bind(found_by)
            .bind(accounts.as_deref())
            .bind(&step.not_compared)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        sqlx::query(MOVE)
            .bind(signed(position))
            .bind(step.walk.place().to_string())
            .bind(signed(accounts.map_or(0, |accounts| accounts.len() as u64)))
            .bind(signed(step.events))
            .bind(i64::from(step.walk.is_last()))
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }
}

impl Sink for Divergences {
    type Item = Compared;

    async fn open(&mut self) -> Result<Option<Resume>, Failure> {
        let row = sqlx::query(TAKE)
            .bind(self.holder)
            .bind(LEASE.as_secs_f64())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        let Some(row) = row else {
            return Err(Failure::rest(
                "another process compares; this one takes its place when it ends",
            ));
        };
        self.renewed_at = Instant::now();
        let step: i64 = row.try_get("step").map_err(failed)?;
        Ok(Some(Resume {
            position: step.unsigned_abs(),
            mark: row.try_get("place").map_err(failed)?,
        }))
    }

    async fn write(&mut self, batch: &Batch<Compared>) -> Result<(), Failure> {
        for delivery in &batch.deliveries {
            self.record(delivery.position, &delivery.item).await?;
        }
        Ok(())
    }

    async fn idle(&mut self) -> Result<(), Failure> {
        if self.renewed_at.elapsed() < RENEW_EVERY {
            return Ok(());
        }
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        self.renew(&mut connection).await.map(drop)
    }

    fn describe(&self) -> String {
        "PostgreSQL divergences, with the place of the walk in one transaction; one process at a time".to_owned()
    }
}

async fn insert(
    transaction: &mut PgConnection,
    divergences: &[Divergence],
    found_by: &str,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    fn column<'a, T>(all: &[&'a Divergence], of: impl Fn(&'a Divergence) -> T) -> Vec<T> {
        all.iter().map(|one| of(one)).collect()
    }
    // A statement can touch a row only once.
    let mut keys = HashSet::new();
    let divergences: Vec<&Divergence> = divergences
        .iter()
        .filter(|one| keys.insert((&one.place, &one.invariant, one.subject())))
        .collect();
    if divergences.is_empty() {
        return Ok(());
    }
    sqlx::query(RECORD)
        .bind(column(&divergences, |one| one.place.as_str()))
        .bind(column(&divergences, |one| one.invariant.as_str()))
        .bind(column(&divergences, Divergence::subject))
        .bind(column(&divergences, |one| one.account_id.as_deref()))
        .bind(column(&divergences, |one| one.version))
        .bind(column(&divergences, |one| one.message.as_str()))
        .bind(column(&divergences, |one| one.expected.as_deref()))
        .bind(column(&divergences, |one| one.found.as_deref()))
        .bind(found_by)
        .bind(now)
        .execute(transaction)
        .await
        .map(drop)
}

/// What found it: the same finds it gone.
fn found_by(walk: &Walk) -> &'static str {
    match walk {
        Walk::Accounts { .. } => "walk",
        Walk::Remainder(part) => part.as_str(),
    }
}

/// The accounts that a step was about; `None`: what belongs to none.
fn accounts(walk: &Walk) -> Option<Vec<&str>> {
    match walk {
        Walk::Accounts { heads, .. } => {
            let accounts = heads.iter().map(|head| head.account_id.as_str());
            Some(accounts.collect())
        }
        Walk::Remainder(_) => None,
    }
}

/// What has been found, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What.
    pub divergence: Divergence,
    /// When it was seen first, by the database's clock.
    pub first_seen_at: OffsetDateTime,
    /// And last.
    pub last_seen_at: OffsetDateTime,
    /// Since when it is gone; `None` while it is there.
    pub gone_at: Option<OffsetDateTime>,
}

/// The `limit` newest divergences, oldest first: those that are there, or with `gone` all of them.
pub async fn known(pool: &PgPool, gone: bool, limit: u32) -> Result<Vec<Known>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT place, invariant, account_id, version, message, expected, found, first_seen_at, last_seen_at, gone_at
         FROM divergences WHERE gone_at IS NULL OR $1 ORDER BY first_seen_at DESC, place, invariant, subject LIMIT $2",
    )
    .bind(gone)
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    rows.iter()
        .rev()
        .map(|row| {
            Ok(Known {
                divergence: Divergence {
                    place: row.try_get("place")?,
                    invariant: row.try_get("invariant")?,
                    account_id: row.try_get("account_id")?,
                    version: row.try_get("version")?,
                    message: row.try_get("message")?,
                    expected: row.try_get("expected")?,
                    found: row.try_get("found")?,
                },
                first_seen_at: row.try_get("first_seen_at")?,
                last_seen_at: row.try_get("last_seen_at")?,
                gone_at: row.try_get("gone_at")?,
            })
        })
        .collect()
}

/// How far the comparison has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// How many accounts it has compared, an account once in each pass.
    pub accounts: u64,
    /// How many events.
    pub events: u64,
    /// How often it has come to the end of everything.
    pub passes: u64,
    /// When that was last.
    pub pass_ended_at: Option<OffsetDateTime>,
    /// The account up to which the present pass has come; `None` at its begin.
    pub place: Option<String>,
    /// How many divergences there are, by place.
    pub present: Vec<(String, u64)>,
}

/// How far it has come; `None` when it has never begun.
pub async fn course(pool: &PgPool) -> Result<Option<Course>, sqlx::Error> {
    let sql = "SELECT accounts, events, passes, pass_ended_at, place FROM comparison";
    let Some(row) = sqlx::query(sql).fetch_optional(pool).await? else {
        return Ok(None);
    };
    let count = |name| row.try_get::<i64, _>(name).map(i64::unsigned_abs);
    let present: Vec<(String, i64)> = sqlx::query_as(
        "SELECT place, count(*) FROM divergences WHERE gone_at IS NULL GROUP BY place ORDER BY place",
    )
    .fetch_all(pool)
    .await?;
    Ok(Some(Course {
        accounts: count("accounts")?,
        events: count("events")?,
        passes: count("passes")?,
        pass_ended_at: row.try_get("pass_ended_at")?,
        place: row.try_get("place")?,
        present: present
            .into_iter()
            .map(|(place, count)| (place, count.unsigned_abs()))
            .collect(),
    }))
}

fn failed(error: sqlx::Error) -> Failure {
    read_model::failure("the comparison cannot be recorded", error)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
