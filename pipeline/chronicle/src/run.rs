//! Running pipelines: all or some of them, each with its own supervision, until they are told to stop.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use engine::{Batching, Failure, PipelineStatus, State};
use ledger::Policy;
use sources::FeedTail;
use store::{EventStore, WriterOptions};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use transport::Nats;
use transport::streams::Limits;
use uuid::Uuid;

use crate::arguments::{ApiArguments, OnNewDefinition, Tuning};
use crate::exit;
use crate::health::Health;
use crate::http::access::Access;
use crate::http::{self, Api};
use crate::metrics::{Intakes, Metrics};
use crate::topology::{self, Build, Parts, Probes};

/// Where the pipelines' servers are.
pub(crate) struct Urls<'a> {
    pub(crate) nats: &'a str,
    pub(crate) event_store: &'a str,
    pub(crate) read_model: &'a str,
}

/// How large the streams may become.
pub(crate) fn limits(tuning: &Tuning) -> Limits {
    const MEBIBYTE: i64 = 1024 * 1024;
    Limits {
        commands_max: i64::from(tuning.commands_waiting_max),
        event_bytes_max: i64::from(tuning.feed_mib_max) * MEBIBYTE,
        replicas: usize::try_from(tuning.stream_replicas).unwrap_or(usize::MAX),
        ..Limits::default()
    }
}

/// What all pipelines share. Nothing here waits for a server: each pipeline tries until its servers are there.
pub(crate) async fn parts(urls: &Urls<'_>, tuning: &Tuning) -> anyhow::Result<Parts> {
    const DAY: Duration = Duration::from_hours(24);
    const READ_MODEL_CONNECTIONS_MAX: u32 = 8;
    const PROBE_CONNECTIONS_MAX: u32 = 2;
    const COMPARISON_CONNECTIONS_MAX: u32 = 2;
    let as_usize = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let event_store = |connections_max| {
        let options = store::Options {
            connections_max,
            ..store::Options::default()
        };
        EventStore::connect_lazy(urls.event_store, &options)
    };
    let read_model =
        |connections_max| sinks::read_model::connect_lazy(urls.read_model, connections_max);
    Ok(Parts {
        nats: Nats::connect_lazy(urls.nats).await?,
        tail: FeedTail::default(),
        // Connections of their own: projections that catch up must not keep intake waiting for one, and neither must
        // questions about readiness.
        store: event_store(tuning.partitions + 2)?,
        store_for_projections: event_store(8)?,
        store_for_comparison: event_store(COMPARISON_CONNECTIONS_MAX)?,
        read_model: read_model(READ_MODEL_CONNECTIONS_MAX)?,
        probes: Probes {
            store: event_store(PROBE_CONNECTIONS_MAX)?,
            read_model: read_model(PROBE_CONNECTIONS_MAX)?,
        },
        intakes: Intakes::default(),
        partitions: tuning.partitions,
        credit: as_usize(tuning.credit),
        limits: limits(tuning),
        writer: WriterOptions {
            accounts_cached_max: as_usize(tuning.accounts_cached_max)
                .try_into()
                .unwrap_or(NonZeroUsize::MIN),
            policy: Policy {
                effective_past_max: DAY * tuning.effective_past_days_max,
                effective_future_max: DAY * tuning.effective_future_days_max,
            },
            ..WriterOptions::default()
        },
        batching: Batching {
            records_max: as_usize(tuning.batch_max),
            linger: Duration::from_millis(tuning.linger_ms),
            ..Batching::default()
        },
        intake_spacing: Duration::from_millis(tuning.intake_spacing_ms),
        projection_spacing: Duration::from_millis(tuning.projection_spacing_ms),
        drain_within: Duration::from_secs(tuning.drain_seconds_max),
        compare_rate: NonZeroU32::new(tuning.compare_rate),
        compare_percent: tuning.compare_percent,
        process: Uuid::new_v4(),
        renews: tuning.on_new_definition == OnNewDefinition::Rebuild,
    })
}

/// The HTTP API over these servers, with connections that are used for nothing else. `shutdown` ends its live streams.
pub(crate) fn api(
    urls: &Urls<'_>,
    parts: &Parts,
    running: &Running,
    access: &Access,
    arguments: &ApiArguments,
    shutdown: &CancellationToken,
) -> anyhow::Result<(Health, Router)> {
    const CONNECTIONS_MAX: u32 = 16;
    let as_usize = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let store_options = store::Options {
        connections_max: CONNECTIONS_MAX,
        connect_timeout: Duration::from_secs(5),
        ..store::Options::default()
    };
    let options = http::Options {
        outcome_within: Duration::from_secs(10),
        catch_up_within: Duration::from_secs(5),
        answer_within: Duration::from_secs(30),
        requests_max: as_usize(arguments.requests_max),
        requests_per_second_max: arguments.rate_max,
        streams_max: as_usize(arguments.streams_max),
        origins: arguments.origin.clone(),
        limits: parts.limits.clone(),
    };
    let health = Health::new(parts.clone(), running.statuses());
    let metrics = Metrics::start(parts, &running.statuses(), shutdown);
    let api = Api::new(
        health.clone(),
        metrics,
        &parts.nats,
        EventStore::connect_lazy(urls.event_store, &store_options)?,
        sinks::read_model::connect_lazy(urls.read_model, CONNECTIONS_MAX)?,
        options,
        shutdown.clone(),
    );
    Ok((health, http::routes(&api, access)))
}

/// Who may call the API on this address.
pub(crate) fn access(address: SocketAddr, arguments: &ApiArguments) -> anyhow::Result<Access> {
    match &arguments.tokens {
        Some(path) => Access::by_tokens(path).map_err(|error| exit::usage(error.to_string())),
        None if address.ip().is_loopback() || arguments.open => Ok(Access::default()),
        None => Err(exit::usage(format!(
            "{address} can be reached from other machines, and everybody could move money there: give --http-tokens FILE \
             (`chronicle token` makes tokens), serve a loopback address, or say --http-open where nobody else can reach it"
        ))),
    }
}

/// Pipelines that are running.
pub(crate) struct Running {
    statuses: Arc<Vec<(String, PipelineStatus)>>,
    tasks: JoinSet<(String, Result<engine::Finished, Failure>)>,
    /// Why those stopped that a person has to see to.
    stopped: Vec<String>,
    /// Reads what is new in the feed for all of them, if several want it.
    _tail: Option<AbortOnDropHandle<()>>,
}

impl Running {
    /// Starts the pipelines that `only` names; all of them, if it names none.
    pub(crate) fn start(
        parts: &Parts,
        only: &[String],
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let chosen = choose(topology::pipelines(parts, shutdown), only)?;
        let readers = topology::readers_of_the_feed(chosen.iter().map(|(name, _)| name.as_str()));
        let tail = (readers > 1).then(|| {
            let (tail, nats, shutdown) = (parts.tail.clone(), parts.nats.clone(), shutdown.clone());
            let keeping = tokio::spawn(async move { tail.keep(&nats, &shutdown).await });
            AbortOnDropHandle::new(keeping)
        });
        let mut statuses = Vec::new();
        let mut tasks = JoinSet::new();
        for (name, build) in chosen {
            let status = PipelineStatus::new(name.clone());
            statuses.push((name.clone(), status.clone()));
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                let ended = engine::supervise(&name, build, status, shutdown).await;
                (name, ended)
            });
        }
        Ok(Self {
            statuses: Arc::new(statuses),
            tasks,
            stopped: Vec::new(),
            _tail: tail,
        })
    }

    /// What each pipeline shows of itself.
    pub(crate) fn statuses(&self) -> Arc<Vec<(String, PipelineStatus)>> {
        Arc::clone(&self.statuses)
    }

    /// Waits until all pipelines have ended. One that stops for a person to act does not stop the others. A call that
    /// was given up can be made again.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        while let Some(task) = self.tasks.join_next().await {
            let (name, ended) = task?;
            if let Err(failure) = ended {
                self.stopped.push(format!("{name}: {}", failure.chain()));
            }
        }
        if self.stopped.is_empty() {
            Ok(())
        } else {
            Err(exit::stopped(format!(
                "stopped, a person has to act: {}",
                self.stopped.join("; ")
            )))
        }
    }
}

fn choose(all: Vec<(String, Build)>, only: &[String]) -> anyhow::Result<Vec<(String, Build)>> {
    if only.is_empty() {
        return Ok(all);
    }
    let names: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
    // `intake` means all partitions.
    let is_chosen = |name: &str, wanted: &str| {
        name == wanted || (wanted == "intake" && name.starts_with("intake."))
    };
    if let Some(unknown) = only
        .iter()
        .find(|wanted| !names.iter().any(|name| is_chosen(name, wanted)))
    {
        return Err(exit::usage(format!(
            "there is no pipeline {unknown:?}; there are {}",
            names.join(", ")
        )));
    }
    let chosen = all
        .into_iter()
        .filter(|(name, _)| only.iter().any(|wanted| is_chosen(name, wanted)));
    Ok(chosen.collect())
}

/// Whether a pipeline does what it is told to: its work, or to rest.
pub(crate) fn is_well(state: &State) -> bool {
    matches!(state, State::Running | State::Paused { .. })
}

/// A token that is cancelled at the first Ctrl-C or SIGTERM. At a second one the process ends at once.
pub(crate) fn stop_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        signal().await;
        tracing::info!("stopping: finishing what is in flight (once more to stop at once)");
        told.cancel();
        signal().await;
        std::process::exit(130);
    });
    stop
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupted = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be listened to");
            let _ = interrupted.await;
        }
    }
}
