//! Events from JetStream: the stream `LEDGER_EVENTS`, in order, from behind an offset.
//!
//! Reads with a consumer of its own, so nobody else's pace or position matters; what is new and wanted by several
//! pipelines of a process is read once for all of them ([`FeedTail`]). Whatever the stream cannot give any more
//! (purged, expired, lost with a server) is not passed over in silence: it is announced as [`FeedItem::Lost`] in its
//! place, and the sink makes up for it from the event store.
//!
//! Anybody who may publish there can put a message into the feed that costs its receiver the connection
//! ([`transport::stored`]). So every run reads over a connection of its own, and one that follows a failed run begins by
//! reading one by one, where no message can break anything: the projection gets to see it, and can name it.

mod event;
mod reader;
mod tail;

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use engine::{Failure, Opened, Resume, Settler, Source};
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use tokio::sync::watch;
use transport::stored::StoredMessages;
use transport::streams::{self, Limits};
use transport::{Nats, headers, subjects};

pub use self::event::{FeedMessage, NoEvent, event_in};
use self::reader::Reader;
pub use self::tail::FeedTail;
use crate::Runs;

const HEARTBEAT: Duration = Duration::from_secs(2);
const PULL_EXPIRES: Duration = Duration::from_secs(10);
const MESSAGES_PER_PULL: usize = 2_000;

/// One step of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedItem {
    /// A message that should be an event.
    Message(FeedMessage),
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
    runs: Runs,
    tail: FeedTail,
}

impl JetStreamEvents {
    /// A source over a connection like this one. `limits` count when the stream has to be made.
    pub fn new(nats: Nats, limits: Limits) -> Self {
        Self {
            nats,
            limits,
            runs: Runs::default(),
            tail: FeedTail::default(),
        }
    }

    /// The same source, which takes what it can from the tail of this process.
    #[must_use]
    pub fn sharing(mut self, tail: &FeedTail) -> Self {
        self.tail = tail.clone();
        self
    }

    /// The same source as one of the runs of a pipeline in this process.
    #[must_use]
    pub fn among(mut self, runs: &Runs) -> Self {
        self.runs = runs.clone();
        self
    }
}

impl Source for JetStreamEvents {
    type Item = FeedItem;

    async fn open(self, resume: Option<Resume>) -> Result<Opened<FeedItem>, Failure> {
        self.nats.ready().await?;
        let nats = self.nats.another().await;
        let nats =
            nats.map_err(|error| Failure::retry("the feed cannot be read").because(error))?;
        let lost = nats.lost();
        let stream = streams::events(&nats.jetstream, &self.limits).await?;
        let filter = format!("{}.*", subjects::EVENTS);
        let stored = StoredMessages::new(nats.jetstream.clone(), streams::EVENTS, &filter, 1);
        let (position, gap) = whereabouts(&stream, &stored, resume.as_ref()).await?;
        let (settled, settled_receiver) = watch::channel(position);
        let mut reader = Reader::new(stream, stored, self.tail, settled_receiver);
        if let Some(why) = gap {
            reader.announce(why);
        }
        if self.runs.begin() {
            reader.begin_one_by_one();
        }
        let deliveries = stream::unfold(Some(reader), |reader| async {
            let mut reader = reader?;
            let next = reader.next().await;
            let go_on = next.is_ok().then_some(reader);
            Some((next, go_on))
        });
        let connection_lost = async move {
            lost.await;
            Err(Failure::retry("the connection to NATS was lost"))
        };
        Ok(Opened {
            deliveries: stream::select(deliveries, stream::once(connection_lost)).boxed(),
            settler: Box::new(Applied { settled }),
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

/// Nothing is to be settled in the feed, for the sink keeps the offset; the reader wants to know how far it is.
struct Applied {
    settled: watch::Sender<u64>,
}

impl Settler for Applied {
    fn settle(&mut self, position: u64) -> BoxFuture<'_, Result<(), Failure>> {
        self.settled.send_replace(position);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Where to go on, and why something before it may be missing.
async fn whereabouts(
    stream: &Stream,
    stored: &StoredMessages,
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
        let found = stored.at(position).await?;
        let message_id = found
            .as_ref()
            .and_then(|found| found.message.header(headers::MESSAGE_ID));
        if message_id != Some(mark) {
            let why = format!(
                "the feed was rewound and written anew: sequence {position} is not the event applied last"
            );
            return Ok((position, Some(why)));
        }
    }
    Ok((position, None))
}

/// The events from a sequence on, by a new consumer that is described so. `None` if the stream is another than the one that
/// `stream` was when it was looked at: one that was made anew (also one that is being restored) has other events under
/// these sequences. The consumer is of the life that it was made in, so this is looked at behind it.
async fn pull_from(
    stream: &Stream,
    description: &str,
    start_sequence: u64,
) -> Result<Option<pull::Stream>, Failure> {
    let config = pull::Config {
        description: Some(description.to_owned()),
        filter_subject: format!("{}.*", subjects::EVENTS),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
        ack_policy: AckPolicy::None,
        inactive_threshold: Duration::from_mins(1),
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(unreadable)?;
    let now = stream.get_info().await.map_err(unreadable)?;
    if now.created != stream.cached_info().created {
        return Ok(None);
    }
    let messages = consumer
        .stream()
        .max_messages_per_batch(MESSAGES_PER_PULL)
        .expires(PULL_EXPIRES)
        .heartbeat(HEARTBEAT)
        .messages();
    messages.await.map(Some).map_err(unreadable)
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::retry("the feed cannot be read").because(error)
}
