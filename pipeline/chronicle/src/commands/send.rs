//! `chronicle send`: publishes commands and waits for their outcomes.
//!
//! A command is published to `ledger.commands.<account>` with a reply subject of its own, on which its outcome comes:
//! an answer belongs to one message, so the same command id may stand in a file twice, and a dead letter (whose id may
//! not even be readable) finds its line. What is malformed is refused here, in the codec's words; what the business
//! refuses comes from the ledger.

mod batch;
mod build;
mod csv;
mod file;
mod flight;
mod lines;
mod one;
mod print;
mod progress;
mod summary;

use std::process::ExitCode;

use async_nats::jetstream::stream::Stream;
use ledger::Outcome;
use transport::{Nats, streams};

use super::reach;
use crate::arguments::SendArguments;
use crate::exit;
use crate::output::Format;
use crate::servers_at::ServerArguments;
use crate::submission::answer::Answer;

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &SendArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    if arguments.mapping.is_some() && arguments.file.is_none() {
        return Err(exit::usage("--mapping belongs to a --file of rows"));
    }
    match (&arguments.command, &arguments.file) {
        (Some(command), None) => one::execute(servers, arguments, command, output).await,
        (None, Some(file)) => file::execute(servers, arguments, file, output).await,
        (Some(_), Some(_)) => Err(exit::usage("give either one command or --file, not both")),
        (None, None) => Err(exit::usage(
            "give a command, as in `chronicle send deposit ACC-1 25.00`, or --file FILE; see `chronicle send --help`",
        )),
    }
}

/// Prints an outcome for people.
pub(super) fn print_outcome(outcome: &Outcome) -> anyhow::Result<()> {
    print::print(&Answer::from(outcome))
}

/// The stream of commands, which the pipelines make: how many partitions it has is theirs to say.
async fn commands_stream(servers: &ServerArguments, nats: &Nats) -> anyhow::Result<Stream> {
    let found = streams::existing(&nats.jetstream, streams::COMMANDS)
        .await
        .map_err(|failure| reach::nats_failed(servers, &failure))?;
    found.ok_or_else(|| {
        reach::nats_says(
            servers,
            format!(
                "there is no stream {}, so nothing was sent; the pipelines make it when they first start (`chronicle run` or \
                 `chronicle dev`)",
                streams::COMMANDS
            ),
        )
    })
}
