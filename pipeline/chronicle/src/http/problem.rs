//! Errors over HTTP: problem documents (RFC 9457), each with a stable code for programs and a sentence for people.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use ledger::CommandId;
use serde::Serialize;
use store::sqlstate::{self, Class};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// How long to wait when a server is away for a moment.
const A_MOMENT: Duration = Duration::from_secs(1);
/// How long to wait while the feed is being restored: seconds to minutes.
const A_RESTORATION: Duration = Duration::from_secs(10);

/// Why a request was not answered as it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Document>);

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        Document::schema()
    }
}

impl ToSchema for Problem {}

/// The document that goes over the wire.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Document {
    /// `urn:chronicle:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The code in words; the same for each problem of the kind.
    title: String,
    /// The status code of the answer.
    status: u16,
    /// What is wrong with this request, and what to do.
    detail: String,
    /// The stable word for programs, e.g. `insufficient_funds`.
    #[schema(value_type = String)]
    code: Cow<'static, str>,
    /// The same as `detail`.
    error: String,
    /// The command that the request made or named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Uuid)]
    command_id: Option<CommandId>,
    /// The figures, as strings, e.g. `available` and `required`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: BTreeMap<String, String>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem of this kind.
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let (code, detail) = (code.into(), detail.into());
        Self(Box::new(Document {
            kind: format!("urn:chronicle:problem:{code}"),
            title: title(&code),
            status: status.as_u16(),
            error: detail.clone(),
            detail,
            code,
            command_id: None,
            data: BTreeMap::new(),
            retry_after: None,
        }))
    }

    /// The request cannot be understood: 400.
    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// A parameter of the path or the query cannot be understood: 400.
    pub(crate) fn invalid_parameter(detail: impl Into<String>) -> Self {
        Self::bad_request("invalid_parameter", detail)
    }

    /// There is no such thing: 404.
    pub(crate) fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// It is understood and makes no sense: 422.
    pub(crate) fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// A server is away: 503, to be tried again.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(A_MOMENT)
    }

    /// The feed is being restored, and what is there is a part that looks like all: 503, to be tried again.
    pub(crate) fn feed_restoring() -> Self {
        let detail = "the feed is being restored, and has a part of its events only; try again when it is whole, or read the \
                      histories of the accounts, which have everything";
        Self::unavailable("feed_restoring", detail).retry_after(A_RESTORATION)
    }

    /// Something that should not happen: 500, and a line in the log with the reason.
    pub(crate) fn internal(reason: impl std::fmt::Display) -> Self {
        tracing::error!(%reason, "a request failed");
        let detail = "the request failed for a reason that is not the caller's; the log of the process has it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// The same, about this command.
    pub(crate) fn about(mut self, command_id: Option<CommandId>) -> Self {
        self.0.command_id = command_id;
        self
    }

    /// The same, with these figures.
    pub(crate) fn with(mut self, data: BTreeMap<String, String>) -> Self {
        self.0.data = data;
        self
    }

    /// The same, to be tried again after a while.
    pub(crate) fn retry_after(mut self, duration: Duration) -> Self {
        self.0.retry_after = Some(duration);
        self
    }
}

/// `insufficient_funds` is "Insufficient funds".
fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut characters = words.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).expect("a problem is strings and numbers");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(pause) = self.0.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(pause.as_secs().max(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        if error.is_transient() {
            tracing::debug!(%error, "the event store could not be asked");
            Self::unavailable(
                "event_store_unavailable",
                "the event store does not answer at the moment; try again",
            )
        } else {
            Self::internal(error)
        }
    }
}

/// An error of the read model.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match sqlstate::classify(&error) {
            Class::Conflict | Class::Ambiguous | Class::Unavailable => {
                tracing::debug!(%error, "the read model could not be asked");
                Self::unavailable(
                    "read_model_unavailable",
                    "the read model does not answer at the moment; try again",
                )
            }
            Class::Refused | Class::Fatal => {
                Self::internal(format!("the read model refuses: {error}"))
            }
        }
    }
}

/// An error of NATS.
impl From<engine::Failure> for Problem {
    fn from(failure: engine::Failure) -> Self {
        tracing::debug!(reason = failure.chain(), "NATS could not be asked");
        Self::unavailable(
            "nats_unavailable",
            "NATS does not answer at the moment; try again",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_everything_that_the_standard_asks_for() {
        let problem = Problem::new(StatusCode::CONFLICT, "version_conflict", "it is at 7");
        let document = serde_json::to_value(&problem.0).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "urn:chronicle:problem:version_conflict",
                "title": "Version conflict",
                "status": 409,
                "detail": "it is at 7",
                "code": "version_conflict",
                "error": "it is at 7",
            })
        );
        let response = problem
            .retry_after(Duration::from_millis(300))
            .into_response();
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }
}
