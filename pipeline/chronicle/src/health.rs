//! Liveness and readiness over HTTP.
//!
//! `GET /livez` answers 200 as long as the process works. `GET /readyz` answers 200 when every pipeline of this process
//! runs and every server that it needs answers, and 503 otherwise; the body says what is wrong, since when and why. Serves
//! [`metrics`] at the same address.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use engine::{PipelineSnapshot, PipelineStatus};
use serde::Serialize;

use crate::run::is_well;
use crate::topology::{COMPARISON, Parts};

/// What readiness is judged by.
#[derive(Clone)]
pub(crate) struct Health {
    parts: Parts,
    statuses: Arc<Vec<(String, PipelineStatus)>>,
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
pub(crate) struct Readiness {
    ready: bool,
    servers: Vec<Server>,
    pipelines: Vec<PipelineSnapshot>,
}

/// One server that the pipelines need.
#[derive(Debug, Serialize)]
struct Server {
    name: &'static str,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Server {
    fn of(name: &'static str, result: Result<(), String>) -> Self {
        Self {
            name,
            ready: result.is_ok(),
            reason: result.err(),
        }
    }
}

/// How long a server may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl Health {
    pub(crate) fn new(parts: Parts, statuses: Arc<Vec<(String, PipelineStatus)>>) -> Self {
        Self { parts, statuses }
    }

    /// How everything is now.
    pub(crate) async fn readiness(&self) -> Readiness {
        let is_connected = self.parts.nats.is_connected();
        let nats = is_connected
            .then_some(())
            .ok_or_else(|| "not connected".to_owned());
        let (event_store, read_model) = tokio::join!(
            bounded(async {
                self.parts
                    .probes
                    .store
                    .ping()
                    .await
                    .map_err(|error| error.to_string())
            }),
            bounded(async {
                let ping = sqlx::query("SELECT 1 FROM projection_offsets LIMIT 1");
                let answer = ping.fetch_optional(&self.parts.probes.read_model).await;
                answer.map(|_| ()).map_err(|error| error.to_string())
            }),
        );
        let mut servers = vec![
            Server::of("nats", nats),
            Server::of("event_store", event_store),
        ];
        if self
            .statuses
            .iter()
            .any(|(name, _)| name.starts_with("projection.") || name == COMPARISON)
        {
            servers.push(Server::of("read_model", read_model));
        }
        let pipelines: Vec<PipelineSnapshot> = self
            .statuses
            .iter()
            .map(|(_, status)| status.snapshot())
            .collect();
        // Whoever only looks serves nobody, and what it finds is no reason to turn requests away.
        let mut serving = self.statuses.iter().filter(|(name, _)| name != COMPARISON);
        let ready = servers.iter().all(|server| server.ready)
            && serving.all(|(_, status)| is_well(&status.state()));
        Readiness {
            ready,
            servers,
            pipelines,
        }
    }

    /// What a pipeline of this process does, and why it does not run if it does not.
    pub(crate) fn state_of(&self, name: &str) -> Option<(String, Option<String>)> {
        let (_, status) = self.statuses.iter().find(|(known, _)| known == name)?;
        let state = serde_json::to_value(status.state()).ok()?;
        let text = |name: &str| state[name].as_str().map(str::to_owned);
        Some((text("state")?, text("reason")))
    }

    /// Whether everything is well now.
    pub(crate) async fn is_ready(&self) -> bool {
        self.readiness().await.ready
    }
}

async fn bounded(check: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::time::timeout(ANSWER_WITHIN, check)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {ANSWER_WITHIN:?}")))
}

/// How everything is now, with the code that says whether it is well.
pub(crate) async fn readyz(State(health): State<Health>) -> (StatusCode, Json<Readiness>) {
    let readiness = health.readiness().await;
    let code = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (code, Json(readiness))
}
