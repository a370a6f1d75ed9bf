//! The feed: committed events, published to `LEDGER_EVENTS` in the order of their commits.
//!
//! Acknowledgements are awaited together, so a batch costs about one round trip. When one is missing the whole run
//! fails and the events are published again: within its window JetStream drops the duplicates, beyond it the order
//! guards of the projections do.

use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::{HeaderMap, jetstream};
use engine::{Batch, Failure, Resume, Sink, fault};
use futures::stream::{FuturesUnordered, TryStreamExt};
use ledger::Event;
use ledger::codec::{CONTENT_TYPE_JSON, json};
use operators::Decided;
use transport::streams::{self, Limits};
use transport::{Nats, PUBLISHES_IN_FLIGHT_MAX, headers, subjects};

use crate::counters::FeedCounters;

/// How many publishes wait for their acknowledgement at a time: fewer than the context has permits, so that none waits
/// for a permit that nobody frees.
const IN_FLIGHT_MAX: usize = PUBLISHES_IN_FLIGHT_MAX / 2;

/// The sink.
pub struct EventFeed {
    nats: Nats,
    /// With permits of its own: several feeds (one per partition) must not wait for each other's.
    jetstream: jetstream::Context,
    limits: Limits,
    counters: FeedCounters,
}

impl EventFeed {
    /// A sink over this connection. `limits` count when the stream has to be made.
    pub fn new(nats: Nats, limits: Limits) -> Self {
        Self {
            jetstream: nats.own_jetstream(),
            nats,
            limits,
            counters: FeedCounters::default(),
        }
    }

    /// The same sink, counting in these counters.
    #[must_use]
    pub fn counted_by(mut self, counters: &FeedCounters) -> Self {
        self.counters = counters.clone();
        self
    }

    /// One of the publishes has ended so; says whether there was one.
    fn acknowledged(
        &self,
        acknowledged: Result<Option<PublishAck>, PublishError>,
    ) -> Result<bool, Failure> {
        match acknowledged {
            Ok(None) => Ok(false),
            Ok(Some(acknowledgement)) => {
                self.counters.acknowledged(acknowledgement.duplicate);
                Ok(true)
            }
            Err(error) => {
                self.counters.failed();
                Err(Failure::retry("the feed did not acknowledge an event").because(error))
            }
        }
    }
}

impl Sink for EventFeed {
    type Item = Decided;

    async fn open(&mut self) -> Result<Option<Resume>, Failure> {
        self.nats.ready().await?;
        streams::events(&self.nats.jetstream, &self.limits).await?;
        Ok(None)
    }

    async fn write(&mut self, batch: &Batch<Decided>) -> Result<(), Failure> {
        let mut acknowledgements = FuturesUnordered::new();
        for event in batch.items().flat_map(|decided| &decided.events) {
            let publish = self
                .jetstream
                .send_publish(subjects::event(&event.account_id), message(event));
            let acknowledgement = publish.await.map_err(|error| {
                self.counters.failed();
                failure(event, error)
            })?;
            acknowledgements.push(acknowledgement.into_future());
            while acknowledgements.len() >= IN_FLIGHT_MAX {
                self.acknowledged(acknowledgements.try_next().await)?;
            }
        }
        while self.acknowledged(acknowledgements.try_next().await)? {}
        fault::point("after_publish");
        Ok(())
    }

    fn describe(&self) -> String {
        format!(
            "JetStream {} ({}.<account_id>), acknowledged",
            streams::EVENTS,
            subjects::EVENTS
        )
    }
}

pub(crate) fn message(event: &Event) -> PublishMessage {
    let mut map = HeaderMap::new();
    map.insert(headers::CONTENT_TYPE, CONTENT_TYPE_JSON);
    map.insert(headers::EVENT_TYPE, event.data.type_name());
    map.insert(headers::SCHEMA_VERSION, event.schema_version().to_string());
    PublishMessage::build()
        .payload(json::encode_event(event).into())
        .headers(map)
        .message_id(event.event_id.to_string())
}

fn failure(event: &Event, error: PublishError) -> Failure {
    Failure::retry(format!("event {} could not be published", event.event_id)).because(error)
}
