//! `chronicle outcome`: what became of a command, and when, and what it asked for; what it reverses, or what reverses it.

use std::process::ExitCode;

use ledger::codec::json;
use ledger::{Command, CommandId, Outcome, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;
use transport::streams;

use super::asked_for::asked_for;
use super::reach;
use super::rows::plain;
use super::send;
use crate::exit;
use crate::links::{Links, ReversedBy, Reverses};
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// What is printed as JSON: the outcome as it was sent, and what it belongs to.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    /// When it was decided.
    recorded_at: Timestamp,
    /// What was asked for.
    command: &'a RawValue,
    #[serde(flatten)]
    links: &'a Links,
}

pub(crate) async fn execute(
    servers: &ServerArguments,
    command_id: CommandId,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let store = servers.event_store()?;
    let failed = |error| reach::event_store_failed(servers, &error);
    let stored = store
        .outcomes(&[command_id])
        .await
        .map_err(failed)?
        .into_iter()
        .next();
    let (Some(stored), Some(command)) = (stored, store.command(command_id).await.map_err(failed)?)
    else {
        return Err(exit::no(format!(
            "command {command_id} has no outcome in the event store at {}: it may still wait in {} (is an intake running? \
             see `chronicle status`), it may be a dead letter (`chronicle dead-letter list`), or it was never published",
            reach::place(servers.event_store_url()),
            streams::COMMANDS,
        )));
    };
    let links = Links::of(&store, &stored.outcome).await.map_err(failed)?;
    let body = RawValue::from_string(String::from_utf8(json::encode_command(&command))?)?;
    match output {
        Format::Json => output::json(&Answer {
            outcome: &stored.outcome,
            recorded_at: stored.recorded_at,
            command: &body,
            links: &links,
        })?,
        Format::Table => {
            send::print_outcome(&stored.outcome)?;
            output::line(format!("decided at {}", stored.recorded_at))?;
            if command.parts().is_empty() {
                output::line(format!("command    {}", plain(body.get())))?;
            } else {
                print_batch(&command, &stored.outcome)?;
            }
            print_links(&links)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The commands of a batch; of one that was refused, the command because of which it was.
fn print_batch(batch: &Command, outcome: &Outcome) -> anyhow::Result<()> {
    let description = batch.description.as_ref();
    let description = description.map(|text| format!(": {text}"));
    output::line(format!(
        "command    {}{}",
        asked_for(batch),
        plain(&description.unwrap_or_default())
    ))?;
    let refused = outcome
        .rejection()
        .and_then(|rejection| rejection.data.get("command"))
        .and_then(|index| index.parse().ok());
    let mut table = output::table(&["command", "asked for"], &[]);
    for (index, command) in batch.parts().iter().enumerate() {
        if refused.is_none_or(|refused: usize| refused == index) {
            table.add_row([format!("commands[{index}]"), plain(&asked_for(command))]);
        }
    }
    output::line(table)
}

fn print_links(links: &Links) -> anyhow::Result<()> {
    if let Some(Reverses {
        command_id,
        amount,
        currency,
        reason,
    }) = &links.reverses
    {
        let reason = plain(reason);
        output::line(format!(
            "reverses   {amount} {currency} of command {command_id}: {reason}"
        ))?;
    }
    if let Some(reversed_by) = &links.reversed_by {
        print_reversals(reversed_by)?;
    }
    Ok(())
}

fn print_reversals(reversed_by: &ReversedBy) -> anyhow::Result<()> {
    let ReversedBy {
        reversed,
        rest,
        currency,
        reversals,
        has_more,
    } = reversed_by;
    output::line(format!("reversed   {reversed} {currency}, and {rest} not"))?;
    let columns = ["reversed by", "amount", "decided at", "reason"];
    let mut table = output::table(&columns, &["amount"]);
    for reversal in reversals {
        let part = reversal.part.map(|part| format!(" commands[{part}]"));
        table.add_row([
            format!("{}{}", reversal.command_id, part.unwrap_or_default()),
            reversal.amount.to_string(),
            reversal.recorded_at.to_string(),
            plain(&reversal.reason),
        ]);
    }
    output::line(table)?;
    if *has_more {
        output::say(format!(
            "these are the first {} reversals, and there are more",
            reversals.len()
        ));
    }
    Ok(())
}
