//! examples/python/verify_hash_chain.py: anyone can check the chain with a standard library.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use ledger::codec::json;
use ledger::{Account, AccountId, Policy, Timestamp, decide};

use crate::root;

/// Texts that canonical JSON has to get right.
const TEXTS: [&str; 6] = [
    "caf\u{e9} \u{1f4b8} \u{ffff} \u{10ffff} \u{e000}",
    "\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}\u{80}\u{9f}",
    "quote \" backslash \\ slash / \u{2028} \u{2029} \u{feff}",
    "\\u0041 \\n",
    "",
    "<script>&amp;</script>",
];

/// The history of an account whose events hold all of them.
fn history() -> Vec<String> {
    let account_id: AccountId = "ODD".parse().expect("this is an account id");
    let mut accounts: BTreeMap<AccountId, Account> = BTreeMap::new();
    let mut lines = Vec::new();
    for (number, text) in (0_i64..).zip(TEXTS) {
        let quoted = serde_json::to_string(text).expect("a text becomes JSON");
        let id = format!("8a1c6f0e-3b52-4b7e-9d5e-{number:012}");
        let command = if number == 0 {
            format!(
                r#"{{"command_id":"{id}","type":"create_account","account_id":"ODD","owner_name":{quoted},"currency":"JPY"}}"#
            )
        } else {
            format!(
                r#"{{"command_id":"{id}","type":"deposit","account_id":"ODD","amount":{number},"description":{quoted},"actor":{quoted},
                "metadata":{{"~":{quoted},"A":{quoted},"a":"","\"":"","_":"\\"}}}}"#
            )
        };
        let command = json::decode_command(command.as_bytes()).expect("this is a command");
        let now = Timestamp::from_unix_microseconds(1_800_000_000_000_000 + number);
        for event in decide(&accounts, &command, now, &Policy::default()).expect("this is accepted")
        {
            let account = Account::fold(accounts.remove(&account_id), &event).expect("it follows");
            accounts.insert(account_id.clone(), account);
            lines.push(String::from_utf8(json::encode_event(&event)).expect("JSON is UTF-8"));
        }
    }
    lines
}

fn verify(lines: &[String]) -> Output {
    let mut script = Command::new("python3")
        .arg(root().join("examples/python/verify_hash_chain.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // What a terminal is set to must make no difference.
        .env("LC_ALL", "C")
        .spawn()
        .expect("python3 is there");
    let mut stdin = script.stdin.take().expect("it is piped");
    stdin
        .write_all(lines.join("\n").as_bytes())
        .expect("the script reads all of it");
    drop(stdin);
    script.wait_with_output().expect("the script ends")
}

#[test]
fn a_history_with_odd_texts_is_found_right() {
    let lines = history();
    let output = verify(&lines);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let last: serde_json::Value =
        serde_json::from_str(&lines[lines.len() - 1]).expect("an event is JSON");
    let head = last["hash"].as_str().expect("it has a hash");
    assert_eq!(
        said,
        format!(
            "ODD: {} events, the chain holds, head {head}\n",
            TEXTS.len()
        )
    );
}

#[test]
fn whatever_is_done_to_a_history_is_found() {
    let lines = history();
    let changed = |index: usize, from: &str, to: &str| {
        let mut lines = lines.clone();
        assert!(lines[index].contains(from), "{}", lines[index]);
        lines[index] = lines[index].replacen(from, to, 1);
        lines
    };
    let mut gone = lines.clone();
    gone.remove(2);
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    for (what, lines) in [
        (
            "another amount",
            changed(3, "\"amount\":\"3\"", "\"amount\":\"4\""),
        ),
        ("another time", changed(2, ".000002Z", ".000003Z")),
        ("one event less", gone),
        ("another order", swapped),
        ("no beginning", lines[1..].to_vec()),
        (
            "another version",
            changed(4, "\"version\":5", "\"version\":6"),
        ),
    ] {
        let output = verify(&lines);
        assert_eq!(output.status.code(), Some(1), "{what}");
    }
    assert_eq!(verify(&["nonsense".to_owned()]).status.code(), Some(2));
}
