//! How far the feed has come with an account: its last message of the account against the account's newest event.
//!
//! An event that is not there yet is no loss while the command that made it waits: a command leaves `LEDGER_COMMANDS` only
//! when its events are published. So what is older than the oldest command that waits must be there, unless the feed has
//! dropped everything of that age. The last message need not be the newest event: events may stand there once more, and
//! those of two partitions out of order; then they are looked for one by one.

use std::time::{Duration, SystemTime};

use engine::Failure;
use futures::{StreamExt, TryStreamExt, stream};
use ledger::{AccountId, Event, Hash};
use operators::{NoEvent, event_in};
use sinks::divergences::PLACE_FEED;
use store::EventStore;
use transport::stored::{Stored, StoredMessages};
use transport::{Nats, restoring, streams, subjects};

use super::report::{Invariant, Report, Violation};

/// How many questions are under way at a time.
const AT_A_TIME: usize = 8;
/// By how much the clocks of the writers, of NATS and of this machine may differ.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(10);
/// How many messages of one account are looked at, one by one.
const LOOKED_AT_MAX: usize = 1_000;

/// The newest event of an account.
pub(super) struct StoreHead {
    account_id: AccountId,
    version: u64,
    hash: Hash,
    recorded_at: SystemTime,
}

impl StoreHead {
    pub(super) fn of(event: &Event) -> Self {
        Self {
            account_id: event.account_id.clone(),
            version: event.version.get(),
            hash: event.hash,
            recorded_at: SystemTime::from(event.recorded_at.to_date_time()),
        }
    }

    fn violation(&self, message: impl Into<String>) -> Violation {
        let version = i64::try_from(self.version).unwrap_or(i64::MAX);
        Violation::new(message)
            .of(PLACE_FEED)
            .at(self.account_id.as_str(), version)
    }
}

/// The feed, and what must be in it.
pub(super) struct FeedHeads {
    nats: Nats,
    store: EventStore,
    /// Everything that was recorded before this was published. `None`: nothing is known.
    published_before: Option<SystemTime>,
    /// What was recorded before this may have been dropped by the feed's limits. `None`: nothing was.
    dropped_before: Option<SystemTime>,
    first_sequence: u64,
    last_sequence: u64,
}

impl FeedHeads {
    /// The feed as it is; `None` when there is none, or it is being restored.
    pub(super) async fn open(nats: &Nats, store: &EventStore) -> Result<Option<Self>, Failure> {
        // In this order: what does not wait any more is in the feed when that is looked at.
        let published_before = published_before(nats).await?;
        let Some(stream) = streams::existing(&nats.jetstream, streams::EVENTS).await? else {
            return Ok(None);
        };
        if restoring::restoration(&stream).is_some() {
            return Ok(None);
        }
        let state = &stream.cached_info().state;
        let mut feed = Self {
            nats: nats.clone(),
            store: store.clone(),
            published_before,
            dropped_before: None,
            first_sequence: state.first_sequence,
            last_sequence: state.last_sequence,
        };
        if feed.first_sequence > 1 {
            let first = feed.messages(&all()).next(0).await?;
            let stored_at = first.map_or_else(SystemTime::now, |first| first.message.stored_at);
            feed.dropped_before = Some(stored_at + CLOCKS_DIFFER_MAX);
        }
        Ok(Some(feed))
    }

    fn messages(&self, filter: &str) -> StoredMessages {
        StoredMessages::new(self.nats.jetstream.clone(), streams::EVENTS, filter, 1)
    }

    /// Compares these accounts.
    pub(super) async fn compare(
        &self,
        heads: &[StoreHead],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let feed = self.messages(&all());
        let subjects: Vec<String> = heads
            .iter()
            .map(|head| subjects::event(&head.account_id))
            .collect();
        let found: Vec<Option<Stored>> = stream::iter(subjects)
            .map(|subject| {
                let feed = feed.clone();
                async move { feed.last_of(&subject).await }
            })
            .buffered(AT_A_TIME)
            .try_collect()
            .await?;
        for (head, last) in heads.iter().zip(found) {
            self.judge(head, last, report).await?;
        }
        Ok(())
    }

    async fn judge(
        &self,
        head: &StoreHead,
        last: Option<Stored>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let Some(last) = last else {
            if self.must_have(head) {
                report.violated(
                    Invariant::Convergence,
                    lacks(head, "no event of the account"),
                );
            }
            return Ok(());
        };
        let event = match event_in(&last.message) {
            Ok(event) => event,
            // A newer program than this one knows.
            Err(NoEvent::TooNew(_)) => return Ok(()),
            Err(reason) => {
                let violation = head.violation(format!(
                    "the feed's last message of the account (sequence {}) is no event: {reason}",
                    last.message.position
                ));
                report.violated(Invariant::Convergence, violation);
                return Ok(());
            }
        };
        let version = event.version.get();
        if version > head.version {
            return self.judge_ahead(head, version, report).await;
        }
        if version == head.version {
            if event.hash != head.hash {
                let violation = head
                    .violation("the feed has another event at this version than the event store");
                let violation = violation.values(head.hash, event.hash);
                report.violated(Invariant::Convergence, violation);
            }
        } else if self.must_have(head) && !self.has(head).await? {
            let found = format!("version {version} as the last");
            report.violated(Invariant::Convergence, lacks(head, &found));
        }
        Ok(())
    }

    /// Whether the event was published, and cannot have been dropped since.
    fn must_have(&self, head: &StoreHead) -> bool {
        let is_published = self
            .published_before
            .is_some_and(|before| head.recorded_at < before);
        let is_kept = self
            .dropped_before
            .is_none_or(|before| head.recorded_at > before);
        is_published && is_kept
    }

    /// The account may have moved on since it was read; else the event store has lost something.
    async fn judge_ahead(
        &self,
        head: &StoreHead,
        version: u64,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let account_id = head.account_id.as_str();
        let place = (account_id, i64::try_from(version).unwrap_or(i64::MAX));
        if self.store.existing(&[place]).await?.is_empty() {
            let violation = Violation::new(
                "the feed has an event that the event store does not have: the event store has lost it",
            )
            .at(account_id, place.1)
            .values(
                format!("version {version}"),
                format!("version {}", head.version),
            );
            report.violated(Invariant::AppendOnly, violation);
        }
        Ok(())
    }

    /// Whether the event is among the account's messages, wherever it stands; in doubt it is.
    async fn has(&self, head: &StoreHead) -> Result<bool, Failure> {
        let subject = subjects::event(&head.account_id);
        let messages = self.messages(&subject);
        let mut position = self
            .position_at(head.recorded_at - CLOCKS_DIFFER_MAX)
            .await?;
        for _ in 0..LOOKED_AT_MAX {
            let Some(found) = messages.next(position).await? else {
                return Ok(false);
            };
            position = found.message.position + 1;
            match event_in(&found.message) {
                Ok(event) if event.version.get() == head.version => return Ok(true),
                Err(NoEvent::TooNew(_)) => return Ok(true),
                _ => {}
            }
        }
        Ok(true)
    }

    /// A sequence before which everything was stored before this instant.
    async fn position_at(&self, instant: SystemTime) -> Result<u64, Failure> {
        let feed = self.messages(&all());
        let (mut low, mut high) = (self.first_sequence, self.last_sequence + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match feed.next(middle).await? {
                Some(found) if found.message.stored_at < instant => {
                    low = found.message.position + 1;
                }
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

fn all() -> String {
    format!("{}.*", subjects::EVENTS)
}

fn lacks(head: &StoreHead, found: &str) -> Violation {
    head.violation("the feed lacks the account's newest event")
        .values(format!("version {}", head.version), found)
}

/// What was recorded before this is published: no command that is as old waits. `None` when there are no commands to ask.
async fn published_before(nats: &Nats) -> Result<Option<SystemTime>, Failure> {
    let asked_at = SystemTime::now();
    let stream = streams::existing(&nats.jetstream, streams::COMMANDS).await?;
    if stream.is_none() {
        return Ok(None);
    }
    let filter = format!("{}.>", subjects::COMMANDS);
    let waiting = StoredMessages::new(nats.jetstream.clone(), streams::COMMANDS, &filter, 1);
    let oldest = waiting.next(0).await?;
    let oldest = oldest.map_or(asked_at, |oldest| oldest.message.stored_at.min(asked_at));
    Ok(Some(oldest - CLOCKS_DIFFER_MAX))
}
