//! Publishing commands again, and looking whether each gets the outcome that it has had.

use std::pin::pin;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use ledger::codec::json;
use store::EventStore;
use tokio::time::Instant;

use super::Counts;
use super::stored::{Stored, StoredCommands};
use crate::arguments::ReplayCommands;
use crate::commands::reach;
use crate::commands::replay::pace::Pace;
use crate::commands::replay::progress::Progress;
use crate::servers_at::ServerArguments;
use crate::submission::answer::{Answer, Meaning};
use crate::submission::publishing::Unacknowledged;
use crate::submission::submitter::{Submitted, Submitter};

/// How long to wait before a command that the stream has not taken is published again.
const PAUSE: Duration = Duration::from_millis(200);
/// How many answers that differ are told one by one.
const CHANGED_TOLD_MAX: u64 = 20;

type Answered = BoxFuture<'static, (Stored, Result<Submitted, Unacknowledged>)>;

/// Publishes them. Says whether those were all.
pub(super) async fn publish(
    servers: &ServerArguments,
    arguments: &ReplayCommands,
    store: EventStore,
    mut commands: StoredCommands<'_>,
    progress: &mut Progress,
    counts: &mut Counts,
) -> anyhow::Result<bool> {
    let nats = reach::nats(servers).await?;
    let submitter = Submitter::new(&nats, store);
    let wait = Duration::from_secs(arguments.wait_seconds);
    let in_flight = arguments.in_flight as usize;
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    let mut pace = Pace::new(arguments.rate);
    let mut flight: FuturesOrdered<Answered> = FuturesOrdered::new();
    let answered = |answered: (Stored, _), progress: &mut Progress, counts: &mut Counts| {
        let (stored, result) = answered;
        take(&stored, result, progress, counts)
            .map_err(|what| reach::nats_says(servers, what))
            .inspect(|()| progress.show(counts.replayed, counts.replayed))
    };
    while let Some(stored) = commands.next().await? {
        let mut may_go = pin!(pace.wait());
        loop {
            tokio::select! {
                biased;
                interrupted = &mut interrupted => {
                    interrupted?;
                    return Ok(false);
                }
                Some(done) = flight.next(), if !flight.is_empty() => answered(done, progress, counts)?,
                () = &mut may_go, if flight.len() < in_flight => break,
            }
        }
        flight.push_back(submit(submitter.clone(), stored, wait).boxed());
    }
    while !flight.is_empty() {
        tokio::select! {
            biased;
            interrupted = &mut interrupted => {
                interrupted?;
                return Ok(false);
            }
            Some(done) = flight.next() => answered(done, progress, counts)?,
        }
    }
    Ok(true)
}

/// Publishes one, again while the stream does not take it, and waits for its outcome.
async fn submit(
    submitter: Submitter,
    stored: Stored,
    wait: Duration,
) -> (Stored, Result<Submitted, Unacknowledged>) {
    let deadline = Instant::now() + wait;
    let payload = bytes::Bytes::from(json::encode_command(&stored.command));
    loop {
        let result = submitter
            .submit(&stored.command, payload.clone(), wait)
            .await;
        match result {
            Err(error) if error.may_pass() && Instant::now() < deadline => {
                tokio::time::sleep(PAUSE).await;
            }
            other => return (stored, other),
        }
    }
}

/// One has its answer, or none.
fn take(
    stored: &Stored,
    result: Result<Submitted, Unacknowledged>,
    progress: &Progress,
    counts: &mut Counts,
) -> Result<(), String> {
    let command_id = stored.command.command_id;
    let answer = match result {
        Ok(Submitted::Answered(answer)) => answer,
        Ok(Submitted::Pending) => {
            return Err(format!(
                "no outcome came for command {command_id}: does an intake run? See `chronicle status`"
            ));
        }
        Err(error) => return Err(format!("command {command_id}: {error}")),
    };
    counts.replayed += 1;
    counts.done = Some(command_id);
    if answer != Answer::from(&stored.outcome) {
        counts.changed += 1;
        if counts.changed <= CHANGED_TOLD_MAX {
            progress.say(format!(
                "command {command_id} got another answer than the stored outcome: {answer:?}"
            ));
        }
        return Ok(());
    }
    match answer.meaning() {
        Meaning::Accepted => counts.accepted += 1,
        Meaning::Rejected { .. } | Meaning::DeadLetter { .. } => counts.rejected += 1,
    }
    Ok(())
}
