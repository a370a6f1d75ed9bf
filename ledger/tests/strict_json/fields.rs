//! Which fields there are.

use crate::{ID, accepted, deposit_with, entries, refused, refused_values};

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
