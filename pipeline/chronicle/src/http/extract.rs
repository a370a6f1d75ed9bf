//! What a request says besides its body. Whatever cannot be understood is a problem document, too.

use std::fmt::Display;
use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use ledger::Version;
use ledger::limits::BODY_BYTES_MAX;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The one parameter of the path.
pub(crate) struct InPath<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for InPath<T>
where
    S: Send + Sync,
    T: FromStr<Err: Display>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::invalid_parameter(error.body_text()))?;
        parse("the path", &text).map(Self)
    }
}

/// The two parameters of the path.
pub(crate) struct InPathPair<A, B>(pub(crate) A, pub(crate) B);

impl<S, A, B> FromRequestParts<S> for InPathPair<A, B>
where
    S: Send + Sync,
    A: FromStr<Err: Display>,
    B: FromStr<Err: Display>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((first, second)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::invalid_parameter(error.body_text()))?;
        Ok(Self(
            parse("the path", &first)?,
            parse("the path", &second)?,
        ))
    }
}

/// The parameters behind the question mark. Parameters that are not known are refused by name.
pub(crate) struct InQuery<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for InQuery<T>
where
    S: Send + Sync,
    T: DeserializeOwned,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::invalid_parameter(error.body_text()))?;
        Ok(Self(query))
    }
}

/// The body, as it was sent.
pub(crate) struct InBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for InBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Bytes::from_request(request, state).await;
        body.map(Self).map_err(|error| {
            if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
                let detail = format!("a body has at most {BODY_BYTES_MAX} bytes");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
            } else {
                Problem::bad_request("unreadable_body", error.body_text())
            }
        })
    }
}

/// A version or a sequence in a query: a whole number that every client can hold exactly (2^53 - 1 at the most).
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "u64")]
pub(crate) struct Number(pub(crate) u64);

impl TryFrom<u64> for Number {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        if number <= Version::MAX.get() {
            Ok(Self(number))
        } else {
            Err(format!("{number} is more than {}", Version::MAX))
        }
    }
}

/// A parameter that is written as text.
pub(crate) fn parse<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|error| Problem::invalid_parameter(format!("{name}: {error}")))
}
