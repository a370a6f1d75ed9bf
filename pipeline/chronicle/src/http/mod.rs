//! The HTTP API: commands, queries, the past, live events, and the pages around them.
//!
//! Commands go through the stream like any other; queries read the read model, and the past is read from the event
//! store. Nothing here is needed for the pipelines to run, and it has connections of its own, so that readers never keep
//! a pipeline waiting.
//!
//! | file | routes |
//! |---|---|
//! | `commands.rs` | `/commands…` |
//! | `accounts.rs`, `transactions.rs`, `holds.rs` | `/accounts…`, `/transfers/…` as they are now |
//! | `past.rs` | balances at a time, histories, the whole book |
//! | `events.rs`, `live.rs` | `/events`, and the live streams |
//! | `operations.rs` | `/projections`, `/ledger/stats` |
//! | `description.rs` | `/openapi.json`, `/docs`, `/asyncapi.json` |

#![expect(
    unused_qualifications,
    reason = "the macros of utoipa qualify what they are given"
)]

pub(crate) mod access;
mod accounts;
mod commands;
mod cursor;
mod description;
mod events;
mod extract;
mod holds;
mod limits;
mod live;
mod operations;
mod past;
mod problem;
mod rules;
mod server;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use sqlx::postgres::PgPool;
use store::EventStore;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use transport::Nats;
use transport::streams::Limits;
use utoipa_axum::router::OpenApiRouter;

use self::access::{Access, Role, admit};
use self::limits::Guard;
use self::problem::Problem;
use crate::health::{self, Health};
use crate::metrics::{self, Metrics};
use crate::submission::submitter::Submitter;

pub(crate) use self::server::{listen, serve};

/// How the API behaves.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The longest that a request waits for its command's outcome.
    pub(crate) outcome_within: Duration,
    /// The longest that a request waits for the read model to have what it asks for.
    pub(crate) catch_up_within: Duration,
    /// The longest that a request without an end of its own may take.
    pub(crate) answer_within: Duration,
    /// How many requests are worked on at a time.
    pub(crate) requests_max: usize,
    /// How many requests one client may make in a second, on average.
    pub(crate) requests_per_second_max: u32,
    /// How many readers may follow live events.
    pub(crate) streams_max: usize,
    /// Whose pages may call the API from a browser.
    pub(crate) origins: Vec<String>,
    /// How large streams become that have to be made.
    pub(crate) limits: Limits,
}

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    health: Health,
    metrics: Metrics,
    nats: Nats,
    store: EventStore,
    read_model: PgPool,
    submitter: Submitter,
    streams: Arc<Semaphore>,
    options: Arc<Options>,
    /// Ends the live streams.
    shutdown: CancellationToken,
}

impl Api {
    /// An API over these servers, with connections that are used for nothing else.
    pub(crate) fn new(
        health: Health,
        metrics: Metrics,
        nats: &Nats,
        store: EventStore,
        read_model: PgPool,
        options: Options,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            health,
            metrics,
            submitter: Submitter::new(nats, store.clone()),
            nats: nats.clone(),
            store,
            read_model,
            streams: Arc::new(Semaphore::new(options.streams_max)),
            options: Arc::new(options),
            shutdown,
        }
    }
}

/// All routes, and their description.
pub(crate) fn routes(api: &Api, access: &Access) -> Router {
    let (described, description) = described(access).split_for_parts();
    let description = Arc::new(description);
    let api_routes = described
        .merge(description::routes(&description, access))
        .method_not_allowed_fallback(no_method)
        .with_state(api.clone());
    let guard = Guard::new(&api.options);
    let guarded = guard.around(api_routes);
    // Probes and metrics are answered however busy the API is.
    let probes = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(health::readyz))
        .with_state(api.health.clone());
    let scrapes = metrics::routes(api.metrics.clone()).route_layer(from_fn_with_state(
        (access.clone(), &[Role::Operator] as &'static [Role]),
        admit,
    ));
    guarded.merge(probes).merge(scrapes).fallback(no_route)
}

/// The routes that are described, each for those who have one of its roles.
fn described(access: &Access) -> OpenApiRouter<Api> {
    let for_roles = |routes: OpenApiRouter<Api>, roles: &'static [Role]| {
        routes.route_layer(from_fn_with_state((access.clone(), roles), admit))
    };
    OpenApiRouter::with_openapi(description::about())
        .merge(for_roles(commands::routes(), &[Role::Writer]))
        .merge(for_roles(
            commands::outcome_routes(),
            &[Role::Writer, Role::Reader, Role::Auditor],
        ))
        .merge(for_roles(
            accounts::routes()
                .merge(transactions::routes())
                .merge(holds::routes())
                .merge(events::routes())
                .merge(live::routes()),
            &[Role::Reader, Role::Auditor],
        ))
        .merge(for_roles(past::routes(), &[Role::Auditor]))
        .merge(for_roles(
            operations::routes(),
            &[Role::Operator, Role::Auditor],
        ))
}

async fn no_route(uri: Uri) -> Problem {
    let detail = format!(
        "there is nothing at {}; see /docs for what there is",
        uri.path()
    );
    Problem::not_found("no_such_route", detail)
}

async fn no_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not take {method}; see /docs", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
