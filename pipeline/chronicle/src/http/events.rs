//! Events as the feed has them, with their sequences.
//!
//! The feed keeps what its limits allow; older events are in the histories of their accounts, for ever.

use axum::Json;
use axum::extract::State;
use ledger::AccountId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use transport::stored::{Stored, StoredMessages};
use transport::{headers, restoring, streams, subjects};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::accounts::{check_limit, page};
use super::extract::{InQuery, Number, parse};
use super::problem::Problem;

/// How many sequences one request looks through, at the most: a filter that fits little must not hold NATS up.
const SEQUENCES_MAX: u64 = 20_000;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What happened to an account, in its canonical form (RFC 8785); see docs/wire.md.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the form of an event, for the description")]
pub(super) struct EventDocument {
    account_id: String,
    actor: Option<String>,
    #[schema(example = "75.00")]
    balance_after: String,
    #[schema(format = Uuid)]
    command_id: String,
    /// What is particular to the type: amounts, currency, for a half of a transfer its id and the other account, for an
    /// entry of a posting its `posting_id`, the business date of a movement that was given one, and the hold as it is
    /// afterwards.
    data: serde_json::Value,
    #[schema(format = Uuid)]
    event_id: String,
    /// SHA-256 of the event without this member.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    hash: String,
    /// What of the balance is held afterwards; absent when it is nothing.
    #[schema(example = "20.00")]
    held_after: Option<String>,
    /// Which command of a batch made it, from 0; absent for any other command.
    part: Option<u32>,
    /// The hash of the version before; zeros for version 1.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    prev_hash: String,
    #[schema(format = DateTime)]
    recorded_at: String,
    #[serde(rename = "type")]
    kind: EventType,
    version: u64,
}

/// The types of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
pub(super) enum EventType {
    /// An account was opened.
    AccountCreated,
    /// Money came in.
    MoneyDeposited,
    /// Money went out.
    MoneyWithdrawn,
    /// Debits, credits or both were forbidden.
    AccountFrozen,
    /// Debits, credits or both were allowed again.
    AccountUnfrozen,
    /// An account was ended.
    AccountClosed,
    /// The balance may fall further below zero, or less far.
    OverdraftLimitSet,
    /// What is known about an account changed.
    AccountUpdated,
    /// What the account's movements must obey changed.
    AccountRulesSet,
    /// Money was reserved.
    HoldPlaced,
    /// Money that was held became available again, by command.
    HoldReleased,
    /// Money that was held became available again, for its time was over.
    HoldExpired,
}

impl EventType {
    /// As on the wire.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::AccountCreated => "AccountCreated",
            Self::MoneyDeposited => "MoneyDeposited",
            Self::MoneyWithdrawn => "MoneyWithdrawn",
            Self::AccountFrozen => "AccountFrozen",
            Self::AccountUnfrozen => "AccountUnfrozen",
            Self::AccountClosed => "AccountClosed",
            Self::OverdraftLimitSet => "OverdraftLimitSet",
            Self::AccountUpdated => "AccountUpdated",
            Self::AccountRulesSet => "AccountRulesSet",
            Self::HoldPlaced => "HoldPlaced",
            Self::HoldReleased => "HoldReleased",
            Self::HoldExpired => "HoldExpired",
        }
    }
}

/// An event and where it stands in the feed.
#[derive(Debug, Serialize, ToSchema)]
struct Listed {
    /// Its place in the feed.
    sequence: u64,
    /// The event as it is in the feed.
    #[schema(value_type = EventDocument)]
    event: Box<RawValue>,
}

/// Events of the feed.
#[derive(Debug, Serialize, ToSchema)]
struct EventsPage {
    events: Vec<Listed>,
    /// How many events the feed holds, of this account if one was asked for.
    total: u64,
    /// Where to go on: the next request's `before_sequence`, newest first; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_before_sequence: Option<u64>,
    /// Where to go on: the next request's `after_sequence`, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after_sequence: Option<u64>,
    as_of: FeedNow,
}

/// The feed when it was asked.
#[derive(Debug, Serialize, ToSchema)]
struct FeedNow {
    /// Its last sequence.
    sequence: u64,
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// How many at the most.
    #[serde(default = "page")]
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: u32,
    /// Only those behind this sequence, oldest first. Without it: newest first.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    after_sequence: Option<Number>,
    /// Only those before this sequence, newest first.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    before_sequence: Option<Number>,
    /// Only those of this account.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    account: Option<String>,
    /// Only those of this type.
    #[serde(rename = "type")]
    #[param(inline)]
    kind: Option<EventType>,
}

/// Events of the feed
///
/// Newest first, or oldest first behind `after_sequence`. A page with a filter can be short, or even empty, though more
/// events follow: go on where the answer says.
#[utoipa::path(
    get, path = "/events", tag = "events", operation_id = "list_events", params(EventsQuery),
    responses(
        (status = 200, description = "Some events", body = EventsPage),
        (
            status = 503,
            description = "The feed is being restored (`feed_restoring`), there is none, or NATS does not answer; see Retry-After",
            body = Problem, content_type = "application/problem+json",
        ),
    )
)]
async fn list(
    State(api): State<Api>,
    InQuery(query): InQuery<EventsQuery>,
) -> Result<Json<EventsPage>, Problem> {
    check_limit(query.limit)?;
    if query.after_sequence.is_some() && query.before_sequence.is_some() {
        return Err(Problem::invalid_parameter(
            "give after_sequence (oldest first) or before_sequence (newest first), not both",
        ));
    }
    let account: Option<AccountId> = match &query.account {
        Some(text) => Some(parse("account", text)?),
        None => None,
    };
    let feed = Feed::look(&api, account.as_ref()).await?;
    let limit = query.limit as usize;
    let page = match query.after_sequence {
        Some(Number(after)) => feed.forward(after, limit, query.kind).await?,
        None => {
            feed.backward(
                query.before_sequence.map(|before| before.0),
                limit,
                query.kind,
            )
            .await?
        }
    };
    let events = page
        .found
        .into_iter()
        .filter_map(|stored| listed(&stored))
        .collect();
    let forward = query.after_sequence.is_some();
    Ok(Json(EventsPage {
        events,
        total: feed.total,
        next_before_sequence: page.go_on.filter(|_| !forward),
        next_after_sequence: page.go_on.filter(|_| forward),
        as_of: FeedNow {
            sequence: feed.last,
        },
    }))
}

/// What is no JSON is no event, and stops the projections: here it is only left out.
fn listed(stored: &Stored) -> Option<Listed> {
    let text = String::from_utf8(stored.message.payload.to_vec()).ok()?;
    Some(Listed {
        sequence: stored.message.position,
        event: RawValue::from_string(text).ok()?,
    })
}

/// Whether a message of the feed is of this type.
pub(super) fn is_of(message: &engine::Message, kind: Option<EventType>) -> bool {
    kind.is_none_or(|kind| message.header(headers::EVENT_TYPE) == Some(kind.as_str()))
}

/// The feed as it is now.
struct Feed {
    stored: StoredMessages,
    first: u64,
    last: u64,
    total: u64,
}

/// Some messages, and where to go on.
struct Page {
    found: Vec<Stored>,
    go_on: Option<u64>,
}

impl Feed {
    async fn look(api: &Api, account: Option<&AccountId>) -> Result<Self, Problem> {
        let jetstream = &api.nats.jetstream;
        let Some(stream) = streams::existing(jetstream, streams::EVENTS).await? else {
            return Err(Problem::unavailable(
                "nats_unavailable",
                "there is no feed yet; the pipelines make it when they first start",
            ));
        };
        if restoring::restoration(&stream).is_some() {
            return Err(Problem::feed_restoring());
        }
        let state = &stream.cached_info().state;
        let filter = account.map_or_else(|| format!("{}.*", subjects::EVENTS), subjects::event);
        let total = match account {
            None => state.messages,
            Some(_) => of_subject(&stream, &filter).await?,
        };
        // An account's messages lie so far apart, on average.
        let apart = state.messages.checked_div(total.max(1)).unwrap_or(1);
        let apart = u32::try_from(apart.min(1_000)).unwrap_or(1);
        Ok(Self {
            stored: StoredMessages::new(jetstream.clone(), streams::EVENTS, &filter, apart),
            first: state.first_sequence,
            last: state.last_sequence,
            total,
        })
    }

    /// Oldest first, behind `after`.
    async fn forward(
        &self,
        after: u64,
        limit: usize,
        kind: Option<EventType>,
    ) -> Result<Page, Problem> {
        let mut found = Vec::new();
        let begin = after.saturating_add(1).max(self.first);
        let through = self.last.min(begin.saturating_add(SEQUENCES_MAX));
        let mut next = (begin <= through).then_some(begin);
        while let Some(from) = next
            && found.len() < limit
        {
            let (some, go_on) = self.stored.some(from, through).await?;
            found.extend(some.into_iter().filter(|one| is_of(&one.message, kind)));
            next = go_on;
        }
        let is_full = found.len() >= limit;
        found.truncate(limit);
        let seen = match found.last().filter(|_| is_full) {
            Some(last) => last.message.position,
            None => through.max(after),
        };
        Ok(Page {
            found,
            go_on: Some(seen),
        })
    }

    /// Newest first, before `before`.
    async fn backward(
        &self,
        before: Option<u64>,
        limit: usize,
        kind: Option<EventType>,
    ) -> Result<Page, Problem> {
        let mut through =
            before.map_or(self.last, |before| self.last.min(before.saturating_sub(1)));
        let end = self.first.max(through.saturating_sub(SEQUENCES_MAX)).max(1);
        let mut width = limit as u64;
        let mut found = Vec::new();
        while through >= end && found.len() < limit {
            let from = end.max((through + 1).saturating_sub(width));
            let mut window = Vec::new();
            let mut next = Some(from);
            while let Some(position) = next {
                let (some, go_on) = self.stored.some(position, through).await?;
                window.extend(some.into_iter().filter(|one| is_of(&one.message, kind)));
                next = go_on;
            }
            found.extend(window.into_iter().rev());
            through = from - 1;
            width = width.saturating_mul(2).min(SEQUENCES_MAX);
        }
        let is_full = found.len() >= limit;
        found.truncate(limit);
        let seen = match found.last().filter(|_| is_full) {
            Some(last) => last.message.position,
            None => through + 1,
        };
        Ok(Page {
            found,
            // An empty feed begins at 0.
            go_on: Some(seen).filter(|seen| *seen > self.first.max(1)),
        })
    }
}

/// How many messages of a subject the feed holds.
async fn of_subject(
    stream: &async_nats::jetstream::stream::Stream,
    subject: &str,
) -> Result<u64, Problem> {
    use futures::TryStreamExt;
    let unreadable = |error: &dyn std::fmt::Display| {
        tracing::debug!(%error, "the feed cannot be counted");
        Problem::unavailable(
            "nats_unavailable",
            "NATS does not answer at the moment; try again",
        )
    };
    let counts = stream
        .info_with_subjects(subject)
        .await
        .map_err(|error| unreadable(&error))?;
    let counts: Vec<(String, usize)> = counts
        .try_collect()
        .await
        .map_err(|error| unreadable(&error))?;
    let count: usize = counts.iter().map(|(_, count)| count).sum();
    Ok(count as u64)
}

#[cfg(test)]
mod tests {
    use ledger::EventData;

    use super::*;

    #[test]
    fn every_type_of_event_can_be_asked_for() {
        for name in EventData::TYPE_NAMES {
            let kind: EventType = serde_json::from_value(name.into()).unwrap();
            assert_eq!(kind.as_str(), name);
        }
    }
}
