//! A batch from a file: one command a line, which go into the body byte for byte.

use std::path::Path;

use ledger::codec::{self, CONTENT_TYPE_JSON};
use ledger::{Command, limits};
use serde_json::{Map, Value};

use super::lines::Input;
use crate::exit;

/// The command of these fields with the lines of the file, and its JSON. What is wrong with a line is said with its number.
pub(super) fn build(
    envelope: &Map<String, Value>,
    file: &Path,
) -> anyhow::Result<(Command, Vec<u8>)> {
    let input = Input::open(file)?;
    let name = input.name.clone();
    let mut body = serde_json::to_vec(envelope)?;
    body.pop();
    body.extend_from_slice(b",\"commands\":[");
    let mut numbers = Vec::new();
    for line in input.here() {
        let line = line.map_err(|error| exit::usage(format!("{name} cannot be read: {error}")))?;
        let wrong = |reason: &str| exit::usage(format!("{name}:{}: {reason}", line.number));
        let text = line.text.as_ref().map_err(|reason| wrong(reason))?;
        // By itself, so that no line can end the list, or begin another.
        serde_json::from_slice::<serde::de::IgnoredAny>(text)
            .map_err(|error| wrong(&format!("the command is no JSON: {error}")))?;
        if numbers.len() == limits::BATCH_COMMANDS_MAX {
            return Err(wrong(&format!(
                "a batch has at most {} commands",
                limits::BATCH_COMMANDS_MAX
            )));
        }
        if !numbers.is_empty() {
            body.push(b',');
        }
        body.extend_from_slice(text);
        numbers.push(line.number);
        if body.len() > limits::BODY_BYTES_MAX {
            return Err(wrong(&format!(
                "a batch has at most {} bytes, and with this line it has more",
                limits::BODY_BYTES_MAX
            )));
        }
    }
    if numbers.is_empty() {
        return Err(exit::usage(format!(
            "{name} has no commands; a batch has at least one"
        )));
    }
    body.extend_from_slice(b"]}");
    let command = codec::decode_command(Some(CONTENT_TYPE_JSON), &body)
        .map_err(|malformed| exit::usage(with_line(&malformed.message, &name, &numbers)))?;
    Ok((command, body))
}

/// The decoder counts commands, and people look for lines.
fn with_line(message: &str, name: &str, numbers: &[u64]) -> String {
    let place = message
        .strip_prefix("commands[")
        .and_then(|rest| rest.split_once(']'))
        .and_then(|(index, rest)| {
            let number = numbers.get(index.parse::<usize>().ok()?)?;
            Some((number, rest.trim_start_matches([':', ' '])))
        });
    match place {
        Some((number, reason)) => format!("{name}:{number}: {reason}"),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_about_a_command_is_about_its_line() {
        let of = |message: &str| with_line(message, "f", &[1, 4]);
        assert_eq!(
            of("commands[1]: amount is missing"),
            "f:4: amount is missing"
        );
        assert_eq!(
            of("commands[1] must be an object, and this is a number"),
            "f:4: must be an object, and this is a number"
        );
        assert_eq!(of("commands[2]: x"), "commands[2]: x");
        assert_eq!(
            of("a command has at most 7 bytes"),
            "a command has at most 7 bytes"
        );
    }
}
