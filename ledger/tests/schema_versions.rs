//! Every event that was ever released stays readable: all of `golden/events`, by the version of the schema that it takes.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ledger::codec::{binary, json};
use ledger::{Account, Event, Hash, SCHEMA_VERSION, Version, too_new};
use serde_json::Value;

/// What came with which version: types, and fields by where they stand. Never changed; a new version adds lines.
const TYPES: [(&str, u32); 12] = [
    ("AccountCreated", 1),
    ("MoneyDeposited", 1),
    ("MoneyWithdrawn", 1),
    ("AccountFrozen", 2),
    ("AccountUnfrozen", 2),
    ("AccountClosed", 2),
    ("OverdraftLimitSet", 2),
    ("AccountUpdated", 2),
    ("HoldPlaced", 2),
    ("HoldReleased", 2),
    ("HoldExpired", 2),
    ("AccountRulesSet", 6),
];
const FIELDS: [(&str, u32); 43] = [
    ("/account_id", 1),
    ("/actor", 1),
    ("/balance_after", 1),
    ("/command_id", 1),
    ("/data", 1),
    ("/data/amount", 1),
    ("/data/counterparty_account_id", 1),
    ("/data/currency", 1),
    ("/data/description", 1),
    ("/data/initial_balance", 1),
    ("/data/metadata", 1),
    ("/data/overdraft_limit", 1),
    ("/data/owner_name", 1),
    ("/data/transfer_id", 1),
    ("/event_id", 1),
    ("/hash", 1),
    ("/prev_hash", 1),
    ("/recorded_at", 1),
    ("/type", 1),
    ("/version", 1),
    ("/data/account_metadata", 2),
    ("/data/hold", 2),
    ("/data/hold/amount", 2),
    ("/data/hold/captured", 2),
    ("/data/hold/expires_at", 2),
    ("/data/hold/hold_id", 2),
    ("/data/hold/remaining", 2),
    ("/data/reason", 2),
    ("/data/scope", 2),
    ("/held_after", 2),
    ("/data/reversal", 3),
    ("/data/reversal/command_id", 3),
    ("/data/reversal/reason", 3),
    ("/data/reversal/reversed", 3),
    ("/data/effective_at", 4),
    ("/data/posting_id", 5),
    ("/part", 5),
    ("/data/rules", 6),
    ("/data/rules/allowed_counterparties", 6),
    ("/data/rules/daily_debit_amount_max", 6),
    ("/data/rules/daily_debit_count_max", 6),
    ("/data/rules/maximum_balance", 6),
    ("/data/rules/minimum_balance", 6),
];

/// Every golden event: its file's name and its bytes.
fn archive() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events");
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (
            name,
            std::fs::read_to_string(&path)
                .unwrap()
                .trim_end()
                .to_owned(),
        )
    };
    std::fs::read_dir(folder).unwrap().map(file).collect()
}

/// The names of all members, with those of the objects in them; metadata is the publishers' own.
fn fields(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    let Some(object) = value.as_object() else {
        return;
    };
    for (name, value) in object {
        let place = format!("{place}/{name}");
        if !name.ends_with("metadata") {
            fields(value, &place, found);
        }
        found.insert(place);
    }
}

/// The version that an event takes, by its JSON alone.
fn version_of(name: &str, body: &str) -> u32 {
    let value: Value = serde_json::from_str(body).unwrap();
    let mut found = BTreeSet::new();
    fields(&value, "", &mut found);
    let came_with = |table: &[(&str, u32)], what: &str| {
        let known = table.iter().find(|(known, _)| *known == what);
        known
            .unwrap_or_else(|| panic!("{name}: {what} came with no version"))
            .1
    };
    let of_type = came_with(&TYPES, value["type"].as_str().unwrap());
    let of_fields = found.iter().map(|field| came_with(&FIELDS, field));
    of_fields.fold(of_type, u32::max)
}

#[test]
fn every_event_ever_released_is_read_and_written_again_to_the_same_bytes() {
    let archive = archive();
    assert!(archive.len() >= 89, "{}", archive.len());
    for (name, body) in &archive {
        let event =
            json::decode_event(body.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        event.check_hash().unwrap();
        assert_eq!(
            &String::from_utf8(json::encode_event(&event)).unwrap(),
            body,
            "{name}"
        );
        let kept = binary::decode_event(&binary::encode_event(&event)).unwrap();
        assert_eq!(kept, event, "{name}");
    }
}

#[test]
fn the_version_of_an_event_is_that_of_the_newest_thing_in_it() {
    let mut by_version: BTreeMap<u32, u32> = BTreeMap::new();
    for (name, body) in archive() {
        let event = json::decode_event(body.as_bytes()).unwrap();
        assert_eq!(event.schema_version(), version_of(&name, &body), "{name}");
        *by_version.entry(event.schema_version()).or_default() += 1;
    }
    let versions: Vec<u32> = by_version.keys().copied().collect();
    assert_eq!(
        versions,
        (1..=SCHEMA_VERSION).collect::<Vec<_>>(),
        "{by_version:?}"
    );
}

/// Accounts of different archives may have the same name: what belongs together is told by the hashes.
#[test]
fn every_history_of_the_archive_can_be_folded_from_its_beginning() {
    let events: Vec<Event> = archive()
        .values()
        .map(|body| json::decode_event(body.as_bytes()).unwrap())
        .collect();
    let mut next: BTreeMap<String, &Event> = BTreeMap::new();
    for event in events.iter().filter(|event| event.prev_hash != Hash::ZERO) {
        assert!(next.insert(event.prev_hash.to_string(), event).is_none());
    }
    let mut folded = 0;
    for opening in events
        .iter()
        .filter(|event| event.version == Version::FIRST)
    {
        let (mut account, mut last) = (Account::open(opening).unwrap(), opening);
        folded += 1;
        while let Some(event) = next.get(&last.hash.to_string()) {
            account.apply(event).unwrap();
            (last, folded) = (event, folded + 1);
        }
        assert_eq!(account.version, last.version);
        assert_eq!(account.balance, last.balance_after);
    }
    assert_eq!(folded, events.len(), "no event stands alone");
}

#[test]
fn what_is_newer_is_refused_with_the_word_to_upgrade() {
    let upgrade = "written by a newer version of chronicle; upgrade this process first";
    let body = &archive()["money_deposited"];
    let of_a_new_type = body.replace("\"MoneyDeposited\"", "\"MoneyPrinted\"");
    let with_a_new_field = body.replacen("\"actor\"", "\"colour\":\"red\",\"actor\"", 1);
    let with_new_data = body.replacen("\"data\":{", "\"data\":{\"colour\":\"red\",", 1);
    for newer in [of_a_new_type, with_a_new_field, with_new_data] {
        let refused = json::decode_event(newer.as_bytes()).unwrap_err().message;
        assert!(refused.contains(upgrade), "{refused}");
    }
    let broken = json::decode_event(b"{").unwrap_err().message;
    assert!(!broken.contains("newer"), "{broken}");
    assert_eq!(too_new(SCHEMA_VERSION), None);
    assert!(too_new(SCHEMA_VERSION + 1).unwrap().ends_with(upgrade));
}

#[test]
fn the_page_about_the_wire_has_every_version() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/wire.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once("### Schema versions").unwrap();
    let row = |version: u32| {
        let begin = format!("| {version} | ");
        table
            .lines()
            .find(|line| line.starts_with(&begin))
            .map(str::to_owned)
    };
    for version in 1..=SCHEMA_VERSION {
        let row = row(version).unwrap_or_else(|| panic!("version {version} is not on the page"));
        let types = TYPES.iter().filter(|(_, with)| *with == version);
        for (name, _) in types {
            assert!(row.contains(&format!("`{name}`")), "{name}: {row}");
        }
    }
    assert_eq!(row(SCHEMA_VERSION + 1), None);
}
