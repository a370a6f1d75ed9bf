//! Rows that belong to no event. Counting tells whether there can be any; only then they are looked for, row by row.
//!
//! A row is read before the event store is asked for its event, so one that has just been made is never taken for a
//! stray.

use std::collections::HashSet;

use anyhow::Context;
use ledger::{AccountId, CommandId, HoldId};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row};
use store::EventStore;
use uuid::Uuid;

use super::{ReadModel, UNREADABLE, never_happened};
use crate::commands::verify::events::Seen;
use crate::commands::verify::report::{Invariant, Report, Violation};

/// How many rows are looked at at a time.
const PAGE: i64 = 1_000;

/// Looks for rows without an event in these read models.
pub(super) async fn hunt(
    pool: &PgPool,
    store: &EventStore,
    among: &[ReadModel],
    seen: &Seen,
    report: &mut Report,
) -> anyhow::Result<()> {
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
    let damaged = [
        Invariant::ExactlyOnce,
        Invariant::GaplessVersions,
        Invariant::AtomicCommand,
    ]
    .into_iter()
    .any(|invariant| report.violations(invariant) > 0);
    let versions_fit =
        count("versions")? <= i64::try_from(seen.accounts)? * i64::try_from(among.len())?;
    if damaged || !versions_fit {
        stray_versions(pool, store, report).await?;
    }
    let transactions_fit = transactions.to_string() == applied;
    let compares = |read_model| among.contains(&read_model);
    if compares(ReadModel::Transactions) && (damaged || !transactions_fit) {
        stray_transactions(pool, store, report).await?;
    }
    let balances_fit = balances == count("accounts")?;
    if compares(ReadModel::AccountBalance) && (damaged || !balances_fit) {
        stray_balances(pool, store, report).await?;
    }
    let transfers_fit = u64::try_from(transfers)? == seen.transfer_debits;
    if compares(ReadModel::Transfers) && (damaged || !transfers_fit) {
        stray_transfers(pool, store, report).await?;
    }
    let holds_fit = u64::try_from(holds)? == seen.holds;
    if compares(ReadModel::Holds) && (damaged || !holds_fit) {
        stray_holds(pool, store, report).await?;
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
    Violation::new(message).of(read_model.name())
}

/// Versions of accounts that do not exist. (Wrong versions of those that do were found with the accounts.)
async fn stray_versions(
    pool: &PgPool,
    store: &EventStore,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut after = (String::new(), String::new());
    loop {
        let rows = sqlx::query(
            "SELECT projection, account_id, version FROM projection_versions WHERE (projection, account_id) > ($1, $2)
             ORDER BY projection, account_id LIMIT $3",
        )
        .bind(&after.0)
        .bind(&after.1)
        .bind(PAGE)
        .fetch_all(pool)
        .await
        .context(UNREADABLE)?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = (last.try_get("projection")?, last.try_get("account_id")?);
        let existing = existing_accounts(store, &rows).await?;
        for row in &rows {
            let account_id: &str = row.try_get("account_id")?;
            if !existing.contains(account_id) {
                let violation = never_happened(
                    row.try_get("projection")?,
                    account_id,
                    row.try_get("version")?,
                );
                report.violated(Invariant::ExactlyOnce, violation);
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

async fn stray_transactions(
    pool: &PgPool,
    store: &EventStore,
    report: &mut Report,
) -> anyhow::Result<()> {
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
        .bind(PAGE)
        .fetch_all(pool)
        .await
        .context(UNREADABLE)?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = (last.try_get("account_id")?, last.try_get("version")?);
        let mut places: Vec<(&str, i64)> = Vec::with_capacity(rows.len());
        for row in &rows {
            places.push((row.try_get("account_id")?, row.try_get("version")?));
        }
        let existing: HashSet<(String, i64)> = store.existing(&places).await?.into_iter().collect();
        for (row, (account_id, version)) in rows.iter().zip(places) {
            let at =
                |message: &str| violation(ReadModel::Transactions, message).at(account_id, version);
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

async fn stray_balances(
    pool: &PgPool,
    store: &EventStore,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let rows = sqlx::query("SELECT account_id, version FROM account_balance WHERE account_id > $1 ORDER BY account_id LIMIT $2")
            .bind(&after)
            .bind(PAGE)
            .fetch_all(pool)
            .await
            .context(UNREADABLE)?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.try_get("account_id")?;
        let existing = existing_accounts(store, &rows).await?;
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
async fn stray_holds(pool: &PgPool, store: &EventStore, report: &mut Report) -> anyhow::Result<()> {
    let mut after = (String::new(), Uuid::nil());
    loop {
        let rows = sqlx::query(
            "SELECT account_id, hold_id, version FROM holds WHERE (account_id, hold_id) > ($1, $2)
             ORDER BY account_id, hold_id LIMIT $3",
        )
        .bind(&after.0)
        .bind(after.1)
        .bind(PAGE)
        .fetch_all(pool)
        .await
        .context(UNREADABLE)?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = (last.try_get("account_id")?, last.try_get("hold_id")?);
        let mut wanted: Vec<(AccountId, HoldId)> = Vec::with_capacity(rows.len());
        for row in &rows {
            // An account id that is none belongs to no hold either, and is found missing.
            if let Ok(account_id) = row.try_get::<&str, _>("account_id")?.parse() {
                wanted.push((account_id, row.try_get::<Uuid, _>("hold_id")?.into()));
            }
        }
        let existing: HashSet<String> = store
            .holds(&wanted)
            .await?
            .into_iter()
            .map(|(account_id, hold)| store::hold_thread_key(&account_id, hold.hold_id))
            .collect();
        for row in &rows {
            let account_id: &str = row.try_get("account_id")?;
            let hold_id: Uuid = row.try_get("hold_id")?;
            if !existing.contains(&format!("{account_id}/hold/{hold_id}")) {
                let message = format!("hold {hold_id}: the row belongs to no hold");
                let violation =
                    violation(ReadModel::Holds, &message).at(account_id, row.try_get("version")?);
                report.violated(Invariant::ExactlyOnce, violation);
            }
        }
    }
}

/// A transfer's id is derived from its command's, so the command tells whether the row may be there.
async fn stray_transfers(
    pool: &PgPool,
    store: &EventStore,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut after = Uuid::nil();
    loop {
        let rows = sqlx::query(
            "SELECT transfer_id, command_id, from_account_id FROM transfers WHERE transfer_id > $1
             ORDER BY transfer_id LIMIT $2",
        )
        .bind(after)
        .bind(PAGE)
        .fetch_all(pool)
        .await
        .context(UNREADABLE)?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.try_get("transfer_id")?;
        let command_of = |row: &PgRow| row.try_get::<Uuid, _>("command_id").map(CommandId::from);
        let ids = rows.iter().map(command_of).collect::<Result<Vec<_>, _>>()?;
        let mut made: HashSet<Uuid> = HashSet::new();
        for command in store.command_rows_of(&ids).await? {
            // A command makes fewer transfers than events.
            let events = command
                .outcome
                .as_ref()
                .map_or(0, |outcome| outcome.events().len());
            let events = u32::try_from(events).unwrap_or(u32::MAX);
            made.extend((0..events).map(|index| command.command_id.transfer_id(index).as_uuid()));
        }
        for (row, command_id) in rows.iter().zip(ids) {
            let transfer_id: Uuid = row.try_get("transfer_id")?;
            if !made.contains(&transfer_id) {
                let message = format!(
                    "transfer {transfer_id}: the row belongs to no transfer that an outcome names"
                );
                let violation = violation(ReadModel::Transfers, &message)
                    .account(row.try_get("from_account_id")?)
                    .command(command_id);
                report.violated(Invariant::ExactlyOnce, violation);
            }
        }
    }
}
