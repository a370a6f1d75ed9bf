//! Through HTTP: posted to the API, each on a connection of its own until it is answered.

use std::sync::Arc;

use anyhow::{Context, bail};
use ledger::EventReference;
use ledger::codec::json;
use serde::Deserialize;
use store::EventStore;
use tokio::task::JoinSet;

use super::http_client::{Address, Connection};
use super::run::Run;
use super::tally::Answered;
use super::tickets::Ticket;

/// Sends the run's commands over so many connections and waits for their outcomes. Answers with how many have none.
pub(super) async fn send(
    address: &Address,
    connections: usize,
    store: &EventStore,
    run: &Arc<Run>,
) -> anyhow::Result<u64> {
    let mut workers = JoinSet::new();
    for _ in 0..connections {
        workers.spawn(work(address.clone(), Arc::clone(run)));
    }
    while let Some(ended) = workers.join_next().await {
        // The first error ends the others, for they are dropped with the set.
        ended??;
    }
    run.settle(store).await
}

async fn work(address: Address, run: Arc<Run>) -> anyhow::Result<()> {
    let mut connection = Connection::open(&address).await?;
    while let Some(ticket) = run.tickets.take().await {
        let command = (run.commands)(ticket.number);
        let is_watched = run.is_watched(ticket);
        run.count_sent();
        let (status, body) = connection
            .post("/commands", &json::encode_command(&command))
            .await
            .with_context(|| format!("a command could not be posted to {address}"))?;
        take(&run, ticket, is_watched, status, &body)?;
    }
    Ok(())
}

#[derive(Deserialize)]
struct Accepted {
    events: Vec<EventReference>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

fn take(
    run: &Run,
    ticket: Ticket,
    is_watched: bool,
    status: u16,
    body: &[u8],
) -> anyhow::Result<()> {
    match status {
        201 => {
            // First: whoever waits for the last answer looks at what is watched then.
            if is_watched {
                let accepted: Accepted = serde_json::from_slice(body)?;
                run.show(ticket, accepted.events);
            }
            run.answered(ticket, Answered::Accepted);
        }
        // The outcome is still to come: it is looked up in the end.
        202 => {}
        // The business refuses.
        404 | 409 | 412 | 422 => {
            let problem: Problem = serde_json::from_slice(body)?;
            if is_watched {
                run.show(ticket, Vec::new());
            }
            run.answered(ticket, Answered::Refused(&problem.code));
        }
        _ => bail!(
            "the HTTP API answered a command with {status}: {}",
            String::from_utf8_lossy(body)
        ),
    }
    Ok(())
}
