//! Decoding commands: bytes become commands, or dead letters with a reason.

use engine::{Cause, Failure, Operator, Step};
use ledger::Command;
use ledger::codec::{self, Malformed};
use sources::Incoming;
use std::time::SystemTime;
use transport::{headers, subjects};

/// A command as it was received.
#[derive(Debug, Clone)]
pub struct Received {
    /// The command.
    pub command: Command,
    /// Where its publisher waits for the outcome.
    pub reply_to: Option<String>,
    /// When the stream stored it.
    pub stored_at: SystemTime,
    /// It may have an outcome already.
    pub redelivered: bool,
}

/// The operator.
#[derive(Debug, Default)]
pub struct DecodeCommand;

impl Operator for DecodeCommand {
    type Input = Incoming;
    type Output = Received;

    async fn apply(&mut self, batch: Vec<Incoming>) -> Result<Vec<Step<Received>>, Failure> {
        Ok(batch.iter().map(decode).collect())
    }

    fn describe(&self) -> String {
        "JSON or bincode becomes a command; what is none becomes a dead letter".to_owned()
    }
}

fn decode(incoming: &Incoming) -> Step<Received> {
    let message = &incoming.message;
    if let Some(problem) = &incoming.problem {
        let message = format!(
            "{problem}; they are kept as they came, in base64, under {}",
            headers::UNREADABLE
        );
        return Step::DeadLetter(Cause {
            code: "invalid_headers",
            message,
        });
    }
    let content_type = message.header(headers::CONTENT_TYPE);
    let command = match codec::decode_command(content_type, &message.payload) {
        Ok(command) => command,
        Err(Malformed { code, message, .. }) => return Step::DeadLetter(Cause { code, message }),
    };
    // The subject decides the partition, and the partition the order: a command in the wrong place could overtake
    // others of its account.
    let named = subjects::account_of(&message.subject);
    if named != command.account_id().as_str() {
        return Step::DeadLetter(Cause {
            code: "wrong_subject",
            message: format!(
                "the subject names account {named:?}, and the command is about {account}; publish it to {right}",
                account = command.account_id(),
                right = subjects::command(command.account_id()),
            ),
        });
    }
    Step::Emit(Received {
        command,
        reply_to: message.header(headers::REPLY_TO).map(str::to_owned),
        stored_at: message.stored_at,
        redelivered: incoming.redelivered,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use engine::Message;

    use super::*;

    fn step(subject: &str, payload: &str, headers: &[(&str, &str)]) -> Step<Received> {
        let owned = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        decode(&Incoming {
            message: Arc::new(Message {
                position: 1,
                subject: subject.to_owned(),
                headers: owned.collect(),
                payload: payload.to_owned().into(),
                stored_at: SystemTime::UNIX_EPOCH,
            }),
            redelivered: false,
            problem: None,
        })
    }

    const DEPOSIT: &str = r#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","type":"deposit","account_id":"ACC-1","amount":"1"}"#;

    #[test]
    fn a_command_keeps_its_reply_subject() {
        let Step::Emit(received) = step(
            "ledger.commands.0.ACC-1",
            DEPOSIT,
            &[("chronicle-reply-to", "_INBOX.x")],
        ) else {
            panic!("a deposit was refused");
        };
        assert_eq!(received.reply_to.as_deref(), Some("_INBOX.x"));
        assert_eq!(received.command.account_id().as_str(), "ACC-1");
    }

    #[test]
    fn a_command_under_another_accounts_subject_is_a_dead_letter() {
        let Step::DeadLetter(cause) = step("ledger.commands.0.ACC-2", DEPOSIT, &[]) else {
            panic!("it passed");
        };
        assert_eq!(cause.code, "wrong_subject");
        assert_eq!(
            cause.message,
            "the subject names account \"ACC-2\", and the command is about ACC-1; publish it to ledger.commands.ACC-1"
        );
    }

    #[test]
    fn garbage_is_a_dead_letter_with_the_codecs_reason() {
        for (payload, code) in [
            ("\u{1}\u{2}", "invalid_json"),
            (&DEPOSIT[..40], "invalid_json"),
            ("{}", "missing_field"),
        ] {
            let Step::DeadLetter(cause) = step("ledger.commands.0.ACC-1", payload, &[]) else {
                panic!("{payload:?} passed");
            };
            assert_eq!(cause.code, code, "{payload:?}");
        }
    }
}
