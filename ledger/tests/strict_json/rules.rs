//! The fields of `set_account_rules`.

use ledger::{Action, Rules, limits};
use rust_decimal::Decimal;

use crate::{ID, accepted, refused};

fn with(fields: &str) -> String {
    format!(r#"{{"command_id":"{ID}","type":"set_account_rules","account_id":"ACC-1"{fields}}}"#)
}

#[track_caller]
fn refused_with(fields: &str, code: &str, message: &str) {
    let malformed = refused(with(fields), code, message);
    let id = malformed.command_id.map(|id| id.to_string());
    assert_eq!(id.as_deref(), Some(ID), "{fields}");
}

fn rules(fields: &str) -> Rules<Decimal> {
    match accepted(with(fields)).action {
        Action::SetAccountRules(action) => action.rules,
        other => panic!("{other:?}"),
    }
}

/// `count` different accounts.
fn accounts(count: usize) -> String {
    let accounts: Vec<String> = (0..count).map(|n| format!("\"ACC-{n}\"")).collect();
    format!(r#","allowed_counterparties":[{}]"#, accounts.join(","))
}

#[test]
fn what_is_not_given_or_null_is_no_rule() {
    assert!(rules("").is_empty());
    assert!(rules(r#","minimum_balance":null,"allowed_counterparties":null"#).is_empty());
    let nobody = rules(r#","allowed_counterparties":[]"#);
    assert!(!nobody.is_empty());
    assert_eq!(
        nobody.allowed_counterparties.map(|allowed| allowed.len()),
        Some(0)
    );
    assert_eq!(
        rules(r#","daily_debit_count_max":0"#).daily_debit_count_max,
        Some(0)
    );
}

#[test]
fn a_count_is_a_whole_number_and_no_text() {
    for wrong in [
        "-1",
        "1.0",
        "1e2",
        "4294967296",
        r#""3""#,
        "true",
        "[]",
        "-0",
    ] {
        let shown = wrong;
        refused_with(
            &format!(r#","daily_debit_count_max":{wrong}"#),
            "invalid_field",
            &format!(
                "daily_debit_count_max must be a whole number from 0 to 4294967295, and this is not: {shown}"
            ),
        );
    }
    let most = rules(r#","daily_debit_count_max":4294967295"#);
    assert_eq!(most.daily_debit_count_max, Some(u32::MAX));
}

#[test]
fn counterparties_are_an_array_of_different_account_ids() {
    for (value, code, message) in [
        (
            r#""ACC-2""#,
            "invalid_field",
            "allowed_counterparties must be an array of account ids, and this is a string",
        ),
        (
            r#"{"ACC-2":true}"#,
            "invalid_field",
            "allowed_counterparties must be an array of account ids, and this is an object",
        ),
        (
            r#"["ACC-2","a.b"]"#,
            "invalid_account_id",
            r#"allowed_counterparties[1]: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: "a.b""#,
        ),
        (
            r#"["ACC-2",7]"#,
            "invalid_account_id",
            "allowed_counterparties[1] must be a string, and this is a number",
        ),
        (
            r#"["ACC-2","ACC-3","ACC-2"]"#,
            "invalid_field",
            r#"allowed_counterparties has the account "ACC-2" twice"#,
        ),
        (
            // The same, spelt otherwise.
            r#"["ACC-2","ACC\u002d2"]"#,
            "invalid_field",
            r#"allowed_counterparties has the account "ACC-2" twice"#,
        ),
    ] {
        refused_with(
            &format!(r#","allowed_counterparties":{value}"#),
            code,
            message,
        );
    }
}

#[test]
fn there_are_not_too_many_counterparties() {
    let most = limits::COUNTERPARTIES_MAX;
    let allowed = rules(&accounts(most)).allowed_counterparties;
    assert_eq!(allowed.map(|allowed| allowed.len()), Some(most));
    refused_with(
        &accounts(most + 1),
        "invalid_field",
        "allowed_counterparties has at most 100 items, and this has 101",
    );
}

#[test]
fn rules_have_no_business_date() {
    refused_with(
        r#","effective_at":"2026-01-31T12:00:00Z""#,
        "unknown_field",
        r#"set_account_rules has no field "effective_at"; check its spelling or leave it out"#,
    );
}
