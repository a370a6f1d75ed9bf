//! An answer, for people.

use std::process::ExitCode;

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
            let mut table = output::table(&["account", "version", "event"], &["version"]);
            for event in &answer.events {
                let (version, event_id) = (event.version.to_string(), event.event_id.to_string());
                table.add_row([event.account_id.as_str(), &version, &event_id]);
            }
            output::line(table)
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
