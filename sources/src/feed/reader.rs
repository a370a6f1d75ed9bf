//! Reads the feed in order, each message once per run, and says where something is missing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use engine::{Delivery, Failure, Message};
use futures::StreamExt;
use tokio::sync::watch;
use transport::stored::StoredMessages;
use transport::{message, subjects};

use super::FeedItem;
use crate::settled;

const HEARTBEAT: Duration = Duration::from_secs(2);
const PULL_EXPIRES: Duration = Duration::from_secs(10);
/// How often to look, when nothing arrives, whether the feed should have given more.
const LOOK_AHEAD_EVERY: Duration = Duration::from_secs(2);
const MESSAGES_PER_PULL: usize = 2_000;
/// How many sequences a run that follows a failed one reads one by one: more than one pull brings.
const ONE_BY_ONE: u64 = 4_000;

/// Reads the feed in order.
pub(super) struct Reader {
    stream: Stream,
    stored: StoredMessages,
    /// What is still to be read one by one: from here to there.
    one_by_one: Option<(u64, u64)>,
    /// What the consumer brings, once there is one.
    messages: Option<pull::Stream>,
    settled: watch::Receiver<u64>,
    /// To be handed out next, in order.
    ready: VecDeque<Delivery<FeedItem>>,
    /// Everything up to here was handed out, or announced as lost, or lies before this run.
    last_position: u64,
    /// Where we stood when the feed had more than it gave.
    silent_at: Option<u64>,
}

impl Reader {
    /// A reader of what lies behind the settled position.
    pub(super) fn new(
        stream: Stream,
        stored: StoredMessages,
        settled: watch::Receiver<u64>,
    ) -> Self {
        let last_position = *settled.borrow();
        Self {
            stream,
            stored,
            one_by_one: None,
            messages: None,
            settled,
            ready: VecDeque::new(),
            last_position,
            silent_at: None,
        }
    }

    /// The run before this one has failed: begin with what no message can break.
    pub(super) fn begin_one_by_one(&mut self) {
        let from = self.last_position + 1;
        self.one_by_one = Some((from, from.saturating_add(ONE_BY_ONE)));
    }

    /// Announces that something is missing before the first message.
    pub(super) fn announce(&mut self, why: String) {
        let lost = lost(self.last_position, why);
        self.ready.push_back(lost);
    }

    pub(super) async fn next(&mut self) -> Result<Delivery<FeedItem>, Failure> {
        loop {
            if let Some(delivery) = self.ready.pop_front() {
                return Ok(delivery);
            }
            if let Some((from, through)) = self.one_by_one {
                let (found, go_on) = self.stored.some(from, through).await?;
                for stored in found {
                    self.arrived(stored.message);
                }
                self.one_by_one = go_on.map(|from| (from, through));
                continue;
            }
            let Some(messages) = &mut self.messages else {
                self.begin_to_pull().await?;
                continue;
            };
            match tokio::time::timeout(LOOK_AHEAD_EVERY, messages.next()).await {
                Ok(Some(Ok(message))) => {
                    if let Some(message) = message::from_jetstream(&message) {
                        self.arrived(message);
                    }
                }
                Ok(Some(Err(error))) => return Err(unreadable(error)),
                Ok(None) => return Err(Failure::retry("the feed's consumer has ended")),
                Err(_) => self.look_ahead().await?,
            }
        }
    }

    /// Makes a consumer, once everything that was read one by one is settled: should one of its messages cost the
    /// connection, that work is not lost.
    async fn begin_to_pull(&mut self) -> Result<(), Failure> {
        settled::up_to(&mut self.settled, self.last_position).await;
        let config = pull::Config {
            description: Some("A projection".to_owned()),
            filter_subject: format!("{}.*", subjects::EVENTS),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: self.last_position + 1,
            },
            ack_policy: AckPolicy::None,
            inactive_threshold: Duration::from_mins(1),
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = self
            .stream
            .create_consumer(config)
            .await
            .map_err(unreadable)?;
        // One that was made anew since this run began (also one that is being restored) has other events under these
        // sequences. The consumer is of the life that it was made in, so this is looked at behind it.
        let now = self.stream.get_info().await.map_err(unreadable)?;
        if now.created != self.stream.cached_info().created {
            return Err(Failure::retry(
                "the feed was made anew while it was being opened",
            ));
        }
        let messages = consumer
            .stream()
            .max_messages_per_batch(MESSAGES_PER_PULL)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(unreadable)?;
        self.messages = Some(messages);
        Ok(())
    }

    /// The next message, or an old one.
    fn arrived(&mut self, message: Message) {
        let position = message.position;
        if position <= self.last_position {
            return;
        }
        if position > self.last_position + 1 {
            let why = format!(
                "the feed goes from sequence {} to {position}",
                self.last_position
            );
            self.ready.push_back(lost(position - 1, why));
        }
        self.last_position = position;
        let message = Arc::new(message);
        self.ready.push_back(Delivery {
            position,
            origin: Some(Arc::clone(&message)),
            item: FeedItem::Message(message),
        });
    }

    /// Nothing has come for a while. A hole shows when the message behind it comes; but if the newest messages are gone
    /// (purged before we had read them), none may come for long. So: a feed that has had more than we were given for two
    /// looks in a row has lost it.
    async fn look_ahead(&mut self) -> Result<(), Failure> {
        let info = self.stream.get_info().await.map_err(unreadable)?;
        let last = info.state.last_sequence;
        let before = self.silent_at.take();
        if last <= self.last_position {
            return Ok(());
        }
        if before != Some(self.last_position) {
            self.silent_at = Some(self.last_position);
            return Ok(());
        }
        let why = format!(
            "the feed ends at sequence {last}, and gives nothing behind {}",
            self.last_position
        );
        self.last_position = last;
        self.ready.push_back(lost(last, why));
        Ok(())
    }
}

fn lost(position: u64, why: String) -> Delivery<FeedItem> {
    Delivery {
        position,
        origin: None,
        item: FeedItem::Lost { why },
    }
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::retry("the feed cannot be read").because(error)
}
