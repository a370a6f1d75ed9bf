//! Events from JetStream: the stream `LEDGER_EVENTS`, in order, from behind an offset.
//!
//! Reads with a consumer of its own, so nobody else's pace or position matters. Whatever the stream cannot give any more
//! (purged, expired, lost with a server) is not passed over in silence: it is announced as [`FeedItem::Lost`] in its
//! place, and the sink makes up for it from the event store.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use engine::{Delivery, Failure, Message, NothingToSettle, Opened, Resume, Source};
use futures::{StreamExt, stream};
use transport::streams::{self, Limits};
use transport::{Nats, headers, message, subjects};

const HEARTBEAT: Duration = Duration::from_secs(2);
const PULL_EXPIRES: Duration = Duration::from_secs(10);

/// One step of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedItem {
    /// A message that should be an event.
    Message(Arc<Message>),
    /// Events up to this delivery's position may be missing: the stream does not have them (any more).
    Lost {
        /// What happened, for people.
        why: String,
    },
}

/// The source.
pub struct JetStreamEvents {
    nats: Nats,
    limits: Limits,
    messages_per_pull: usize,
}

impl JetStreamEvents {
    /// A source over this connection. `limits` count when the stream has to be made.
    pub fn new(nats: Nats, limits: Limits) -> Self {
        Self {
            nats,
            limits,
            messages_per_pull: 2_000,
        }
    }
}

impl Source for JetStreamEvents {
    type Item = FeedItem;

    async fn open(self, resume: Option<Resume>) -> Result<Opened<FeedItem>, Failure> {
        self.nats.ready().await?;
        let lost = self.nats.lost();
        let stream = streams::events(&self.nats.jetstream, &self.limits).await?;
        let (position, gap) = whereabouts(&stream, resume.as_ref()).await?;
        let consumer = stream
            .create_consumer(pull::Config {
                description: Some("A projection".to_owned()),
                filter_subject: format!("{}.*", subjects::EVENTS),
                deliver_policy: DeliverPolicy::ByStartSequence {
                    start_sequence: position + 1,
                },
                ack_policy: AckPolicy::None,
                inactive_threshold: Duration::from_mins(1),
                memory_storage: true,
                num_replicas: 1,
                ..pull::Config::default()
            })
            .await
            .map_err(|error| Failure::retry("the feed cannot be read").because(error))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(self.messages_per_pull)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|error| Failure::retry("the feed cannot be read").because(error))?;
        let mut last_position = position;
        let deliveries = messages.flat_map(move |message| {
            let items = match message {
                Ok(message) => arrived(&message, &mut last_position),
                Err(error) => vec![Err(Failure::retry("the feed cannot be read").because(error))],
            };
            stream::iter(items)
        });
        let ended = stream::once(async { Err(Failure::retry("the feed's consumer has ended")) });
        let connection_lost = async move {
            lost.await;
            Err(Failure::retry("the connection to NATS was lost"))
        };
        let live = stream::select(deliveries.chain(ended), stream::once(connection_lost));
        let gap = gap.map(|why| Ok(announce(position, why)));
        Ok(Opened {
            deliveries: stream::iter(gap).chain(live).boxed(),
            settler: Box::new(NothingToSettle),
        })
    }

    fn describe(&self) -> String {
        format!(
            "JetStream {} ({}.*), from behind the offset",
            streams::EVENTS,
            subjects::EVENTS
        )
    }
}

/// Where to go on, and why something before it may be missing.
async fn whereabouts(
    stream: &Stream,
    resume: Option<&Resume>,
) -> Result<(u64, Option<String>), Failure> {
    let state = &stream.cached_info().state;
    let position = resume.map_or(0, |resume| resume.position);
    // An empty stream that has been purged says so by a first sequence behind its last one.
    let before_first = state
        .first_sequence
        .saturating_sub(1)
        .max(if state.messages == 0 {
            state.last_sequence
        } else {
            0
        });
    if position > state.last_sequence {
        let why = format!(
            "the feed ends at sequence {}, and the offset is {position}: its end was lost",
            state.last_sequence
        );
        return Ok((state.last_sequence, Some(why)));
    }
    if before_first > position {
        let why = format!(
            "the feed begins at sequence {}, and the offset is {position}",
            before_first + 1
        );
        return Ok((before_first, Some(why)));
    }
    let mark = resume.and_then(|resume| resume.mark.as_deref());
    if let Some(mark) = mark
        && position >= state.first_sequence
    {
        let found = message_id_at(stream, position).await?;
        if found.as_deref() != Some(mark) {
            let why = format!(
                "the feed was rewound and written anew: sequence {position} is not the event applied last"
            );
            return Ok((position, Some(why)));
        }
    }
    Ok((position, None))
}

async fn message_id_at(stream: &Stream, position: u64) -> Result<Option<String>, Failure> {
    match stream.get_raw_message(position).await {
        Ok(found) => Ok(message::from_stream(found)
            .header(headers::MESSAGE_ID)
            .map(str::to_owned)),
        Err(error) => match error.kind() {
            RawMessageErrorKind::NoMessageFound => Ok(None),
            RawMessageErrorKind::JetStream(server)
                if server.error_code() == ErrorCode::NO_MESSAGE_FOUND =>
            {
                Ok(None)
            }
            _ => Err(Failure::retry(format!(
                "sequence {position} of the feed cannot be looked up"
            ))
            .because(error)),
        },
    }
}

fn arrived(
    message: &async_nats::jetstream::Message,
    last_position: &mut u64,
) -> Vec<Result<Delivery<FeedItem>, Failure>> {
    let Some(parsed) = message::from_jetstream(message) else {
        return Vec::new();
    };
    let position = parsed.position;
    if position <= *last_position {
        return Vec::new();
    }
    let mut items = Vec::with_capacity(1);
    if position > *last_position + 1 {
        let why = format!("the feed goes from sequence {last_position} to {position}");
        items.push(Ok(announce(position - 1, why)));
    }
    *last_position = position;
    let parsed = Arc::new(parsed);
    items.push(Ok(Delivery {
        position,
        origin: Some(Arc::clone(&parsed)),
        item: FeedItem::Message(parsed),
    }));
    items
}

fn announce(position: u64, why: String) -> Delivery<FeedItem> {
    Delivery {
        position,
        origin: None,
        item: FeedItem::Lost { why },
    }
}
