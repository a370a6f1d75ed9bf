//! Commands from JetStream: one partition of the stream `LEDGER_COMMANDS`, in order, each until it is settled.
//!
//! The stream itself is the queue: a settled command is purged, so whatever is there is unsettled. A durable consumer,
//! pinned to one client at a time, brings new messages; what makes delivery complete and orderly is not the consumer
//! but this rule: **before a message is handed out, everything before it in the partition has been handed out by this
//! very source.** Two things can break the consumer's order: another client had some of the messages and died, or this
//! one missed some (a lost connection, a message that the client library takes for something else). Both show in the
//! consumer's own sequence ([`order`]). The messages in between are then read from the stream, one by one, and handed out
//! first, marked as redelivered. So settling a position settles nothing that this source has not handed out.
//!
//! A publisher can send a message that costs its receiver the connection ([`transport::stored`]), each time it comes. So
//! every run reads over a connection of its own, and one that follows a failed run first reads whatever the consumer has
//! delivered to that one from the stream, too, where no message can break anything. Only when that is settled it asks
//! the consumer for more: what it has done is not lost should the next message be of that kind.

mod order;
mod reader;
mod settlement;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, PriorityPolicy, pull};
use async_nats::jetstream::stream::Stream;
use engine::{Failure, Message, Opened, Resume, Source};
use futures::{StreamExt, stream};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use transport::stored::StoredMessages;
use transport::streams::{self, Limits};
use transport::{Nats, subjects};

use self::reader::Reader;
use self::settlement::{CommandSettler, Queue, Receipts};
use crate::Runs;

/// The name of the priority group; there is only one per consumer.
const GROUP: &str = "intake";
/// A pinned client that has not asked for so long loses its place to another one.
const TAKEOVER_AFTER: Duration = Duration::from_secs(4);
/// After this time JetStream delivers again what has not been acknowledged.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(30);

/// Which commands to read.
#[derive(Debug, Clone)]
pub struct JetStreamCommandsConfig {
    /// The partition to read.
    pub partition: u32,
    /// How many partitions there are.
    pub partitions: u32,
    /// How many messages may be in flight: handed to this client and not settled.
    pub credit: usize,
    /// How large the stream may become, when it has to be made.
    pub limits: Limits,
    /// The same for all runs of one partition in this process.
    pub runs: Runs,
}

impl Default for JetStreamCommandsConfig {
    fn default() -> Self {
        Self {
            partition: 0,
            partitions: 1,
            credit: 16_384,
            limits: Limits::default(),
            runs: Runs::default(),
        }
    }
}

/// A message that may be a command.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// As it was published.
    pub message: Arc<Message>,
    /// It was, or may have been, handed out before: it may have an outcome already.
    pub redelivered: bool,
    /// What is wrong with its headers, if some of them cannot be read.
    pub problem: Option<String>,
}

/// The source.
pub struct JetStreamCommands {
    nats: Nats,
    config: JetStreamCommandsConfig,
}

impl JetStreamCommands {
    /// A source over this connection.
    pub fn new(nats: Nats, config: JetStreamCommandsConfig) -> Self {
        Self { nats, config }
    }

    async fn consumer(&self, stream: &Stream) -> Result<Consumer<pull::Config>, Failure> {
        let name = format!("intake-{}", self.config.partition);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            description: Some(
                "The intake pipeline of one partition; one client at a time".to_owned(),
            ),
            filter_subject: subjects::partition_filter(self.config.partition),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::All,
            ack_wait: ACKNOWLEDGE_WITHIN,
            max_ack_pending: i64::try_from(self.config.credit).unwrap_or(i64::MAX),
            priority_policy: PriorityPolicy::PinnedClient,
            priority_groups: vec![GROUP.to_owned()],
            priority_timeout: TAKEOVER_AFTER,
            ..pull::Config::default()
        };
        stream.create_consumer(config).await.map_err(|error| {
            Failure::retry(format!("the consumer {name} cannot be made")).because(error)
        })
    }
}

impl Source for JetStreamCommands {
    type Item = Incoming;

    async fn open(self, _resume: Option<Resume>) -> Result<Opened<Incoming>, Failure> {
        self.nats.ready().await?;
        let nats = self.nats.another().await;
        let nats =
            nats.map_err(|error| Failure::retry("commands cannot be read").because(error))?;
        let lost = nats.lost();
        let limits = &self.config.limits;
        let stream = streams::commands(&nats.jetstream, self.config.partitions, limits).await?;
        let consumer = self.consumer(&stream).await?;
        let follows_another = self.config.runs.begin();
        if follows_another || consumer.cached_info().num_waiting == 0 {
            // Nobody asks for messages, or only the run before this one did: whoever is pinned is gone, and need not be
            // waited for.
            if let Err(error) = stream
                .unpin_consumer(&consumer.cached_info().name, GROUP)
                .await
            {
                tracing::debug!(%error, "nobody could be unpinned");
            }
        }
        // Whatever is in the stream is unsettled; what the consumer remembers is hearsay.
        let settled_before = stream.cached_info().state.first_sequence.saturating_sub(1);
        let delivered = consumer.cached_info().delivered.stream_sequence;
        let partition_filter = subjects::partition_filter(self.config.partition);
        let receipts = Receipts::default();
        let settled = watch::Sender::new(settled_before);
        let settler = CommandSettler::new(
            &nats,
            Queue {
                stream,
                filter: (self.config.partitions > 1).then(|| partition_filter.clone()),
                consumer: consumer.clone(),
                group: GROUP,
            },
            receipts.clone(),
            settled.clone(),
        );
        let stored = StoredMessages::new(
            nats.jetstream.clone(),
            streams::COMMANDS,
            &partition_filter,
            self.config.partitions,
        );
        let mut reader = Reader::new(nats, consumer, stored, receipts, settled.subscribe());
        reader.messages_per_pull = self.config.credit.clamp(1, 2_000);
        if follows_another {
            reader.fall_behind(delivered, None);
        }
        // In a task of its own: a pipeline that is busy must not keep the reader from asking, or it would lose its place.
        // The consumer's credit bounds what the channel can hold.
        let (sender, receiver) = mpsc::channel(self.config.credit.max(1));
        let reading = AbortOnDropHandle::new(tokio::spawn(reader.run(sender)));
        let deliveries = ReceiverStream::new(receiver).map(move |delivery| {
            let _ = &reading; // lives as long as the stream
            delivery
        });
        let connection_lost = async move {
            lost.await;
            Err(Failure::retry("the connection to NATS was lost"))
        };
        Ok(Opened {
            deliveries: stream::select(deliveries, stream::once(connection_lost)).boxed(),
            settler: Box::new(settler),
        })
    }

    fn describe(&self) -> String {
        format!(
            "JetStream {}, partition {} of {} ({}), at most {} in flight",
            streams::COMMANDS,
            self.config.partition,
            self.config.partitions,
            subjects::partition_filter(self.config.partition),
            self.config.credit
        )
    }
}
