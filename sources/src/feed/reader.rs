//! Reads the feed in order, each message once per run, and says where something is missing: from the tail that the process
//! keeps, as long as it has what comes next, and else by a consumer of its own.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::Stream;
use engine::{Delivery, Failure, Message};
use futures::StreamExt;
use tokio::sync::watch;
use transport::message;
use transport::stored::StoredMessages;

use super::event::FeedMessage;
use super::tail::{FeedTail, Found};
use super::{FeedItem, unreadable};
use crate::settled;

/// How often to look, when nothing arrives, whether the feed should have given more.
const LOOK_AHEAD_EVERY: Duration = Duration::from_secs(2);
/// How many messages are taken from the tail at a time.
const TAKEN_TOGETHER_MAX: usize = 512;
/// How many sequences a run that follows a failed one reads one by one: more than one pull brings.
const ONE_BY_ONE: u64 = 4_000;

/// Reads the feed in order.
pub(super) struct Reader {
    stream: Stream,
    stored: StoredMessages,
    /// What is still to be read one by one: from here to there.
    one_by_one: Option<(u64, u64)>,
    tail: FeedTail,
    /// What is new in the tail.
    tail_changes: watch::Receiver<()>,
    /// What a consumer of its own brings, while it has one.
    messages: Option<pull::Stream>,
    /// Where the tail fell silent though the feed had more: nothing is taken from it before a consumer has brought something.
    distrusts_tail_at: Option<u64>,
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
        tail: FeedTail,
        settled: watch::Receiver<u64>,
    ) -> Self {
        let last_position = *settled.borrow();
        Self {
            stream,
            stored,
            one_by_one: None,
            tail_changes: tail.changes(),
            tail,
            messages: None,
            distrusts_tail_at: None,
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
            let arrived = if self.takes_from_tail() {
                if !self.ready.is_empty() {
                    continue;
                }
                None
            } else if let Some(messages) = &mut self.messages {
                Some(messages)
            } else {
                self.begin_to_pull().await?;
                continue;
            };
            let next = async {
                match arrived {
                    Some(messages) => messages.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                next = next => match next {
                    Some(Ok(message)) => {
                        if let Some(message) = message::from_jetstream(&message) {
                            self.arrived(message);
                        }
                    }
                    Some(Err(error)) => return Err(unreadable(error)),
                    None => return Err(Failure::retry("the feed's consumer has ended")),
                },
                Ok(()) = self.tail_changes.changed() => {}
                () = tokio::time::sleep(LOOK_AHEAD_EVERY) => self.look_ahead().await?,
            }
        }
    }

    /// Takes what comes next from the tail, if that has it or will have it; then no consumer is needed.
    fn takes_from_tail(&mut self) -> bool {
        self.tail_changes.mark_unchanged();
        if self.distrusts_tail_at == Some(self.last_position) {
            return false;
        }
        let life = self.stream.cached_info().created;
        if self.messages.is_some() && !self.tail.is_in_newer_half(life, self.last_position) {
            // Not here, or so near to where the tail forgets that a consumer would have to be made anew at once.
            return false;
        }
        let found = self
            .tail
            .behind(life, self.last_position, TAKEN_TOGETHER_MAX);
        match found {
            Found::Elsewhere => return false,
            Found::NotYet => {}
            Found::Messages(messages) => {
                for message in messages {
                    self.hand_out(message);
                }
            }
        }
        self.messages = None;
        self.distrusts_tail_at = None;
        true
    }

    /// Makes a consumer, once everything that was read one by one is settled: should one of its messages cost the
    /// connection, that work is not lost.
    async fn begin_to_pull(&mut self) -> Result<(), Failure> {
        settled::up_to(&mut self.settled, self.last_position).await;
        let from = self.last_position + 1;
        let messages = super::pull_from(&self.stream, "A projection", from).await?;
        self.messages =
            Some(messages.ok_or_else(|| {
                Failure::retry("the feed was made anew while it was being opened")
            })?);
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
        self.hand_out(FeedMessage::unread(Arc::new(message)));
    }

    fn hand_out(&mut self, message: FeedMessage) {
        let position = message.message().position;
        self.last_position = position;
        self.ready.push_back(Delivery {
            position,
            origin: Some(Arc::clone(message.message())),
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
        if self.messages.is_none() {
            // It was the tail that was silent, over a connection that is not ours: what a consumer brings counts.
            self.distrusts_tail_at = Some(self.last_position);
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
