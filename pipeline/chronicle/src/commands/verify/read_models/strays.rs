//! Rows that belong to no event. Counting tells whether there can be any; only then they are looked for, row by row.
//!
//! A row is read before the event store is asked for its event, so one that has just been made is never taken for a
//! stray.

use std::collections::{HashMap, HashSet};

use anyhow::Context;
use ledger::{AccountId, CommandId, HoldId};
use sinks::projection::Pace;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row};
use store::EventStore;
use uuid::Uuid;

use super::{ReadModel, UNREADABLE, never_happened};
use crate::commands::verify::events::Seen;
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
    fn compares(&self, read_model: ReadModel) -> bool {
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

    /// Looks for them in every row, without counting first.
    pub(super) async fn everywhere(&mut self, report: &mut Report) -> anyhow::Result<()> {
        self.stray_versions(report).await?;
        if self.compares(ReadModel::Transactions) {
            self.stray_transactions(report).await?;
        }
        if self.compares(ReadModel::AccountBalance) {
            self.stray_balances(report).await?;
        }
        if self.compares(ReadModel::Transfers) {
            self.stray_transfers(report).await?;
        }
        if self.compares(ReadModel::Holds) {
            self.stray_holds(report).await?;
        }
        Ok(())
    }
}

/// Looks for rows without an event, if there can be any, or `thoroughly`.
pub(super) async fn hunt(
    mut hunt: Hunt<'_>,
    seen: &Seen,
    thoroughly: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (pool, among) = (hunt.pool, hunt.among);
    let rows_of = |read_model: ReadModel| {
        if among.contains(&read_model) {
            format!("(SELECT count(*) FROM {})", read_model.name())
        } else {
            "0::bigint".to_owned()
        }
    };
    // One statement, and so one instant: rows and versions change together.
    let sql = format!(
        "SELECT {} AS transactions,
            (SELECT COALESCE(sum(version), 0)::text FROM projection_versions WHERE projection = 'transactions') AS applied,
            {} AS balances,
            (SELECT count(*) FROM projection_versions WHERE projection = 'account_balance') AS accounts,
            {} AS transfers, {} AS holds,
            (SELECT count(*) FROM projection_versions) AS versions,
            (SELECT count(*) FROM projection_skips) AS skips",
        rows_of(ReadModel::Transactions),
        rows_of(ReadModel::AccountBalance),
        rows_of(ReadModel::Transfers),
        rows_of(ReadModel::Holds),
    );
    let counts = sqlx::query(AssertSqlSafe(sql))
        .fetch_one(pool)
        .await
        .context(UNREADABLE)?;
    let count = |name: &str| counts.try_get::<i64, _>(name);
    let (transactions, balances) = (count("transactions")?, count("balances")?);
    let (transfers, holds) = (count("transfers")?, count("holds")?);
    let applied: &str = counts.try_get("applied")?;
    report.checked(
        Invariant::ExactlyOnce,
        "rows",
        (transactions + balances + transfers + holds).unsigned_abs(),
    );

    // A row of the event store that is gone does not show in the read models' counts.
    let damaged = thoroughly
        || [
            Invariant::ExactlyOnce,
            Invariant::GaplessVersions,
            Invariant::AtomicCommand,
        ]
        .into_iter()
        .any(|invariant| report.violations(invariant) > 0);
    let versions_fit =
        count("versions")? <= i64::try_from(seen.accounts)? * i64::try_from(among.len())?;
    if damaged || !versions_fit {
        hunt.stray_versions(report).await?;
    }
    let transactions_fit = transactions.to_string() == applied;
    if hunt.compares(ReadModel::Transactions) && (damaged || !transactions_fit) {
        hunt.stray_transactions(report).await?;
    }
    let balances_fit = balances == count("accounts")?;
    if hunt.compares(ReadModel::AccountBalance) && (damaged || !balances_fit) {
        hunt.stray_balances(report).await?;
    }
    let transfers_fit = u64::try_from(transfers)? == seen.transfer_debits;
    if hunt.compares(ReadModel::Transfers) && (damaged || !transfers_fit) {
        hunt.stray_transfers(report).await?;
    }
    let holds_fit = u64::try_from(holds)? == seen.holds;
    if hunt.compares(ReadModel::Holds) && (damaged || !holds_fit) {
        hunt.stray_holds(report).await?;
    }
    if report.violations(Invariant::ExactlyOnce) == 0 && !(transactions_fit && balances_fit) {
        let violation = Violation::new(format!(
            "transactions has {transactions} rows, and its versions add up to {applied}; account_balance has {balances} \
             rows, and versions of {} accounts",
            count("accounts")?
        ));
        report.violated(Invariant::ExactlyOnce, violation);
    }
    let skips = count("skips")?;
    if skips > 0 {
        let note = format!(
            "{skips} messages of the feed were skipped by order (see the table projection_skips)"
        );
        report.note(Invariant::Convergence, note);
    }
    Ok(())
}

fn violation(read_model: ReadModel, message: &str) -> Violation {
    Violation::new(message).of_rows(read_model.name())
}

impl Hunt<'_> {
    /// Versions of accounts that do not exist. (Wrong versions of those that do were found with the accounts.)
    async fn stray_versions(&mut self, report: &mut Report) -> anyhow::Result<()> {
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

impl Hunt<'_> {
    async fn stray_transactions(&mut self, report: &mut Report) -> anyhow::Result<()> {
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
}

impl Hunt<'_> {
    async fn stray_balances(&mut self, report: &mut Report) -> anyhow::Result<()> {
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
}

impl Hunt<'_> {
    /// The row of a hold is at the version of an event of its account.
    async fn stray_holds(&mut self, report: &mut Report) -> anyhow::Result<()> {
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
    async fn stray_transfers(&mut self, report: &mut Report) -> anyhow::Result<()> {
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
