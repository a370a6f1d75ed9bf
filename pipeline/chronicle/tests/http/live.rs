//! Live events: nothing is lost and nothing is repeated, whatever dies in between.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::publisher::Publisher;
use crate::support::random::Random;
use crate::support::workload::{Workload, until_settled};
use crate::support::{Ledger, eventually};
use crate::{book, new_id, open};

/// All events of the event store, by account, as their ids in order.
async fn truth(ledger: &Ledger) -> BTreeMap<String, Vec<String>> {
    let mut truth: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut snapshot = ledger.store().snapshot().await.expect("it can be read");
    let events = snapshot
        .events(None, 100_000)
        .await
        .expect("it can be read");
    for event in events {
        let ids = truth.entry(event.account_id.to_string()).or_default();
        ids.push(event.event_id.to_string());
    }
    truth
}

fn count(by_account: &BTreeMap<String, Vec<String>>) -> usize {
    by_account.values().map(Vec::len).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_killed_and_a_reader_goes_on_without_loss_or_repetition() {
    let ledger = Ledger::new().await;
    let mut process = ledger.run(&["--batch-max", "16"], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("live events")).await;
    let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last_id = String::new();
    for round in 0..4 {
        workload.publish(300).await;
        let mut events = process
            .http()
            .with("Last-Event-ID", &last_id)
            .follow("/events/stream?after_sequence=0")
            .await;
        let enough = count(&heard) + 80;
        while count(&heard) < enough {
            let sent = events.next().await.expect("the stream goes on");
            assert_eq!(sent.event, "ledger", "{sent:?}");
            let event = sent.json();
            let text = |name: &str| event[name].as_str().expect("it is text").to_owned();
            assert!(sent.id.ends_with(&text("event_id")), "{sent:?}");
            heard
                .entry(text("account_id"))
                .or_default()
                .push(text("event_id"));
            last_id = sent.id;
        }
        if round % 2 == 0 {
            process.kill().await;
        } else {
            ledger.nats.kill().await;
            ledger.nats.restart().await.expect("it starts");
            process.kill().await;
        }
        process = ledger.run(&["--batch-max", "16"], &[]).await;
    }
    until_settled(&ledger).await;
    let expected = truth(&ledger).await;
    let mut events = process
        .http()
        .with("Last-Event-ID", &last_id)
        .follow("/events/stream")
        .await;
    while count(&heard) < count(&expected) {
        let event = events.next().await.expect("the stream goes on").json();
        let text = |name: &str| event[name].as_str().expect("it is text").to_owned();
        heard
            .entry(text("account_id"))
            .or_default()
            .push(text("event_id"));
    }
    assert_eq!(heard, expected);
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_live_beginnings_and_a_farewell() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "100").await;
    let mut of_bob = client.follow("/events/stream?account=BOB").await;
    let mut withdrawals = client
        .follow("/events/stream?type=MoneyWithdrawn&after_sequence=0")
        .await;
    book(&client, "deposit", "ALICE", "1").await;
    book(&client, "withdraw", "ALICE", "1").await;
    book(&client, "deposit", "BOB", "1").await;
    let first = of_bob.next().await.expect("it comes");
    assert_eq!(
        (&first.json()["version"], &first.json()["account_id"]),
        (&json!(2), &json!("BOB"))
    );
    assert_eq!(
        withdrawals.next().await.expect("it comes").json()["account_id"],
        "ALICE"
    );

    for (path, id) in [
        ("/events/stream", "x"),
        ("/events/stream", "1-2"),
        ("/events/stream?after_sequence=x", ""),
        ("/events/stream?account=a%20b", ""),
        ("/accounts/ALICE/stream", "x"),
    ] {
        let answer = client.with("Last-Event-ID", id).get(path).await;
        assert_eq!(answer.problem(400), "invalid_parameter", "{path} {id}");
    }
    assert_eq!(
        client.get("/accounts/NOBODY/stream").await.problem(404),
        "account_not_found"
    );
    let ahead = client.get("/accounts/BOB/stream?after_version=7").await;
    assert_eq!(ahead.problem(422), "version_not_found");

    // At the end of the process its readers are told.
    let stopping = tokio::spawn(process.stop());
    let farewell = of_bob.next().await.expect("it says goodbye");
    assert_eq!(farewell.event, "dropped");
    assert_eq!(farewell.json(), json!({"reason": "server_stops"}));
    assert_eq!(of_bob.next().await, None);
    assert_eq!(stopping.await.expect("it ends"), Some(0));
    drop(ledger);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_stream_has_the_balance_after_each_event_also_without_the_feed() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    book(&client, "deposit", "ALICE", "1").await;
    let mut events = client
        .follow("/accounts/ALICE/stream?after_version=0")
        .await;
    let read = async |events: &mut crate::support::http::Events| -> (String, Value) {
        let sent = events.next().await.expect("the stream goes on");
        let step = sent.json();
        assert_eq!(step["event"]["version"].to_string(), sent.id);
        (sent.id, step["state"]["balance"].clone())
    };
    assert_eq!(read(&mut events).await, ("1".to_owned(), json!("100.00")));
    assert_eq!(read(&mut events).await, ("2".to_owned(), json!("101.00")));
    book(&client, "withdraw", "ALICE", "50").await;
    assert_eq!(read(&mut events).await, ("3".to_owned(), json!("51.00")));
    // Committed, and never in this feed: the process dies in between. The event store has it all the same.
    drop(events);
    assert_eq!(process.stop().await, Some(0));
    let mut dying = ledger
        .run(&[], &[("CHRONICLE_FAULT", "after_commit:1")])
        .await;
    let command = json!({"account_id": "ALICE", "amount": "9"}).to_string();
    let request = format!(
        "POST /commands/deposit HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{command}",
        command.len()
    );
    let client = dying.http();
    let asked = tokio::spawn(async move { client.raw(request.as_bytes()).await });
    assert_ne!(dying.ended().await, Some(0));
    let answer = asked.await.expect("it does not panic");
    assert!(answer.is_none(), "{answer:?}");
    let queries = ledger.run(&["--only", "projection.transfers"], &[]).await;
    let mut events = queries
        .http()
        .with("Last-Event-ID", "3")
        .follow("/accounts/ALICE/stream")
        .await;
    assert_eq!(read(&mut events).await, ("4".to_owned(), json!("60.00")));
    assert_eq!(queries.stop().await, Some(0));
}

/// A part of the feed looks like all of it: nobody is shown it, and who reads is told.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_feed_is_being_restored_its_readers_are_told_to_come_back() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    for _ in 0..23 {
        book(&client, "deposit", "ALICE", "1").await;
    }
    let whole = client.get("/events").await.ok(200)["total"].clone();
    assert_eq!(whole, 24);
    let mut reading = client.follow("/events/stream?after_sequence=0").await;
    let mut last_id = String::new();
    for _ in 0..24 {
        last_id = reading.next().await.expect("it goes on").id;
    }
    let restoring = ["feed", "restore", "--replace", "--rate", "2"];
    let restoring = ledger.chronicle(&restoring);
    let looking = async {
        eventually("the feed to be closed", || async {
            let answer = client.get("/events").await;
            answer.status == 503 && answer.json()["code"] == "feed_restoring"
        })
        .await;
        for path in ["/events", "/events?account=ALICE", "/events/stream"] {
            let answer = client.get(path).await;
            assert_eq!(answer.problem(503), "feed_restoring", "{path}");
            assert_eq!(answer.headers["retry-after"], "10", "{path}");
        }
        let again = client.with("Last-Event-ID", &last_id);
        let refused = again.get("/events/stream").await;
        assert_eq!(refused.problem(503), "feed_restoring");
        let farewell = reading.next().await.expect("it says goodbye");
        assert_eq!(farewell.event, "dropped", "{farewell:?}");
        assert_eq!(farewell.json(), json!({"reason": "feed_restoring"}));
        assert_eq!(reading.next().await, None);
        // An account's own stream reads the event store.
        let mut of_alice = client
            .follow("/accounts/ALICE/stream?after_version=22")
            .await;
        assert_eq!(of_alice.next().await.expect("it goes on").id, "23");
    };
    let (done, ()) = tokio::join!(restoring, looking);
    assert!(done.status.success(), "{done:?}");
    let page = client.get("/events").await.ok(200);
    assert_eq!(page["total"], whole);
    let mut reading = client.follow("/events/stream?after_sequence=23").await;
    let last = reading.next().await.expect("it goes on");
    assert_eq!(last.json()["version"], 24);
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_only_so_many_readers() {
    let ledger = Ledger::new().await;
    let process = ledger.run(&["--http-streams-max", "2"], &[]).await;
    let client = process.http();
    open(&client, "ALICE", "1").await;
    let first = client.follow("/events/stream").await;
    let _second = client.follow("/accounts/ALICE/stream").await;
    assert_eq!(
        client.get("/events/stream").await.problem(503),
        "too_many_streams"
    );
    drop(first);
    eventually("room for another", || async {
        let request = b"GET /accounts/ALICE/stream?after_version=9 HTTP/1.0\r\n\r\n";
        let answer = client.raw(request).await;
        answer.is_some_and(|answer| answer.status == 422)
    })
    .await;
    assert_eq!(process.stop().await, Some(0));
}

/// More than the sockets in between hold.
const FOR_NOBODY: usize = 6_000;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_read_is_dropped_with_a_reason_and_the_others_are_not() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "0").await;
    let mut slow = client
        .follow_slowly("/events/stream?after_sequence=0")
        .await;
    let publisher = Publisher::connect(&ledger).await;
    let commands: Vec<Value> = (0..FOR_NOBODY)
        .map(|_| {
            json!({"command_id": new_id(), "type": "deposit", "account_id": "ALICE", "amount": "1",
                "description": "x".repeat(2_000)})
        })
        .collect();
    publisher.tell_all(&commands).await;
    let all = FOR_NOBODY + 1;
    let mut quick = client.follow("/events/stream?after_sequence=0").await;
    for _ in 0..all {
        assert_eq!(quick.next().await.expect("it goes on").event, "ledger");
    }
    // Longer than a queue may stay full.
    process
        .until_logged("a reader of live events is too slow")
        .await;
    let mut last_id = String::new();
    let mut heard = 0;
    loop {
        let sent = slow.next().await.expect("it says goodbye");
        if sent.event == "dropped" {
            assert_eq!(sent.json(), json!({"reason": "too_slow"}));
            break;
        }
        heard += 1;
        last_id = sent.id;
    }
    assert!(heard < all, "all {heard} events went somewhere");
    // And goes on behind what it has heard.
    let mut again = client
        .with("Last-Event-ID", &last_id)
        .follow("/events/stream")
        .await;
    for _ in heard..all {
        assert_eq!(again.next().await.expect("it goes on").event, "ledger");
    }
    assert_eq!(process.stop().await, Some(0));
}
