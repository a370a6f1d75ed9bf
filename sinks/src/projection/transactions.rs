//! `transactions`: every line of every account. The lines of an account add up to its balance.

use ledger::{Event, EventData};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Projection;

/// The projection.
#[derive(Debug, Default)]
pub struct Transactions;

/// What kind of line an event is.
fn kind(event: &Event) -> &'static str {
    match (&event.data, event.data.transfer().is_some()) {
        (EventData::AccountCreated(_), _) => "opening",
        (EventData::MoneyDeposited(_), false) => "deposit",
        (EventData::MoneyDeposited(_), true) => "transfer_in",
        (EventData::MoneyWithdrawn(_), false) => "withdrawal",
        (EventData::MoneyWithdrawn(_), true) => "transfer_out",
    }
}

/// What the line adds to the balance.
fn signed_amount(event: &Event) -> String {
    let amount = event.data.amount();
    match &event.data {
        EventData::AccountCreated(_) | EventData::MoneyDeposited(_) => amount.to_string(),
        EventData::MoneyWithdrawn(_) => format!("-{amount}"),
    }
}

impl Projection for Transactions {
    const NAME: &'static str = "transactions";

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        events: &[Event],
    ) -> Result<(), sqlx::Error> {
        let column =
            |of: fn(&Event) -> Option<&str>| events.iter().map(of).collect::<Vec<Option<&str>>>();
        let transaction_id: Vec<Uuid> = events
            .iter()
            .map(|event| event.event_id.as_uuid())
            .collect();
        let account_id: Vec<&str> = events
            .iter()
            .map(|event| event.account_id.as_str())
            .collect();
        let version: Vec<i64> = events
            .iter()
            .map(|event| super::offset::signed(event.version))
            .collect();
        let kinds: Vec<&str> = events.iter().map(kind).collect();
        let amount: Vec<String> = events.iter().map(signed_amount).collect();
        let currency: Vec<String> = events
            .iter()
            .map(|event| event.currency().code().to_string())
            .collect();
        let balance_after: Vec<String> = events
            .iter()
            .map(|event| event.balance_after.to_string())
            .collect();
        let description = column(|event| event.data.description());
        let transfer_id: Vec<Option<Uuid>> = events
            .iter()
            .map(|event| event.data.transfer().map(|leg| leg.transfer_id.as_uuid()))
            .collect();
        let counterparty = column(|event| {
            event
                .data
                .transfer()
                .map(|leg| leg.counterparty_account_id.as_str())
        });
        let command_id: Vec<Uuid> = events
            .iter()
            .map(|event| event.command_id.as_uuid())
            .collect();
        let actor = column(|event| event.actor.as_deref());
        let timestamp: Vec<OffsetDateTime> = events
            .iter()
            .map(|event| event.recorded_at.to_date_time())
            .collect();
        sqlx::query(
            "INSERT INTO transactions
                (transaction_id, account_id, version, type, amount, currency, balance_after, description, transfer_id,
                 counterparty_account_id, command_id, actor, timestamp)
             SELECT u.transaction_id, u.account_id, u.version, u.type, u.amount::numeric, u.currency, u.balance_after::numeric,
                u.description, u.transfer_id, u.counterparty_account_id, u.command_id, u.actor, u.at
             FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::uuid[], $10::text[], $11::uuid[], $12::text[], $13::timestamptz[])
                AS u(transaction_id, account_id, version, type, amount, currency, balance_after, description,
                    transfer_id, counterparty_account_id, command_id, actor, at)",
        )
        .bind(transaction_id)
        .bind(account_id)
        .bind(version)
        .bind(kinds)
        .bind(amount)
        .bind(currency)
        .bind(balance_after)
        .bind(description)
        .bind(transfer_id)
        .bind(counterparty)
        .bind(command_id)
        .bind(actor)
        .bind(timestamp)
        .execute(transaction)
        .await?;
        Ok(())
    }
}
