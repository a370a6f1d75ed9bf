//! The load: so many tasks, each of which sends its next command when it has the answer to the last one. A latency is from
//! the call to the answer, tries that ended in a conflict included.
//!
//! This load is closed, unlike the one of `chronicle bench`: while a peer stands still nothing is sent, so what would have
//! waited meanwhile is not in the latencies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::workload::{Order, Workload};

/// Latencies are kept from a microsecond to an hour, to three digits.
const LATENCY_MAX_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// Somebody who does what commands ask for.
pub(crate) trait Peer: Send + Sync + 'static {
    /// What one task keeps from command to command.
    type Session: Send;

    /// For one more task.
    fn session(&self) -> impl Future<Output = anyhow::Result<Self::Session>> + Send;

    /// Does it, or refuses it. An error is neither, and ends the run.
    fn execute(
        &self,
        session: &mut Self::Session,
        order: Order,
    ) -> impl Future<Output = anyhow::Result<Answer>> + Send;
}

/// What came of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) is_accepted: bool,
    /// How often it ended in a conflict before.
    pub(crate) retries: u64,
}

/// What came of all of them.
pub(crate) struct Tally {
    /// In microseconds.
    pub(crate) latencies: Histogram<u64>,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) retries: u64,
    pub(crate) deposited_cents: i64,
    pub(crate) withdrawn_cents: i64,
    pub(crate) elapsed: Duration,
}

impl Tally {
    fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS);
        Self {
            latencies: latencies.expect("these bounds are allowed"),
            accepted: 0,
            refused: 0,
            retries: 0,
            deposited_cents: 0,
            withdrawn_cents: 0,
            elapsed: Duration::ZERO,
        }
    }

    fn add(&mut self, order: Order, answer: Answer, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(us.max(1));
        self.retries += answer.retries;
        if !answer.is_accepted {
            self.refused += 1;
            return;
        }
        self.accepted += 1;
        match order {
            Order::Deposit { cents, .. } => self.deposited_cents += cents,
            Order::Withdraw { cents, .. } => self.withdrawn_cents += cents,
            Order::Transfer { .. } => {}
        }
    }

    fn merge(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latencies
            .add(&other.latencies)
            .context("histograms of the same bounds can be added")?;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.retries += other.retries;
        self.deposited_cents += other.deposited_cents;
        self.withdrawn_cents += other.withdrawn_cents;
        Ok(())
    }
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// After so long.
    Elapsed(Duration),
    /// After so many commands.
    #[cfg(test)]
    Commands(u64),
}

impl Until {
    #[cfg_attr(not(test), allow(unused_variables))]
    fn is_over(self, number: u64, begin: Instant) -> bool {
        match self {
            Self::Elapsed(duration) => begin.elapsed() >= duration,
            #[cfg(test)]
            Self::Commands(count) => number >= count,
        }
    }
}

/// Runs the load by `tasks` tasks until it is over and all is answered.
pub(crate) async fn drive<P: Peer>(
    peer: &Arc<P>,
    workload: &Arc<Workload>,
    tasks: usize,
    until: Until,
) -> anyhow::Result<Tally> {
    let mut sessions = Vec::new();
    for _ in 0..tasks {
        sessions.push(peer.session().await?);
    }
    let next = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for mut session in sessions {
        let (peer, workload, next) = (Arc::clone(peer), Arc::clone(workload), Arc::clone(&next));
        running.spawn(async move {
            let mut tally = Tally::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if until.is_over(number, begin) {
                    return Ok::<_, anyhow::Error>(tally);
                }
                let order = workload.order(number);
                let sent = Instant::now();
                let answer = peer.execute(&mut session, order).await?;
                tally.add(order, answer, sent.elapsed());
            }
        });
    }
    let mut tally = Tally::new();
    // With an error the rest is dropped, and ends.
    while let Some(ended) = running.join_next().await {
        tally.merge(&ended??)?;
    }
    tally.elapsed = begin.elapsed();
    Ok(tally)
}
