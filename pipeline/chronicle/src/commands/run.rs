//! `chronicle run`: pipelines against servers that are there.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::arguments::RunArguments;
use crate::health::{self, Health};
use crate::metrics::Metrics;
use crate::run::{self, Running, Urls};
use crate::servers_at::ServerArguments;

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &RunArguments,
) -> anyhow::Result<ExitCode> {
    let (nats, event_store, read_model) = (
        servers.nats_url()?,
        servers.event_store_url()?,
        servers.read_model_url()?,
    );
    let urls = Urls {
        nats: &nats,
        event_store: &event_store,
        read_model: &read_model,
    };
    let parts = run::parts(&urls, &arguments.tuning).await?;
    let stop = run::stop_signal();
    let shutdown = CancellationToken::new();
    // Before the pipelines: a second process that fails here must not have fenced the first one's projections.
    let listener = match arguments.http {
        Some(address) => Some(health::listen(address).await?),
        None => None,
    };
    let mut running = Running::start(&parts, &arguments.only, &shutdown)?;
    // Liveness outlives the pipelines: it goes when the process goes.
    let serving = CancellationToken::new();
    if let Some(listener) = listener {
        tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
        let health = Health::new(parts.clone(), running.statuses());
        let metrics = Metrics::start(&parts, &running.statuses(), &serving);
        tokio::spawn(health::serve(listener, health, metrics, serving.clone()));
    }
    let ended = tokio::select! {
        ended = running.ended() => ended,
        () = stop.cancelled() => {
            shutdown.cancel();
            running.ended().await
        }
    };
    serving.cancel();
    ended?;
    Ok(ExitCode::SUCCESS)
}
