//! `transactions`: every line of every account, one for each event. The lines of an account add up to its balance, and
//! to what is held.

use ledger::{Event, EventData, Money, PostingId, Timestamp};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Projection;

/// The projection.
#[derive(Debug, Default)]
pub struct Transactions;

/// What kind of line an event is.
pub(super) fn kind(event: &Event) -> &'static str {
    match &event.data {
        EventData::AccountCreated(_) => "opening",
        EventData::MoneyDeposited(moved) => match moved.transfer {
            Some(_) => "transfer_in",
            None if moved.posting_id.is_some() => "posting_in",
            None => "deposit",
        },
        EventData::MoneyWithdrawn(moved) => match (&moved.transfer, &moved.hold) {
            _ if moved.posting_id.is_some() => "posting_out",
            (Some(_), _) => "transfer_out",
            (None, Some(_)) => "capture",
            (None, None) => "withdrawal",
        },
        EventData::AccountFrozen(_) => "freeze",
        EventData::AccountUnfrozen(_) => "unfreeze",
        EventData::AccountClosed(_) => "closing",
        EventData::OverdraftLimitSet(_) => "overdraft_limit",
        EventData::AccountUpdated(_) => "update",
        EventData::AccountRulesSet(_) => "rules",
        EventData::HoldPlaced(_) => "hold",
        EventData::HoldReleased(_) => "release",
        EventData::HoldExpired(_) => "expiry",
    }
}

/// What the line adds to the balance.
fn signed_amount(event: &Event) -> String {
    event
        .data
        .balance_change()
        .unwrap_or(Money::zero(event.currency()))
        .to_string()
}

/// The earlier command whose money the line moves back.
fn reversed_command_id(event: &Event) -> Option<Uuid> {
    Some(event.data.reversal()?.command_id.as_uuid())
}

fn posting_id(event: &Event) -> Option<Uuid> {
    event.data.posting_id().map(PostingId::as_uuid)
}

/// The business date that the command gave.
fn effective_at(event: &Event) -> Option<OffsetDateTime> {
    event.data.effective_at().map(Timestamp::to_date_time)
}

/// One value of each event.
fn column<'a, T>(events: &[&'a Event], of: impl Fn(&'a Event) -> T) -> Vec<T> {
    events.iter().copied().map(of).collect()
}

impl Projection for Transactions {
    const NAME: &'static str = "transactions";
    const TABLES: &'static [&'static str] = &["transactions"];
    const DEFINITION: i32 = 1;

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        events: &[&Event],
    ) -> Result<(), sqlx::Error> {
        let transaction_id = column(events, |event| event.event_id.as_uuid());
        let account_id = column(events, |event| event.account_id.as_str());
        let version = column(events, |event| super::offset::signed(event.version));
        let kinds = column(events, kind);
        let amount = column(events, signed_amount);
        let currency = column(events, |event| event.currency().code().to_string());
        let balance_after = column(events, |event| event.balance_after.to_string());
        let description = column(events, |event| event.data.description());
        let transfer_id = column(events, |event| {
            event.data.transfer().map(|leg| leg.transfer_id.as_uuid())
        });
        let counterparty = column(events, |event| {
            let leg = event.data.transfer();
            leg.map(|leg| leg.counterparty_account_id.as_str())
        });
        let command_id = column(events, |event| event.command_id.as_uuid());
        let actor = column(events, |event| event.actor.as_deref());
        let timestamp = column(events, |event| event.recorded_at.to_date_time());
        let held = column(events, |event| {
            event.data.held_change().map(|held| held.to_string())
        });
        let held_after = column(events, |event| {
            let held = Some(event.held_after).filter(|held| !held.is_zero());
            held.map(|held| held.to_string())
        });
        let hold_id = column(events, |event| {
            event.data.hold().map(|hold| hold.hold_id.as_uuid())
        });
        let reversed_command_id = column(events, reversed_command_id);
        let posting_id = column(events, posting_id);
        let effective_at = column(events, effective_at);
        sqlx::query(
            "INSERT INTO transactions
                (transaction_id, account_id, version, type, amount, currency, balance_after, description, transfer_id,
                 counterparty_account_id, command_id, actor, timestamp, held, held_after, hold_id,
                 reversed_command_id, posting_id, effective_at)
             SELECT u.transaction_id, u.account_id, u.version, u.type, u.amount::numeric, u.currency, u.balance_after::numeric,
                u.description, u.transfer_id, u.counterparty_account_id, u.command_id, u.actor, u.at,
                u.held::numeric, u.held_after::numeric, u.hold_id, u.reversed_command_id, u.posting_id, u.effective_at
             FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::uuid[], $10::text[], $11::uuid[], $12::text[], $13::timestamptz[], $14::text[], $15::text[], $16::uuid[], $17::uuid[],
                $18::uuid[], $19::timestamptz[])
                AS u(transaction_id, account_id, version, type, amount, currency, balance_after, description,
                    transfer_id, counterparty_account_id, command_id, actor, at, held, held_after, hold_id, reversed_command_id,
                    posting_id, effective_at)",
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
        .bind(held)
        .bind(held_after)
        .bind(hold_id)
        .bind(reversed_command_id)
        .bind(posting_id)
        .bind(effective_at)
        .execute(transaction)
        .await?;
        Ok(())
    }
}
