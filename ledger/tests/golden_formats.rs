//! The formats as they were first released, byte by byte: what is stored and what was sent must stay readable, and
//! hashes, fingerprints and message ids must never come out differently.
//!
//! The commands in `golden/commands` are decided at fixed times; their events are in `golden/events`. Each archive has
//! tables of the bincode of both, one for each version of the format, and of the commands' fingerprints; the currencies
//! and their decimals are in `golden/currencies.txt`. What comes new is an archive of its own: no file that is there ever
//! changes. A change of one is a break of the format: it needs a new format version, not a new file.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ledger::codec::{binary, json};
use ledger::{
    Action, Book, Command, Currency, Event, EventData, Hash, Original, Policy, Timestamp, decide,
};
use sha2::{Digest, Sha256};

/// What was released together.
struct Archive {
    /// When the first of its commands is decided; the others follow a second and a half apart.
    begin: &'static str,
    commands: &'static [&'static str],
    /// The commands' events, in order.
    events: &'static [&'static str],
    /// The version of the bincode format, and the table of what is written in it.
    bincode: &'static [(u8, &'static str)],
    fingerprints: &'static str,
}

/// Opening accounts and moving money.
const MOVEMENTS: Archive = Archive {
    begin: "2026-01-31T12:00:00.000001Z",
    commands: &[
        "create_account",
        "create_account_plain",
        "deposit",
        "withdraw",
        "transfer",
    ],
    events: &[
        "account_created",
        "account_created_plain",
        "money_deposited",
        "money_withdrawn",
        "transfer_debit",
        "transfer_credit",
    ],
    bincode: &[(1, "bincode_v1.txt")],
    fingerprints: "fingerprints.txt",
};

/// The life of an account, and holds.
const LIFE_AND_HOLDS: Archive = Archive {
    begin: "2026-03-01T12:00:00.000001Z",
    commands: &[
        "create_account_held",
        "create_account_swept_to",
        "create_account_empty",
        "freeze_account",
        "unfreeze_account",
        "freeze_account_plain",
        "unfreeze_account_plain",
        "set_overdraft_limit",
        "update_account",
        "update_account_emptied",
        "hold",
        "hold_plain",
        "deposit_while_held",
        "capture",
        "capture_final",
        "capture_plain",
        "hold_short",
        "release",
        "expire_hold",
        "close_account",
        "close_account_plain",
    ],
    events: &[
        "account_created_held",
        "account_created_swept_to",
        "account_created_empty",
        "account_frozen",
        "account_unfrozen",
        "account_frozen_plain",
        "account_unfrozen_plain",
        "overdraft_limit_set",
        "account_updated",
        "account_updated_emptied",
        "hold_placed",
        "hold_placed_plain",
        "money_deposited_while_held",
        "capture_debit",
        "capture_credit",
        "capture_final",
        "capture_final_rest_released",
        "capture_plain",
        "hold_placed_short",
        "hold_released",
        "hold_expired",
        "sweep_debit",
        "sweep_credit",
        "account_closed",
        "account_closed_plain",
    ],
    bincode: &[
        (1, "life_and_holds_bincode_v1.txt"),
        (2, "life_and_holds_bincode_v2.txt"),
    ],
    fingerprints: "life_and_holds_fingerprints.txt",
};

/// Money that is moved back.
const REVERSALS: Archive = Archive {
    begin: "2026-05-01T12:00:00.000001Z",
    commands: &[
        "create_account_refunded",
        "create_account_refunding",
        "transfer_to_reverse",
        "deposit_to_reverse",
        "hold_to_reverse",
        "capture_to_reverse",
        "reverse",
        "reverse_rest",
        "reverse_capture",
        "reverse_deposit",
    ],
    events: &[
        "account_created_refunded",
        "account_created_refunding",
        "transfer_to_reverse_debit",
        "transfer_to_reverse_credit",
        "deposit_to_reverse",
        "hold_to_reverse_placed",
        "capture_to_reverse",
        "reversal_debit",
        "reversal_credit",
        "reversal_of_the_rest_debit",
        "reversal_of_the_rest_credit",
        "reversal_of_a_capture",
        "reversal_of_a_deposit",
    ],
    bincode: &[
        (1, "reversals_bincode_v1.txt"),
        (2, "reversals_bincode_v2.txt"),
    ],
    fingerprints: "reversals_fingerprints.txt",
};

/// Money that moves on another day than it is recorded.
const BUSINESS_DATES: Archive = Archive {
    begin: "2026-06-01T12:00:00.000001Z",
    commands: &[
        "create_account_dated",
        "create_account_dated_to",
        "deposit_dated_back",
        "withdraw_dated_ahead",
        "transfer_dated",
        "hold_for_dates",
        "capture_dated",
        "reverse_dated",
    ],
    events: &[
        "account_created_dated",
        "account_created_dated_to",
        "deposit_dated_back",
        "withdrawal_dated_ahead",
        "transfer_dated_debit",
        "transfer_dated_credit",
        "hold_for_dates_placed",
        "capture_dated",
        "capture_dated_rest_released",
        "reversal_dated_debit",
        "reversal_dated_credit",
    ],
    bincode: &[
        (1, "business_dates_bincode_v1.txt"),
        (2, "business_dates_bincode_v2.txt"),
    ],
    fingerprints: "business_dates_fingerprints.txt",
};

/// Several accounts and several commands at once.
const BATCHES: Archive = Archive {
    begin: "2026-06-01T12:00:00.000001Z",
    commands: &[
        "create_account_paying",
        "create_account_paid",
        "post_plain",
        "batch_plain",
        "batch",
        "post",
        "reverse_post",
        "batch_of_reversals",
    ],
    events: &[
        "account_created_paying",
        "account_created_paid",
        "posting_plain_debit",
        "posting_plain_credit",
        "deposit_in_a_batch",
        "account_created_in_a_batch",
        "hold_placed_in_a_batch",
        "posting_in_a_batch_debit",
        "posting_in_a_batch_other_debit",
        "posting_in_a_batch_credit",
        "posting_in_a_batch_other_credit",
        "transfer_in_a_batch_debit",
        "transfer_in_a_batch_credit",
        "capture_in_a_batch",
        "rest_released_in_a_batch",
        "posting_debit",
        "posting_credit",
        "reversal_of_a_posting_debit",
        "reversal_of_a_posting_credit",
        "reversal_in_a_batch_debit",
        "reversal_in_a_batch_credit",
        "reversal_of_a_batch",
    ],
    bincode: &[
        (1, "batches_bincode_v1.txt"),
        (2, "batches_bincode_v2.txt"),
        (3, "batches_bincode_v3.txt"),
    ],
    fingerprints: "batches_fingerprints.txt",
};

/// Money of one currency for money of another.
const EXCHANGES: Archive = Archive {
    begin: "2026-06-01T12:00:00.000001Z",
    commands: &[
        "create_account_of_dollars",
        "create_account_of_euros",
        "create_account_taking_dollars",
        "create_account_giving_euros",
        "exchange_at_a_rate",
        "exchange_for_an_amount",
    ],
    events: &[
        "account_of_dollars_created",
        "account_of_euros_created",
        "account_taking_dollars_created",
        "account_giving_euros_created",
        "exchange_at_a_rate_dollars_out",
        "exchange_at_a_rate_dollars_in",
        "exchange_at_a_rate_euros_out",
        "exchange_at_a_rate_euros_in",
        "exchange_for_an_amount_dollars_out",
        "exchange_for_an_amount_dollars_in",
        "exchange_for_an_amount_euros_out",
        "exchange_for_an_amount_euros_in",
    ],
    bincode: &[
        (1, "exchanges_bincode_v1.txt"),
        (2, "exchanges_bincode_v2.txt"),
        (3, "exchanges_bincode_v3.txt"),
    ],
    fingerprints: "exchanges_fingerprints.txt",
};

/// What the movements of an account must obey.
const ACCOUNT_RULES: Archive = Archive {
    begin: "2026-11-30T23:59:58.000001Z",
    commands: &[
        "create_account_ruled",
        "create_account_allowed",
        "set_account_rules",
        "transfer_within_rules",
        "set_account_rules_empty",
        "set_account_rules_nothing_allowed",
        "set_account_rules_below_zero",
    ],
    events: &[
        "account_created_ruled",
        "account_created_allowed",
        "account_rules_set",
        "transfer_within_rules_debit",
        "transfer_within_rules_credit",
        "account_rules_set_empty",
        "account_rules_set_nothing_allowed",
        "account_rules_set_below_zero",
    ],
    bincode: &[(1, "account_rules_bincode_v1.txt")],
    fingerprints: "account_rules_fingerprints.txt",
};

const ARCHIVES: [&Archive; 7] = [
    &MOVEMENTS,
    &LIFE_AND_HOLDS,
    &REVERSALS,
    &BUSINESS_DATES,
    &BATCHES,
    &EXCHANGES,
    &ACCOUNT_RULES,
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

impl Archive {
    /// The commands' events, by name, and the book as they leave it.
    fn events(&self) -> (Vec<(&'static str, Event)>, Book) {
        let (mut book, mut events) = (Book::default(), Vec::new());
        let mut clock: Timestamp = self.begin.parse().unwrap();
        for name in self.commands {
            let decided = decide(&book, &command(name), clock, &Policy::default());
            let decided = decided.unwrap_or_else(|rejection| panic!("{name}: {rejection}"));
            for event in &decided {
                book.apply(event).unwrap();
            }
            book.insert_original(Original::of(&decided).unwrap());
            events.extend(decided);
            clock = Timestamp::from_unix_microseconds(clock.unix_microseconds() + 1_500_000);
        }
        assert_eq!(events.len(), self.events.len());
        (self.events.iter().copied().zip(events).collect(), book)
    }

    /// The bincode of all commands and events, by name, each in the version that its table says.
    fn bincode(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        for (version, path) in self.bincode {
            for (name, bytes) in table(path) {
                assert_eq!(bytes[0], *version, "{name}");
                assert_eq!(all.insert(name, bytes), None);
            }
        }
        assert_eq!(all.len(), self.commands.len() + self.events.len());
        all
    }
}

/// The events of all archives, by name.
fn events() -> Vec<(&'static str, Event)> {
    let of = |archive: &Archive| archive.events().0;
    ARCHIVES.into_iter().flat_map(of).collect()
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
    for archive in ARCHIVES {
        let table = archive.bincode();
        for name in archive.commands {
            let (command, bytes) = (command(name), &table[&format!("commands/{name}")]);
            let written = binary::encode_command(&command);
            assert_eq!(hex::encode(written), hex::encode(bytes), "{name}");
            assert_eq!(binary::decode_command(bytes).unwrap(), command, "{name}");
        }
        for (name, event) in archive.events().0 {
            let bytes = &table[&format!("events/{name}")];
            let written = binary::encode_event(&event);
            assert_eq!(hex::encode(written), hex::encode(bytes), "{name}");
            assert_eq!(binary::decode_event(bytes).unwrap(), event, "{name}");
        }
    }
}

/// What was stored long ago is folded into the state that deciding anew leaves.
#[test]
fn events_of_old_can_be_folded() {
    for archive in ARCHIVES {
        let (mut from_json, mut from_bincode) = (Book::default(), Book::default());
        let table = archive.bincode();
        for name in archive.events {
            let body = golden(&format!("events/{name}.json"));
            let event = json::decode_event(body.as_bytes()).unwrap();
            from_json.apply(&event).unwrap();
            let event = binary::decode_event(&table[&format!("events/{name}")]).unwrap();
            from_bincode.apply(&event).unwrap();
        }
        let (_, decided) = archive.events();
        for account in decided.accounts() {
            for book in [&from_json, &from_bincode] {
                let folded = book
                    .accounts()
                    .find(|one| one.account_id == account.account_id);
                assert_eq!(folded, Some(account));
            }
        }
    }
}

/// A changed fingerprint would make an idempotency conflict of every command that is sent again.
#[test]
fn fingerprints_are_as_ever() {
    for archive in ARCHIVES {
        let table = table(archive.fingerprints);
        assert_eq!(table.len(), archive.commands.len());
        for name in archive.commands {
            let fingerprint = command(name).fingerprint();
            assert_eq!(
                fingerprint.to_string(),
                hex::encode(&table[*name]),
                "{name}"
            );
        }
    }
}

#[test]
fn every_type_of_command_and_event_is_among_the_golden_ones() {
    let commands = || ARCHIVES.into_iter().flat_map(|archive| archive.commands);
    for type_name in Action::TYPE_NAMES {
        assert!(
            commands().any(|name| command(name).type_name() == type_name),
            "{type_name}"
        );
    }
    let events = events();
    for type_name in EventData::TYPE_NAMES {
        let mut types = events.iter().map(|(_, event)| event.data.type_name());
        assert!(types.any(|name| name == type_name), "{type_name}");
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
