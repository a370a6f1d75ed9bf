//! One run: what is sent, when, and what has become of it. Shared by whoever sends and whoever listens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use ledger::{Command, CommandId, EventReference};
use store::EventStore;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::tally::{Answered, Tally};
use super::tickets::{Clock, Ticket, Tickets};
use super::watch::Watch;

/// An answer that has not come for so long is looked up in the event store.
const LOOK_UP_AFTER: Duration = Duration::from_secs(3);
/// How many are looked up at a time.
const LOOKED_UP_AT_A_TIME: usize = 1_000;
/// Without any new outcome for so long, the rest of them counts as missing.
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The command with a number.
pub(super) type Commands = Box<dyn Fn(u64) -> Command + Send + Sync>;

/// A run.
pub(super) struct Run {
    pub(super) clock: Clock,
    pub(super) commands: Commands,
    pub(super) tickets: Tickets,
    /// One permit for each command that may wait for its outcome.
    pub(super) room: Semaphore,
    /// Tells when commands show in the projection.
    pub(super) watch: Option<Watch>,
    tally: Mutex<Tally>,
    sent: AtomicU64,
}

impl Run {
    pub(super) fn new(
        clock: Clock,
        commands: Commands,
        tickets: Tickets,
        in_flight_max: usize,
        watch: Option<Watch>,
    ) -> Arc<Self> {
        Arc::new(Self {
            clock,
            commands,
            tickets,
            room: Semaphore::new(in_flight_max),
            watch,
            tally: Mutex::new(Tally::new()),
            sent: AtomicU64::new(0),
        })
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many commands have been sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// One more is sent. They have the numbers below [`sent`](Self::sent), in whatever order.
    pub(super) fn count_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether to watch for this command in the projection.
    pub(super) fn is_watched(&self, ticket: Ticket) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.begin(ticket))
    }

    /// A command has its outcome.
    pub(super) fn answered(&self, ticket: Ticket, answered: Answered<'_>) {
        let now = self.clock.now();
        if self.tally().add(ticket, answered, now) {
            self.room.add_permits(1);
        }
    }

    /// A command that is watched has its outcome: these are its events.
    pub(super) fn show(&self, ticket: Ticket, events: Vec<EventReference>) {
        if let Some(watch) = &self.watch {
            watch.known(ticket, events);
        }
    }

    /// Waits until all that was sent has its outcome. Answers are plain messages, and may be lost with a connection: after a
    /// while they are looked up. Answers with how many have none.
    pub(super) async fn settle(&self, store: &EventStore) -> anyhow::Result<u64> {
        let mut seen = self.tally().answered();
        let (mut moved_at, mut looked_at) = (Instant::now(), Instant::now());
        loop {
            let answered = self.tally().answered();
            if answered >= self.sent() {
                return Ok(0);
            }
            if answered > seen {
                seen = answered;
                moved_at = Instant::now();
            }
            if moved_at.elapsed() >= GIVE_UP_AFTER {
                return Ok(self.sent() - answered);
            }
            if moved_at.elapsed() >= LOOK_UP_AFTER && looked_at.elapsed() >= LOOK_UP_AFTER {
                looked_at = Instant::now();
                self.look_up(store).await?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Looks up some of those that have no answer. Their latency counts up to now, which is too long rather than too short.
    async fn look_up(&self, store: &EventStore) -> anyhow::Result<()> {
        let missing = self.tally().missing(self.sent(), LOOKED_UP_AT_A_TIME);
        let ids: Vec<CommandId> = missing
            .iter()
            .map(|number| (self.commands)(*number).command_id)
            .collect();
        let found = store.outcomes(&ids).await;
        for stored in found.context("outcomes cannot be looked up")? {
            let outcome = stored.outcome;
            let place = ids.iter().position(|id| *id == outcome.command_id);
            let Some(number) = place.map(|place| missing[place]) else {
                continue;
            };
            let code = outcome.rejection().map(|it| it.code.to_string());
            let answered = match &code {
                None => Answered::Accepted,
                Some(code) => Answered::Refused(code),
            };
            // When it was to be sent is not known any more: it counts from the beginning of the run.
            self.answered(Ticket { number, at: 0 }, answered);
            self.tally().looked_up += 1;
        }
        Ok(())
    }
}
