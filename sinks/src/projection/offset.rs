//! A projection's fence: the row of `projection_offsets` that each of its transactions moves.

use engine::{Failure, Resume};
use ledger::{AccountId, Event, EventId, Version};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, PgPool, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Definition;
use super::guard::Applied;
use super::standing::Pause;
use crate::read_model;

/// A version as the database keeps it.
pub(super) fn signed(version: Version) -> i64 {
    i64::try_from(version.get()).expect("an account has fewer than 2^63 events")
}

/// A sequence as the database keeps it.
pub(super) fn signed_sequence(sequence: u64) -> i64 {
    i64::try_from(sequence).expect("a stream has fewer than 2^63 messages")
}

pub(super) fn unsigned(sequence: i64) -> u64 {
    u64::try_from(sequence).unwrap_or_default()
}

/// The right to move a projection's offset, until somebody else takes it.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    projection: &'static str,
    stream_id: String,
    epoch: i64,
    /// How often an operator has moved the offset.
    generation: i64,
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
        definition: Definition,
        stream_id: &str,
    ) -> Result<(Self, Resume), Failure> {
        const ATTEMPTS_MAX: u32 = 10;
        let projection = definition.name;
        let failed = |error| {
            read_model::failure(
                format!("projection {projection} cannot take its offset"),
                error,
            )
        };
        sqlx::query(
            "INSERT INTO projection_offsets (projection, stream_id, epoch, last_sequence, updated_at, definition)
             VALUES ($1, $2, 0, 0, now(), $3) ON CONFLICT (projection) DO NOTHING",
        )
        .bind(projection)
        .bind(stream_id)
        .bind(definition.version)
        .execute(pool)
        .await
        .map_err(failed)?;
        for _ in 0..ATTEMPTS_MAX {
            let present = Present::read(pool, projection).await.map_err(failed)?;
            let Some(present) = present else {
                break;
            };
            if let Some(pause) = &present.pause {
                return Err(pause.rest(projection));
            }
            let taken = sqlx::query(
                "UPDATE projection_offsets SET epoch = epoch + 1, updated_at = clock_timestamp()
                 WHERE projection = $1 AND epoch = $2 AND definition = $3
                 RETURNING stream_id, epoch, generation, last_sequence, last_event_id, updated_at",
            )
            .bind(projection)
            .bind(present.epoch)
            .bind(definition.version)
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
            generation: row.get("generation"),
            last_sequence,
            written_at: row.get("updated_at"),
        };
        Ok((fence, resume))
    }

    /// Where the offset stands.
    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Moves the offset by compare-and-set, as the first statement of `transaction`, and notes the versions that accounts
    /// are applied up to with it; it also locks the row until the commit. Answers with the fence that is ours once the
    /// transaction is committed. In one statement, for a way to the database costs more than a row there.
    ///
    /// Nobody else moves an offset whose epoch is ours. If the row is not as we left it, either an operator has moved it
    /// (its generation is another), or its epoch is higher (we are fenced), or an operator has replayed events into the
    /// projection ([`replay`](super::replay)), or the database has lost what it had committed (it was restored, or a replica
    /// that lacked the newest commits took over): then nothing that we remember of it is true, and a new run has to read it
    /// again.
    pub(super) async fn advance(
        &self,
        transaction: &mut PgConnection,
        target: Target,
        versions: &Versions<'_>,
    ) -> Result<Self, Failure> {
        let failed = |error| {
            let message = format!("projection {} cannot move its offset", self.projection);
            read_model::failure(message, error)
        };
        let moved = sqlx::query(
            "WITH moved AS (
                UPDATE projection_offsets SET last_sequence = $1, updated_at = clock_timestamp(),
                    last_event_id = CASE WHEN last_sequence = $1 THEN COALESCE($2, last_event_id) ELSE $2 END
                WHERE projection = $3 AND stream_id = $4 AND epoch = $5 AND last_sequence = $6 AND updated_at = $7
                    AND paused_at IS NULL
                RETURNING updated_at
            ), noted AS (
                INSERT INTO projection_versions (projection, account_id, version)
                SELECT $3, u.account_id, u.version FROM unnest($8::text[], $9::bigint[]) AS u(account_id, version)
                WHERE EXISTS (SELECT 1 FROM moved)
                ON CONFLICT (projection, account_id) DO UPDATE SET version = excluded.version
            )
            SELECT updated_at FROM moved",
        )
        .bind(signed_sequence(target.sequence))
        .bind(target.event_id.map(EventId::as_uuid))
        .bind(self.projection)
        .bind(&self.stream_id)
        .bind(self.epoch)
        .bind(signed_sequence(self.last_sequence))
        .bind(self.written_at)
        .bind(&versions.account_id)
        .bind(&versions.version)
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
        let present = Present::read(transaction, self.projection).await;
        Err(self.displaced(present.map_err(failed)?.as_ref()))
    }

    /// Fails if the row is not as we left it. For times when there is nothing to write: whoever is fenced should say so
    /// without waiting for the next event.
    pub(super) async fn check(&self, pool: &PgPool) -> Result<(), Failure> {
        let present = Present::read(pool, self.projection)
            .await
            .map_err(|error| {
                let message = format!("projection {} cannot read its offset", self.projection);
                read_model::failure(message, error)
            })?;
        match present {
            Some(Present {
                updated_at,
                pause: None,
                ..
            }) if updated_at == self.written_at => Ok(()),
            other => Err(self.displaced(other.as_ref())),
        }
    }

    /// The row is not as we left it; this is how it is now, if it is there.
    fn displaced(&self, present: Option<&Present>) -> Failure {
        let projection = self.projection;
        if let Some(present) = present {
            if let Some(pause) = &present.pause {
                return pause.rest(projection);
            }
            if present.generation > self.generation {
                return Failure::retry(format!(
                    "an operator has moved projection {projection} (see `chronicle projection log {projection}`): it goes on \
                     from there"
                ));
            }
            if present.epoch <= self.epoch {
                return Failure::retry(format!(
                    "the read model was set back, or events were replayed into it: the offset of projection {projection} is \
                     not as this projection has left it. It reads it again and makes up for what is missing"
                ));
            }
        }
        Failure::fatal(format!(
            "projection {projection} is fenced: another copy of it has started (our epoch is {}). This one has stopped and \
             has changed nothing; run one copy at a time, or restart this one to take over",
            self.epoch
        ))
    }
}

/// Up to where accounts are applied, as columns.
#[derive(Debug, Default)]
pub(super) struct Versions<'a> {
    account_id: Vec<&'a str>,
    version: Vec<i64>,
}

impl<'a> Versions<'a> {
    /// Of the accounts of `events`, each once.
    pub(super) fn of(events: &[&'a Event], applied: &Applied) -> Self {
        let mut touched: Vec<&AccountId> = events.iter().map(|event| &event.account_id).collect();
        touched.sort_unstable();
        touched.dedup();
        let version = |account_id: &AccountId| applied.get(account_id).copied().map_or(0, signed);
        Self {
            version: touched.iter().copied().map(version).collect(),
            account_id: touched.into_iter().map(AccountId::as_str).collect(),
        }
    }

    /// Notes them by a statement of its own.
    pub(super) async fn note(
        &self,
        transaction: &mut PgConnection,
        projection: &str,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO projection_versions (projection, account_id, version)
             SELECT $1, u.account_id, u.version FROM unnest($2::text[], $3::bigint[]) AS u(account_id, version)
             ON CONFLICT (projection, account_id) DO UPDATE SET version = excluded.version",
        )
        .bind(projection)
        .bind(&self.account_id)
        .bind(&self.version)
        .execute(transaction)
        .await
        .map(drop)
    }
}

/// The row of an offset as it is now.
struct Present {
    epoch: i64,
    generation: i64,
    updated_at: OffsetDateTime,
    pause: Option<Pause>,
}

impl Present {
    async fn read(
        executor: impl PgExecutor<'_>,
        projection: &str,
    ) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT epoch, generation, updated_at, paused_at, paused_by, pause_reason FROM projection_offsets
             WHERE projection = $1",
        )
        .bind(projection)
        .fetch_optional(executor)
        .await?;
        row.map(|row| {
            Ok(Self {
                epoch: row.try_get("epoch")?,
                generation: row.try_get("generation")?,
                updated_at: row.try_get("updated_at")?,
                pause: Pause::of(&row)?,
            })
        })
        .transpose()
    }
}
