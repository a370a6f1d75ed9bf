//! Decoding of events: what a feed, a file or a database returns is checked before anything is made of it.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod support;

use ledger::codec::{binary, json};
use ledger::{Event, Timestamp, Version};
use serde_json::{Value, json};
use support::{given, open, transfer};

/// The debit of a transfer, which has every field that an event can have.
fn event() -> Event {
    let after = given([
        open("A", "100"),
        open("B", "0"),
        transfer("A", "B", "25")
            .named("6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11")
            .because("rent")
            .by("teller-3")
            .noting("invoice", "77"),
    ]);
    after.events[2].clone()
}

fn as_json() -> Value {
    serde_json::from_slice(&json::encode_event(&event())).unwrap()
}

/// The event with the value at `pointer` replaced; removed when it is `Value::Null` and was not null before.
fn with(pointer: &str, value: Value) -> String {
    let mut event = as_json();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = event.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if value.is_null() {
        parent.remove(name).expect("the member was there");
    } else {
        parent.insert(name.to_owned(), value);
    }
    event.to_string()
}

#[track_caller]
fn refused(body: &str, code: &str, reason: &str) {
    let malformed = json::decode_event(body.as_bytes()).expect_err("this body is no event");
    assert_eq!(malformed.code, code);
    assert!(malformed.message.contains(reason), "{}", malformed.message);
}

#[test]
fn the_event_itself_is_accepted_in_any_order_of_fields() {
    let event_json = as_json();
    let members = event_json.as_object().unwrap().iter().rev();
    let members: Vec<String> = members
        .map(|(name, value)| format!("{name:?} : {value}"))
        .collect();
    let reversed = format!("{{\n{}\n}}", members.join(" ,\n"));
    for written in [event_json.to_string(), reversed] {
        assert_eq!(json::decode_event(written.as_bytes()).unwrap(), event());
    }
}

#[test]
fn what_is_not_there_or_not_known_is_named() {
    for name in [
        "account_id",
        "balance_after",
        "command_id",
        "data",
        "event_id",
        "hash",
        "prev_hash",
        "recorded_at",
        "type",
        "version",
    ] {
        let reason = format!("missing field `{name}`");
        refused(
            &with(&format!("/{name}"), Value::Null),
            "invalid_event",
            &reason,
        );
    }
    for name in ["amount", "currency"] {
        let reason = format!("missing field `{name}`");
        refused(
            &with(&format!("/data/{name}"), Value::Null),
            "invalid_event",
            &reason,
        );
    }
    refused(
        &with("/colour", json!("red")),
        "invalid_event",
        "unknown field `colour`",
    );
    refused(
        &with("/data/colour", json!("red")),
        "invalid_event",
        "unknown field `colour`",
    );
    refused(
        &with("/type", json!("MoneyPrinted")),
        "unknown_event_type",
        r#"does not know the event type "MoneyPrinted": it was written by a newer version of chronicle"#,
    );
}

#[test]
fn what_has_the_wrong_form_says_which_form_is_right() {
    for (pointer, value, reason) in [
        (
            "/account_id",
            json!("a.b"),
            "an account id is 1 to 64 characters",
        ),
        ("/event_id", json!("x"), "a UUID with hyphens such as"),
        (
            "/hash",
            json!("abc"),
            "a hash is 64 hexadecimal digits, and this is not: \"abc\"",
        ),
        (
            "/prev_hash",
            json!("g".repeat(64)),
            "a hash is 64 hexadecimal digits",
        ),
        (
            "/recorded_at",
            json!("yesterday"),
            "a timestamp is RFC 3339",
        ),
        (
            "/recorded_at",
            json!("9999-12-31T23:59:59-00:01"),
            "a year from 1 to 9999",
        ),
        ("/recorded_at", json!(1_700_000_000), "expected a string"),
        (
            "/version",
            json!(0),
            "an account's first event has version 1",
        ),
        (
            "/version",
            json!(1_u64 << 53),
            "a version is at most 9007199254740991",
        ),
        ("/version", json!(1.5), "invalid type: floating point `1.5`"),
        ("/balance_after", json!(75.0), "expected a string"),
        (
            "/balance_after",
            json!("seventy"),
            "an amount is a decimal number",
        ),
        (
            "/balance_after",
            json!("75.000"),
            "and 75.000 USD has 3 of 2",
        ),
        ("/data/amount", json!("0.001"), "and 0.001 USD has 3 of 2"),
        (
            "/data/amount",
            json!(format!("{}.99", "9".repeat(26))),
            "at most 27 digits",
        ),
        ("/data/currency", json!("usd"), "a currency code is"),
        ("/data/currency", json!("XAU"), "XAU is no currency here"),
    ] {
        refused(&with(pointer, value), "invalid_event", reason);
    }
}

/// Of two values under one name, one reader takes the first and another the last: it is refused, whatever the values are.
#[test]
fn no_name_stands_twice_at_any_depth() {
    let event = as_json();
    let written = event.to_string();
    let twice = |name: &str, value: &Value| {
        let field = format!("{name:?}:{value}");
        assert_eq!(written.matches(&field).count(), 1, "{field}");
        written.replace(&field, &format!("{field},{field}"))
    };
    let members = |parent: &'static str| {
        let parent = event.pointer(parent).unwrap().as_object().unwrap().clone();
        parent.into_iter()
    };
    for (name, value) in members("").chain(members("/data")) {
        let reason = format!("duplicate field `{name}`");
        refused(&twice(&name, &value), "invalid_event", &reason);
    }
    for (name, value) in members("/data/metadata") {
        let reason = format!("the key {name:?} stands there twice");
        refused(&twice(&name, &value), "invalid_event", &reason);
    }
    // The last value is the event's own, so its hash would be right.
    let shadowed = written.replace(r#""invoice":"#, r#""invoice":"78","invoice":"#);
    refused(&shadowed, "invalid_event", r#"the key "invoice" stands"#);
    // Written in another way, it is the same name.
    let escaped = written.replace(r#""invoice":"#, r#""\u0069nvoice":"78","invoice":"#);
    refused(&escaped, "invalid_event", r#"the key "invoice" stands"#);
    let data = r#"{"currency":"USD","rules":{"allowed_counterparties":["B","C","B"]}}"#;
    let refused = json::decode_event_data("AccountRulesSet", data).unwrap_err();
    let reason = r#"the account "B" stands there twice"#;
    assert!(refused.message.contains(reason), "{}", refused.message);
    let data = r#"{"account_metadata":{"a":"1","a":"2"},"currency":"USD"}"#;
    let refused = json::decode_event_data("AccountUpdated", data).unwrap_err();
    let reason = r#"the key "a" stands there twice"#;
    assert!(refused.message.contains(reason), "{}", refused.message);
}

#[test]
fn a_transfer_has_both_of_its_fields_or_neither() {
    for name in ["transfer_id", "counterparty_account_id"] {
        refused(
            &with(&format!("/data/{name}"), Value::Null),
            "invalid_event",
            "an event has transfer_id and counterparty_account_id, or neither",
        );
    }
}

#[test]
fn the_years_that_cannot_be_written_are_refused_in_bincode() {
    // recorded_at stands before the two hashes, as a zigzag number behind a byte that says how long it is.
    let event = event();
    let bytes = binary::encode_event(&event);
    let end = bytes.len() - 64;
    let (head, hashes) = (&bytes[..end - 9], &bytes[end..]);
    let encode = |microseconds: i64| {
        let time = bincode::encode_to_vec(microseconds, bincode::config::standard()).unwrap();
        [head, &time, hashes].concat()
    };
    let read = |microseconds: i64| binary::decode_event(&encode(microseconds));
    assert_eq!(read(event.recorded_at.unix_microseconds()).unwrap(), event);
    for last in [Timestamp::MIN, Timestamp::MAX] {
        let read = read(last.unix_microseconds()).unwrap();
        assert_eq!(read.recorded_at, last);
        // Writes the instant, which must be possible.
        assert_ne!(read.compute_hash(), event.hash);
    }
    for outside in [
        i64::MIN,
        Timestamp::MIN.unix_microseconds() - 1,
        Timestamp::MAX.unix_microseconds() + 1,
        i64::MAX,
    ] {
        let malformed = read(outside).unwrap_err();
        assert_eq!(malformed.code, "invalid_event");
        assert_eq!(
            malformed.message,
            format!("recorded_at {outside} µs lies outside the years 1 to 9999")
        );
    }
}

#[test]
fn a_version_that_no_event_has_is_refused_in_bincode() {
    for (version, reason) in [
        (
            0,
            "version 0 stands for no event; an account's first has version 1",
        ),
        (
            u64::MAX,
            "version must be a whole number from 0 to 9007199254740991, and this is not: 18446744073709551615",
        ),
    ] {
        let event = Event {
            version: Version::new(version),
            ..event()
        };
        let malformed = binary::decode_event(&binary::encode_event(&event)).unwrap_err();
        assert_eq!(malformed.code, "invalid_event");
        assert_eq!(malformed.message, reason);
    }
}

#[test]
fn the_bincode_of_a_command_is_no_event_and_the_other_way_round() {
    let event = binary::encode_event(&event());
    let command = binary::encode_command(&transfer("A", "B", "25").command);
    assert_eq!(
        binary::decode_command(&event).unwrap_err().code,
        "invalid_bincode"
    );
    assert_eq!(
        binary::decode_event(&command).unwrap_err().code,
        "invalid_bincode"
    );
}

#[test]
fn an_event_cut_off_anywhere_is_refused() {
    let (json, bytes) = (json::encode_event(&event()), binary::encode_event(&event()));
    for length in 0..json.len() {
        json::decode_event(&json[..length]).unwrap_err();
    }
    for length in 0..bytes.len() {
        binary::decode_event(&bytes[..length]).unwrap_err();
    }
}
