//! The fields of each type of command: which there are, which must be there, what stands in them.

use std::fmt::Write as _;

use ledger::{Action, Command, Scope};

use crate::{ID, accepted, entries, refused};

const HOLD: &str = r#""11111111-2222-4333-8444-555555555555""#;
const ENTRIES: &str = r#"[{"account_id":"ACC-1","direction":"debit","amount":"25.00"},{"account_id":"ACC-2","direction":"credit","amount":"25.00"}]"#;
const COMMANDS: &str = r#"[{"type":"deposit","account_id":"ACC-1","amount":"25.00"}]"#;
const REVERSED: &str = r#""66666666-7777-4888-9999-aaaaaaaaaaaa""#;

/// The types that can have a business date.
const MOVING_MONEY: [&str; 7] = [
    "deposit", "withdraw", "transfer", "capture", "reverse", "post", "exchange",
];

/// The fields of a type that must be there, with JSON that fits.
fn needed(type_name: &str) -> Vec<(&'static str, &'static str)> {
    let (account, amount) = (("account_id", r#""ACC-1""#), ("amount", r#""25.00""#));
    let hold = ("hold_id", HOLD);
    match type_name {
        "create_account" => vec![
            account,
            ("owner_name", r#""Ada""#),
            ("currency", r#""USD""#),
        ],
        "deposit" | "withdraw" => vec![account, amount],
        "transfer" => vec![
            ("from_account_id", r#""ACC-1""#),
            ("to_account_id", r#""ACC-2""#),
            amount,
        ],
        "freeze_account" => vec![account, ("reason", r#""audit""#)],
        "unfreeze_account" | "close_account" | "set_account_rules" => vec![account],
        "set_overdraft_limit" => vec![account, ("overdraft_limit", r#""50""#)],
        "update_account" => vec![account, ("owner_name", r#""Grace""#)],
        "hold" => vec![account, hold, amount],
        "capture" | "release" | "expire_hold" => vec![account, hold],
        "reverse" => vec![
            account,
            ("reversed_command_id", REVERSED),
            ("reason", r#""a mistake""#),
        ],
        "post" => vec![("entries", ENTRIES)],
        "batch" => vec![("commands", COMMANDS)],
        "exchange" => vec![
            ("from_account_id", r#""ACC-1""#),
            ("to_account_id", r#""ACC-2""#),
            ("from_clearing_account_id", r#""DESK-USD""#),
            ("to_clearing_account_id", r#""DESK-EUR""#),
            amount,
            ("rate", r#""0.92""#),
        ],
        other => panic!("{other} is no type"),
    }
}

/// The fields that a type can have besides.
fn possible(type_name: &str) -> Vec<(&'static str, &'static str)> {
    let mut fields = vec![
        ("description", r#""why""#),
        ("actor", r#""teller-3""#),
        ("metadata", r#"{"invoice":"77"}"#),
        ("expected_version", "7"),
        ("if_balance_at_least", r#""-0.50""#),
        ("not_before", r#""2026-01-31T12:00:00Z""#),
        ("expires_at", r#""2026-01-31T13:00:00+01:00""#),
    ];
    let (currency, amount) = (("currency", r#""USD""#), ("amount", "25.00"));
    fields.extend(match type_name {
        "create_account" => vec![("initial_balance", r#""1""#), ("overdraft_limit", "2")],
        "deposit" | "withdraw" | "transfer" => vec![currency],
        "freeze_account" => vec![("scope", r#""debits""#)],
        "unfreeze_account" => vec![("scope", r#""credits""#), ("reason", r#""over""#)],
        "close_account" => vec![("sweep_to_account_id", r#""ACC-2""#)],
        "update_account" => vec![("account_metadata", r#"{"colour":"red"}"#)],
        "hold" => vec![currency, ("hold_expires_at", r#""2026-01-31T12:00:00Z""#)],
        "capture" => vec![amount, ("final", "true"), ("to_account_id", r#""ACC-2""#)],
        "release" | "reverse" => vec![amount],
        "set_account_rules" => vec![
            ("minimum_balance", r#""-5""#),
            ("maximum_balance", "1000"),
            ("daily_debit_amount_max", r#""50.00""#),
            ("daily_debit_count_max", "3"),
            ("allowed_counterparties", r#"["ACC-2","ACC-3"]"#),
        ],
        _ => vec![],
    });
    if MOVING_MONEY.contains(&type_name) {
        fields.push(("effective_at", r#""2026-01-31T14:00:00+02:00""#));
    }
    fields
}

fn body(type_name: &str, fields: &[(&str, &str)]) -> String {
    let mut body = format!(r#"{{"command_id":"{ID}","type":"{type_name}""#);
    for (name, value) in fields {
        write!(body, ",{name:?}:{value}").unwrap();
    }
    body.push('}');
    body
}

/// The least that a command of that type can be, with one field set to JSON.
fn with(type_name: &str, field: &str, value: &str) -> String {
    let mut fields: Vec<(&str, &str)> = needed(type_name);
    fields.retain(|(name, _)| *name != field);
    fields.push((field, value));
    body(type_name, &fields)
}

#[track_caller]
fn refused_values(type_name: &str, field: &str, code: &str, cases: &[(&str, &str)]) {
    for (value, message) in cases {
        let malformed = refused(with(type_name, field, value), code, message);
        let id = malformed.command_id.map(|id| id.to_string());
        assert_eq!(id.as_deref(), Some(ID), "{field}: {value}");
    }
}

fn least(type_name: &str) -> Command {
    accepted(body(type_name, &needed(type_name)))
}

#[test]
fn every_type_is_accepted_with_the_least_and_with_all_of_its_fields() {
    for type_name in Action::TYPE_NAMES {
        assert_eq!(least(type_name).type_name(), type_name);
        let all = [needed(type_name), possible(type_name)].concat();
        let command = accepted(body(type_name, &all));
        assert_eq!(command.type_name(), type_name);
        let conditions = &command.conditions;
        assert_eq!(conditions.expected_version.unwrap().get(), 7);
        let least = conditions.if_balance_at_least.unwrap();
        assert_eq!(least.to_string(), "-0.50");
        // One o'clock an hour to the east is noon.
        assert_eq!(conditions.not_before, conditions.expires_at);
        assert_eq!(
            conditions.not_before.unwrap().to_string(),
            "2026-01-31T12:00:00.000000Z"
        );
        let moves_money = MOVING_MONEY.contains(&type_name);
        assert_eq!(command.action.moves_money(), moves_money, "{type_name}");
        let noon = conditions.not_before.filter(|_| moves_money);
        assert_eq!(command.effective_at, noon, "{type_name}");
    }
}

#[test]
fn every_field_that_must_be_there_is_missed_by_its_name() {
    for type_name in Action::TYPE_NAMES {
        for (name, _) in needed(type_name) {
            let mut fields = needed(type_name);
            fields.retain(|(one, _)| *one != name);
            let message = if type_name == "update_account" && name == "owner_name" {
                "update_account changes nothing: owner_name and account_metadata are missing or null".to_owned()
            } else if name == "rate" {
                "one of the fields rate and to_amount must be there, and both are missing or null"
                    .to_owned()
            } else {
                format!("the field {name} is missing or null")
            };
            refused(body(type_name, &fields), "missing_field", &message);
            refused(with(type_name, name, "null"), "missing_field", &message);
        }
    }
}

#[test]
fn every_field_that_need_not_be_there_is_absent_when_it_is_null() {
    for type_name in Action::TYPE_NAMES {
        for (name, _) in possible(type_name) {
            let command = accepted(with(type_name, name, "null"));
            assert_eq!(command, least(type_name), "{name}");
        }
    }
}

#[test]
fn a_field_of_another_type_is_as_unknown_as_any() {
    let known = |type_name| [needed(type_name), possible(type_name)].concat();
    let everything: Vec<(&str, &str)> = Action::TYPE_NAMES.into_iter().flat_map(known).collect();
    for type_name in Action::TYPE_NAMES {
        let own: Vec<&str> = known(type_name).iter().map(|(name, _)| *name).collect();
        let foreign = everything.iter().filter(|(name, _)| !own.contains(name));
        for (name, value) in foreign {
            let message =
                format!("{type_name} has no field {name:?}; check its spelling or leave it out");
            refused(with(type_name, name, value), "unknown_field", &message);
        }
    }
}

#[test]
fn every_type_carries_the_same_limits() {
    for type_name in Action::TYPE_NAMES {
        let long = format!("{:?}", "x".repeat(257));
        refused_values(
            type_name,
            "actor",
            "text_too_long",
            &[(
                &long,
                "actor has at most 256 bytes of UTF-8, and this has 257",
            )],
        );
        refused_values(
            type_name,
            "metadata",
            "invalid_metadata",
            &[(
                &entries(51),
                "metadata has at most 50 entries, and this has 51",
            )],
        );
    }
}

#[test]
fn a_scope_is_one_of_three_and_all_when_it_is_left_out() {
    let scope_of = |command: &Command| match &command.action {
        Action::FreezeAccount(action) => action.scope,
        Action::UnfreezeAccount(action) => action.scope,
        other => panic!("{other:?}"),
    };
    let needed = "scope: a scope is debits, credits or all, and this is not:";
    for type_name in ["freeze_account", "unfreeze_account"] {
        for (value, scope) in [
            (r#""debits""#, Scope::Debits),
            (r#""credits""#, Scope::Credits),
            (r#""all""#, Scope::All),
            ("null", Scope::All),
        ] {
            let command = accepted(with(type_name, "scope", value));
            assert_eq!(scope_of(&command), scope);
        }
        assert_eq!(scope_of(&least(type_name)), Scope::All);
        refused_values(
            type_name,
            "scope",
            "invalid_field",
            &[
                (r#""Debits""#, &format!(r#"{needed} "Debits""#)),
                (r#""both""#, &format!(r#"{needed} "both""#)),
                (r#""""#, &format!(r#"{needed} """#)),
                ("true", "scope must be a string, and this is a boolean"),
                (
                    r#"["debits"]"#,
                    "scope must be a string, and this is an array",
                ),
            ],
        );
    }
}

#[test]
fn a_reason_is_a_text_with_a_limit() {
    let text = |length: usize| format!("{:?}", "x".repeat(length));
    for type_name in ["freeze_account", "unfreeze_account", "reverse"] {
        accepted(with(type_name, "reason", &text(512)));
        accepted(with(type_name, "reason", r#""""#));
        refused_values(
            type_name,
            "reason",
            "text_too_long",
            &[(
                &text(513),
                "reason has at most 512 bytes of UTF-8, and this has 513",
            )],
        );
        refused_values(
            type_name,
            "reason",
            "invalid_text",
            &[(
                r#""\u0000""#,
                "reason must not contain the character U+0000; remove it",
            )],
        );
        refused_values(
            type_name,
            "reason",
            "invalid_field",
            &[("7", "reason must be a string, and this is a number")],
        );
    }
}

#[test]
fn a_hold_id_is_a_uuid_with_hyphens() {
    let needed = "hold_id: an id of this kind is a UUID with hyphens such as 6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11, and this is not:";
    for type_name in ["hold", "capture", "release", "expire_hold"] {
        let command = least(type_name);
        let id = command.hold_id().unwrap().to_string();
        assert_eq!(format!("{id:?}"), HOLD);
        let upper = accepted(with(type_name, "hold_id", &HOLD.to_uppercase()));
        assert_eq!(upper, command);
        refused_values(
            type_name,
            "hold_id",
            "invalid_hold_id",
            &[
                (r#""1""#, &format!(r#"{needed} "1""#)),
                (
                    r#""11111111222243338444555555555555""#,
                    &format!(r#"{needed} "11111111222243338444555555555555""#),
                ),
                ("1", "hold_id must be a string, and this is a number"),
            ],
        );
    }
}

#[test]
fn what_is_reversed_is_named_as_a_command_is() {
    let needed = "reversed_command_id: an id of this kind is a UUID with hyphens such as 6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11, and this is not:";
    let command = least("reverse");
    let (_, id) = command.reversed_command_ids().next().unwrap();
    let id = id.to_string();
    assert_eq!(format!("{id:?}"), REVERSED);
    let upper = REVERSED.to_uppercase();
    let upper = accepted(with("reverse", "reversed_command_id", &upper));
    assert_eq!(upper, command);
    refused_values(
        "reverse",
        "reversed_command_id",
        "invalid_command_id",
        &[
            (r#""1""#, &format!(r#"{needed} "1""#)),
            (r#""""#, &format!(r#"{needed} """#)),
            (
                r#""66666666777748889999aaaaaaaaaaaa""#,
                &format!(r#"{needed} "66666666777748889999aaaaaaaaaaaa""#),
            ),
            (
                "1",
                "reversed_command_id must be a string, and this is a number",
            ),
            (
                r#"["1"]"#,
                "reversed_command_id must be a string, and this is an array",
            ),
        ],
    );
    // The amount may be missing, which means all that is left; zero and less are for the ledger to refuse.
    for (amount, expected) in [
        ("null", None),
        (r#""0""#, Some("0")),
        ("-1", Some("-1")),
        (r#""12.3400""#, Some("12.3400")),
    ] {
        let command = accepted(with("reverse", "amount", amount));
        let Action::Reverse(reverse) = command.action else {
            panic!("{command:?}");
        };
        let read = reverse.amount.map(|amount| amount.to_string());
        assert_eq!(read.as_deref(), expected);
    }
    // No currency: the earlier command's is meant.
    refused(
        with("reverse", "currency", r#""USD""#),
        "unknown_field",
        r#"reverse has no field "currency"; check its spelling or leave it out"#,
    );
}

#[test]
fn an_instant_is_exact_to_the_microsecond_and_has_an_offset() {
    let refused_for = |type_name, field| {
        let needed = format!(
            "{field}: a timestamp is RFC 3339 with an offset, at most 6 fractional digits and a year from 1 to 9999 in UTC, such as 2026-01-31T12:00:00.000001Z, and this is not:"
        );
        for value in [
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00.0000001Z",
            "2026-02-30T12:00:00Z",
            "2026-06-30T23:59:60Z",
            "9999-12-31T23:59:59-00:01",
            "0000-12-31T00:00:00Z",
            "tomorrow",
            "",
        ] {
            let message = format!("{needed} {value:?}");
            let value = format!("{value:?}");
            refused_values(type_name, field, "invalid_timestamp", &[(&value, &message)]);
        }
        let message = format!("{field} must be a string, and this is a number");
        refused_values(
            type_name,
            field,
            "invalid_timestamp",
            &[("1700000000", &message)],
        );
        for value in [
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
            "2026-01-31T12:00:00.5-11:30",
        ] {
            accepted(with(type_name, field, &format!("{value:?}")));
        }
    };
    refused_for("hold", "hold_expires_at");
    refused_for("deposit", "not_before");
    refused_for("reverse", "effective_at");
    refused_for("close_account", "expires_at");
}

#[test]
fn final_is_true_or_false() {
    let is_final = |value: &str| match accepted(with("capture", "final", value)).action {
        Action::Capture(capture) => capture.is_final,
        other => panic!("{other:?}"),
    };
    assert!(is_final("true"));
    assert!(!is_final("false") && !is_final("null"));
    let needed = "final must be true or false, and this is not:";
    refused_values(
        "capture",
        "final",
        "invalid_field",
        &[
            (r#""true""#, &format!(r#"{needed} "true""#)),
            ("1", &format!("{needed} 1")),
            ("{}", &format!("{needed} {{}}")),
        ],
    );
}

#[test]
fn every_account_and_every_decimal_is_held_to_its_form() {
    for (type_name, field) in [
        ("close_account", "sweep_to_account_id"),
        ("capture", "to_account_id"),
        ("hold", "account_id"),
        ("reverse", "account_id"),
    ] {
        let message = format!(
            r#"{field}: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: "a.b""#
        );
        refused_values(
            type_name,
            field,
            "invalid_account_id",
            &[(r#""a.b""#, &message)],
        );
    }
    for (type_name, field) in [
        ("hold", "amount"),
        ("capture", "amount"),
        ("release", "amount"),
        ("reverse", "amount"),
        ("set_overdraft_limit", "overdraft_limit"),
        ("withdraw", "if_balance_at_least"),
        ("set_account_rules", "minimum_balance"),
        ("set_account_rules", "maximum_balance"),
        ("set_account_rules", "daily_debit_amount_max"),
    ] {
        let message = format!(
            r#"{field}: an amount is a decimal number such as "25.00", and this is not: "1,5""#
        );
        let not_text =
            format!(r#"{field} must be a decimal string such as "25.00", and this is a boolean"#);
        refused_values(
            type_name,
            field,
            "invalid_amount",
            &[(r#""1,5""#, &message), ("true", &not_text)],
        );
    }
}

#[test]
fn an_accounts_metadata_has_the_limits_of_a_commands() {
    let metadata_of = |value: &str| {
        let command = accepted(with("update_account", "account_metadata", value));
        match command.action {
            Action::UpdateAccount(update) => update.account_metadata,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(metadata_of("null"), None);
    // Nothing given stays, an empty object empties.
    assert_eq!(metadata_of("{}").unwrap().len(), 0);
    assert_eq!(metadata_of(&entries(50)).unwrap().len(), 50);
    let without_a_name = body(
        "update_account",
        &[("account_id", r#""A""#), ("account_metadata", "{}")],
    );
    accepted(without_a_name);
    refused_values(
        "update_account",
        "account_metadata",
        "invalid_metadata",
        &[
            (
                "7",
                "account_metadata must be an object of strings, and this is a number",
            ),
            (
                r#"{"a":1}"#,
                "account_metadata.a must be a string, and this is a number",
            ),
            (
                r#"{"a":"1","a":"2"}"#,
                r#"account_metadata has the key "a" twice"#,
            ),
            (
                r#"{"a b":"1"}"#,
                r#"a key of account_metadata is 1 to 64 printable ASCII characters without spaces, and this is not: "a b""#,
            ),
            (
                &entries(51),
                "account_metadata has at most 50 entries, and this has 51",
            ),
        ],
    );
    let too_long = format!(r#"{{"a":"{}"}}"#, "x".repeat(513));
    refused_values(
        "update_account",
        "account_metadata",
        "text_too_long",
        &[(
            &too_long,
            "account_metadata.a has at most 512 bytes of UTF-8, and this has 513",
        )],
    );
}
