//! Settling commands: what is done leaves the stream.
//!
//! A settled command is acknowledged, and then purged. The acknowledgement is a hint for the consumer; the purge is what
//! counts, for whatever is in the stream is unsettled. Both can be lost without harm: the command comes again and finds
//! its stored outcome.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::jetstream::stream::Stream;
use async_nats::{Subject, header};
use engine::{Failure, Settler};
use futures::future::BoxFuture;
use tokio::sync::watch;
use transport::Nats;

/// How long purges are held back, so that one purge serves many batches.
const PURGE_EVERY: Duration = Duration::from_millis(50);
/// How many purges in a row may fail before it is said.
const FAILURES_NOTED: u32 = 10;
/// How long the farewell to the server may take at the end of a run.
const FINISH_WITHIN: Duration = Duration::from_secs(3);

/// What there is to acknowledge, and by which name the consumer knows us.
#[derive(Clone, Default)]
pub(crate) struct Receipts {
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// The acknowledgement subjects of what has been handed out and not settled, by position.
    replies: VecDeque<(u64, Subject)>,
    /// What the consumer called us when it was last pinned to us.
    pin: Option<String>,
}

impl Receipts {
    /// Remembers how to acknowledge the message at `position`. Positions rise.
    pub(crate) fn add(&self, position: u64, reply: Subject) {
        self.lock().replies.push_back((position, reply));
    }

    /// The consumer has sent a message: it is pinned to us.
    pub(crate) fn heard(&self, message: &async_nats::jetstream::Message) {
        let headers = message.headers.as_ref();
        if let Some(pin) = headers.and_then(|headers| headers.get_last(header::NATS_PIN_ID)) {
            self.lock().pin = Some(pin.as_str().to_owned());
        }
    }

    fn pin(&self) -> Option<String> {
        self.lock().pin.clone()
    }

    /// Forgets all receipts up to `position` and answers with the newest: it acknowledges the others too.
    fn take_up_to(&self, position: u64) -> Option<Subject> {
        let mut open = self.lock();
        let mut newest = None;
        while open.replies.front().is_some_and(|(at, _)| *at <= position) {
            newest = open.replies.pop_front().map(|(_, reply)| reply);
        }
        newest
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The partition whose messages are settled.
#[derive(Clone)]
pub(crate) struct Queue {
    pub(crate) stream: Stream,
    /// The subjects of the partition; all of them, if `None`.
    pub(crate) filter: Option<String>,
    pub(crate) consumer: Consumer<pull::Config>,
    /// The consumer's priority group.
    pub(crate) group: &'static str,
}

/// Why nothing was purged.
#[derive(Debug, thiserror::Error)]
enum Unpurged {
    /// The stream was removed and made anew, and gives the sequences that we know to other commands.
    #[error("the stream is another one than the one that was read")]
    AnotherStream,
    /// The server did not do it, or did not say so.
    #[error(transparent)]
    Failed(#[from] async_nats::Error),
}

impl Queue {
    /// Removes everything up to `position`, if the stream is still the one that was read. (JetStream has no purge that
    /// names the stream's identity; what may happen between this look and the purge takes a script, not a person.)
    async fn purge(&self, position: u64) -> Result<(), Unpurged> {
        let present = self.stream.get_info().await.map_err(Box::from)?;
        if present.created != self.stream.cached_info().created {
            return Err(Unpurged::AnotherStream);
        }
        let behind = position.saturating_add(1);
        let purge = self.stream.purge().sequence(behind);
        match &self.filter {
            None => purge.await.map_err(Box::from)?,
            Some(filter) => purge.filter(filter).await.map_err(Box::from)?,
        };
        Ok(())
    }

    /// Lets whoever stands by have the partition at once, if it is ours.
    async fn hand_over(&self, pin: &str) -> Result<(), async_nats::Error> {
        let info = self.consumer.get_info().await?;
        let is_ours = |pinned: &Option<String>| pinned.as_deref() == Some(pin);
        if info
            .priority_groups
            .iter()
            .any(|group| is_ours(&group.pinned_client_id))
        {
            self.stream.unpin_consumer(&info.name, self.group).await?;
        }
        Ok(())
    }
}

/// Acknowledges and purges what the engine has settled.
pub(crate) struct CommandSettler {
    nats: Nats,
    queue: Queue,
    receipts: Receipts,
    settled: watch::Sender<u64>,
}

impl CommandSettler {
    /// A settler for the messages of `queue`; `settled` says up to where they are settled already.
    pub(crate) fn new(
        nats: &Nats,
        queue: Queue,
        receipts: Receipts,
        settled: watch::Sender<u64>,
    ) -> Self {
        let (purges, lost) = (
            purge_behind(queue.clone(), settled.subscribe()),
            nats.lost(),
        );
        tokio::spawn(async move {
            // A purge names a sequence. It must not reach a server that has come back without its newest messages and
            // given their sequences to others: with the connection, the purges of this run end. So they do with the run.
            tokio::select! {
                biased;
                () = lost => {}
                () = purges => {}
            }
        });
        Self {
            nats: nats.clone(),
            queue,
            receipts,
            settled,
        }
    }

    /// Nothing that is settled stays behind to be delivered again, and nobody who stands by has to wait.
    async fn say_farewell(&self) -> Result<(), async_nats::Error> {
        let position = *self.settled.borrow();
        self.queue.purge(position).await?;
        if let Some(pin) = self.receipts.pin() {
            self.queue.hand_over(&pin).await?;
        }
        Ok(self.nats.client.flush().await?)
    }
}

impl Settler for CommandSettler {
    fn settle(&mut self, position: u64) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            if let Some(reply) = self.receipts.take_up_to(position) {
                self.nats
                    .client
                    .publish(reply, "+ACK".into())
                    .await
                    .map_err(|error| {
                        Failure::retry("a command could not be acknowledged").because(error)
                    })?;
            }
            self.settled.send_replace(position);
            Ok(())
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // A purge must not wait in the client for a server that comes back: see `new`.
            if !self.nats.is_connected() {
                return;
            }
            match tokio::time::timeout(FINISH_WITHIN, self.say_farewell()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "some settled commands stay behind"),
                Err(_) => {
                    tracing::debug!("NATS does not answer; some settled commands may stay behind");
                }
            }
        })
    }
}

/// Purges up to the settled position, now and then, until the settler is gone. What is left over then is handed out again
/// and found to have an outcome.
async fn purge_behind(queue: Queue, mut settled: watch::Receiver<u64>) {
    let mut failures: u32 = 0;
    while settled.changed().await.is_ok() {
        let position = *settled.borrow_and_update();
        match queue.purge(position).await {
            Ok(()) => failures = 0,
            Err(Unpurged::AnotherStream) => return,
            Err(Unpurged::Failed(error)) => {
                // The next one covers it; but a stream that is never purged fills up.
                failures += 1;
                if failures.is_multiple_of(FAILURES_NOTED) {
                    tracing::warn!(
                        %error,
                        position,
                        "settled commands cannot be purged from {}; it will be full some time",
                        transport::streams::COMMANDS
                    );
                }
            }
        }
        tokio::time::sleep(PURGE_EVERY).await;
    }
}
