//! Settling commands: what is done leaves the stream.
//!
//! A settled command is acknowledged, and then purged. The acknowledgement is a hint for the consumer; the purge is what
//! counts, for whatever is in the stream is unsettled. Both can be lost without harm: the command comes again and finds
//! its stored outcome.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use async_nats::{Client, Subject};
use engine::{Failure, Settler};
use futures::future::BoxFuture;
use tokio::sync::watch;
use transport::Nats;

/// How long purges are held back, so that one purge serves many batches.
const PURGE_EVERY: Duration = Duration::from_millis(50);
/// How many purges in a row may fail before it is said.
const FAILURES_NOTED: u32 = 10;

/// The acknowledgement subjects of what has been handed out and not settled, by position.
#[derive(Clone, Default)]
pub(crate) struct Receipts {
    open: Arc<Mutex<VecDeque<(u64, Subject)>>>,
}

impl Receipts {
    /// Remembers how to acknowledge the message at `position`. Positions rise.
    pub(crate) fn add(&self, position: u64, reply: Subject) {
        self.lock().push_back((position, reply));
    }

    /// Forgets all receipts up to `position` and answers with the newest: it acknowledges the others too.
    fn take_up_to(&self, position: u64) -> Option<Subject> {
        let mut open = self.lock();
        let mut newest = None;
        while open.front().is_some_and(|(at, _)| *at <= position) {
            newest = open.pop_front().map(|(_, reply)| reply);
        }
        newest
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(u64, Subject)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Acknowledges and purges what the engine has settled.
pub(crate) struct CommandSettler {
    client: Client,
    receipts: Receipts,
    settled: watch::Sender<u64>,
}

impl CommandSettler {
    /// A settler for the messages of `stream` that match `filter` (all of them, if `None`); `settled` says up to where
    /// they are settled already.
    pub(crate) fn new(
        nats: &Nats,
        stream: Stream,
        filter: Option<String>,
        receipts: Receipts,
        settled: watch::Sender<u64>,
    ) -> Self {
        let (purges, lost) = (
            purge_behind(stream, filter, settled.subscribe()),
            nats.lost(),
        );
        tokio::spawn(async move {
            // A purge names a sequence. It must not reach a server that has come back without its newest messages and
            // given their sequences to others: with the connection, the purges of this run end.
            tokio::select! {
                biased;
                () = lost => {}
                () = purges => {}
            }
        });
        Self {
            client: nats.client.clone(),
            receipts,
            settled,
        }
    }
}

impl Settler for CommandSettler {
    fn settle(&mut self, position: u64) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            if let Some(reply) = self.receipts.take_up_to(position) {
                self.client
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
}

/// Purges up to the settled position, now and then. Ends when the settler is gone, after a last purge if the process
/// lives that long; what is left over is handed out again and found to have an outcome.
async fn purge_behind(stream: Stream, filter: Option<String>, mut settled: watch::Receiver<u64>) {
    let mut failures: u32 = 0;
    loop {
        let ended = settled.changed().await.is_err();
        let position = *settled.borrow_and_update();
        let behind = position.saturating_add(1);
        let purged = match &filter {
            None => stream.purge().sequence(behind).await,
            Some(filter) => stream.purge().filter(filter).sequence(behind).await,
        };
        match purged {
            Ok(_) => failures = 0,
            Err(error) => {
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
        if ended {
            return;
        }
        tokio::time::sleep(PURGE_EVERY).await;
    }
}
