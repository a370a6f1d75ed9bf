//! The formats as they were first released, byte by byte: what is stored and what was sent must stay readable, and
//! hashes, fingerprints and message ids must never come out differently.
//!
//! The commands in `golden/commands` are decided at fixed times; their events are in `golden/events`, the bincode of
//! both in `golden/bincode_v1.txt`, the commands' fingerprints in `golden/fingerprints.txt`, the currencies and their
//! decimals in `golden/currencies.txt`. A new variant adds files and lines. A change of one that is there is a break of the format: it needs a new format version, not a new file.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ledger::codec::{binary, json};
use ledger::{Account, AccountId, Command, Currency, Event, Hash, Timestamp, decide};
use sha2::{Digest, Sha256};

const COMMANDS: [&str; 5] = [
    "create_account",
    "create_account_plain",
    "deposit",
    "withdraw",
    "transfer",
];
const EVENTS: [&str; 6] = [
    "account_created",
    "account_created_plain",
    "money_deposited",
    "money_withdrawn",
    "transfer_debit",
    "transfer_credit",
];

fn golden(path: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path: PathBuf = folder.join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn command(name: &str) -> Command {
    let body = golden(&format!("commands/{name}.json"));
    json::decode_command(body.as_bytes()).unwrap()
}

/// The golden commands' events, by name.
fn events() -> Vec<(&'static str, Event)> {
    let mut accounts: BTreeMap<AccountId, Account> = BTreeMap::new();
    let mut events = Vec::new();
    let mut clock: Timestamp = "2026-01-31T12:00:00.000001Z".parse().unwrap();
    for name in COMMANDS {
        for event in decide(&accounts, &command(name), clock).unwrap() {
            let state = accounts.remove(&event.account_id);
            let account = Account::fold(state, &event).unwrap();
            accounts.insert(event.account_id.clone(), account);
            events.push(event);
        }
        clock = Timestamp::from_unix_microseconds(clock.unix_microseconds() + 1_500_000);
    }
    assert_eq!(events.len(), EVENTS.len());
    EVENTS.into_iter().zip(events).collect()
}

/// `name hexadecimal` by lines.
fn table(path: &str) -> BTreeMap<String, Vec<u8>> {
    golden(path)
        .lines()
        .map(|line| {
            let (name, digits) = line.split_once(' ').expect("a name and hexadecimal digits");
            (name.to_owned(), hex::decode(digits).unwrap())
        })
        .collect()
}

#[test]
fn events_are_written_in_json_as_ever() {
    for (name, event) in events() {
        let written = String::from_utf8(json::encode_event(&event)).unwrap();
        assert_eq!(
            written,
            golden(&format!("events/{name}.json")).trim_end(),
            "{name}"
        );
    }
}

#[test]
fn events_of_old_can_be_read_and_have_their_hashes() {
    for (name, event) in events() {
        let body = golden(&format!("events/{name}.json"));
        let read = json::decode_event(body.as_bytes()).unwrap();
        assert_eq!(read, event, "{name}");
        read.check_hash().unwrap();
        // The same by another implementation of RFC 8785.
        let mut value: serde_json::Value = serde_json::from_str(&body).unwrap();
        value.as_object_mut().unwrap().remove("hash");
        let canonical = serde_json_canonicalizer::to_vec(&value).unwrap();
        let hash = Hash::from(<[u8; 32]>::from(Sha256::digest(canonical)));
        assert_eq!(hash, read.hash, "{name}");
    }
}

#[test]
fn bincode_is_written_and_read_as_ever() {
    let table = table("bincode_v1.txt");
    assert_eq!(table.len(), COMMANDS.len() + EVENTS.len());
    for name in COMMANDS {
        let (command, bytes) = (command(name), &table[&format!("commands/{name}")]);
        assert_eq!(
            hex::encode(binary::encode_command(&command)),
            hex::encode(bytes),
            "{name}"
        );
        assert_eq!(binary::decode_command(bytes).unwrap(), command, "{name}");
    }
    for (name, event) in events() {
        let bytes = &table[&format!("events/{name}")];
        assert_eq!(
            hex::encode(binary::encode_event(&event)),
            hex::encode(bytes),
            "{name}"
        );
        assert_eq!(binary::decode_event(bytes).unwrap(), event, "{name}");
    }
}

/// A changed fingerprint would make an idempotency conflict of every command that is sent again.
#[test]
fn fingerprints_are_as_ever() {
    let table = table("fingerprints.txt");
    assert_eq!(table.len(), COMMANDS.len());
    for name in COMMANDS {
        let fingerprint = command(name).fingerprint();
        assert_eq!(fingerprint.to_string(), hex::encode(&table[name]), "{name}");
    }
}

/// A currency that a newer table drops, or gives other decimals, would make the accounts kept in it unreadable.
#[test]
fn currencies_are_those_of_old_with_their_decimals() {
    for line in golden("currencies.txt").lines() {
        let (code, exponent) = line.split_once(' ').expect("a code and its decimals");
        let currency = Currency::lookup(code.parse().unwrap()).unwrap();
        assert_eq!(currency.exponent().to_string(), exponent, "{code}");
    }
}

#[test]
fn every_currency_is_among_the_golden_ones() {
    let golden = golden("currencies.txt");
    let known: Vec<&str> = golden.lines().filter_map(|line| line.get(..3)).collect();
    let letters = || 'A'..='Z';
    let codes =
        letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
    let missing: Vec<String> = codes
        .map(String::from_iter)
        .filter(|code| Currency::lookup(code.parse().unwrap()).is_ok())
        .filter(|code| !known.contains(&code.as_str()))
        .collect();
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "add these to golden/currencies.txt"
    );
}
