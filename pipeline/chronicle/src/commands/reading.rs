//! Reading a stream from a sequence on, with a consumer of our own: nobody else's position is touched.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use engine::{Failure, Message};
use futures::StreamExt;
use futures::future::BoxFuture;
use transport::{Nats, message};

const HEARTBEAT: Duration = Duration::from_secs(2);
const PULL_EXPIRES: Duration = Duration::from_secs(10);
const MESSAGES_PER_PULL: usize = 1_000;
/// Without a message for so long, the server is asked whether there is one at all.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to read.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Which subjects.
    pub(super) filter: String,
    /// The first sequence.
    pub(super) from_sequence: u64,
    /// Not the bodies.
    pub(super) headers_only: bool,
}

/// A stream that is being read.
pub(super) struct Reading {
    consumer: Consumer<pull::Config>,
    messages: pull::Stream,
    connection_lost: BoxFuture<'static, ()>,
    /// How many messages the stream still has for us.
    pending: u64,
}

/// One step of reading.
pub(super) enum Step {
    /// A message.
    Message(Message),
    /// The stream has no more at this moment.
    NoMore,
}

impl Reading {
    /// Begins.
    pub(super) async fn open(
        nats: &Nats,
        stream: &Stream,
        wanted: Wanted,
    ) -> Result<Self, Failure> {
        let connection_lost = Box::pin(nats.lost());
        let consumer = stream
            .create_consumer(pull::Config {
                description: Some("A command line".to_owned()),
                filter_subject: wanted.filter,
                deliver_policy: DeliverPolicy::ByStartSequence {
                    start_sequence: wanted.from_sequence.max(1),
                },
                ack_policy: AckPolicy::None,
                headers_only: wanted.headers_only,
                inactive_threshold: Duration::from_secs(30),
                memory_storage: true,
                num_replicas: 1,
                ..pull::Config::default()
            })
            .await
            .map_err(|error| cannot_be_read(stream).because(error))?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(MESSAGES_PER_PULL)
            .expires(PULL_EXPIRES)
            .heartbeat(HEARTBEAT)
            .messages()
            .await
            .map_err(|error| cannot_be_read(stream).because(error))?;
        Ok(Self {
            pending: consumer.cached_info().num_pending,
            consumer,
            messages,
            connection_lost,
        })
    }

    /// The next message, or that there is none now.
    pub(super) async fn next(&mut self) -> Result<Step, Failure> {
        while self.pending > 0 {
            let next = tokio::select! {
                next = tokio::time::timeout(PATIENCE, self.messages.next()) => next,
                () = &mut self.connection_lost => return Err(Failure::retry("the connection was lost")),
            };
            match next {
                Ok(message) => {
                    if let Some(message) = self.take(message)? {
                        return Ok(Step::Message(message));
                    }
                }
                // What was there when we began may have been removed meanwhile.
                Err(_) => self.pending = self.ask().await?,
            }
        }
        Ok(Step::NoMore)
    }

    /// Waits for a message, however long it takes.
    pub(super) async fn wait(&mut self) -> Result<Message, Failure> {
        loop {
            let next = tokio::select! {
                next = self.messages.next() => next,
                () = &mut self.connection_lost => return Err(Failure::retry("the connection was lost")),
            };
            if let Some(message) = self.take(next)? {
                return Ok(message);
            }
        }
    }

    fn take(
        &mut self,
        next: Option<Result<async_nats::jetstream::Message, pull::MessagesError>>,
    ) -> Result<Option<Message>, Failure> {
        let Some(next) = next else {
            return Err(Failure::retry("the server has ended the reading"));
        };
        let next = next.map_err(|error| Failure::retry("reading failed").because(error))?;
        if let Ok(info) = next.info() {
            self.pending = info.pending;
        }
        Ok(message::from_jetstream(&next))
    }

    async fn ask(&mut self) -> Result<u64, Failure> {
        match self.consumer.info().await {
            Ok(info) => Ok(info.num_pending),
            Err(error) => Err(Failure::retry("reading failed").because(error)),
        }
    }
}

fn cannot_be_read(stream: &Stream) -> Failure {
    Failure::retry(format!(
        "the stream {} cannot be read",
        stream.cached_info().config.name
    ))
}
