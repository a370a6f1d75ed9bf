//! Putting a copy in the place of the live read model, in one transaction, and back again.
//!
//! Readers name tables without their schema, so what a table is called decides what they see: the live tables go into the
//! schema `retired_…`, and the copy's come into the place where readers look. A statement finds the one table or the
//! other, never both or neither: the database locks what it has found, and looks again if it was moved meanwhile.
//!
//! The order of locks: the live offset first, so that a copy of the projection that runs cannot commit any more; then
//! what takes time; the tables last, by short tries, so that readers do not queue up behind a swap that itself waits for
//! a long query. Under these locks the shapes of both are compared, and what is bound to the tables is looked for: no
//! migration comes between that and the commit.

use engine::fault;
use serde_json::json;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{Postgres, Row, Transaction};

use super::Definition;
use super::audit::{self, Action, Order};
use super::bookkeeping::offset;
use super::copies::Error;
use super::locks::lock_tables;
use super::obstacles::{BOOKKEEPING, bound, room, shape_of_retired, shape_of_shadow};
use super::offset::unsigned;
use super::rights::{copy_owner, copy_rights, copy_settings};
use super::schemas::{Home, execute, exists, quoted, set_schema, table_in};
use super::shapes::{Compared, missing_indexes};
use super::{bookkeeping, retired};

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
    home: Home,
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
    /// The statements that make the indexes which the model from before has and the live one now lacks: after a rollback
    /// over a migration that made some.
    pub lacking_indexes: Vec<String>,
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
        let home = Home::of(&mut transaction).await?;
        let made = sqlx::query(
            "INSERT INTO projection_offsets (projection, stream_id, epoch, last_sequence, updated_at, definition)
             VALUES ($1, '', 0, 0, clock_timestamp(), $2) ON CONFLICT (projection) DO NOTHING",
        )
        .bind(definition.name)
        .bind(definition.version)
        .execute(&mut *transaction)
        .await?;
        let row = offset(&mut transaction, home.name(), definition.name).await?;
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
            From::Shadow => (self.home.shadow_of(projection)?, Action::Swapped),
            From::Retired => (self.home.retired_of(projection)?, Action::RolledBack),
        };
        let leaving = self.home.leaving_of(projection)?;
        let retired = self.home.retired_of(projection)?;
        self.check(from, &source).await?;
        let earlier = self.look_for_obstacles(from, prune_older).await?;
        let copy = offset(&mut self.transaction, &source, projection).await?;
        let (transaction, home) = (&mut self.transaction, self.home.name());
        execute(transaction, format!("CREATE SCHEMA {}", quoted(&leaving))).await?;
        bookkeeping::keep_offset(transaction, projection, home, &leaving).await?;
        bookkeeping::exchange_versions(transaction, projection, home, &source, &leaving).await?;
        let to_sequence = self.take_offset(from, &copy).await?;
        self.lock(&source, earlier.as_deref()).await?;
        if let Some(earlier) = self.look_for_obstacles(from, prune_older).await? {
            retired::remove(&mut self.transaction, &earlier).await?;
        }
        let lacking_indexes = self.move_tables(&source, &leaving).await?;
        let swapped = Swapped {
            from_sequence: self.live.last_sequence,
            to_sequence,
            is_kept: !self.live.is_new,
            lacking_indexes,
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
        Ok(())
    }

    /// Refuses what is in the way as things are. Answers with the schema of an earlier model that has to be removed.
    async fn look_for_obstacles(
        &mut self,
        from: From,
        prune_older: bool,
    ) -> Result<Option<String>, Error> {
        let (transaction, home) = (&mut self.transaction, &self.home);
        bound(transaction, home, self.definition).await?;
        match from {
            From::Shadow => {
                shape_of_shadow(transaction, home, self.definition, Compared::All).await?;
            }
            From::Retired => shape_of_retired(transaction, home, self.definition).await?,
        }
        if from == From::Retired || self.live.is_new {
            return Ok(None);
        }
        room(transaction, home, self.definition, prune_older).await
    }

    /// Locks the tables of both sides, with those that go away: in the copy's schema, and of an earlier model.
    async fn lock(&mut self, source: &str, earlier: Option<&str>) -> Result<(), Error> {
        let own = self.definition.tables;
        let mut tables: Vec<String> = Vec::new();
        tables.extend(own.iter().map(|table| table_in(self.home.name(), table)));
        for schema in [Some(source), earlier].into_iter().flatten() {
            let all = own.iter().chain(&BOOKKEEPING);
            tables.extend(all.map(|table| table_in(schema, table)));
        }
        lock_tables(&mut self.transaction, self.definition.name, &tables).await
    }

    /// The live tables go, and the copy's come into their place, as much like them as they can be. Answers with the
    /// statements that make the indexes which they lack.
    async fn move_tables(&mut self, source: &str, leaving: &str) -> Result<Vec<String>, Error> {
        let (transaction, home) = (&mut self.transaction, self.home.name());
        let mut lacking = Vec::new();
        for table in self.definition.tables {
            copy_settings(transaction, home, source, table).await?;
            for (schema, into) in [(home, leaving), (source, home)] {
                set_schema(transaction, schema, table, into).await?;
            }
            copy_owner(transaction, leaving, home, table).await?;
            copy_rights(transaction, leaving, home, table).await?;
            lacking.extend(missing_indexes(transaction, leaving, home, table).await?);
        }
        // These have been exchanged with the live ones.
        set_schema(transaction, source, "projection_versions", leaving).await?;
        Ok(lacking)
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
