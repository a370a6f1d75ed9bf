//! Strict decoding of JSON commands: each bad body has a reason of its own, which says what is wrong and what to do.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod bodies;
mod combined;
mod commands;
mod fields;
mod rules;
mod values;

use std::fmt::Write as _;

use ledger::codec::{Malformed, decode_command};
use ledger::{Action, Command};

const ID: &str = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";

/// A deposit with `field` set to `value`, which is JSON; without the field when the value is empty.
fn deposit_with(field: &str, value: &str) -> String {
    let id = format!("{ID:?}");
    let mut members = vec![
        ("command_id", id.as_str()),
        ("type", r#""deposit""#),
        ("account_id", r#""ACC-1""#),
        ("amount", r#""25.00""#),
    ];
    members.retain(|(name, _)| *name != field);
    if !value.is_empty() {
        members.push((field, value));
    }
    let mut body = String::new();
    for (name, value) in members {
        let separator = if body.is_empty() { '{' } else { ',' };
        write!(body, "{separator}{name:?}:{value}").unwrap();
    }
    body.push('}');
    body
}

fn entries(count: usize) -> String {
    let entries: Vec<String> = (0..count).map(|n| format!(r#""k{n}":"v""#)).collect();
    format!("{{{}}}", entries.join(","))
}

#[track_caller]
fn refused(body: impl AsRef<[u8]>, code: &str, message: &str) -> Malformed {
    let malformed = decode_command(None, body.as_ref()).expect_err("this body is no command");
    assert_eq!(malformed.message, message);
    assert_eq!(malformed.code, code);
    malformed
}

/// Each value of `field` is refused with this code and, for each, this message; the command's id is known all the same.
#[track_caller]
fn refused_values<const N: usize>(field: &str, code: &str, cases: [(&str, &str); N]) {
    for (value, message) in cases {
        let malformed = refused(deposit_with(field, value), code, message);
        let id = malformed.command_id.map(|id| id.to_string());
        assert_eq!(id.as_deref(), Some(ID), "{field}: {value}");
    }
}

fn accepted(body: impl AsRef<[u8]>) -> Command {
    decode_command(None, body.as_ref()).expect("this body is a command")
}

fn amount_of(command: &Command) -> String {
    match &command.action {
        Action::Deposit(deposit) => deposit.amount.to_string(),
        other => panic!("{other:?}"),
    }
}
