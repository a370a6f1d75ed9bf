//! What there is to replay: from where to where, fixed before anything is replayed.

use std::time::SystemTime;

use async_nats::jetstream::stream::Stream;
use engine::Failure;
use futures::StreamExt;
use ledger::{AccountId, Timestamp, Version};
use store::EventStore;
use transport::stored::StoredMessages;
use transport::{Nats, streams, subjects};

use super::event::Place;
use super::target::lines::Found;
use crate::arguments::ReplayArguments;
use crate::commands::{as_of, reach};
use crate::exit;
use crate::output;
use crate::servers_at::ServerArguments;

/// Where events come from.
pub(super) enum Source {
    /// The feed, these sequences included.
    Feed {
        nats: Box<Nats>,
        stream: Box<Stream>,
        from: u64,
        through: u64,
    },
    /// The event store.
    EventStore {
        store: EventStore,
        after: Option<(AccountId, Version)>,
        through: Timestamp,
    },
}

/// What there is to replay.
pub(super) struct Plan {
    pub(super) source: Source,
    /// How many messages there are at most, or events to look at; as far as it is known.
    pub(super) at_most: Option<u64>,
}

impl Plan {
    /// Finds out, behind what a file has already.
    pub(super) async fn make(
        servers: &ServerArguments,
        arguments: &ReplayArguments,
        found: Option<&Found>,
    ) -> anyhow::Result<Self> {
        if arguments.from_event_store {
            of_event_store(servers, arguments, found).await
        } else {
            of_feed(servers, arguments, found).await
        }
    }

    /// How many units of work there are: sequences of the feed, or events of the event store.
    pub(super) fn units(&self) -> Option<u64> {
        match &self.source {
            Source::Feed { from, through, .. } => Some((through + 1).saturating_sub(*from)),
            Source::EventStore { .. } => self.at_most,
        }
    }
}

async fn of_event_store(
    servers: &ServerArguments,
    arguments: &ReplayArguments,
    found: Option<&Found>,
) -> anyhow::Result<Plan> {
    let failed = |error| reach::event_store_failed(servers, &error);
    let store = servers.event_store()?;
    let now = store.now().await.map_err(failed)?;
    let through = arguments.to_time.unwrap_or(now);
    as_of::check_past("--to-time", through, now)?;
    let after = match found.map(|found| &found.place) {
        Some(Place::Sequence(_)) => {
            return Err(exit::usage(
                "the file was begun from the feed; go on without --from-event-store, or give another file",
            ));
        }
        Some(Place::Version(account_id, version)) => Some((account_id.clone(), *version)),
        None => arguments.after.clone(),
    };
    if let (Some((behind, _)), Some(account_id)) = (&after, &arguments.account)
        && behind != account_id
    {
        return Err(exit::usage(format!(
            "what is to go on is behind an event of account {behind}, and only account {account_id} is wanted"
        )));
    }
    let at_most = match &arguments.account {
        Some(account_id) => {
            let account = store.account(account_id).await.map_err(failed)?;
            let behind = after.as_ref().map_or(0, |(_, version)| version.get());
            Some(account.map_or(0, |account| account.version.get().saturating_sub(behind)))
        }
        // What lies before the place to go on from cannot be counted cheaply; and a count that does not come is no
        // reason not to begin.
        None if after.is_some() => None,
        None => store.event_count().await.ok(),
    };
    let source = Source::EventStore {
        store,
        after,
        through,
    };
    Ok(Plan { source, at_most })
}

async fn of_feed(
    servers: &ServerArguments,
    arguments: &ReplayArguments,
    found: Option<&Found>,
) -> anyhow::Result<Plan> {
    let failed = |failure: &Failure| reach::nats_failed(servers, failure);
    let nats = reach::nats(servers).await?;
    let stream = streams::existing(&nats.jetstream, streams::EVENTS)
        .await
        .map_err(|failure| failed(&failure))?
        .ok_or_else(|| {
            exit::no(format!(
                "there is no feed {} at {}: no pipeline has run there yet; the event store has everything \
                 (--from-event-store)",
                streams::EVENTS,
                reach::place(servers.nats_url())
            ))
        })?;
    reach::whole(&stream)?;
    let all = format!("{}.*", subjects::EVENTS);
    let feed = Extent {
        first: first_of(&stream),
        last: stream.cached_info().state.last_sequence,
        messages: StoredMessages::new(nats.jetstream.clone(), streams::EVENTS, &all, 1),
    };
    let wanted = feed.wanted(arguments);
    let (mut from, mut through) = wanted.await.map_err(|failure| failed(&failure))?;
    if let Some(found) = found {
        from = feed
            .behind(found, from)
            .await?
            .map_err(|failure| failed(&failure))?;
    }
    if through > feed.last {
        output::say(format!("the feed ends at sequence {}", feed.last));
        through = feed.last;
    }
    if from <= through {
        from = feed.present(arguments, from, found.is_some())?;
    }
    let in_range = (through + 1).saturating_sub(from);
    let at_most = match &arguments.account {
        Some(account_id) => count(&stream, account_id).await.min(Some(in_range)),
        None => Some(in_range),
    };
    let source = Source::Feed {
        nats: Box::new(nats),
        stream: Box::new(stream),
        from,
        through,
    };
    Ok(Plan { source, at_most })
}

/// A stream that has been emptied says so by a first sequence behind its last one.
fn first_of(stream: &Stream) -> u64 {
    let state = &stream.cached_info().state;
    if state.messages == 0 {
        state.last_sequence + 1
    } else {
        state.first_sequence
    }
}

/// How many events of this account the feed has, if it says so.
async fn count(stream: &Stream, account_id: &AccountId) -> Option<u64> {
    let subjects = stream.info_with_subjects(subjects::event(account_id)).await;
    let mut subjects = subjects.ok()?;
    let mut count = 0;
    while let Some(subject) = subjects.next().await {
        count += subject.ok()?.1 as u64;
    }
    Some(count)
}

/// What the feed has.
struct Extent {
    first: u64,
    last: u64,
    messages: StoredMessages,
}

impl Extent {
    /// From where to where, in sequences, whether the feed has them or not.
    async fn wanted(&self, arguments: &ReplayArguments) -> Result<(u64, u64), Failure> {
        let from = match (arguments.from_sequence, arguments.from_time) {
            (Some(sequence), _) => sequence,
            (None, Some(at)) => self.first_stored_from(at.to_date_time().into()).await?,
            (None, None) => 1,
        };
        let through = match (arguments.to_sequence, arguments.to_time) {
            (Some(sequence), _) => sequence,
            (None, Some(at)) => {
                // Streams count in nanoseconds, and the whole microsecond belongs to it.
                let behind = at.to_date_time() + time::Duration::microseconds(1);
                self.first_stored_from(behind.into()).await? - 1
            }
            (None, None) => self.last,
        };
        Ok((from, through))
    }

    /// The sequence of the first message that was stored at that instant or later; the one behind the last if there is
    /// none. Time rises with the sequence.
    async fn first_stored_from(&self, at: SystemTime) -> Result<u64, Failure> {
        let (mut low, mut high) = (self.first, self.last + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.messages.next(middle).await? {
                Some(found) if found.message.stored_at < at => low = found.message.position + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// Where to go on behind what a file has. The file must be of this feed.
    async fn behind(&self, found: &Found, from: u64) -> anyhow::Result<Result<u64, Failure>> {
        let Place::Sequence(sequence) = found.place else {
            return Err(exit::usage(
                "the file was begun from the event store; go on with --from-event-store, or give another file",
            ));
        };
        if sequence + 1 < from {
            return Err(exit::usage(format!(
                "the file ends with sequence {sequence}, and what is wanted begins at {from}: there would be a hole between \
                 them; give another file"
            )));
        }
        let stored = match self.messages.at(sequence).await {
            Ok(stored) => stored,
            Err(failure) => return Ok(Err(failure)),
        };
        let is_another = stored.is_some_and(|stored| {
            ledger::codec::json::decode_event(&stored.message.payload)
                .is_ok_and(|event| event.event_id != found.event_id)
        });
        if is_another || sequence > self.last {
            return Err(exit::no(format!(
                "the feed was lost and made anew since the file was begun: sequence {sequence} is not the event that the \
                 file has; begin a new file"
            )));
        }
        Ok(Ok(sequence + 1))
    }

    /// Where to begin, which the feed must have, or may be without.
    fn present(
        &self,
        arguments: &ReplayArguments,
        from: u64,
        is_resumed: bool,
    ) -> anyhow::Result<u64> {
        let by_time = arguments.from_time.filter(|_| !is_resumed);
        let what = match by_time {
            Some(at) if self.first > 1 && from == self.first => format!(
                "the feed begins at sequence {}: what it may have had before, since {at}, it no longer has",
                self.first
            ),
            _ if from < self.first => format!(
                "the feed no longer has sequence {from}: it begins at {}",
                self.first
            ),
            _ => return Ok(from),
        };
        if arguments.skip_missing {
            output::say(format!("{what}; what is missing is left out"));
            return Ok(from.max(self.first));
        }
        Err(exit::no(format!(
            "{what}. The event store has everything: --from-event-store; or leave it out: --skip-missing"
        )))
    }
}
