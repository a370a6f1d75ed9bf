//! A copy that follows the feed, and how far it has come.

use std::num::NonZeroU32;
use std::time::Duration;

use engine::{Failure, PipelineStatus};
use sinks::projection::{Definition, Projection, standings};
use sources::Runs;
use sqlx::postgres::PgPool;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use transport::{Nats, streams};

use super::Progress;
use crate::topology::{self, Parts};

/// How often it is looked how far the copy has come.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The pipeline that feeds the copy. Dropped, it ends at once.
pub(super) struct Follower {
    task: JoinSet<Result<engine::Finished, Failure>>,
    shutdown: CancellationToken,
}

impl Follower {
    /// Starts it, over the connections of `own` that see the copy.
    pub(super) fn start<P: Projection + Default>(own: &Parts, rate: Option<NonZeroU32>) -> Self {
        let name = format!("rebuild.{}", P::NAME);
        let mut parts = own.clone();
        if let Some(rate) = rate {
            let at_a_time = usize::try_from(rate.get()).unwrap_or(usize::MAX);
            parts.batching.records_max = parts.batching.records_max.min(at_a_time);
        }
        let (runs, own_name) = (Runs::default(), name.clone());
        let build = move || topology::copy::<P>(&parts, &own_name, &runs, rate);
        let shutdown = CancellationToken::new();
        let (status, stop) = (PipelineStatus::new(name.clone()), shutdown.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { engine::supervise(&name, build, status, stop).await });
        Self { task, shutdown }
    }

    /// Waits until it ends though nobody has told it to.
    pub(super) async fn failed(&mut self) -> Failure {
        match self.task.join_next().await {
            Some(Ok(Err(failure))) => failure,
            _ => Failure::retry("the copy does not follow the feed any more"),
        }
    }

    /// Lets it finish what is in flight, and ends it.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        self.shutdown.cancel();
        match self.task.join_next().await {
            Some(Ok(Err(failure))) => Err(failure),
            _ => Ok(()),
        }
    }
}

/// How far the copy has come, and the feed.
pub(super) struct Place {
    pool: PgPool,
    nats: Nats,
    projection: &'static str,
}

impl Place {
    pub(super) fn of(own: &Parts, definition: Definition) -> Self {
        Self {
            pool: own.read_model.clone(),
            nats: own.nats.clone(),
            projection: definition.name,
        }
    }

    /// The last sequence that the copy has applied.
    async fn offset(&self) -> Result<u64, Failure> {
        let standings = standings(&self.pool).await.map_err(|error| {
            Failure::retry("how far the copy has come cannot be read").because(error)
        })?;
        let own = standings
            .into_iter()
            .find(|standing| standing.projection == self.projection);
        own.map(|standing| standing.last_sequence)
            .ok_or_else(|| Failure::fatal("the copy is gone: somebody has removed it"))
    }

    /// Where the feed ends now.
    async fn head(&self) -> Result<u64, Failure> {
        let stream = streams::existing(&self.nats.jetstream, streams::EVENTS).await?;
        Ok(stream.map_or(0, |stream| stream.cached_info().state.last_sequence))
    }

    /// Waits until the copy has everything that the feed had when it was last looked at.
    pub(super) async fn catch_up(&self, progress: &mut Progress) -> Result<(), Failure> {
        let (from, mut head) = (self.offset().await?, self.head().await?);
        progress.stage("feed", Some(head.saturating_sub(from)), 0);
        loop {
            let offset = self.offset().await?;
            progress.reached(offset.saturating_sub(from));
            if offset >= head {
                // What has come meanwhile is little, or there is another round.
                let now = self.head().await?;
                if now.saturating_sub(offset) <= NEAR {
                    return Ok(());
                }
                head = now;
                progress.stage(
                    "feed",
                    Some(head.saturating_sub(from)),
                    offset.saturating_sub(from),
                );
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the copy reaches that sequence in time.
    pub(super) async fn reach(&self, sequence: u64, within: Duration) -> Result<bool, Failure> {
        let deadline = Instant::now() + within;
        while self.offset().await? < sequence {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(true)
    }
}

/// How many messages behind the end of a feed that moves count as there.
const NEAR: u64 = 10_000;
