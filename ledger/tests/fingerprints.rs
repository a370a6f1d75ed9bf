//! Fingerprints: when two commands are the same one sent twice, and when they are two.

#[path = "support/arbitrary.rs"]
mod arbitrary;

use std::collections::HashMap;

use arbitrary::{cases, command};
use ledger::codec::{binary, json};
use ledger::{Command, Hash};
use proptest::prelude::*;

fn fingerprint(body: &str) -> Hash {
    read(body).fingerprint()
}

fn read(body: &str) -> Command {
    json::decode_command(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error}"))
}

const TRANSFER: &str = r#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","type":"transfer","from_account_id":"A","to_account_id":"B","amount":"25.00","currency":"USD","description":"rent","actor":"teller-3","metadata":{"invoice":"77","year":"2026"},"expected_version":7}"#;

#[test]
fn spelling_makes_no_difference() {
    let original = fingerprint(TRANSFER);
    for (what, same) in [
        ("fewer zeros", TRANSFER.replace(r#""25.00""#, r#""25""#)),
        ("more zeros", TRANSFER.replace(r#""25.00""#, r#""25.0000""#)),
        ("a number", TRANSFER.replace(r#""25.00""#, "25.0")),
        ("an exponent", TRANSFER.replace(r#""25.00""#, "2.5e1")),
        ("leading zeros", TRANSFER.replace(r#""25.00""#, r#""0025""#)),
        ("white space", TRANSFER.replace(',', " ,\r\n\t")),
        ("escapes", TRANSFER.replace("rent", r"\u0072e\u006et")),
        ("an escaped name", TRANSFER.replace("\"actor\"", r#""\u0061ctor""#)),
        (
            "upper case",
            TRANSFER.replace("6f1c2a3e-58b1-4c0e", "6F1C2A3E-58B1-4C0E"),
        ),
        (
            "another order",
            r#"{"expected_version":7,"metadata":{"year":"2026","invoice":"77"},"actor":"teller-3","description":"rent","currency":"USD","amount":"25.00","to_account_id":"B","from_account_id":"A","type":"transfer","command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11"}"#.to_owned(),
        ),
    ] {
        assert_ne!(same, TRANSFER, "{what}");
        assert_eq!(fingerprint(&same), original, "{what}");
    }
}

#[test]
fn the_encoding_makes_no_difference() {
    let bytes = binary::encode_command(&read(TRANSFER));
    let command = binary::decode_command(&bytes).unwrap();
    assert_eq!(command.fingerprint(), fingerprint(TRANSFER));
}

#[test]
fn what_is_left_out_is_the_same_as_its_default() {
    let create = r#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","type":"create_account","account_id":"A","owner_name":"Ada","currency":"USD"}"#;
    let with = |more: &str| format!("{},{more}}}", create.strip_suffix('}').unwrap());
    for same in [
        with(r#""initial_balance":"0.00""#),
        with(r#""initial_balance":0"#),
        with(r#""initial_balance":"-0.0""#),
        with(r#""overdraft_limit":"0""#),
        with(r#""description":null,"actor":null,"metadata":null,"expected_version":null"#),
        with(r#""metadata":{}"#),
    ] {
        assert_eq!(fingerprint(&same), fingerprint(create), "{same}");
    }
}

#[test]
fn the_later_commands_have_defaults_and_spellings_as_well() {
    let body = |type_name: &str, rest: &str| {
        format!(
            r#"{{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","type":"{type_name}","account_id":"A"{rest}}}"#
        )
    };
    let hold = r#","hold_id":"11111111-2222-4333-8444-aaaaaaaaaaaa""#;
    for (type_name, one, same) in [
        (
            "freeze_account",
            r#","reason":"x""#.to_owned(),
            r#","scope":"all","reason":"x""#.to_owned(),
        ),
        ("unfreeze_account", String::new(), r#","scope":"all","reason":null"#.to_owned()),
        (
            "close_account",
            String::new(),
            r#","sweep_to_account_id":null,"if_balance_at_least":null,"not_before":null,"expires_at":null"#.to_owned(),
        ),
        (
            "set_overdraft_limit",
            r#","overdraft_limit":"50""#.to_owned(),
            r#","overdraft_limit":50.00"#.to_owned(),
        ),
        (
            "hold",
            format!(r#"{hold},"amount":"1","hold_expires_at":"2026-01-31T12:00:00Z""#),
            format!(
                r#"{},"amount":1.0,"hold_expires_at":"2026-01-31T13:00:00.000+01:00""#,
                hold.replace("aaaaaaaaaaaa", "AAAAAAAAAAAA")
            ),
        ),
        ("capture", hold.to_owned(), format!(r#"{hold},"final":false,"amount":null"#)),
        ("release", format!(r#"{hold},"amount":"2.50""#), format!(r#"{hold},"amount":"2.5""#)),
        (
            "reverse",
            r#","reversed_command_id":"66666666-7777-4888-9999-aaaaaaaaaaaa","amount":"2.50","reason":"x""#.to_owned(),
            r#","reason":"\u0078","amount":2.5,"reversed_command_id":"66666666-7777-4888-9999-AAAAAAAAAAAA""#.to_owned(),
        ),
        (
            "expire_hold",
            format!(r#"{hold},"if_balance_at_least":"-0.50""#),
            format!(r#"{hold},"if_balance_at_least":-0.5"#),
        ),
    ] {
        let (one, same) = (body(type_name, &one), body(type_name, &same));
        assert_eq!(fingerprint(&one), fingerprint(&same), "{one}\n{same}");
        let bytes = binary::encode_command(&read(&one));
        let command = binary::decode_command(&bytes).unwrap();
        assert_eq!(command.fingerprint(), fingerprint(&one));
    }
}

/// All of it matters: what is left out, what is given, and which of the two accounts.
#[test]
#[expect(clippy::too_many_lines, reason = "one list per type of command")]
fn every_field_of_the_later_commands_makes_a_difference() {
    const HOLD: &str = r#""hold_id":"11111111-2222-4333-8444-555555555555""#;
    const REVERSED: &str = r#""reversed_command_id":"66666666-7777-4888-9999-aaaaaaaaaaaa""#;
    let variants: [(&str, &[&str]); 11] = [
        (
            "freeze_account",
            &[
                r#""reason":"x""#,
                r#""reason":"y""#,
                r#""reason":"x","scope":"debits""#,
                r#""reason":"x","scope":"credits""#,
                r#""reason":"x","description":"x""#,
            ],
        ),
        (
            "unfreeze_account",
            &[
                r#""scope":"all""#,
                r#""scope":"debits""#,
                r#""reason":"""#,
                r#""reason":"x""#,
            ],
        ),
        (
            "close_account",
            &[
                r#""actor":"x""#,
                r#""sweep_to_account_id":"B""#,
                r#""sweep_to_account_id":"C""#,
            ],
        ),
        (
            "set_overdraft_limit",
            &[r#""overdraft_limit":"0""#, r#""overdraft_limit":"1""#],
        ),
        (
            "update_account",
            &[
                r#""owner_name":"x""#,
                r#""owner_name":"""#,
                r#""account_metadata":{}"#,
                r#""account_metadata":{"a":"1"}"#,
                r#""account_metadata":{"a":"2"}"#,
                r#""owner_name":"x","account_metadata":{}"#,
                r#""owner_name":"x","metadata":{"a":"1"}"#,
            ],
        ),
        (
            "hold",
            &[
                r#"HOLD,"amount":"1""#,
                r#"HOLD,"amount":"2""#,
                r#"HOLD,"amount":"1","currency":"USD""#,
                r#"HOLD,"amount":"1","hold_expires_at":"2026-01-31T12:00:00Z""#,
                r#"HOLD,"amount":"1","hold_expires_at":"2026-01-31T12:00:00.000001Z""#,
                r#"HOLD,"amount":"1","expires_at":"2026-01-31T12:00:00Z""#,
                r#"HOLD,"amount":"1","not_before":"2026-01-31T12:00:00Z""#,
                r#"HOLD,"amount":"1","if_balance_at_least":"0""#,
                r#""hold_id":"11111111-2222-4333-8444-555555555556","amount":"1""#,
            ],
        ),
        (
            "capture",
            &[
                "HOLD",
                r#"HOLD,"amount":"1""#,
                r#"HOLD,"amount":"1","final":true"#,
                r#"HOLD,"final":true"#,
                r#"HOLD,"to_account_id":"B""#,
                r#"HOLD,"to_account_id":"C""#,
                r#"HOLD,"if_balance_at_least":"1""#,
            ],
        ),
        (
            "reverse",
            &[
                r#"REVERSED,"reason":"x""#,
                r#"REVERSED,"reason":"y""#,
                r#"REVERSED,"reason":"""#,
                r#"REVERSED,"reason":"x","description":"x""#,
                r#"REVERSED,"reason":"x","amount":"1""#,
                r#"REVERSED,"reason":"x","amount":"2""#,
                r#""reversed_command_id":"66666666-7777-4888-9999-aaaaaaaaaaab","reason":"x""#,
                // The command itself.
                r#""reversed_command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","reason":"x""#,
            ],
        ),
        ("release", &["HOLD", r#"HOLD,"amount":"1""#]),
        ("expire_hold", &["HOLD", r#"HOLD,"expected_version":1"#]),
        (
            "set_account_rules",
            &[
                r#""minimum_balance":null"#,
                r#""minimum_balance":"0""#,
                r#""minimum_balance":"-1""#,
                r#""maximum_balance":"0""#,
                r#""daily_debit_amount_max":"0""#,
                r#""daily_debit_count_max":0"#,
                r#""daily_debit_count_max":1"#,
                r#""allowed_counterparties":[]"#,
                r#""allowed_counterparties":["B"]"#,
                r#""allowed_counterparties":["C"]"#,
                r#""allowed_counterparties":["B","C"]"#,
                r#""minimum_balance":"0","maximum_balance":"0""#,
            ],
        ),
    ];
    let mut known = HashMap::new();
    for (type_name, fields) in variants {
        for fields in fields {
            for account in ["A", "B"] {
                let fields = fields.replace("HOLD", HOLD).replace("REVERSED", REVERSED);
                let body = format!(
                    r#"{{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","type":"{type_name}","account_id":"{account}",{fields}}}"#
                );
                if let Some(other) = known.insert(fingerprint(&body), body.clone()) {
                    panic!("{body}\nhas the fingerprint of\n{other}");
                }
            }
        }
    }
    assert_eq!(known.len(), 122);
}

/// Every pair of these is two commands.
#[test]
fn every_field_makes_a_difference() {
    let create = r#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","type":"create_account","account_id":"A","owner_name":"Ada","currency":"USD","initial_balance":"1","overdraft_limit":"2"}"#;
    let deposit = r#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","type":"deposit","account_id":"A","amount":"25.00"}"#;
    let mut bodies = vec![TRANSFER.to_owned(), create.to_owned(), deposit.to_owned()];
    for (original, changes) in [
        (
            TRANSFER,
            &[
                ("0d8f6c1f7b11", "0d8f6c1f7b12"),
                (r#""A""#, r#""B""#),
                (r#""B""#, r#""A""#),
                (r#""A","to_account_id":"B""#, r#""B","to_account_id":"A""#),
                ("25.00", "25.01"),
                ("25.00", "-25.00"),
                ("25.00", "250"),
                ("USD", "EUR"),
                (r#""currency":"USD","#, ""),
                ("rent", "Rent"),
                ("rent", "rent "),
                ("rent", ""),
                (r#""description":"rent","#, ""),
                ("teller-3", "teller-4"),
                (r#""actor":"teller-3","#, ""),
                ("77", "78"),
                ("invoice", "Invoice"),
                (r#","year":"2026""#, ""),
                (r#""metadata":{"invoice":"77","year":"2026"},"#, ""),
                (":7}", ":8}"),
                (":7}", ":0}"),
                (r#","expected_version":7"#, ""),
            ][..],
        ),
        (
            create,
            &[
                (r#""A""#, r#""a""#),
                ("Ada", "ada"),
                ("USD", "EUR"),
                (r#""1""#, r#""1.1""#),
                (r#""1""#, r#""2""#),
                (r#""2""#, r#""1""#),
                (
                    r#""1","overdraft_limit":"2""#,
                    r#""2","overdraft_limit":"1""#,
                ),
            ],
        ),
        (deposit, &[("deposit", "withdraw"), (r#""25.00""#, "26")]),
    ] {
        for (old, new) in changes {
            assert_eq!(original.matches(old).count(), 1, "{old}");
            bodies.push(original.replace(old, new));
        }
    }
    let mut known = HashMap::new();
    for body in bodies {
        if let Some(other) = known.insert(fingerprint(&body), body.clone()) {
            panic!("{body}\nhas the fingerprint of\n{other}");
        }
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_command_has_one_fingerprint_and_another_command_another(one in command(), other in command()) {
        prop_assert_eq!(one.clone().fingerprint(), one.fingerprint());
        prop_assert_eq!(one.fingerprint() == other.fingerprint(), one == other);
        let mut renamed = one.clone();
        renamed.command_id = other.command_id;
        prop_assert_eq!(renamed.fingerprint() == one.fingerprint(), renamed == one);
    }
}
