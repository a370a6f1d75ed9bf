//! Rows as they stand, the damaged ones included: what `chronicle verify` reads where the rest of the crate would fail.
//!
//! A row that cannot be understood is a finding here, not an error; only a database that does not answer is one.

use ledger::codec::json;
use ledger::{
    Account, AccountId, Command, CommandId, DayDebits, Event, Outcome, Profile, Timestamp, Version,
};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::append::signed;
use crate::connect::Statement;
use crate::migrate::APPLICATION_ROLE;
use crate::read::{HEAD_COLUMNS, accounts_from, events_at_places};
use crate::rows::{self, EVENT_COLUMNS};
use crate::snapshot::Snapshot;
use crate::{Error, EventStore};

/// One row of `events`.
#[derive(Debug)]
pub struct EventRow {
    /// The account, as the row names it.
    pub account_id: String,
    /// The version, as the row names it.
    pub version: i64,
    /// The command, as the row names it.
    pub command_id: CommandId,
    /// The event, or what keeps it from being read.
    pub event: Result<Event, String>,
    /// The version of the newest event that carries a profile. No hash covers it.
    pub profile_version: i64,
    /// What the row is found by as an event of a hold. No hash covers it.
    pub thread_key: Option<String>,
    /// What the row is found by as an event with a business date. No hash covers it.
    pub dates: Dates,
    /// The profile that the event carries, or what keeps it from being read. No hash covers it.
    pub profile: Result<Option<Profile>, String>,
    /// What the account's rules have counted, or what keeps it from being read. No hash covers it.
    pub day_debits: Result<Option<DayDebits<String>>, String>,
}

/// The columns of `events` about an event's business date, as a row has them; each is there when the event has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dates {
    /// `effective_at`, or what keeps it from being read.
    pub effective_at: Option<Result<Timestamp, String>>,
    /// `dated_account_id`: the account.
    pub dated_account_id: Option<String>,
    /// `dated_until`, or what keeps it from being read: the later of `recorded_at` and `effective_at`.
    pub dated_until: Option<Result<Timestamp, String>>,
}

impl Dates {
    /// What the columns must have for an event.
    pub fn of(event: &Event) -> Self {
        let Some(effective_at) = event.data.effective_at() else {
            return Self::default();
        };
        Self {
            effective_at: Some(Ok(effective_at)),
            dated_account_id: Some(event.account_id.to_string()),
            dated_until: Some(Ok(effective_at.max(event.recorded_at))),
        }
    }
}

/// One row of `commands`.
#[derive(Debug)]
pub struct CommandRow {
    /// The command.
    pub command_id: CommandId,
    /// The account that the row names.
    pub account_id: String,
    /// The type that the row names.
    pub command_type: String,
    /// The bytes of the stored fingerprint.
    pub fingerprint: Vec<u8>,
    /// What was asked for, or what keeps it from being read.
    pub body: Result<Command, String>,
    /// What became of it, or what keeps it from being read.
    pub outcome: Result<Outcome, String>,
    /// When it was decided, or what keeps that from being read.
    pub recorded_at: Result<Timestamp, String>,
}

/// A place in the event store: an account and a version, as a row names them.
pub type Place<'a> = (&'a str, i64);

const EVENT_ROW: &str = "profile_version, profile::text AS profile, day_debits::text AS day_debits, thread_key, \
     effective_at, dated_account_id, dated_until";

const COMMAND_ROW: &str = "command_id, account_id, command_type, fingerprint, body::text AS body, \
     outcome::text AS outcome, recorded_at";

impl Snapshot {
    /// At most `limit` rows of `events` behind the given place, by account and version.
    pub async fn event_rows(
        &mut self,
        after: Option<Place<'_>>,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        let found = self
            .lease
            .fetch_all(event_rows_behind(after, limit))
            .await?;
        found.iter().map(event_row).collect()
    }

    /// The rows of `events` at these places, in any order; a place without a row is left out.
    pub async fn event_rows_at(&mut self, places: &[Place<'_>]) -> Result<Vec<EventRow>, Error> {
        let sql = events_at_places(&format!("{EVENT_COLUMNS}, {EVENT_ROW}"));
        let (names, versions): (Vec<&str>, Vec<i64>) = places.iter().copied().unzip();
        let statement = sqlx::query(AssertSqlSafe(sql)).bind(names).bind(versions);
        let found = self.lease.fetch_all(statement).await?;
        found.iter().map(event_row).collect()
    }

    /// At most `limit` rows of `commands` behind the given one, by id.
    pub async fn command_rows(
        &mut self,
        after: Option<CommandId>,
        limit: u32,
    ) -> Result<Vec<CommandRow>, Error> {
        let behind = if after.is_some() { ">" } else { ">=" };
        let sql = format!(
            "SELECT {COMMAND_ROW} FROM commands WHERE command_id {behind} $1 ORDER BY command_id LIMIT $2"
        );
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(after.map_or(Uuid::nil(), CommandId::as_uuid))
            .bind(i64::from(limit));
        let found = self.lease.fetch_all(statement).await?;
        found.iter().map(command_row).collect()
    }

    /// The rows of `commands` with these ids, in any order; an id without a row is left out.
    pub async fn command_rows_of(
        &mut self,
        command_ids: &[CommandId],
    ) -> Result<Vec<CommandRow>, Error> {
        let statement = command_rows_of(command_ids);
        let found = self.lease.fetch_all(statement).await?;
        found.iter().map(command_row).collect()
    }
}

impl EventStore {
    /// As [`Snapshot::command_rows_of`], of what is there now.
    pub async fn command_rows_of(
        &self,
        command_ids: &[CommandId],
    ) -> Result<Vec<CommandRow>, Error> {
        let found = self.fetch_all(command_rows_of(command_ids)).await?;
        found.iter().map(command_row).collect()
    }

    /// As [`Snapshot::event_rows`], of what is there now, up to the account `through` and with it: no transaction stays
    /// open from page to page.
    pub async fn event_rows(
        &self,
        after: Option<Place<'_>>,
        through: &str,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        let (account_id, version) = after.unwrap_or(("", i64::MIN));
        let sql = format!(
            "SELECT {EVENT_COLUMNS}, {EVENT_ROW} FROM events \
             WHERE (account_id, version) > ($1, $2) AND account_id <= $4 \
             ORDER BY account_id, version LIMIT $3"
        );
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(account_id)
            .bind(version)
            .bind(i64::from(limit))
            .bind(through);
        let found = self.fetch_all(statement).await?;
        found.iter().map(event_row).collect()
    }

    /// The hashes of the rows of `events` at these places, as the rows have them, in any order; a place without a row is
    /// left out.
    pub async fn hashes(&self, places: &[Place<'_>]) -> Result<Vec<(String, i64, Vec<u8>)>, Error> {
        let sql = events_at_places("account_id, version, hash");
        let (names, versions): (Vec<&str>, Vec<i64>) = places.iter().copied().unzip();
        let statement = sqlx::query(AssertSqlSafe(sql)).bind(names).bind(versions);
        let found = self.fetch_all(statement).await?;
        let hash = |row: &PgRow| {
            Ok((
                row.try_get("account_id")?,
                row.try_get("version")?,
                row.try_get("hash")?,
            ))
        };
        found.iter().map(hash).collect()
    }

    /// Which of these places have a row now, in any order.
    pub async fn existing(&self, places: &[Place<'_>]) -> Result<Vec<(String, i64)>, Error> {
        let sql = events_at_places("account_id, version");
        let (names, versions): (Vec<&str>, Vec<i64>) = places.iter().copied().unzip();
        let statement = sqlx::query(AssertSqlSafe(sql)).bind(names).bind(versions);
        let found = self.fetch_all(statement).await?;
        let place = |row: &PgRow| Ok((row.try_get("account_id")?, row.try_get("version")?));
        found.iter().map(place).collect()
    }

    /// What the rows of `events` at these places are found by as events of a hold or of a command that is moved back
    /// ([`thread_key`](crate::thread_key)), in any order; a place without a row, or whose row has none, is left out.
    pub async fn thread_keys(
        &self,
        places: &[Place<'_>],
    ) -> Result<Vec<(String, i64, String)>, Error> {
        let sql = events_at_places("account_id, version, thread_key");
        let (names, versions): (Vec<&str>, Vec<i64>) = places.iter().copied().unzip();
        let statement = sqlx::query(AssertSqlSafe(sql)).bind(names).bind(versions);
        let mut found = Vec::new();
        for row in self.fetch_all(statement).await? {
            let key: Option<String> = row.try_get("thread_key")?;
            if let Some(key) = key {
                found.push((row.try_get("account_id")?, row.try_get("version")?, key));
            }
        }
        Ok(found)
    }

    /// The states of accounts after the events of these versions, in any order; a version that does not exist, or
    /// cannot be read, is left out.
    pub async fn accounts_at(
        &self,
        places: &[(&AccountId, Version)],
    ) -> Result<Vec<Account>, Error> {
        let names: Vec<&str> = places
            .iter()
            .map(|(account_id, _)| account_id.as_str())
            .collect();
        let versions: Vec<i64> = places.iter().map(|(_, version)| signed(*version)).collect();
        let heads = events_at_places(HEAD_COLUMNS);
        let statement = sqlx::query(AssertSqlSafe(accounts_from(&heads)))
            .bind(names)
            .bind(versions);
        let found = self.fetch_all(statement).await?;
        Ok(found
            .iter()
            .filter_map(|row| rows::account(row).ok())
            .collect())
    }

    /// Who is asking, and what the application's role may do.
    pub async fn rights(&self) -> Result<Rights, Error> {
        let statement = sqlx::query(
            "SELECT current_user::text AS own_name,
                COALESCE((SELECT rolsuper FROM pg_roles WHERE rolname = current_user), false) AS superuser,
                COALESCE((SELECT bool_or(tableowner = current_user) FROM pg_tables
                    WHERE tablename IN ('commands', 'events')), false) AS owner,
                EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1) AS application_role_exists",
        )
        .bind(APPLICATION_ROLE);
        let row = self.fetch_one(statement).await?;
        let mut rights = Rights {
            user: row.try_get("own_name")?,
            owner: row.try_get::<bool, _>("superuser")? || row.try_get::<bool, _>("owner")?,
            application_role: APPLICATION_ROLE,
            application_role_exists: row.try_get("application_role_exists")?,
            application_role_excess: Vec::new(),
        };
        if rights.application_role_exists {
            rights.application_role_excess = self.excess_of(APPLICATION_ROLE).await?;
        }
        Ok(rights)
    }

    /// What a role may do to the tables beyond INSERT and SELECT: by its own grants (which name rights that only one
    /// of the databases has, such as TRUNCATE or DROP), and by whatever else gives it UPDATE or DELETE.
    async fn excess_of(&self, role: &str) -> Result<Vec<String>, Error> {
        let statement = sqlx::query(
            "SELECT table_name::text AS table_name, privilege_type::text AS privilege
             FROM information_schema.table_privileges
             WHERE grantee IN ($1, 'public', 'PUBLIC') AND table_name IN ('commands', 'events')
                AND table_schema = current_schema() AND privilege_type NOT IN ('SELECT', 'INSERT')
             UNION
             SELECT wanted.table_name, wanted.privilege
             FROM (VALUES ('commands', 'UPDATE'), ('commands', 'DELETE'), ('events', 'UPDATE'), ('events', 'DELETE'))
                AS wanted(table_name, privilege)
             WHERE has_table_privilege($1, wanted.table_name, wanted.privilege)
             ORDER BY 1, 2",
        )
        .bind(role);
        let found = self.fetch_all(statement).await?;
        let name = |row: &PgRow| {
            let privilege: String = row.try_get("privilege")?;
            Ok(format!(
                "{privilege} on {}",
                row.try_get::<String, _>("table_name")?
            ))
        };
        found.iter().map(name).collect()
    }

    /// The columns of a table's primary key, in order; empty when it has none.
    pub async fn primary_key(&self, table: &str) -> Result<Vec<String>, Error> {
        let statement = sqlx::query(
            "SELECT kcu.column_name::text AS column_name
             FROM information_schema.table_constraints AS tc
             JOIN information_schema.key_column_usage AS kcu ON kcu.constraint_name = tc.constraint_name
                AND kcu.table_name = tc.table_name AND kcu.table_schema = tc.table_schema
             WHERE tc.constraint_type = 'PRIMARY KEY' AND tc.table_schema = current_schema() AND tc.table_name = $1
             ORDER BY kcu.ordinal_position",
        )
        .bind(table);
        let found = self.fetch_all(statement).await?;
        found
            .iter()
            .map(|row| Ok(row.try_get("column_name")?))
            .collect()
    }
}

/// Who may do what in the event store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The connected user.
    pub user: String,
    /// Whether that user owns the tables, or may do everything on the server.
    pub owner: bool,
    /// The role that the application should work as.
    pub application_role: &'static str,
    /// Whether there is such a role.
    pub application_role_exists: bool,
    /// What it may do beyond INSERT and SELECT, as in `UPDATE on events`.
    pub application_role_excess: Vec<String>,
}

fn event_rows_behind(after: Option<Place<'_>>, limit: u32) -> Statement<'static> {
    let (account_id, version) = after.unwrap_or(("", i64::MIN));
    let sql = format!(
        "SELECT {EVENT_COLUMNS}, {EVENT_ROW} FROM events WHERE (account_id, version) > ($1, $2) \
         ORDER BY account_id, version LIMIT $3"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(account_id.to_owned())
        .bind(version)
        .bind(i64::from(limit))
}

fn command_rows_of(command_ids: &[CommandId]) -> Statement<'static> {
    let ids: Vec<Uuid> = command_ids.iter().map(|id| id.as_uuid()).collect();
    let sql = format!("SELECT {COMMAND_ROW} FROM commands WHERE command_id = ANY($1)");
    sqlx::query(AssertSqlSafe(sql)).bind(ids)
}

fn event_row(row: &PgRow) -> Result<EventRow, Error> {
    let profile: Option<&str> = row.try_get("profile")?;
    let profile = profile.map(|text| serde_json::from_str(text).map_err(|error| error.to_string()));
    let day_debits: Option<&str> = row.try_get("day_debits")?;
    let day_debits =
        day_debits.map(|text| serde_json::from_str(text).map_err(|error| error.to_string()));
    Ok(EventRow {
        account_id: row.try_get("account_id")?,
        version: row.try_get("version")?,
        command_id: row.try_get::<Uuid, _>("command_id")?.into(),
        event: rows::event(row).map_err(|error| match error {
            Error::Unreadable { message, .. } => message,
            other => other.to_string(),
        }),
        profile_version: row.try_get("profile_version")?,
        thread_key: row.try_get("thread_key")?,
        dates: Dates {
            effective_at: rows::optional_instant(row, "effective_at")?,
            dated_account_id: row.try_get("dated_account_id")?,
            dated_until: rows::optional_instant(row, "dated_until")?,
        },
        profile: profile.transpose(),
        day_debits: day_debits.transpose(),
    })
}

fn command_row(row: &PgRow) -> Result<CommandRow, Error> {
    let body: &str = row.try_get("body")?;
    Ok(CommandRow {
        command_id: row.try_get::<Uuid, _>("command_id")?.into(),
        account_id: row.try_get("account_id")?,
        command_type: row.try_get("command_type")?,
        fingerprint: row.try_get("fingerprint")?,
        body: json::decode_command(body.as_bytes()).map_err(|error| error.to_string()),
        outcome: outcome(row)?,
        recorded_at: rows::instant(row, "recorded_at"),
    })
}

fn outcome(row: &PgRow) -> Result<Result<Outcome, String>, Error> {
    let command_id: Uuid = row.try_get("command_id")?;
    let text: &str = row.try_get("outcome")?;
    let verdict = serde_json::from_str(text).map_err(|error| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let names_events = value["events"]
            .as_array()
            .is_some_and(|events| !events.is_empty());
        if value["status"] == "rejected" && names_events {
            "it is rejected and names events".to_owned()
        } else {
            error.to_string()
        }
    });
    Ok(verdict.map(|verdict| Outcome {
        command_id: command_id.into(),
        verdict,
    }))
}
