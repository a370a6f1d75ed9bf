//! Rows that belong to no event, looked for row by row.
//!
//! A row is read before the event store is asked for its event, so one that has just been made is never taken for a
//! stray.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use ledger::{AccountId, CommandId, HoldId};
use sinks::projection::Pace;
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};
use store::EventStore;
use uuid::Uuid;

use super::{ReadModel, UNREADABLE, never_happened};
use crate::commands::verify::report::{Invariant, Report, Violation};

/// How many rows are looked at at a time.
const PAGE: i64 = PAGE_MAX as i64;
const PAGE_MAX: u32 = 1_000;

/// Where rows without an event are looked for.
pub(super) struct Hunt<'a> {
    pub(super) pool: &'a PgPool,
    pub(super) store: &'a EventStore,
    /// In these read models.
    pub(super) among: &'a [ReadModel],
    /// At most so many rows a second.
    pub(super) pace: Option<&'a mut Pace>,
}

impl Hunt<'_> {
    pub(super) fn compares(&self, read_model: ReadModel) -> bool {
        self.among.contains(&read_model)
    }

    /// How many rows to look at at a time.
    fn page(&self) -> i64 {
        let pace = self.pace.as_ref();
        pace.map_or(PAGE, |pace| i64::from(pace.at_a_time(PAGE_MAX)))
    }

    /// Waits until so many more rows may be looked at.
    async fn wait(&mut self, rows: usize) {
        if let Some(pace) = &mut self.pace {
            pace.wait(rows).await;
        }
    }
}

fn violation(read_model: ReadModel, message: &str) -> Violation {
    Violation::new(message).of_rows(read_model.name())
}

impl Hunt<'_> {
    /// Versions of accounts that do not exist. (Wrong versions of those that do were found with the accounts.)
    pub(super) async fn stray_versions(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let mut after = (String::new(), String::new());
        loop {
            let rows = sqlx::query(
            "SELECT projection, account_id, version FROM projection_versions WHERE (projection, account_id) > ($1, $2)
             ORDER BY projection, account_id LIMIT $3",
        )
        .bind(&after.0)
        .bind(&after.1)
        .bind(self.page())
        .fetch_all(self.pool)
        .await
        .context(UNREADABLE)?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            self.wait(rows.len()).await;
            after = (last.try_get("projection")?, last.try_get("account_id")?);
            let existing = existing_accounts(self.store, &rows).await?;
            for row in &rows {
                let account_id: &str = row.try_get("account_id")?;
                if !existing.contains(account_id) {
                    let (projection, version): (&str, i64) =
                        (row.try_get("projection")?, row.try_get("version")?);
                    never_happened(projection, account_id, version, report);
                }
            }
        }
    }

    pub(super) async fn stray_transactions(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let mut after = (String::new(), i64::MIN);
        loop {
            let rows = sqlx::query(
            "SELECT found.account_id, found.version, known.version AS applied FROM transactions AS found
             LEFT JOIN projection_versions AS known
                ON known.projection = 'transactions' AND known.account_id = found.account_id
             WHERE (found.account_id, found.version) > ($1, $2) ORDER BY found.account_id, found.version LIMIT $3",
        )
        .bind(&after.0)
        .bind(after.1)
        .bind(self.page())
        .fetch_all(self.pool)
        .await
        .context(UNREADABLE)?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            self.wait(rows.len()).await;
            after = (last.try_get("account_id")?, last.try_get("version")?);
            let mut places: Vec<(&str, i64)> = Vec::with_capacity(rows.len());
            for row in &rows {
                places.push((row.try_get("account_id")?, row.try_get("version")?));
            }
            let existing: HashSet<(String, i64)> =
                self.store.existing(&places).await?.into_iter().collect();
            for (row, (account_id, version)) in rows.iter().zip(places) {
                let at = |message: &str| {
                    violation(ReadModel::Transactions, message).at(account_id, version)
                };
                let applied: Option<i64> = row.try_get("applied")?;
                if !existing.contains(&(account_id.to_owned(), version)) {
                    report.violated(Invariant::ExactlyOnce, at("the row belongs to no event"));
                } else if applied.unwrap_or_default() < version {
                    report.violated(
                        Invariant::ExactlyOnce,
                        at("the row is there, and its event does not count as applied"),
                    );
                }
            }
        }
    }

    pub(super) async fn stray_balances(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let mut after = String::new();
        loop {
            let rows = sqlx::query("SELECT account_id, version FROM account_balance WHERE account_id > $1 ORDER BY account_id LIMIT $2")
            .bind(&after)
            .bind(self.page())
            .fetch_all(self.pool)
            .await
            .context(UNREADABLE)?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            self.wait(rows.len()).await;
            after = last.try_get("account_id")?;
            let existing = existing_accounts(self.store, &rows).await?;
            for row in &rows {
                let account_id: &str = row.try_get("account_id")?;
                if !existing.contains(account_id) {
                    let violation =
                        violation(ReadModel::AccountBalance, "the row belongs to no account")
                            .account(account_id);
                    report.violated(Invariant::ExactlyOnce, violation);
                }
            }
        }
    }

    /// The row of a hold is at the version of an event of its account.
    pub(super) async fn stray_holds(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let mut after = (String::new(), Uuid::nil());
        loop {
            let rows = sqlx::query(
            "SELECT account_id, hold_id, version FROM holds WHERE (account_id, hold_id) > ($1, $2)
             ORDER BY account_id, hold_id LIMIT $3",
        )
        .bind(&after.0)
        .bind(after.1)
        .bind(self.page())
        .fetch_all(self.pool)
        .await
        .context(UNREADABLE)?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            self.wait(rows.len()).await;
            after = (last.try_get("account_id")?, last.try_get("hold_id")?);
            let mut wanted: Vec<(AccountId, HoldId)> = Vec::with_capacity(rows.len());
            for row in &rows {
                // An account id that is none belongs to no hold either, and is found missing.
                if let Ok(account_id) = row.try_get::<&str, _>("account_id")?.parse() {
                    wanted.push((account_id, row.try_get::<Uuid, _>("hold_id")?.into()));
                }
            }
            let existing: HashSet<String> = self
                .store
                .holds(&wanted)
                .await?
                .into_iter()
                .map(|(account_id, hold)| store::hold_thread_key(&account_id, hold.hold_id))
                .collect();
            let mut places: Vec<(&str, i64)> = Vec::with_capacity(rows.len());
            for row in &rows {
                places.push((row.try_get("account_id")?, row.try_get("version")?));
            }
            let found = self.store.thread_keys(&places).await?;
            let keys: HashMap<(&str, i64), &str> = found
                .iter()
                .map(|(account_id, version, key)| ((account_id.as_str(), *version), key.as_str()))
                .collect();
            for (row, (account_id, version)) in rows.iter().zip(&places) {
                let hold_id: Uuid = row.try_get("hold_id")?;
                let key = format!("{account_id}/hold/{hold_id}");
                let message = if !existing.contains(&key) {
                    format!("hold {hold_id}: the row belongs to no hold")
                } else if keys.get(&(*account_id, *version)).copied() != Some(key.as_str()) {
                    format!("hold {hold_id}: the row is at a version that is no event of the hold")
                } else {
                    continue;
                };
                let violation = violation(ReadModel::Holds, &message).at(account_id, *version);
                report.violated(Invariant::ExactlyOnce, violation);
            }
        }
    }

    /// A transfer's id is derived from its command's, so the command tells whether the row may be there.
    pub(super) async fn stray_transfers(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let mut after = Uuid::nil();
        loop {
            let rows = sqlx::query(
            "SELECT transfer_id, command_id, from_account_id FROM transfers WHERE transfer_id > $1
             ORDER BY transfer_id LIMIT $2",
        )
        .bind(after)
        .bind(self.page())
        .fetch_all(self.pool)
        .await
        .context(UNREADABLE)?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            self.wait(rows.len()).await;
            after = last.try_get("transfer_id")?;
            let command_of =
                |row: &PgRow| row.try_get::<Uuid, _>("command_id").map(CommandId::from);
            let ids = rows.iter().map(command_of).collect::<Result<Vec<_>, _>>()?;
            let mut made: HashSet<Uuid> = HashSet::new();
            for command in self.store.command_rows_of(&ids).await? {
                // A command makes fewer transfers than events.
                let events = command
                    .outcome
                    .as_ref()
                    .map_or(0, |outcome| outcome.events().len());
                let events = u32::try_from(events).unwrap_or(u32::MAX);
                made.extend(
                    (0..events).map(|index| command.command_id.transfer_id(index).as_uuid()),
                );
            }
            for (row, command_id) in rows.iter().zip(ids) {
                let transfer_id: Uuid = row.try_get("transfer_id")?;
                if !made.contains(&transfer_id) {
                    let message = format!(
                        "transfer {transfer_id}: the row belongs to no transfer that an outcome names"
                    );
                    let violation = violation(ReadModel::Transfers, &message)
                        .transfer(transfer_id)
                        .account(row.try_get("from_account_id")?)
                        .command(command_id);
                    report.violated(Invariant::ExactlyOnce, violation);
                }
            }
        }
    }
}

/// Which of the rows' accounts exist: by their first event, or by the one that the row is at.
async fn existing_accounts(store: &EventStore, rows: &[PgRow]) -> anyhow::Result<HashSet<String>> {
    let mut places: Vec<(&str, i64)> = Vec::with_capacity(rows.len() * 2);
    for row in rows {
        let account_id: &str = row.try_get("account_id")?;
        places.extend([(account_id, 1), (account_id, row.try_get("version")?)]);
    }
    Ok(store
        .existing(&places)
        .await?
        .into_iter()
        .map(|(account_id, _)| account_id)
        .collect())
}
