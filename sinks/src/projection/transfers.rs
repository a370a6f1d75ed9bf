//! `transfers`: every transfer, seen from both accounts. Its two halves come as two events, in any order and perhaps in
//! different batches: `pending` while only one has been applied, `completed` with both.

use std::collections::BTreeMap;

use ledger::{Event, EventData};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Projection;

/// The projection.
#[derive(Debug, Default)]
pub struct Transfers;

/// One transfer as far as this batch knows it.
struct Row<'a> {
    from_account_id: &'a str,
    to_account_id: &'a str,
    amount: String,
    currency: String,
    debit_applied: bool,
    credit_applied: bool,
    description: Option<&'a str>,
    command_id: Uuid,
    timestamp: OffsetDateTime,
}

/// One row per transfer: a statement can touch a row only once.
fn rows<'a>(events: &[&'a Event]) -> BTreeMap<Uuid, Row<'a>> {
    let mut rows = BTreeMap::new();
    for event in events {
        let (debit, moved) = match &event.data {
            EventData::MoneyWithdrawn(moved) => (true, moved),
            EventData::MoneyDeposited(moved) => (false, moved),
            _ => continue,
        };
        let Some(leg) = &moved.transfer else {
            continue;
        };
        let (own, other) = (
            event.account_id.as_str(),
            leg.counterparty_account_id.as_str(),
        );
        let row = rows
            .entry(leg.transfer_id.as_uuid())
            .or_insert_with(|| Row {
                from_account_id: if debit { own } else { other },
                to_account_id: if debit { other } else { own },
                amount: moved.amount.to_string(),
                currency: event.currency().code().to_string(),
                debit_applied: false,
                credit_applied: false,
                description: event.data.description(),
                command_id: event.command_id.as_uuid(),
                timestamp: event.recorded_at.to_date_time(),
            });
        row.debit_applied |= debit;
        row.credit_applied |= !debit;
    }
    rows
}

impl Projection for Transfers {
    const NAME: &'static str = "transfers";
    const TABLES: &'static [&'static str] = &["transfers"];
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
        let transfer_id: Vec<Uuid> = rows.keys().copied().collect();
        let from: Vec<&str> = rows.values().map(|row| row.from_account_id).collect();
        let to: Vec<&str> = rows.values().map(|row| row.to_account_id).collect();
        let amount: Vec<&str> = rows.values().map(|row| row.amount.as_str()).collect();
        let currency: Vec<&str> = rows.values().map(|row| row.currency.as_str()).collect();
        let debit_applied: Vec<bool> = rows.values().map(|row| row.debit_applied).collect();
        let credit_applied: Vec<bool> = rows.values().map(|row| row.credit_applied).collect();
        let description: Vec<Option<&str>> = rows.values().map(|row| row.description).collect();
        let command_id: Vec<Uuid> = rows.values().map(|row| row.command_id).collect();
        let timestamp: Vec<OffsetDateTime> = rows.values().map(|row| row.timestamp).collect();
        sqlx::query(
            "INSERT INTO transfers AS known
                (transfer_id, from_account_id, to_account_id, amount, currency, status, debit_applied, credit_applied,
                 description, command_id, timestamp)
             SELECT u.transfer_id, u.from_account_id, u.to_account_id, u.amount::numeric, u.currency,
                CASE WHEN u.debit_applied AND u.credit_applied THEN 'completed' ELSE 'pending' END,
                u.debit_applied, u.credit_applied, u.description, u.command_id, u.timestamp
             FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::boolean[],
                $8::text[], $9::uuid[], $10::timestamptz[])
                AS u(transfer_id, from_account_id, to_account_id, amount, currency, debit_applied, credit_applied,
                    description, command_id, timestamp)
             ON CONFLICT (transfer_id) DO UPDATE SET
                debit_applied = known.debit_applied OR excluded.debit_applied,
                credit_applied = known.credit_applied OR excluded.credit_applied,
                status = CASE WHEN (known.debit_applied OR excluded.debit_applied)
                    AND (known.credit_applied OR excluded.credit_applied) THEN 'completed' ELSE 'pending' END",
        )
        .bind(transfer_id)
        .bind(from)
        .bind(to)
        .bind(amount)
        .bind(currency)
        .bind(debit_applied)
        .bind(credit_applied)
        .bind(description)
        .bind(command_id)
        .bind(timestamp)
        .execute(transaction)
        .await?;
        Ok(())
    }
}
