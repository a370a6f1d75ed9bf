//! Through NATS: published to the stream of commands, each answered on a subject of our own.
//!
//! The subject of an answer says which command it is for, when that was to be sent, and whether it is watched. So nothing
//! has to be remembered of the commands that are on their way.

use std::sync::Arc;

use async_nats::jetstream::publish::PublishAck;
use futures::StreamExt;
use futures::future::BoxFuture;
use ledger::codec::json;
use serde::Deserialize;
use store::EventStore;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use transport::{Nats, PUBLISHES_IN_FLIGHT_MAX};

use super::run::Run;
use super::tally::Answered;
use super::tickets::Ticket;
use crate::submission::answer::Answer;
use crate::submission::publishing::{self, Outgoing, Unacknowledged};

/// What the stream says of one command.
type Acknowledgement = BoxFuture<'static, Result<PublishAck, Unacknowledged>>;

/// Sends the run's commands and waits for their outcomes. Answers with how many have none.
pub(super) async fn send(nats: &Nats, store: &EventStore, run: &Arc<Run>) -> anyhow::Result<u64> {
    // Connections of its own: nothing else waits for them, and their permits are nobody else's.
    let nats = nats.another().await?;
    let inbox = nats.client.new_inbox();
    let answers = nats.client.subscribe(format!("{inbox}.>")).await?;
    nats.client.flush().await?;
    let _listening = AbortOnDropHandle::new(tokio::spawn(listen(answers, Arc::clone(run))));
    publish(&nats, &inbox, run).await?;
    run.settle(store).await
}

async fn publish(nats: &Nats, inbox: &str, run: &Arc<Run>) -> anyhow::Result<()> {
    let (sender, acknowledgements) = mpsc::channel(PUBLISHES_IN_FLIGHT_MAX);
    // Beside the publishing: whoever publishes may wait for a permit that an acknowledgement gives back.
    let awaiting = AbortOnDropHandle::new(tokio::spawn(await_all(acknowledgements)));
    loop {
        // Room first: a turn at no fixed time begins when it can be taken. One at a fixed time has begun already.
        run.room.acquire().await?.forget();
        let Some(ticket) = run.tickets.take().await else {
            break;
        };
        let command = (run.commands)(ticket.number);
        let watched = u8::from(run.is_watched(ticket));
        let reply_to = format!("{inbox}.{}.{}.{watched}", ticket.number, ticket.at);
        let payload = json::encode_command(&command).into();
        let message = Outgoing::command(&command, payload, &reply_to);
        let acknowledgement: Acknowledgement = Box::pin(publishing::begin(nats, message).await);
        run.count_sent();
        if sender.send(acknowledgement).await.is_err() {
            // The other side has failed, and says why.
            break;
        }
    }
    drop(sender);
    awaiting.await??;
    Ok(())
}

async fn await_all(mut acknowledgements: mpsc::Receiver<Acknowledgement>) -> anyhow::Result<()> {
    while let Some(acknowledgement) = acknowledgements.recv().await {
        acknowledgement.await.map_err(|error| {
            let hint = match &error {
                Unacknowledged::Full(_) => "; give a lower --in-flight or --rate",
                _ => "",
            };
            anyhow::anyhow!("a command could not be published: {error}{hint}")
        })?;
    }
    Ok(())
}

/// As much of an answer as is needed of most: reading all of it costs more than the rest of the listening.
#[derive(Deserialize)]
struct Told<'a> {
    status: &'a str,
    #[serde(borrow, default)]
    rejection: Option<Reason<'a>>,
}

#[derive(Deserialize)]
struct Reason<'a> {
    code: &'a str,
}

async fn listen(mut answers: async_nats::Subscriber, run: Arc<Run>) {
    while let Some(message) = answers.next().await {
        let Some((ticket, is_watched)) = ticket_of(&message.subject) else {
            continue;
        };
        let Ok(told) = serde_json::from_slice::<Told<'_>>(&message.payload) else {
            tracing::warn!(number = ticket.number, "an answer cannot be read");
            continue;
        };
        let answered = match (told.status, &told.rejection) {
            ("accepted", _) => Answered::Accepted,
            (_, Some(reason)) => Answered::Refused(reason.code),
            (_, None) => Answered::Refused("unknown"),
        };
        // First: whoever waits for the last answer looks at what is watched then.
        if is_watched {
            let events = Answer::read(&message.payload).map(|answer| answer.events);
            run.show(ticket, events.unwrap_or_default());
        }
        run.answered(ticket, answered);
    }
}

/// The last three words of the subject: number, time, and whether it is watched.
fn ticket_of(subject: &str) -> Option<(Ticket, bool)> {
    let mut words = subject.rsplit('.');
    let is_watched = words.next()? == "1";
    let at = words.next()?.parse().ok()?;
    let number = words.next()?.parse().ok()?;
    Some((Ticket { number, at }, is_watched))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_an_answer_says_what_it_is_for() {
        let ticket = Ticket {
            number: 7,
            at: 1_234,
        };
        assert_eq!(ticket_of("_INBOX.abc.7.1234.1"), Some((ticket, true)));
        assert_eq!(ticket_of("_INBOX.abc.7.1234.0"), Some((ticket, false)));
        assert_eq!(ticket_of("_INBOX.abc"), None);
    }
}
