//! Reads one partition in order, each message once per run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, pull};
use engine::{Delivery, Failure, Message};
use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use transport::stored::{Stored, StoredMessages};
use transport::{Nats, headers, message};

use super::order::{Arrival, Order};
use super::settlement::Receipts;
use super::{GROUP, Incoming};
use crate::settled;

/// How often to look, when nothing arrives, whether something was left behind by a client that has died.
const LOOK_BEHIND_EVERY: Duration = Duration::from_secs(2);
/// How long one pull request stands; shorter than the takeover. The reader asks also while the pipeline is busy, so a
/// live client keeps its place.
const PULL_EXPIRES: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_millis(1_500);

/// What is handed out.
type Handed = Result<Delivery<Incoming>, Failure>;

/// Reads one partition in order.
pub(super) struct Reader {
    nats: Nats,
    consumer: Consumer<pull::Config>,
    pub(super) messages_per_pull: usize,
    /// What the shared consumer brings, once it has been asked.
    messages: Option<pull::Stream>,
    stored: StoredMessages,
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
    /// The first position to make up for.
    from: u64,
    /// The last one.
    through: u64,
    /// What the shared consumer brought, behind all of them.
    then: Option<Delivery<Incoming>>,
}

impl Reader {
    pub(super) fn new(
        nats: Nats,
        consumer: Consumer<pull::Config>,
        stored: StoredMessages,
        receipts: Receipts,
        settled: watch::Receiver<u64>,
    ) -> Self {
        let last_position = *settled.borrow();
        Self {
            nats,
            consumer,
            messages_per_pull: 1,
            messages: None,
            stored,
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
            let Some(messages) = &mut self.messages else {
                self.begin_to_pull().await?;
                continue;
            };
            match tokio::time::timeout(LOOK_BEHIND_EVERY, messages.next()).await {
                Ok(Some(Ok(message))) => self.arrived(&message).await?,
                Ok(Some(Err(error))) => {
                    return Err(Failure::retry("commands cannot be pulled").because(error));
                }
                Ok(None) => return Err(Failure::retry("the consumer of commands has ended")),
                Err(_) => self.look_behind().await?,
            }
        }
    }

    /// Asks the shared consumer for messages, once everything that was made up for is settled.
    async fn begin_to_pull(&mut self) -> Result<(), Failure> {
        settled::up_to(&mut self.settled, self.last_position).await;
        let messages = self
            .consumer
            .stream()
            .max_messages_per_batch(self.messages_per_pull)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .group(GROUP)
            .messages()
            .await
            .map_err(|error| Failure::retry("commands cannot be pulled").because(error))?;
        self.messages = Some(messages);
        Ok(())
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
        let mut parsed = message::from_jetstream(message)
            .ok_or_else(|| Failure::retry("a message without a position"))?;
        // The server adds this one, behind the publisher's own if there is one.
        let of_server = |(name, _): &(String, String)| name == headers::PIN_ID;
        if let Some(index) = parsed.headers.iter().rposition(of_server) {
            parsed.headers.remove(index);
        }
        if let Some(reply) = &message.reply {
            self.receipts.add(position, reply.clone());
        }
        let delivery = delivery(parsed, redelivered, None);
        if arrival == Arrival::Next {
            self.ready.push_back(delivery);
        } else {
            self.fall_behind(position - 1, Some(delivery));
        }
        Ok(())
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
        let oldest = self.stored.next(self.last_position + 1).await?;
        let oldest = oldest.map(|found| found.message.position);
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
        self.fall_behind(through, None);
        Ok(())
    }

    /// Begins to read, from the stream, what lies behind the last position up to `through`.
    pub(super) fn fall_behind(&mut self, through: u64, then: Option<Delivery<Incoming>>) {
        self.behind = Some(Behind {
            from: self.last_position + 1,
            through,
            then,
        });
    }

    /// Reads some of what there is to make up for.
    async fn make_up(&mut self) -> Result<(), Failure> {
        let Some(behind) = &mut self.behind else {
            return Ok(());
        };
        let (found, go_on) = self.stored.some(behind.from, behind.through).await?;
        for Stored { message, problem } in found {
            self.ready.push_back(delivery(message, true, problem));
        }
        if let Some(from) = go_on {
            behind.from = from;
        } else if let Some(done) = self.behind.take() {
            self.ready.extend(done.then);
        }
        Ok(())
    }
}

fn delivery(message: Message, redelivered: bool, problem: Option<String>) -> Delivery<Incoming> {
    let message = Arc::new(message);
    Delivery {
        position: message.position,
        origin: Some(Arc::clone(&message)),
        item: Incoming {
            message,
            redelivered,
            problem,
        },
    }
}
