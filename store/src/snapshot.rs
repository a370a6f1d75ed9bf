//! One consistent look at everything: what `chronicle verify` reads.

use ledger::{AccountId, CommandId, Event, Version};
use sqlx::postgres::Postgres;
use sqlx::{AssertSqlSafe, Row, Transaction};
use uuid::Uuid;

use crate::append::signed;
use crate::read::StoredCommand;
use crate::rows::{self, EVENT_COLUMNS};
use crate::{Error, EventStore};

/// The event store as it is at one instant, whatever is written meanwhile. Reads in pages, so memory stays flat.
pub struct Snapshot {
    pub(crate) transaction: Transaction<'static, Postgres>,
}

impl EventStore {
    /// Begins a snapshot. REPEATABLE READ on PostgreSQL; CockroachDB makes it SERIALIZABLE.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let mut transaction = self.bounded(self.pool.begin()).await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            .execute(&mut *transaction)
            .await?;
        Ok(Snapshot { transaction })
    }

    /// What the connected user may do to the event store beyond INSERT and SELECT: the names of the rights, as in
    /// `UPDATE on events`. Empty for the application's role.
    pub async fn excess_privileges(&self) -> Result<Vec<String>, Error> {
        let mut excess = Vec::new();
        for table in ["commands", "events"] {
            for privilege in ["UPDATE", "DELETE"] {
                let statement = sqlx::query("SELECT has_table_privilege($1, $2) AS held")
                    .bind(table)
                    .bind(privilege)
                    .fetch_one(&self.pool);
                if self.bounded(statement).await?.try_get::<bool, _>("held")? {
                    excess.push(format!("{privilege} on {table}"));
                }
            }
        }
        Ok(excess)
    }
}

impl Snapshot {
    /// At most `limit` events behind the given one, by account and version.
    pub async fn events(
        &mut self,
        after: Option<(&AccountId, Version)>,
        limit: u32,
    ) -> Result<Vec<Event>, Error> {
        let (account_id, version) = after.map_or(("", 0), |(account_id, version)| {
            (account_id.as_str(), signed(version))
        });
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM events WHERE (account_id, version) > ($1, $2) ORDER BY account_id, version LIMIT $3"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(account_id)
            .bind(version)
            .bind(i64::from(limit))
            .fetch_all(&mut *self.transaction)
            .await?
            .iter()
            .map(rows::event)
            .collect()
    }

    /// At most `limit` commands behind the given one, by id.
    pub async fn commands(
        &mut self,
        after: Option<CommandId>,
        limit: u32,
    ) -> Result<Vec<StoredCommand>, Error> {
        let behind = if after.is_some() { ">" } else { ">=" };
        let sql = format!(
            "SELECT command_id, fingerprint, outcome::text AS outcome, recorded_at FROM commands \
             WHERE command_id {behind} $1 ORDER BY command_id LIMIT $2"
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(after.map_or(Uuid::nil(), CommandId::as_uuid))
            .bind(i64::from(limit))
            .fetch_all(&mut *self.transaction)
            .await?
            .iter()
            .map(rows::stored_command)
            .collect()
    }

    /// The outcomes of those of `command_ids` that have one.
    pub async fn outcomes(
        &mut self,
        command_ids: &[CommandId],
    ) -> Result<Vec<StoredCommand>, Error> {
        let ids: Vec<Uuid> = command_ids.iter().map(|id| id.as_uuid()).collect();
        sqlx::query(
            "SELECT command_id, fingerprint, outcome::text AS outcome, recorded_at FROM commands \
             WHERE command_id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(&mut *self.transaction)
        .await?
        .iter()
        .map(rows::stored_command)
        .collect()
    }

    /// Ends the snapshot.
    pub async fn close(self) -> Result<(), Error> {
        self.transaction.rollback().await?;
        Ok(())
    }
}
