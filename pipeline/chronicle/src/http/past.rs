//! What was it then, and why: answers from the event store, which forgets nothing.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use ledger::codec::json;
use ledger::{Account, AccountId, CurrencyCode, Event, Money, Status, Sum, Timestamp, Version};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use store::{CurrencyTotal, Then};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::accounts::{AccountStatus, check_limit, page};
use super::extract::{InPath, InQuery, Number, parse};
use super::problem::Problem;
use super::rules::{DayDebitsDocument, RulesDocument};
use super::{Api, cursor};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(balance_at))
        .routes(routes!(history))
        .routes(routes!(balances_at))
}

/// The state of an account after one of its events.
#[derive(Debug, Serialize, ToSchema)]
struct StateDocument {
    #[schema(value_type = String)]
    account_id: AccountId,
    owner_name: String,
    #[schema(value_type = String, example = "USD")]
    currency: CurrencyCode,
    #[schema(value_type = String, example = "75.00")]
    balance: Money,
    /// What of it was held.
    #[schema(value_type = String, example = "20.00")]
    held: Money,
    /// What was not held, and the overdraft limit: what could be withdrawn then, unless debits were frozen.
    #[schema(value_type = String, example = "55.00")]
    available: Money,
    #[schema(value_type = String, example = "0.00")]
    overdraft_limit: Money,
    #[schema(value_type = AccountStatus)]
    status: Status,
    /// Why it was frozen; null when it was not.
    freeze_reason: Option<String>,
    /// The account's own metadata then.
    metadata: BTreeMap<String, String>,
    rules: RulesDocument,
    /// What its daily rules have counted then; null when it has none, or nothing was counted.
    day_debits: Option<DayDebitsDocument>,
    /// The version of the newest event that counts.
    version: u64,
    /// When that event was recorded.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Timestamp,
}

impl StateDocument {
    fn of(account: Account) -> Result<Self, Problem> {
        Ok(Self {
            rules: account.profile().rules.unwrap_or_default().into(),
            day_debits: account.day_debits().map(DayDebitsDocument::from),
            available: account.available().map_err(Problem::internal)?,
            currency: account.currency().code(),
            balance: account.balance,
            held: account.held,
            overdraft_limit: account.overdraft_limit,
            status: account.status,
            freeze_reason: account.freeze_reason,
            metadata: account.metadata,
            version: account.version.get(),
            recorded_at: account.last_recorded_at,
            owner_name: account.owner_name,
            account_id: account.account_id,
        })
    }
}

/// The instant that an answer is about.
#[derive(Debug, Serialize, ToSchema)]
struct Instant {
    /// The instant that was asked for; the present one, if a version was asked for.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// The account's version then.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

/// The instants that an answer by business date is about.
#[derive(Debug, Serialize, ToSchema)]
struct DateAndInstant {
    /// What was recorded at or before this instant counts; the present one, if none was asked for.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// The account's version then.
    version: u64,
    /// Of that, what is effective at or before this instant.
    #[schema(value_type = String, format = DateTime)]
    effective: Timestamp,
}

/// What was in an account by business date: what is held is no part of it, and it may be below the overdraft limit, which
/// the order of recording alone decides.
#[derive(Debug, Serialize, ToSchema)]
struct BalanceByDate {
    #[schema(value_type = String)]
    account_id: AccountId,
    #[schema(value_type = String, example = "USD")]
    currency: CurrencyCode,
    #[schema(value_type = String, example = "75.00")]
    balance: Sum,
    as_of: DateAndInstant,
    /// Whether an event could still be recorded at or before `timestamp`; once it is false, the answer never changes. What
    /// is recorded later, and dated back, belongs to what is known later.
    provisional: bool,
}

/// What was in an account: by the clock, or by business date.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum BalanceThen {
    At(Box<BalanceAt>),
    ByDate(BalanceByDate),
}

/// What was in an account.
#[derive(Debug, Serialize, ToSchema)]
struct BalanceAt {
    #[serde(flatten)]
    state: StateDocument,
    as_of: Instant,
    /// Whether an event could still be recorded at or before that instant; once it is false, the answer never changes.
    provisional: bool,
}

/// When.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AtQuery {
    /// RFC 3339 with at most 6 fractional digits; not in the future. Either this or `version`; with `effective`, now if
    /// absent.
    #[param(format = DateTime, example = "2026-01-31T12:00:00.000001Z")]
    timestamp: Option<String>,
    /// After the event of this version.
    #[param(value_type = Option<u64>, minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    version: Option<Number>,
    /// The balance by business date: of all that is effective at or before this instant, past or future, as it was known at
    /// `timestamp`.
    #[param(format = DateTime, example = "2026-01-31T23:59:59.999999Z")]
    effective: Option<String>,
}

/// The state of an account at a time, or at a version; or its balance by business date
///
/// The same cost however long the history. A time before the account was opened is 404 `not_yet_open`. With `effective`
/// the answer is the balance alone.
#[utoipa::path(
    get, path = "/accounts/{account_id}/balance-at", tag = "past",
    params(("account_id" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"), AtQuery),
    responses(
        (status = 200, description = "The state then", body = BalanceThen),
        (status = 404, description = "No such account, not open yet, or no such version", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A time in the future", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn balance_at(
    State(api): State<Api>,
    InPath(account_id): InPath<AccountId>,
    InQuery(query): InQuery<AtQuery>,
) -> Result<Json<BalanceThen>, Problem> {
    let at = |text| parse("timestamp", text);
    let then = match (&query.timestamp, query.version, &query.effective) {
        (Some(text), None, None) => at_time(&api, &account_id, at(text)?).await?,
        (None, Some(Number(version)), None) => {
            at_version(&api, &account_id, Version::new(version)).await?
        }
        (text, None, Some(effective)) => {
            let effective = parse("effective", effective)?;
            let known = match text {
                Some(text) => at(text)?,
                None => api.store.now().await?,
            };
            let balance = by_date(&api, account_id, effective, known).await?;
            return Ok(Json(BalanceThen::ByDate(balance)));
        }
        _ => {
            return Err(Problem::invalid_parameter(
                "give either timestamp or version, as in ?timestamp=2026-01-31T12:00:00.000001Z; or effective, with a \
                 timestamp or without",
            ));
        }
    };
    Ok(Json(BalanceThen::At(Box::new(then))))
}

async fn by_date(
    api: &Api,
    account_id: AccountId,
    effective: Timestamp,
    timestamp: Timestamp,
) -> Result<BalanceByDate, Problem> {
    let then = api
        .store
        .balance_by_date(&account_id, effective, timestamp)
        .await?;
    not_in_the_future(timestamp, then.asked_at)?;
    let Some(found) = then.what else {
        return Err(not_there_then(api, &account_id, timestamp).await?);
    };
    Ok(BalanceByDate {
        currency: found.known.currency().code(),
        balance: found.balance,
        as_of: DateAndInstant {
            timestamp,
            version: found.known.version.get(),
            effective,
        },
        provisional: !then.is_final,
        account_id,
    })
}

async fn at_time(
    api: &Api,
    account_id: &AccountId,
    timestamp: Timestamp,
) -> Result<BalanceAt, Problem> {
    let then = api.store.account_at(account_id, timestamp).await?;
    not_in_the_future(timestamp, then.asked_at)?;
    let Some(account) = then.what else {
        return Err(not_there_then(api, account_id, timestamp).await?);
    };
    Ok(BalanceAt {
        as_of: Instant {
            timestamp,
            version: Some(account.version.get()),
        },
        state: StateDocument::of(account)?,
        provisional: !then.is_final,
    })
}

async fn at_version(
    api: &Api,
    account_id: &AccountId,
    version: Version,
) -> Result<BalanceAt, Problem> {
    let found = api.store.account_at_version(account_id, version).await?;
    let Some(account) = found else {
        let now = api.store.account(account_id).await?;
        let newest = now.ok_or_else(|| unknown(account_id))?.version;
        let detail =
            format!("account {account_id} has the versions 1 to {newest}, and not {version}");
        return Err(Problem::not_found("version_not_found", detail));
    };
    Ok(BalanceAt {
        as_of: Instant {
            timestamp: account.last_recorded_at,
            version: Some(version.get()),
        },
        state: StateDocument::of(account)?,
        provisional: false,
    })
}

/// Why there was no such account at that time.
async fn not_there_then(
    api: &Api,
    account_id: &AccountId,
    timestamp: Timestamp,
) -> Result<Problem, Problem> {
    let first = api
        .store
        .account_at_version(account_id, Version::FIRST)
        .await?;
    Ok(first.map_or_else(
        || unknown(account_id),
        |opened| {
            let opened_at = opened.last_recorded_at;
            let detail = format!(
                "account {account_id} was opened at {opened_at}, and not yet at {timestamp}"
            );
            let figures = [("opened_at".to_owned(), opened_at.to_string())];
            Problem::not_found("not_yet_open", detail).with(figures.into_iter().collect())
        },
    ))
}

fn not_in_the_future(timestamp: Timestamp, now: Timestamp) -> Result<(), Problem> {
    if timestamp <= now {
        return Ok(());
    }
    let detail =
        format!("{timestamp} is in the future: it is {now}, and nobody knows what will be");
    Err(Problem::unprocessable("in_the_future", detail))
}

fn unknown(account_id: &AccountId) -> Problem {
    Problem::not_found(
        "account_not_found",
        format!("there is no account {account_id}"),
    )
}

/// An event with the state that it made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Step {
    /// The event in its canonical form, whose hash can be checked.
    #[schema(value_type = super::events::EventDocument)]
    event: Box<RawValue>,
    /// The account after it.
    state: StateDocument,
}

impl Step {
    /// An event, and the account after it.
    pub(super) fn of(event: &Event, account: Account) -> Result<Self, Problem> {
        // Exactly as it is on the wire.
        let text = String::from_utf8(json::encode_event(event)).map_err(Problem::internal)?;
        Ok(Self {
            event: RawValue::from_string(text).map_err(Problem::internal)?,
            state: StateDocument::of(account)?,
        })
    }
}

/// A page of an account's history.
#[derive(Debug, Serialize, ToSchema)]
struct HistoryPage {
    #[schema(value_type = String)]
    account_id: AccountId,
    history: Vec<Step>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    as_of: VersionNow,
}

/// The account's version when it was asked.
#[derive(Debug, Serialize, ToSchema)]
struct VersionNow {
    version: u64,
}

/// Which part of a history.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    /// Begin behind this version.
    #[serde(default)]
    #[param(default = 0, value_type = u64, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    after_version: Number,
    /// How many at the most.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: u32,
    /// `next_cursor` of the page before, instead of `after_version`.
    cursor: Option<String>,
}

/// Every event of an account, oldest first, with the state after each
#[utoipa::path(
    get, path = "/accounts/{account_id}/history", tag = "past",
    params(("account_id" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"), HistoryQuery),
    responses(
        (status = 200, description = "A page of the history", body = HistoryPage),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn history(
    State(api): State<Api>,
    InPath(account_id): InPath<AccountId>,
    InQuery(query): InQuery<HistoryQuery>,
) -> Result<Json<HistoryPage>, Problem> {
    check_limit(query.limit)?;
    let cursor: Option<u64> = query.cursor.as_deref().map(cursor::decode).transpose()?;
    let after = Version::new(cursor.unwrap_or(query.after_version.0));
    let now = api.store.account(&account_id).await?;
    let now = now.ok_or_else(|| unknown(&account_id))?;
    let events = api.store.history(&account_id, after, query.limit).await?;
    let mut state = api.store.account_at_version(&account_id, after).await?;
    let mut history = Vec::with_capacity(events.len());
    for event in &events {
        let account = Account::fold(state, event).map_err(Problem::internal)?;
        state = Some(account.clone());
        history.push(Step::of(event, account)?);
    }
    let last = events.last().map(|event| event.version);
    // Events may have come since the account was looked at.
    let version = last.map_or(now.version, |last| last.max(now.version));
    Ok(Json(HistoryPage {
        account_id,
        history,
        next_cursor: last
            .filter(|last| *last < version)
            .map(|last| cursor::encode(&last.get())),
        as_of: VersionNow {
            version: version.get(),
        },
    }))
}

/// What all accounts of one currency held together.
#[derive(Debug, Serialize, ToSchema)]
struct TotalDocument {
    #[schema(value_type = String, example = "USD")]
    currency: CurrencyCode,
    /// How many accounts there were.
    accounts: u64,
    /// The sum of their balances.
    #[schema(value_type = String, example = "1000.00")]
    balance: Sum,
}

impl From<CurrencyTotal> for TotalDocument {
    fn from(total: CurrencyTotal) -> Self {
        Self {
            currency: total.currency.code(),
            accounts: total.accounts,
            balance: total.balance,
        }
    }
}

/// A page of the whole book at one instant.
#[derive(Debug, Serialize, ToSchema)]
struct BalancesAt {
    as_of: Instant,
    /// Whether an event could still be recorded at or before that instant; once it is false, the answer never changes.
    provisional: bool,
    /// Per currency, over all accounts; only on the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<Vec<TotalDocument>>,
    /// In the order of their ids.
    accounts: Vec<StateDocument>,
    /// Where the next page begins, at the same instant; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// When, and which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct BookQuery {
    /// RFC 3339 with at most 6 fractional digits; not in the future. Now, if absent.
    #[param(format = DateTime, example = "2026-01-31T12:00:00.000001Z")]
    timestamp: Option<String>,
    /// How many accounts at the most.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: u32,
    /// `next_cursor` of the page before: it knows the instant.
    cursor: Option<String>,
}

/// The instant of the first page, and the last account of the page before.
#[derive(Serialize, Deserialize)]
struct BookKey {
    timestamp: Timestamp,
    after: AccountId,
}

/// The whole book at one instant: totals per currency, and every account
///
/// All pages are of one instant: the one that was asked for, or that of the first page.
#[utoipa::path(
    get, path = "/ledger/balances-at", tag = "past", params(BookQuery),
    responses(
        (status = 200, description = "A page of the book", body = BalancesAt),
        (status = 422, description = "A time in the future", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn balances_at(
    State(api): State<Api>,
    InQuery(query): InQuery<BookQuery>,
) -> Result<Json<BalancesAt>, Problem> {
    check_limit(query.limit)?;
    let key: Option<BookKey> = query.cursor.as_deref().map(cursor::decode).transpose()?;
    let given: Option<Timestamp> = match &query.timestamp {
        Some(text) => Some(parse("timestamp", text)?),
        None => None,
    };
    let timestamp = match (&key, given) {
        (Some(key), Some(given)) if key.timestamp != given => {
            return Err(Problem::invalid_parameter(
                "timestamp: the cursor belongs to another instant; leave the timestamp out",
            ));
        }
        (Some(key), _) => key.timestamp,
        (None, Some(given)) => given,
        (None, None) => api.store.now().await?,
    };
    let after = key.as_ref().map(|key| &key.after);
    let page = api.store.book_at(timestamp, after, query.limit + 1).await?;
    not_in_the_future(timestamp, page.asked_at)?;
    let totals = match after {
        None => Some(api.store.totals_at(timestamp).await?),
        Some(_) => None,
    };
    let is_final = page.is_final && totals.as_ref().is_none_or(|totals| totals.is_final);
    let Then { what: mut book, .. } = page;
    let has_more = book.len() > query.limit as usize;
    book.truncate(query.limit as usize);
    let next_cursor = book.last().filter(|_| has_more).map(|last| {
        cursor::encode(&BookKey {
            timestamp,
            after: last.account_id.clone(),
        })
    });
    Ok(Json(BalancesAt {
        as_of: Instant {
            timestamp,
            version: None,
        },
        provisional: !is_final,
        totals: totals.map(|totals| totals.what.into_iter().map(Into::into).collect()),
        accounts: book
            .into_iter()
            .map(StateDocument::of)
            .collect::<Result<_, _>>()?,
        next_cursor,
    }))
}
