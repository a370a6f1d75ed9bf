//! A projection's offset and its fence: the row of `projection_offsets` that each of its transactions moves.

use std::collections::HashSet;

use engine::{Failure, Resume};
use ledger::{EventId, Version};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::read_model;

/// A version as the database keeps it.
pub(super) fn signed(version: Version) -> i64 {
    i64::try_from(version.get()).expect("an account has fewer than 2^63 events")
}

/// A sequence as the database keeps it.
fn signed_sequence(sequence: u64) -> i64 {
    i64::try_from(sequence).expect("a stream has fewer than 2^63 messages")
}

fn unsigned(sequence: i64) -> u64 {
    u64::try_from(sequence).unwrap_or_default()
}

/// The right to move a projection's offset, until somebody else takes it.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    projection: &'static str,
    stream_id: String,
    epoch: i64,
    last_sequence: u64,
    /// When the row was written last, by the database's clock: tells our own last write from every other state of it.
    written_at: OffsetDateTime,
}

/// Where an offset is to be moved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) sequence: u64,
    /// The event at that sequence, if it is known.
    pub(super) event_id: Option<EventId>,
}

impl Fence {
    /// Raises the projection's epoch, so that no other copy of it can commit any more, and says where it stands.
    ///
    /// By compare-and-set: of a process that died while it started, the statement may still be under way, and must not
    /// fence whoever has started since. A copy that is committing at this moment finishes first, for it holds the row.
    pub(super) async fn take(
        pool: &PgPool,
        projection: &'static str,
        stream_id: &str,
    ) -> Result<(Self, Resume), Failure> {
        const ATTEMPTS_MAX: u32 = 10;
        let failed = |error| {
            read_model::failure(
                format!("projection {projection} cannot take its offset"),
                error,
            )
        };
        sqlx::query(
            "INSERT INTO projection_offsets (projection, stream_id, epoch, last_sequence, updated_at)
             VALUES ($1, $2, 0, 0, now()) ON CONFLICT (projection) DO NOTHING",
        )
        .bind(projection)
        .bind(stream_id)
        .execute(pool)
        .await
        .map_err(failed)?;
        for _ in 0..ATTEMPTS_MAX {
            let present = sqlx::query("SELECT epoch FROM projection_offsets WHERE projection = $1")
                .bind(projection)
                .fetch_one(pool)
                .await
                .map_err(failed)?;
            let taken = sqlx::query(
                "UPDATE projection_offsets SET epoch = epoch + 1, updated_at = clock_timestamp()
                 WHERE projection = $1 AND epoch = $2
                 RETURNING stream_id, epoch, last_sequence, last_event_id, updated_at",
            )
            .bind(projection)
            .bind(present.get::<i64, _>("epoch"))
            .fetch_optional(pool)
            .await
            .map_err(failed)?;
            if let Some(row) = taken {
                return Self::taken(projection, stream_id, &row);
            }
        }
        Err(Failure::retry(format!(
            "projection {projection} cannot take its offset: other copies of it start again and again"
        )))
    }

    fn taken(
        projection: &'static str,
        stream_id: &str,
        row: &PgRow,
    ) -> Result<(Self, Resume), Failure> {
        let known_stream: String = row.get("stream_id");
        if known_stream != stream_id {
            return Err(Failure::fatal(format!(
                "projection {projection} has read the feed that was made {known_stream}, and the feed now was made \
                 {stream_id}: the stream was lost and made anew. To go on with the new one and make up for what is \
                 missing from the event store, run: chronicle projection adopt-stream {projection}"
            )));
        }
        let last_sequence = unsigned(row.get("last_sequence"));
        let resume = Resume {
            position: last_sequence,
            mark: row
                .get::<Option<Uuid>, _>("last_event_id")
                .map(|id| id.to_string()),
        };
        let fence = Self {
            projection,
            stream_id: known_stream,
            epoch: row.get("epoch"),
            last_sequence,
            written_at: row.get("updated_at"),
        };
        Ok((fence, resume))
    }

    /// Where the offset stands.
    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Moves the offset by compare-and-set, as the first statement of `transaction`; it also locks the row until the
    /// commit. Answers with the fence that is ours once the transaction is committed.
    ///
    /// Nobody else moves an offset whose epoch is ours. If the row is not as we left it, either its epoch is higher (we
    /// are fenced), or an operator has replayed events into the projection ([`replay`](super::replay)), or the database has
    /// lost what it had committed (it was restored, or a replica that lacked the newest commits took over): then nothing
    /// that we remember of it is true, and a new run has to read it again.
    pub(super) async fn advance(
        &self,
        transaction: &mut PgConnection,
        target: Target,
    ) -> Result<Self, Failure> {
        let failed = |error| {
            let message = format!("projection {} cannot move its offset", self.projection);
            read_model::failure(message, error)
        };
        let moved = sqlx::query(
            "UPDATE projection_offsets SET last_sequence = $1, updated_at = clock_timestamp(),
                last_event_id = CASE WHEN last_sequence = $1 THEN COALESCE($2, last_event_id) ELSE $2 END
             WHERE projection = $3 AND stream_id = $4 AND epoch = $5 AND last_sequence = $6 AND updated_at = $7
             RETURNING updated_at",
        )
        .bind(signed_sequence(target.sequence))
        .bind(target.event_id.map(EventId::as_uuid))
        .bind(self.projection)
        .bind(&self.stream_id)
        .bind(self.epoch)
        .bind(signed_sequence(self.last_sequence))
        .bind(self.written_at)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed)?;
        if let Some(row) = moved {
            return Ok(Self {
                last_sequence: target.sequence,
                written_at: row.get("updated_at"),
                ..self.clone()
            });
        }
        let present = sqlx::query("SELECT epoch FROM projection_offsets WHERE projection = $1")
            .bind(self.projection)
            .fetch_optional(transaction)
            .await
            .map_err(failed)?;
        Err(self.displaced(present.map(|row| row.get("epoch"))))
    }

    /// Fails if the row is not as we left it. For times when there is nothing to write: whoever is fenced should say so
    /// without waiting for the next event.
    pub(super) async fn check(&self, pool: &PgPool) -> Result<(), Failure> {
        let row =
            sqlx::query("SELECT epoch, updated_at FROM projection_offsets WHERE projection = $1")
                .bind(self.projection)
                .fetch_optional(pool)
                .await
                .map_err(|error| {
                    let message = format!("projection {} cannot read its offset", self.projection);
                    read_model::failure(message, error)
                })?;
        match row {
            Some(row) if row.get::<OffsetDateTime, _>("updated_at") == self.written_at => Ok(()),
            other => Err(self.displaced(other.map(|row| row.get("epoch")))),
        }
    }

    /// The row is not as we left it; it has this epoch now, if it is there.
    fn displaced(&self, epoch: Option<i64>) -> Failure {
        if epoch.is_some_and(|epoch| epoch <= self.epoch) {
            return Failure::retry(format!(
                "the read model was set back, or events were replayed into it: the offset of projection {} is not as this \
                 projection has left it. It reads it again and makes up for what is missing",
                self.projection
            ));
        }
        Failure::fatal(format!(
            "projection {} is fenced: another copy of it has started, or an operator has moved its offset (our epoch is \
             {}). This one has stopped and has changed nothing; run one copy at a time, or restart this one to take over",
            self.projection, self.epoch
        ))
    }
}

/// Where a projection stands, for whoever looks from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The projection.
    pub projection: String,
    /// Which life of the feed it reads.
    pub stream_id: String,
    /// How often it was started.
    pub epoch: i64,
    /// The last sequence of the feed that it has applied.
    pub last_sequence: u64,
    /// When it moved last, by the database's clock.
    pub updated_at: OffsetDateTime,
}

/// Where each projection stands that has ever run.
pub async fn standings(pool: &PgPool) -> Result<Vec<Standing>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT projection, stream_id, epoch, last_sequence, updated_at FROM projection_offsets",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Standing {
                projection: row.try_get("projection")?,
                stream_id: row.try_get("stream_id")?,
                epoch: row.try_get("epoch")?,
                last_sequence: unsigned(row.try_get("last_sequence")?),
                updated_at: row.try_get("updated_at")?,
            })
        })
        .collect()
}

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
    /// The event that it holds; `None` when it cannot be read.
    pub event_id: Option<EventId>,
    /// Why.
    pub reason: &'a str,
    /// Who says so.
    pub skipped_by: &'a str,
}

/// Records that a projection is to skip a message, and why. It takes effect at the projection's next start. Answers
/// with false when there is no such projection yet.
pub async fn skip(pool: &PgPool, skip: &Skip<'_>) -> Result<bool, sqlx::Error> {
    let skipped = sqlx::query(
        "INSERT INTO projection_skips
            (projection, stream_id, last_sequence, event_id, reason, skipped_by, skipped_at)
         SELECT projection, stream_id, $2, $3, $4, $5, now() FROM projection_offsets WHERE projection = $1
         ON CONFLICT (projection, stream_id, last_sequence)
            DO UPDATE SET event_id = excluded.event_id, reason = excluded.reason",
    )
    .bind(skip.projection)
    .bind(signed_sequence(skip.sequence))
    .bind(skip.event_id.map(EventId::as_uuid))
    .bind(skip.reason)
    .bind(skip.skipped_by)
    .execute(pool)
    .await?;
    Ok(skipped.rows_affected() == 1)
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
    sqlx::query(
        "UPDATE projection_offsets
         SET stream_id = $2, epoch = epoch + 1, last_sequence = 0, last_event_id = NULL, updated_at = now()
         WHERE projection = $1",
    )
    .bind(projection)
    .bind(stream_id)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Adopted::Moved { from })
}
