//! Commands within a command: the entries of a posting, the commands of a batch.

use ledger::codec::{binary, decode_command};
use ledger::{Action, Command};

use crate::{ID, accepted, refused};

const DEBIT: &str = r#"{"account_id":"A","direction":"debit","amount":"1"}"#;
const CREDIT: &str = r#"{"account_id":"B","direction":"credit","amount":"1.00","currency":"USD"}"#;
const DEPOSIT: &str = r#"{"type":"deposit","account_id":"A","amount":"1"}"#;

fn post(entries: &str) -> String {
    format!(r#"{{"command_id":"{ID}","type":"post","entries":{entries}}}"#)
}

fn batch(commands: &str) -> String {
    format!(r#"{{"command_id":"{ID}","type":"batch","actor":"teller-3","commands":{commands}}}"#)
}

/// A posting whose second entry is this one.
fn with_entry(entry: &str) -> String {
    post(&format!("[{DEBIT},{entry}]"))
}

/// A batch whose second command is this one.
fn with_part(part: &str) -> String {
    batch(&format!("[{DEPOSIT},{part}]"))
}

#[track_caller]
fn refused_by_name(body: &str, code: &str, message: &str) {
    let malformed = refused(body, code, message);
    let id = malformed.command_id.map(|id| id.to_string());
    assert_eq!(id.as_deref(), Some(ID));
}

/// `{"type":…` and so on, without the last brace and with more behind it.
fn and(object: &str, more: &str) -> String {
    format!("{},{more}}}", object.strip_suffix('}').unwrap())
}

fn same_in_bincode(command: &Command) {
    let read = binary::decode_command(&binary::encode_command(command)).unwrap();
    assert_eq!(read, *command);
    assert_eq!(read.fingerprint(), command.fingerprint());
}

#[test]
fn entries_and_commands_are_read_in_their_order() {
    let posted = accepted(post(&format!("[{DEBIT},{CREDIT},{DEBIT}]")));
    let Action::Post(post) = &posted.action else {
        panic!("{posted:?}");
    };
    let read: Vec<_> = post
        .entries
        .iter()
        .map(|entry| entry.direction.as_str())
        .collect();
    assert_eq!(read, ["debit", "credit", "debit"]);
    assert_eq!(posted.account_id().as_str(), "A");
    same_in_bincode(&posted);
    let mut sent = String::from(DEPOSIT);
    for type_name in ["withdraw", "deposit"] {
        sent = format!(
            r#"{sent},{{"type":"{type_name}","account_id":"B","amount":"2","expected_version":3,"if_balance_at_least":"-1","not_before":"2026-01-31T12:00:00Z","expires_at":"2026-01-31T13:00:00Z","description":"x","metadata":{{"a":"b"}}}}"#
        );
    }
    let sent = accepted(batch(&format!("[{sent}]")));
    let types: Vec<_> = sent.parts().iter().map(Command::type_name).collect();
    assert_eq!(types, ["deposit", "withdraw", "deposit"]);
    for part in sent.parts() {
        assert_eq!(part.command_id, sent.command_id);
        assert_eq!(part.actor.as_deref(), Some("teller-3"));
        assert!(part.parts().is_empty());
    }
    assert_eq!(
        sent.parts()[1].conditions.expected_version.unwrap().get(),
        3
    );
    assert_eq!(sent.conditions.expected_version, None);
    same_in_bincode(&sent);
    let both = accepted(with_part(&format!(
        r#"{{"type":"post","entries":[{DEBIT},{CREDIT}]}}"#
    )));
    same_in_bincode(&both);
}

#[test]
fn a_list_has_something_in_it_and_not_too_much() {
    let many = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
    for (name, list, item) in [
        ("entries", post as fn(&str) -> String, DEBIT),
        ("commands", batch, DEPOSIT),
    ] {
        for (value, problem) in [
            ("[]".to_owned(), "is empty; it has at least one item"),
            (
                many(item, 1_001),
                "has at most 1000 items, and this has 1001",
            ),
            (
                "{}".to_owned(),
                "must be an array of objects, and this is an object",
            ),
            (
                r#""[]""#.to_owned(),
                "must be an array of objects, and this is a string",
            ),
            (
                "true".to_owned(),
                "must be an array of objects, and this is a boolean",
            ),
            (
                "7".to_owned(),
                "must be an array of objects, and this is a number",
            ),
        ] {
            refused_by_name(&list(&value), "invalid_field", &format!("{name} {problem}"));
        }
        for (value, kind) in [
            ("7", "a number"),
            ("null", "null"),
            (r#""x""#, "a string"),
            ("[]", "an array"),
            ("false", "a boolean"),
        ] {
            refused_by_name(
                &list(&format!("[{item},{value}]")),
                "invalid_field",
                &format!("{name}[1] must be an object, and this is {kind}"),
            );
        }
        refused_by_name(
            &list("null"),
            "missing_field",
            &format!("the field {name} is missing or null"),
        );
        let most = accepted(list(&many(item, 1_000)));
        same_in_bincode(&most);
    }
}

#[test]
fn what_is_wrong_with_an_entry_is_said_with_its_place() {
    for (entry, code, message) in [
        (
            and(CREDIT, r#""ammount":"1""#),
            "unknown_field",
            r#"entries[1]: an entry has no field "ammount"; check its spelling or leave it out"#,
        ),
        (
            and(CREDIT, r#""description":null"#),
            "unknown_field",
            r#"entries[1]: an entry has no field "description"; check its spelling or leave it out"#,
        ),
        (
            and(CREDIT, r#""amount":"1""#),
            "duplicate_field",
            r#"entries[1]: the field "amount" stands there twice"#,
        ),
        (
            "{}".to_owned(),
            "missing_field",
            "entries[1]: the field account_id is missing or null",
        ),
        (
            r#"{"account_id":"B","amount":"1"}"#.to_owned(),
            "missing_field",
            "entries[1]: the field direction is missing or null",
        ),
        (
            r#"{"account_id":"B","direction":"credit","amount":null}"#.to_owned(),
            "missing_field",
            "entries[1]: the field amount is missing or null",
        ),
        (
            CREDIT.replace("\"credit\"", "\"Credit\""),
            "invalid_field",
            r#"entries[1]: direction: a direction is debit or credit, and this is not: "Credit""#,
        ),
        (
            CREDIT.replace("\"credit\"", "1"),
            "invalid_field",
            "entries[1]: direction must be a string, and this is a number",
        ),
        (
            CREDIT.replace("1.00", "1,00"),
            "invalid_amount",
            r#"entries[1]: amount: an amount is a decimal number such as "25.00", and this is not: "1,00""#,
        ),
        (
            CREDIT.replace("\"B\"", "\"a.b\""),
            "invalid_account_id",
            r#"entries[1]: account_id: an account id is 1 to 64 characters of A-Z a-z 0-9 _ -, and this is not: "a.b""#,
        ),
        (
            CREDIT.replace("USD", "usd"),
            "invalid_currency",
            r#"entries[1]: currency: a currency code is 3 to 12 characters of A-Z 0-9 such as USD, and this is not: "usd""#,
        ),
    ] {
        refused_by_name(&with_entry(&entry), code, message);
        let part = format!(r#"{{"type":"post","entries":[{DEBIT},{entry}]}}"#);
        refused_by_name(&with_part(&part), code, &format!("commands[1]: {message}"));
    }
    let half = with_entry(r#"{"\ud800":1}"#);
    let malformed = decode_command(None, half.as_bytes()).unwrap_err();
    assert_eq!(malformed.code, "invalid_field");
    assert!(
        malformed
            .message
            .starts_with("a field of entries[1] holds half")
    );
}

#[test]
fn what_is_wrong_with_a_command_is_said_with_its_place() {
    for (part, code, message) in [
        (
            and(DEPOSIT, r#""ammount":"1""#),
            "unknown_field",
            r#"commands[1]: deposit in a batch has no field "ammount"; check its spelling or leave it out"#,
        ),
        // Both are the batch's.
        (
            and(DEPOSIT, &format!(r#""command_id":"{ID}""#)),
            "unknown_field",
            r#"commands[1]: deposit in a batch has no field "command_id"; check its spelling or leave it out"#,
        ),
        (
            and(DEPOSIT, r#""actor":"teller-3""#),
            "unknown_field",
            r#"commands[1]: deposit in a batch has no field "actor"; check its spelling or leave it out"#,
        ),
        (
            and(DEPOSIT, r#""actor":null"#),
            "unknown_field",
            r#"commands[1]: deposit in a batch has no field "actor"; check its spelling or leave it out"#,
        ),
        (
            and(DEPOSIT, r#""entries":[]"#),
            "unknown_field",
            r#"commands[1]: deposit in a batch has no field "entries"; check its spelling or leave it out"#,
        ),
        (
            and(DEPOSIT, r#""typ\u0065":"deposit""#),
            "duplicate_field",
            r#"commands[1]: the field "type" stands there twice"#,
        ),
        (
            "{}".to_owned(),
            "missing_field",
            "commands[1]: the field type is missing or null",
        ),
        (
            r#"{"type":"transfer","from_account_id":"A","amount":"1"}"#.to_owned(),
            "missing_field",
            "commands[1]: the field to_account_id is missing or null",
        ),
        (
            format!(r#"{{"type":"batch","commands":[{DEPOSIT}]}}"#),
            "invalid_field",
            "commands[1]: a batch has no batch in it; put the commands of both into one",
        ),
        (
            r#"{"type":"batch"}"#.to_owned(),
            "invalid_field",
            "commands[1]: a batch has no batch in it; put the commands of both into one",
        ),
        (
            r#"{"type":"post","entries":[]}"#.to_owned(),
            "invalid_field",
            "commands[1]: entries is empty; it has at least one item",
        ),
        (
            and(DEPOSIT, r#""expected_version":-1"#),
            "invalid_field",
            "commands[1]: expected_version must be a whole number from 0 to 9007199254740991, and this is not: -1",
        ),
        (
            and(DEPOSIT, r#""metadata":{"a":1}"#),
            "invalid_metadata",
            "commands[1]: metadata.a must be a string, and this is a number",
        ),
        (
            r#"{"type":"update_account","account_id":"A"}"#.to_owned(),
            "missing_field",
            "commands[1]: update_account changes nothing: owner_name and account_metadata are missing or null",
        ),
    ] {
        refused_by_name(&with_part(&part), code, message);
    }
    let malformed = decode_command(None, with_part(r#"{"type":"credit"}"#).as_bytes()).unwrap_err();
    assert_eq!(malformed.code, "unknown_type");
    assert!(
        malformed
            .message
            .starts_with(r#"commands[1]: "credit" is no command"#)
    );
    let fields: Vec<String> = (0..65).map(|n| format!(r#""k{n}":1"#)).collect();
    refused_by_name(
        &with_part(&format!("{{{}}}", fields.join(","))),
        "too_many_fields",
        "commands[1]: a command has at most 64 fields, and this has 65",
    );
    // The list itself is of a batch alone.
    refused_by_name(
        &post(&format!(r#"[{DEBIT}],"commands":[{DEPOSIT}]"#)),
        "unknown_field",
        r#"post has no field "commands"; check its spelling or leave it out"#,
    );
    refused(
        batch(&format!(r#"[{DEPOSIT}],"commands":[{DEPOSIT}]"#)),
        "duplicate_field",
        r#"the field "commands" stands there twice"#,
    );
}

/// Whatever stands in whatever.
#[test]
fn deep_nesting_costs_nothing_here_either() {
    const DEPTH: usize = 10_000;
    let within = |open: &str, close: &str| format!("{}{}", open.repeat(DEPTH), close.repeat(DEPTH));
    for nested in [
        within("[", "]"),
        within(r#"[{"commands":"#, "}]").replace(":}", ":1}"),
        within(r#"[{"entries":"#, "}]").replace(":}", ":1}"),
    ] {
        for body in [
            batch(&nested),
            post(&nested),
            with_part(&format!(r#"{{"type":"batch","commands":{nested}}}"#)),
            with_part(&and(DEPOSIT, &format!(r#""metadata":{nested}"#))),
            with_entry(&and(CREDIT, &format!(r#""currency":{nested}"#))),
        ] {
            decode_command(None, body.as_bytes()).unwrap_err();
        }
    }
}

#[test]
fn a_body_cut_off_anywhere_is_refused() {
    let part = format!(r#"{{"type":"post","entries":[{DEBIT},{CREDIT}]}}"#);
    let body = with_part(&part);
    accepted(&body);
    for length in 0..body.len() {
        decode_command(None, &body.as_bytes()[..length]).unwrap_err();
    }
}
