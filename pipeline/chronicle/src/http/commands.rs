//! Commands over HTTP: published to the stream like any other, and answered with what became of them.
//!
//! The body is the command's own document (see docs/wire.md), read by the ledger's own strict decoder; the path may say
//! its type and the header `Idempotency-Key` its id. Nothing is decided here.

mod document;
mod preference;
mod refusal;
pub(super) mod schema;
mod typed;

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::codec::{self, Malformed};
use ledger::{
    Action, Command, CommandId, Event, EventId, EventReference, HoldId, Outcome, PostingId,
    Timestamp, TransferId,
};
use serde::Serialize;
use utoipa::{IntoResponses, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::preference::Preference;
use super::Api;
use super::access::Caller;
use super::extract::{InBody, InPath};
use super::problem::Problem;
use crate::links::Links;
use crate::submission::answer::{Answer, Meaning};
use crate::submission::publishing::Unacknowledged;
use crate::submission::submitter::Submitted;

/// Says what a `Prefer` header has led to (RFC 7240).
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// When to look again for an outcome that is still to come.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The routes for those who may write.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Schemas::openapi())
        .routes(routes!(any))
        .merge(typed::routes())
}

/// The routes for those who may write or read.
pub(super) fn outcome_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(outcome))
}

/// The ledger did it.
#[derive(Debug, Serialize, ToSchema)]
struct Accepted {
    /// Always true.
    success: bool,
    /// The command's id: the one that was given, or the one that was made up.
    #[schema(value_type = String, format = Uuid)]
    command_id: CommandId,
    /// The first event.
    #[schema(value_type = String, format = Uuid)]
    event_id: EventId,
    /// All events, in order, with the versions that the accounts have now: the last one of an account is to be used as
    /// `min_version`.
    #[schema(value_type = Vec<EventPlace>)]
    events: Vec<EventReference>,
    /// The transfer, if money went from one account to another: also by a capture, and by a closing that sweeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    transfer_id: Option<TransferId>,
    /// The posting, if it was one, as an exchange is, or moved one back. The commands of a batch have theirs in their events.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    posting_id: Option<PostingId>,
    /// The hold, if it was about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    hold_id: Option<HoldId>,
}

/// Where an event is to be found.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "the form of `ledger::EventReference`, for the description"
)]
pub(super) struct EventPlace {
    /// The account that it happened to.
    account_id: String,
    /// Its place in the account's history.
    version: u64,
    /// Its name.
    #[schema(format = Uuid)]
    event_id: String,
    /// Which command of a batch made it, from 0; absent for any other command.
    part: Option<u32>,
}

/// The command is kept, and its outcome is still to come.
#[derive(Debug, Serialize, ToSchema)]
struct Pending {
    /// Always `pending`.
    status: &'static str,
    /// The command's id.
    #[schema(value_type = String, format = Uuid)]
    command_id: CommandId,
    /// Where its outcome will be.
    location: String,
}

/// What [`Answers`] refers to, which its derivation does not describe.
#[derive(OpenApi)]
#[openapi(components(schemas(Accepted, Pending)))]
struct Schemas;

/// How a command can be answered.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described, never made")]
enum Answers {
    /// The ledger did it.
    #[response(status = 201)]
    Accepted(Accepted),
    /// It is kept, and its outcome is still to come; see Location.
    #[response(status = 202)]
    Pending(Pending),
    /// What it is about is not there: `account_not_found`, `hold_not_found`, `command_not_found`
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// What is there is in the way: `account_exists`, `account_frozen`, `version_conflict`, `hold_closed`, `already_reversed` …
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// A condition of the command does not hold: `expired`, `too_early`, `balance_condition`
    #[response(status = 412, content_type = "application/problem+json")]
    ConditionFailed(Problem),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is not JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(Problem),
    /// The money is not right: `insufficient_funds`, `currency_mismatch`, `amount_exceeds_hold`, `unbalanced` …
    #[response(status = 422, content_type = "application/problem+json")]
    Refused(Problem),
}

/// What became of a command.
#[derive(Debug, Serialize, ToSchema)]
struct FoundOutcome {
    #[serde(flatten)]
    #[schema(value_type = schema::OutcomeDocument)]
    outcome: Outcome,
    /// When it was decided.
    #[schema(value_type = String, format = DateTime)]
    recorded_at: Timestamp,
    #[serde(flatten)]
    links: Links,
}

/// Any command
///
/// `type` in the body says which one. The answer comes when the event store has committed, or says that the outcome is
/// still to come.
#[utoipa::path(
    post, path = "/commands", tag = "commands",
    params(schema::CommandHeaders),
    request_body = schema::AnyCommand,
    responses(Answers)
)]
async fn any(
    State(api): State<Api>,
    caller: Caller,
    headers: HeaderMap,
    InBody(body): InBody,
) -> Result<Response, Problem> {
    submit(&api, &caller, &headers, &body, None).await
}

/// The outcome of a command
///
/// 404 while it has none: it may still be on its way, or there may be no such command. A reversal names the command that
/// it reverses, and a command those that reverse it.
#[utoipa::path(
    get, path = "/commands/{command_id}", tag = "commands",
    params(("command_id" = String, Path, format = Uuid, description = "The command",
        example = "8a1c6f0e-3b52-4b7e-9d5e-0c1f2a3b4c04")),
    responses(
        (status = 200, description = "It has an outcome", body = FoundOutcome),
        (status = 404, description = "No outcome (yet)", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn outcome(
    State(api): State<Api>,
    InPath(command_id): InPath<CommandId>,
) -> Result<Json<FoundOutcome>, Problem> {
    let found = api.store.outcomes(&[command_id]).await?;
    let Some(stored) = found.into_iter().next() else {
        let detail = format!(
            "command {command_id} has no outcome: it is still on its way, or there is no such command"
        );
        return Err(Problem::not_found("no_outcome", detail)
            .about(Some(command_id))
            .retry_after(LOOK_AGAIN_AFTER));
    };
    Ok(Json(FoundOutcome {
        links: Links::of(&api.store, &stored.outcome).await?,
        outcome: stored.outcome,
        recorded_at: stored.recorded_at,
    }))
}

async fn submit(
    api: &Api,
    caller: &Caller,
    headers: &HeaderMap,
    body: &Bytes,
    type_name: Option<&'static str>,
) -> Result<Response, Problem> {
    check_content_type(headers)?;
    let key = idempotency_key(headers)?;
    let preference = Preference::of(headers);
    let document = document::complete(body, key, type_name, caller.name())?;
    let command = codec::decode_command(None, &document).map_err(malformed)?;
    let wait = preference.wait(api.options.outcome_within);
    let submitted = api.submitter.submit(&command, document.into(), wait).await;
    let submitted = submitted.map_err(|error| unacknowledged(&error, command.command_id))?;
    match submitted {
        Submitted::Pending => Ok(pending(command.command_id, &preference)),
        Submitted::Answered(answer) => answered(api, &command, answer).await,
    }
}

/// JSON, or nothing said.
fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(given) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let essence = given.to_str().unwrap_or_default().split(';').next();
    if essence.is_some_and(|essence| {
        essence
            .trim()
            .eq_ignore_ascii_case(codec::CONTENT_TYPE_JSON)
    }) {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_content_type",
        "a command is JSON here: send Content-Type: application/json",
    ))
}

/// The command's id, if a header says it. A structured header's quotes are taken off.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<CommandId>, Problem> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    let invalid = |detail: String| Problem::bad_request("invalid_command_id", detail);
    if given.next().is_some() {
        return Err(invalid("Idempotency-Key stands there twice".to_owned()));
    }
    let text = key.to_str().unwrap_or_default().trim();
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    text.parse()
        .map(Some)
        .map_err(|error| invalid(format!("Idempotency-Key is the command's id: {error}")))
}

/// The body is no command.
fn malformed(malformed: Malformed) -> Problem {
    let status = match malformed.code {
        "too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, malformed.code, malformed.message).about(malformed.command_id)
}

/// The stream has not taken the command, or has not said so.
fn unacknowledged(error: &Unacknowledged, command_id: CommandId) -> Problem {
    let problem = match error {
        Unacknowledged::Full(_) => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_commands",
            "the ledger has as many commands waiting as it may have; nothing was taken: try again later",
        )
        .retry_after(LOOK_AGAIN_AFTER),
        Unacknowledged::NotConnected | Unacknowledged::NoStream => Problem::unavailable(
            "nats_unavailable",
            format!("nothing was sent: {error}; try again"),
        ),
        Unacknowledged::Unknown(_) => Problem::unavailable(
            "unacknowledged",
            "the command may have been taken or not; send it again under the same id: it is done once at the most",
        ),
        Unacknowledged::Refused(_) => Problem::internal(error),
    };
    problem.about(Some(command_id))
}

fn pending(command_id: CommandId, preference: &Preference) -> Response {
    let location = format!("/commands/{command_id}");
    let mut response = (
        StatusCode::ACCEPTED,
        Json(Pending {
            status: "pending",
            command_id,
            location: location.clone(),
        }),
    )
        .into_response();
    let headers = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(LOCATION, location);
    }
    headers.insert(RETRY_AFTER, HeaderValue::from(LOOK_AGAIN_AFTER.as_secs()));
    if preference.asynchronous {
        headers.insert(
            PREFERENCE_APPLIED,
            HeaderValue::from_static("respond-async"),
        );
    }
    response
}

async fn answered(api: &Api, command: &Command, answer: Answer) -> Result<Response, Problem> {
    let command_id = command.command_id;
    let (code, message) = match answer.meaning() {
        Meaning::Accepted => {
            let Some(first) = answer.events.first() else {
                return Err(Problem::internal(format!(
                    "command {command_id} was accepted without an event"
                )));
            };
            let (transfer_id, posting_id) = movement(api, command, &answer.events).await?;
            let accepted = Accepted {
                success: true,
                command_id,
                event_id: first.event_id,
                transfer_id,
                posting_id,
                hold_id: command.hold_id(),
                events: answer.events,
            };
            return Ok((StatusCode::CREATED, Json(accepted)).into_response());
        }
        Meaning::Rejected { code, message } | Meaning::DeadLetter { code, message, .. } => {
            (code.to_owned(), message.to_owned())
        }
    };
    Err(Problem::new(refusal::status(&code), code, message)
        .about(Some(command_id))
        .with(answer.data()))
}

/// The transfer or the posting that a command has made, if it is one of one. The commands of a batch have theirs in their
/// events.
async fn movement(
    api: &Api,
    command: &Command,
    events: &[EventReference],
) -> Result<(Option<TransferId>, Option<PostingId>), Problem> {
    let command_id = command.command_id;
    let has_reached_another = events
        .iter()
        .any(|event| event.account_id != *command.account_id());
    match &command.action {
        Action::Batch(_) => Ok((None, None)),
        Action::Post(_) | Action::Exchange(_) => Ok((None, Some(command_id.posting_id(0)))),
        // It mirrors whatever it reverses, which only its events tell.
        Action::Reverse(_) if events.len() > 1 => mirrored(api, events).await,
        _ => Ok((has_reached_another.then(|| command_id.transfer_id(0)), None)),
    }
}

/// What a reversal of several movements has made: one transfer or one posting back, or several.
async fn mirrored(
    api: &Api,
    events: &[EventReference],
) -> Result<(Option<TransferId>, Option<PostingId>), Problem> {
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Ok((None, None));
    };
    let ends = api.store.events(&[first.clone(), last.clone()]).await?;
    let [first, last] = ends.as_slice() else {
        return Ok((None, None));
    };
    // All entries of a posting stand side by side, and so do both halves of a transfer.
    let transfer_id = |event: &Event| event.data.transfer().map(|leg| leg.transfer_id);
    let posting_id = |event: &Event| event.data.posting_id();
    Ok((
        transfer_id(first).filter(|id| transfer_id(last) == Some(*id)),
        posting_id(first).filter(|id| posting_id(last) == Some(*id)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_stand_in_quotes_and_must_be_a_uuid() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", text.parse().unwrap());
            idempotency_key(&headers)
        };
        let id = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";
        assert_eq!(of(id).unwrap().unwrap().to_string(), id);
        assert_eq!(of(&format!("\"{id}\"")).unwrap().unwrap().to_string(), id);
        for bad in ["", "1", "\"", "\"\"", "6f1c2a3e58b14c0e9a530d8f6c1f7b11"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert!(idempotency_key(&HeaderMap::new()).unwrap().is_none());
    }
}
