//! Events as they happen, as server-sent events.
//!
//! A reader that comes back with `Last-Event-ID` misses nothing and gets nothing twice. The stream of all events reads
//! the feed with the same source that the projections read it with, so what the feed has lost is announced, not passed
//! over. The stream of one account reads the event store, and lets the feed only tell it when to look.
//!
//! Each reader has a bounded queue. One that is full for too long is ended with a reason; the reader comes back and goes
//! on behind the last event that it has seen.

mod account;
mod feed;
mod reader;

use std::convert::Infallible;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use engine::Resume;
use futures::Stream;
use ledger::AccountId;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::feed::Filter;
use self::reader::Reader;
use super::Api;
use super::events::EventType;
use super::extract::{InPath, InQuery, Number, parse};
use super::problem::Problem;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(all_events))
        .routes(routes!(of_account))
}

/// Which events, and from where.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct FeedQuery {
    /// Begin behind this sequence. Without it and without `Last-Event-ID`: with what comes from now on.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    after_sequence: Option<Number>,
    /// Only those of this account.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    account: Option<String>,
    /// Only those of this type.
    #[serde(rename = "type")]
    #[param(inline)]
    kind: Option<EventType>,
}

/// From where.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AccountQuery {
    /// Begin behind this version. Without it and without `Last-Event-ID`: with what comes from now on.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    after_version: Option<Number>,
}

/// Events of the feed, live
///
/// Server-sent events. `event: ledger` with the event as data and `SEQUENCE-EVENT_ID` as id; `event: lost` when the feed
/// has lost something that may have been meant for this reader; `event: dropped` before the end, when the reader is too
/// slow, the server stops or the feed is being restored. Reconnect with `Last-Event-ID` to go on.
#[utoipa::path(
    get, path = "/events/stream", tag = "live",
    params(FeedQuery, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen")),
    responses(
        (status = 200, description = "Events, one after the other", content_type = "text/event-stream", body = String),
        (
            status = 503,
            description = "The feed is being restored (`feed_restoring`), there are too many readers, or NATS does not answer; \
                           see Retry-After",
            body = Problem, content_type = "application/problem+json",
        ),
    )
)]
async fn all_events(
    State(api): State<Api>,
    headers: HeaderMap,
    InQuery(query): InQuery<FeedQuery>,
) -> Result<impl IntoResponse, Problem> {
    let resume = match (last_event_id(&headers)?, query.after_sequence) {
        (Some(id), _) => Some(feed::resume(id)?),
        (None, Some(Number(after))) => Some(Resume {
            position: after,
            mark: None,
        }),
        (None, None) => None,
    };
    let account: Option<AccountId> = match &query.account {
        Some(text) => Some(parse("account", text)?),
        None => None,
    };
    let filter = Filter {
        account,
        kind: query.kind,
    };
    let reader = Reader::admit(&api)?;
    let resume = feed::begin(&api, resume).await?;
    Ok(respond(reader.follow(|outlet| {
        feed::follow(api, resume, filter, outlet)
    })))
}

/// An account's events, live, with the state after each
///
/// Server-sent events: `event: ledger` with `{event, state}` as data and the account's version as id. Reconnect with
/// `Last-Event-ID` to go on.
#[utoipa::path(
    get, path = "/accounts/{account_id}/stream", tag = "live",
    params(
        ("account_id" = String, Path, pattern = "^[A-Za-z0-9_-]{1,64}$"),
        AccountQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen")
    ),
    responses(
        (status = 200, description = "Events, one after the other", content_type = "text/event-stream", body = String),
        (status = 404, description = "There is no such account", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn of_account(
    State(api): State<Api>,
    headers: HeaderMap,
    InPath(account_id): InPath<AccountId>,
    InQuery(query): InQuery<AccountQuery>,
) -> Result<impl IntoResponse, Problem> {
    let after = match last_event_id(&headers)? {
        Some(id) => Some(parse("Last-Event-ID", id)?),
        None => query.after_version.map(|version| version.0),
    };
    let reader = Reader::admit(&api)?;
    let position = account::Position::find(&api, &account_id, after).await?;
    Ok(respond(reader.follow(|outlet| {
        account::follow(api, account_id, position, outlet)
    })))
}

/// An empty id is none: a browser sends it before it has seen an event.
fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(id) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let id = id
        .to_str()
        .map_err(|_| Problem::invalid_parameter("Last-Event-ID: this is no id of ours"))?;
    Ok(Some(id.trim()).filter(|id| !id.is_empty()))
}

fn respond(
    events: impl Stream<Item = Result<Sent, Infallible>> + Send + 'static,
) -> impl IntoResponse {
    Sse::new(events).keep_alive(KeepAlive::default())
}
