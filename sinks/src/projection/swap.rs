//! Putting a copy in the place of the live read model, in one transaction, and back again.
//!
//! Readers name tables without their schema, so what a table is called decides what they see: the live tables go into the
//! schema `retired_…`, and the copy's come into the place where readers look. A statement finds the one table or the
//! other, never both or neither: the database locks what it has found, and looks again if it was moved meanwhile.
//!
//! The order of locks: the live offset first, so that a copy of the projection that runs cannot commit any more; then
//! what takes time; the tables last, by short tries, so that readers do not queue up behind a swap that itself waits for
//! a long query.

use std::time::Duration;

use engine::fault;
use serde_json::json;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Row, Transaction};
use store::sqlstate;
use tokio::time::{Instant, sleep};

use super::Definition;
use super::audit::{self, Action, Order};
use super::copies::Error;
use super::offset::unsigned;
use super::retired;
use super::schemas::{
    copy_rights, execute, exists, home, quoted, retired_of, shadow_of, table_in, views_on,
};

/// How long one try to lock the tables may hold readers up.
const LOCK_WITHIN_MS: u32 = 200;
/// For how long it is tried.
const TRY_FOR: Duration = Duration::from_secs(20);
/// How long readers have between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(300);

/// Which copy takes the live model's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Shadow,
    Retired,
}

/// A swap that has begun: nobody can commit to the live model until it is carried out or dropped.
pub struct Swap {
    transaction: Transaction<'static, Postgres>,
    definition: Definition,
    home: String,
    live: Live,
}

/// The live model's offset.
struct Live {
    stream_id: String,
    last_sequence: u64,
    generation: i64,
    /// It was made for this swap: the projection has never run here, and there is nothing to keep.
    is_new: bool,
}

/// What a swap did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swapped {
    /// Where the offset stood.
    pub from_sequence: u64,
    /// Where it stands.
    pub to_sequence: u64,
    /// Whether the model from before is kept.
    pub is_kept: bool,
}

impl Swap {
    /// Locks the live model's offset. A copy of the projection that runs waits from now on.
    pub async fn begin(pool: &PgPool, definition: Definition) -> Result<Self, Error> {
        let mut transaction = pool.begin().await?;
        execute(
            &mut transaction,
            "SET LOCAL statement_timeout = 0".to_owned(),
        )
        .await?;
        let home = home(&mut transaction).await?;
        let made = sqlx::query(
            "INSERT INTO projection_offsets (projection, stream_id, epoch, last_sequence, updated_at, definition)
             VALUES ($1, '', 0, 0, clock_timestamp(), $2) ON CONFLICT (projection) DO NOTHING",
        )
        .bind(definition.name)
        .bind(definition.version)
        .execute(&mut *transaction)
        .await?;
        let row = offset(&mut transaction, &home, definition.name).await?;
        let live = Live {
            stream_id: row.try_get("stream_id")?,
            last_sequence: unsigned(row.try_get("last_sequence")?),
            generation: row.try_get("generation")?,
            is_new: made.rows_affected() == 1,
        };
        Ok(Self {
            transaction,
            definition,
            home,
            live,
        })
    }

    /// Up to which sequence of this feed the live model's readers have seen everything: a copy should have come as far.
    pub fn seen_up_to(&self, stream_id: &str) -> u64 {
        if self.live.stream_id == stream_id {
            self.live.last_sequence
        } else {
            0
        }
    }

    /// Puts the copy that was built in the live model's place. What was live is kept until it is pruned; what was kept
    /// before that goes now, if `prune_older` says so.
    pub async fn take_shadow(self, order: &Order<'_>, prune_older: bool) -> Result<Swapped, Error> {
        self.take(From::Shadow, order, prune_older).await
    }

    async fn take(
        mut self,
        from: From,
        order: &Order<'_>,
        prune_older: bool,
    ) -> Result<Swapped, Error> {
        let projection = self.definition.name;
        let (source, action) = match from {
            From::Shadow => (shadow_of(projection), Action::Swapped),
            From::Retired => (retired_of(projection), Action::RolledBack),
        };
        let leaving = format!("leaving_{projection}");
        let retired = retired_of(projection);
        self.check(from, &source).await?;
        if from == From::Shadow {
            self.make_room(&retired, prune_older).await?;
        }
        let copy = offset(&mut self.transaction, &source, projection).await?;
        self.keep_bookkeeping(&leaving).await?;
        self.take_versions(&source).await?;
        let to_sequence = self.take_offset(from, &copy).await?;
        for table in self.definition.tables {
            copy_rights(&mut self.transaction, &self.home, &source, table).await?;
        }
        self.lock_tables(&source).await?;
        for table in self.definition.tables {
            for (schema, into) in [(&self.home, &leaving), (&source, &self.home)] {
                let sql = format!(
                    "ALTER TABLE {} SET SCHEMA {}",
                    table_in(schema, table),
                    quoted(into)
                );
                execute(&mut self.transaction, sql).await?;
            }
        }
        let swapped = Swapped {
            from_sequence: self.live.last_sequence,
            to_sequence,
            is_kept: !self.live.is_new,
        };
        let last = if swapped.is_kept {
            format!(
                "ALTER SCHEMA {} RENAME TO {}",
                quoted(&leaving),
                quoted(&retired)
            )
        } else {
            format!("DROP SCHEMA {} CASCADE", quoted(&leaving))
        };
        for sql in [format!("DROP SCHEMA {} CASCADE", quoted(&source)), last] {
            execute(&mut self.transaction, sql).await?;
        }
        self.record(action, order, &swapped, &copy).await?;
        fault::point("before_swap_commit");
        self.transaction.commit().await?;
        fault::point("after_swap");
        Ok(swapped)
    }

    /// Whether the copy may take the live model's place at all.
    async fn check(&mut self, from: From, source: &str) -> Result<(), Error> {
        let projection = self.definition.name;
        if !exists(&mut self.transaction, source).await? {
            return Err(Error::Refused(match from {
                From::Shadow => format!("there is no copy of {projection} to be swapped in"),
                From::Retired => format!(
                    "there is no earlier model of {projection} to go back to: none was swapped out since the last prune"
                ),
            }));
        }
        let copy = offset(&mut self.transaction, source, projection).await?;
        let version: i32 = copy.try_get("definition")?;
        if version != self.definition.version {
            return Err(Error::Refused(format!(
                "the copy of {projection} was built by definition {version}, and this program makes {}: do it with the \
                 program that makes {version}",
                self.definition.version
            )));
        }
        for table in self.definition.tables {
            let views = views_on(&mut self.transaction, &self.home, table).await?;
            if !views.is_empty() {
                return Err(Error::Refused(format!(
                    "views read the table {table} ({}), and would stay with the one that leaves: remove them, and make them \
                     anew afterwards",
                    views.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// There is one earlier model at most.
    async fn make_room(&mut self, retired: &str, prune_older: bool) -> Result<(), Error> {
        if self.live.is_new || !exists(&mut self.transaction, retired).await? {
            return Ok(());
        }
        if !prune_older {
            return Err(Error::Refused(retired::still_kept(self.definition.name)));
        }
        retired::remove(&mut self.transaction, self.definition, retired).await
    }

    /// What is live keeps its offset and its versions, so that it can come back.
    async fn keep_bookkeeping(&mut self, leaving: &str) -> Result<(), Error> {
        let projection = self.definition.name;
        execute(
            &mut self.transaction,
            format!("CREATE SCHEMA {}", quoted(leaving)),
        )
        .await?;
        for table in ["projection_offsets", "projection_versions"] {
            let (original, copy) = (table_in(&self.home, table), table_in(leaving, table));
            execute(
                &mut self.transaction,
                format!("CREATE TABLE {copy} (LIKE {original} INCLUDING ALL)"),
            )
            .await?;
            let sql = format!("INSERT INTO {copy} SELECT * FROM {original} WHERE projection = $1");
            sqlx::query(AssertSqlSafe(sql))
                .bind(projection)
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }

    /// The live versions become those of the copy. Most are the same already.
    async fn take_versions(&mut self, source: &str) -> Result<(), Error> {
        let (live, copy) = (
            table_in(&self.home, "projection_versions"),
            table_in(source, "projection_versions"),
        );
        for sql in [
            format!(
                "DELETE FROM {live} AS live WHERE projection = $1 AND NOT EXISTS (
                    SELECT 1 FROM {copy} AS copy WHERE copy.projection = $1 AND copy.account_id = live.account_id)"
            ),
            format!(
                "INSERT INTO {live} AS live SELECT copy.* FROM {copy} AS copy WHERE copy.projection = $1
                 ON CONFLICT (projection, account_id) DO UPDATE SET version = excluded.version
                    WHERE live.version <> excluded.version"
            ),
        ] {
            sqlx::query(AssertSqlSafe(sql))
                .bind(self.definition.name)
                .execute(&mut *self.transaction)
                .await?;
        }
        Ok(())
    }

    /// The live offset becomes that of the copy; a pause stays. Answers with the sequence.
    async fn take_offset(&mut self, from: From, copy: &PgRow) -> Result<u64, Error> {
        let stream_id: String = copy.try_get("stream_id")?;
        let last_sequence: i64 = copy.try_get("last_sequence")?;
        // An earlier model may have read a feed that is gone. It reads the present one from its beginning, and makes up for
        // the rest from the event store.
        let is_of_another = from == From::Retired && stream_id != self.live.stream_id;
        let (stream_id, last_sequence, last_event_id) = if is_of_another {
            (self.live.stream_id.clone(), 0, None)
        } else {
            (stream_id, last_sequence, copy.try_get("last_event_id")?)
        };
        sqlx::query(
            "UPDATE projection_offsets SET stream_id = $2, epoch = GREATEST(epoch, $3) + 1, generation = generation + 1,
                last_sequence = $4, last_event_id = $5, definition = $6, updated_at = clock_timestamp()
             WHERE projection = $1",
        )
        .bind(self.definition.name)
        .bind(stream_id)
        .bind(copy.try_get::<i64, _>("epoch")?)
        .bind(last_sequence)
        .bind(last_event_id.map(|id: uuid::Uuid| id))
        .bind(self.definition.version)
        .execute(&mut *self.transaction)
        .await?;
        Ok(unsigned(last_sequence))
    }

    /// Locks the tables of both sides, by short tries.
    async fn lock_tables(&mut self, source: &str) -> Result<(), Error> {
        let names: Vec<String> = [&self.home, source]
            .into_iter()
            .flat_map(|schema| {
                let tables = self.definition.tables.iter();
                tables.map(move |table| table_in(schema, table))
            })
            .collect();
        let lock = format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", names.join(", "));
        let began = Instant::now();
        loop {
            let sql =
                format!("SAVEPOINT unlocked; SET LOCAL lock_timeout = {LOCK_WITHIN_MS}; {lock}");
            match execute(&mut self.transaction, sql).await {
                Ok(()) => return Ok(()),
                Err(error)
                    if sqlstate::is_lock_not_available(&error) && began.elapsed() < TRY_FOR =>
                {
                    let undo = "ROLLBACK TO SAVEPOINT unlocked".to_owned();
                    execute(&mut self.transaction, undo).await?;
                    sleep(BETWEEN_TRIES).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn record(
        &mut self,
        action: Action,
        order: &Order<'_>,
        swapped: &Swapped,
        copy: &PgRow,
    ) -> Result<(), Error> {
        let details = json!({
            "from_sequence": swapped.from_sequence,
            "to_sequence": swapped.to_sequence,
            "generation": self.live.generation + 1,
            "definition": copy.try_get::<i32, _>("definition")?,
            "kept": swapped.is_kept,
        });
        let projection = self.definition.name;
        audit::record(&mut self.transaction, projection, action, order, details).await?;
        Ok(())
    }
}

/// The model from before the last swap becomes live again, and the live one takes its place: done twice, all is as before.
/// What has happened since is applied by whoever runs the projection.
pub async fn roll_back(
    pool: &PgPool,
    definition: Definition,
    order: &Order<'_>,
) -> Result<Swapped, Error> {
    let swap = Swap::begin(pool, definition).await?;
    swap.take(From::Retired, order, false).await
}

/// The offset of a copy or of the live model, locked.
pub(super) async fn offset(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
) -> Result<PgRow, sqlx::Error> {
    let sql = format!(
        "SELECT stream_id, epoch, generation, last_sequence, last_event_id, definition FROM {}
         WHERE projection = $1 FOR UPDATE",
        table_in(schema, "projection_offsets")
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(projection)
        .fetch_one(connection)
        .await
}
