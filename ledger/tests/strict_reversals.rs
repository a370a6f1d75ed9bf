//! Decoding of the events of reversals: what is checked before anything is made of them.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod support;

use ledger::codec::{binary, json};
use ledger::{Event, EventData, MoneyMoved};
use serde_json::{Value, json};
use support::{deposit, given, hold, open, release, reverse, transfer};

/// The two events of a transfer's reversal; A has 5.00 held.
fn events() -> [Event; 2] {
    let after = given([
        open("A", "100"),
        open("B", "0"),
        transfer("A", "B", "30"),
        hold("A", 1, "5"),
        reverse("A", 3).only("10").reasoning("the dish was cold"),
    ]);
    let [.., debit, credit] = after.events.as_slice() else {
        panic!("{:?}", after.events);
    };
    [debit.clone(), credit.clone()]
}

/// The event as JSON with the value at `pointer` replaced; without it when the value is `Value::Null`.
fn with(event: &Event, pointer: &str, value: Value) -> String {
    let mut event: Value = serde_json::from_slice(&json::encode_event(event)).unwrap();
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

fn moved(event: &Event) -> &MoneyMoved {
    match &event.data {
        EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) => moved,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_reversal_is_read_as_it_was_written() {
    for event in events() {
        let written = json::encode_event(&event);
        assert_eq!(json::decode_event(&written).unwrap(), event);
        let written: Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(
            written["data"]["reversal"],
            json!({
                "command_id": "00000000-0000-0000-0000-000000000003",
                "reversed": "10.00",
                "reason": "the dish was cold"
            })
        );
        let written = binary::encode_event(&event);
        assert_eq!(written[0], binary::FORMAT_VERSIONS[1]);
        assert_eq!(binary::decode_event(&written).unwrap(), event);
        event.check_hash().unwrap();
    }
}

/// Everything about it says which command, how much and why.
#[test]
fn what_is_missing_or_not_known_is_named() {
    for event in &events() {
        for name in ["command_id", "reason", "reversed"] {
            let body = with(event, &format!("/data/reversal/{name}"), Value::Null);
            refused(&body, &format!("missing field `{name}`"));
        }
        for name in ["amount", "colour", "currency"] {
            let body = with(event, &format!("/data/reversal/{name}"), json!("1"));
            refused(&body, &format!("unknown field `{name}`"));
        }
        // Without it the event is a movement like any other, and not the one that has the hash.
        let body = with(event, "/data/reversal", Value::Null);
        let read = json::decode_event(body.as_bytes()).unwrap();
        assert_eq!(read.data.reversal(), None);
        read.check_hash().unwrap_err();
    }
}

#[test]
fn what_has_the_wrong_form_says_which_form_is_right() {
    for event in &events() {
        for (pointer, value, reason) in [
            (
                "/data/reversal/command_id",
                json!("3"),
                "a UUID with hyphens such as",
            ),
            (
                "/data/reversal/reversed",
                json!("10.000"),
                "and 10.000 USD has 3 of 2",
            ),
            (
                "/data/reversal/reversed",
                json!("ten"),
                "an amount is a decimal number",
            ),
            (
                "/data/reversal/reversed",
                json!(format!("{}.99", "9".repeat(26))),
                "at most 27 digits",
            ),
            ("/data/reversal/reversed", json!(10), "expected a string"),
            ("/data/reversal/reason", json!(7), "expected a string"),
            ("/data/reversal", json!("3"), "invalid type: string \"3\""),
        ] {
            refused(&with(event, pointer, value), reason);
        }
    }
}

#[test]
fn only_a_movement_moves_something_back() {
    let [debit, _] = events();
    let written: Value = serde_json::from_slice(&json::encode_event(&debit)).unwrap();
    let reversal = &written["data"]["reversal"];
    let others = given([
        open("A", "0"),
        deposit("A", "5"),
        hold("A", 1, "5"),
        release("A", 1),
    ]);
    for event in others
        .events
        .iter()
        .filter(|event| event.data.balance_change().is_none())
    {
        refused(
            &with(event, "/data/reversal", reversal.clone()),
            "unknown field `reversal`",
        );
    }
}

/// In bincode the reversal stands behind the event, whatever the event is; so its type is looked at.
#[test]
fn the_bincode_of_an_event_has_a_reversal_only_when_its_type_has() {
    let [debit, _] = events();
    let tail = |event: &Event| {
        let mut plain = event.clone();
        match &mut plain.data {
            EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) => {
                moved.reversal = None;
            }
            other => panic!("{other:?}"),
        }
        let first = binary::encode_event(&plain);
        assert_eq!(first[0], binary::FORMAT_VERSIONS[0]);
        binary::encode_event(event)[first.len()..].to_vec()
    };
    // B has nothing held, so without its reversal its event is one of the first version.
    let tail = tail(&debit);
    let opened = given([open("B", "0")]).events.remove(0);
    let first = binary::encode_event(&opened);
    let lying = [&[binary::FORMAT_VERSIONS[1]], &first[1..], &tail].concat();
    let malformed = binary::decode_event(&lying).unwrap_err();
    assert_eq!(malformed.code, "invalid_event");
    assert_eq!(malformed.message, "this type of event moves nothing back");
    // Behind a deposit it is a reversal.
    let after = given([open("B", "0"), deposit("B", "1")]);
    let first = binary::encode_event(&after.events[1]);
    let added = [&[binary::FORMAT_VERSIONS[1]], &first[1..], &tail].concat();
    let read = binary::decode_event(&added).unwrap();
    assert_eq!(moved(&read).reversal, moved(&debit).reversal);
    // Both a hold and a reversal may stand there, and neither need.
    let nothing = [
        &[binary::FORMAT_VERSIONS[1]],
        &first[1..],
        &tail[..16],
        &[0, 0, 0],
    ]
    .concat();
    assert_eq!(binary::decode_event(&nothing).unwrap(), after.events[1]);
}

#[test]
fn a_reversal_of_bincode_is_held_to_the_limits_of_the_json_form() {
    let [debit, _] = events();
    let bytes = binary::encode_event(&debit);
    // Sixteen bytes of what was moved back, the reason behind a byte that says how long it is, and a byte that says that
    // there is no business date.
    let reason = moved(&debit).reversal.as_ref().unwrap().reason.len();
    let (head, tail) = bytes.split_at(bytes.len() - 18 - reason);
    let with_amount = |amount: rust_decimal::Decimal| {
        let amount = amount.serialize();
        binary::decode_event(&[head, &amount, &tail[16..]].concat())
    };
    let ten = rust_decimal::Decimal::new(1_000, 2);
    assert_eq!(with_amount(ten).unwrap(), debit);
    for (amount, reason) in [
        (
            rust_decimal::Decimal::new(10_001, 3),
            "reversal.reversed: USD has 2 decimals, and 10.001 has 3; round it before sending",
        ),
        (
            rust_decimal::Decimal::from_i128_with_scale(10_i128.pow(27), 2),
            r#"reversal.reversed: an amount has at most 27 digits and 28 decimals, and this has more: "10000000000000000000000000.00""#,
        ),
    ] {
        let malformed = with_amount(amount).unwrap_err();
        assert_eq!(malformed.code, "invalid_event");
        assert_eq!(malformed.message, reason);
    }
    let no_decimal = [head, &[1; 16], &tail[16..]].concat();
    let malformed = binary::decode_event(&no_decimal).unwrap_err();
    assert_eq!(malformed.code, "invalid_event");
}

#[test]
fn a_reversal_cut_off_anywhere_is_refused() {
    for event in events() {
        let (json, bytes) = (json::encode_event(&event), binary::encode_event(&event));
        for length in 0..json.len() {
            json::decode_event(&json[..length]).unwrap_err();
        }
        for length in 0..bytes.len() {
            binary::decode_event(&bytes[..length]).unwrap_err();
        }
        // And one that goes on.
        binary::decode_event(&[&bytes[..], &[0]].concat()).unwrap_err();
    }
}
