//! `transfers`: one row per transfer, in which both halves have been applied, and it says what they say.

use anyhow::Context;
use ledger::{Event, EventData, TransferLeg};
use rust_decimal::Decimal;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Applied, ReadModel, UNREADABLE, differ, differences};
use crate::commands::verify::report::{Invariant, Report, Violation};

const COLUMNS: [&str; 7] = [
    "from_account_id",
    "to_account_id",
    "amount",
    "currency",
    "description",
    "command_id",
    "timestamp",
];

/// One half of a transfer.
struct Half<'a> {
    event: &'a Event,
    leg: &'a TransferLeg,
    is_debit: bool,
}

impl<'a> Half<'a> {
    fn of(event: &'a Event) -> Option<Self> {
        let leg = event.data.transfer()?;
        let is_debit = matches!(event.data, EventData::MoneyWithdrawn(_));
        Some(Self {
            event,
            leg,
            is_debit,
        })
    }

    fn from(&self) -> &'a str {
        if self.is_debit {
            self.own()
        } else {
            self.other()
        }
    }

    fn to(&self) -> &'a str {
        if self.is_debit {
            self.other()
        } else {
            self.own()
        }
    }

    fn own(&self) -> &'a str {
        self.event.account_id.as_str()
    }

    fn other(&self) -> &'a str {
        self.leg.counterparty_account_id.as_str()
    }
}

/// Compares the rows of these events' transfers, from the side of the half that each event is.
pub(super) async fn compare(
    pool: &PgPool,
    events: &[&Event],
    applied: &Applied,
    report: &mut Report,
) -> anyhow::Result<()> {
    let halves: Vec<Half<'_>> = events.iter().filter_map(|event| Half::of(event)).collect();
    if halves.is_empty() {
        return Ok(());
    }
    for row in differing(pool, &halves).await.context(UNREADABLE)? {
        judge(&row, applied, report).context(UNREADABLE)?;
    }
    Ok(())
}

/// What the database finds to be different.
async fn differing(pool: &PgPool, halves: &[Half<'_>]) -> Result<Vec<PgRow>, sqlx::Error> {
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
    let events = || halves.iter().map(|half| half.event);
    let currency = |event: &Event| event.currency().code().to_string();
    sqlx::query(AssertSqlSafe(sql))
        .bind(halves.iter().map(Half::own).collect::<Vec<&str>>())
        .bind(events().map(signed).collect::<Vec<i64>>())
        .bind(
            halves
                .iter()
                .map(|half| half.leg.transfer_id.as_uuid())
                .collect::<Vec<Uuid>>(),
        )
        .bind(
            halves
                .iter()
                .map(|half| half.is_debit)
                .collect::<Vec<bool>>(),
        )
        .bind(halves.iter().map(Half::from).collect::<Vec<&str>>())
        .bind(halves.iter().map(Half::to).collect::<Vec<&str>>())
        .bind(
            events()
                .map(|event| {
                    event
                        .data
                        .amount()
                        .map(ledger::Money::value)
                        .unwrap_or_default()
                })
                .collect::<Vec<Decimal>>(),
        )
        .bind(events().map(currency).collect::<Vec<String>>())
        .bind(
            events()
                .map(|event| event.data.description())
                .collect::<Vec<Option<&str>>>(),
        )
        .bind(
            events()
                .map(|event| event.command_id.as_uuid())
                .collect::<Vec<Uuid>>(),
        )
        .bind(
            events()
                .map(|event| event.recorded_at.to_date_time())
                .collect::<Vec<OffsetDateTime>>(),
        )
        .fetch_all(pool)
        .await
}

/// Says of a row that differs what is wrong with it, if its event counts as applied.
fn judge(row: &PgRow, applied: &Applied, report: &mut Report) -> Result<(), sqlx::Error> {
    let account_id: &str = row.try_get("account_id")?;
    let version: i64 = row.try_get("version")?;
    let transfer_id: Uuid = row.try_get("transfer_id")?;
    let violation = |message: &str| {
        Violation::new(format!("transfer {transfer_id}: {message}"))
            .of_rows(ReadModel::Transfers.name())
            .transfer(transfer_id)
            .at(account_id, version)
    };
    let counts_as_applied = version <= applied.version(ReadModel::Transfers, account_id);
    if row.try_get("missing")? {
        if counts_as_applied {
            let violation = violation("the event counts as applied, and the row is missing");
            report.violated(Invariant::ExactlyOnce, violation);
        }
        return Ok(());
    }
    if counts_as_applied && row.try_get("half_missing")? {
        let violation = violation("the event counts as applied, and not in the row");
        report.violated(Invariant::ExactlyOnce, violation);
    }
    if row.try_get("differs")? {
        let (expected, actual): (&str, &str) = (row.try_get("expected")?, row.try_get("actual")?);
        let violation = violation("the row does not say what the event says");
        report.violated(Invariant::Convergence, violation.values(expected, actual));
    }
    let (status, right): (&str, &str) = (row.try_get("status")?, row.try_get("right_status")?);
    if status != right {
        let violation = violation("the status is not what the halves say");
        report.violated(Invariant::Convergence, violation.values(right, status));
    }
    Ok(())
}

fn signed(event: &Event) -> i64 {
    i64::try_from(event.version.get()).unwrap_or(i64::MAX)
}
