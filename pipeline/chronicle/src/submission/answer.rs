//! What comes back on a command's reply subject: its outcome, or word of a dead letter in the same form.

use std::collections::BTreeMap;

use ledger::{CommandId, EventReference, Outcome};
use serde::Deserialize;

/// An answer. Reads codes that this binary does not know yet, too.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Answer {
    status: Status,
    /// The command; a dead letter may have none.
    #[serde(default)]
    pub(crate) command_id: Option<CommandId>,
    /// Its events; none when it was refused.
    #[serde(default)]
    pub(crate) events: Vec<EventReference>,
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
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning<'a> {
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
    pub(crate) fn read(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }

    /// The figures of a refusal, for programs.
    pub(crate) fn data(&self) -> BTreeMap<String, String> {
        self.rejection
            .as_ref()
            .map(|reason| reason.data.clone())
            .unwrap_or_default()
    }

    /// A refusal that no message told of.
    pub(crate) fn rejected(code: &str, message: &str) -> Self {
        Self {
            status: Status::Rejected,
            command_id: None,
            events: Vec::new(),
            rejection: Some(Reason {
                code: code.to_owned(),
                message: message.to_owned(),
                data: BTreeMap::new(),
            }),
            dead_letter_id: None,
        }
    }

    /// What it means.
    pub(crate) fn meaning(&self) -> Meaning<'_> {
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
                data: rejection.data.clone(),
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
