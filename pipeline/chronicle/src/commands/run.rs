//! `chronicle run`: pipelines against servers that are there.

use std::process::ExitCode;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::arguments::RunArguments;
use crate::http;
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
        Some(address) => {
            let access = run::access(address, &arguments.api)?;
            Some((http::listen(address).await?, access))
        }
        None => None,
    };
    let mut running = Running::start(&parts, &arguments.only, &shutdown)?;
    // The API outlives the pipelines, so that what was accepted while they drain has its answer, and liveness goes when
    // the process goes.
    let serving = CancellationToken::new();
    let mut served = JoinSet::new();
    if let Some((listener, access)) = listener {
        tracing::info!(address = %listener.local_addr()?, "serving the HTTP API");
        let (_, routes) = run::api(&urls, &parts, &running, &access, &arguments.api, &serving)?;
        served.spawn(http::serve(listener, routes, serving.clone()));
    }
    let ended = tokio::select! {
        ended = running.ended() => ended,
        () = stop.cancelled() => {
            shutdown.cancel();
            running.ended().await
        }
    };
    serving.cancel();
    served.join_all().await;
    ended?;
    Ok(ExitCode::SUCCESS)
}
