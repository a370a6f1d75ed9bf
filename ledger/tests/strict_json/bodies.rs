//! The body as a whole.

use ledger::codec::decode_command;

use crate::{ID, accepted, amount_of, deposit_with, refused};

#[test]
fn the_plain_deposit_is_accepted() {
    let command = accepted(deposit_with("description", "null"));
    assert_eq!(command.command_id.to_string(), ID);
    assert_eq!(amount_of(&command), "25.00");
}

#[test]
fn what_is_no_json_object_is_refused() {
    for (body, message) in [
        ("", "the body is empty"),
        (
            " ",
            "the body is no JSON object: EOF while parsing a value at line 1 column 1",
        ),
        (
            "null",
            "the body is no JSON object: invalid type: null, expected an object at line 1 column 4",
        ),
        (
            "7",
            "the body is no JSON object: invalid type: integer `7`, expected an object at line 1 column 1",
        ),
        (
            "[]",
            "the body is no JSON object: invalid type: sequence, expected an object at line 1 column 0",
        ),
        (
            "{",
            "the body is no JSON object: EOF while parsing an object at line 1 column 1",
        ),
        (
            r#"{"a":1,}"#,
            "the body is no JSON object: trailing comma at line 1 column 8",
        ),
        (
            "{a:1}",
            "the body is no JSON object: key must be a string at line 1 column 2",
        ),
        (
            "{'a':1}",
            "the body is no JSON object: key must be a string at line 1 column 2",
        ),
        (
            "// why\n{}",
            "the body is no JSON object: expected value at line 1 column 1",
        ),
        (
            "{} {}",
            "the body is no JSON object: trailing characters at line 1 column 4",
        ),
        (
            r#"{"amount":NaN}"#,
            "the body is no JSON object: expected value at line 1 column 11",
        ),
        (
            r#"{"amount":-Infinity}"#,
            "the body is no JSON object: invalid number at line 1 column 12",
        ),
        (
            r#"{"amount":01}"#,
            "the body is no JSON object: invalid number at line 1 column 12",
        ),
        (
            r#"{"a":"\x"}"#,
            "the body is no JSON object: invalid escape at line 1 column 8",
        ),
        (
            "\u{feff}{}",
            "the body begins with a byte order mark; leave it out (RFC 8259 §8.1)",
        ),
        (
            "\u{1}\u{0}",
            "the body is no JSON object; if it is bincode, send it with Content-Type: application/vnd.chronicle.bincode",
        ),
    ] {
        let malformed = refused(body, "invalid_json", message);
        assert_eq!(malformed.command_id, None);
    }
}

#[test]
fn garbage_behind_a_command_is_refused() {
    for garbage in ["x", "}", ",", "\0", "{}"] {
        let body = deposit_with("actor", "") + garbage;
        let message = format!(
            "the body is no JSON object: trailing characters at line 1 column {}",
            body.len() + 1 - garbage.len()
        );
        refused(body, "invalid_json", &message);
    }
    accepted(deposit_with("actor", "") + " \r\n\t");
}

#[test]
fn a_body_cut_off_anywhere_is_refused() {
    let body = deposit_with("metadata", r#"{"invoice":"77"}"#);
    accepted(&body);
    for length in 0..body.len() {
        decode_command(None, &body.as_bytes()[..length]).expect_err("half a command is none");
    }
}

#[test]
fn a_body_that_is_not_utf8_is_refused() {
    refused(
        b"{\"type\":\"\xff\"}",
        "not_utf8",
        "a command is JSON in UTF-8, and the byte at offset 9 is not",
    );
    // A surrogate in CESU-8, an overlong NUL, UTF-16.
    for bytes in [
        &b"{\"\xed\xa0\x80\":1}"[..],
        b"{\"\xc0\x80\":1}",
        b"\xff\xfe{\0}\0",
    ] {
        let malformed = decode_command(None, bytes).unwrap_err();
        assert_eq!(malformed.code, "not_utf8");
    }
}

#[test]
fn a_body_over_256_kib_is_refused_before_it_is_read() {
    let padded = |length: usize| {
        let body = deposit_with("actor", "");
        let padding = " ".repeat(length - body.len());
        body + &padding
    };
    accepted(padded(262_144));
    refused(
        padded(262_145),
        "too_large",
        "a command has at most 262144 bytes, and this has 262145",
    );
    let megabyte = vec![0xff; 1 << 20];
    refused(
        megabyte,
        "too_large",
        "a command has at most 262144 bytes, and this has 1048576",
    );
}

#[test]
fn deep_nesting_costs_nothing() {
    const DEPTH: usize = 20_000;
    let arrays = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(DEPTH / 3), "}".repeat(DEPTH / 3));
    for nested in [&arrays, &objects] {
        for field in ["description", "metadata", "amount", "ammount"] {
            decode_command(None, deposit_with(field, nested).as_bytes()).unwrap_err();
        }
    }
    let unclosed = "[".repeat(65_000);
    decode_command(None, unclosed.as_bytes()).unwrap_err();
}
