//! What keeps the API from being overrun: how large, how many, how often and how long requests may be.

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ledger::limits::BODY_BYTES_MAX;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::Options;
use super::problem::Problem;

/// How many clients' rates are remembered before those who have been quiet are forgotten.
const CLIENTS_REMEMBERED_MAX: usize = 10_000;

type Rates = DefaultKeyedRateLimiter<IpAddr>;

/// The limits around all routes but the probes.
pub(super) struct Guard {
    at_once: Arc<Semaphore>,
    rates: Arc<Rates>,
    answer_within: Duration,
    origins: Vec<HeaderValue>,
}

impl Guard {
    pub(super) fn new(options: &Options) -> Self {
        let per_second =
            NonZeroU32::new(options.requests_per_second_max).unwrap_or(NonZeroU32::MIN);
        let origins = options.origins.iter();
        Self {
            at_once: Arc::new(Semaphore::new(options.requests_max)),
            rates: Arc::new(RateLimiter::keyed(Quota::per_second(per_second))),
            answer_within: options.answer_within,
            origins: origins.filter_map(|origin| origin.parse().ok()).collect(),
        }
    }

    /// These routes, within the limits.
    pub(super) fn around(self, routes: Router) -> Router {
        let routes = routes
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(from_fn_with_state(self.answer_within, in_time))
            .layer(from_fn_with_state(self.at_once, so_many_at_once))
            .layer(from_fn_with_state(self.rates, so_often))
            .layer(CatchPanicLayer::custom(panicked))
            .layer(from_fn(not_to_be_kept));
        if self.origins.is_empty() {
            return routes;
        }
        routes.layer(
            CorsLayer::new()
                .allow_origin(AllowOrigin::list(self.origins))
                .allow_methods([Method::GET, Method::POST])
                .allow_headers([
                    header::AUTHORIZATION,
                    header::CONTENT_TYPE,
                    HeaderName::from_static("idempotency-key"),
                    HeaderName::from_static("last-event-id"),
                    HeaderName::from_static("prefer"),
                ])
                .expose_headers([header::LOCATION, header::RETRY_AFTER]),
        )
    }
}

/// Ends a request that takes too long. Live streams have answered by then, and go on.
async fn in_time(State(within): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(within, next.run(request))
        .await
        .unwrap_or_else(|_| {
            let detail = format!(
                "there was no answer within {} s; try again",
                within.as_secs()
            );
            Problem::unavailable("timed_out", detail).into_response()
        })
}

/// Refuses what would be one request too many at a time.
async fn so_many_at_once(
    State(at_once): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(_permit) = at_once.try_acquire() else {
        return Problem::unavailable(
            "too_busy",
            "as many requests are worked on as may be at a time; try again",
        )
        .into_response();
    };
    next.run(request).await
}

/// Refuses a client that asks too often.
async fn so_often(State(rates): State<Arc<Rates>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if let Some(ConnectInfo(peer)) = peer {
        if rates.len() > CLIENTS_REMEMBERED_MAX {
            rates.retain_recent();
        }
        if let Err(until) = rates.check_key(&peer.ip()) {
            return Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_requests",
                "this client asks more often than it may; try again later",
            )
            .retry_after(until.wait_time_from(DefaultClock::default().now()))
            .into_response();
        }
    }
    next.run(request).await
}

/// A panic is a bug: it is told as such, and nobody else notices it.
#[allow(clippy::needless_pass_by_value)] // as the layer hands it over
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let reason = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Problem::internal(format!("a handler panicked, which is a bug: {reason}")).into_response()
}

/// Balances are nobody's to keep on the way.
async fn not_to_be_kept(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
