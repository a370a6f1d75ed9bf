//! `account_balance`: what is in each account now.

use std::collections::HashMap;

use ledger::{Event, EventData};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::Projection;

/// The projection.
#[derive(Debug, Default)]
pub struct AccountBalance;

impl Projection for AccountBalance {
    const NAME: &'static str = "account_balance";

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        events: &[Event],
    ) -> Result<(), sqlx::Error> {
        open(transaction, events).await?;
        move_balances(transaction, events).await
    }
}

/// Accounts that were opened: a row each, as it was then.
async fn open(transaction: &mut PgConnection, events: &[Event]) -> Result<(), sqlx::Error> {
    let mut account_id: Vec<&str> = Vec::new();
    let mut owner_name: Vec<&str> = Vec::new();
    let mut balance: Vec<String> = Vec::new();
    let mut currency: Vec<String> = Vec::new();
    let mut overdraft_limit: Vec<String> = Vec::new();
    let mut version: Vec<i64> = Vec::new();
    let mut opened_at: Vec<OffsetDateTime> = Vec::new();
    for event in events {
        let EventData::AccountCreated(created) = &event.data else {
            continue;
        };
        account_id.push(event.account_id.as_str());
        owner_name.push(&created.owner_name);
        balance.push(event.balance_after.to_string());
        currency.push(event.currency().code().to_string());
        overdraft_limit.push(created.overdraft_limit.to_string());
        version.push(super::offset::signed(event.version));
        opened_at.push(event.recorded_at.to_date_time());
    }
    if account_id.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO account_balance
            (account_id, owner_name, balance, currency, overdraft_limit, status, version, opened_at, updated_at)
         SELECT u.account_id, u.owner_name, u.balance::numeric, u.currency, u.overdraft_limit::numeric, 'active', u.version, u.opened_at, u.opened_at
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[])
            AS u(account_id, owner_name, balance, currency, overdraft_limit, version, opened_at)",
    )
    .bind(account_id)
    .bind(owner_name)
    .bind(balance)
    .bind(currency)
    .bind(overdraft_limit)
    .bind(version)
    .bind(opened_at)
    .execute(transaction)
    .await?;
    Ok(())
}

/// The newest event of each account says what is in it.
async fn move_balances(
    transaction: &mut PgConnection,
    events: &[Event],
) -> Result<(), sqlx::Error> {
    let mut newest: HashMap<&str, &Event> = HashMap::new();
    for event in events {
        newest.insert(event.account_id.as_str(), event);
    }
    newest.retain(|_, event| !matches!(event.data, EventData::AccountCreated(_)));
    if newest.is_empty() {
        return Ok(());
    }
    let account_id: Vec<&str> = newest.keys().copied().collect();
    let balance: Vec<String> = newest
        .values()
        .map(|event| event.balance_after.to_string())
        .collect();
    let version: Vec<i64> = newest
        .values()
        .map(|event| super::offset::signed(event.version))
        .collect();
    let updated_at: Vec<OffsetDateTime> = newest
        .values()
        .map(|event| event.recorded_at.to_date_time())
        .collect();
    sqlx::query(
        "UPDATE account_balance
         SET balance = u.balance::numeric, version = u.version, updated_at = u.updated_at
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[])
            AS u(account_id, balance, version, updated_at)
         WHERE account_balance.account_id = u.account_id",
    )
    .bind(account_id)
    .bind(balance)
    .bind(version)
    .bind(updated_at)
    .execute(transaction)
    .await?;
    Ok(())
}
