//! docs/wire.md: every code, every limit and every example in it, held against the code.

use std::collections::BTreeSet;
use std::process::Command;

use ledger::codec::{self, CONTENT_TYPE_BINCODE, CONTENT_TYPE_JSON, json};
use ledger::{Outcome, RejectionCode};

use crate::pages::take_apart;
use crate::{files_below, read};

/// A limit of `ledger/src/command.rs`; that module is the ledger's own.
fn limit(name: &str) -> usize {
    let source = read("ledger/src/command.rs");
    let definition = format!("pub const {name}: usize = ");
    let value = source
        .split(&definition)
        .nth(1)
        .and_then(|rest| rest.split(';').next());
    let value = value
        .unwrap_or_else(|| panic!("there is no limit {name}"))
        .replace('_', "");
    value
        .split('*')
        .map(|factor| {
            factor
                .trim()
                .parse::<usize>()
                .expect("a limit is a product of numbers")
        })
        .product()
}

/// The first column of the table below a heading, which holds one code span per row.
fn table_below(heading: &str) -> BTreeSet<String> {
    let page = read("docs/wire.md");
    let (_, prose) = take_apart(&page);
    let section = prose
        .split(heading)
        .nth(1)
        .unwrap_or_else(|| panic!("docs/wire.md has no {heading:?}"));
    let rows = section
        .lines()
        .take_while(|line| !line.starts_with('#'))
        .filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_page_of_rejections_is_the_one_that_the_code_makes() {
    let output = Command::new(env!("CARGO_BIN_EXE_chronicle"))
        .args(["rejections", "--page"])
        .output()
        .expect("chronicle can be started");
    let page = String::from_utf8(output.stdout).expect("it is text");
    for code in RejectionCode::ALL {
        assert!(page.contains(&format!("| `{code}` | ")), "{code}");
    }
    assert_eq!(
        read("docs/rejections.md"),
        page,
        "write it anew: chronicle rejections --page > docs/rejections.md"
    );
}

/// A message for each code that decoding can give, with its `Content-Type`.
fn malformed() -> Vec<(&'static str, Option<&'static str>, Vec<u8>)> {
    let deposit = |fields: &str| {
        format!(r#"{{"command_id":"8a1c6f0e-3b52-4b7e-9d5e-0c1f2a3b4c01","type":"deposit","account_id":"A","amount":"1"{fields}}}"#).into_bytes()
    };
    let many: Vec<String> = (0..80).map(|number| format!(r#","x{number}":1"#)).collect();
    let command = json::decode_command(&deposit("")).expect("the plain one is a command");
    let mut newer = codec::binary::encode_command(&command);
    newer[0] = 9;
    vec![
        ("too_large", None, vec![b' '; limit("BODY_BYTES_MAX") + 1]),
        ("unsupported_content_type", Some("text/plain"), deposit("")),
        ("invalid_json", None, b"{".to_vec()),
        ("invalid_json", Some(CONTENT_TYPE_JSON), Vec::new()),
        ("not_utf8", None, b"{\"type\":\"\xff\"}".to_vec()),
        ("duplicate_field", None, deposit(r#","amount":"2""#)),
        ("too_many_fields", None, deposit(&many.concat())),
        ("missing_field", None, br#"{"command_id":"8a1c6f0e-3b52-4b7e-9d5e-0c1f2a3b4c01"}"#.to_vec()),
        ("unknown_field", None, deposit(r#","note":"x""#)),
        ("unknown_type", None, br#"{"command_id":"8a1c6f0e-3b52-4b7e-9d5e-0c1f2a3b4c01","type":"steal"}"#.to_vec()),
        ("invalid_command_id", None, br#"{"command_id":"1"}"#.to_vec()),
        ("invalid_account_id", None, br#"{"command_id":"8a1c6f0e-3b52-4b7e-9d5e-0c1f2a3b4c01","type":"deposit","account_id":"a.b"}"#.to_vec()),
        ("invalid_amount", None, br#"{"command_id":"8a1c6f0e-3b52-4b7e-9d5e-0c1f2a3b4c01","type":"deposit","account_id":"A","amount":"much"}"#.to_vec()),
        ("invalid_currency", None, deposit(r#","currency":"usd""#)),
        ("invalid_hold_id", None, br#"{"command_id":"8a1c6f0e-3b52-4b7e-9d5e-0c1f2a3b4c01","type":"release","account_id":"A","hold_id":"1"}"#.to_vec()),
        ("invalid_timestamp", None, deposit(r#","expires_at":"tomorrow""#)),
        ("invalid_field", None, deposit(r#","expected_version":-1"#)),
        ("invalid_metadata", None, deposit(r#","metadata":{"a b":"c"}"#)),
        ("text_too_long", None, deposit(&format!(r#","actor":"{}""#, "x".repeat(limit("ACTOR_BYTES_MAX") + 1)))),
        ("invalid_text", None, deposit(r#","description":"\u0000""#)),
        ("invalid_bincode", Some(CONTENT_TYPE_BINCODE), vec![1, 2, 3]),
        ("unsupported_format_version", Some(CONTENT_TYPE_BINCODE), newer),
    ]
}

/// What a pipeline gives up for reasons of its own, by the code that stands in the source.
fn of_the_pipeline() -> BTreeSet<String> {
    let mut codes = literals_after("operators/src", "code: \"");
    codes.insert(RejectionCode::IdempotencyConflict.as_str().to_owned());
    codes
}

/// The string literals that follow `before` in the sources below a folder.
fn literals_after(folder: &str, before: &str) -> BTreeSet<String> {
    let sources: String = files_below(folder, ".rs")
        .iter()
        .map(|path| read(path))
        .collect();
    let squeezed: String = sources
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace("( \"", "(\"");
    squeezed
        .split(before)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_table_of_dead_letters_has_exactly_the_codes_there_are() {
    let mut codes = of_the_pipeline();
    for (code, content_type, payload) in malformed() {
        let error = codec::decode_command(content_type, &payload).expect_err(code);
        assert_eq!(error.code, code, "{error}");
        codes.insert(code.to_owned());
    }
    assert_eq!(table_below("\n### Dead-letter codes\n"), codes);
}

#[test]
fn no_code_of_the_decoder_is_without_an_example() {
    // Those of events are nobody's dead letters: a projection stops at such an event.
    let of_events = ["invalid_event", "unknown_event_type"];
    let shown: BTreeSet<String> = malformed()
        .iter()
        .map(|(code, ..)| (*code).to_owned())
        .collect();
    let in_source = literals_after("ledger/src/codec", "Malformed::new(\"");
    assert!(in_source.len() > 12, "only {in_source:?}");
    for code in in_source
        .iter()
        .filter(|code| !of_events.contains(&code.as_str()))
    {
        assert!(
            shown.contains(code),
            "{code} has no example in this test, and so none in docs/wire.md"
        );
    }
}

#[test]
fn every_limit_is_the_code_s() {
    let page = read("docs/wire.md");
    let with_commas = |number: usize| {
        let digits = number.to_string();
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        text
    };
    for (limit, around) in [
        (limit("BODY_BYTES_MAX"), "UTF-8, at most {} bytes"),
        (limit("POST_ENTRIES_MAX"), "required; 1 to {} of them"),
        (limit("BATCH_COMMANDS_MAX"), "required; 1 to {} commands"),
        (
            limit("WRITTEN_BYTES_MAX") / 1024 / 1024,
            "would write more than {} MiB",
        ),
        (limit("OWNER_NAME_BYTES_MAX"), "required; at most {} bytes"),
        (limit("DESCRIPTION_BYTES_MAX"), "why; at most {} bytes"),
        (limit("ACTOR_BYTES_MAX"), "who asks; at most {} bytes"),
        (
            limit("REASON_BYTES_MAX"),
            "why, at most {} bytes; required to freeze",
        ),
        (limit("METADATA_ENTRIES_MAX"), "at most {} entries"),
        (
            limit("METADATA_KEY_BYTES_MAX"),
            "1 to {} printable ASCII characters",
        ),
        (
            limit("METADATA_VALUE_BYTES_MAX"),
            "values have at most {} bytes",
        ),
        (
            ledger::AccountId::LENGTH_MAX,
            "1 to {} characters of `A-Z a-z 0-9 _ -`",
        ),
        (ledger::Money::DIGITS_MAX as usize, "At most {} digits"),
    ] {
        let sentence = around.replace("{}", &with_commas(limit));
        assert!(
            page.contains(&sentence),
            "docs/wire.md does not say {sentence:?}"
        );
    }
}

#[test]
fn a_body_over_http_is_as_large_as_a_command() {
    let row = format!("| a body | {} KiB | 413 |", limit("BODY_BYTES_MAX") / 1024);
    assert!(read("docs/http.md").contains(&row), "{row}");
}

#[test]
fn every_example_is_what_it_says() {
    let page = read("docs/wire.md");
    let (blocks, _) = take_apart(&page);
    let (mut commands, mut events, mut outcomes) = (0, 0, 0);
    for line in blocks
        .iter()
        .filter(|block| block.language == "json")
        .flat_map(|block| block.text.lines())
    {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if value.get("prev_hash").is_some() {
            let event = json::decode_event(line.as_bytes())
                .unwrap_or_else(|error| panic!("{error}: {line}"));
            event
                .check_hash()
                .unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(
                String::from_utf8(json::encode_event(&event)).expect("JSON is UTF-8"),
                line
            );
            events += 1;
        } else if value.get("dead_letter_id").is_some() {
            let code = value["rejection"]["code"].as_str().expect("it has a code");
            assert!(
                table_below("\n### Dead-letter codes\n").contains(code),
                "{line}"
            );
        } else if value.get("status").is_some() {
            let outcome: Outcome =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(
                serde_json::to_string(&outcome).expect("an outcome becomes JSON"),
                line
            );
            outcomes += 1;
        } else {
            json::decode_command(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
            commands += 1;
        }
    }
    assert!(
        commands >= 8 && events >= 3 && outcomes >= 2,
        "{commands} commands, {events} events, {outcomes} outcomes"
    );
}
