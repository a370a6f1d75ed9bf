//! What is hashed is the canonical JSON of RFC 8785, as another implementation writes it: anyone can check a hash.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

#[path = "support/arbitrary.rs"]
mod arbitrary;

use arbitrary::{cases, command, event};
use ledger::codec::json;
use ledger::{Command, Hash};
use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).unwrap()
}

fn sha256(bytes: &[u8]) -> Hash {
    Hash::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

/// What a fingerprint is made of, by somebody who has only read its documentation.
fn normalized(command: &Command) -> Value {
    let mut value = parsed(&json::encode_command(command));
    normalize(&mut value);
    value
}

fn normalize(value: &mut Value) {
    for name in [
        "amount",
        "daily_debit_amount_max",
        "if_balance_at_least",
        "initial_balance",
        "maximum_balance",
        "minimum_balance",
        "overdraft_limit",
        "rate",
        "to_amount",
    ] {
        if let Some(Value::String(amount)) = value.get_mut(name) {
            if amount.contains('.') {
                *amount = amount
                    .trim_end_matches('0')
                    .trim_end_matches('.')
                    .to_owned();
            }
            if amount == "-0" {
                "0".clone_into(amount);
            }
        }
    }
    for name in ["commands", "entries"] {
        if let Some(Value::Array(values)) = value.get_mut(name) {
            values.iter_mut().for_each(normalize);
        }
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn an_event_is_written_in_canonical_form(event in event()) {
        let written = json::encode_event(&event);
        prop_assert_eq!(canonical(&parsed(&written)), written);
    }

    #[test]
    fn an_events_data_is_written_in_canonical_form(event in event()) {
        let written = json::encode_event_data(&event);
        prop_assert_eq!(canonical(&parsed(written.as_bytes())), written.as_bytes());
        let whole = parsed(&json::encode_event(&event));
        prop_assert_eq!(&whole["data"], &parsed(written.as_bytes()));
    }

    #[test]
    fn the_hash_is_of_the_canonical_form_without_the_hash(event in event()) {
        let mut value = parsed(&json::encode_event(&event));
        let hash = value.as_object_mut().unwrap().remove("hash").unwrap();
        prop_assert_eq!(sha256(&canonical(&value)), event.hash);
        prop_assert_eq!(hash, event.hash.to_string());
    }

    #[test]
    fn a_command_is_written_in_canonical_form(command in command()) {
        let written = json::encode_command(&command);
        prop_assert_eq!(canonical(&parsed(&written)), written);
    }

    #[test]
    fn a_fingerprint_is_of_the_canonical_form_without_trailing_zeros(command in command()) {
        prop_assert_eq!(sha256(&canonical(&normalized(&command))), command.fingerprint());
    }
}
