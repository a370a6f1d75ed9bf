//! The record of what operators have ordered: a row for each order, in the transaction that carries it out; where that
//! takes several, the row is made in the first one and says in each how far it is.

use serde::Serialize;
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Row};
use time::OffsetDateTime;

/// Who orders something, and why.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// Who.
    pub by: &'a str,
    /// Why, if that was said.
    pub reason: Option<&'a str>,
}

/// What can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A copy is built beside the live model.
    RebuildStarted,
    /// The copy has taken the live model's place.
    Swapped,
    /// The copy was removed before it was done.
    Discarded,
    /// The model from before the last swap is live again.
    RolledBack,
    /// The model from before the last swap was removed.
    Pruned,
    /// It rests.
    Paused,
    /// It goes on.
    Resumed,
    /// Its offset was moved.
    Rewound,
    /// It skips one message.
    Skip,
    /// It goes on with a feed that was made anew.
    AdoptedStream,
    /// Rows were made anew from the event store.
    Repaired,
    /// Events that it lacked were applied beside its running copy.
    Replayed,
}

impl Action {
    /// As the table has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RebuildStarted => "rebuild_started",
            Self::Swapped => "swapped",
            Self::Discarded => "discarded",
            Self::RolledBack => "rolled_back",
            Self::Pruned => "pruned",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Rewound => "rewound",
            Self::Skip => "skip",
            Self::AdoptedStream => "adopted_stream",
            Self::Repaired => "repaired",
            Self::Replayed => "replayed",
        }
    }
}

/// An order that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When, by the database's clock.
    pub at: OffsetDateTime,
    /// The projection.
    pub projection: String,
    /// What was done.
    pub action: String,
    /// Who ordered it.
    pub by: String,
    /// Why, if that was said.
    pub reason: Option<String>,
    /// From where to where, and the like.
    pub details: Value,
}

/// Records an order within the transaction that carries it out. Answers with the entry's number.
pub(super) async fn record(
    transaction: &mut PgConnection,
    projection: &str,
    action: Action,
    order: &Order<'_>,
    details: Value,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "INSERT INTO projection_audit (projection, action, by, reason, details) VALUES ($1, $2, $3, $4, $5)
         RETURNING number",
    )
    .bind(projection)
    .bind(action.as_str())
    .bind(order.by)
    .bind(order.reason)
    .bind(details)
    .fetch_one(transaction)
    .await
}

/// Says more of an order that takes several transactions, within the next one of them.
pub(super) async fn amend(
    transaction: &mut PgConnection,
    number: i64,
    details: Value,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE projection_audit SET details = $2 WHERE number = $1")
        .bind(number)
        .bind(details)
        .execute(transaction)
        .await
        .map(drop)
}

/// Records that a read model was repaired as a whole, by a rebuild that is recorded by itself.
pub async fn repaired(
    pool: &PgPool,
    projection: &str,
    order: &Order<'_>,
    details: Value,
) -> Result<(), sqlx::Error> {
    let mut connection = pool.acquire().await?;
    record(
        &mut connection,
        projection,
        Action::Repaired,
        order,
        details,
    )
    .await
    .map(drop)
}

/// The newest `limit` orders, oldest first: of one projection, or of all.
pub async fn log(
    pool: &PgPool,
    projection: Option<&str>,
    limit: u32,
) -> Result<Vec<Entry>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT at, projection, action, by, reason, details FROM projection_audit
         WHERE projection = COALESCE($1, projection) ORDER BY number DESC LIMIT $2",
    )
    .bind(projection)
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    rows.iter()
        .rev()
        .map(|row| {
            Ok(Entry {
                at: row.try_get("at")?,
                projection: row.try_get("projection")?,
                action: row.try_get("action")?,
                by: row.try_get("by")?,
                reason: row.try_get("reason")?,
                details: row.try_get("details")?,
            })
        })
        .collect()
}
