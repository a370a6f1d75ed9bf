//! What operators told projections to skip.

use std::collections::HashSet;

use engine::Failure;
use ledger::EventId;
use serde_json::json;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::audit::{self, Action, Order};
use super::offset::{signed_sequence, unsigned};
use crate::read_model;

/// What an operator told a projection to skip.
#[derive(Debug, Default)]
pub(super) struct Skips {
    /// Messages that cannot be read, by their sequence.
    pub(super) sequences: HashSet<u64>,
    /// Events, by their id.
    pub(super) events: HashSet<EventId>,
}

/// What an operator told this projection to skip.
pub(super) async fn skips(
    pool: &PgPool,
    projection: &str,
    stream_id: &str,
) -> Result<Skips, Failure> {
    let rows = sqlx::query(
        "SELECT last_sequence, event_id FROM projection_skips
         WHERE projection = $1 AND (stream_id = $2 OR event_id IS NOT NULL)",
    )
    .bind(projection)
    .bind(stream_id)
    .fetch_all(pool)
    .await
    .map_err(|error| {
        read_model::failure(
            format!("projection {projection} cannot read its skips"),
            error,
        )
    })?;
    let mut skips = Skips::default();
    for row in rows {
        match row.get::<Option<Uuid>, _>("event_id") {
            Some(event_id) => skips.events.insert(event_id.into()),
            None => skips.sequences.insert(unsigned(row.get("last_sequence"))),
        };
    }
    Ok(skips)
}

/// One message of the feed that a projection is to skip.
#[derive(Debug, Clone)]
pub struct Skip<'a> {
    /// The projection.
    pub projection: &'a str,
    /// The message's sequence.
    pub sequence: u64,
    /// The event that it holds; `None` when it is none that a projection would take for one: then the projection stops at
    /// the message, whatever it looks like, and the skip is of its sequence.
    pub event_id: Option<EventId>,
    /// Who says so, and why.
    pub order: Order<'a>,
}

/// Records that a projection is to skip a message, and why. It takes effect at the projection's next start. Answers
/// with false when there is no such projection yet.
pub async fn skip(pool: &PgPool, skip: &Skip<'_>) -> Result<bool, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let skipped = sqlx::query(
        "INSERT INTO projection_skips
            (projection, stream_id, last_sequence, event_id, reason, skipped_by, skipped_at)
         SELECT projection, stream_id, $2, $3, $4, $5, now() FROM projection_offsets WHERE projection = $1
         ON CONFLICT (projection, stream_id, last_sequence)
            DO UPDATE SET event_id = excluded.event_id, reason = excluded.reason, skipped_by = excluded.skipped_by,
                skipped_at = excluded.skipped_at",
    )
    .bind(skip.projection)
    .bind(signed_sequence(skip.sequence))
    .bind(skip.event_id.map(EventId::as_uuid))
    .bind(skip.order.reason)
    .bind(skip.order.by)
    .execute(&mut *transaction)
    .await?;
    let is_known = skipped.rows_affected() == 1;
    if is_known {
        let details =
            json!({"sequence": skip.sequence, "event_id": skip.event_id.map(|id| id.to_string())});
        audit::record(
            &mut transaction,
            skip.projection,
            Action::Skip,
            &skip.order,
            details,
        )
        .await?;
    }
    transaction.commit().await?;
    Ok(is_known)
}
