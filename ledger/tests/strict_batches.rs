//! Postings and batches in bincode, and the events of both: what is checked before anything is made of them.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod support;

use ledger::codec::{Malformed, binary, json};
use ledger::{Command, Event};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Value, json};
use support::{
    batch, credit, debit, deposit, given, hold, open, post, rename, reverse, transfer, withdraw,
};

const ID: &str = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";
const DEPOSIT: u32 = 1;
const POST: u32 = 14;
const BATCH: u32 = 15;
const BATCH_IN_IT: &str =
    "commands[0]: a batch has no batch in it; put the commands of both into one";

type Entry = (&'static str, bool, [u8; 16], Option<&'static str>);
type Conditions = (Option<[u8; 16]>, Option<i64>, Option<i64>, Option<i64>);
type Texts = Vec<(String, String)>;

fn one() -> [u8; 16] {
    Decimal::ONE.serialize()
}

fn encoded(value: impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).unwrap()
}

/// A command in version 3: its own action, and the commands behind it. Both are bytes already.
fn bytes(action: impl Serialize, parts: &[Vec<u8>]) -> Vec<u8> {
    let command_id: ledger::CommandId = ID.parse().unwrap();
    let no_text: Option<String> = None;
    let first = (
        command_id.as_uuid().into_bytes(),
        action,
        &no_text,
        &no_text,
        Texts::new(),
        None::<u64>,
    );
    let second: Conditions = (None, None, None, None);
    let mut bytes = vec![binary::FORMAT_VERSIONS[2]];
    bytes.extend(encoded((first, second)));
    bytes.extend(encoded(u64::try_from(parts.len()).unwrap()));
    bytes.extend(parts.concat());
    bytes
}

fn part(action: impl Serialize) -> Vec<u8> {
    let conditions: Conditions = (None, None, None, None);
    encoded((
        action,
        None::<String>,
        Texts::new(),
        None::<u64>,
        conditions,
    ))
}

fn a_deposit(account: &str) -> Vec<u8> {
    part((DEPOSIT, account, one(), None::<String>))
}

#[track_caller]
fn refused(bytes: &[u8], code: &str, message: &str) -> Malformed {
    let malformed = binary::decode_command(bytes).expect_err("these bytes are no command");
    assert_eq!(malformed.message, message);
    assert_eq!(malformed.code, code);
    malformed
}

#[track_caller]
fn refused_by_name(bytes: &[u8], code: &str, message: &str) {
    let malformed = refused(bytes, code, message);
    let id = malformed.command_id.map(|id| id.to_string());
    assert_eq!(id.as_deref(), Some(ID));
}

/// What bincode says is what JSON says.
fn same_in_json(command: &Command) {
    let read = json::decode_command(&json::encode_command(command)).unwrap();
    assert_eq!(read, *command);
    assert_eq!(read.fingerprint(), command.fingerprint());
}

#[test]
fn the_third_version_has_the_commands_of_a_batch_behind_the_second() {
    let bytes = bytes((BATCH,), &[a_deposit("A"), a_deposit("B")]);
    let command = binary::decode_command(&bytes).unwrap();
    assert_eq!(command.type_name(), "batch");
    let accounts: Vec<_> = command
        .parts()
        .iter()
        .map(|part| part.account_id().as_str())
        .collect();
    assert_eq!(accounts, ["A", "B"]);
    assert_eq!(binary::encode_command(&command), bytes);
    same_in_json(&command);
    for length in 1..bytes.len() {
        refused(
            &bytes[..length],
            "invalid_bincode",
            "the body is no command: it ends too early",
        );
    }
    let message = format!(
        "the command ends after {} bytes, and the body has {}",
        bytes.len(),
        bytes.len() + 1
    );
    refused(&[bytes, vec![0]].concat(), "invalid_bincode", &message);
}

#[test]
fn only_a_batch_has_commands_behind_it_and_it_has_some() {
    for version in binary::FORMAT_VERSIONS {
        let whole = bytes((BATCH,), &[]);
        let behind = usize::from(3 - version);
        // Without the commands, and without the conditions of four bytes.
        let cut = [0, 1, 5][behind];
        let bytes = [&[version], &whole[1..whole.len() - cut]].concat();
        refused_by_name(
            &bytes,
            "invalid_field",
            "commands is empty; it has at least one item",
        );
    }
    let action = (DEPOSIT, "A", one(), None::<&str>);
    refused_by_name(
        &bytes(action, &[a_deposit("B")]),
        "invalid_field",
        "commands stand behind a command that is no batch",
    );
    // Whoever has nothing to say in version 3 is understood, but writes version 1.
    let command = binary::decode_command(&bytes(action, &[])).unwrap();
    assert_eq!(
        binary::encode_command(&command)[0],
        binary::FORMAT_VERSIONS[0]
    );
}

#[test]
fn a_batch_has_no_batch_in_it_and_not_too_many_commands() {
    refused_by_name(
        &bytes((BATCH,), &[part((BATCH,))]),
        "invalid_field",
        BATCH_IN_IT,
    );
    let many = |count| bytes((BATCH,), &vec![a_deposit("A"); count]);
    refused_by_name(
        &many(1_001),
        "invalid_field",
        "commands has at most 1000 items, and this has 1001",
    );
    same_in_json(&binary::decode_command(&many(1_000)).unwrap());
    // A made-up length reserves nothing.
    let mut lying = bytes((BATCH,), &[]);
    lying.pop();
    for length in [1_000_000, 1 << 40, u64::MAX] {
        let malformed =
            binary::decode_command(&[&lying[..], &encoded(length)].concat()).unwrap_err();
        assert_eq!(malformed.code, "invalid_bincode");
    }
}

#[test]
fn entries_and_commands_are_held_to_the_limits_of_the_json_form() {
    let good: Entry = ("A", true, one(), None);
    for (entry, code, message) in [
        (
            ("a.b", false, one(), None),
            "invalid_account_id",
            r#"entries[1]: account_id: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: "a.b""#,
        ),
        (
            ("B", false, one(), Some("usd")),
            "invalid_currency",
            r#"entries[1]: currency: a currency code is 3 to 12 characters of A-Z 0-9 such as USD, and this is not: "usd""#,
        ),
        (
            ("B", false, [1; 16], None),
            "invalid_amount",
            "entries[1]: amount: these 16 bytes are no decimal: flags (scale in bits 16-23, sign in bit 31) and a mantissa of 96 bits, little-endian",
        ),
    ] {
        let action = (POST, vec![good, entry]);
        refused_by_name(&bytes(&action, &[]), code, message);
        let message = format!("commands[1]: {message}");
        refused_by_name(
            &bytes((BATCH,), &[a_deposit("A"), part(&action)]),
            code,
            &message,
        );
    }
    for (count, problem) in [
        (0, "is empty; it has at least one item"),
        (1_001, "has at most 1000 items, and this has 1001"),
    ] {
        let action = (POST, vec![good; count]);
        let message = format!("entries {problem}");
        refused_by_name(&bytes(&action, &[]), "invalid_field", &message);
        refused_by_name(
            &bytes((BATCH,), &[part(&action)]),
            "invalid_field",
            &format!("commands[0]: {message}"),
        );
    }
    refused_by_name(
        &bytes((BATCH,), &[a_deposit("a.b")]),
        "invalid_account_id",
        r#"commands[0]: account_id: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: "a.b""#,
    );
    let said =
        |description: String, metadata: Texts, version: Option<u64>, conditions: Conditions| {
            let action = (DEPOSIT, "A", one(), None::<String>);
            let part = encoded((action, Some(description), metadata, version, conditions));
            bytes((BATCH,), &[part])
        };
    let nothing: Conditions = (None, None, None, None);
    let twice = vec![("a".to_owned(), String::new()); 2];
    for (bytes, code, message) in [
        (
            said("x".repeat(2_049), vec![], None, nothing),
            "text_too_long",
            "commands[0]: description has at most 2048 bytes of UTF-8, and this has 2049",
        ),
        (
            said(String::new(), twice, None, nothing),
            "invalid_metadata",
            r#"commands[0]: metadata has the key "a" twice"#,
        ),
        (
            said(String::new(), vec![], Some(1 << 53), nothing),
            "invalid_field",
            "commands[0]: expected_version must be a whole number from 0 to 9007199254740991, and this is not: 9007199254740992",
        ),
        (
            said(
                String::new(),
                vec![],
                None,
                (None, Some(i64::MAX), None, None),
            ),
            "invalid_timestamp",
            "commands[0]: not_before 9223372036854775807 µs lies outside the years 1 to 9999",
        ),
    ] {
        refused_by_name(&bytes, code, message);
    }
    // A direction is one of two.
    let mut bytes = bytes((POST, vec![good]), &[]);
    let place = bytes.iter().position(|byte| *byte == b'A').unwrap() + 1;
    assert_eq!(bytes[place], 1);
    bytes[place] = 2;
    let malformed = binary::decode_command(&bytes).unwrap_err();
    assert_eq!(malformed.code, "invalid_bincode");
}

/// Many short texts are many lengths, each of which takes more room while it is read than it has bytes.
#[test]
fn what_fits_as_json_fits_as_bincode() {
    let noted = |number: usize| {
        let part = deposit("A", "1");
        (0..25).fold(part, |part, note| {
            let key = char::from(b'a' + u8::try_from(note).unwrap());
            part.noting(&key.to_string(), if number == 0 { "x" } else { "" })
        })
    };
    let many = batch((0..1_000).map(noted)).named(ID).command;
    let entries = (0..100).flat_map(|_| [debit("A", "1"), credit("B", "1")]);
    let posts = batch((0..20).map(|_| post(entries.clone())))
        .named(ID)
        .command;
    for mut command in [many, posts] {
        if let ledger::Action::Batch(batch) = &mut command.action {
            for part in &mut batch.commands {
                part.command_id = command.command_id;
            }
        }
        let (json, bincode) = (
            json::encode_command(&command),
            binary::encode_command(&command),
        );
        assert!(
            json.len() <= ledger::limits::BODY_BYTES_MAX,
            "{}",
            json.len()
        );
        assert!(bincode.len() < json.len());
        assert_eq!(json::decode_command(&json).as_ref(), Ok(&command));
        assert_eq!(binary::decode_command(&bincode).as_ref(), Ok(&command));
    }
}

/// Events of a posting, of a batch, of a posting in a batch, and of the reversal of a posting.
fn events() -> Vec<Event> {
    let after = given([
        open("A", "100"),
        open("B", "0"),
        post([debit("A", "30"), credit("B", "30")]),
        batch([
            deposit("A", "1"),
            transfer("A", "B", "1"),
            hold("A", 1, "5"),
            rename("B", "Grace"),
            post([debit("A", "2"), credit("B", "2")]),
        ]),
        reverse("A", 3),
    ]);
    after.events[2..].to_vec()
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

#[test]
fn their_events_are_read_as_they_were_written() {
    for event in events() {
        let written = json::encode_event(&event);
        assert_eq!(json::decode_event(&written).unwrap(), event);
        let written = binary::encode_event(&event);
        assert_eq!(written[0], binary::FORMAT_VERSIONS[2]);
        assert_eq!(binary::decode_event(&written).unwrap(), event);
        event.check_hash().unwrap();
        for length in 0..written.len() {
            binary::decode_event(&written[..length]).unwrap_err();
        }
        binary::decode_event(&[&written[..], &[0]].concat()).unwrap_err();
    }
}

#[test]
fn a_part_and_a_posting_have_one_form() {
    let malformed = |body: String, reason: &str| {
        let malformed = json::decode_event(body.as_bytes()).expect_err("this body is no event");
        assert_eq!(malformed.code, "invalid_event");
        assert!(malformed.message.contains(reason), "{}", malformed.message);
    };
    for event in &events() {
        for value in [
            json!("1"),
            json!(-1),
            json!(1.5),
            json!(4_294_967_296_u64),
            json!([]),
        ] {
            malformed(with(event, "/part", value), "u32");
        }
        let is_movement = event.data.amount().is_some() && event.data.hold().is_none();
        let reason = if is_movement {
            "a UUID with hyphens"
        } else {
            "unknown field `posting_id`"
        };
        malformed(with(event, "/data/posting_id", json!("1")), reason);
    }
    // Both belong to what is hashed.
    for event in &events() {
        for (pointer, is_there) in [
            ("/part", event.part.is_some()),
            ("/data/posting_id", event.data.posting_id().is_some()),
        ] {
            if is_there {
                let read = json::decode_event(with(event, pointer, Value::Null).as_bytes());
                read.unwrap().check_hash().unwrap_err();
            }
        }
    }
}

/// In bincode both stand behind the event, whatever it is; so its type is looked at.
#[test]
fn only_a_movement_is_an_entry_of_a_posting() {
    let posted = &events()[0];
    let posting_id = posted.data.posting_id().unwrap().as_uuid().into_bytes();
    let after = given([open("A", "100"), hold("A", 1, "5"), withdraw("A", "1")]);
    // An event in the second version, with this behind it.
    let second = |event: &Event| {
        let bytes = binary::encode_event(event);
        assert_eq!(bytes[0], binary::FORMAT_VERSIONS[1]);
        let tail = encoded((Some(posting_id), Some(7_u32)));
        [&[binary::FORMAT_VERSIONS[2]], &bytes[1..], &tail].concat()
    };
    let malformed = binary::decode_event(&second(&after.events[1])).unwrap_err();
    assert_eq!(malformed.code, "invalid_event");
    assert_eq!(
        malformed.message,
        "this type of event is no entry of a posting"
    );
    let read = binary::decode_event(&second(&after.events[2])).unwrap();
    assert_eq!(read.data.posting_id(), posted.data.posting_id());
    assert_eq!(read.part, Some(7));
}
