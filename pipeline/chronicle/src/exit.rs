//! Exit codes.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | the answer is no: a command was rejected, an invariant is violated, nothing was found |
//! | 2 | the call was wrong: flags, files, values |
//! | 3 | a server could not be reached, or failed |
//! | 4 | a pipeline has stopped and a person has to act (a fenced projection, a poison event …) |

use std::process::ExitCode;

use crate::output::Closed;

/// The answer is no.
pub(crate) const NO: u8 = 1;
/// The call was wrong.
pub(crate) const USAGE: u8 = 2;
/// A server could not be reached, or failed.
pub(crate) const SERVER: u8 = 3;
/// A pipeline has stopped and a person has to act.
pub(crate) const STOPPED: u8 = 4;

/// An error with an exit code of its own; everything else is [`SERVER`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Coded {
    code: u8,
    message: String,
}

/// The call was wrong: an error for whoever made it.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    coded(USAGE, message)
}

/// The answer is no, and this is why.
pub(crate) fn no(message: impl Into<String>) -> anyhow::Error {
    coded(NO, message)
}

/// A pipeline has stopped.
pub(crate) fn stopped(message: impl Into<String>) -> anyhow::Error {
    coded(STOPPED, message)
}

fn coded(code: u8, message: impl Into<String>) -> anyhow::Error {
    let message = message.into();
    Coded { code, message }.into()
}

/// Says what went wrong, on stderr, and with which exit code.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    use std::io::Write;
    if error.is::<Closed>() {
        return ExitCode::SUCCESS;
    }
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let part = cause.to_string();
        // Many error types repeat their source's message in their own.
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
    }
    let _ = writeln!(std::io::stderr(), "chronicle: {text}");
    let code = error
        .downcast_ref::<Coded>()
        .map_or(SERVER, |coded| coded.code);
    ExitCode::from(code)
}
