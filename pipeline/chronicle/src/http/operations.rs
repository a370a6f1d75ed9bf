//! How the ledger is doing: projections, and figures.

use axum::Json;
use axum::extract::State;
use ledger::{Currency, CurrencyCode, Sum, Timestamp};
use serde::Serialize;
use sqlx::Row;
use transport::streams;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::accounts::{AsOf, parsed, sequence, unsigned};
use super::problem::Problem;
use crate::standing::{Feed, Standing, standings};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(projections))
        .routes(routes!(stats))
}

/// Where a projection stands.
#[derive(Debug, Serialize, ToSchema)]
struct ProjectionDocument {
    projection: String,
    /// `starting`, `running`, `retrying`, `stopped` or `drained`; null when this process does not run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// Why it is not running.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The last sequence of the feed that it has applied; null when it has never run.
    offset: Option<u64>,
    /// The last sequence of the feed; null when NATS cannot be asked, or when the projection has read another feed.
    head: Option<u64>,
    /// How many messages of the feed it has not applied.
    lag_events: Option<u64>,
    /// For how long the oldest of those has been in the feed.
    lag_seconds: Option<f64>,
    /// How often it was started.
    epoch: Option<i64>,
    /// When it last moved.
    #[schema(value_type = Option<String>, format = DateTime)]
    updated_at: Option<Timestamp>,
}

/// All projections.
#[derive(Debug, Serialize, ToSchema)]
struct Projections {
    projections: Vec<ProjectionDocument>,
}

/// Where the projections stand, and how far they are behind
#[utoipa::path(
    get, path = "/projections", tag = "operations",
    responses((status = 200, description = "All projections", body = Projections))
)]
async fn projections(State(api): State<Api>) -> Result<Json<Projections>, Problem> {
    let mut standings = standings(&api.read_model).await?;
    // Without NATS there is still to be said where they stand.
    if let Ok(Some(feed)) = Feed::look(&api.nats).await {
        for standing in &mut standings {
            standing.compare(&feed).await?;
        }
    }
    let projections = standings
        .into_iter()
        .map(|standing| document(&api, standing))
        .collect();
    Ok(Json(Projections { projections }))
}

fn document(api: &Api, standing: Standing) -> ProjectionDocument {
    let state = api
        .health
        .state_of(&format!("projection.{}", standing.projection));
    let (status, reason) = match state {
        Some((status, reason)) => (Some(status), reason),
        None => (None, None),
    };
    ProjectionDocument {
        projection: standing.projection,
        status,
        reason,
        offset: standing.offset,
        head: standing.head,
        lag_events: standing.lag_events,
        lag_seconds: standing.lag_seconds,
        epoch: standing.epoch,
        updated_at: standing.updated_at,
    }
}

/// All accounts of one currency.
#[derive(Debug, Serialize, ToSchema)]
struct CurrencyDocument {
    #[schema(value_type = String, example = "USD")]
    currency: CurrencyCode,
    accounts: u64,
    /// How many events those accounts have had.
    events: u64,
    /// The sum of their balances.
    #[schema(value_type = String, example = "1000.00")]
    balance: Sum,
}

/// A stream of NATS.
#[derive(Debug, Serialize, ToSchema)]
struct StreamDocument {
    messages: u64,
    bytes: u64,
    first_sequence: u64,
    last_sequence: u64,
}

/// Figures of the ledger.
#[derive(Debug, Serialize, ToSchema)]
struct Stats {
    accounts: u64,
    events: u64,
    currencies: Vec<CurrencyDocument>,
    /// Commands that have no outcome yet; null when NATS cannot be asked.
    commands_waiting: Option<StreamDocument>,
    /// The feed.
    feed: Option<StreamDocument>,
    /// Messages that were no commands.
    dead_letters: Option<StreamDocument>,
    as_of: AsOf,
}

/// Figures of the ledger, as the read model has them
#[utoipa::path(
    get, path = "/ledger/stats", tag = "operations",
    responses((status = 200, description = "The figures", body = Stats))
)]
async fn stats(State(api): State<Api>) -> Result<Json<Stats>, Problem> {
    let rows = sqlx::query(
        "SELECT book.*, (SELECT last_sequence FROM projection_offsets WHERE projection = 'account_balance') AS sequence
         FROM (SELECT 1) AS always LEFT JOIN (
            SELECT currency, count(*) AS accounts, sum(version)::bigint AS events, sum(balance)::text AS balance
            FROM account_balance GROUP BY currency
         ) AS book ON true ORDER BY currency",
    )
    .fetch_all(&api.read_model)
    .await?;
    let mut currencies = Vec::with_capacity(rows.len());
    let mut as_of = None;
    for row in &rows {
        as_of = sequence(row)?;
        if row.try_get::<Option<&str>, _>("currency")?.is_none() {
            continue; // an empty book
        }
        let code: CurrencyCode = parsed(row, "currency")?;
        let currency = Currency::lookup(code).map_err(Problem::internal)?;
        let balance: &str = row.try_get("balance")?;
        currencies.push(CurrencyDocument {
            currency: code,
            accounts: unsigned(row, "accounts")?,
            events: unsigned(row, "events")?,
            balance: Sum::from_database(balance, currency)
                .ok_or_else(|| Problem::internal(format!("a sum of {code} is {balance:?}")))?,
        });
    }
    let (commands_waiting, feed, dead_letters) = tokio::join!(
        stream(&api, streams::COMMANDS),
        stream(&api, streams::EVENTS),
        stream(&api, streams::DEAD_LETTERS),
    );
    Ok(Json(Stats {
        accounts: currencies.iter().map(|one| one.accounts).sum(),
        events: currencies.iter().map(|one| one.events).sum(),
        currencies,
        commands_waiting,
        feed,
        dead_letters,
        as_of: AsOf {
            version: None,
            sequence: as_of,
        },
    }))
}

/// A stream as it is now; `None` when there is none, or NATS cannot be asked.
async fn stream(api: &Api, name: &str) -> Option<StreamDocument> {
    if !api.nats.is_connected() {
        return None;
    }
    let stream = streams::existing(&api.nats.jetstream, name).await.ok()??;
    let state = &stream.cached_info().state;
    Some(StreamDocument {
        messages: state.messages,
        bytes: state.bytes,
        first_sequence: state.first_sequence,
        last_sequence: state.last_sequence,
    })
}
