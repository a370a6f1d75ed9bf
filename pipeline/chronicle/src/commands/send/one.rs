//! One command: published, and its outcome printed.

use std::process::ExitCode;
use std::time::Duration;

use async_nats::Subscriber;
use bytes::Bytes;
use futures::StreamExt;
use ledger::{Action, Command, CommandId, RejectionCode};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};
use transport::{Nats, streams};

use super::build::build;
use super::commands_stream;
use super::print;
use crate::arguments::{SendArguments, SendCommand};
use crate::commands::reach;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;
use crate::submission::answer::{Answer, Meaning};
use crate::submission::lookup::{Answers, Found};
use crate::submission::publishing::{self, Outgoing, Unacknowledged};

/// A stream that is full, or a server that does not answer, is tried for at least so long.
const PUBLISH_WITHIN_MIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(250);

pub(super) async fn execute(
    servers: &ServerArguments,
    arguments: &SendArguments,
    command: &SendCommand,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let (command, payload) = build(command)?;
    let nats = reach::nats(servers).await?;
    commands_stream(servers, &nats).await?;
    let reply_to = nats.client.new_inbox();
    let mut replies = nats
        .client
        .subscribe(reply_to.clone())
        .await
        .map_err(|error| reach::nats_says(servers, format!("nothing was sent: {error}")))?;
    let wait = Duration::from_secs(arguments.wait_seconds);
    publish(
        servers,
        &nats,
        Outgoing::command(&command, payload.into(), &reply_to),
        wait.max(PUBLISH_WITHIN_MIN),
        command.command_id,
    )
    .await?;
    match reply(&mut replies, wait).await {
        Some(payload) => show(&command, &payload, output),
        None => look_up(servers, &command, wait, output).await,
    }
}

/// Publishes until the stream has it. Repeating is harmless: the same command is answered with its first outcome.
async fn publish(
    servers: &ServerArguments,
    nats: &Nats,
    message: Outgoing,
    within: Duration,
    command_id: CommandId,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    let mut said = false;
    let mut may_be_there = false;
    loop {
        let Err(error) = publishing::publish(nats, message.clone()).await else {
            return Ok(());
        };
        may_be_there |= matches!(error, Unacknowledged::Unknown(_));
        if !error.may_pass() || Instant::now() >= deadline {
            let fate = if may_be_there {
                format!(
                    "the command may have been published or not; send it again under the same id, or ask `chronicle outcome {command_id}`"
                )
            } else {
                format!("command {command_id} was not published")
            };
            return Err(reach::nats_says(servers, format!("{error}; {fate}")));
        }
        if !said {
            output::say(format!("{}: {error}; trying again", streams::COMMANDS));
            said = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn reply(replies: &mut Subscriber, wait: Duration) -> Option<Bytes> {
    let deadline = Instant::now() + wait;
    Some(timeout_at(deadline, replies.next()).await.ok()??.payload)
}

/// The answer as it was received, and the hold's name: it may have been made up here, and the outcome does not have it.
fn show(command: &Command, payload: &[u8], output: Format) -> anyhow::Result<ExitCode> {
    let answer = Answer::read(payload)
        .map_err(|error| anyhow::anyhow!("the ledger's answer cannot be understood: {error}; is this binary older than the ledger?"))?;
    match (output, command.hold_id()) {
        (Format::Json, None) => output::json(&serde_json::from_slice::<&RawValue>(payload)?)?,
        (Format::Json, Some(hold_id)) => {
            let mut document: Map<String, Value> = serde_json::from_slice(payload)?;
            document.insert("hold_id".to_owned(), hold_id.to_string().into());
            output::json(&document)?;
        }
        (Format::Table, hold_id) => {
            print::print(&answer)?;
            if let Some(hold_id) = hold_id.filter(|_| answer.meaning() == Meaning::Accepted) {
                output::line(format!("hold {hold_id}"))?;
            }
        }
    }
    Ok(print::exit_code(&answer))
}

/// No answer came: asks the event store, if it is known where that is.
async fn look_up(
    servers: &ServerArguments,
    command: &Command,
    waited: Duration,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let command_id = command.command_id;
    let found = match servers.event_store() {
        Ok(store) => Answers::of(&store, &[command_id])
            .await
            .map_err(|error| output::say(reach::event_store_failed(servers, &error)))
            .map_or(Found::Nothing, |answers| {
                answers.find(command_id, command.fingerprint())
            }),
        Err(_) => Found::Nothing,
    };
    let about = match &command.action {
        Action::Hold(action) => format!(" (hold {})", action.hold_id),
        _ => String::new(),
    };
    match found {
        Found::Outcome(outcome) => show(command, &serde_json::to_vec(&outcome)?, output),
        Found::AnotherCommand => Err(exit::no(format!(
            "{}: the id {command_id} was used before, for another command; see `chronicle outcome {command_id}`",
            RejectionCode::IdempotencyConflict
        ))),
        Found::Nothing => Err(anyhow::anyhow!(
            "command {command_id}{about} was published, and no outcome came within {} s. It is not lost: it waits in {} until an \
             intake runs (see `chronicle status`). Ask for its outcome later: chronicle outcome {command_id}",
            waited.as_secs(),
            streams::COMMANDS
        )),
    }
}
