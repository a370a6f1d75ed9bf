//! `transactions`: one row per event, and it says what the event says.

use anyhow::Context;
use ledger::{Event, EventData, Money, Timestamp};
use rust_decimal::Decimal;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::{Applied, ReadModel, UNREADABLE, differ, differences};
use crate::commands::verify::report::{Invariant, Report, Violation};

const COLUMNS: [&str; 17] = [
    "transaction_id",
    "type",
    "amount",
    "currency",
    "balance_after",
    "description",
    "transfer_id",
    "counterparty_account_id",
    "command_id",
    "actor",
    "timestamp",
    "held",
    "held_after",
    "hold_id",
    "reversed_command_id",
    "posting_id",
    "effective_at",
];

/// Compares the rows of these events.
pub(super) async fn compare(
    pool: &PgPool,
    events: &[&Event],
    applied: &Applied,
    report: &mut Report,
) -> anyhow::Result<()> {
    let rows = differing(pool, events).await.context(UNREADABLE)?;
    for row in rows {
        let (account_id, version): (&str, i64) =
            (row.try_get("account_id")?, row.try_get("version")?);
        let violation = |message: &str| {
            Violation::new(message)
                .of_rows(ReadModel::Transactions.name())
                .at(account_id, version)
        };
        if !row.try_get::<bool, _>("missing")? {
            let (expected, actual): (&str, &str) =
                (row.try_get("expected")?, row.try_get("actual")?);
            let violation =
                violation("the row does not say what the event says").values(expected, actual);
            report.violated(Invariant::Convergence, violation);
        } else if version <= applied.version(ReadModel::Transactions, account_id) {
            report.violated(
                Invariant::ExactlyOnce,
                violation("the event counts as applied, and its row is missing"),
            );
        }
    }
    report.checked(Invariant::ExactlyOnce, "events", events.len() as u64);
    Ok(())
}

/// What the database finds to be different: it compares, and answers with the rows that are.
async fn differing(pool: &PgPool, events: &[&Event]) -> Result<Vec<PgRow>, sqlx::Error> {
    let sql = format!(
        "SELECT wanted.account_id, wanted.version, found.account_id IS NULL AS missing, {}
         FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::text[], $5::numeric[], $6::text[], $7::numeric[],
            $8::text[], $9::uuid[], $10::text[], $11::uuid[], $12::text[], $13::timestamptz[], $14::numeric[],
            $15::numeric[], $16::uuid[], $17::uuid[], $18::uuid[], $19::timestamptz[])
            AS wanted(account_id, version, {})
         LEFT JOIN transactions AS found ON found.account_id = wanted.account_id AND found.version = wanted.version
         WHERE found.account_id IS NULL OR {}",
        differences(&COLUMNS),
        COLUMNS.join(", "),
        differ(&COLUMNS),
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(each(events, |event| event.account_id.as_str()))
        .bind(each(events, signed))
        .bind(each(events, |event| event.event_id.as_uuid()))
        .bind(each(events, kind))
        .bind(each(events, signed_amount))
        .bind(each(events, |event| event.currency().code().to_string()))
        .bind(each(events, |event| event.balance_after.value()))
        .bind(each(events, |event| event.data.description()))
        .bind(each(events, |event| {
            Some(event.data.transfer()?.transfer_id.as_uuid())
        }))
        .bind(each(events, |event| {
            Some(event.data.transfer()?.counterparty_account_id.as_str())
        }))
        .bind(each(events, |event| event.command_id.as_uuid()))
        .bind(each(events, |event| event.actor.as_deref()))
        .bind(each(events, |event| event.recorded_at.to_date_time()))
        .bind(each(events, |event| {
            event.data.held_change().map(Money::value)
        }))
        .bind(each(events, |event| {
            let held = Some(event.held_after).filter(|held| !held.is_zero());
            held.map(Money::value)
        }))
        .bind(each(events, |event| {
            Some(event.data.hold()?.hold_id.as_uuid())
        }))
        .bind(each(events, |event| {
            Some(event.data.reversal()?.command_id.as_uuid())
        }))
        .bind(each(events, |event| {
            Some(event.data.posting_id()?.as_uuid())
        }))
        .bind(each(events, |event| {
            event.data.effective_at().map(Timestamp::to_date_time)
        }))
        .fetch_all(pool)
        .await
}

/// One column.
fn each<'a, T>(events: &[&'a Event], of: impl Fn(&'a Event) -> T) -> Vec<T> {
    events.iter().map(|event| of(event)).collect()
}

fn signed(event: &Event) -> i64 {
    i64::try_from(event.version.get()).unwrap_or(i64::MAX)
}

/// What kind of line the event is.
pub(super) fn kind(event: &Event) -> &'static str {
    let (is_transfer, is_of_hold) = (event.data.transfer().is_some(), event.data.hold().is_some());
    let is_posting = event.data.posting_id().is_some();
    match &event.data {
        EventData::AccountCreated(_) => "opening",
        EventData::MoneyDeposited(_) if is_transfer => "transfer_in",
        EventData::MoneyDeposited(_) if is_posting => "posting_in",
        EventData::MoneyDeposited(_) => "deposit",
        EventData::MoneyWithdrawn(_) if is_transfer => "transfer_out",
        EventData::MoneyWithdrawn(_) if is_posting => "posting_out",
        EventData::MoneyWithdrawn(_) if is_of_hold => "capture",
        EventData::MoneyWithdrawn(_) => "withdrawal",
        EventData::AccountFrozen(_) => "freeze",
        EventData::AccountUnfrozen(_) => "unfreeze",
        EventData::AccountClosed(_) => "closing",
        EventData::OverdraftLimitSet(_) => "overdraft_limit",
        EventData::AccountRulesSet(_) => "rules",
        EventData::AccountUpdated(_) => "update",
        EventData::HoldPlaced(_) => "hold",
        EventData::HoldReleased(_) => "release",
        EventData::HoldExpired(_) => "expiry",
    }
}

/// What the line adds to the balance.
fn signed_amount(event: &Event) -> Decimal {
    let change = event.data.balance_change();
    change.map(Money::value).unwrap_or_default()
}
