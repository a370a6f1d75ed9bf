//! How much is to be restored, before anything is closed for it.

use async_nats::jetstream::stream::Stream;
use engine::Failure;
use ledger::{AccountId, Timestamp, Version};
use sinks::RestoredFeed;
use store::EventStore;
use transport::Nats;

use crate::rebuild::Progress;

/// How many events are measured by one statement: less than a second's work.
const EVENTS_AT_A_TIME: u32 = 100_000;

/// What the feed has when it is whole.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Amount {
    pub(super) events: u64,
    /// About how many bytes of the stream they take; rather more than less.
    pub(super) bytes: u64,
}

/// What a restoration has published that goes on.
#[derive(Debug, Clone, Default)]
pub(super) struct Published {
    /// What takes no estimate.
    has: Amount,
    /// The last event.
    last: Option<(AccountId, Version)>,
}

impl Published {
    /// By the restoration that this feed is in; nothing, if none goes on.
    pub(super) async fn by_now(nats: &Nats, feed: Option<&Stream>) -> Result<Self, Failure> {
        let Some(feed) = feed else {
            return Ok(Self::default());
        };
        let state = &feed.cached_info().state;
        Ok(Self {
            has: Amount {
                events: state.last_sequence,
                bytes: state.bytes,
            },
            last: RestoredFeed::place(nats, state.last_sequence).await?,
        })
    }
}

/// Measures all events of the event store that were recorded at `since` or later, behind those that a restoration has
/// published already. The event store counts; this brings nothing but numbers, however many events there are.
pub(super) async fn measure(
    store: &EventStore,
    published: Published,
    since: Option<Timestamp>,
    progress: &mut Progress,
) -> Result<Amount, store::Error> {
    let Published { has, mut last } = published;
    let (mut events, mut bytes) = (0, 0);
    loop {
        let after = last
            .as_ref()
            .map(|(account_id, version)| (account_id, *version));
        let measured = store.measure_behind(after, EVENTS_AT_A_TIME, since).await?;
        let Some(page) = measured else {
            return Ok(Amount {
                events: has.events + events,
                bytes: has.bytes + sinks::restored_bytes(events, bytes),
            });
        };
        if events == 0 {
            progress.stage("measure", None, 0);
        }
        events += page.events;
        bytes += page.bytes;
        last = Some(page.last);
        progress.reached(events);
    }
}
