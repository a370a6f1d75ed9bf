//! `holds`: every hold as it is now. An event that changes a hold carries it as it is afterwards, so the newest one of a
//! batch makes the row.

use std::collections::BTreeMap;

use ledger::{AccountId, Event, EventData, Hold, HoldId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Projection;

/// The projection.
#[derive(Debug, Default)]
pub struct Holds;

/// A hold as far as this batch knows it.
struct Row<'a> {
    hold: &'a Hold,
    status: &'static str,
    /// Of its placing, if that is in this batch; otherwise the row has them.
    description: Option<&'a str>,
    placed_at: OffsetDateTime,
    version: i64,
    updated_at: OffsetDateTime,
}

/// What became of a hold by an event that changes it.
fn status(hold: &Hold, data: &EventData) -> &'static str {
    match data {
        _ if hold.is_open() => "open",
        EventData::HoldExpired(_) => "expired",
        EventData::HoldReleased(_) if hold.captured.is_zero() => "released",
        _ => "captured",
    }
}

/// One row per hold: a statement can touch a row only once.
fn rows<'a>(events: &[&'a Event]) -> BTreeMap<(&'a AccountId, HoldId), Row<'a>> {
    let mut rows: BTreeMap<(&AccountId, HoldId), Row<'_>> = BTreeMap::new();
    for event in events {
        let Some(hold) = event.data.hold() else {
            continue;
        };
        let at = event.recorded_at.to_date_time();
        let row = rows
            .entry((&event.account_id, hold.hold_id))
            .or_insert_with(|| Row {
                hold,
                status: "open",
                description: event.data.description(),
                placed_at: at,
                version: 0,
                updated_at: at,
            });
        row.hold = hold;
        row.status = status(hold, &event.data);
        row.version = super::offset::signed(event.version);
        row.updated_at = at;
    }
    rows
}

impl Projection for Holds {
    const NAME: &'static str = "holds";
    const TABLES: &'static [&'static str] = &["holds"];
    const DEFINITION: i32 = 1;

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        events: &[&Event],
    ) -> Result<(), sqlx::Error> {
        let rows = rows(events);
        if rows.is_empty() {
            return Ok(());
        }
        let account_id: Vec<&str> = rows.keys().map(|(id, _)| id.as_str()).collect();
        let hold_id: Vec<Uuid> = rows.keys().map(|(_, id)| id.as_uuid()).collect();
        let text = |of: fn(&Hold) -> String| rows.values().map(|row| of(row.hold)).collect();
        let amount: Vec<String> = text(|hold| hold.amount.to_string());
        let captured: Vec<String> = text(|hold| hold.captured.to_string());
        let remaining: Vec<String> = text(|hold| hold.remaining.to_string());
        let currency: Vec<String> = text(|hold| hold.amount.currency().to_string());
        let status: Vec<&str> = rows.values().map(|row| row.status).collect();
        let expires_at: Vec<Option<OffsetDateTime>> = rows
            .values()
            .map(|row| row.hold.expires_at.map(ledger::Timestamp::to_date_time))
            .collect();
        let description: Vec<Option<&str>> = rows.values().map(|row| row.description).collect();
        let version: Vec<i64> = rows.values().map(|row| row.version).collect();
        let placed_at: Vec<OffsetDateTime> = rows.values().map(|row| row.placed_at).collect();
        let updated_at: Vec<OffsetDateTime> = rows.values().map(|row| row.updated_at).collect();
        sqlx::query(
            "INSERT INTO holds
                (account_id, hold_id, amount, captured, remaining, currency, status, expires_at, description, version,
                 placed_at, updated_at)
             SELECT u.account_id, u.hold_id, u.amount::numeric, u.captured::numeric, u.remaining::numeric, u.currency,
                u.status, u.expires_at, u.description, u.version, u.placed_at, u.updated_at
             FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::timestamptz[], $9::text[], $10::bigint[], $11::timestamptz[], $12::timestamptz[])
                AS u(account_id, hold_id, amount, captured, remaining, currency, status, expires_at, description,
                    version, placed_at, updated_at)
             ON CONFLICT (account_id, hold_id) DO UPDATE SET
                captured = excluded.captured, remaining = excluded.remaining, status = excluded.status,
                version = excluded.version, updated_at = excluded.updated_at",
        )
        .bind(account_id)
        .bind(hold_id)
        .bind(amount)
        .bind(captured)
        .bind(remaining)
        .bind(currency)
        .bind(status)
        .bind(expires_at)
        .bind(description)
        .bind(version)
        .bind(placed_at)
        .bind(updated_at)
        .execute(transaction)
        .await?;
        Ok(())
    }
}
