//! Accounts as the read model has them now.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use ledger::{AccountId, Currency, CurrencyCode, Money, Rules, Status, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder, Row};
use time::OffsetDateTime;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{InPath, InQuery, Number};
use super::problem::Problem;
use super::rules::RulesDocument;
use super::{Api, cursor};

/// How often the read model is asked whether it has caught up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Metadata as text: what goes out is what was read, in the order of its keys.
const COLUMNS: &str = "account_id, owner_name, balance, held, currency, overdraft_limit, status, freeze_reason, \
                       metadata::text AS metadata, rules::text AS rules, version, opened_at, updated_at";

/// Where the read model stands that an answer was read from.
const SEQUENCE: &str = "(SELECT last_sequence FROM projection_offsets WHERE projection = 'account_balance') AS sequence";

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AccountDocument {
    #[schema(value_type = String)]
    account_id: AccountId,
    owner_name: String,
    /// ISO 4217.
    #[schema(value_type = String, example = "USD")]
    currency: CurrencyCode,
    /// What is in it: the sum of its lines.
    #[schema(value_type = String, example = "75.00")]
    balance: Money,
    /// What of it is held.
    #[schema(value_type = String, example = "20.00")]
    held: Money,
    /// What is not held, and the overdraft limit: what could be withdrawn now, unless debits are frozen.
    #[schema(value_type = String, example = "55.00")]
    available: Money,
    /// How far below zero the balance may fall.
    #[schema(value_type = String, example = "0.00")]
    overdraft_limit: Money,
    #[schema(value_type = AccountStatus)]
    status: String,
    /// Why it is frozen; null when it is not.
    freeze_reason: Option<String>,
    /// The account's own metadata.
    metadata: BTreeMap<String, String>,
    rules: RulesDocument,
    /// How many events it has had.
    version: u64,
    #[schema(value_type = String, format = DateTime)]
    opened_at: Timestamp,
    /// When its newest event was recorded.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// What an answer rests upon.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct AsOf {
    /// The account's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u64>,
    /// The last sequence of the feed that the read model has applied; null before its first event.
    pub(super) sequence: Option<u64>,
}

/// One account.
#[derive(Debug, Serialize, ToSchema)]
struct OneAccount {
    #[serde(flatten)]
    account: AccountDocument,
    as_of: AsOf,
}

/// A page of accounts.
#[derive(Debug, Serialize, ToSchema)]
struct AccountsPage {
    accounts: Vec<AccountDocument>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    as_of: AsOf,
}

/// Which version to wait for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OneQuery {
    /// Wait until the read model has this version of the account, as in the answer of a command; for a few seconds, then
    /// 503.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    min_version: Option<Number>,
}

/// Which accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only those of this owner, exactly.
    owner: Option<String>,
    /// Only those in this status.
    #[param(value_type = Option<AccountStatus>, inline)]
    status: Option<AccountStatus>,
    /// Only those in this currency.
    #[param(value_type = Option<String>, pattern = "^[A-Z][A-Z0-9]{2,11}$", example = "USD")]
    currency: Option<String>,
    /// In which order. An account that is moved within an order by balance while you page may be seen twice or not at
    /// all; the other orders are stable.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// Upwards or downwards.
    #[serde(default)]
    #[param(inline)]
    order: Order,
    /// How many at the most.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: u32,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Whether an account takes part in money's movements.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AccountStatus {
    /// In all of them.
    Active,
    /// Not in debits.
    DebitsFrozen,
    /// Not in credits.
    CreditsFrozen,
    /// In none.
    Frozen,
    /// In none, for ever.
    Closed,
}

impl AccountStatus {
    /// As the read model writes it.
    fn as_str(self) -> &'static str {
        let status = match self {
            Self::Active => Status::Active,
            Self::DebitsFrozen => Status::DebitsFrozen,
            Self::CreditsFrozen => Status::CreditsFrozen,
            Self::Frozen => Status::Frozen,
            Self::Closed => Status::Closed,
        };
        status.as_str()
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    AccountId,
    OwnerName,
    OpenedAt,
    Balance,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Asc,
    Desc,
}

/// How many items a page has unless it is said.
pub(super) const fn page() -> u32 {
    50
}

/// The most items that a page can have.
pub(super) const PAGE_MAX: u32 = 500;

/// A page's length, or why it is none.
pub(super) fn check_limit(limit: u32) -> Result<(), Problem> {
    if (1..=PAGE_MAX).contains(&limit) {
        Ok(())
    } else {
        Err(Problem::invalid_parameter(format!(
            "limit: 1 to {PAGE_MAX}, and this is {limit}"
        )))
    }
}

impl Sort {
    /// The column, and its type for the key of the page before.
    fn column(self) -> (&'static str, &'static str) {
        match self {
            // By bytes: the order must not depend on the database's locale.
            Self::AccountId => ("account_id COLLATE \"C\"", "text"),
            Self::OwnerName => ("owner_name COLLATE \"C\"", "text"),
            Self::OpenedAt => ("opened_at", "timestamptz"),
            Self::Balance => ("balance", "numeric"),
        }
    }

    fn key(self, account: &AccountDocument) -> String {
        match self {
            Self::AccountId => account.account_id.to_string(),
            Self::OwnerName => account.owner_name.clone(),
            Self::OpenedAt => account.opened_at.to_string(),
            Self::Balance => account.balance.to_string(),
        }
    }
}

/// The last account of the page before, in its order.
#[derive(Serialize, Deserialize)]
struct Key {
    sort: Sort,
    order: Order,
    value: String,
    account_id: String,
}

/// Accounts
#[utoipa::path(
    get, path = "/accounts", tag = "accounts", operation_id = "list_accounts", params(ListQuery),
    responses((status = 200, description = "A page of accounts", body = AccountsPage))
)]
async fn list(
    State(api): State<Api>,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<AccountsPage>, Problem> {
    check_limit(query.limit)?;
    let key: Option<Key> = query.cursor.as_deref().map(cursor::decode).transpose()?;
    if key
        .as_ref()
        .is_some_and(|key| key.sort != query.sort || key.order != query.order)
    {
        return Err(Problem::invalid_parameter(
            "cursor: it belongs to a list in another order",
        ));
    }
    if let Some(owner) = &query.owner {
        no_nul("owner", owner)?;
    }
    if let Some(currency) = &query.currency {
        super::extract::parse::<CurrencyCode>("currency", currency)?;
    }
    let rows = page_of(&query, key.as_ref())
        .build()
        .fetch_all(&api.read_model)
        .await
        .map_err(of_cursor)?;
    let first = rows
        .first()
        .ok_or_else(|| Problem::internal("a statement that always answers has not"))?;
    let sequence = sequence(first)?;
    let mut accounts = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<&str>, _>("account_id")?.is_some() {
            accounts.push(document(row)?);
        }
    }
    let has_more = accounts.len() > query.limit as usize;
    accounts.truncate(query.limit as usize);
    let next_cursor = accounts.last().filter(|_| has_more).map(|last| {
        cursor::encode(&Key {
            sort: query.sort,
            order: query.order,
            value: query.sort.key(last),
            account_id: last.account_id.to_string(),
        })
    });
    Ok(Json(AccountsPage {
        accounts,
        next_cursor,
        as_of: AsOf {
            version: None,
            sequence,
        },
    }))
}

/// One statement, so one instant: the page (and one more account, to know whether there is another page), and where the
/// read model stands, which the left join answers also when the page is empty. It has only the conditions that are asked
/// for, so that each has the plan that fits it.
fn page_of<'q>(query: &'q ListQuery, key: Option<&'q Key>) -> QueryBuilder<Postgres> {
    let (column, kind) = query.sort.column();
    let (comparison, direction) = match query.order {
        Order::Asc => (">", "ASC"),
        Order::Desc => ("<", "DESC"),
    };
    let order = format!("{column} {direction}, account_id COLLATE \"C\" {direction}");
    let mut sql = QueryBuilder::new(format!(
        "SELECT page.*, {SEQUENCE} FROM (SELECT 1) AS always LEFT JOIN (SELECT {COLUMNS} FROM account_balance WHERE true"
    ));
    if let Some(owner) = &query.owner {
        sql.push(" AND owner_name = ").push_bind(owner);
    }
    if let Some(status) = query.status {
        sql.push(" AND status = ").push_bind(status.as_str());
    }
    if let Some(currency) = &query.currency {
        sql.push(" AND currency = ").push_bind(currency);
    }
    if let Some(key) = key {
        sql.push(format!(
            " AND ({column}, account_id COLLATE \"C\") {comparison} ("
        ));
        sql.push_bind(&key.value);
        sql.push(format!("::text::{kind}, "))
            .push_bind(&key.account_id);
        sql.push(")");
    }
    sql.push(format!(" ORDER BY {order} LIMIT "))
        .push_bind(i64::from(query.limit) + 1);
    sql.push(format!(") AS page ON true ORDER BY {order}"));
    sql
}

/// A cursor that somebody has made up may hold what is no value of the column.
pub(super) fn of_cursor(error: sqlx::Error) -> Problem {
    let refused = matches!(
        store::sqlstate::classify(&error),
        store::sqlstate::Class::Refused
    );
    if refused {
        cursor::foreign()
    } else {
        error.into()
    }
}

/// One account
#[utoipa::path(
    get, path = "/accounts/{account_id}", tag = "accounts", operation_id = "get_account",
    params(("account_id" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"), OneQuery),
    responses(
        (status = 200, description = "The account", body = OneAccount),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn one(
    State(api): State<Api>,
    InPath(account_id): InPath<AccountId>,
    InQuery(query): InQuery<OneQuery>,
) -> Result<Json<OneAccount>, Problem> {
    wait_for_version(
        &api.read_model,
        "account_balance",
        &account_id,
        query.min_version.map(|version| version.0),
        api.options.catch_up_within,
    )
    .await?;
    let sql = format!("SELECT {COLUMNS}, {SEQUENCE} FROM account_balance WHERE account_id = $1");
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(account_id.as_str())
        .fetch_optional(&api.read_model)
        .await?
        .ok_or_else(|| unknown(&account_id))?;
    let account = document(&row)?;
    let as_of = AsOf {
        version: Some(account.version),
        sequence: sequence(&row)?,
    };
    Ok(Json(OneAccount { account, as_of }))
}

/// There is no such account in the read model.
pub(super) fn unknown(account_id: &AccountId) -> Problem {
    Problem::not_found(
        "account_not_found",
        format!(
            "there is no account {account_id}; one that was just opened may be read with min_version=1"
        ),
    )
}

/// Read your writes: waits until `projection` has applied this version of the account.
pub(super) async fn wait_for_version(
    read_model: &PgPool,
    projection: &str,
    account_id: &AccountId,
    wanted: Option<u64>,
    within: Duration,
) -> Result<(), Problem> {
    let Some(wanted) = wanted.filter(|wanted| *wanted > 0) else {
        return Ok(());
    };
    let deadline = Instant::now() + within;
    loop {
        let version: Option<i64> = sqlx::query_scalar(
            "SELECT version FROM projection_versions WHERE projection = $1 AND account_id = $2",
        )
        .bind(projection)
        .bind(account_id.as_str())
        .fetch_optional(read_model)
        .await?;
        let version = version.and_then(|version| u64::try_from(version).ok());
        if version.is_some_and(|version| version >= wanted) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let version = version.unwrap_or(0);
            let detail = format!(
                "the read model has version {version} of account {account_id}, and not yet {wanted}; try again"
            );
            let figures = [
                ("version".to_owned(), version.to_string()),
                ("min_version".to_owned(), wanted.to_string()),
            ];
            return Err(
                Problem::unavailable("not_yet_applied", detail).with(figures.into_iter().collect())
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// PostgreSQL keeps no U+0000, so nothing can have it.
pub(super) fn no_nul(name: &str, text: &str) -> Result<(), Problem> {
    if text.contains('\0') {
        return Err(Problem::invalid_parameter(format!(
            "{name}: U+0000 cannot stand in it"
        )));
    }
    Ok(())
}

fn document(row: &PgRow) -> Result<AccountDocument, Problem> {
    let code: CurrencyCode = parsed(row, "currency")?;
    let currency = Currency::lookup(code).map_err(Problem::internal)?;
    let balance = money(row, "balance", currency)?;
    let held = money(row, "held", currency)?;
    let overdraft_limit = money(row, "overdraft_limit", currency)?;
    Ok(AccountDocument {
        account_id: parsed(row, "account_id")?,
        owner_name: row.try_get("owner_name")?,
        currency: code,
        balance,
        held,
        available: balance
            .checked_add(overdraft_limit)
            .and_then(|all| all.checked_sub(held))
            .map_err(Problem::internal)?,
        overdraft_limit,
        status: row.try_get("status")?,
        freeze_reason: row.try_get("freeze_reason")?,
        metadata: serde_json::from_str(row.try_get("metadata")?).map_err(Problem::internal)?,
        rules: serde_json::from_str::<Rules<String>>(row.try_get("rules")?)
            .map_err(Problem::internal)?
            .into(),
        version: unsigned(row, "version")?,
        opened_at: instant(row, "opened_at")?,
        updated_at: instant(row, "updated_at")?,
    })
}

/// A text of the read model that has a form.
pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(
    row: &PgRow,
    name: &str,
) -> Result<T, Problem> {
    row.try_get::<&str, _>(name)?
        .parse()
        .map_err(Problem::internal)
}

/// An amount of the read model.
pub(super) fn money(row: &PgRow, name: &str, currency: Currency) -> Result<Money, Problem> {
    let value: Decimal = row.try_get(name)?;
    Money::from_database(value, currency).map_err(Problem::internal)
}

/// A time of the read model.
pub(super) fn instant(row: &PgRow, name: &str) -> Result<Timestamp, Problem> {
    Ok(Timestamp::from_date_time(
        row.try_get::<OffsetDateTime, _>(name)?,
    ))
}

/// A count of the read model.
pub(super) fn unsigned(row: &PgRow, name: &str) -> Result<u64, Problem> {
    u64::try_from(row.try_get::<i64, _>(name)?).map_err(Problem::internal)
}

/// The column `sequence`.
pub(super) fn sequence(row: &PgRow) -> Result<Option<u64>, Problem> {
    let sequence: Option<i64> = row.try_get("sequence")?;
    Ok(sequence.and_then(|sequence| u64::try_from(sequence).ok()))
}
