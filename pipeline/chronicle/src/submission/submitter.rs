//! Commands of many callers: each is published like any other, and its caller waits for its outcome.
//!
//! All answers come over one subscription, on subjects of our own, and go to whoever waits. An answer is a plain message
//! and may be lost with a connection; so whoever waits for long also looks the outcome up in the event store.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use ledger::{Command, Hash, RejectionCode};
use store::EventStore;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use transport::Nats;

use super::answer::Answer;
use super::lookup::{Answers, Found};
use super::publishing::{self, Outgoing, Unacknowledged};

/// How often the event store is asked for an outcome whose answer has not come.
const LOOK_UP_EVERY: Duration = Duration::from_secs(2);
/// How long to wait before subscribing again, should the server end the subscription.
const PAUSE: Duration = Duration::from_millis(500);

/// What is known of a command when its caller has waited for long enough.
#[derive(Debug)]
pub(crate) enum Submitted {
    /// Its outcome, or word that it is a dead letter.
    Answered(Answer),
    /// It is in the stream, and its outcome is still to come.
    Pending,
}

/// Publishes commands for many callers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Submitter {
    nats: Nats,
    store: EventStore,
    desk: Arc<Desk>,
    _listening: Arc<AbortOnDropHandle<()>>,
}

/// Who waits for what.
struct Desk {
    /// What the subjects of our answers begin with.
    inbox: String,
    next_number: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Bytes>>>,
}

impl Desk {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Bytes>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands an answer to whoever waits for it.
    fn hand_out(&self, subject: &str, payload: Bytes) {
        let number = subject
            .rsplit('.')
            .next()
            .and_then(|token| token.parse().ok());
        let waits = number.and_then(|number: u64| self.waiting().remove(&number));
        if let Some(waits) = waits {
            // Whoever has gone away does not need it.
            let _ = waits.send(payload);
        }
    }
}

/// One place at the desk; it is free again when this is dropped.
struct Place {
    desk: Arc<Desk>,
    number: u64,
    answer: oneshot::Receiver<Bytes>,
}

impl Place {
    fn take(desk: &Arc<Desk>) -> Self {
        let number = desk.next_number.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        desk.waiting().insert(number, sender);
        Self {
            desk: Arc::clone(desk),
            number,
            answer,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.desk.waiting().remove(&self.number);
    }
}

impl Submitter {
    /// A submitter over this connection.
    pub(crate) fn new(nats: &Nats, store: EventStore) -> Self {
        let mut own = nats.clone();
        // Permits of its own: callers must not wait for the pipelines' acknowledgements.
        own.jetstream = nats.own_jetstream();
        let desk = Arc::new(Desk {
            inbox: own.client.new_inbox(),
            next_number: AtomicU64::new(0),
            waiting: Mutex::default(),
        });
        let listening = tokio::spawn(listen(own.clone(), Arc::clone(&desk)));
        Self {
            nats: own,
            store,
            desk,
            _listening: Arc::new(AbortOnDropHandle::new(listening)),
        }
    }

    /// Publishes a command and waits for its outcome, for at most `wait`. `payload` is the command in JSON.
    ///
    /// # Errors
    ///
    /// The stream does not take it. [`Unacknowledged::Unknown`]: it may have taken it, and no outcome has come.
    pub(crate) async fn submit(
        &self,
        command: &Command,
        payload: Bytes,
        wait: Duration,
    ) -> Result<Submitted, Unacknowledged> {
        let deadline = Instant::now() + wait;
        if !self.nats.is_connected() {
            return Err(Unacknowledged::NotConnected);
        }
        let mut place = Place::take(&self.desk);
        let reply_to = format!("{}.{}", self.desk.inbox, place.number);
        let message = Outgoing::command(command, payload, &reply_to);
        let published = match publishing::publish(&self.nats, message).await {
            Ok(_) => Ok(()),
            Err(error @ Unacknowledged::Unknown(_)) => Err(error),
            Err(error) => return Err(error),
        };
        let look_up = self.look_up(command, command.fingerprint());
        let answer = tokio::select! {
            answer = heard(&mut place.answer) => Some(answer),
            answer = look_up => Some(answer),
            () = sleep_until(deadline) => None,
        };
        match (answer, published) {
            (Some(answer), _) => Ok(Submitted::Answered(answer)),
            (None, Ok(())) => Ok(Submitted::Pending),
            (None, Err(error)) => Err(error),
        }
    }

    /// Asks the event store now and then, until it has the outcome.
    async fn look_up(&self, command: &Command, fingerprint: Hash) -> Answer {
        let command_id = command.command_id;
        loop {
            tokio::time::sleep(LOOK_UP_EVERY).await;
            let asked = timeout(LOOK_UP_EVERY, Answers::of(&self.store, &[command_id])).await;
            let Ok(Ok(answers)) = asked else {
                continue;
            };
            match answers.find(command_id, fingerprint) {
                Found::Outcome(outcome) => return Answer::from(&outcome),
                Found::AnotherCommand => {
                    return Answer::rejected(
                        RejectionCode::IdempotencyConflict.as_str(),
                        &format!("the id {command_id} was used before, for another command"),
                    );
                }
                Found::Nothing => {}
            }
        }
    }
}

/// Waits for an answer that can be understood; one that cannot is left to the look-up.
async fn heard(answer: &mut oneshot::Receiver<Bytes>) -> Answer {
    if let Ok(payload) = answer.await {
        match Answer::read(&payload) {
            Ok(answer) => return answer,
            Err(error) => tracing::warn!(%error, "an answer of the ledger cannot be understood"),
        }
    }
    std::future::pending().await
}

/// Hears all answers.
async fn listen(nats: Nats, desk: Arc<Desk>) {
    loop {
        match nats.client.subscribe(format!("{}.*", desk.inbox)).await {
            Ok(mut answers) => {
                while let Some(answer) = answers.next().await {
                    desk.hand_out(&answer.subject, answer.payload);
                }
            }
            Err(error) => tracing::debug!(%error, "answers cannot be subscribed to"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> Arc<Desk> {
        Arc::new(Desk {
            inbox: "inbox".to_owned(),
            next_number: AtomicU64::new(0),
            waiting: Mutex::default(),
        })
    }

    #[tokio::test]
    async fn each_answer_goes_to_the_one_who_waits_for_it() {
        let desk = desk();
        let (mut first, mut second) = (Place::take(&desk), Place::take(&desk));
        desk.hand_out("inbox.1", Bytes::from_static(b"two"));
        desk.hand_out("inbox.0", Bytes::from_static(b"one"));
        desk.hand_out("inbox.0", Bytes::from_static(b"again"));
        desk.hand_out("inbox.x", Bytes::from_static(b"nobody's"));
        assert_eq!((&mut first.answer).await.unwrap(), "one");
        assert_eq!((&mut second.answer).await.unwrap(), "two");
    }

    #[tokio::test]
    async fn whoever_goes_away_leaves_nothing_behind() {
        let desk = desk();
        drop(Place::take(&desk));
        assert!(desk.waiting().is_empty());
        desk.hand_out("inbox.0", Bytes::from_static(b"too late"));
    }
}
