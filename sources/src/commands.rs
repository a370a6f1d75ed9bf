//! Commands from JetStream: one partition of the stream `LEDGER_COMMANDS`, in order, each until it is settled.
//!
//! The stream itself is the queue: a settled command is purged, so whatever is there is unsettled. A durable consumer,
//! pinned to one client at a time, brings new messages; what makes delivery complete and orderly is not the consumer
//! but this rule: **before a message is handed out, everything before it in the partition has been handed out by this
//! very source.** Two things can break the consumer's order: another client had some of the messages and died, or this
//! one missed some (a lost connection). Both show as a jump of the consumer's own sequence. The messages in between are
//! then read from the stream and handed out first, marked as redelivered. So settling a position settles nothing that
//! this source has not handed out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, PriorityPolicy, pull};
use async_nats::jetstream::stream::Stream;
use engine::{Delivery, Failure, Message, Opened, Resume, Source};
use futures::{StreamExt, stream};
use tokio::sync::watch;
use transport::streams::{self, Limits};
use transport::{Nats, message, subjects};

use crate::settlement::{CommandSettler, Receipts};

/// The name of the priority group; there is only one per consumer.
const GROUP: &str = "intake";
/// A pinned client that has not asked for so long loses its place to another one.
const TAKEOVER_AFTER: Duration = Duration::from_secs(4);
/// How long one pull request stands; shorter than the takeover, so that a live client never loses its place.
const PULL_EXPIRES: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_millis(1_500);
/// After this time JetStream delivers again what has not been acknowledged.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(30);
/// How often to look, when nothing arrives, whether something was left behind by a client that has died.
const LOOK_BEHIND_EVERY: Duration = Duration::from_secs(2);
/// How many messages are read from the stream at a time when there is something to make up for.
const CATCH_UP_BATCH: usize = 500;

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
}

impl Default for JetStreamCommandsConfig {
    fn default() -> Self {
        Self {
            partition: 0,
            partitions: 1,
            credit: 16_384,
            limits: Limits::default(),
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
            description: Some("The intake pipeline of one partition; one client at a time".to_owned()),
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
        stream
            .create_consumer(config)
            .await
            .map_err(|error| Failure::retry(format!("the consumer {name} cannot be made")).because(error))
    }
}

impl Source for JetStreamCommands {
    type Item = Incoming;

    async fn open(self, _resume: Option<Resume>) -> Result<Opened<Incoming>, Failure> {
        self.nats.ready().await?;
        let lost = self.nats.lost();
        let limits = &self.config.limits;
        let stream = streams::commands(&self.nats.jetstream, self.config.partitions, limits).await?;
        let consumer = self.consumer(&stream).await?;
        let floor = consumer.cached_info().ack_floor.stream_sequence;
        let messages = consumer
            .stream()
            .max_messages_per_batch(self.config.credit.clamp(1, 2_000))
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .group(GROUP)
            .messages()
            .await
            .map_err(|error| Failure::retry("commands cannot be pulled").because(error))?;
        let partition_filter = subjects::partition_filter(self.config.partition);
        let receipts = Receipts::default();
        let settled = watch::Sender::new(floor);
        let settler = CommandSettler::new(
            self.nats.client.clone(),
            stream.clone(),
            (self.config.partitions > 1).then(|| partition_filter.clone()),
            receipts.clone(),
            settled.clone(),
        );
        let reader = Reader {
            nats: self.nats,
            stream,
            consumer,
            messages,
            partition_filter,
            receipts,
            settled: settled.subscribe(),
            ready: VecDeque::new(),
            behind: None,
            last_position: floor,
            last_consumer_sequence: None,
            idle_floor: None,
        };
        let deliveries = stream::unfold(Some(reader), |reader| async {
            let mut reader = reader?;
            match reader.next().await {
                Ok(delivery) => Some((Ok(delivery), Some(reader))),
                Err(failure) => Some((Err(failure), None)),
            }
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

/// Reads one partition in order.
struct Reader {
    nats: Nats,
    stream: Stream,
    consumer: Consumer<pull::Config>,
    messages: pull::Stream,
    partition_filter: String,
    receipts: Receipts,
    settled: watch::Receiver<u64>,
    /// To be handed out next, in order.
    ready: VecDeque<Delivery<Incoming>>,
    /// What is being made up for, and the message that waits for it.
    behind: Option<Behind>,
    /// Everything up to here has been handed out, or was settled before we began.
    last_position: u64,
    last_consumer_sequence: Option<u64>,
    /// The acknowledgement floor when we last found nothing to do.
    idle_floor: Option<u64>,
}

/// Positions that the consumer did not bring in order.
struct Behind {
    /// The last position to make up for.
    through: u64,
    /// A consumer of our own, at the first position to make up for.
    consumer: Consumer<pull::Config>,
    /// What the shared consumer brought, behind all of them.
    then: Option<Delivery<Incoming>>,
}

impl Reader {
    async fn next(&mut self) -> Result<Delivery<Incoming>, Failure> {
        loop {
            if let Some(delivery) = self.ready.pop_front() {
                self.last_position = delivery.position;
                return Ok(delivery);
            }
            if self.behind.is_some() {
                self.make_up().await?;
                continue;
            }
            match tokio::time::timeout(LOOK_BEHIND_EVERY, self.messages.next()).await {
                Ok(Some(Ok(message))) => self.arrived(&message).await?,
                Ok(Some(Err(error))) => {
                    return Err(Failure::retry("commands cannot be pulled").because(error));
                }
                Ok(None) => return Err(Failure::retry("the consumer of commands has ended")),
                Err(_) => self.look_behind().await?,
            }
        }
    }

    /// A message came from the shared consumer.
    async fn arrived(&mut self, message: &async_nats::jetstream::Message) -> Result<(), Failure> {
        let info = message
            .info()
            .map_err(|error| Failure::retry(format!("a message without a position: {error}")))?;
        let (position, consumer_sequence) = (info.stream_sequence, info.consumer_sequence);
        let redelivered = info.delivered > 1;
        let in_order = self.last_consumer_sequence.map(|last| last + 1) == Some(consumer_sequence);
        self.last_consumer_sequence = Some(consumer_sequence);
        if position <= self.last_position {
            // Handed out before. If it is settled, too, then only its acknowledgement was lost.
            if position <= *self.settled.borrow()
                && let Some(reply) = &message.reply
            {
                let acknowledged = self.nats.client.publish(reply.clone(), "+ACK".into()).await;
                acknowledged.map_err(|error| Failure::retry("a command could not be acknowledged").because(error))?;
            }
            return Ok(());
        }
        let parsed = message::from_jetstream(message)
            .ok_or_else(|| Failure::retry("a message without a position"))?;
        if let Some(reply) = &message.reply {
            self.receipts.add(position, reply.clone());
        }
        let delivery = delivery(parsed, redelivered);
        if in_order || position == self.last_position + 1 {
            self.ready.push_back(delivery);
        } else {
            self.fall_behind(position - 1, Some(delivery)).await?;
        }
        Ok(())
    }

    /// Nothing has arrived for a while. If messages were delivered to somebody who does not get on with them (the floor
    /// stands still), they are ours now; should he live after all, the primary keys keep us apart.
    async fn look_behind(&mut self) -> Result<(), Failure> {
        let info = self
            .consumer
            .get_info()
            .await
            .map_err(|error| Failure::retry("the consumer of commands cannot be looked up").because(error))?;
        let floor = info.ack_floor.stream_sequence;
        let delivered = info.delivered.stream_sequence;
        let stands_still = self.idle_floor.replace(floor) == Some(floor);
        if stands_still && info.num_ack_pending > 0 && delivered > self.last_position.max(floor) {
            tracing::info!(floor, delivered, "taking over commands that another client left behind");
            self.fall_behind(delivered, None).await?;
        }
        Ok(())
    }

    /// Begins to read, from the stream, what lies behind the last position up to `through`.
    async fn fall_behind(&mut self, through: u64, then: Option<Delivery<Incoming>>) -> Result<(), Failure> {
        let config = pull::Config {
            filter_subject: self.partition_filter.clone(),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: self.last_position + 1,
            },
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_secs(30),
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = self
            .stream
            .create_consumer(config)
            .await
            .map_err(|error| Failure::retry("commands left behind cannot be read").because(error))?;
        self.behind = Some(Behind { through, consumer, then });
        Ok(())
    }

    /// Reads some of what there is to make up for.
    async fn make_up(&mut self) -> Result<(), Failure> {
        let Some(behind) = &mut self.behind else {
            return Ok(());
        };
        let unreadable = |error: async_nats::Error| Failure::retry("commands left behind cannot be read").because(error);
        let mut batch = behind
            .consumer
            .fetch()
            .max_messages(CATCH_UP_BATCH)
            .messages()
            .await
            .map_err(|error| unreadable(error.into()))?;
        let mut complete = true;
        while let Some(message) = batch.next().await {
            let message = message.map_err(unreadable)?;
            let Some(parsed) = message::from_jetstream(&message) else {
                continue;
            };
            if parsed.position > behind.through {
                complete = true;
                break;
            }
            complete = message.info().is_ok_and(|info| info.pending == 0);
            self.ready.push_back(delivery(parsed, true));
        }
        if complete && let Some(done) = self.behind.take() {
            self.ready.extend(done.then);
        }
        Ok(())
    }
}

fn delivery(message: Message, redelivered: bool) -> Delivery<Incoming> {
    let message = Arc::new(message);
    Delivery {
        position: message.position,
        origin: Some(Arc::clone(&message)),
        item: Incoming { message, redelivered },
    }
}
