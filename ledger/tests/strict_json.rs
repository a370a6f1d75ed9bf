//! Strict decoding of JSON commands: each bad body has a reason of its own, which says what is wrong and what to do.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

use std::fmt::Write as _;

use ledger::codec::{Malformed, decode_command};
use ledger::{Action, Command};

const ID: &str = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";

/// A deposit with `field` set to `value`, which is JSON; without the field when the value is empty.
fn deposit_with(field: &str, value: &str) -> String {
    let id = format!("{ID:?}");
    let mut members = vec![
        ("command_id", id.as_str()),
        ("type", r#""deposit""#),
        ("account_id", r#""ACC-1""#),
        ("amount", r#""25.00""#),
    ];
    members.retain(|(name, _)| *name != field);
    if !value.is_empty() {
        members.push((field, value));
    }
    let mut body = String::new();
    for (name, value) in members {
        let separator = if body.is_empty() { '{' } else { ',' };
        write!(body, "{separator}{name:?}:{value}").unwrap();
    }
    body.push('}');
    body
}

fn entries(count: usize) -> String {
    let entries: Vec<String> = (0..count).map(|n| format!(r#""k{n}":"v""#)).collect();
    format!("{{{}}}", entries.join(","))
}

#[track_caller]
fn refused(body: impl AsRef<[u8]>, code: &str, message: &str) -> Malformed {
    let malformed = decode_command(None, body.as_ref()).expect_err("this body is no command");
    assert_eq!(malformed.message, message);
    assert_eq!(malformed.code, code);
    malformed
}

/// Each value of `field` is refused with this code and, for each, this message; the command's id is known all the same.
#[track_caller]
fn refused_values<const N: usize>(field: &str, code: &str, cases: [(&str, &str); N]) {
    for (value, message) in cases {
        let malformed = refused(deposit_with(field, value), code, message);
        let id = malformed.command_id.map(|id| id.to_string());
        assert_eq!(id.as_deref(), Some(ID), "{field}: {value}");
    }
}

fn accepted(body: impl AsRef<[u8]>) -> Command {
    decode_command(None, body.as_ref()).expect("this body is a command")
}

fn amount_of(command: &Command) -> String {
    match &command.action {
        Action::Deposit(deposit) => deposit.amount.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_plain_deposit_is_accepted() {
    let command = accepted(deposit_with("description", "null"));
    assert_eq!(command.command_id.to_string(), ID);
    assert_eq!(amount_of(&command), "25.00");
}

#[test]
fn what_is_no_json_object_is_refused() {
    for (body, message) in [
        ("", "the body is empty"),
        (
            " ",
            "the body is no JSON object: EOF while parsing a value at line 1 column 1",
        ),
        (
            "null",
            "the body is no JSON object: invalid type: null, expected an object at line 1 column 4",
        ),
        (
            "7",
            "the body is no JSON object: invalid type: integer `7`, expected an object at line 1 column 1",
        ),
        (
            "[]",
            "the body is no JSON object: invalid type: sequence, expected an object at line 1 column 0",
        ),
        (
            "{",
            "the body is no JSON object: EOF while parsing an object at line 1 column 1",
        ),
        (
            r#"{"a":1,}"#,
            "the body is no JSON object: trailing comma at line 1 column 8",
        ),
        (
            "{a:1}",
            "the body is no JSON object: key must be a string at line 1 column 2",
        ),
        (
            "{'a':1}",
            "the body is no JSON object: key must be a string at line 1 column 2",
        ),
        (
            "// why\n{}",
            "the body is no JSON object: expected value at line 1 column 1",
        ),
        (
            "{} {}",
            "the body is no JSON object: trailing characters at line 1 column 4",
        ),
        (
            r#"{"amount":NaN}"#,
            "the body is no JSON object: expected value at line 1 column 11",
        ),
        (
            r#"{"amount":-Infinity}"#,
            "the body is no JSON object: invalid number at line 1 column 12",
        ),
        (
            r#"{"amount":01}"#,
            "the body is no JSON object: invalid number at line 1 column 12",
        ),
        (
            r#"{"a":"\x"}"#,
            "the body is no JSON object: invalid escape at line 1 column 8",
        ),
        (
            "\u{feff}{}",
            "the body begins with a byte order mark; leave it out (RFC 8259 §8.1)",
        ),
        (
            "\u{1}\u{0}",
            "the body is no JSON object; if it is bincode, send it with Content-Type: application/vnd.chronicle.bincode",
        ),
    ] {
        let malformed = refused(body, "invalid_json", message);
        assert_eq!(malformed.command_id, None);
    }
}

#[test]
fn garbage_behind_a_command_is_refused() {
    for garbage in ["x", "}", ",", "\0", "{}"] {
        let body = deposit_with("actor", "") + garbage;
        let message = format!(
            "the body is no JSON object: trailing characters at line 1 column {}",
            body.len() + 1 - garbage.len()
        );
        refused(body, "invalid_json", &message);
    }
    accepted(deposit_with("actor", "") + " \r\n\t");
}

#[test]
fn a_body_cut_off_anywhere_is_refused() {
    let body = deposit_with("metadata", r#"{"invoice":"77"}"#);
    accepted(&body);
    for length in 0..body.len() {
        decode_command(None, &body.as_bytes()[..length]).expect_err("half a command is none");
    }
}

#[test]
fn a_body_that_is_not_utf8_is_refused() {
    refused(
        b"{\"type\":\"\xff\"}",
        "not_utf8",
        "a command is JSON in UTF-8, and the byte at offset 9 is not",
    );
    // A surrogate in CESU-8, an overlong NUL, UTF-16.
    for bytes in [
        &b"{\"\xed\xa0\x80\":1}"[..],
        b"{\"\xc0\x80\":1}",
        b"\xff\xfe{\0}\0",
    ] {
        let malformed = decode_command(None, bytes).unwrap_err();
        assert_eq!(malformed.code, "not_utf8");
    }
}

#[test]
fn a_body_over_64_kib_is_refused_before_it_is_read() {
    let padded = |length: usize| {
        let body = deposit_with("actor", "");
        let padding = " ".repeat(length - body.len());
        body + &padding
    };
    accepted(padded(65_536));
    refused(
        padded(65_537),
        "too_large",
        "a command has at most 65536 bytes, and this has 65537",
    );
    let megabyte = vec![0xff; 1 << 20];
    refused(
        megabyte,
        "too_large",
        "a command has at most 65536 bytes, and this has 1048576",
    );
}

#[test]
fn an_unknown_field_is_refused_by_name_even_when_it_is_null() {
    for value in [r#""25.00""#, "null", "{}"] {
        refused_values(
            "ammount",
            "unknown_field",
            [(
                value,
                r#"deposit has no field "ammount"; check its spelling or leave it out"#,
            )],
        );
    }
    // Another command's field is as unknown as any.
    refused_values(
        "to_account_id",
        "unknown_field",
        [(
            r#""B""#,
            r#"deposit has no field "to_account_id"; check its spelling or leave it out"#,
        )],
    );
    let long = "x".repeat(5_000);
    let shown = "x".repeat(80);
    refused_values(
        &long,
        "unknown_field",
        [(
            "1",
            &format!(r#"deposit has no field "{shown}…"; check its spelling or leave it out"#),
        )],
    );
}

#[test]
fn a_field_that_stands_there_twice_is_refused_however_it_is_spelt() {
    for twice in [
        r#"{"amount":"1","amount":"1"}"#,
        r#"{"amount":"1","amount":"2"}"#,
        r#"{"amount":"1","\u0061mount":"2"}"#,
        r#"{"amount":"1","amount":null}"#,
    ] {
        refused(
            twice,
            "duplicate_field",
            r#"the field "amount" stands there twice"#,
        );
    }
}

#[test]
fn more_fields_than_any_command_has_are_refused() {
    refused(
        entries(65),
        "too_many_fields",
        "a command has at most 64 fields, and this has 65",
    );
}

#[test]
fn a_missing_field_is_named() {
    let create = format!(r#"{{"command_id":"{ID}","type":"create_account""#);
    let transfer = format!(r#"{{"command_id":"{ID}","type":"transfer""#);
    for (body, field) in [
        (deposit_with("command_id", ""), "command_id"),
        (deposit_with("type", ""), "type"),
        (deposit_with("account_id", ""), "account_id"),
        (deposit_with("amount", ""), "amount"),
        (deposit_with("amount", "null"), "amount"),
        (deposit_with("type", "null"), "type"),
        (format!("{create}}}"), "account_id"),
        (format!(r#"{create},"account_id":"A"}}"#), "owner_name"),
        (
            format!(r#"{create},"account_id":"A","owner_name":"Ada"}}"#),
            "currency",
        ),
        (format!("{transfer}}}"), "from_account_id"),
        (
            format!(r#"{transfer},"from_account_id":"A"}}"#),
            "to_account_id",
        ),
        (
            format!(r#"{transfer},"from_account_id":"A","to_account_id":"B"}}"#),
            "amount",
        ),
    ] {
        let message = format!("the field {field} is missing or null");
        refused(body, "missing_field", &message);
    }
}

#[test]
fn null_means_absent() {
    let absent = accepted(deposit_with("actor", ""));
    for field in [
        "description",
        "actor",
        "metadata",
        "currency",
        "expected_version",
    ] {
        assert_eq!(accepted(deposit_with(field, "null")), absent, "{field}");
    }
    assert_eq!(accepted(deposit_with("metadata", "{}")), absent);
}

#[test]
fn a_command_id_is_a_uuid_with_hyphens() {
    let needed = "command_id: an id of this kind is a UUID with hyphens such as 6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11, and this is not:";
    for (value, message) in [
        (r#""abc""#, format!(r#"{needed} "abc""#)),
        (r#""""#, format!(r#"{needed} """#)),
        (
            r#""6f1c2a3e58b14c0e9a530d8f6c1f7b11""#,
            format!(r#"{needed} "6f1c2a3e58b14c0e9a530d8f6c1f7b11""#),
        ),
        (
            r#""{6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11}""#,
            format!(r#"{needed} "{{6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11}}""#),
        ),
        (
            "7",
            "command_id must be a string, and this is a number".to_owned(),
        ),
    ] {
        let body = deposit_with("command_id", value);
        let malformed = refused(body, "invalid_command_id", &message);
        assert_eq!(malformed.command_id, None);
    }
    let upper = format!("{:?}", ID.to_uppercase());
    let command = accepted(deposit_with("command_id", &upper));
    assert_eq!(command.command_id.to_string(), ID);
}

#[test]
fn the_type_is_one_of_four() {
    let known = "is no command; there are create_account, deposit, withdraw and transfer";
    refused_values(
        "type",
        "unknown_type",
        [
            (r#""credit""#, &format!(r#""credit" {known}"#)),
            (r#""Deposit""#, &format!(r#""Deposit" {known}"#)),
            (r#""""#, &format!(r#""" {known}"#)),
        ],
    );
    refused_values(
        "type",
        "invalid_field",
        [("7", "type must be a string, and this is a number")],
    );
}

#[test]
fn an_account_id_is_one_safe_token() {
    let needed =
        "account_id: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not:";
    let long = "x".repeat(65);
    refused_values(
        "account_id",
        "invalid_account_id",
        [
            ("42", "account_id must be a string, and this is a number"),
            (
                r#"["A"]"#,
                "account_id must be a string, and this is an array",
            ),
            ("true", "account_id must be a string, and this is a boolean"),
            (r#""""#, &format!(r#"{needed} """#)),
            (r#""a.b""#, &format!(r#"{needed} "a.b""#)),
            (r#""*""#, &format!(r#"{needed} "*""#)),
            (r#"">""#, &format!(r#"{needed} ">""#)),
            (r#""ä""#, &format!(r#"{needed} "ä""#)),
            (r#""A\u0000""#, &format!(r#"{needed} "A\0""#)),
            (&format!("{long:?}"), &format!("{needed} {long:?}")),
        ],
    );
}

#[test]
fn an_amount_is_a_decimal_string_or_a_number() {
    let needed = r#"amount: an amount is a decimal number such as "25.00", and this is not:"#;
    let plain = "amount: a decimal string is digits with at most one point, without an exponent, and this is not:";
    let many = "amount: an amount has at most 27 digits and 28 decimals, and this has more:";
    refused_values(
        "amount",
        "invalid_amount",
        [
            (
                "true",
                r#"amount must be a decimal string such as "25.00", and this is a boolean"#,
            ),
            (
                "{}",
                r#"amount must be a decimal string such as "25.00", and this is an object"#,
            ),
            (
                "[1]",
                r#"amount must be a decimal string such as "25.00", and this is an array"#,
            ),
            (r#""""#, &format!(r#"{needed} """#)),
            (r#""NaN""#, &format!(r#"{needed} "NaN""#)),
            (r#""1,000.00""#, &format!(r#"{needed} "1,000.00""#)),
            (r#""1 000""#, &format!(r#"{needed} "1 000""#)),
            (r#"" 1""#, &format!(r#"{needed} " 1""#)),
            (r#""$5""#, &format!(r#"{needed} "$5""#)),
            (r#"".5""#, &format!(r#"{needed} ".5""#)),
            (r#""5.""#, &format!(r#"{needed} "5.""#)),
            (r#""+5""#, &format!(r#"{needed} "+5""#)),
            (r#""٥""#, &format!(r#"{needed} "٥""#)),
            (r#""1e2""#, &format!(r#"{plain} "1e2""#)),
            (r#""1E2""#, &format!(r#"{plain} "1E2""#)),
            ("1e400", &format!(r#"{many} "1e400""#)),
            ("1e-400", &format!(r#"{many} "1e-400""#)),
            (
                "1e99999999999999999999",
                &format!(r#"{many} "1e99999999999999999999""#),
            ),
            (
                "1234567890123456789012345678",
                &format!(r#"{many} "1234567890123456789012345678""#),
            ),
            (
                r#""0.00000000000000000000000000001""#,
                &format!(r#"{many} "0.00000000000000000000000000001""#),
            ),
        ],
    );
}

#[test]
fn a_number_is_read_digit_by_digit_and_never_through_a_float() {
    for (value, exact) in [
        ("0.1", "0.1"),
        ("0.10", "0.10"),
        ("25", "25"),
        ("1e2", "100"),
        ("1.5E+3", "1500"),
        ("25e-2", "0.25"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("9007199254740993", "9007199254740993"),
        ("123456789012345678901234567", "123456789012345678901234567"),
        (
            r#""9999999999999999999999999.99""#,
            "9999999999999999999999999.99",
        ),
        (r#""\u0032\u0035.00""#, "25.00"),
        ("-5", "-5"),
    ] {
        let command = accepted(deposit_with("amount", value));
        assert_eq!(amount_of(&command), exact, "{value}");
    }
}

#[test]
fn a_currency_code_is_upper_case() {
    let needed =
        "currency: a currency code is 3 to 12 characters of A-Z 0-9 such as USD, and this is not:";
    refused_values(
        "currency",
        "invalid_currency",
        [
            (r#""usd""#, &format!(r#"{needed} "usd""#)),
            (r#""US""#, &format!(r#"{needed} "US""#)),
            (r#""""#, &format!(r#"{needed} """#)),
            (r#""U$D""#, &format!(r#"{needed} "U$D""#)),
            (r#""1US""#, &format!(r#"{needed} "1US""#)),
            ("840", "currency must be a string, and this is a number"),
        ],
    );
}

#[test]
fn an_expected_version_is_a_whole_number() {
    let needed =
        "expected_version must be a whole number from 0 to 9007199254740991, and this is not:";
    refused_values(
        "expected_version",
        "invalid_field",
        [
            (r#""7""#, &format!(r#"{needed} "7""#)),
            ("-1", &format!("{needed} -1")),
            ("-0", &format!("{needed} -0")),
            ("7.0", &format!("{needed} 7.0")),
            ("7e0", &format!("{needed} 7e0")),
            ("true", &format!("{needed} true")),
            ("9007199254740992", &format!("{needed} 9007199254740992")),
            (
                "18446744073709551616",
                &format!("{needed} 18446744073709551616"),
            ),
        ],
    );
    for (value, number) in [
        ("0", 0),
        ("7", 7),
        ("9007199254740991", 9_007_199_254_740_991),
    ] {
        let command = accepted(deposit_with("expected_version", value));
        assert_eq!(command.expected_version.unwrap().get(), number);
    }
}

#[test]
fn texts_have_their_limits() {
    for (field, bytes_max) in [("description", 2_048), ("actor", 256)] {
        let text = |length: usize| format!("{:?}", "x".repeat(length));
        accepted(deposit_with(field, &text(bytes_max)));
        let message = format!(
            "{field} has at most {bytes_max} bytes of UTF-8, and this has {}",
            bytes_max + 1
        );
        let too_long = text(bytes_max + 1);
        refused_values(field, "text_too_long", [(&too_long, &message)]);
        // Bytes, not characters.
        let umlauts = format!("{:?}", "ä".repeat(bytes_max / 2 + 1));
        let message = format!(
            "{field} has at most {bytes_max} bytes of UTF-8, and this has {}",
            bytes_max + 2
        );
        refused_values(field, "text_too_long", [(&umlauts, &message)]);
    }
    let create = |owner: &str| {
        format!(
            r#"{{"command_id":"{ID}","type":"create_account","account_id":"A","currency":"USD","owner_name":"{owner}"}}"#
        )
    };
    accepted(create(&"x".repeat(256)));
    refused(
        create(&"x".repeat(257)),
        "text_too_long",
        "owner_name has at most 256 bytes of UTF-8, and this has 257",
    );
    refused(
        create("\\u0000"),
        "invalid_text",
        "owner_name must not contain the character U+0000; remove it",
    );
}

#[test]
fn texts_are_strings_of_characters() {
    for field in ["description", "actor"] {
        for (value, kind) in [
            ("7", "a number"),
            ("{}", "an object"),
            ("[]", "an array"),
            ("false", "a boolean"),
        ] {
            let message = format!("{field} must be a string, and this is {kind}");
            refused_values(field, "invalid_field", [(value, &message)]);
        }
        let nul = format!("{field} must not contain the character U+0000; remove it");
        refused_values(field, "invalid_text", [(r#""a\u0000b""#, &nul)]);
        let half = format!(
            r"{field} holds half of a surrogate pair (\ud800 to \udfff), which is no character; send both halves or the character itself"
        );
        refused_values(
            field,
            "invalid_field",
            [
                (r#""\ud800""#, &half),
                (r#""\udc00""#, &half),
                (r#""\ud83d\u0041""#, &half),
                (r#""\ud83d\ud83d""#, &half),
            ],
        );
    }
    let command = accepted(deposit_with(
        "description",
        r#""\ud83d\ude00 \u00e4 \t \u0001""#,
    ));
    assert_eq!(command.description.as_deref(), Some("😀 ä \t \u{1}"));
}

#[test]
fn metadata_is_an_object_of_strings() {
    let keys =
        "a metadata key is 1 to 64 printable ASCII characters without spaces, and this is not:";
    let half = r"holds half of a surrogate pair (\ud800 to \udfff), which is no character; send both halves or the character itself";
    let long_key = "k".repeat(65);
    refused_values(
        "metadata",
        "invalid_metadata",
        [
            (
                "7",
                "metadata must be an object of strings, and this is a number",
            ),
            (
                r#""x""#,
                "metadata must be an object of strings, and this is a string",
            ),
            (
                r#"["a","b"]"#,
                "metadata must be an object of strings, and this is an array",
            ),
            (
                r#"{"a":1}"#,
                "metadata.a must be a string, and this is a number",
            ),
            (
                r#"{"a":null}"#,
                "metadata.a must be a string, and this is null",
            ),
            (
                r#"{"a":{"b":"c"}}"#,
                "metadata.a must be a string, and this is an object",
            ),
            (r#"{"a":"1","a":"1"}"#, r#"metadata has the key "a" twice"#),
            (
                r#"{"a":"1","\u0061":"2"}"#,
                r#"metadata has the key "a" twice"#,
            ),
            (r#"{"":"1"}"#, &format!(r#"{keys} """#)),
            (r#"{"a b":"1"}"#, &format!(r#"{keys} "a b""#)),
            (r#"{"ä":"1"}"#, &format!(r#"{keys} "ä""#)),
            (r#"{"a\n":"1"}"#, &format!(r#"{keys} "a\n""#)),
            (
                &format!(r#"{{"{long_key}":"1"}}"#),
                &format!("{keys} {long_key:?}"),
            ),
            (r#"{"\ud800":"1"}"#, &format!("a key of metadata {half}")),
            (r#"{"a":"\ud800"}"#, &format!("metadata.a {half}")),
            (
                &entries(51),
                "metadata has at most 50 entries, and this has 51",
            ),
            (
                &entries(500),
                "metadata has at most 50 entries, and this has 500",
            ),
        ],
    );
    refused_values(
        "metadata",
        "invalid_text",
        [(
            r#"{"a":"\u0000"}"#,
            "metadata.a must not contain the character U+0000; remove it",
        )],
    );
    refused_values(
        "metadata",
        "text_too_long",
        [(
            &format!(r#"{{"a":"{}"}}"#, "x".repeat(513)),
            "metadata.a has at most 512 bytes of UTF-8, and this has 513",
        )],
    );
    let command = accepted(deposit_with("metadata", &entries(50)));
    assert_eq!(command.metadata.len(), 50);
}

#[test]
fn deep_nesting_costs_nothing() {
    const DEPTH: usize = 20_000;
    let arrays = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(DEPTH / 3), "}".repeat(DEPTH / 3));
    for nested in [&arrays, &objects] {
        for field in ["description", "metadata", "amount", "ammount"] {
            decode_command(None, deposit_with(field, nested).as_bytes()).unwrap_err();
        }
    }
    let unclosed = "[".repeat(65_000);
    decode_command(None, unclosed.as_bytes()).unwrap_err();
}
