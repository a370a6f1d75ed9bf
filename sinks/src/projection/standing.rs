//! Where projections stand, for whoever looks from outside.

use engine::Failure;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use time::OffsetDateTime;

use super::offset::unsigned;

/// Where a projection stands, for whoever looks from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The projection.
    pub projection: String,
    /// Which life of the feed it reads.
    pub stream_id: String,
    /// How often it was started.
    pub epoch: i64,
    /// How often an operator has moved it.
    pub generation: i64,
    /// The version of the definition that its rows are made by.
    pub definition: i32,
    /// The last sequence of the feed that it has applied.
    pub last_sequence: u64,
    /// The order to rest, if there is one.
    pub pause: Option<Pause>,
    /// When it moved last, by the database's clock.
    pub updated_at: OffsetDateTime,
}

/// Where each projection stands that has ever run.
pub async fn standings(pool: &PgPool) -> Result<Vec<Standing>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT projection, stream_id, epoch, generation, definition, last_sequence, updated_at, paused_at, paused_by,
            pause_reason
         FROM projection_offsets",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Standing {
                projection: row.try_get("projection")?,
                stream_id: row.try_get("stream_id")?,
                epoch: row.try_get("epoch")?,
                generation: row.try_get("generation")?,
                definition: row.try_get("definition")?,
                pause: Pause::of(row)?,
                last_sequence: unsigned(row.try_get("last_sequence")?),
                updated_at: row.try_get("updated_at")?,
            })
        })
        .collect()
}

/// An order to rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub at: OffsetDateTime,
    /// Whose order it is.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Pause {
    /// The order that a row of `projection_offsets` has.
    pub(super) fn of(row: &PgRow) -> Result<Option<Self>, sqlx::Error> {
        let Some(at) = row.try_get::<Option<OffsetDateTime>, _>("paused_at")? else {
            return Ok(None);
        };
        let text = |name: &str| row.try_get::<Option<String>, _>(name);
        Ok(Some(Self {
            at,
            by: text("paused_by")?.unwrap_or_default(),
            reason: text("pause_reason")?.unwrap_or_default(),
        }))
    }

    /// What ends the run of whoever must rest.
    pub(super) fn rest(&self, projection: &str) -> Failure {
        Failure::rest(format!(
            "projection {projection} is paused by {}: {}. To go on: chronicle projection resume {projection}",
            self.by, self.reason
        ))
    }
}
