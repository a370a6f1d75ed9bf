//! The holds of an account, as the read model has them now.

use axum::Json;
use axum::extract::State;
use ledger::{AccountId, Currency, CurrencyCode, HoldId, Money, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder, Row};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::accounts::{
    AsOf, check_limit, instant, money, page, parsed, sequence, unknown, unsigned, wait_for_version,
};
use super::extract::{InPath, InPathPair, InQuery, Number};
use super::problem::Problem;
use super::{Api, cursor};

const PROJECTION: &str = "holds";

/// Where the read model stands that an answer was read from.
const SEQUENCE: &str =
    "(SELECT last_sequence FROM projection_offsets WHERE projection = 'holds') AS sequence";

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
}

/// Money of an account that is, or was, reserved.
#[derive(Debug, Serialize, ToSchema)]
struct HoldDocument {
    hold_id: Uuid,
    #[schema(value_type = HoldStatus)]
    status: String,
    /// How much was reserved at first.
    #[schema(value_type = String, example = "50.00")]
    amount: Money,
    /// How much of it was taken.
    #[schema(value_type = String, example = "30.00")]
    captured: Money,
    /// How much of it is still held. What is missing to `amount` was released, or has expired.
    #[schema(value_type = String, example = "20.00")]
    remaining: Money,
    #[schema(value_type = String, example = "USD")]
    currency: CurrencyCode,
    /// When it ends by itself; null when it lasts until it is captured or released.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Of the command that placed it.
    description: Option<String>,
    /// The account's version that changed it last.
    version: u64,
    #[schema(value_type = String, format = DateTime)]
    placed_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// What has become of a hold.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum HoldStatus {
    /// Something is still held: also when its time is over, until the ledger has recorded that.
    Open,
    /// All of it was captured, or some, and the rest was released.
    Captured,
    /// All of it was released.
    Released,
    /// Its time was over before all of it was captured or released.
    Expired,
}

impl HoldStatus {
    /// As the read model writes it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Captured => "captured",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// A page of holds, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct HoldsPage {
    #[schema(value_type = String)]
    account_id: AccountId,
    holds: Vec<HoldDocument>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    as_of: AsOf,
}

/// One hold.
#[derive(Debug, Serialize, ToSchema)]
struct OneHold {
    #[schema(value_type = String)]
    account_id: AccountId,
    #[serde(flatten)]
    hold: HoldDocument,
    as_of: AsOf,
}

/// Which holds.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only those in this status.
    #[param(inline)]
    status: Option<HoldStatus>,
    /// How many at the most.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: u32,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Wait until the read model has this version of the account; for a few seconds, then 503.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    min_version: Option<Number>,
}

/// Which version to wait for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OneQuery {
    /// Wait until the read model has this version of the account; for a few seconds, then 503.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    min_version: Option<Number>,
}

/// The last hold of the page before.
#[derive(Serialize, Deserialize)]
struct Key {
    placed_at: Timestamp,
    hold_id: Uuid,
}

/// The holds of an account
///
/// Newest first.
#[utoipa::path(
    get, path = "/accounts/{account_id}/holds", tag = "accounts", operation_id = "list_holds",
    params(("account_id" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"), ListQuery),
    responses(
        (status = 200, description = "A page of holds", body = HoldsPage),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn list(
    State(api): State<Api>,
    InPath(account_id): InPath<AccountId>,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<HoldsPage>, Problem> {
    check_limit(query.limit)?;
    let key: Option<Key> = query.cursor.as_deref().map(cursor::decode).transpose()?;
    wait(&api, &account_id, query.min_version).await?;
    let rows = page_of(&account_id, &query, key.as_ref())
        .build()
        .fetch_all(&api.read_model)
        .await?;
    let first = rows
        .first()
        .ok_or_else(|| Problem::internal("a statement that always answers has not"))?;
    let as_of = as_of(first, &account_id)?;
    let mut holds = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<Uuid>, _>("hold_id")?.is_some() {
            holds.push(document(row)?);
        }
    }
    let has_more = holds.len() > query.limit as usize;
    holds.truncate(query.limit as usize);
    let next_cursor = holds.last().filter(|_| has_more).map(|last| {
        cursor::encode(&Key {
            placed_at: last.placed_at,
            hold_id: last.hold_id,
        })
    });
    Ok(Json(HoldsPage {
        account_id,
        holds,
        next_cursor,
        as_of,
    }))
}

/// One hold
#[utoipa::path(
    get, path = "/accounts/{account_id}/holds/{hold_id}", tag = "accounts", operation_id = "get_hold",
    params(
        ("account_id" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("hold_id" = String, Path, format = Uuid, example = "0f4f2a52-7c9e-4d7e-8a55-3f8b6a1c2d10"),
        OneQuery,
    ),
    responses(
        (status = 200, description = "The hold", body = OneHold),
        (status = 404, description = "There is no such account, or no such hold on it", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn one(
    State(api): State<Api>,
    InPathPair(account_id, hold_id): InPathPair<AccountId, HoldId>,
    InQuery(query): InQuery<OneQuery>,
) -> Result<Json<OneHold>, Problem> {
    wait(&api, &account_id, query.min_version).await?;
    // One statement, so one instant.
    let sql = format!(
        "SELECT found.*, {SEQUENCE},
            (SELECT version FROM projection_versions WHERE projection = 'holds' AND account_id = $1) AS applied_version
         FROM (SELECT 1) AS always LEFT JOIN (SELECT * FROM holds WHERE account_id = $1 AND hold_id = $2) AS found ON true"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(account_id.as_str())
        .bind(hold_id.as_uuid())
        .fetch_one(&api.read_model)
        .await?;
    let as_of = as_of(&row, &account_id)?;
    if row.try_get::<Option<Uuid>, _>("hold_id")?.is_none() {
        let detail = format!(
            "account {account_id} has no hold {hold_id}; one that was just placed may be read with min_version, as in the \
             answer of its command"
        );
        return Err(Problem::not_found("hold_not_found", detail));
    }
    Ok(Json(OneHold {
        account_id,
        hold: document(&row)?,
        as_of,
    }))
}

async fn wait(
    api: &Api,
    account_id: &AccountId,
    min_version: Option<Number>,
) -> Result<(), Problem> {
    wait_for_version(
        &api.read_model,
        PROJECTION,
        account_id,
        min_version.map(|version| version.0),
        api.options.catch_up_within,
    )
    .await
}

/// What the answer rests upon. An account of which the read model has no version is none.
fn as_of(row: &PgRow, account_id: &AccountId) -> Result<AsOf, Problem> {
    let applied: Option<i64> = row.try_get("applied_version")?;
    let version = applied.and_then(|version| u64::try_from(version).ok());
    Ok(AsOf {
        version: Some(version.ok_or_else(|| unknown(account_id))?),
        sequence: sequence(row)?,
    })
}

/// One statement, so one instant: the page (and one more hold, to know whether there is another page), and where the read
/// model stands, which the left join answers also when the page is empty.
fn page_of(account_id: &AccountId, query: &ListQuery, key: Option<&Key>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(format!(
        "SELECT page.*, {SEQUENCE}, (SELECT version FROM projection_versions WHERE projection = 'holds' AND account_id = "
    ));
    sql.push_bind(account_id.to_string());
    sql.push(") AS applied_version FROM (SELECT 1) AS always LEFT JOIN (SELECT * FROM holds WHERE account_id = ");
    sql.push_bind(account_id.to_string());
    if let Some(status) = query.status {
        sql.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(key) = key {
        sql.push(" AND (placed_at, hold_id) < (")
            .push_bind(key.placed_at.to_date_time());
        sql.push(", ").push_bind(key.hold_id).push(")");
    }
    sql.push(" ORDER BY placed_at DESC, hold_id DESC LIMIT ")
        .push_bind(i64::from(query.limit) + 1);
    sql.push(") AS page ON true ORDER BY placed_at DESC, hold_id DESC");
    sql
}

fn document(row: &PgRow) -> Result<HoldDocument, Problem> {
    let code: CurrencyCode = parsed(row, "currency")?;
    let currency = Currency::lookup(code).map_err(Problem::internal)?;
    let expires_at: Option<OffsetDateTime> = row.try_get("expires_at")?;
    Ok(HoldDocument {
        hold_id: row.try_get("hold_id")?,
        status: row.try_get("status")?,
        amount: money(row, "amount", currency)?,
        captured: money(row, "captured", currency)?,
        remaining: money(row, "remaining", currency)?,
        currency: code,
        expires_at: expires_at.map(Timestamp::from_date_time),
        description: row.try_get("description")?,
        version: unsigned(row, "version")?,
        placed_at: instant(row, "placed_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}
