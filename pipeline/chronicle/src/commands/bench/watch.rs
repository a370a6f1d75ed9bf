//! When commands show in the projection: some of them are watched for in `account_balance`, by their accounts' versions.
//!
//! One query every few milliseconds asks for all accounts that are watched. When many are, because commands take long to
//! show, it asks less often and begins to watch fewer: what it costs the read model stays the same. A command shows when its account has reached
//! the version of its event; what counts is when the answer of that query was there, so that a figure is too long by up to
//! the time between two queries, and never too short. The version is known only with the outcome, which may come later
//! than the row: what was seen until then is kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use ledger::{AccountId, EventReference};
use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::tally;
use super::tickets::{Clock, Ticket};
use super::workload::Workload;

/// How many commands are watched at a time.
const WATCHED_MAX: usize = 1_024;
/// With so many more, it is looked half as often, a third as often, and so on.
const WATCHED_AT_EASE: usize = 64;
/// How many changes of an account are kept while its command has no outcome.
const SIGHTINGS_MAX: usize = 10_000;
/// How long to wait, in the end, for commands that have not shown yet.
const SHOW_WITHIN: Duration = Duration::from_mins(1);

/// A command that is watched.
struct Watched {
    account_id: AccountId,
    /// When it was to be sent.
    at: u64,
    /// The version that it has made, once that is known.
    version: Option<i64>,
    /// When the account was seen at which version, the first time each.
    sightings: Vec<(u64, i64)>,
}

impl Watched {
    /// When it was first seen to show.
    fn shown_at(&self) -> Option<u64> {
        let version = self.version?;
        let shown = self.sightings.iter().find(|(_, seen)| *seen >= version);
        shown.map(|(at, _)| *at)
    }
}

struct Shared {
    workload: Arc<Workload>,
    clock: Clock,
    /// Whether the next command that is sent may be watched.
    wanted: AtomicBool,
    state: Mutex<State>,
}

struct State {
    watched: BTreeMap<u64, Watched>,
    latencies: Histogram<u64>,
    /// How often it was looked, and how long all of that took.
    looks: u32,
    looked_for: Duration,
}

impl State {
    fn new() -> Self {
        Self {
            watched: BTreeMap::new(),
            latencies: tally::histogram(),
            looks: 0,
            looked_for: Duration::ZERO,
        }
    }
}

/// What was seen.
pub(super) struct Shown {
    pub(super) latencies: Histogram<u64>,
    /// The time between two looks, on average.
    pub(super) looked_every: Duration,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            latencies: tally::histogram(),
            looked_every: Duration::ZERO,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watch; it ends when this is dropped.
pub(super) struct Watch {
    shared: Arc<Shared>,
    polling: Mutex<Option<AbortOnDropHandle<anyhow::Result<()>>>>,
}

impl Watch {
    /// Begins to watch, with a query every so often as long as few are watched.
    pub(super) fn start(
        pool: PgPool,
        workload: Arc<Workload>,
        clock: Clock,
        every: Duration,
    ) -> Self {
        let shared = Arc::new(Shared {
            workload,
            clock,
            wanted: AtomicBool::new(true),
            state: Mutex::new(State::new()),
        });
        let polling = tokio::spawn(poll(pool, Arc::clone(&shared), every));
        Self {
            shared,
            polling: Mutex::new(Some(AbortOnDropHandle::new(polling))),
        }
    }

    /// A command is about to be sent; whether it is watched.
    pub(super) fn begin(&self, ticket: Ticket) -> bool {
        // Cheap for the most of them.
        if !self.shared.wanted.load(Ordering::Relaxed) {
            return false;
        }
        let Some(account_id) = self.shared.workload.shows_on(ticket.number) else {
            return false;
        };
        if !self.shared.wanted.swap(false, Ordering::Relaxed) {
            return false;
        }
        let watched = Watched {
            account_id: account_id.clone(),
            at: ticket.at,
            version: None,
            sightings: Vec::new(),
        };
        self.shared.state().watched.insert(ticket.number, watched);
        true
    }

    /// The outcome of a command that is watched.
    pub(super) fn known(&self, ticket: Ticket, events: Vec<EventReference>) {
        let mut state = self.shared.state();
        let Some(watched) = state.watched.get_mut(&ticket.number) else {
            return;
        };
        let own = events
            .into_iter()
            .rfind(|event| event.account_id == watched.account_id);
        let version = own.and_then(|event| i64::try_from(event.version.get()).ok());
        watched.version = version;
        if version.is_none() {
            // It was refused, against what was meant: it never shows.
            state.watched.remove(&ticket.number);
        }
    }

    /// Waits until all that is watched has shown, and answers with what was seen. A command whose answer was lost is given up.
    pub(super) async fn finish(&self) -> anyhow::Result<Shown> {
        self.shared.wanted.store(false, Ordering::Relaxed);
        let until = Instant::now() + SHOW_WITHIN;
        loop {
            if self
                .shared
                .state()
                .watched
                .values()
                .all(|it| it.version.is_none())
            {
                break;
            }
            if let Some(ended) = self.ended() {
                ended.await??;
                anyhow::bail!("the watch of the projection has ended");
            }
            anyhow::ensure!(
                Instant::now() < until,
                "commands with an outcome do not show in account_balance within {} s; see `chronicle projection list`",
                SHOW_WITHIN.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let state = self.shared.state();
        Ok(Shown {
            latencies: state.latencies.clone(),
            looked_every: state.looked_for / state.looks.max(1),
        })
    }

    /// The polling, if it has failed.
    fn ended(&self) -> Option<AbortOnDropHandle<anyhow::Result<()>>> {
        let mut polling = self.polling.lock().unwrap_or_else(PoisonError::into_inner);
        polling.take_if(|it| it.is_finished())
    }
}

async fn poll(pool: PgPool, shared: Arc<Shared>, every: Duration) -> anyhow::Result<()> {
    let mut times = 1;
    loop {
        let begun = Instant::now();
        tokio::time::sleep(every * times).await;
        let (accounts, watched) = {
            let state = shared.state();
            let accounts: HashSet<String> = state
                .watched
                .values()
                .map(|watched| watched.account_id.to_string())
                .collect();
            (accounts, state.watched.len())
        };
        times = 1 + u32::try_from(watched / WATCHED_AT_EASE)?;
        if watched < WATCHED_MAX {
            shared.wanted.store(true, Ordering::Relaxed);
        }
        if accounts.is_empty() {
            continue;
        }
        let accounts: Vec<String> = accounts.into_iter().collect();
        let rows = sqlx::query(
            "SELECT account_id, version FROM account_balance WHERE account_id = ANY($1)",
        )
        .bind(accounts)
        .fetch_all(&pool)
        .await
        .context("the read model cannot be watched")?;
        let now = shared.clock.now();
        let versions: HashMap<&str, i64> = rows
            .iter()
            .map(|row| (row.get("account_id"), row.get("version")))
            .collect();
        let mut state = shared.state();
        see(&mut state, &versions, now);
        state.looks += 1;
        state.looked_for += begun.elapsed();
    }
}

/// The accounts are seen at these versions.
fn see(state: &mut State, versions: &HashMap<&str, i64>, now: u64) {
    let State {
        watched, latencies, ..
    } = state;
    watched.retain(|_, watched| {
        let version = versions.get(watched.account_id.as_str()).copied();
        if let Some(version) = version
            && watched
                .sightings
                .last()
                .is_none_or(|(_, last)| *last != version)
        {
            watched.sightings.push((now, version));
        }
        if watched.sightings.len() > SIGHTINGS_MAX {
            return false;
        }
        let Some(shown_at) = watched.shown_at() else {
            return true;
        };
        latencies.saturating_record(shown_at.saturating_sub(watched.at).max(1));
        false
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_shows_before_the_outcome_counts_from_when_it_was_seen() {
        let mut state = State::new();
        let watched = Watched {
            account_id: "A".parse().unwrap(),
            at: 1_000,
            version: None,
            sightings: Vec::new(),
        };
        state.watched.insert(7, watched);
        for (now, version) in [(2_000, 3), (3_000, 3), (4_000, 5), (5_000, 6)] {
            see(&mut state, &HashMap::from([("A", version)]), now);
        }
        assert_eq!(
            state.watched[&7].sightings,
            [(2_000, 3), (4_000, 5), (5_000, 6)]
        );
        state.watched.get_mut(&7).unwrap().version = Some(4);
        see(&mut state, &HashMap::from([("A", 6)]), 9_000);
        assert!(state.watched.is_empty());
        let latency = state.latencies.max();
        assert!((2_998..=3_002).contains(&latency), "{latency}");
    }
}
