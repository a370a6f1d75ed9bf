//! `holds`: one row per hold, and it says what the hold's newest event says.
//!
//! A row is at the version of one event, and holds go on changing: a row that is behind an event is a violation if the
//! event counts as applied; a row that is ahead of it is compared with the event that it is at, when the walk comes there.

use anyhow::Context;
use ledger::{Event, EventData, Hold, Timestamp};
use rust_decimal::Decimal;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Applied, ReadModel, UNREADABLE, differ, differences};
use crate::commands::verify::report::{Invariant, Report, Violation};

const COLUMNS: [&str; 7] = [
    "amount",
    "captured",
    "remaining",
    "currency",
    "status",
    "expires_at",
    "updated_at",
];

/// What only the placing of a hold says.
const PLACING: [&str; 2] = ["description", "placed_at"];

/// Compares the rows of these events' holds.
pub(super) async fn compare(
    pool: &PgPool,
    events: &[&Event],
    applied: &Applied,
    report: &mut Report,
) -> anyhow::Result<()> {
    let changes: Vec<(&Event, &Hold)> = events
        .iter()
        .filter_map(|event| Some((*event, event.data.hold()?)))
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    for row in differing(pool, &changes).await.context(UNREADABLE)? {
        judge(&row, applied, report).context(UNREADABLE)?;
    }
    report.checked(Invariant::ExactlyOnce, "hold events", changes.len() as u64);
    Ok(())
}

/// What the database finds to be different.
async fn differing(pool: &PgPool, changes: &[(&Event, &Hold)]) -> Result<Vec<PgRow>, sqlx::Error> {
    let columns: Vec<&str> = COLUMNS.into_iter().chain(PLACING).collect();
    let sql = format!(
        "SELECT wanted.account_id, wanted.version, wanted.hold_id, found.version AS found_version, {differences}
         FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::boolean[], $5::numeric[], $6::numeric[], $7::numeric[],
            $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[], $12::text[], $13::timestamptz[])
            AS wanted(account_id, version, hold_id, is_placing, {columns})
         LEFT JOIN holds AS found ON found.account_id = wanted.account_id AND found.hold_id = wanted.hold_id
         WHERE found.version IS NULL OR found.version < wanted.version
            OR (found.version = wanted.version AND {differ})
            OR (wanted.is_placing AND {placing_differs})",
        differences = differences(&columns),
        columns = columns.join(", "),
        differ = differ(&COLUMNS),
        placing_differs = differ(&PLACING),
    );
    let text = |of: fn(&Hold) -> Decimal| {
        changes
            .iter()
            .map(|(_, hold)| of(hold))
            .collect::<Vec<Decimal>>()
    };
    let events = || changes.iter().map(|(event, _)| *event);
    let at = |event: &Event| event.recorded_at.to_date_time();
    let is_placing = |event: &Event| matches!(event.data, EventData::HoldPlaced(_));
    sqlx::query(AssertSqlSafe(sql))
        .bind(
            events()
                .map(|event| event.account_id.as_str())
                .collect::<Vec<&str>>(),
        )
        .bind(events().map(signed).collect::<Vec<i64>>())
        .bind(
            changes
                .iter()
                .map(|(_, hold)| hold.hold_id.as_uuid())
                .collect::<Vec<Uuid>>(),
        )
        .bind(events().map(is_placing).collect::<Vec<bool>>())
        .bind(text(|hold| hold.amount.value()))
        .bind(text(|hold| hold.captured.value()))
        .bind(text(|hold| hold.remaining.value()))
        .bind(
            events()
                .map(|event| event.currency().to_string())
                .collect::<Vec<String>>(),
        )
        .bind(
            changes
                .iter()
                .map(|(event, hold)| status(hold, &event.data))
                .collect::<Vec<&str>>(),
        )
        .bind(
            changes
                .iter()
                .map(|(_, hold)| hold.expires_at.map(Timestamp::to_date_time))
                .collect::<Vec<Option<OffsetDateTime>>>(),
        )
        .bind(events().map(at).collect::<Vec<OffsetDateTime>>())
        .bind(
            events()
                .map(|event| event.data.description().filter(|_| is_placing(event)))
                .collect::<Vec<Option<&str>>>(),
        )
        .bind(events().map(at).collect::<Vec<OffsetDateTime>>())
        .fetch_all(pool)
        .await
}

/// How a hold stands after the event.
fn status(hold: &Hold, data: &EventData) -> &'static str {
    let nothing_captured = hold.captured.is_zero();
    match data {
        EventData::HoldPlaced(_) => "open",
        _ if !hold.remaining.is_zero() => "open",
        EventData::HoldExpired(_) => "expired",
        EventData::HoldReleased(_) if nothing_captured => "released",
        _ => "captured",
    }
}

/// Says of a row that differs what is wrong with it, if its event counts as applied.
fn judge(row: &PgRow, applied: &Applied, report: &mut Report) -> Result<(), sqlx::Error> {
    let account_id: &str = row.try_get("account_id")?;
    let version: i64 = row.try_get("version")?;
    let hold_id: Uuid = row.try_get("hold_id")?;
    let violation = |message: &str| {
        Violation::new(format!("hold {hold_id}: {message}"))
            .of_rows(ReadModel::Holds.name())
            .at(account_id, version)
    };
    let counts_as_applied = version <= applied.version(ReadModel::Holds, account_id);
    let found: Option<i64> = row.try_get("found_version")?;
    match found {
        None if counts_as_applied => report.violated(
            Invariant::ExactlyOnce,
            violation("the event counts as applied, and the row is missing"),
        ),
        Some(found) if found < version && counts_as_applied => {
            let violation = violation("the event counts as applied, and the row is behind it");
            report.violated(
                Invariant::ExactlyOnce,
                violation.values(format!("version {version}"), format!("version {found}")),
            );
        }
        Some(found) if found >= version => {
            let (expected, actual): (&str, &str) =
                (row.try_get("expected")?, row.try_get("actual")?);
            let violation = violation("the row does not say what the event says");
            report.violated(Invariant::Convergence, violation.values(expected, actual));
        }
        _ => {}
    }
    Ok(())
}

fn signed(event: &Event) -> i64 {
    i64::try_from(event.version.get()).unwrap_or(i64::MAX)
}
