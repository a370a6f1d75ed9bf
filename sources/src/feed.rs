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
/// How often to look, when nothing arrives, whether the feed should have given more.
const LOOK_AHEAD_EVERY: Duration = Duration::from_secs(2);

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
        let reader = Reader {
            stream,
            messages,
            last_position: position,
            silent_at: None,
        };
        let deliveries = stream::unfold(Some(reader), |reader| async {
            let mut reader = reader?;
            match reader.next().await {
                Ok(items) => Some((stream::iter(items).map(Ok).left_stream(), Some(reader))),
                Err(failure) => Some((stream::iter([Err(failure)]).right_stream(), None)),
            }
        });
        let connection_lost = async move {
            lost.await;
            Err(Failure::retry("the connection to NATS was lost"))
        };
        let live = stream::select(deliveries.flatten(), stream::once(connection_lost));
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

/// Reads the feed from behind a position.
struct Reader {
    stream: Stream,
    messages: pull::Stream,
    /// Everything up to here was handed out, or announced as lost.
    last_position: u64,
    /// Where we stood when the feed had more than it gave.
    silent_at: Option<u64>,
}

impl Reader {
    /// What comes next; may be nothing.
    async fn next(&mut self) -> Result<Vec<Delivery<FeedItem>>, Failure> {
        match tokio::time::timeout(LOOK_AHEAD_EVERY, self.messages.next()).await {
            Ok(Some(Ok(message))) => Ok(self.arrived(&message)),
            Ok(Some(Err(error))) => Err(Failure::retry("the feed cannot be read").because(error)),
            Ok(None) => Err(Failure::retry("the feed's consumer has ended")),
            Err(_) => self.look_ahead().await,
        }
    }

    fn arrived(&mut self, message: &async_nats::jetstream::Message) -> Vec<Delivery<FeedItem>> {
        let Some(parsed) = message::from_jetstream(message) else {
            return Vec::new();
        };
        let position = parsed.position;
        if position <= self.last_position {
            return Vec::new();
        }
        let mut items = Vec::with_capacity(1);
        if position > self.last_position + 1 {
            let why = format!(
                "the feed goes from sequence {} to {position}",
                self.last_position
            );
            items.push(announce(position - 1, why));
        }
        self.last_position = position;
        let parsed = Arc::new(parsed);
        items.push(Delivery {
            position,
            origin: Some(Arc::clone(&parsed)),
            item: FeedItem::Message(parsed),
        });
        items
    }

    /// Nothing has come for a while. A hole shows when the message behind it comes; but if the newest messages are gone
    /// (purged before we had read them), none may come for long. So: a feed that has had more than we were given for two
    /// looks in a row has lost it.
    async fn look_ahead(&mut self) -> Result<Vec<Delivery<FeedItem>>, Failure> {
        let info = self
            .stream
            .get_info()
            .await
            .map_err(|error| Failure::retry("the feed cannot be looked up").because(error))?;
        let last = info.state.last_sequence;
        let before = self.silent_at.take();
        if last <= self.last_position {
            return Ok(Vec::new());
        }
        if before != Some(self.last_position) {
            self.silent_at = Some(self.last_position);
            return Ok(Vec::new());
        }
        let why = format!(
            "the feed ends at sequence {last}, and gives nothing behind {}",
            self.last_position
        );
        self.last_position = last;
        Ok(vec![announce(last, why)])
    }
}

fn announce(position: u64, why: String) -> Delivery<FeedItem> {
    Delivery {
        position,
        origin: None,
        item: FeedItem::Lost { why },
    }
}
