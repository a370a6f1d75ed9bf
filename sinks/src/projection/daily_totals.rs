//! `daily_totals`: what moved on each day (UTC, of `recorded_at`), by currency and by type as in `transactions`. Events
//! that change no balance are left out. The rows are sums, and nothing in them says which events they hold: that each is
//! added once is the sink's work, as for all projections.

use std::collections::BTreeMap;

use ledger::{Currency, Day, Event};
use sqlx::PgConnection;

use super::Projection;
use super::transactions::kind;

/// The projection.
#[derive(Debug, Default)]
pub struct DailyTotals;

/// What a batch adds to a row.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    count: i64,
    /// In the currency's smallest unit. An amount has at most 27 digits, and so 128 bits hold the sum of more events than
    /// any batch has.
    units: i128,
}

/// One total per row: a statement can touch a row only once.
fn totals(events: &[&Event]) -> BTreeMap<(Currency, Day, &'static str), Total> {
    let mut totals: BTreeMap<_, Total> = BTreeMap::new();
    for event in events {
        let Some(change) = event.data.balance_change() else {
            continue;
        };
        let row = (event.currency(), event.recorded_at.day(), kind(event));
        let total = totals.entry(row).or_default();
        total.count += 1;
        total.units += change.value().mantissa().abs();
    }
    totals
}

impl Projection for DailyTotals {
    const NAME: &'static str = "daily_totals";
    const TABLES: &'static [&'static str] = &["daily_totals"];
    const DEFINITION: i32 = 1;

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        events: &[&Event],
    ) -> Result<(), sqlx::Error> {
        let totals = totals(events);
        if totals.is_empty() {
            return Ok(());
        }
        let currency: Vec<String> = totals.keys().map(|row| row.0.to_string()).collect();
        let day: Vec<String> = totals.keys().map(|row| row.1.to_string()).collect();
        let kinds: Vec<&str> = totals.keys().map(|row| row.2).collect();
        let count: Vec<i64> = totals.values().map(|total| total.count).collect();
        // 1050e-2 is 10.50, with the currency's decimals.
        let amount: Vec<String> = totals
            .iter()
            .map(|((currency, ..), total)| format!("{}e-{}", total.units, currency.exponent()))
            .collect();
        // Only one copy of the projection gets here at a time, behind the lock on its offset: what is added to is what
        // was committed last.
        sqlx::query(
            "INSERT INTO daily_totals AS known (currency, day, type, count, amount)
             SELECT u.currency, u.day::date, u.type, u.count, u.amount::numeric
             FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
                AS u(currency, day, type, count, amount)
             ON CONFLICT (currency, day, type) DO UPDATE SET
                count = known.count + excluded.count, amount = known.amount + excluded.amount",
        )
        .bind(currency)
        .bind(day)
        .bind(kinds)
        .bind(count)
        .bind(amount)
        .execute(transaction)
        .await?;
        Ok(())
    }
}
