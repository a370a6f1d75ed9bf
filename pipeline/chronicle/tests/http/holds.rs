//! Money that is held: reserved, taken, given back, and how it is shown.

use serde_json::{Value, json};

use crate::support::http::{Answer, Client};
use crate::support::{Ledger, eventually};
use crate::{book, new_id, open};

/// Places a hold on ALICE.
async fn hold(client: &Client, hold_id: &str, amount: &str) -> Value {
    let command = json!({"account_id": "ALICE", "hold_id": hold_id, "amount": amount, "description": "a room"});
    client.post("/commands/hold", &command).await.ok(201)
}

/// Captures or releases some of a hold on ALICE.
async fn part(client: &Client, kind: &str, hold_id: &str, more: Value) -> Answer {
    let mut command = json!({"account_id": "ALICE", "hold_id": hold_id});
    let fields = command.as_object_mut().expect("it is an object");
    fields.extend(more.as_object().expect("it is an object").clone());
    client.post(&format!("/commands/{kind}"), &command).await
}

#[allow(clippy::too_many_lines)] // one story
#[tokio::test(flavor = "multi_thread")]
async fn money_is_held_captured_and_released() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "0").await;
    let (room, car) = (new_id(), new_id());
    let placed = hold(&client, &room, "60").await;
    assert_eq!(placed["hold_id"], room);
    assert!(placed["transfer_id"].is_null(), "{placed}");
    let account = client.get("/accounts/ALICE?min_version=2").await.ok(200);
    let amounts = ["balance", "held", "available"].map(|name| &account[name]);
    assert_eq!(json!(amounts), json!(["100.00", "60.00", "40.00"]));

    let withdrawal = json!({"account_id": "ALICE", "amount": "40.01"});
    let refused = client.post("/commands/withdraw", &withdrawal).await;
    assert_eq!(refused.problem(422), "insufficient_funds");
    assert_eq!(refused.json()["data"]["held"], "60.00");
    let twice = json!({"account_id": "ALICE", "hold_id": room, "amount": "1"});
    let refused = client.post("/commands/hold", &twice).await;
    assert_eq!(refused.problem(409), "hold_exists");
    let refused = part(&client, "capture", &car, json!({})).await;
    assert_eq!(refused.problem(404), "hold_not_found");
    assert_eq!(refused.json()["data"]["hold_id"], car);
    let refused = part(&client, "capture", &room, json!({"amount": "60.01"})).await;
    assert_eq!(refused.problem(422), "amount_exceeds_hold");
    let close = json!({"account_id": "ALICE", "sweep_to_account_id": "BOB"});
    let refused = client.post("/commands/close-account", &close).await;
    assert_eq!(refused.problem(409), "holds_open");

    part(&client, "capture", &room, json!({"amount": "10"}))
        .await
        .ok(201);
    let more = json!({"amount": "20", "to_account_id": "BOB", "final": true});
    let captured = part(&client, "capture", &room, more).await.ok(201);
    let transfer_id = captured["transfer_id"].as_str().expect("money was moved");
    assert_eq!(captured["hold_id"], room);
    assert_eq!(captured["events"].as_array().map(Vec::len), Some(3));
    for kind in ["capture", "release"] {
        let refused = part(&client, kind, &room, json!({})).await;
        assert_eq!(refused.problem(409), "hold_closed");
    }
    hold(&client, &car, "5").await;
    part(&client, "release", &car, json!({"amount": "2"}))
        .await
        .ok(201);

    // The lines add up to the balance, and to what is held.
    let found = client
        .get("/accounts/ALICE/transactions?min_version=7")
        .await
        .ok(200);
    let lines = found["transactions"].as_array().expect("it is a list");
    let told: Vec<[&Value; 6]> = lines
        .iter()
        .rev()
        .map(|line| {
            [
                "type",
                "amount",
                "balance_after",
                "held",
                "held_after",
                "hold_id",
            ]
            .map(|name| &line[name])
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["opening", "100.00", "100.00", "0.00", "0.00", null],
            ["hold", "0.00", "100.00", "60.00", "60.00", room],
            ["capture", "-10.00", "90.00", "-10.00", "50.00", room],
            ["transfer_out", "-20.00", "70.00", "-20.00", "30.00", room],
            ["release", "0.00", "70.00", "-30.00", "0.00", room],
            ["hold", "0.00", "70.00", "5.00", "5.00", car],
            ["release", "0.00", "70.00", "-2.00", "3.00", car],
        ])
    );
    for (kind, count) in [("hold", 2), ("release", 2), ("capture", 1), ("expiry", 0)] {
        let path = format!("/accounts/ALICE/transactions?type={kind}");
        assert_eq!(client.get(&path).await.ok(200)["total"], count, "{kind}");
    }
    let path = format!("/transfers/{transfer_id}");
    eventually("both halves of the transfer", || async {
        let found = client.get(&path).await;
        found.status == 200 && found.json()["status"] == "completed"
    })
    .await;
    assert_eq!(client.get(&path).await.ok(200)["amount"], "20.00");

    // What was held then?
    for (version, held, available) in [
        (1, "0.00", "100.00"),
        (2, "60.00", "40.00"),
        (3, "50.00", "40.00"),
        (7, "3.00", "67.00"),
    ] {
        let path = format!("/accounts/ALICE/balance-at?version={version}");
        let then = client.get(&path).await.ok(200);
        let at = then["recorded_at"].as_str().expect("it is a time");
        assert_eq!(
            (&then["held"], &then["available"]),
            (&json!(held), &json!(available)),
            "{version}"
        );
        let path = format!("/ledger/balances-at?timestamp={at}");
        let book = client.get(&path).await.ok(200);
        assert_eq!(book["accounts"][0]["held"], held, "{version}");
    }
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_are_listed_newest_first_and_stable_under_writes() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "100").await;
    let ids: Vec<String> = (0..7).map(|_| new_id()).collect();
    for id in &ids {
        hold(&client, id, "1").await;
    }
    let captured = part(&client, "capture", &ids[1], json!({})).await;
    captured.ok(201);
    part(&client, "release", &ids[2], json!({})).await.ok(201);
    let first = client
        .get("/accounts/ALICE/holds?limit=3&min_version=10")
        .await
        .ok(200);
    assert_eq!(first["as_of"]["version"], 10);
    assert!(first["as_of"]["sequence"].is_u64());
    // What comes in between moves nothing, though it changes what is shown.
    let later = new_id();
    hold(&client, &later, "1").await;
    let mut found = first["holds"].as_array().expect("it is a list").clone();
    let mut next = first["next_cursor"].clone();
    while let Some(cursor) = next.as_str() {
        let path = format!("/accounts/ALICE/holds?limit=3&cursor={cursor}");
        let page = client.get(&path).await.ok(200);
        found.extend(page["holds"].as_array().expect("it is a list").clone());
        next = page["next_cursor"].clone();
    }
    let order: Vec<&str> = found
        .iter()
        .filter_map(|hold| hold["hold_id"].as_str())
        .collect();
    let expected: Vec<&str> = ids.iter().rev().map(String::as_str).collect();
    assert_eq!(order, expected);
    for (status, expected) in [
        ("open", 6),
        ("captured", 1),
        ("released", 1),
        ("expired", 0),
    ] {
        let path = format!("/accounts/ALICE/holds?min_version=11&status={status}");
        let holds = client.get(&path).await.ok(200)["holds"].clone();
        let holds = holds.as_array().expect("it is a list").clone();
        assert_eq!(holds.len(), expected, "{status}");
        assert!(holds.iter().all(|hold| hold["status"] == status));
    }

    let path = format!("/accounts/ALICE/holds/{}", ids[1]);
    let one = client.get(&path).await.ok(200);
    for (name, value) in [
        ("account_id", json!("ALICE")),
        ("hold_id", json!(ids[1])),
        ("status", json!("captured")),
        ("amount", json!("1.00")),
        ("captured", json!("1.00")),
        ("remaining", json!("0.00")),
        ("currency", json!("USD")),
        ("expires_at", json!(null)),
        ("description", json!("a room")),
        ("version", json!(9)),
    ] {
        assert_eq!(one[name], value, "{name}");
    }
    let none = client.get("/accounts/BOB/holds").await.ok(200);
    assert_eq!(none["holds"], json!([]));
    let path = format!("/accounts/BOB/holds/{}", ids[1]);
    assert_eq!(client.get(&path).await.problem(404), "hold_not_found");
    for path in [
        "/accounts/NOBODY/holds".to_owned(),
        format!("/accounts/NOBODY/holds/{}", ids[1]),
    ] {
        assert_eq!(client.get(&path).await.problem(404), "account_not_found");
    }
    for bad in [
        "?limit=0",
        "?limit=501",
        "?status=gone",
        "?cursor=e30",
        "?min_version=x",
        "?unknown=1",
        "/x",
    ] {
        let answer = client.get(&format!("/accounts/ALICE/holds{bad}")).await;
        assert_eq!(answer.problem(400), "invalid_parameter", "{bad}");
    }
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_has_its_time() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    let until = |hold_id: &str, at: &str| json!({"account_id": "ALICE", "hold_id": hold_id, "amount": "1", "hold_expires_at": at});
    let path = "/commands/hold";
    let past = until(&new_id(), "2026-01-31T12:00:00Z");
    assert_eq!(client.post(path, &past).await.problem(409), "hold_expired");
    let id = new_id();
    client
        .post(path, &until(&id, "2126-01-31T12:00:00.000001Z"))
        .await
        .ok(201);
    let path = format!("/accounts/ALICE/holds/{id}?min_version=2");
    let one = client.get(&path).await.ok(200);
    assert_eq!(one["expires_at"], "2126-01-31T12:00:00.000001Z");
    assert_eq!(one["status"], "open");
    // The ledger sends it to itself; nobody is kept from sending it, and it is refused while it is not due.
    let expire = json!({"type": "expire_hold", "account_id": "ALICE", "hold_id": id});
    let refused = client.post("/commands", &expire).await;
    assert_eq!(refused.problem(409), "hold_not_due");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_that_are_behind_are_waited_for_and_then_named() {
    let ledger = Ledger::new().await;
    let intake = ledger.run(&["--only", "intake"], &[]).await;
    let client = intake.http();
    open(&client, "ALICE", "100").await;
    let id = new_id();
    hold(&client, &id, "1").await;
    let paths = [
        "/accounts/ALICE/holds?min_version=2".to_owned(),
        format!("/accounts/ALICE/holds/{id}?min_version=2"),
    ];
    for path in &paths {
        let behind = client.get(path).await;
        assert_eq!(behind.problem(503), "not_yet_applied");
        assert_eq!(
            behind.json()["data"],
            json!({"version": "0", "min_version": "2"})
        );
    }
    let projection = ledger.run(&["--only", "projection.holds"], &[]).await;
    for path in &paths {
        let found = client.get(path).await.ok(200);
        assert_eq!(found["as_of"]["version"], 2, "{path}");
    }
    // Events that have nothing to do with a hold move it on, too.
    book(&client, "deposit", "ALICE", "1").await;
    let path = "/accounts/ALICE/holds?min_version=3";
    assert_eq!(client.get(path).await.ok(200)["as_of"]["version"], 3);
    assert_eq!(intake.stop().await, Some(0));
    assert_eq!(projection.stop().await, Some(0));
}
