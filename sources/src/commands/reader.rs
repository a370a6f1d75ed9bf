//! Reads one partition in order, each message once per run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use engine::{Delivery, Failure, Message};
use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use transport::{Nats, message};

use super::Incoming;
use super::order::{Arrival, Order};
use super::settlement::Receipts;

/// How often to look, when nothing arrives, whether something was left behind by a client that has died.
const LOOK_BEHIND_EVERY: Duration = Duration::from_secs(2);
/// How many messages are read from the stream at a time when there is something to make up for.
const MAKE_UP_BATCH: usize = 500;
/// How long JetStream may take to answer when something is made up for.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What is handed out.
type Handed = Result<Delivery<Incoming>, Failure>;

/// Reads one partition in order.
pub(super) struct Reader {
    nats: Nats,
    stream: Stream,
    consumer: Consumer<pull::Config>,
    messages: pull::Stream,
    partition_filter: String,
    receipts: Receipts,
    settled: watch::Receiver<u64>,
    order: Order,
    /// To be handed out next, in order.
    ready: VecDeque<Delivery<Incoming>>,
    /// What is being made up for, and the message that waits for it.
    behind: Option<Behind>,
    /// Everything up to here has been handed out, or had left the stream before we began.
    last_position: u64,
    /// The oldest message that we have not handed out, when we last looked.
    oldest_behind: Option<u64>,
}

/// Positions that the shared consumer did not bring in order.
struct Behind {
    /// The last position to make up for.
    through: u64,
    /// A consumer of our own, at the first position to make up for.
    consumer: Consumer<pull::Config>,
    /// What the shared consumer brought, behind all of them.
    then: Option<Delivery<Incoming>>,
}

impl Reader {
    pub(super) fn new(
        nats: Nats,
        stream: Stream,
        consumer: Consumer<pull::Config>,
        messages: pull::Stream,
        partition_filter: String,
        receipts: Receipts,
        settled: watch::Receiver<u64>,
    ) -> Self {
        let last_position = *settled.borrow();
        Self {
            nats,
            stream,
            consumer,
            messages,
            partition_filter,
            receipts,
            settled,
            order: Order::default(),
            ready: VecDeque::new(),
            behind: None,
            last_position,
            oldest_behind: None,
        }
    }

    /// Reads until nobody takes what is read, or something fails.
    pub(super) async fn run(mut self, sender: mpsc::Sender<Handed>) {
        loop {
            let next = self.next().await;
            let failed = next.is_err();
            if sender.send(next).await.is_err() || failed {
                return;
            }
        }
    }

    async fn next(&mut self) -> Handed {
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
        let position = info.stream_sequence;
        let redelivered = info.delivered > 1;
        self.receipts.heard(message);
        let arrival = self.order.judge(
            info.consumer_sequence,
            redelivered,
            position,
            self.last_position,
        );
        if arrival == Arrival::Old {
            return self
                .acknowledge_again(position, message.reply.as_ref())
                .await;
        }
        let parsed = message::from_jetstream(message)
            .ok_or_else(|| Failure::retry("a message without a position"))?;
        if let Some(reply) = &message.reply {
            self.receipts.add(position, reply.clone());
        }
        let delivery = delivery(parsed, redelivered);
        if arrival == Arrival::Next {
            self.ready.push_back(delivery);
            Ok(())
        } else {
            self.fall_behind(position - 1, Some(delivery)).await
        }
    }

    /// A message that was handed out before has come again. If it is settled, then its acknowledgement was lost.
    async fn acknowledge_again(
        &self,
        position: u64,
        reply: Option<&async_nats::Subject>,
    ) -> Result<(), Failure> {
        if position > *self.settled.borrow() {
            return Ok(());
        }
        let Some(reply) = reply else {
            return Ok(());
        };
        let acknowledged = self.nats.client.publish(reply.clone(), "+ACK".into()).await;
        acknowledged
            .map_err(|error| Failure::retry("a command could not be acknowledged").because(error))
    }

    /// Nothing has arrived for a while. If the oldest message that we have not handed out stands still from one look to
    /// the next, then nobody gets on with it, and it is ours now. Should somebody work on it after all, the primary keys
    /// keep us apart.
    async fn look_behind(&mut self) -> Result<(), Failure> {
        let oldest = self.oldest_behind().await?;
        let stands_still = self.oldest_behind == oldest;
        self.oldest_behind = oldest;
        let Some(oldest) = oldest.filter(|_| stands_still) else {
            return Ok(());
        };
        let info = self.consumer.get_info().await.map_err(|error| {
            Failure::retry("the consumer of commands cannot be looked up").because(error)
        })?;
        let through = oldest.max(info.delivered.stream_sequence);
        tracing::info!(
            oldest,
            through,
            "taking over commands that were left behind"
        );
        self.fall_behind(through, None).await
    }

    /// The position of the oldest message of the partition that we have not handed out.
    async fn oldest_behind(&self) -> Result<Option<u64>, Failure> {
        let after = self.last_position + 1;
        let oldest = self
            .stream
            .raw_message_builder()
            .sequence(after)
            .next_by_subject(self.partition_filter.clone())
            .send()
            .await;
        match oldest {
            Ok(message) => Ok(Some(message.sequence)),
            Err(error) => match error.kind() {
                RawMessageErrorKind::NoMessageFound => Ok(None),
                _ => Err(Failure::retry("commands left behind cannot be looked up").because(error)),
            },
        }
    }

    /// Begins to read, from the stream, what lies behind the last position up to `through`.
    async fn fall_behind(
        &mut self,
        through: u64,
        then: Option<Delivery<Incoming>>,
    ) -> Result<(), Failure> {
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
            .map_err(|error| unreadable(error.into()))?;
        self.behind = Some(Behind {
            through,
            consumer,
            then,
        });
        Ok(())
    }

    /// Reads some of what there is to make up for.
    async fn make_up(&mut self) -> Result<(), Failure> {
        let Some(behind) = &mut self.behind else {
            return Ok(());
        };
        let read = behind.read().await?;
        for message in read.messages {
            self.ready.push_back(delivery(message, true));
        }
        if read.is_complete
            && let Some(done) = self.behind.take()
        {
            self.ready.extend(done.then);
        }
        Ok(())
    }
}

/// Some of the messages that were left behind.
struct Read {
    messages: Vec<Message>,
    /// There are no more of them.
    is_complete: bool,
}

impl Behind {
    async fn read(&mut self) -> Result<Read, Failure> {
        let mut batch = self
            .consumer
            .fetch()
            .max_messages(MAKE_UP_BATCH)
            .expires(ANSWER_WITHIN / 2)
            .messages()
            .await
            .map_err(|error| unreadable(error.into()))?;
        let mut messages = Vec::new();
        loop {
            let next = tokio::time::timeout(ANSWER_WITHIN, batch.next()).await;
            let next =
                next.map_err(|_| Failure::retry("commands left behind cannot be read: no answer"))?;
            let Some(message) = next else {
                break;
            };
            let message = message.map_err(unreadable)?;
            let Some(parsed) = message::from_jetstream(&message) else {
                continue;
            };
            if parsed.position > self.through {
                return Ok(Read {
                    messages,
                    is_complete: true,
                });
            }
            messages.push(parsed);
        }
        // An empty answer is no proof that there is nothing: only the consumer knows that it has given everything.
        let info = self
            .consumer
            .get_info()
            .await
            .map_err(|error| unreadable(error.into()))?;
        Ok(Read {
            messages,
            is_complete: info.num_pending == 0,
        })
    }
}

fn unreadable(error: async_nats::Error) -> Failure {
    Failure::retry("commands left behind cannot be read").because(error)
}

fn delivery(message: Message, redelivered: bool) -> Delivery<Incoming> {
    let message = Arc::new(message);
    Delivery {
        position: message.position,
        origin: Some(Arc::clone(&message)),
        item: Incoming {
            message,
            redelivered,
        },
    }
}
