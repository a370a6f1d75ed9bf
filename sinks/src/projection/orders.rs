//! What operators can tell a projection: to rest and to go on, where to read on, and which feed to read.
//!
//! Each order is one transaction with its record in the audit. Those that move the offset raise the generation, so a copy
//! that runs meanwhile reads its offset again and goes on from there; nothing has to be restarted.

use serde_json::json;
use sqlx::{PgConnection, PgPool, Row};

use super::audit::{self, Action, Order};
use super::offset::{signed_sequence, unsigned};

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// There is no such projection yet; nothing was done.
    Unknown,
    /// It was so already; nothing was done.
    Already,
    /// It is so now.
    Changed,
}

/// Tells a projection to rest: its next commit does not happen, and it waits for [`resume`].
pub async fn pause(
    pool: &PgPool,
    projection: &str,
    order: &Order<'_>,
) -> Result<Done, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let Some(was_paused) = is_paused(&mut transaction, projection).await? else {
        return Ok(Done::Unknown);
    };
    if was_paused {
        return Ok(Done::Already);
    }
    sqlx::query(
        "UPDATE projection_offsets SET paused_at = clock_timestamp(), paused_by = $2, pause_reason = $3
         WHERE projection = $1",
    )
    .bind(projection)
    .bind(order.by)
    .bind(order.reason)
    .execute(&mut *transaction)
    .await?;
    audit::record(
        &mut transaction,
        projection,
        Action::Paused,
        order,
        json!({}),
    )
    .await?;
    transaction.commit().await?;
    Ok(Done::Changed)
}

/// Lets a projection go on.
pub async fn resume(
    pool: &PgPool,
    projection: &str,
    order: &Order<'_>,
) -> Result<Done, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let Some(was_paused) = is_paused(&mut transaction, projection).await? else {
        return Ok(Done::Unknown);
    };
    if !was_paused {
        return Ok(Done::Already);
    }
    sqlx::query(
        "UPDATE projection_offsets SET paused_at = NULL, paused_by = NULL, pause_reason = NULL WHERE projection = $1",
    )
    .bind(projection)
    .execute(&mut *transaction)
    .await?;
    audit::record(
        &mut transaction,
        projection,
        Action::Resumed,
        order,
        json!({}),
    )
    .await?;
    transaction.commit().await?;
    Ok(Done::Changed)
}

/// Whether a projection is paused, with its row locked; `None` if there is none.
async fn is_paused(
    transaction: &mut PgConnection,
    projection: &str,
) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT paused_at IS NOT NULL FROM projection_offsets WHERE projection = $1 FOR UPDATE",
    )
    .bind(projection)
    .fetch_optional(transaction)
    .await
}

/// Where an operator wants a projection to read on.
#[derive(Debug, Clone, Copy)]
pub struct Rewind<'a> {
    /// The life of the feed that the plan was made for.
    pub stream_id: &'a str,
    /// Where the offset stands by the plan.
    pub from: u64,
    /// Where it is to stand: the next message that is read is the one behind.
    pub to: u64,
}

/// Moves an offset, if it still stands where the plan says. (One that has moved meanwhile is [`Done::Already`].)
///
/// Backwards, what is read again is skipped by its version. Forwards, what is passed over is missing until the comparison
/// with the event store finds it.
pub async fn rewind(
    pool: &PgPool,
    projection: &str,
    rewind: &Rewind<'_>,
    order: &Order<'_>,
) -> Result<Done, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let present = sqlx::query(
        "SELECT stream_id, last_sequence FROM projection_offsets WHERE projection = $1 FOR UPDATE",
    )
    .bind(projection)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(present) = present else {
        return Ok(Done::Unknown);
    };
    let stands = (
        present.try_get::<&str, _>("stream_id")?,
        unsigned(present.try_get("last_sequence")?),
    );
    if stands != (rewind.stream_id, rewind.from) {
        return Ok(Done::Already);
    }
    moved(&mut transaction, projection, rewind.stream_id, rewind.to).await?;
    let details = json!({"from": rewind.from, "to": rewind.to});
    audit::record(
        &mut transaction,
        projection,
        Action::Rewound,
        order,
        details,
    )
    .await?;
    transaction.commit().await?;
    Ok(Done::Changed)
}

/// An offset stands elsewhere from now on, and whoever runs has to read it again.
async fn moved(
    transaction: &mut PgConnection,
    projection: &str,
    stream_id: &str,
    sequence: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE projection_offsets
         SET stream_id = $2, epoch = epoch + 1, generation = generation + 1, last_sequence = $3, last_event_id = NULL,
            updated_at = clock_timestamp()
         WHERE projection = $1",
    )
    .bind(projection)
    .bind(stream_id)
    .bind(signed_sequence(sequence))
    .execute(transaction)
    .await?;
    Ok(())
}

/// What [`adopt_stream`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// There is no such projection yet; nothing was done.
    Unknown,
    /// It reads this stream already; nothing was done.
    Already,
    /// It goes on with the new stream.
    Moved {
        /// When the stream that it has read was made.
        from: String,
    },
}

/// Moves a projection to a feed that was made anew. It begins at the new feed's first message; what it has applied is
/// known by account and version, so nothing is applied twice, and what is missing comes from the event store.
pub async fn adopt_stream(
    pool: &PgPool,
    projection: &str,
    stream_id: &str,
    order: &Order<'_>,
) -> Result<Adopted, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let row =
        sqlx::query("SELECT stream_id FROM projection_offsets WHERE projection = $1 FOR UPDATE")
            .bind(projection)
            .fetch_optional(&mut *transaction)
            .await?;
    let Some(row) = row else {
        return Ok(Adopted::Unknown);
    };
    let from: String = row.get("stream_id");
    if from == stream_id {
        return Ok(Adopted::Already);
    }
    moved(&mut transaction, projection, stream_id, 0).await?;
    let details = json!({"from": from, "to": stream_id});
    audit::record(
        &mut transaction,
        projection,
        Action::AdoptedStream,
        order,
        details,
    )
    .await?;
    transaction.commit().await?;
    Ok(Adopted::Moved { from })
}

/// As [`adopt_stream`], for a copy that is being built: nobody ordered it, so nothing is recorded.
pub(super) async fn adopt_unrecorded(
    pool: &PgPool,
    projection: &str,
    stream_id: &str,
) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let known: String = sqlx::query_scalar(
        "SELECT stream_id FROM projection_offsets WHERE projection = $1 FOR UPDATE",
    )
    .bind(projection)
    .fetch_one(&mut *transaction)
    .await?;
    if known != stream_id {
        moved(&mut transaction, projection, stream_id, 0).await?;
    }
    transaction.commit().await
}
