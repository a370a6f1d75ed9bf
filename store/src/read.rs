//! Reading: accounts, histories, outcomes. Every statement here costs the same however long the histories are.

use ledger::{
    Account, AccountId, Command, CommandId, Event, EventReference, Hash, Outcome, Timestamp,
    Version,
};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::append::signed;
use crate::rows::{self, EVENT_COLUMNS};
use crate::{Error, EventStore};

/// A command that has an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCommand {
    /// What became of it.
    pub outcome: Outcome,
    /// Tells whether another command is the same one.
    pub fingerprint: Hash,
    /// When it was decided.
    pub recorded_at: Timestamp,
}

/// How far an account has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The account.
    pub account_id: AccountId,
    /// Its newest version.
    pub version: Version,
}

/// A head row and, by one step on the primary key, the newest profile.
macro_rules! account_statement {
    ($condition:literal, $from:literal, $order:literal) => {
        concat!(
            "SELECT head.account_id, head.version, head.balance_after, head.recorded_at, head.hash, ",
            "head.profile_version, described.profile::text AS profile FROM ",
            $from,
            " CROSS JOIN LATERAL (SELECT account_id, version, balance_after, recorded_at, hash, profile_version ",
            "FROM events WHERE ",
            $condition,
            " ORDER BY ",
            $order,
            " LIMIT 1) AS head JOIN events AS described ",
            "ON described.account_id = head.account_id AND described.version = head.profile_version"
        )
    };
}

impl EventStore {
    /// The present state of those of `account_ids` that exist, in any order.
    pub async fn load(&self, account_ids: &[AccountId]) -> Result<Vec<Account>, Error> {
        if account_ids.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = account_ids.iter().map(AccountId::as_str).collect();
        let statement = sqlx::query(account_statement!(
            "events.account_id = wanted.account_id",
            "unnest($1::text[]) AS wanted(account_id)",
            "version DESC"
        ))
        .bind(names)
        .fetch_all(&self.pool);
        self.bounded(statement)
            .await?
            .iter()
            .map(rows::account)
            .collect()
    }

    /// The present state of an account; `None` when it does not exist.
    pub async fn account(&self, account_id: &AccountId) -> Result<Option<Account>, Error> {
        let accounts = self.load(std::slice::from_ref(account_id)).await?;
        Ok(accounts.into_iter().next())
    }

    /// The state of an account at an instant: after the last event recorded at or before it. `None` when the account
    /// did not exist yet (or does not exist at all).
    pub async fn account_at(
        &self,
        account_id: &AccountId,
        at: Timestamp,
    ) -> Result<Option<Account>, Error> {
        let statement = sqlx::query(account_statement!(
            "events.account_id = wanted.account_id AND events.recorded_at <= wanted.at",
            "(SELECT $1::text AS account_id, $2::timestamptz AS at) AS wanted",
            "recorded_at DESC, version DESC"
        ))
        .bind(account_id.as_str())
        .bind(at.to_date_time())
        .fetch_optional(&self.pool);
        self.bounded(statement)
            .await?
            .as_ref()
            .map(rows::account)
            .transpose()
    }

    /// The state of an account after the event of that version. `None` when it has no such version.
    pub async fn account_at_version(
        &self,
        account_id: &AccountId,
        version: Version,
    ) -> Result<Option<Account>, Error> {
        let statement = sqlx::query(account_statement!(
            "events.account_id = wanted.account_id AND events.version = wanted.version",
            "(SELECT $1::text AS account_id, $2::bigint AS version) AS wanted",
            "version DESC"
        ))
        .bind(account_id.as_str())
        .bind(signed(version))
        .fetch_optional(&self.pool);
        self.bounded(statement)
            .await?
            .as_ref()
            .map(rows::account)
            .transpose()
    }

    /// At most `limit` events of an account with versions above `after`, in order.
    pub async fn history(
        &self,
        account_id: &AccountId,
        after: Version,
        limit: u32,
    ) -> Result<Vec<Event>, Error> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM events WHERE account_id = $1 AND version > $2 ORDER BY version LIMIT $3"
        );
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(account_id.as_str())
            .bind(signed(after))
            .bind(i64::from(limit))
            .fetch_all(&self.pool);
        self.bounded(statement)
            .await?
            .iter()
            .map(rows::event)
            .collect()
    }

    /// The events that are referred to, in the order of the references. Fails if one is missing.
    pub async fn events(&self, references: &[EventReference]) -> Result<Vec<Event>, Error> {
        if references.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = references
            .iter()
            .map(|reference| reference.account_id.as_str())
            .collect();
        let versions: Vec<i64> = references
            .iter()
            .map(|reference| signed(reference.version))
            .collect();
        let positions: Vec<i64> = (0..).take(references.len()).collect();
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM (
                SELECT events.*, wanted.position FROM unnest($1::text[], $2::bigint[], $3::bigint[])
                    AS wanted(wanted_account_id, wanted_version, position)
                JOIN events ON events.account_id = wanted.wanted_account_id AND events.version = wanted.wanted_version
            ) AS found ORDER BY position"
        );
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(names)
            .bind(versions)
            .bind(positions)
            .fetch_all(&self.pool);
        let events: Vec<Event> = self
            .bounded(statement)
            .await?
            .iter()
            .map(rows::event)
            .collect::<Result<_, _>>()?;
        for (index, reference) in references.iter().enumerate() {
            if events.get(index).map(|event| event.event_id) != Some(reference.event_id) {
                return Err(Error::Unreadable {
                    account_id: reference.account_id.to_string(),
                    version: signed(reference.version),
                    message: format!(
                        "an outcome names event {}, and it is not there",
                        reference.event_id
                    ),
                });
            }
        }
        Ok(events)
    }

    /// Those of `command_ids` that have an outcome, in any order.
    pub async fn outcomes(&self, command_ids: &[CommandId]) -> Result<Vec<StoredCommand>, Error> {
        if command_ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = command_ids.iter().map(|id| id.as_uuid()).collect();
        let statement = sqlx::query(
            "SELECT command_id, fingerprint, outcome::text AS outcome, recorded_at FROM commands \
             WHERE command_id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(&self.pool);
        self.bounded(statement)
            .await?
            .iter()
            .map(rows::stored_command)
            .collect()
    }

    /// What a command asked for; `None` when it has no outcome.
    pub async fn command(&self, command_id: CommandId) -> Result<Option<Command>, Error> {
        let statement =
            sqlx::query("SELECT body::text AS body FROM commands WHERE command_id = $1")
                .bind(command_id.as_uuid())
                .fetch_optional(&self.pool);
        let Some(row) = self.bounded(statement).await? else {
            return Ok(None);
        };
        let body: &str = row.try_get("body")?;
        ledger::codec::json::decode_command(body.as_bytes())
            .map(Some)
            .map_err(|error| Error::UnreadableCommand {
                command_id: command_id.as_uuid(),
                message: format!("body: {error}"),
            })
    }

    /// At most `limit` accounts behind `after` in the database's order, with their newest versions: to walk over all
    /// accounts, pass the last one's id each time.
    pub async fn heads(&self, after: Option<&AccountId>, limit: u32) -> Result<Vec<Head>, Error> {
        let statement = sqlx::query(
            "SELECT opened.account_id, head.version FROM (
                SELECT account_id FROM events WHERE version = 1 AND account_id > $1 ORDER BY account_id LIMIT $2
             ) AS opened
             CROSS JOIN LATERAL (
                SELECT version FROM events WHERE events.account_id = opened.account_id ORDER BY version DESC LIMIT 1
             ) AS head
             ORDER BY opened.account_id",
        )
        .bind(after.map_or("", AccountId::as_str))
        .bind(i64::from(limit))
        .fetch_all(&self.pool);
        self.bounded(statement)
            .await?
            .iter()
            .map(|row| {
                Ok(Head {
                    account_id: rows::account_id(row)?,
                    version: rows::version(row, "version")?,
                })
            })
            .collect()
    }
}
