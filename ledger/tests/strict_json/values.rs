//! What stands in each field.

use crate::{ID, accepted, amount_of, deposit_with, entries, refused, refused_values};

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
fn the_type_is_one_of_those_there_are() {
    let known = "is no command; there are create_account, deposit, withdraw, transfer, freeze_account, unfreeze_account, close_account, set_overdraft_limit, update_account, hold, capture, release, expire_hold, reverse, post, batch, exchange, set_account_rules";
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
        assert_eq!(command.conditions.expected_version.unwrap().get(), number);
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
        "a key of metadata is 1 to 64 printable ASCII characters without spaces, and this is not:";
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
