//! What the process measures of itself, in the text format of Prometheus: `GET /metrics`.
//!
//! Owns every metric's name, type and help ([`families`]). Counts nothing itself: a scrape reads what the engine, the
//! writers and the feeds have counted anyway, and what a task of its own has last found out about the servers
//! ([`observation`]). So a scrape waits for nobody, and a server that is away costs it nothing. Labels are names of the
//! topology and codes of the program, never anything that comes from a command.

mod collector;
mod exposition;
mod families;
mod observation;
mod process;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use engine::PipelineStatus;
use operators::CommandCounters;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use sinks::FeedCounters;
use tokio_util::sync::CancellationToken;

use self::collector::Everything;
use self::observation::Observer;
use crate::topology::Parts;

/// What one intake pipeline counts beside the engine, over all its runs. Clones count in the same place.
#[derive(Debug, Clone, Default)]
pub(crate) struct IntakeCounters {
    pub(crate) commands: CommandCounters,
    pub(crate) feed: FeedCounters,
}

/// The counters of all intake pipelines, by the pipeline's name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Intakes {
    by_pipeline: Arc<Mutex<BTreeMap<String, IntakeCounters>>>,
}

impl Intakes {
    /// The counters of the pipeline called `pipeline`.
    pub(crate) fn of(&self, pipeline: &str) -> IntakeCounters {
        let mut by_pipeline = self
            .by_pipeline
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        by_pipeline.entry(pipeline.to_owned()).or_default().clone()
    }
}

/// All metrics of this process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
}

impl Metrics {
    /// Metrics of these pipelines, and of their servers, which are looked at every few seconds until `shutdown`.
    pub(crate) fn start(
        parts: &Parts,
        statuses: &Arc<Vec<(String, PipelineStatus)>>,
        shutdown: &CancellationToken,
    ) -> Self {
        let (observer, findings) = Observer::new(parts, statuses);
        let shutdown = shutdown.clone();
        let watching = Box::pin(observer.watch());
        tokio::spawn(async move { shutdown.run_until_cancelled(watching).await });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Everything::new(
            Arc::clone(statuses),
            parts.intakes.clone(),
            findings,
        )));
        Self {
            registry: Arc::new(registry),
        }
    }

    /// Everything as it is now, in [`prometheus_text::CONTENT_TYPE`].
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry).expect("a string can be written to");
        text
    }
}

/// `GET /metrics`.
pub(crate) fn routes(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(metrics)
}

async fn scrape(State(metrics): State<Metrics>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, prometheus_text::CONTENT_TYPE)],
        metrics.render(),
    )
}
