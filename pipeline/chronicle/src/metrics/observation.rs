//! What the servers say: asked for every few seconds by a task of its own, so that no scrape has to wait for them.
//!
//! Guarantees that a look at them ends within a few seconds, whatever they do, and that what could not be found out is
//! missing from the result rather than old. Asks over the connections that readiness is asked over, so it takes none
//! from the pipelines.

use std::sync::Arc;
use std::time::Duration;

use engine::{Failure, PipelineStatus};
use futures::future::{join_all, try_join_all};
use sinks::divergences::{self, Course};
use sinks::projection::{self, Standing};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use transport::Nats;
use transport::streams;

use crate::standing::age_behind;
use crate::topology::{COMPARISON, Parts, Probes};

/// How often the servers are looked at.
const EVERY: Duration = Duration::from_secs(5);
/// How long a server may take to answer one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// What was found out at the last look.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    /// The servers that this process needs, and whether they answered. Empty before the first look.
    pub(super) servers: Vec<(&'static str, bool)>,
    /// The streams that are there; none when NATS did not answer.
    pub(super) streams: Vec<StreamState>,
    /// The projections of this process.
    pub(super) projections: Vec<ProjectionState>,
    /// How far the comparison in the background has come, whoever makes it; `None` when that could not be found out.
    pub(super) course: Option<Course>,
}

/// A stream and its limits.
#[derive(Debug, Clone)]
pub(super) struct StreamState {
    pub(super) name: &'static str,
    /// Which life of the stream it is.
    identity: String,
    pub(super) last_sequence: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// `None`: no limit.
    pub(super) messages_max: Option<u64>,
    /// `None`: no limit.
    pub(super) bytes_max: Option<u64>,
}

/// A projection, and how far it is behind.
#[derive(Debug, Clone)]
pub(super) struct ProjectionState {
    pub(super) name: String,
    pub(super) offset: Option<u64>,
    /// `None`: it could not be found out, or it has read another feed.
    pub(super) lag: Option<Lag>,
}

/// How far a projection is behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lag {
    pub(super) events: u64,
    /// How long the oldest message that is not applied has been in the feed.
    pub(super) age: Duration,
}

/// Looks at the servers of a process.
pub(super) struct Observer {
    nats: Nats,
    probes: Probes,
    projections: Vec<String>,
    compares: bool,
    observed: watch::Sender<Observed>,
}

impl Observer {
    /// An observer for these pipelines, and where it leaves what it has found.
    pub(super) fn new(
        parts: &Parts,
        statuses: &Arc<Vec<(String, PipelineStatus)>>,
    ) -> (Self, watch::Receiver<Observed>) {
        let (sender, receiver) = watch::channel(Observed::default());
        let projections = statuses
            .iter()
            .filter_map(|(name, _)| name.strip_prefix("projection."));
        let observer = Self {
            nats: parts.nats.clone(),
            probes: parts.probes.clone(),
            projections: projections.map(str::to_owned).collect(),
            compares: statuses.iter().any(|(name, _)| name == COMPARISON),
            observed: sender,
        };
        (observer, receiver)
    }

    /// Looks again and again, for ever.
    pub(super) async fn watch(self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let observed = self.look().await;
            self.observed.send_replace(observed);
        }
    }

    async fn look(&self) -> Observed {
        let (store, standings, streams, course) = tokio::join!(
            in_time(self.probes.store.ping()),
            self.standings(),
            in_time(streams_of(&self.nats)),
            self.course(),
        );
        let mut servers = vec![
            ("nats", streams.is_some()),
            ("event_store", store.is_some()),
        ];
        if self.needs_read_model() {
            servers.push(("read_model", standings.is_some()));
        }
        let (streams, standings) = (streams.unwrap_or_default(), standings.unwrap_or_default());
        let feed = streams.iter().find(|stream| stream.name == streams::EVENTS);
        let projections = self.projections.iter().map(|name| {
            let standing = standings.iter().find(|one| one.projection == *name);
            self.projection(name, standing, feed)
        });
        let projections = join_all(projections).await;
        Observed {
            servers,
            streams,
            projections,
            course,
        }
    }

    async fn course(&self) -> Option<Course> {
        if !self.needs_read_model() {
            return None;
        }
        in_time(divergences::course(&self.probes.read_model)).await?
    }

    /// Whether a pipeline of this process works on the read model.
    fn needs_read_model(&self) -> bool {
        !self.projections.is_empty() || self.compares
    }

    /// `None` when the read model does not answer, or nobody here has one.
    async fn standings(&self) -> Option<Vec<Standing>> {
        if !self.needs_read_model() {
            return None;
        }
        in_time(projection::standings(&self.probes.read_model)).await
    }

    async fn projection(
        &self,
        name: &str,
        standing: Option<&Standing>,
        feed: Option<&StreamState>,
    ) -> ProjectionState {
        let lag = async {
            let (standing, feed) = (standing?, feed?);
            if standing.stream_id != feed.identity {
                return None;
            }
            let events = feed.last_sequence.saturating_sub(standing.last_sequence);
            let age = match events {
                0 => Duration::ZERO,
                _ => in_time(age_behind(&self.nats, standing.last_sequence)).await?,
            };
            Some(Lag { events, age })
        };
        ProjectionState {
            name: name.to_owned(),
            offset: standing.map(|standing| standing.last_sequence),
            lag: lag.await,
        }
    }
}

/// The answer, if it is one and comes in time.
async fn in_time<T, E>(question: impl Future<Output = Result<T, E>>) -> Option<T> {
    timeout(ANSWER_WITHIN, question).await.ok()?.ok()
}

async fn streams_of(nats: &Nats) -> Result<Vec<StreamState>, Failure> {
    let limit = |limit: i64| u64::try_from(limit).ok().filter(|limit| *limit > 0);
    let names = [streams::COMMANDS, streams::EVENTS, streams::DEAD_LETTERS];
    let found = try_join_all(names.map(|name| streams::existing(&nats.jetstream, name))).await?;
    let found = names.into_iter().zip(found);
    let states = found.filter_map(|(name, stream)| {
        let stream = stream?;
        let info = stream.cached_info();
        Some(StreamState {
            name,
            identity: streams::identity(&stream),
            last_sequence: info.state.last_sequence,
            messages: info.state.messages,
            bytes: info.state.bytes,
            messages_max: limit(info.config.max_messages),
            bytes_max: limit(info.config.max_bytes),
        })
    });
    Ok(states.collect())
}
