//! `account_balance`: what is in each account now, and what is known about it.

use std::collections::{BTreeMap, HashMap};

use ledger::{Event, EventData, Profile};
use sqlx::{PgConnection, Row};
use time::OffsetDateTime;

use super::Projection;

/// The projection.
#[derive(Debug, Default)]
pub struct AccountBalance;

impl Projection for AccountBalance {
    const NAME: &'static str = "account_balance";
    const TABLES: &'static [&'static str] = &["account_balance"];
    const DEFINITION: i32 = 1;

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        events: &[&Event],
    ) -> Result<(), sqlx::Error> {
        open(transaction, events).await?;
        describe(transaction, events).await?;
        move_balances(transaction, events).await
    }
}

/// Accounts that were opened: a row each, as it was then.
async fn open(transaction: &mut PgConnection, events: &[&Event]) -> Result<(), sqlx::Error> {
    let mut account_id: Vec<&str> = Vec::new();
    let mut owner_name: Vec<&str> = Vec::new();
    let mut balance: Vec<String> = Vec::new();
    let mut currency: Vec<String> = Vec::new();
    let mut overdraft_limit: Vec<String> = Vec::new();
    let mut version: Vec<i64> = Vec::new();
    let mut opened_at: Vec<OffsetDateTime> = Vec::new();
    let mut held: Vec<String> = Vec::new();
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
        held.push(event.held_after.to_string());
    }
    if account_id.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO account_balance
            (account_id, owner_name, balance, held, currency, overdraft_limit, status, version, opened_at, updated_at)
         SELECT u.account_id, u.owner_name, u.balance::numeric, u.held::numeric, u.currency, u.overdraft_limit::numeric,
            'active', u.version, u.opened_at, u.opened_at
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[],
            $8::text[])
            AS u(account_id, owner_name, balance, currency, overdraft_limit, version, opened_at, held)",
    )
    .bind(account_id)
    .bind(owner_name)
    .bind(balance)
    .bind(currency)
    .bind(overdraft_limit)
    .bind(version)
    .bind(opened_at)
    .bind(held)
    .execute(transaction)
    .await?;
    Ok(())
}

/// Events that change what is known about an account: each changes the row as it is then. They are few, and each account's
/// row is read and written once.
async fn describe(transaction: &mut PgConnection, events: &[&Event]) -> Result<(), sqlx::Error> {
    let mut changes: BTreeMap<&str, Vec<&EventData>> = BTreeMap::new();
    for event in events {
        let is_description = matches!(
            event.data,
            EventData::AccountFrozen(_)
                | EventData::AccountUnfrozen(_)
                | EventData::AccountClosed(_)
                | EventData::OverdraftLimitSet(_)
                | EventData::AccountUpdated(_)
                | EventData::AccountRulesSet(_)
        );
        if is_description {
            changes
                .entry(event.account_id.as_str())
                .or_default()
                .push(&event.data);
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let mut account_id: Vec<&str> = Vec::new();
    let mut owner_name: Vec<String> = Vec::new();
    let mut overdraft_limit: Vec<String> = Vec::new();
    let mut status: Vec<&str> = Vec::new();
    let mut freeze_reason: Vec<Option<String>> = Vec::new();
    let mut metadata: Vec<String> = Vec::new();
    let mut rules: Vec<String> = Vec::new();
    let names: Vec<&str> = changes.keys().copied().collect();
    let rows = sqlx::query(
        "SELECT account_id, jsonb_build_object('owner_name', owner_name, 'currency', currency,
            'overdraft_limit', overdraft_limit::text, 'status', status, 'freeze_reason', freeze_reason,
            'metadata', metadata, 'rules', NULLIF(rules, '{}'))::text AS profile
         FROM account_balance WHERE account_id = ANY($1) FOR UPDATE",
    )
    .bind(names)
    .fetch_all(&mut *transaction)
    .await?;
    for row in &rows {
        let mut profile: Profile = serde_json::from_str(row.try_get("profile")?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?;
        let Some((name, changes)) = changes.get_key_value(row.try_get::<&str, _>("account_id")?)
        else {
            continue;
        };
        for change in changes {
            profile.apply(change);
        }
        account_id.push(name);
        owner_name.push(profile.owner_name);
        overdraft_limit.push(profile.overdraft_limit);
        status.push(profile.status.as_str());
        freeze_reason.push(profile.freeze_reason);
        metadata
            .push(serde_json::to_string(&profile.metadata).expect("a map of strings becomes JSON"));
        rules.push(
            serde_json::to_string(&profile.rules.unwrap_or_default()).expect("rules become JSON"),
        );
    }
    sqlx::query(
        "UPDATE account_balance
         SET owner_name = u.owner_name, overdraft_limit = u.overdraft_limit::numeric, status = u.status,
            freeze_reason = u.freeze_reason, metadata = u.metadata::jsonb, rules = u.rules::jsonb
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
            AS u(account_id, owner_name, overdraft_limit, status, freeze_reason, metadata, rules)
         WHERE account_balance.account_id = u.account_id",
    )
    .bind(account_id)
    .bind(owner_name)
    .bind(overdraft_limit)
    .bind(status)
    .bind(freeze_reason)
    .bind(metadata)
    .bind(rules)
    .execute(transaction)
    .await?;
    Ok(())
}

/// The newest event of each account says what is in it.
async fn move_balances(
    transaction: &mut PgConnection,
    events: &[&Event],
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
    let held: Vec<String> = newest
        .values()
        .map(|event| event.held_after.to_string())
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
         SET balance = u.balance::numeric, held = u.held::numeric, version = u.version, updated_at = u.updated_at
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[])
            AS u(account_id, balance, held, version, updated_at)
         WHERE account_balance.account_id = u.account_id",
    )
    .bind(account_id)
    .bind(balance)
    .bind(held)
    .bind(version)
    .bind(updated_at)
    .execute(transaction)
    .await?;
    Ok(())
}
