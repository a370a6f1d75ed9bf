//! Reading everything from its beginning, page by page: what `chronicle replay` takes from here.
//!
//! Each page is read by itself, so that no transaction stays open for as long as a slow replay takes. Rows never change,
//! so pages fit together; what is committed meanwhile may or may not be in them.

use ledger::{AccountId, CommandId, Event, Timestamp, Version};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::append::signed;
use crate::rows::{self, EVENT_COLUMNS};
use crate::{Error, EventStore, Snapshot};

/// Which commands, by when they were decided and by the account that they were sent to.
#[derive(Debug, Clone)]
pub struct CommandRange {
    /// From then on.
    pub from: Timestamp,
    /// Until then, this instant included.
    pub through: Timestamp,
    /// Only those of this account.
    pub account_id: Option<AccountId>,
}

/// Where a command stands among all: by when it was decided, and by its id among those of the same microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandPlace {
    /// When it was decided.
    pub recorded_at: Timestamp,
    /// The command.
    pub command_id: CommandId,
}

/// How much some events are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// How many were wanted.
    pub events: u64,
    /// How many bytes those have of what differs from event to event: account, type, actor, amounts, data. (The database
    /// writes its data a little longer than the wire does.)
    pub bytes: u64,
    /// The last one that was looked at.
    pub last: (AccountId, Version),
}

const WITHIN: &str =
    "recorded_at >= $1 AND recorded_at <= $2 AND ($3::text IS NULL OR account_id = $3)";

impl EventStore {
    /// At most `limit` events behind the given one, by account and version.
    pub async fn events_behind(
        &self,
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
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(rows::event).collect()
    }

    /// Measures at most `limit` events behind the given one, by account and version, without bringing them: those that were
    /// recorded at `since` or later. `None` when there are no more.
    pub async fn measure_behind(
        &self,
        after: Option<(&AccountId, Version)>,
        limit: u32,
        since: Option<Timestamp>,
    ) -> Result<Option<Measured>, Error> {
        let (account_id, version) = after.map_or(("", 0), |(account_id, version)| {
            (account_id.as_str(), signed(version))
        });
        let statement = sqlx::query(
            "WITH page AS (
                SELECT account_id, version, $4::timestamptz IS NULL OR recorded_at >= $4 AS is_wanted,
                    2 * octet_length(account_id) + 2 * octet_length(event_type) + octet_length(data::text)
                        + COALESCE(octet_length(actor), 0) + octet_length(balance_after::text)
                        + COALESCE(octet_length(held_after::text), 0) AS bytes
                FROM events WHERE (account_id, version) > ($1, $2) ORDER BY account_id, version LIMIT $3
             )
             SELECT account_id, version, (SELECT count(*) FROM page WHERE is_wanted) AS events,
                (SELECT COALESCE(sum(bytes), 0)::BIGINT FROM page WHERE is_wanted) AS bytes
             FROM page ORDER BY account_id DESC, version DESC LIMIT 1",
        )
        .bind(account_id)
        .bind(version)
        .bind(i64::from(limit))
        .bind(since.map(Timestamp::to_date_time));
        let rows = self.fetch_all(statement).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        Ok(Some(Measured {
            events: row.try_get::<i64, _>("events")?.unsigned_abs(),
            bytes: row.try_get::<i64, _>("bytes")?.unsigned_abs(),
            last: (rows::account_id(row)?, rows::version(row, "version")?),
        }))
    }

    /// How many events there are. Reads an index from end to end.
    pub async fn event_count(&self) -> Result<u64, Error> {
        let row = self
            .fetch_one(sqlx::query("SELECT count(*) AS events FROM events"))
            .await?;
        Ok(u64::try_from(row.try_get::<i64, _>("events")?).unwrap_or_default())
    }

    /// How many commands there are within `range`. Reads the whole table.
    pub async fn command_count(&self, range: &CommandRange) -> Result<u64, Error> {
        let mut snapshot = self.snapshot().await?;
        snapshot.read_the_table().await?;
        let sql = format!("SELECT count(*) AS commands FROM commands WHERE {WITHIN}");
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(range.from.to_date_time())
            .bind(range.through.to_date_time())
            .bind(range.account_id.as_ref().map(AccountId::as_str));
        let row = snapshot.lease.fetch_one(statement).await?;
        snapshot.close().await?;
        Ok(u64::try_from(row.try_get::<i64, _>("commands")?).unwrap_or_default())
    }

    /// At most `limit` places of commands within `range`, in order, behind the given one.
    ///
    /// The table has no index by time, for every append would pay for it (and on CockroachDB all of them at one place): each
    /// call reads the whole table. So ask for many at a time, and for their bodies with
    /// [`command_rows_of`](Self::command_rows_of).
    pub async fn command_places(
        &self,
        range: &CommandRange,
        behind: Option<CommandPlace>,
        limit: u32,
    ) -> Result<Vec<CommandPlace>, Error> {
        let mut snapshot = self.snapshot().await?;
        snapshot.read_the_table().await?;
        let behind_it = if behind.is_some() { ">" } else { ">=" };
        let sql = format!(
            "SELECT command_id, recorded_at FROM commands
             WHERE {WITHIN} AND (recorded_at, command_id) {behind_it} ($4, $5)
             ORDER BY recorded_at, command_id LIMIT $6"
        );
        let behind = behind.unwrap_or(CommandPlace {
            recorded_at: range.from,
            command_id: Uuid::nil().into(),
        });
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(range.from.to_date_time())
            .bind(range.through.to_date_time())
            .bind(range.account_id.as_ref().map(AccountId::as_str))
            .bind(behind.recorded_at.to_date_time())
            .bind(behind.command_id.as_uuid())
            .bind(i64::from(limit));
        let rows = snapshot.lease.fetch_all(statement).await?;
        snapshot.close().await?;
        let place = |row: &sqlx::postgres::PgRow| {
            let command_id: Uuid = row.try_get("command_id")?;
            let recorded_at =
                rows::instant(row, "recorded_at").map_err(|message| Error::UnreadableCommand {
                    command_id,
                    message,
                })?;
            Ok(CommandPlace {
                recorded_at,
                command_id: command_id.into(),
            })
        };
        rows.iter().map(place).collect()
    }
}

impl Snapshot {
    /// Lets PostgreSQL read a table from end to end, which is off everywhere else (see `connect`): until the end of this
    /// transaction. Otherwise it would walk over the primary key, and from there to each row.
    async fn read_the_table(&mut self) -> Result<(), Error> {
        let setting =
            "SELECT set_config('enable_seqscan', 'on', true) WHERE version() LIKE 'PostgreSQL%'";
        self.lease
            .fetch_optional(sqlx::query(setting))
            .await
            .map(drop)
    }
}
