//! One consistent look at everything: what `chronicle verify` reads.

use ledger::{AccountId, CommandId, Event, Version};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::append::signed;
use crate::connect::Lease;
use crate::read::StoredCommand;
use crate::rows::{self, EVENT_COLUMNS};
use crate::{Error, EventStore};

/// The event store as it is at one instant, whatever is written meanwhile. Reads in pages, so memory stays flat.
pub struct Snapshot {
    /// In a transaction. Dropped, it is closed, which ends the transaction, too.
    pub(crate) lease: Lease,
}

impl EventStore {
    /// Begins a snapshot: of the instant at which this returns, or shortly before.
    ///
    /// REPEATABLE READ on PostgreSQL. CockroachDB would make that SERIALIZABLE, and refuse to go on wherever a row was
    /// written within half a second of the beginning, as the clocks of its nodes may be that far apart; it is told to
    /// look at an instant that has passed.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let mut lease = self.lease().await?;
        let version = lease.fetch_one(sqlx::query("SELECT version()")).await?;
        if version.try_get::<&str, _>(0)?.contains("CockroachDB") {
            let now = "SELECT cluster_logical_timestamp()::text";
            let now: String = lease.fetch_one(sqlx::query(now)).await?.try_get(0)?;
            let begin = format!("BEGIN READ ONLY, AS OF SYSTEM TIME '{now}'");
            lease.execute(AssertSqlSafe(begin)).await?;
        } else {
            // PostgreSQL chooses the instant at the first query of the transaction.
            let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SELECT 1";
            lease.execute(begin).await?;
        }
        Ok(Snapshot { lease })
    }

    /// What the connected user may do to the event store beyond INSERT and SELECT: the names of the rights, as in
    /// `UPDATE on events`. Empty for the application's role.
    pub async fn excess_privileges(&self) -> Result<Vec<String>, Error> {
        let statement = sqlx::query(
            "SELECT wanted.privilege || ' on ' || wanted.table_name AS excess
             FROM (VALUES ('commands', 'UPDATE'), ('commands', 'DELETE'), ('commands', 'TRUNCATE'),
                ('events', 'UPDATE'), ('events', 'DELETE'), ('events', 'TRUNCATE')) AS wanted(table_name, privilege)
             WHERE has_table_privilege(wanted.table_name, wanted.privilege)
             UNION ALL
             SELECT 'CREATE in schema ' || nspname FROM pg_namespace
             WHERE nspname = current_schema() AND has_schema_privilege(nspname, 'CREATE')
             ORDER BY 1",
        );
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(|row| Ok(row.try_get("excess")?)).collect()
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
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(account_id)
            .bind(version)
            .bind(i64::from(limit));
        let rows = self.lease.fetch_all(statement).await?;
        rows.iter().map(rows::event).collect()
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
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(after.map_or(Uuid::nil(), CommandId::as_uuid))
            .bind(i64::from(limit));
        let rows = self.lease.fetch_all(statement).await?;
        rows.iter().map(rows::stored_command).collect()
    }

    /// The outcomes of those of `command_ids` that have one.
    pub async fn outcomes(
        &mut self,
        command_ids: &[CommandId],
    ) -> Result<Vec<StoredCommand>, Error> {
        let ids: Vec<Uuid> = command_ids.iter().map(|id| id.as_uuid()).collect();
        let statement = sqlx::query(
            "SELECT command_id, fingerprint, outcome::text AS outcome, recorded_at FROM commands \
             WHERE command_id = ANY($1)",
        )
        .bind(ids);
        let rows = self.lease.fetch_all(statement).await?;
        rows.iter().map(rows::stored_command).collect()
    }

    /// Ends the snapshot.
    pub async fn close(mut self) -> Result<(), Error> {
        self.lease.execute("ROLLBACK").await?;
        self.lease.give_back();
        Ok(())
    }
}
