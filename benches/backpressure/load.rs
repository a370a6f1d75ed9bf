//! The publisher: commands through NATS, so many a second, whatever becomes of them.
//!
//! It notes what the stream says of each. What is refused is not sent again: whoever does so would press no harder, and
//! the count would be harder to check.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::publish::PublishAck;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;
use transport::{Nats, PUBLISHES_IN_FLIGHT_MAX, subjects};

use crate::commands;
use crate::verdicts::{Verdict, Verdicts};

const TICK: Duration = Duration::from_millis(5);
/// A publisher that was held up makes up for no more than this.
const ARREARS_MAX: Duration = Duration::from_millis(500);

/// Publishes until it is dropped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

struct Shared {
    per_second: AtomicU64,
    /// Numbers below this one may be published.
    end: AtomicU64,
    next: AtomicU64,
    /// How many publishes have an answer, or none in time.
    told: AtomicU64,
    verdicts: Arc<Verdicts>,
}

type Acknowledgement = BoxFuture<'static, Result<PublishAck, PublishError>>;

impl Load {
    /// With a connection of its own. It begins at rest.
    pub(crate) async fn start(nats: &Nats, verdicts: &Arc<Verdicts>) -> anyhow::Result<Self> {
        let nats = nats.another().await?;
        let shared = Arc::new(Shared {
            per_second: AtomicU64::new(0),
            end: AtomicU64::new(u64::MAX),
            next: AtomicU64::new(0),
            told: AtomicU64::new(0),
            verdicts: Arc::clone(verdicts),
        });
        let (sender, receiver) = mpsc::channel(PUBLISHES_IN_FLIGHT_MAX);
        let publishing = publish(nats, Arc::clone(&shared), sender);
        // Beside the publishing: whoever publishes may wait for a permit that an acknowledgement gives back.
        let listening = listen(Arc::clone(&shared), receiver);
        Ok(Self {
            shared,
            _tasks: [spawned(publishing), spawned(listening)],
        })
    }

    /// From now on so many commands a second.
    pub(crate) fn set_rate(&self, per_second: u64) {
        self.shared.end.store(u64::MAX, Ordering::Relaxed);
        self.shared.per_second.store(per_second, Ordering::Relaxed);
    }

    /// So many more commands at this rate, and then none.
    pub(crate) fn publish(&self, count: u64, per_second: u64) {
        let end = self.shared.next.load(Ordering::Relaxed) + count;
        self.set_rate(per_second);
        self.shared.end.store(end, Ordering::Relaxed);
    }

    /// Whether all that were to be published were, and have an answer.
    pub(crate) fn is_at_rest(&self) -> bool {
        let next = self.shared.next.load(Ordering::Relaxed);
        let is_over = self.shared.per_second.load(Ordering::Relaxed) == 0
            || next >= self.shared.end.load(Ordering::Relaxed);
        is_over && self.shared.told.load(Ordering::Relaxed) == next
    }

    /// How many were published.
    pub(crate) fn published(&self) -> u64 {
        self.shared.next.load(Ordering::Relaxed)
    }
}

fn spawned(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(task))
}

async fn publish(
    nats: Nats,
    shared: Arc<Shared>,
    acknowledgements: mpsc::Sender<(u64, Acknowledgement)>,
) {
    let jetstream = nats.own_jetstream();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut owed, mut before) = (0.0_f64, Instant::now());
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let rate = shared.per_second.load(Ordering::Relaxed) as f64;
        owed += rate * (now - before).as_secs_f64();
        owed = owed.min(rate * ARREARS_MAX.as_secs_f64());
        before = now;
        while owed >= 1.0 {
            let number = shared.next.load(Ordering::Relaxed);
            let is_over = number >= shared.end.load(Ordering::Relaxed);
            if is_over || shared.per_second.load(Ordering::Relaxed) == 0 {
                break;
            }
            let acknowledgement = begin(&jetstream, number).await;
            // Counted first: the answer may be there at once.
            shared.next.store(number + 1, Ordering::Relaxed);
            owed -= 1.0;
            if acknowledgements
                .send((number, acknowledgement))
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

async fn begin(jetstream: &jetstream::Context, number: u64) -> Acknowledgement {
    let made = commands::made(number);
    let subject = format!("{}.{}", subjects::COMMANDS, made.account_id);
    let begun = jetstream
        .publish(subject, made.document.to_string().into())
        .await;
    match begun {
        Ok(acknowledgement) => Box::pin(acknowledgement.into_future()),
        Err(error) => Box::pin(std::future::ready(Err(error))),
    }
}

async fn listen(shared: Arc<Shared>, mut acknowledgements: mpsc::Receiver<(u64, Acknowledgement)>) {
    while let Some((number, acknowledgement)) = acknowledgements.recv().await {
        let (verdict, text) = match acknowledgement.await {
            Ok(_) => (Verdict::Taken, None),
            Err(error) => of_error(&error),
        };
        shared.verdicts.note(number, verdict, text.as_deref());
        shared.told.fetch_add(1, Ordering::Relaxed);
    }
}

/// A server that answers with an error does not have the message; without an answer nobody knows.
fn of_error(error: &PublishError) -> (Verdict, Option<String>) {
    let source = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref::<jetstream::Error>()) {
        Some(refusal) => (Verdict::Refused, Some(refusal.to_string())),
        None => (Verdict::Unknown, Some(error.to_string())),
    }
}
