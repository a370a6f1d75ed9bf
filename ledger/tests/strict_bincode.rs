//! Strict decoding of bincode commands: every limit of the JSON form, and the ways in which bytes can lie.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

use std::collections::BTreeMap;

use ledger::codec::{Malformed, binary, json};
use ledger::{Action, Command};
use rust_decimal::Decimal;

const ID: &str = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";
const DEPOSIT: u32 = 1;

/// A deposit of format version 1 as its bytes stand, with room for what no encoder writes. Texts are bytes.
#[derive(Clone)]
struct Raw {
    variant: u32,
    account_id: Vec<u8>,
    amount: [u8; 16],
    currency: Option<Vec<u8>>,
    description: Option<Vec<u8>>,
    actor: Option<Vec<u8>>,
    metadata: Vec<(Vec<u8>, Vec<u8>)>,
    expected_version: Option<u64>,
}

impl Raw {
    fn plain() -> Self {
        Self {
            variant: DEPOSIT,
            account_id: b"ACC-1".to_vec(),
            amount: Decimal::new(2_500, 2).serialize(),
            currency: None,
            description: None,
            actor: None,
            metadata: Vec::new(),
            expected_version: None,
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut raw = Self::plain();
        change(&mut raw);
        raw.bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        let action = (self.variant, &self.account_id, self.amount, &self.currency);
        let command_id: ledger::CommandId = ID.parse().unwrap();
        let body = (
            command_id.as_uuid().into_bytes(),
            action,
            &self.description,
            &self.actor,
            &self.metadata,
            self.expected_version,
        );
        let encoded = bincode::serde::encode_to_vec(body, bincode::config::standard()).unwrap();
        [vec![binary::FORMAT_VERSIONS[0]], encoded].concat()
    }
}

#[track_caller]
fn refused(bytes: &[u8], code: &str, message: &str) -> Malformed {
    let malformed = binary::decode_command(bytes).expect_err("these bytes are no command");
    assert_eq!(malformed.message, message);
    assert_eq!(malformed.code, code);
    malformed
}

/// As [`refused`], for bodies whose command id can be read.
#[track_caller]
fn refused_by_name(bytes: &[u8], code: &str, message: &str) {
    let malformed = refused(bytes, code, message);
    let id = malformed.command_id.map(|id| id.to_string());
    assert_eq!(id.as_deref(), Some(ID));
}

fn text(length: usize) -> Vec<u8> {
    vec![b'x'; length]
}

#[test]
fn the_plain_deposit_is_what_the_encoder_writes() {
    let command = binary::decode_command(&Raw::plain().bytes()).unwrap();
    assert_eq!(command.command_id.to_string(), ID);
    assert_eq!(binary::encode_command(&command), Raw::plain().bytes());
}

#[test]
fn another_format_version_is_refused() {
    for version in [0, 4, 255] {
        let mut bytes = Raw::plain().bytes();
        bytes[0] = version;
        refused(
            &bytes,
            "unsupported_format_version",
            &format!(
                "bincode begins with the format's version, 1 to 3, and this body begins with {version}"
            ),
        );
    }
    refused(b"", "invalid_bincode", "the body is empty");
}

#[test]
fn a_body_cut_off_anywhere_is_refused() {
    let bytes = Raw::with(|raw| {
        raw.currency = Some(b"USD".to_vec());
        raw.metadata = vec![(b"invoice".to_vec(), b"77".to_vec())];
        raw.expected_version = Some(7);
    });
    binary::decode_command(&bytes).unwrap();
    for length in 1..bytes.len() {
        refused(
            &bytes[..length],
            "invalid_bincode",
            "the body is no command: it ends too early",
        );
    }
}

#[test]
fn garbage_behind_a_command_is_refused() {
    for garbage in [&b"\0"[..], b"x", &[1; 100]] {
        let plain = Raw::plain().bytes();
        let bytes = [&plain, garbage].concat();
        let message = format!(
            "the command ends after {} bytes, and the body has {}",
            plain.len(),
            bytes.len()
        );
        refused(&bytes, "invalid_bincode", &message);
    }
}

#[test]
fn an_unknown_command_is_refused() {
    for variant in [18, 250, u32::MAX] {
        refused(
            &Raw::with(|raw| raw.variant = variant),
            "invalid_bincode",
            &format!(
                "the body is no command: invalid value: integer `{variant}`, expected variant index 0 <= i < 18"
            ),
        );
    }
}

/// A made-up length must neither reserve memory nor take time: 2^62 bytes would abort the process.
#[test]
fn a_huge_length_reserves_nothing() {
    for length in [(2 << 20) + 1, 1 << 31, 1 << 40, 1 << 62, u64::MAX] {
        let prefix = bincode::encode_to_vec(length, bincode::config::standard()).unwrap();
        let plain = Raw::plain().bytes();
        // Format version, command id and variant; then the length of account_id.
        let (head, tail) = plain.split_at(1 + 16 + 1);
        let account_id = [head, &prefix, &tail[1..]].concat();
        refused(
            &account_id,
            "invalid_bincode",
            "the body is no command: a length in it is larger than the 262144 bytes of a whole body",
        );
        // The last two bytes are the number of metadata entries and the absent expected_version.
        let metadata = [&plain[..plain.len() - 2], &prefix, &[0]].concat();
        let malformed = binary::decode_command(&metadata).unwrap_err();
        assert_eq!(malformed.code, "invalid_bincode");
    }
}

#[test]
fn a_text_that_is_not_utf8_is_refused() {
    for bytes in [
        Raw::with(|raw| raw.account_id = vec![0xff]),
        Raw::with(|raw| raw.description = Some(vec![0xed, 0xa0, 0x80])),
        Raw::with(|raw| raw.metadata = vec![(vec![0xc0, 0x80], vec![])]),
    ] {
        refused(
            &bytes,
            "invalid_bincode",
            "the body is no command: a text in it is not UTF-8",
        );
    }
}

#[test]
fn an_option_is_absent_or_present() {
    let mut bytes = Raw::plain().bytes();
    *bytes.last_mut().unwrap() = 2;
    let malformed = binary::decode_command(&bytes).unwrap_err();
    assert_eq!(malformed.code, "invalid_bincode");
}

#[test]
fn sixteen_bytes_that_are_no_decimal_are_refused() {
    let no_decimal = "amount: these 16 bytes are no decimal: flags (scale in bits 16-23, sign in bit 31) and a mantissa of 96 bits, little-endian";
    let with_flags = |flags: u32| {
        let mut amount = [0; 16];
        amount[..4].copy_from_slice(&flags.to_le_bytes());
        amount[4] = 1;
        Raw::with(|raw| raw.amount = amount)
    };
    for flags in [
        1,
        0xffff,
        29 << 16,
        255 << 16,
        1 << 24,
        1 << 30,
        0x7fff_0000,
        u32::MAX,
    ] {
        refused_by_name(&with_flags(flags), "invalid_amount", no_decimal);
    }
    for flags in [0, 28 << 16, 1 << 31] {
        binary::decode_command(&with_flags(flags)).unwrap();
    }
}

#[test]
fn a_decimal_has_the_digits_that_a_text_may_have() {
    let with_mantissa = |mantissa: i128| {
        let amount = Decimal::from_i128_with_scale(mantissa, 2).serialize();
        Raw::with(|raw| raw.amount = amount)
    };
    let largest = 10_i128.pow(27) - 1;
    binary::decode_command(&with_mantissa(largest)).unwrap();
    refused_by_name(
        &with_mantissa(largest + 1),
        "invalid_amount",
        r#"amount: an amount has at most 27 digits and 28 decimals, and this has more: "10000000000000000000000000.00""#,
    );
    refused_by_name(
        &with_mantissa((1 << 96) - 1),
        "invalid_amount",
        r#"amount: an amount has at most 27 digits and 28 decimals, and this has more: "792281625142643375935439503.35""#,
    );
}

#[test]
fn a_negative_zero_becomes_zero() {
    let mut negative_zero = [0; 16];
    negative_zero[3] = 0x80;
    let command = binary::decode_command(&Raw::with(|raw| raw.amount = negative_zero)).unwrap();
    let Action::Deposit(deposit) = command.action else {
        panic!("{command:?}");
    };
    assert_eq!(deposit.amount.to_string(), "0");
}

#[test]
fn every_limit_of_the_json_form_holds_here_too() {
    for (bytes, code, message) in [
        (
            Raw::with(|raw| raw.account_id = b"a.b".to_vec()),
            "invalid_account_id",
            r#"account_id: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: "a.b""#,
        ),
        (
            Raw::with(|raw| raw.account_id = vec![]),
            "invalid_account_id",
            r#"account_id: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: """#,
        ),
        (
            Raw::with(|raw| raw.currency = Some(b"usd".to_vec())),
            "invalid_currency",
            r#"currency: a currency code is 3 to 12 characters of A-Z 0-9 such as USD, and this is not: "usd""#,
        ),
        (
            Raw::with(|raw| raw.description = Some(text(2_049))),
            "text_too_long",
            "description has at most 2048 bytes of UTF-8, and this has 2049",
        ),
        (
            Raw::with(|raw| raw.description = Some(b"a\0b".to_vec())),
            "invalid_text",
            "description must not contain the character U+0000; remove it",
        ),
        (
            Raw::with(|raw| raw.actor = Some(text(257))),
            "text_too_long",
            "actor has at most 256 bytes of UTF-8, and this has 257",
        ),
        (
            Raw::with(|raw| raw.actor = Some(vec![0])),
            "invalid_text",
            "actor must not contain the character U+0000; remove it",
        ),
        (
            Raw::with(|raw| raw.metadata = vec![(b"a".to_vec(), b"1".to_vec()); 2]),
            "invalid_metadata",
            r#"metadata has the key "a" twice"#,
        ),
        (
            Raw::with(|raw| raw.metadata = vec![(b"a b".to_vec(), vec![])]),
            "invalid_metadata",
            r#"a key of metadata is 1 to 64 printable ASCII characters without spaces, and this is not: "a b""#,
        ),
        (
            Raw::with(|raw| raw.metadata = vec![(b"a".to_vec(), text(513))]),
            "text_too_long",
            "metadata.a has at most 512 bytes of UTF-8, and this has 513",
        ),
        (
            Raw::with(|raw| {
                raw.metadata = (0..51)
                    .map(|n| (format!("k{n}").into_bytes(), vec![]))
                    .collect();
            }),
            "invalid_metadata",
            "metadata has at most 50 entries, and this has 51",
        ),
        (
            Raw::with(|raw| raw.expected_version = Some(1 << 53)),
            "invalid_field",
            "expected_version must be a whole number from 0 to 9007199254740991, and this is not: 9007199254740992",
        ),
    ] {
        refused_by_name(&bytes, code, message);
    }
}

/// Format version 2 is version 1 with the conditions of later on behind it.
fn in_version_2(
    least: Option<[u8; 16]>,
    not_before: Option<i64>,
    expires_at: Option<i64>,
) -> Vec<u8> {
    with_date(&Raw::plain(), (least, not_before, expires_at), None)
}

type Conditions = (Option<[u8; 16]>, Option<i64>, Option<i64>);

/// The business date stands behind the conditions.
fn with_date(raw: &Raw, conditions: Conditions, effective_at: Option<i64>) -> Vec<u8> {
    let plain = raw.bytes();
    let more = (conditions, effective_at);
    let more = bincode::serde::encode_to_vec(more, bincode::config::standard()).unwrap();
    [&[binary::FORMAT_VERSIONS[1]], &plain[1..], &more].concat()
}

#[test]
fn the_second_version_has_the_conditions_behind_the_first() {
    let least = Decimal::new(-50, 2);
    let noon = 1_769_860_800_000_000;
    let bytes = in_version_2(Some(least.serialize()), Some(noon), Some(noon + 1));
    let command = binary::decode_command(&bytes).unwrap();
    assert_eq!(command.conditions.if_balance_at_least, Some(least));
    let not_before = command.conditions.not_before.unwrap();
    assert_eq!(not_before.to_string(), "2026-01-31T12:00:00.000000Z");
    assert_eq!(
        command.conditions.expires_at,
        Some(not_before.next_microsecond())
    );
    assert_eq!(binary::encode_command(&command), bytes);
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

/// Whoever has nothing to say in version 2 is understood, but writes version 1.
#[test]
fn a_command_without_conditions_is_written_in_the_first_version() {
    let plain = Raw::plain().bytes();
    let command = binary::decode_command(&in_version_2(None, None, None)).unwrap();
    assert_eq!(command, binary::decode_command(&plain).unwrap());
    assert_eq!(binary::encode_command(&command), plain);
    // The first version has nothing behind it, whatever it is.
    let mut first = in_version_2(None, Some(0), None);
    first[0] = binary::FORMAT_VERSIONS[0];
    let malformed = binary::decode_command(&first).unwrap_err();
    assert_eq!(malformed.code, "invalid_bincode");
}

#[test]
fn the_second_version_has_the_business_date_behind_the_conditions() {
    let noon = 1_769_860_800_000_000;
    let bytes = with_date(&Raw::plain(), Conditions::default(), Some(noon));
    let command = binary::decode_command(&bytes).unwrap();
    let effective_at = command.effective_at.unwrap();
    assert_eq!(effective_at.to_string(), "2026-01-31T12:00:00.000000Z");
    assert_eq!(command.conditions, ledger::Conditions::default());
    assert_eq!(binary::encode_command(&command), bytes);
    for length in 1..bytes.len() {
        refused(
            &bytes[..length],
            "invalid_bincode",
            "the body is no command: it ends too early",
        );
    }
}

/// In bincode it stands behind every command; so the type is looked at.
#[test]
fn only_what_moves_money_has_a_business_date() {
    let encoded = |effective_at: Option<i64>| {
        let body = r#""account_id":"A","reason":"audit""#;
        let body = format!(r#"{{"command_id":"{ID}","type":"freeze_account",{body}}}"#);
        let first = binary::encode_command(&json::decode_command(body.as_bytes()).unwrap());
        assert_eq!(first[0], binary::FORMAT_VERSIONS[0]);
        let more = (Conditions::default(), effective_at);
        let more = bincode::serde::encode_to_vec(more, bincode::config::standard()).unwrap();
        [&[binary::FORMAT_VERSIONS[1]], &first[1..], &more].concat()
    };
    binary::decode_command(&encoded(None)).unwrap();
    refused_by_name(
        &encoded(Some(0)),
        "unknown_field",
        r#"freeze_account has no field "effective_at"; check its spelling or leave it out"#,
    );
}

#[test]
fn conditions_are_held_to_the_limits_of_the_json_form() {
    for outside in [
        i64::MIN,
        ledger::Timestamp::MIN.unix_microseconds() - 1,
        ledger::Timestamp::MAX.unix_microseconds() + 1,
        i64::MAX,
    ] {
        for (name, bytes) in [
            ("not_before", in_version_2(None, Some(outside), None)),
            ("expires_at", in_version_2(None, None, Some(outside))),
            (
                "effective_at",
                with_date(&Raw::plain(), Conditions::default(), Some(outside)),
            ),
        ] {
            refused_by_name(
                &bytes,
                "invalid_timestamp",
                &format!("{name} {outside} µs lies outside the years 1 to 9999"),
            );
        }
    }
    let too_many = Decimal::from_i128_with_scale(10_i128.pow(27), 2).serialize();
    refused_by_name(
        &in_version_2(Some(too_many), None, None),
        "invalid_amount",
        r#"if_balance_at_least: an amount has at most 27 digits and 28 decimals, and this has more: "10000000000000000000000000.00""#,
    );
    refused_by_name(
        &in_version_2(Some([1; 16]), None, None),
        "invalid_amount",
        "if_balance_at_least: these 16 bytes are no decimal: flags (scale in bits 16-23, sign in bit 31) and a mantissa of 96 bits, little-endian",
    );
}

/// An action as its bytes stand: the number of its variant, and its fields as a tuple.
fn with_action(action: impl serde::Serialize) -> Vec<u8> {
    let command_id: ledger::CommandId = ID.parse().unwrap();
    let no_text: Option<String> = None;
    let no_entries: Vec<(String, String)> = Vec::new();
    let body = (
        command_id.as_uuid().into_bytes(),
        action,
        &no_text,
        &no_text,
        &no_entries,
        None::<u64>,
    );
    let encoded = bincode::serde::encode_to_vec(body, bincode::config::standard()).unwrap();
    [vec![binary::FORMAT_VERSIONS[0]], encoded].concat()
}

#[test]
fn the_later_commands_are_held_to_the_limits_of_the_json_form() {
    let no_account = |field: &str| {
        format!(
            r#"{field}: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: "a.b""#
        )
    };
    let (account, hold) = ("A", [7_u8; 16]);
    let amount = Decimal::ONE.serialize();
    let (none, none_at) = (None::<&str>, None::<i64>);
    let too_late = ledger::Timestamp::MAX.unix_microseconds() + 1;
    let long = "x".repeat(513);
    let entries = |key: &str, value: &str| Some(vec![(key.to_owned(), value.to_owned())]);
    for (bytes, code, message) in [
        (
            with_action((4_u32, account, 0_u32, &long)),
            "text_too_long",
            "reason has at most 512 bytes of UTF-8, and this has 513".to_owned(),
        ),
        (
            with_action((5_u32, account, 0_u32, Some("a\0"))),
            "invalid_text",
            "reason must not contain the character U+0000; remove it".to_owned(),
        ),
        (
            with_action((6_u32, account, Some("a.b"))),
            "invalid_account_id",
            no_account("sweep_to_account_id"),
        ),
        (
            with_action((7_u32, "a.b", amount)),
            "invalid_account_id",
            no_account("account_id"),
        ),
        (
            with_action((8_u32, account, none, None::<Vec<(String, String)>>)),
            "missing_field",
            "update_account changes nothing: owner_name and account_metadata are missing or null".to_owned(),
        ),
        (
            with_action((8_u32, account, Some("x".repeat(257)), entries("a", ""))),
            "text_too_long",
            "owner_name has at most 256 bytes of UTF-8, and this has 257".to_owned(),
        ),
        (
            with_action((8_u32, account, none, entries("a", &long))),
            "text_too_long",
            "account_metadata.a has at most 512 bytes of UTF-8, and this has 513".to_owned(),
        ),
        (
            with_action((8_u32, account, none, entries("a b", ""))),
            "invalid_metadata",
            r#"a key of account_metadata is 1 to 64 printable ASCII characters without spaces, and this is not: "a b""#.to_owned(),
        ),
        (
            with_action((8_u32, account, none, Some(vec![("a", "1"); 2]))),
            "invalid_metadata",
            r#"account_metadata has the key "a" twice"#.to_owned(),
        ),
        (
            with_action((9_u32, account, hold, amount, Some("usd"), none_at)),
            "invalid_currency",
            r#"currency: a currency code is 3 to 12 characters of A-Z 0-9 such as USD, and this is not: "usd""#.to_owned(),
        ),
        (
            with_action((9_u32, account, hold, amount, none, Some(too_late))),
            "invalid_timestamp",
            format!("hold_expires_at {too_late} µs lies outside the years 1 to 9999"),
        ),
        (
            with_action((10_u32, account, hold, Some(amount), true, Some("a.b"))),
            "invalid_account_id",
            no_account("to_account_id"),
        ),
        (
            with_action((11_u32, account, hold, Some([1_u8; 16]))),
            "invalid_amount",
            "amount: these 16 bytes are no decimal: flags (scale in bits 16-23, sign in bit 31) and a mantissa of 96 bits, little-endian".to_owned(),
        ),
        (
            with_action((12_u32, "a.b", hold)),
            "invalid_account_id",
            no_account("account_id"),
        ),
    ] {
        refused_by_name(&bytes, code, &message);
    }
    refused(
        &with_action((4_u32, account, 3_u32, "audit")),
        "invalid_bincode",
        "the body is no command: invalid value: integer `3`, expected variant index 0 <= i < 3",
    );
    // A boolean is 0 or 1.
    let malformed = binary::decode_command(&with_action((
        10_u32, account, hold, None::<u8>, 2_u8, none,
    )));
    assert_eq!(malformed.unwrap_err().code, "invalid_bincode");
}

#[test]
fn rules_are_held_to_the_limits_of_the_json_form() {
    const SET_ACCOUNT_RULES: u32 = 17;
    let (no_amount, no_count) = (None::<[u8; 16]>, None::<u32>);
    let allowing = |allowed: &[String]| {
        let rules = (Some(allowed), no_amount, no_count, no_amount, no_amount);
        with_action((SET_ACCOUNT_RULES, "A", rules))
    };
    let names = |count: usize| -> Vec<String> { (0..count).map(|n| format!("B-{n}")).collect() };
    let most = ledger::limits::COUNTERPARTIES_MAX;
    let allowed = binary::decode_command(&allowing(&names(most))).unwrap();
    let Action::SetAccountRules(action) = allowed.action else {
        panic!("{allowed:?}");
    };
    let count = action
        .rules
        .allowed_counterparties
        .map(|allowed| allowed.len());
    assert_eq!(count, Some(most));
    refused_by_name(
        &allowing(&names(most + 1)),
        "invalid_field",
        "allowed_counterparties has at most 100 items, and this has 101",
    );
    refused_by_name(
        &allowing(&["B".to_owned(), "C".to_owned(), "B".to_owned()]),
        "invalid_field",
        r#"allowed_counterparties has the account "B" twice"#,
    );
    refused_by_name(
        &allowing(&["B".to_owned(), "a.b".to_owned()]),
        "invalid_account_id",
        r#"allowed_counterparties[1]: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: "a.b""#,
    );
    for (place, field) in [
        (0, "daily_debit_amount_max"),
        (1, "maximum_balance"),
        (2, "minimum_balance"),
    ] {
        let wrong = |own: usize| (own == place).then_some([1_u8; 16]);
        let rules = (
            None::<Vec<String>>,
            wrong(0),
            Some(3_u32),
            wrong(1),
            wrong(2),
        );
        let message = format!(
            "{field}: these 16 bytes are no decimal: flags (scale in bits 16-23, sign in bit 31) and a mantissa of 96 bits, little-endian"
        );
        let bytes = with_action((SET_ACCOUNT_RULES, "A", rules));
        refused_by_name(&bytes, "invalid_amount", &message);
    }
}

#[test]
fn a_reversal_is_held_to_the_limits_of_the_json_form() {
    let (account, reversed) = ("A", [7_u8; 16]);
    let amount = Decimal::ONE.serialize();
    let too_many = Decimal::from_i128_with_scale(10_i128.pow(27), 0).serialize();
    let long = "x".repeat(513);
    for (bytes, code, message) in [
        (
            with_action((13_u32, "a.b", reversed, Some(amount), "why")),
            "invalid_account_id",
            r#"account_id: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: "a.b""#,
        ),
        (
            with_action((13_u32, account, reversed, Some([1_u8; 16]), "why")),
            "invalid_amount",
            "amount: these 16 bytes are no decimal: flags (scale in bits 16-23, sign in bit 31) and a mantissa of 96 bits, little-endian",
        ),
        (
            with_action((13_u32, account, reversed, Some(too_many), "why")),
            "invalid_amount",
            r#"amount: an amount has at most 27 digits and 28 decimals, and this has more: "1000000000000000000000000000""#,
        ),
        (
            with_action((13_u32, account, reversed, None::<[u8; 16]>, &long)),
            "text_too_long",
            "reason has at most 512 bytes of UTF-8, and this has 513",
        ),
        (
            with_action((13_u32, account, reversed, None::<[u8; 16]>, "a\0")),
            "invalid_text",
            "reason must not contain the character U+0000; remove it",
        ),
    ] {
        refused_by_name(&bytes, code, message);
    }
    // A reversal says which command and why; sixteen bytes are a command's name, whatever they are.
    for unnamed in [
        with_action((13_u32, account)),
        with_action((13_u32, account, reversed)),
        with_action((13_u32, account, reversed, None::<[u8; 16]>)),
    ] {
        let malformed = binary::decode_command(&unnamed).unwrap_err();
        assert_eq!(malformed.code, "invalid_bincode");
    }
    let named = with_action((13_u32, account, reversed, None::<[u8; 16]>, ""));
    let command = binary::decode_command(&named).unwrap();
    let (_, id) = command.reversed_command_ids().next().unwrap();
    assert_eq!(id.as_uuid().into_bytes(), reversed);
    assert_eq!(binary::encode_command(&command), named);
}

#[test]
fn the_largest_update_fits() {
    let mut metadata = BTreeMap::new();
    for number in 0..50 {
        metadata.insert(format!("{number:064}"), "x".repeat(512));
    }
    let metadata = serde_json::to_string(&metadata).unwrap();
    let body = format!(
        r#"{{"command_id":"{ID}","type":"update_account","account_id":"{}","owner_name":"{}","account_metadata":{metadata},"description":"{}","actor":"{}","metadata":{metadata},"expires_at":"9999-12-31T23:59:59.999999Z"}}"#,
        "A".repeat(64),
        "x".repeat(256),
        "x".repeat(2_048),
        "x".repeat(256),
    );
    let command: Command = json::decode_command(body.as_bytes()).unwrap();
    let bytes = binary::encode_command(&command);
    assert!(bytes.len() <= ledger::limits::BODY_BYTES_MAX);
    assert_eq!(binary::decode_command(&bytes).unwrap(), command);
}

#[test]
fn the_largest_command_fits() {
    let mut metadata = BTreeMap::new();
    for number in 0..50 {
        metadata.insert(format!("{number:064}"), "x".repeat(512));
    }
    let body = format!(
        r#"{{"command_id":"{ID}","type":"create_account","account_id":"{}","owner_name":"{}","currency":"USD","description":"{}","actor":"{}","metadata":{}}}"#,
        "A".repeat(64),
        "x".repeat(256),
        "x".repeat(2_048),
        "x".repeat(256),
        serde_json::to_string(&metadata).unwrap(),
    );
    let command: Command = json::decode_command(body.as_bytes()).unwrap();
    let bytes = binary::encode_command(&command);
    assert_eq!(binary::decode_command(&bytes).unwrap(), command);
}
