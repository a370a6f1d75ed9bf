//! What comes back on a command's reply subject: its outcome, or word of a dead letter in the same form.

use std::process::ExitCode;

use ledger::{CommandId, EventReference, Outcome};
use serde::Deserialize;

use crate::commands::rows::plain;
use crate::exit;
use crate::output;

/// An answer. Reads codes that this binary does not know yet, too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Answer {
    status: Status,
    /// The command; a dead letter may have none.
    #[serde(default)]
    command_id: Option<CommandId>,
    #[serde(default)]
    events: Vec<EventReference>,
    #[serde(default)]
    rejection: Option<Reason>,
    /// Set when the message has become a dead letter.
    #[serde(default)]
    dead_letter_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Accepted,
    Rejected,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Reason {
    code: String,
    message: String,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// The ledger did it.
    Accepted,
    /// The business refuses.
    Rejected { code: &'a str, message: &'a str },
    /// The message was no command, or another command's id stood in it.
    DeadLetter {
        id: &'a str,
        code: &'a str,
        message: &'a str,
    },
}

impl Answer {
    /// Reads an answer.
    pub(super) fn read(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }

    /// What it means.
    pub(super) fn meaning(&self) -> Meaning<'_> {
        let (code, message) = match &self.rejection {
            Some(reason) => (reason.code.as_str(), reason.message.as_str()),
            None => ("unknown", "no reason was given"),
        };
        match (self.status, &self.dead_letter_id) {
            (Status::Accepted, _) => Meaning::Accepted,
            (Status::Rejected, Some(id)) => Meaning::DeadLetter { id, code, message },
            (Status::Rejected, None) => Meaning::Rejected { code, message },
        }
    }

    /// The exit code of a call that asked for this one command.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self.status {
            Status::Accepted => ExitCode::SUCCESS,
            Status::Rejected => ExitCode::from(exit::NO),
        }
    }

    /// Prints it for people.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        let command = self
            .command_id
            .map(|id| format!("command {id} "))
            .unwrap_or_default();
        match self.meaning() {
            Meaning::Accepted => {
                output::line(format!("{command}accepted"))?;
                let mut table = output::table(&["account", "version", "event"], &["version"]);
                for event in &self.events {
                    let (version, event_id) =
                        (event.version.to_string(), event.event_id.to_string());
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
}

impl From<&Outcome> for Answer {
    fn from(outcome: &Outcome) -> Self {
        Self {
            status: if outcome.is_accepted() {
                Status::Accepted
            } else {
                Status::Rejected
            },
            command_id: Some(outcome.command_id),
            events: outcome.events().to_vec(),
            rejection: outcome.rejection().map(|rejection| Reason {
                code: rejection.code.to_string(),
                message: rejection.message.clone(),
            }),
            dead_letter_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_and_dead_letters_are_told_apart() {
        let accepted = r#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","status":"accepted","events":[]}"#;
        assert_eq!(
            Answer::read(accepted.as_bytes()).unwrap().meaning(),
            Meaning::Accepted
        );
        let rejected = r#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","status":"rejected","events":[],"rejection":{"code":"from_the_future","message":"m","data":{}}}"#;
        assert_eq!(
            Answer::read(rejected.as_bytes()).unwrap().meaning(),
            Meaning::Rejected {
                code: "from_the_future",
                message: "m"
            }
        );
        let buried = r#"{"status":"rejected","events":[],"rejection":{"code":"c","message":"m"},"dead_letter_id":"LEDGER_COMMANDS-1"}"#;
        assert_eq!(
            Answer::read(buried.as_bytes()).unwrap().meaning(),
            Meaning::DeadLetter {
                id: "LEDGER_COMMANDS-1",
                code: "c",
                message: "m"
            }
        );
        assert!(Answer::read(b"{}").is_err());
    }
}
