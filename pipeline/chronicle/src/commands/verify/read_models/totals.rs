//! `daily_totals`: each row is the sum of the events that count as applied.
//!
//! A sum cannot be compared event by event, and it goes on changing. So rows and versions are read in one short transaction
//! that sees the read model at one instant, and the events up to those versions are added up, page by page. That instant is
//! before the event store is read, which therefore has all of them. The versions stand in a temporary table of the
//! database meanwhile, so no transaction stays open however long the walk takes.
//!
//! A swap, a repair or a rewind meanwhile changes nothing of what is compared. But what is found then is about rows that
//! readers may not see any more, so it is not reported: the offset's generation and definition tell.
//!
//! State: the rows, and as many sums.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context;
use ledger::{Currency, Day, Event};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{Acquire, AssertSqlSafe, PgConnection, Postgres, Row};
use store::EventRow;

use super::transactions::kind;
use super::{ReadModel, differ, differences};
use crate::commands::verify::report::{Invariant, Report, Violation};

const COLUMNS: [&str; 2] = ["count", "amount"];

/// A row as the events make it.
#[derive(Debug, Clone, Copy, Default)]
struct Total {
    count: i64,
    /// In the currency's smallest unit.
    units: i128,
}

/// The rows as they are, column by column.
#[derive(Debug, Default)]
struct Found {
    currency: Vec<String>,
    day: Vec<String>,
    kind: Vec<String>,
    count: Vec<i64>,
    /// As text: what somebody has put there may be no decimal of ours.
    amount: Vec<String>,
}

/// The sums of the events that count as applied.
pub(in crate::commands::verify) struct Totals {
    /// With the temporary table of the versions.
    connection: PoolConnection<Postgres>,
    found: Found,
    /// Which life of the rows they are of.
    life: Option<Life>,
    sums: BTreeMap<(Currency, Day, &'static str), Total>,
    /// Events that count as applied and cannot be read.
    unreadable: u64,
}

/// Which life of a read model it is: every swap begins another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Life {
    generation: i64,
    definition: i32,
}

impl Life {
    async fn look(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT generation, definition FROM projection_offsets WHERE projection = $1",
        )
        .bind(ReadModel::DailyTotals.name())
        .fetch_optional(connection)
        .await?;
        row.map(|row| {
            Ok(Self {
                generation: row.try_get("generation")?,
                definition: row.try_get("definition")?,
            })
        })
        .transpose()
    }
}

impl Found {
    /// Reads all rows. Being the first query, this is what fixes the instant.
    async fn read(transaction: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let mut found = Self::default();
        // Going back to a savepoint lets go of the locks that were taken behind it.
        let mut savepoint = transaction.begin().await?;
        // Before the instant: otherwise a swap in between would give us the new table as it was before.
        sqlx::query("LOCK TABLE daily_totals IN ACCESS SHARE MODE")
            .execute(&mut *savepoint)
            .await?;
        let rows = sqlx::query(
            "SELECT currency, to_char(day, 'YYYY-MM-DD') AS day, type, count, amount::text AS amount FROM daily_totals",
        )
        .fetch_all(&mut *savepoint)
        .await?;
        savepoint.rollback().await?;
        for row in rows {
            found.currency.push(row.try_get("currency")?);
            found.day.push(row.try_get("day")?);
            found.kind.push(row.try_get("type")?);
            found.count.push(row.try_get("count")?);
            found.amount.push(row.try_get("amount")?);
        }
        Ok(found)
    }
}

impl Totals {
    /// Fixes the instant.
    pub(in crate::commands::verify) async fn begin(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut connection = pool.acquire().await?;
        for statement in [
            "DROP TABLE IF EXISTS pg_temp.verified_versions",
            "CREATE TEMPORARY TABLE verified_versions (account_id TEXT PRIMARY KEY, version BIGINT NOT NULL)",
        ] {
            sqlx::query(statement).execute(&mut *connection).await?;
        }
        let mut transaction = connection.begin().await?;
        for statement in [
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
            "SET LOCAL statement_timeout = 0",
        ] {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        let found = Found::read(&mut transaction).await?;
        let life = Life::look(&mut transaction).await?;
        sqlx::query(
            "INSERT INTO pg_temp.verified_versions
             SELECT account_id, version FROM projection_versions WHERE projection = $1",
        )
        .bind(ReadModel::DailyTotals.name())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        sqlx::query("ANALYZE pg_temp.verified_versions")
            .execute(&mut *connection)
            .await?;
        Ok(Self {
            connection,
            found,
            life,
            sums: BTreeMap::new(),
            unreadable: 0,
        })
    }

    /// Adds those events of a page that count as applied.
    pub(in crate::commands::verify) async fn add(
        &mut self,
        page: &[EventRow],
    ) -> anyhow::Result<()> {
        let applied = self.applied(page).await?;
        let counts = |row: &&EventRow| {
            let version = applied.get(&row.account_id);
            version.is_some_and(|version| row.version <= *version)
        };
        for row in page.iter().filter(counts) {
            match &row.event {
                Ok(event) => self.add_event(event)?,
                Err(_) => self.unreadable += 1,
            }
        }
        Ok(())
    }

    /// Up to where the page's accounts are applied.
    async fn applied(&mut self, page: &[EventRow]) -> Result<HashMap<String, i64>, sqlx::Error> {
        let names: HashSet<&str> = page.iter().map(|row| row.account_id.as_str()).collect();
        sqlx::query_as(
            "SELECT account_id, version FROM pg_temp.verified_versions WHERE account_id = ANY($1)",
        )
        .bind(names.into_iter().collect::<Vec<&str>>())
        .fetch_all(&mut *self.connection)
        .await
        .map(|rows| rows.into_iter().collect())
    }

    fn add_event(&mut self, event: &Event) -> anyhow::Result<()> {
        let Some(change) = event.data.balance_change() else {
            return Ok(());
        };
        let row = (event.currency(), event.recorded_at.day(), kind(event));
        let total = self.sums.entry(row).or_default();
        total.count += 1;
        let units = change.value().mantissa().checked_abs();
        total.units = units
            .and_then(|units| total.units.checked_add(units))
            .context("a day's total does not fit into 128 bits")?;
        Ok(())
    }

    /// Compares the sums with all rows.
    pub(in crate::commands::verify) async fn compare(
        mut self,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        if self.unreadable > 0 {
            let reason = format!(
                "{} was not compared: {} events of its sums cannot be read",
                ReadModel::DailyTotals.name(),
                self.unreadable
            );
            report.not_checked(Invariant::Convergence, reason);
            return Ok(());
        }
        let differing = self.differing().await?;
        let life = Life::look(&mut self.connection).await?;
        sqlx::query("DROP TABLE pg_temp.verified_versions")
            .execute(&mut *self.connection)
            .await?;
        if life != self.life && !differing.is_empty() {
            let reason = format!(
                "{} was swapped or moved by order while it was compared: compare it again",
                ReadModel::DailyTotals.name()
            );
            report.not_checked(Invariant::Convergence, reason);
            return Ok(());
        }
        for row in differing {
            judge(&row, report)?;
        }
        report.checked(Invariant::Convergence, "totals", self.sums.len() as u64);
        Ok(())
    }

    /// What the database finds to be different.
    async fn differing(&mut self) -> Result<Vec<PgRow>, sqlx::Error> {
        let sql = format!(
            "WITH wanted AS (
                SELECT currency, day, type, count, amount::numeric
                FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
                    AS u(currency, day, type, count, amount)
             ), found AS (
                SELECT currency, day, type, count, amount::numeric
                FROM unnest($6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[])
                    AS u(currency, day, type, count, amount)
             )
             SELECT currency, day, type, found.count IS NULL AS missing, wanted.count IS NULL AS extra, {differences}
             FROM wanted FULL JOIN found USING (currency, day, type)
             WHERE {differ} ORDER BY currency, day, type",
            differences = differences(&COLUMNS),
            differ = differ(&COLUMNS),
        );
        let rows = || self.sums.keys();
        // 1050e-2 is 10.50: a sum may have more digits than a decimal of ours.
        let amount: Vec<String> = self
            .sums
            .iter()
            .map(|((currency, ..), total)| format!("{}e-{}", total.units, currency.exponent()))
            .collect();
        sqlx::query(AssertSqlSafe(sql))
            .bind(rows().map(|row| row.0.to_string()).collect::<Vec<_>>())
            .bind(rows().map(|row| row.1.to_string()).collect::<Vec<_>>())
            .bind(rows().map(|row| row.2).collect::<Vec<_>>())
            .bind(
                self.sums
                    .values()
                    .map(|total| total.count)
                    .collect::<Vec<_>>(),
            )
            .bind(amount)
            .bind(&self.found.currency)
            .bind(&self.found.day)
            .bind(&self.found.kind)
            .bind(&self.found.count)
            .bind(&self.found.amount)
            .fetch_all(&mut *self.connection)
            .await
    }
}

/// Says of a row that differs what is wrong with it.
fn judge(row: &PgRow, report: &mut Report) -> Result<(), sqlx::Error> {
    let message = if row.try_get("missing")? {
        "events count as applied, and their row is missing"
    } else if row.try_get("extra")? {
        "the row belongs to no event"
    } else {
        "the row is not the sum of the events that count as applied"
    };
    let (currency, day): (&str, &str) = (row.try_get("currency")?, row.try_get("day")?);
    let kind: &str = row.try_get("type")?;
    let (expected, actual): (&str, &str) = (row.try_get("expected")?, row.try_get("actual")?);
    let violation = Violation::new(format!("{currency} {day} {kind}: {message}"))
        .of_rows(ReadModel::DailyTotals.name())
        .values(expected, actual);
    report.violated(Invariant::Convergence, violation);
    Ok(())
}
