//! An answer, for people.

use std::process::ExitCode;

use comfy_table::Table;
use ledger::EventReference;

use crate::commands::rows::plain;
use crate::submission::answer::{Answer, Meaning};
use crate::{exit, output};

/// The exit code of a call that asked for this one command.
pub(super) fn exit_code(answer: &Answer) -> ExitCode {
    match answer.meaning() {
        Meaning::Accepted => ExitCode::SUCCESS,
        Meaning::Rejected { .. } | Meaning::DeadLetter { .. } => ExitCode::from(exit::NO),
    }
}

/// Prints it.
pub(super) fn print(answer: &Answer) -> anyhow::Result<()> {
    let command = answer
        .command_id
        .map(|id| format!("command {id} "))
        .unwrap_or_default();
    match answer.meaning() {
        Meaning::Accepted => {
            output::line(format!("{command}accepted"))?;
            output::line(events(&answer.events))
        }
        Meaning::Rejected { code, message } => output::line(format!(
            "{command}rejected: {}: {}",
            plain(code),
            plain(message)
        )),
        Meaning::DeadLetter { id, code, message } => output::line(format!(
            "rejected as a dead letter: {}: {} (see `chronicle dead-letter show {}`)",
            plain(code),
            plain(message),
            plain(id)
        )),
    }
}

/// Where events are; those of a batch with the command that made them.
fn events(events: &[EventReference]) -> Table {
    let of_a_batch = events.iter().any(|event| event.part.is_some());
    let columns = ["command", "account", "version", "event"];
    let columns = if of_a_batch {
        &columns[..]
    } else {
        &columns[1..]
    };
    let mut table = output::table(columns, &["version"]);
    for event in events {
        let part = event.part.map(|part| format!("commands[{part}]"));
        let place = [
            event.account_id.to_string(),
            event.version.to_string(),
            event.event_id.to_string(),
        ];
        let of_part = of_a_batch.then(|| part.unwrap_or_default());
        table.add_row(of_part.into_iter().chain(place));
    }
    table
}
