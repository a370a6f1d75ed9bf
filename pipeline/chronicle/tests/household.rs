//! Real input with an independent answer: 7,130 commands from two households, and the balances that the accounting
//! program Beancount computes from the same books.

mod support;

use std::collections::BTreeMap;

use sqlx::Row;
use support::{Ledger, eventually, example, text};

/// What Beancount says.
fn expected() -> BTreeMap<String, String> {
    let file =
        std::fs::read(example("household.expected.json")).expect("the expected balances are there");
    serde_json::from_slice(&file).expect("they are JSON")
}

/// What the read model says, as it prints it.
async fn balances(ledger: &Ledger) -> BTreeMap<String, String> {
    let pool = ledger.read_model().await;
    let rows = sqlx::query("SELECT account_id, balance::text AS balance FROM account_balance")
        .fetch_all(&pool);
    let rows = rows.await.expect("the read model can be read");
    rows.iter()
        .map(|row| (row.get("account_id"), row.get("balance")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_balance_is_the_one_that_beancount_computes() {
    let (ledger, process) = Ledger::running().await;
    let file = example("household.ndjson");
    let file = file.to_str().expect("the path is UTF-8");

    let first = ledger.json(&["send", "--file", file], 0).await;
    assert_eq!(first["commands"], 7130, "{first}");
    assert_eq!(first["accepted"], 7130, "{first}");
    eventually("the balances", || async {
        balances(&ledger).await == expected()
    })
    .await;
    ledger.verify().await;

    // The same commands again: every one answers with its first outcome, and nothing changes.
    let again = ledger.json(&["send", "--file", file], 0).await;
    assert_eq!(again["accepted"], 7130, "{again}");
    let events =
        "SELECT count(*) AS events, (SELECT count(*) FROM commands) AS commands FROM events";
    let row = sqlx::query(events)
        .fetch_one(&ledger.event_store().await)
        .await
        .expect("the event store can be read");
    assert_eq!(
        (row.get::<i64, _>("events"), row.get::<i64, _>("commands")),
        (7415, 7130)
    );
    assert_eq!(balances(&ledger).await, expected());
    ledger.verify().await;

    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_client_in_any_order_with_duplicates_gets_the_same_balances() {
    let (ledger, process) = Ledger::running().await;
    let packages = ledger.folder.path().join("packages");
    let install = tokio::process::Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"])
        .arg(&packages)
        .arg("nats-py==2.16.0")
        .output();
    let installed = install.await.expect("python3 is there");
    assert!(
        installed.status.success(),
        "nats-py could not be installed: {}",
        text(&installed.stderr)
    );

    let publish = tokio::process::Command::new("python3")
        .env("PYTHONPATH", &packages)
        .arg(example("python/publish.py"))
        .arg(ledger.nats.url())
        .arg(example("household.ndjson"))
        .args(["--shuffle", "20180101", "--duplicates", "2"])
        .output();
    let published = publish.await.expect("python3 is there");
    assert!(published.status.success(), "{}", text(&published.stderr));
    let answer: serde_json::Value =
        serde_json::from_slice(&published.stdout).expect("it prints JSON");
    // Ten accounts once, 7,120 commands twice; each command has one outcome, and all are accepted.
    assert_eq!(
        answer,
        serde_json::json!({"commands": 7130, "answers": 14250, "outcomes": {"accepted": 7130}})
    );

    eventually("the balances", || async {
        balances(&ledger).await == expected()
    })
    .await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
