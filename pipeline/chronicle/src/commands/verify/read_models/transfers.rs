//! `transfers`: one row per transfer, in which both halves have been applied, and it says what they say.

use anyhow::Context;
use ledger::{Event, EventData, TransferLeg};
use rust_decimal::Decimal;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Applied, ReadModel, UNREADABLE, differ, differences};
use crate::commands::verify::report::{Invariant, Report, Violation};

const COLUMNS: [&str; 7] =
    ["from_account_id", "to_account_id", "amount", "currency", "description", "command_id", "timestamp"];

/// One half of a transfer.
struct Half<'a> {
    event: &'a Event,
    leg: &'a TransferLeg,
    is_debit: bool,
}

/// Compares the rows of these events' transfers, from the side of the half that each event is. The database does it,
/// and answers with those that differ.
pub(super) async fn compare(
    pool: &PgPool,
    events: &[&Event],
    applied: &Applied,
    report: &mut Report,
) -> anyhow::Result<()> {
    let halves: Vec<Half<'_>> = events.iter().filter_map(|event| half(event)).collect();
    if halves.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT wanted.account_id, wanted.version, wanted.transfer_id, found.transfer_id IS NULL AS missing,
            NOT CASE WHEN wanted.is_debit THEN found.debit_applied ELSE found.credit_applied END AS half_missing,
            found.status, found.right_status, {differ} AS differs, {differences}
         FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::boolean[], $5::text[], $6::text[], $7::numeric[],
            $8::text[], $9::text[], $10::uuid[], $11::timestamptz[])
            AS wanted(account_id, version, transfer_id, is_debit, {columns})
         LEFT JOIN (
            SELECT *, CASE WHEN debit_applied AND credit_applied THEN 'completed' ELSE 'pending' END AS right_status
            FROM transfers
         ) AS found ON found.transfer_id = wanted.transfer_id
         WHERE found.transfer_id IS NULL OR found.status <> found.right_status
            OR NOT CASE WHEN wanted.is_debit THEN found.debit_applied ELSE found.credit_applied END OR {differ}",
        differences = differences(&COLUMNS),
        columns = COLUMNS.join(", "),
        differ = differ(&COLUMNS),
    );
    let own = |half: &Half<'_>| half.event.account_id.to_string();
    let other = |half: &Half<'_>| half.leg.counterparty_account_id.to_string();
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(halves.iter().map(own).collect::<Vec<String>>())
        .bind(halves.iter().map(|half| signed(half.event)).collect::<Vec<i64>>())
        .bind(halves.iter().map(|half| half.leg.transfer_id.as_uuid()).collect::<Vec<Uuid>>())
        .bind(halves.iter().map(|half| half.is_debit).collect::<Vec<bool>>())
        .bind(halves.iter().map(|half| if half.is_debit { own(half) } else { other(half) }).collect::<Vec<String>>())
        .bind(halves.iter().map(|half| if half.is_debit { other(half) } else { own(half) }).collect::<Vec<String>>())
        .bind(halves.iter().map(|half| half.event.data.amount().value()).collect::<Vec<Decimal>>())
        .bind(halves.iter().map(|half| half.event.currency().code().to_string()).collect::<Vec<String>>())
        .bind(halves.iter().map(|half| half.event.data.description()).collect::<Vec<Option<&str>>>())
        .bind(halves.iter().map(|half| half.event.command_id.as_uuid()).collect::<Vec<Uuid>>())
        .bind(halves.iter().map(|half| half.event.recorded_at.to_date_time()).collect::<Vec<OffsetDateTime>>())
        .fetch_all(pool)
        .await
        .context(UNREADABLE)?;
    for row in rows {
        let (account_id, version): (&str, i64) = (row.try_get("account_id")?, row.try_get("version")?);
        let transfer_id: Uuid = row.try_get("transfer_id")?;
        let violation = |message: &str| {
            let message = format!("transfer {transfer_id}: {message}");
            Violation::new(message).of(ReadModel::Transfers.name()).at(account_id, version)
        };
        let counts_as_applied = version <= applied.version(ReadModel::Transfers, account_id);
        if row.try_get::<bool, _>("missing")? {
            if counts_as_applied {
                report.violated(Invariant::ExactlyOnce, violation("the event counts as applied, and the row is missing"));
            }
            continue;
        }
        if row.try_get::<bool, _>("half_missing")? && counts_as_applied {
            report.violated(Invariant::ExactlyOnce, violation("the event counts as applied, and not in the row"));
        }
        if row.try_get::<bool, _>("differs")? {
            let (expected, actual): (&str, &str) = (row.try_get("expected")?, row.try_get("actual")?);
            report.violated(Invariant::Convergence, violation("the row does not say what the event says").values(expected, actual));
        }
        let (status, right_status): (&str, &str) = (row.try_get("status")?, row.try_get("right_status")?);
        if status != right_status {
            let violation = violation("the status is not what the halves say").values(right_status, status);
            report.violated(Invariant::Convergence, violation);
        }
    }
    Ok(())
}

fn half(event: &Event) -> Option<Half<'_>> {
    let leg = event.data.transfer()?;
    let is_debit = matches!(event.data, EventData::MoneyWithdrawn(_));
    Some(Half { event, leg, is_debit })
}

fn signed(event: &Event) -> i64 {
    i64::try_from(event.version.get()).unwrap_or(i64::MAX)
}
