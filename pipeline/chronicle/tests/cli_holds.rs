//! `chronicle holds`, on a whole ledger.

mod support;

use serde_json::{Value, json};
use support::{Ledger, eventually, text};
use uuid::Uuid;

/// Sends a command; answers with what is printed.
async fn send(ledger: &Ledger, arguments: &[&str]) -> Value {
    ledger.json(&[&["send"], arguments].concat(), 0).await
}

/// The lines of `chronicle holds` as JSON.
async fn holds(ledger: &Ledger, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["-o", "json", "holds"], arguments].concat();
    let output = ledger.chronicle(&arguments).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("it is JSON"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holds_of_an_account_are_shown_newest_first() {
    let (ledger, process) = Ledger::running().await;
    for account in ["ALICE", "BOB"] {
        let arguments = [
            "create-account",
            account,
            "--owner-name",
            "O",
            "--currency",
            "USD",
            "--initial-balance",
            "100",
        ];
        send(&ledger, &arguments).await;
    }
    let room = Uuid::new_v4().to_string();
    let placed = send(
        &ledger,
        &[
            "hold",
            "ALICE",
            "60",
            "--hold-id",
            &room,
            "--hold-expires-at",
            "2126-01-31T12:00:00Z",
            "--description",
            "a\u{1b} room",
        ],
    )
    .await;
    assert_eq!(placed["hold_id"], room);
    let car = send(&ledger, &["hold", "ALICE", "5"]).await["hold_id"].clone();
    let car = car.as_str().expect("it has a name");
    let capture = ["capture", "ALICE", &room, "20", "--to-account-id", "BOB"];
    assert_eq!(send(&ledger, &capture).await["hold_id"], room);
    send(&ledger, &["release", "ALICE", car]).await;
    eventually("the read model to catch up", || async {
        let found = holds(&ledger, &["ALICE"]).await;
        found.len() == 2 && found[0]["as_of"]["version"] == 5
    })
    .await;

    let found = holds(&ledger, &["ALICE"]).await;
    let told: Vec<[&Value; 6]> = found
        .iter()
        .map(|hold| {
            [
                "hold_id",
                "status",
                "amount",
                "captured",
                "remaining",
                "version",
            ]
            .map(|name| &hold[name])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            [car, "released", "5.00", "0.00", "0.00", 5],
            [room, "open", "60.00", "20.00", "40.00", 4],
        ])
    );
    assert_eq!(found[1]["expires_at"], "2126-01-31T12:00:00.000000Z");
    assert_eq!(found[1]["account_id"], "ALICE");
    assert!(found[1]["as_of"]["sequence"].is_u64());
    assert_eq!(holds(&ledger, &["ALICE", "--limit", "1"]).await, found[..1]);
    let open = ["ALICE", "--status", "open", "--limit", "7"];
    assert_eq!(holds(&ledger, &open).await, found[1..]);

    let table = ledger.chronicle(&["holds", "ALICE"]).await;
    let table = text(&table.stdout);
    for words in [
        "REMAINING",
        "40.00",
        "released",
        "a\\u{1b} room",
        "as of version 5 of the account",
    ] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let none = ledger
        .chronicle(&["holds", "BOB", "--status", "open"])
        .await;
    assert_eq!(none.status.code(), Some(0));
    assert!(text(&none.stderr).contains("account BOB has no open holds"));
    let unknown = ledger.chronicle(&["holds", "NOBODY"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("there is no account NOBODY"));
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_holds_than_are_read_at_a_time_come_whole_and_in_order() {
    const HOLDS: u64 = 1_100;
    let (ledger, process) = Ledger::running().await;
    let id = |number: u64| format!("6f1c2a3e-58b1-4c0e-9a53-{number:012}");
    let mut lines = vec![format!(
        r#"{{"command_id":"{}","type":"create_account","account_id":"A","owner_name":"A","currency":"USD","initial_balance":"{HOLDS}"}}"#,
        id(0)
    )];
    lines.extend((1..=HOLDS).map(|number| {
        format!(
            r#"{{"command_id":"{id}","type":"hold","account_id":"A","hold_id":"{id}","amount":"1"}}"#,
            id = id(number)
        )
    }));
    let file = ledger.folder.path().join("holds.ndjson");
    std::fs::write(&file, lines.join("\n")).expect("it can be written");
    let file = file.to_str().expect("it is text");
    let summary = ledger.json(&["send", "--file", file], 0).await;
    assert_eq!(summary["accepted"], HOLDS + 1);
    eventually("the read model to catch up", || async {
        holds(&ledger, &["A"]).await.len() == 1_100
    })
    .await;
    let found = holds(&ledger, &["A"]).await;
    let expected: Vec<String> = (1..=HOLDS).rev().map(id).collect();
    let order: Vec<&str> = found
        .iter()
        .filter_map(|hold| hold["hold_id"].as_str())
        .collect();
    assert_eq!(order, expected);
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
