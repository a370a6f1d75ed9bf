//! `account_balance`: one row per account, and it says what the account's events make of it.

use std::collections::HashMap;

use anyhow::Context;
use ledger::{Account, AccountId, Money, Timestamp, Version, parse_decimal};
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};
use store::EventStore;

use super::{ReadModel, UNREADABLE};
use crate::commands::verify::history::Walked;
use crate::commands::verify::report::{Invariant, Report, Violation};

/// Row and applied version of one account, read in one statement, and so at one instant.
const ROWS: &str = "
SELECT wanted.account_id, known.version AS applied, found.version, found.owner_name, found.balance::text AS balance,
    found.held::text AS held, found.currency, found.overdraft_limit::text AS overdraft_limit, found.status,
    COALESCE(found.freeze_reason, '') AS freeze_reason, found.metadata::text AS metadata, found.rules::text AS rules,
    to_char(found.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS opened_at,
    to_char(found.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS updated_at
FROM unnest($1::text[]) AS wanted(account_id)
LEFT JOIN projection_versions AS known ON known.projection = 'account_balance' AND known.account_id = wanted.account_id
LEFT JOIN account_balance AS found ON found.account_id = wanted.account_id";

/// Compares the rows of these accounts, each with the state at the version that the row has.
pub(super) async fn compare(
    pool: &PgPool,
    store: &EventStore,
    walked: &[Walked],
    report: &mut Report,
) -> anyhow::Result<()> {
    let walked: HashMap<&str, &Walked> = walked
        .iter()
        .map(|account| (account.account_id.as_str(), account))
        .collect();
    if walked.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = walked.keys().copied().collect();
    let rows = sqlx::query(ROWS)
        .bind(names)
        .fetch_all(pool)
        .await
        .context(UNREADABLE)?;
    let mut elsewhere: Vec<(&PgRow, &Account, Timestamp, i64)> = Vec::new();
    for row in &rows {
        let account_id: &str = row.try_get("account_id")?;
        let violation = |message: &str| {
            Violation::new(message)
                .of_rows(ReadModel::AccountBalance.name())
                .account(account_id)
        };
        let (applied, version): (Option<i64>, Option<i64>) =
            (row.try_get("applied")?, row.try_get("version")?);
        if applied != version {
            let shown = |version: Option<i64>| {
                version.map_or_else(|| "none".to_owned(), |version| format!("version {version}"))
            };
            let mut violation = violation("the row is not at the version that counts as applied");
            violation.version = applied.or(version);
            report.violated(
                Invariant::ExactlyOnce,
                violation.values(shown(applied), shown(version)),
            );
        }
        let (Some(version), Some(account)) = (version, walked.get(account_id)) else {
            continue;
        };
        let Some((state, opened_at)) = &account.state else {
            continue;
        };
        if version == account.version {
            compare_one(row, state, *opened_at, report)?;
        } else {
            elsewhere.push((row, state, *opened_at, version));
        }
    }
    compare_elsewhere(store, &elsewhere, report).await
}

/// Compares rows that are behind the snapshot, or have moved on from it.
async fn compare_elsewhere(
    store: &EventStore,
    rows: &[(&PgRow, &Account, Timestamp, i64)],
    report: &mut Report,
) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let places: Vec<(&AccountId, Version)> = rows
        .iter()
        .filter_map(|(_, state, _, version)| {
            Some((
                &state.account_id,
                Version::new(u64::try_from(*version).ok()?),
            ))
        })
        .collect();
    let states = store.accounts_at(&places).await?;
    let states: HashMap<_, _> = states
        .iter()
        .map(|state| ((&state.account_id, state.version.get()), state))
        .collect();
    for (row, state, opened_at, version) in rows {
        let place = (&state.account_id, version.unsigned_abs());
        // If there is no such version, the row is ahead of the event store; the version that counts as applied is, too,
        // or differs: both have been reported.
        if let Some(state) = states.get(&place).filter(|_| *version > 0) {
            compare_one(row, state, *opened_at, report)?;
        }
    }
    Ok(())
}

fn compare_one(
    row: &PgRow,
    state: &Account,
    opened_at: Timestamp,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut expected: Vec<String> = Vec::new();
    let mut found: Vec<String> = Vec::new();
    let mut compare =
        |column: &str, same: fn(&str, &str) -> bool, right: String| -> anyhow::Result<()> {
            let actual: Option<&str> = row.try_get(column)?;
            if !actual.is_some_and(|actual| same(actual, &right)) {
                expected.push(format!("{column} {right}"));
                found.push(format!("{column} {}", actual.unwrap_or("none")));
            }
            Ok(())
        };
    let exactly = |actual: &str, right: &str| actual == right;
    compare("owner_name", exactly, state.owner_name.clone())?;
    compare("balance", is_same_number, shown(state.balance))?;
    compare("held", is_same_number, shown(state.held))?;
    compare(
        "freeze_reason",
        exactly,
        state.freeze_reason.clone().unwrap_or_default(),
    )?;
    compare(
        "metadata",
        is_same_json,
        serde_json::to_string(&state.metadata)?,
    )?;
    compare(
        "rules",
        is_same_json,
        serde_json::to_string(&state.profile().rules.unwrap_or_default())?,
    )?;
    compare("currency", exactly, state.currency().code().to_string())?;
    compare(
        "overdraft_limit",
        is_same_number,
        shown(state.overdraft_limit),
    )?;
    compare("status", exactly, state.status.as_str().to_owned())?;
    compare("opened_at", exactly, opened_at.to_string())?;
    compare("updated_at", exactly, state.last_recorded_at.to_string())?;
    if !expected.is_empty() {
        let version = i64::try_from(state.version.get()).unwrap_or(i64::MAX);
        let violation = Violation::new("the row does not say what the events make of the account")
            .of_rows(ReadModel::AccountBalance.name())
            .at(state.account_id.as_str(), version)
            .values(expected.join(", "), found.join(", "));
        report.violated(Invariant::Convergence, violation);
    }
    Ok(())
}

fn shown(money: Money) -> String {
    money.to_string()
}

/// Whether two texts are one JSON value, however it is spaced and ordered.
fn is_same_json(actual: &str, right: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    value(actual).is_some() && value(actual) == value(right)
}

/// Whether two texts are one number, whatever zeros stand at its end.
fn is_same_number(actual: &str, right: &str) -> bool {
    match (parse_decimal(actual), parse_decimal(right)) {
        (Ok(actual), Ok(right)) => actual == right,
        _ => false,
    }
}
