//! `chronicle holds`: the holds of an account, newest first, as the read model has them.

use std::process::ExitCode;

use ledger::{Currency, CurrencyCode, Money, Timestamp};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use super::reach;
use super::rows::{Column, Rows};
use crate::arguments::{HoldStatus, HoldsArguments};
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// How many holds are read at a time.
const PAGE: u32 = 500;

/// Where the read model stands.
#[derive(Debug, Clone, Copy, Serialize)]
struct AsOf {
    /// The version of the account that it has applied.
    version: i64,
    /// The last sequence of the feed that it has applied.
    sequence: Option<i64>,
}

/// What is printed as JSON. The names are those of the read model's `holds`.
#[derive(Serialize)]
struct Line {
    account_id: String,
    hold_id: Uuid,
    status: String,
    amount: Money,
    captured: Money,
    remaining: Money,
    currency: CurrencyCode,
    expires_at: Option<Timestamp>,
    description: Option<String>,
    version: i64,
    placed_at: Timestamp,
    updated_at: Timestamp,
    as_of: AsOf,
}

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &HoldsArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let read_model = servers.read_model()?;
    let failed = |error: sqlx::Error| reach::read_model_failed(servers, &error);
    let mut connection = read_model.acquire().await.map_err(failed)?;
    let mut look = connection.begin().await.map_err(failed)?;
    // One look at all of it, and at where it stands.
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *look)
        .await
        .map_err(failed)?;
    let as_of = as_of(servers, &mut look, arguments).await?;
    let mut rows = Rows::new([
        Column::Left("hold"),
        Column::Left("status"),
        Column::Right("amount"),
        Column::Right("captured"),
        Column::Right("remaining"),
        Column::Left("currency"),
        Column::Left("placed at"),
        Column::Left("expires at"),
        Column::Left("description"),
    ]);
    let mut last = None;
    let mut shown = 0;
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let page = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let found = next_page(&mut look, arguments, last, page)
            .await
            .map_err(failed)?;
        for row in &found {
            let hold = line(row, as_of)?;
            last = Some((hold.placed_at, hold.hold_id));
            match output {
                Format::Json => output::json(&hold)?,
                Format::Table => rows.push(cells(hold))?,
            }
            shown += 1;
            left -= 1;
        }
        if found.len() < page as usize {
            break;
        }
    }
    look.rollback().await.map_err(failed)?;
    rows.flush()?;
    if output == Format::Table {
        let sequence = as_of.sequence.unwrap_or_default();
        if shown == 0 {
            let status = arguments
                .status
                .map(|status| format!("{} ", status.as_str()));
            output::say(format!(
                "account {} has no {}holds",
                arguments.account_id,
                status.unwrap_or_default()
            ));
        }
        output::line(format!(
            " as of version {} of the account, sequence {sequence} of the feed",
            as_of.version
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the read model stands, or that it does not know the account.
async fn as_of(
    servers: &ServerArguments,
    look: &mut PgConnection,
    arguments: &HoldsArguments,
) -> anyhow::Result<AsOf> {
    let found: Option<(i64, Option<i64>)> = sqlx::query_as(
        "SELECT version, (SELECT last_sequence FROM projection_offsets WHERE projection = 'holds')
         FROM projection_versions WHERE projection = 'holds' AND account_id = $1",
    )
    .bind(arguments.account_id.as_str())
    .fetch_optional(look)
    .await
    .map_err(|error| reach::read_model_failed(servers, &error))?;
    let Some((version, sequence)) = found else {
        return Err(exit::no(format!(
            "there is no account {} in the read model at {}; one that was just opened comes a moment later",
            arguments.account_id,
            reach::place(servers.read_model_url())
        )));
    };
    Ok(AsOf { version, sequence })
}

async fn next_page(
    look: &mut PgConnection,
    arguments: &HoldsArguments,
    last: Option<(Timestamp, Uuid)>,
    page: u32,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let status = arguments.status.map(|_| "AND status = $3");
    let behind = last.map(|_| "AND (placed_at, hold_id) < ($4, $5)");
    let sql = format!(
        "SELECT * FROM holds WHERE account_id = $1 {} {} ORDER BY placed_at DESC, hold_id DESC LIMIT $2",
        status.unwrap_or("AND $3::text IS NULL"),
        behind.unwrap_or("AND $4::timestamptz IS NULL AND $5::uuid IS NULL"),
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(arguments.account_id.as_str())
        .bind(i64::from(page))
        .bind(arguments.status.map(HoldStatus::as_str))
        .bind(last.map(|(placed_at, _)| placed_at.to_date_time()))
        .bind(last.map(|(_, hold_id)| hold_id))
        .fetch_all(look)
        .await
}

fn line(row: &PgRow, as_of: AsOf) -> anyhow::Result<Line> {
    let code: CurrencyCode = row.try_get::<&str, _>("currency")?.parse()?;
    let currency = Currency::lookup(code)?;
    let money = |name: &str| -> anyhow::Result<Money> {
        let value: Decimal = row.try_get(name)?;
        Ok(Money::from_database(value, currency)?)
    };
    let instant = |name: &str| -> anyhow::Result<Option<Timestamp>> {
        let at: Option<OffsetDateTime> = row.try_get(name)?;
        Ok(at.map(Timestamp::from_date_time))
    };
    let always = |at: Option<Timestamp>| at.ok_or_else(|| anyhow::anyhow!("a hold has no time"));
    Ok(Line {
        account_id: row.try_get("account_id")?,
        hold_id: row.try_get("hold_id")?,
        status: row.try_get("status")?,
        amount: money("amount")?,
        captured: money("captured")?,
        remaining: money("remaining")?,
        currency: code,
        expires_at: instant("expires_at")?,
        description: row.try_get("description")?,
        version: row.try_get("version")?,
        placed_at: always(instant("placed_at")?)?,
        updated_at: always(instant("updated_at")?)?,
        as_of,
    })
}

fn cells(hold: Line) -> [String; 9] {
    let expires_at = hold.expires_at.map(|at| at.to_string());
    [
        hold.hold_id.to_string(),
        hold.status,
        hold.amount.to_string(),
        hold.captured.to_string(),
        hold.remaining.to_string(),
        hold.currency.to_string(),
        hold.placed_at.to_string(),
        expires_at.unwrap_or_else(|| "-".to_owned()),
        hold.description.unwrap_or_default(),
    ]
}
