//! Decoding of the events of account life and holds: what is checked before anything is made of them.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod support;

use ledger::codec::{binary, json};
use ledger::{Event, EventData, MoneyMoved, Scope};
use serde_json::{Value, json};
use support::{
    capture, close, describe, expire_hold, freeze, given, hold, open, release, rename, rules,
    set_overdraft_limit, unfreeze,
};

/// One event of every type, in the order of [`EventData::TYPE_NAMES`].
fn events() -> Vec<Event> {
    let at_one = "2026-01-31T13:00:00Z";
    let after = given([
        open("A", "100"),
        open("B", "0"),
        hold("A", 1, "30").until(at_one).because("hotel"),
        capture("A", 1).only("10").to("B").noting("room", "7"),
        release("A", 1).only("5").by("teller-3"),
        freeze("A", Scope::Debits),
        unfreeze("A", Scope::All).reasoning("over"),
        set_overdraft_limit("A", "50"),
        rules("A")
            .minimum("-7")
            .maximum("900")
            .daily_amount("50")
            .daily_count(3)
            .only_with(["B", "C"]),
        describe("A", [("colour", "red")]),
        rename("A", "Grace"),
        expire_hold("A", 1).at(at_one),
        open("C", "0").at(at_one),
        close("C").at(at_one),
    ]);
    let of_type = |name: &&str| {
        let mut found = after
            .events
            .iter()
            .filter(|event| event.data.type_name() == *name);
        found.next().unwrap().clone()
    };
    EventData::TYPE_NAMES.iter().map(of_type).collect()
}

fn event(type_name: &str) -> Event {
    let mut events = events().into_iter();
    events
        .find(|event| event.data.type_name() == type_name)
        .unwrap()
}

/// The event with the value at `pointer` replaced; without it when the value is `Value::Null`.
fn with(type_name: &str, pointer: &str, value: Value) -> String {
    let written = json::encode_event(&event(type_name));
    let mut event: Value = serde_json::from_slice(&written).unwrap();
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
fn refused(body: &str, reason: &str) {
    let malformed = json::decode_event(body.as_bytes()).expect_err("this body is no event");
    assert_eq!(malformed.code, "invalid_event");
    assert!(malformed.message.contains(reason), "{}", malformed.message);
}

#[test]
fn one_event_of_every_type_is_read_as_it_was_written() {
    for (event, name) in events().iter().zip(EventData::TYPE_NAMES) {
        assert_eq!(event.data.type_name(), name);
        let written = json::encode_event(event);
        assert_eq!(&json::decode_event(&written).unwrap(), event, "{name}");
        let written = binary::encode_event(event);
        assert_eq!(&binary::decode_event(&written).unwrap(), event, "{name}");
        event.check_hash().unwrap();
    }
}

/// Bincode is as small as the event's content lets it be, so that older readers read on.
#[test]
fn only_what_is_about_a_hold_needs_the_second_version() {
    for event in events() {
        let needs = event.data.hold().is_some() || !event.held_after.is_zero();
        let version = binary::FORMAT_VERSIONS[usize::from(needs)];
        assert_eq!(binary::encode_event(&event)[0], version, "{event:?}");
    }
}

#[test]
fn what_is_held_is_not_written_when_it_is_nothing() {
    for event in events() {
        let written: Value = serde_json::from_slice(&json::encode_event(&event)).unwrap();
        let held = written.get("held_after").and_then(Value::as_str);
        let expected = (!event.held_after.is_zero()).then(|| event.held_after.to_string());
        assert_eq!(held, expected.as_deref());
    }
    // Written all the same, it is read, and means the same.
    let zero = with("AccountClosed", "/held_after", json!("0.00"));
    let read = json::decode_event(zero.as_bytes()).unwrap();
    assert_eq!(read, event("AccountClosed"));
}

#[test]
fn what_is_missing_or_not_known_is_named() {
    for (type_name, pointers) in [
        (
            "HoldPlaced",
            &["/data/amount", "/data/currency", "/data/hold"][..],
        ),
        (
            "HoldReleased",
            &["/data/amount", "/data/currency", "/data/hold"],
        ),
        (
            "HoldExpired",
            &["/data/amount", "/data/currency", "/data/hold"],
        ),
        (
            "MoneyWithdrawn",
            &[
                "/data/hold/amount",
                "/data/hold/captured",
                "/data/hold/hold_id",
                "/data/hold/remaining",
            ],
        ),
        ("AccountFrozen", &["/data/scope", "/data/currency"]),
        ("AccountUnfrozen", &["/data/scope", "/data/currency"]),
        ("AccountClosed", &["/data/currency"]),
        (
            "OverdraftLimitSet",
            &["/data/overdraft_limit", "/data/currency"],
        ),
        ("AccountUpdated", &["/data/currency"]),
    ] {
        for pointer in pointers {
            let name = pointer.rsplit_once('/').unwrap().1;
            let reason = format!("missing field `{name}`");
            refused(&with(type_name, pointer, Value::Null), &reason);
        }
        for pointer in ["/colour", "/data/colour"] {
            let reason = "unknown field `colour`";
            refused(&with(type_name, pointer, json!("red")), reason);
        }
    }
    let in_a_hold = with("HoldPlaced", "/data/hold/colour", json!("red"));
    refused(&in_a_hold, "unknown field `colour`");
}

#[test]
fn what_has_the_wrong_form_says_which_form_is_right() {
    for (type_name, pointer, value, reason) in [
        ("HoldPlaced", "/held_after", json!(30), "expected a string"),
        (
            "HoldPlaced",
            "/held_after",
            json!("30.000"),
            "and 30.000 USD has 3 of 2",
        ),
        (
            "HoldPlaced",
            "/data/hold/hold_id",
            json!("1"),
            "a UUID with hyphens such as",
        ),
        (
            "HoldPlaced",
            "/data/hold/amount",
            json!("thirty"),
            "an amount is a decimal number",
        ),
        (
            "HoldReleased",
            "/data/hold/captured",
            json!("0.001"),
            "and 0.001 USD has 3 of 2",
        ),
        (
            "HoldExpired",
            "/data/hold/remaining",
            json!(format!("{}.99", "9".repeat(26))),
            "at most 27 digits",
        ),
        (
            "HoldPlaced",
            "/data/hold/expires_at",
            json!("tomorrow"),
            "a timestamp is RFC 3339",
        ),
        (
            "HoldPlaced",
            "/data/hold",
            json!("1"),
            "invalid type: string \"1\"",
        ),
        (
            "AccountFrozen",
            "/data/scope",
            json!("both"),
            "a scope is debits, credits or all, and this is not: \"both\"",
        ),
        (
            "OverdraftLimitSet",
            "/data/overdraft_limit",
            json!("1.005"),
            "and 1.005 USD has 3 of 2",
        ),
        (
            "AccountUpdated",
            "/data/account_metadata",
            json!({"a": 1}),
            "invalid type: integer `1`, expected a string",
        ),
        (
            "AccountClosed",
            "/data/currency",
            json!("XAU"),
            "XAU is no currency here",
        ),
    ] {
        refused(&with(type_name, pointer, value), reason);
    }
}

#[test]
fn rules_of_the_wrong_form_say_which_form_is_right() {
    for (pointer, value, reason) in [
        (
            "/data/rules/minimum_balance",
            json!("1.005"),
            "and 1.005 USD has 3 of 2",
        ),
        (
            "/data/rules/maximum_balance",
            json!(900),
            "invalid type: integer `900`, expected a string",
        ),
        (
            "/data/rules/daily_debit_count_max",
            json!(-1),
            "invalid value: integer `-1`, expected u32",
        ),
        (
            "/data/rules/allowed_counterparties",
            json!(["a.b"]),
            "an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: \"a.b\"",
        ),
        (
            "/data/rules/weekly_debit_count_max",
            json!(3),
            "unknown field `weekly_debit_count_max`",
        ),
    ] {
        refused(&with("AccountRulesSet", pointer, value), reason);
    }
}

#[test]
fn only_money_that_goes_out_is_taken_from_a_hold() {
    let hold: Value = {
        let written = json::encode_event(&event("HoldPlaced"));
        let event: Value = serde_json::from_slice(&written).unwrap();
        event["data"]["hold"].clone()
    };
    refused(
        &with("MoneyDeposited", "/data/hold", hold.clone()),
        "only money that goes out is taken from a hold",
    );
    refused(
        &with("AccountClosed", "/data/hold", hold),
        "unknown field `hold`",
    );
}

/// The hold stands behind the event in bincode, and only behind those that change one.
#[test]
fn the_bincode_of_an_event_has_a_hold_when_its_type_has() {
    // A withdrawal from a hold, its variant changed to that of a deposit.
    let debit = event("MoneyWithdrawn");
    let bytes = binary::encode_event(&debit);
    let EventData::MoneyWithdrawn(moved) = debit.data.clone() else {
        panic!("{debit:?}");
    };
    let credit = Event {
        data: EventData::MoneyDeposited(MoneyMoved {
            hold: None,
            ..moved
        }),
        ..debit
    };
    let plain = binary::encode_event(&credit);
    let variant = (0..plain.len()).find(|index| bytes[*index] != plain[*index]);
    let mut lying = bytes.clone();
    lying[variant.unwrap()] = plain[variant.unwrap()];
    let malformed = binary::decode_event(&lying).unwrap_err();
    assert_eq!(malformed.code, "invalid_event");
    assert_eq!(malformed.message, "this type of event changes no hold");
    // A placing without its hold: the first version has none.
    let placed = binary::encode_event(&event("HoldPlaced"));
    let length = (1..placed.len()).find(|length| {
        let first = [&[binary::FORMAT_VERSIONS[0]], &placed[1..*length]].concat();
        let malformed = binary::decode_event(&first).unwrap_err();
        malformed.message == "the event does not name its hold"
    });
    assert!(length.is_some());
}

#[test]
fn a_hold_of_bincode_is_held_to_the_limits_of_the_json_form() {
    let placed = event("HoldPlaced");
    let expires_at = placed.data.hold().unwrap().expires_at.unwrap();
    let bytes = binary::encode_event(&placed);
    // expires_at stands last in the hold, as a zigzag number behind a byte that says how long it is; behind the hold stands
    // that the event moves nothing back, and that it has no business date.
    let (head, tail) = (&bytes[..bytes.len() - 11], &bytes[bytes.len() - 2..]);
    assert_eq!(tail, [0, 0]);
    let read = |microseconds: i64| {
        let time = bincode::encode_to_vec(microseconds, bincode::config::standard()).unwrap();
        binary::decode_event(&[head, &time, tail].concat())
    };
    assert_eq!(read(expires_at.unix_microseconds()).unwrap(), placed);
    for outside in [i64::MIN, i64::MAX] {
        let malformed = read(outside).unwrap_err();
        assert_eq!(malformed.code, "invalid_event");
        assert_eq!(
            malformed.message,
            format!("hold.expires_at {outside} µs lies outside the years 1 to 9999")
        );
    }
}

#[test]
fn an_event_cut_off_anywhere_is_refused() {
    for event in events() {
        let (json, bytes) = (json::encode_event(&event), binary::encode_event(&event));
        for length in 0..json.len() {
            json::decode_event(&json[..length]).unwrap_err();
        }
        for length in 0..bytes.len() {
            binary::decode_event(&bytes[..length]).unwrap_err();
        }
    }
}
