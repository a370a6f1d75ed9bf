//! Reading: accounts, histories, outcomes. Every statement here costs the same however long the histories are.
//!
//! That is a matter of plans, not only of indexes, so the statements leave the planners no choice. "The newest row of
//! each of these accounts" is one branch of a UNION ALL per account, each a single step down the primary key: a LATERAL
//! subquery with LIMIT 1 reads better, and CockroachDB turns it into a join that reads every event of every account.

use std::collections::HashMap;

use futures::future::try_join_all;
use ledger::{
    Account, AccountId, Command, CommandId, Event, EventId, EventReference, Hash, Hold, HoldId,
    Original, Outcome, Timestamp, Version,
};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use crate::append::{hold_thread_key, reversal_thread_key, signed};
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

/// The most accounts that one statement reads. CockroachDB plans each branch anew each time, which costs more than
/// reading the row: larger statements are not faster per account.
pub(crate) const ACCOUNTS_PER_STATEMENT: usize = 16;

/// How many such statements run at a time.
const STATEMENTS_AT_ONCE: usize = 4;

/// Selects `columns` of the rows of `events` at the places that the arrays `$1` (accounts) and `$2` (versions) name; a
/// place without a row is left out.
///
/// The conditions on the places always hold. Both planners guess that each lets one row in three pass, and with a guess
/// of less than one place they look places up. Without, CockroachDB reads all of the table if it had but a few rows when
/// it was measured last.
pub(crate) fn events_at_places(columns: &str) -> String {
    format!(
        "SELECT {columns} FROM (
            SELECT account_id AS wanted_account_id, version AS wanted_version
            FROM unnest($1::text[], $2::bigint[]) AS given(account_id, version)
            WHERE length(account_id) >= 0 AND length(account_id) < 1000000 AND version % 2 < 2 AND version % 3 < 3
         ) AS place
         JOIN events ON account_id = wanted_account_id AND version = wanted_version"
    )
}

/// At most `$2` accounts behind `$1`, in the database's order of ids.
pub(crate) const OPENED: &str = "SELECT opened_account_id AS account_id FROM events
     WHERE opened_account_id > $1 ORDER BY opened_account_id LIMIT $2";

/// What the newest row of an account tells about it.
pub(crate) const HEAD_COLUMNS: &str = "account_id, version, balance_after, held_after, recorded_at, hash, profile_version, day_debits";

/// Accounts, for [`rows::account`], of what `heads` selects: [`HEAD_COLUMNS`].
///
/// The profile becomes text outside of the subquery that looks it up: CockroachDB looks rows up one by one only if
/// nothing is computed on the way, and would read all of the table instead.
pub(crate) fn accounts_from(heads: &str) -> String {
    format!(
        "SELECT account_id, version, balance_after::text AS balance_after, held_after::text AS held_after, recorded_at,
            hash, profile_version, day_debits::text AS day_debits, profile::text AS profile
         FROM (SELECT {HEAD_COLUMNS}, (
            SELECT described.profile FROM events AS described
            WHERE described.account_id = head.account_id AND described.version = head.profile_version
         ) AS profile FROM ({heads}) AS head) AS loaded"
    )
}

/// The newest rows of the first `count` accounts in the array `$1`; there may be fewer.
fn newest(columns: &str, count: usize) -> String {
    let branches: Vec<String> = (1..=count)
        .map(|index| {
            format!(
                "(SELECT {columns} FROM events WHERE account_id = ($1::text[])[{index}] ORDER BY version DESC LIMIT 1)"
            )
        })
        .collect();
    branches.join(" UNION ALL ")
}

/// The newest rows of the first `count` threads in the array `$1`, which has their keys; there may be fewer.
fn newest_of_threads(count: usize) -> String {
    let branches: Vec<String> = (1..=count)
        .map(|index| {
            format!(
                "(SELECT {EVENT_COLUMNS} FROM events WHERE thread_key = ($1::text[])[{index}]
                    ORDER BY version DESC LIMIT 1)"
            )
        })
        .collect();
    branches.join(" UNION ALL ")
}

impl EventStore {
    /// The present state of those of `account_ids` that exist, in any order.
    pub async fn load(&self, account_ids: &[AccountId]) -> Result<Vec<Account>, Error> {
        self.newest_rows(account_ids, |count| {
            accounts_from(&newest(HEAD_COLUMNS, count))
        })
        .await?
        .iter()
        .map(rows::account)
        .collect()
    }

    /// The present state of those of `holds` that exist, open or not, each with its account, in any order.
    pub async fn holds(
        &self,
        holds: &[(AccountId, HoldId)],
    ) -> Result<Vec<(AccountId, Hold)>, Error> {
        let keys: Vec<String> = holds
            .iter()
            .map(|(account_id, hold_id)| hold_thread_key(account_id, *hold_id))
            .collect();
        let rows = self.newest_rows(&keys, newest_of_threads).await?;
        rows.iter()
            .map(|row| {
                let event = rows::event(row)?;
                let hold = event.data.hold().cloned();
                let hold = hold.ok_or_else(|| Error::Unreadable {
                    account_id: event.account_id.to_string(),
                    version: signed(event.version),
                    message: "thread_key: the event changes no hold".to_owned(),
                })?;
                Ok((event.account_id, hold))
            })
            .collect()
    }

    /// What those of `command_ids` did that were accepted, and how much of it has been moved back, in any order.
    pub async fn originals(&self, command_ids: &[CommandId]) -> Result<Vec<Original>, Error> {
        let stored = self.outcomes(command_ids).await?;
        let references: Vec<EventReference> = stored
            .iter()
            .flat_map(|stored| stored.outcome.events().iter().cloned())
            .collect();
        let mut events: HashMap<CommandId, Vec<Event>> = HashMap::new();
        for event in self.events(&references).await? {
            events.entry(event.command_id).or_default().push(event);
        }
        let mut originals: Vec<Original> = events
            .values()
            .filter_map(|events| Original::of(events))
            .collect();
        let keys: Vec<String> = originals
            .iter()
            .map(|original| reversal_thread_key(&original.account_id, original.command_id))
            .collect();
        for row in self.newest_rows(&keys, newest_of_threads).await? {
            let newest = rows::event(&row)?;
            for original in &mut originals {
                original.take(&newest);
            }
        }
        Ok(originals)
    }

    /// At most `limit` events that move a command's money back, on the account that it was sent to, oldest first.
    pub async fn reversals(
        &self,
        account_id: &AccountId,
        command_id: CommandId,
        limit: u32,
    ) -> Result<Vec<Event>, Error> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM events WHERE thread_key = $1 ORDER BY version LIMIT $2"
        );
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(reversal_thread_key(account_id, command_id))
            .bind(i64::from(limit));
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(rows::event).collect()
    }

    /// Runs what `statement` makes of a number of keys, for all of them.
    async fn newest_rows(
        &self,
        keys: &[impl AsRef<str>],
        statement: impl Fn(usize) -> String,
    ) -> Result<Vec<PgRow>, Error> {
        let share = keys
            .len()
            .div_ceil(STATEMENTS_AT_ONCE)
            .next_multiple_of(ACCOUNTS_PER_STATEMENT)
            .max(1);
        let shares = keys.chunks(share).map(async |share| {
            let mut found: Vec<PgRow> = Vec::with_capacity(share.len());
            for part in share.chunks(ACCOUNTS_PER_STATEMENT) {
                // Three texts, so three prepared statements a connection; places that are left over find nothing.
                let count = match part.len() {
                    0 | 1 => 1,
                    2..=4 => 4,
                    _ => ACCOUNTS_PER_STATEMENT,
                };
                let names: Vec<&str> = part.iter().map(AsRef::as_ref).collect();
                let statement = sqlx::query(AssertSqlSafe(statement(count))).bind(names);
                found.extend(self.fetch_all(statement).await?);
            }
            Ok::<_, Error>(found)
        });
        let found = try_join_all(shares).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The present state of an account; `None` when it does not exist.
    pub async fn account(&self, account_id: &AccountId) -> Result<Option<Account>, Error> {
        let accounts = self.load(std::slice::from_ref(account_id)).await?;
        Ok(accounts.into_iter().next())
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
            .bind(i64::from(limit));
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(rows::event).collect()
    }

    /// At most `limit` events behind the given one, by account and version in the database's order, and no more than come
    /// to `bytes_max` of their data, and one: to walk over all events, pass the last one's place each time. Whatever is
    /// committed meanwhile is read if it lies ahead.
    pub async fn events_after(
        &self,
        after: Option<(&AccountId, Version)>,
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, Error> {
        let (account_id, version) = after.map_or(("", 0), |(account_id, version)| {
            (account_id.as_str(), signed(version))
        });
        // The page is measured where it lies, so that what is too much is never sent.
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM (
                SELECT *, sum(octet_length(data::text)) OVER (ORDER BY account_id, version
                    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - octet_length(data::text) AS bytes_before
                FROM (SELECT * FROM events WHERE (account_id, version) > ($1, $2)
                    ORDER BY account_id, version LIMIT $3) AS page
             ) AS measured WHERE bytes_before <= $4 ORDER BY account_id, version"
        );
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(account_id)
            .bind(version)
            .bind(i64::from(limit))
            .bind(i64::try_from(bytes_max).unwrap_or(i64::MAX));
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(rows::event).collect()
    }

    /// How many events there are. Reads all of an index, so it takes time with many.
    pub async fn events_total(&self) -> Result<u64, Error> {
        let row = self
            .fetch_one(sqlx::query("SELECT count(*) FROM events"))
            .await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }

    /// At most `limit` events of an account with versions below `before`, the newest first; without it, from the newest
    /// event on.
    pub async fn history_back(
        &self,
        account_id: &AccountId,
        before: Option<Version>,
        limit: u32,
    ) -> Result<Vec<Event>, Error> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM events WHERE account_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3"
        );
        let statement = sqlx::query(AssertSqlSafe(sql))
            .bind(account_id.as_str())
            .bind(before.map_or(i64::MAX, signed))
            .bind(i64::from(limit));
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(rows::event).collect()
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
        let statement = sqlx::query(AssertSqlSafe(events_at_places(EVENT_COLUMNS)))
            .bind(names)
            .bind(versions);
        let found: HashMap<EventId, Event> = self
            .fetch_all(statement)
            .await?
            .iter()
            .map(|row| rows::event(row).map(|event| (event.event_id, event)))
            .collect::<Result<_, _>>()?;
        let event = |reference: &EventReference| {
            let event = found.get(&reference.event_id).cloned();
            event
                .filter(|event| EventReference::from(event) == *reference)
                .ok_or_else(|| Error::Unreadable {
                    account_id: reference.account_id.to_string(),
                    version: signed(reference.version),
                    message: format!(
                        "an outcome names event {}, and it is not there",
                        reference.event_id
                    ),
                })
        };
        references.iter().map(event).collect()
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
        .bind(ids);
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(rows::stored_command).collect()
    }

    /// What a command asked for; `None` when it has no outcome.
    pub async fn command(&self, command_id: CommandId) -> Result<Option<Command>, Error> {
        let statement =
            sqlx::query("SELECT body::text AS body FROM commands WHERE command_id = $1")
                .bind(command_id.as_uuid());
        let Some(row) = self.fetch_optional(statement).await? else {
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
        let statement = sqlx::query(OPENED)
            .bind(after.map_or("", AccountId::as_str))
            .bind(i64::from(limit));
        let opened = self.fetch_all(statement).await?;
        let account_ids: Vec<AccountId> = opened
            .iter()
            .map(rows::account_id)
            .collect::<Result<_, _>>()?;
        let heads = self
            .newest_rows(&account_ids, |count| newest("account_id, version", count))
            .await?;
        let mut versions: HashMap<AccountId, Version> = heads
            .iter()
            .map(|row| Ok((rows::account_id(row)?, rows::version(row, "version")?)))
            .collect::<Result<_, Error>>()?;
        Ok(account_ids
            .into_iter()
            .filter_map(|account_id| {
                let version = versions.remove(&account_id)?;
                Some(Head {
                    account_id,
                    version,
                })
            })
            .collect())
    }
}
