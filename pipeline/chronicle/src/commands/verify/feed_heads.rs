//! How far the feed has come with an account: its last message of the account against the account's newest event.
//!
//! An event that is not there yet is no loss while the command that made it waits: a command leaves `LEDGER_COMMANDS` only
//! when its events are published. So what is older than the oldest command that waits must be there, unless the feed has
//! dropped everything of that age.

use std::time::{Duration, SystemTime};

use engine::Failure;
use futures::{StreamExt, TryStreamExt, stream};
use ledger::codec::json;
use ledger::{AccountId, Event, Hash};
use sinks::divergences::PLACE_FEED;
use store::EventStore;
use transport::stored::{Stored, StoredMessages};
use transport::{Nats, restoring, streams, subjects};

use super::report::{Invariant, Report, Violation};

/// How many questions are under way at a time.
const AT_A_TIME: usize = 8;
/// By how much the clocks of the writer and of NATS may differ.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_mins(1);

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
}

/// Since when the oldest command waits, by the clock of NATS.
#[derive(Debug, Clone, Copy)]
pub(super) enum OldestWaiting {
    /// There is no stream of commands: nothing is known.
    Unknown,
    /// None waits.
    None,
    /// Since then.
    Since(SystemTime),
}

/// To be asked before the feed is looked at: what does not wait any more is in it by then.
pub(super) async fn oldest_waiting(nats: &Nats) -> Result<OldestWaiting, Failure> {
    let stream = streams::existing(&nats.jetstream, streams::COMMANDS).await?;
    if stream.is_none() {
        return Ok(OldestWaiting::Unknown);
    }
    let filter = format!("{}.>", subjects::COMMANDS);
    let waiting = StoredMessages::new(nats.jetstream.clone(), streams::COMMANDS, &filter, 1);
    Ok(match waiting.next(0).await? {
        Some(oldest) => OldestWaiting::Since(oldest.message.stored_at),
        None => OldestWaiting::None,
    })
}

/// Compares the heads of these accounts.
pub(super) async fn compare(
    nats: &Nats,
    store: &EventStore,
    heads: &[StoreHead],
    oldest: OldestWaiting,
    report: &mut Report,
) -> anyhow::Result<()> {
    let feed = streams::existing(&nats.jetstream, streams::EVENTS).await?;
    // One that is being restored has not come far with anything.
    if heads.is_empty() || feed.is_none_or(|feed| restoring::restoration(&feed).is_some()) {
        return Ok(());
    }
    let filter = format!("{}.*", subjects::EVENTS);
    let feed = StoredMessages::new(nats.jetstream.clone(), streams::EVENTS, &filter, 1);
    // What the feed has dropped by its limits is older than what it begins with.
    let begins = feed.next(0).await?.map(|first| first.message.stored_at);
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
        let is_kept = begins.is_some_and(|begins| head.recorded_at > begins);
        let is_due = is_kept && is_published(head, oldest);
        let judged = judge(head, last.as_ref(), is_due);
        if let Some(Ahead(version)) = judged.ahead {
            check_ahead(store, head, version, report).await?;
        }
        if let Some(violation) = judged.violation {
            report.violated(Invariant::Convergence, violation);
        }
    }
    Ok(())
}

/// Whether the command that made the event is settled, and so the event was published.
fn is_published(head: &StoreHead, oldest: OldestWaiting) -> bool {
    match oldest {
        OldestWaiting::Unknown => false,
        OldestWaiting::None => true,
        OldestWaiting::Since(since) => since
            .duration_since(head.recorded_at)
            .is_ok_and(|before| before > CLOCKS_DIFFER_MAX),
    }
}

/// The feed is at a version that the event store was not at when it was read.
struct Ahead(u64);

#[derive(Default)]
struct Judged {
    violation: Option<Violation>,
    ahead: Option<Ahead>,
}

fn judge(head: &StoreHead, last: Option<&Stored>, is_due: bool) -> Judged {
    let violation = |message: &str| {
        let version = i64::try_from(head.version).unwrap_or(i64::MAX);
        Violation::new(message)
            .of(PLACE_FEED)
            .at(head.account_id.as_str(), version)
    };
    let wrong = |violation: Violation| Judged {
        violation: Some(violation),
        ahead: None,
    };
    let Some(last) = last else {
        return if is_due {
            wrong(
                violation("the feed lacks the account's newest event").values(
                    format!("version {}", head.version),
                    "no event of the account",
                ),
            )
        } else {
            Judged::default()
        };
    };
    let event = match json::decode_event(&last.message.payload) {
        Ok(event) => event,
        Err(error) => {
            let message = format!(
                "the feed's last message of the account (sequence {}) is no event: {error}",
                last.message.position
            );
            return wrong(violation(&message));
        }
    };
    let version = event.version.get();
    if version > head.version {
        Judged {
            violation: None,
            ahead: Some(Ahead(version)),
        }
    } else if version < head.version {
        if is_due {
            wrong(
                violation("the feed lacks the account's newest event").values(
                    format!("version {}", head.version),
                    format!("version {version}"),
                ),
            )
        } else {
            Judged::default()
        }
    } else if event.hash != head.hash || event.compute_hash() != head.hash {
        wrong(
            violation("the feed has another event at this version than the event store")
                .values(head.hash, event.compute_hash()),
        )
    } else {
        Judged::default()
    }
}

/// The account may have moved on since it was read; else the event store has lost something.
async fn check_ahead(
    store: &EventStore,
    head: &StoreHead,
    version: u64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let account_id = head.account_id.as_str();
    let place = (account_id, i64::try_from(version).unwrap_or(i64::MAX));
    if store.existing(&[place]).await?.is_empty() {
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
