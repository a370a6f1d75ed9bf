//! What happens to accounts besides money: frozen, changed, closed. And what must hold before anything happens.

use serde_json::{Value, json};

use crate::support::{Ledger, eventually};
use crate::{book, open};

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_account_says_so_now_and_then() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    let frozen = client
        .post(
            "/commands/freeze-account",
            &json!({"account_id": "ALICE", "scope": "debits", "reason": "a lost card"}),
        )
        .await
        .ok(201);
    assert_eq!(frozen["events"][0]["version"], 2);
    let withdrawal = json!({"account_id": "ALICE", "amount": "1"});
    let refused = client.post("/commands/withdraw", &withdrawal).await;
    assert_eq!(refused.problem(409), "account_frozen");
    assert_eq!(
        refused.json()["data"],
        json!({"account_id": "ALICE", "status": "debits_frozen", "forbidden": "debits"})
    );
    book(&client, "deposit", "ALICE", "1").await;

    let account = client.get("/accounts/ALICE?min_version=3").await.ok(200);
    assert_eq!(account["status"], "debits_frozen");
    assert_eq!(account["freeze_reason"], "a lost card");
    for (status, found) in [
        ("debits_frozen", 1),
        ("active", 0),
        ("credits_frozen", 0),
        ("frozen", 0),
        ("closed", 0),
    ] {
        let list = client
            .get(&format!("/accounts?status={status}"))
            .await
            .ok(200);
        assert_eq!(list["accounts"].as_array().map(Vec::len), Some(found));
    }

    let all = json!({"account_id": "ALICE", "reason": "a court order"});
    client.post("/commands/freeze-account", &all).await.ok(201);
    let again = client.post("/commands/freeze-account", &all).await;
    assert_eq!(again.problem(409), "no_change");
    assert_eq!(again.json()["data"]["state"], "frozen");
    let unfrozen = json!({"account_id": "ALICE"});
    client
        .post("/commands/unfreeze-account", &unfrozen)
        .await
        .ok(201);
    book(&client, "withdraw", "ALICE", "1").await;
    let again = client.post("/commands/unfreeze-account", &unfrozen).await;
    assert_eq!(again.problem(409), "no_change");

    // Was it frozen then?
    for (version, status, reason) in [
        (1, "active", json!(null)),
        (2, "debits_frozen", json!("a lost card")),
        (3, "debits_frozen", json!("a lost card")),
        (4, "frozen", json!("a court order")),
        (5, "active", json!(null)),
    ] {
        let path = format!("/accounts/ALICE/balance-at?version={version}");
        let then = client.get(&path).await.ok(200);
        let at = then["recorded_at"].as_str().expect("it is a time");
        let path = format!("/accounts/ALICE/balance-at?timestamp={at}");
        for then in [&then, &client.get(&path).await.ok(200)] {
            assert_eq!(then["status"], status, "{version}");
            assert_eq!(then["freeze_reason"], reason, "{version}");
        }
        let path = format!("/ledger/balances-at?timestamp={at}");
        let book = client.get(&path).await.ok(200);
        assert_eq!(book["accounts"][0]["status"], status, "{version}");
    }
    let history = client.get("/accounts/ALICE/history").await.ok(200);
    assert_eq!(history["history"][3]["state"]["status"], "frozen");
    let lines = "/accounts/ALICE/transactions?min_version=6";
    for (kind, versions) in [("freeze", json!([4, 2])), ("unfreeze", json!([5]))] {
        let path = format!("{lines}&type={kind}");
        let found = client.get(&path).await.ok(200);
        let lines = found["transactions"].as_array().expect("it is a list");
        let found: Vec<_> = lines.iter().map(|line| &line["version"]).collect();
        assert_eq!(json!(found), versions, "{kind}");
        assert!(lines.iter().all(|line| line["amount"] == "0.00"));
    }
    let path = "/events?type=AccountFrozen&after_sequence=0";
    let events = client.get(path).await.ok(200);
    assert_eq!(events["events"].as_array().map(Vec::len), Some(2));
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_owners_and_metadata_change_and_a_closed_account_stays_closed() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "0").await;
    let limit = |limit: &str| json!({"account_id": "ALICE", "overdraft_limit": limit});
    let path = "/commands/set-overdraft-limit";
    client.post(path, &limit("50")).await.ok(201);
    book(&client, "withdraw", "ALICE", "120").await;
    let refused = client.post(path, &limit("10")).await;
    assert_eq!(refused.problem(422), "overdraft_in_use");
    assert_eq!(refused.json()["data"]["balance"], "-20.00");

    let path = "/commands/update-account";
    let update = json!({"account_id": "ALICE", "owner_name": "Alice Miller", "account_metadata": {"tier": "gold"}});
    client.post(path, &update).await.ok(201);
    let again = client.post(path, &update).await;
    assert_eq!(again.problem(409), "no_change");
    let nothing = client.post(path, &json!({"account_id": "ALICE"})).await;
    assert_eq!(nothing.problem(400), "missing_field");
    let account = client.get("/accounts/ALICE?min_version=4").await.ok(200);
    assert_eq!(account["owner_name"], "Alice Miller");
    assert_eq!(account["metadata"], json!({"tier": "gold"}));
    assert_eq!(account["overdraft_limit"], "50.00");
    assert_eq!(account["available"], "30.00");
    let found = client.get("/accounts?owner=Alice%20Miller").await.ok(200);
    assert_eq!(found["accounts"][0]["account_id"], "ALICE");

    let path = "/commands/close-account";
    let close = json!({"account_id": "ALICE"});
    let refused = client.post(path, &close).await;
    assert_eq!(refused.problem(409), "balance_not_zero");
    book(&client, "deposit", "ALICE", "27").await;
    let sweep = json!({"account_id": "ALICE", "sweep_to_account_id": "BOB"});
    let closed = client.post(path, &sweep).await.ok(201);
    assert_eq!(closed["events"].as_array().map(Vec::len), Some(3));
    let transfer_id = closed["transfer_id"].as_str().expect("money was moved");
    assert_eq!(
        client.post(path, &close).await.problem(409),
        "account_closed"
    );
    let deposit = json!({"account_id": "ALICE", "amount": "1"});
    let refused = client.post("/commands/deposit", &deposit).await;
    assert_eq!(refused.problem(409), "account_closed");
    let open_again = json!({"account_id": "ALICE", "owner_name": "A", "currency": "USD"});
    let refused = client.post("/commands/create-account", &open_again).await;
    assert_eq!(refused.problem(409), "account_exists");
    let account = client.get("/accounts/ALICE?min_version=7").await.ok(200);
    assert_eq!(
        (&account["status"], &account["balance"]),
        (&json!("closed"), &json!("0.00"))
    );
    let bob = client.get("/accounts/BOB?min_version=2").await.ok(200);
    assert_eq!(bob["balance"], "7.00");
    let closing = client
        .get("/accounts/ALICE/transactions?min_version=7&type=closing")
        .await
        .ok(200);
    assert_eq!(closing["transactions"][0]["version"], 7);
    let transfer = format!("/transfers/{transfer_id}");
    eventually("both halves of the transfer", || async {
        let found = client.get(&transfer).await;
        found.status == 200 && found.json()["status"] == "completed"
    })
    .await;
    assert_eq!(client.get(&transfer).await.ok(200)["amount"], "7.00");
    // An account without a balance is closed without a transfer.
    let closed = json!({"account_id": "BOB", "amount": "7"});
    client.post("/commands/withdraw", &closed).await.ok(201);
    open(&client, "CAROL", "0").await;
    let sweep = json!({"account_id": "BOB", "sweep_to_account_id": "CAROL"});
    let closed = client.post(path, &sweep).await.ok(201);
    assert!(closed["transfer_id"].is_null(), "{closed}");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_does_not_hold_is_412_and_one_that_holds_is_done() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    let deposit =
        |name: &str, value: &str| json!({"account_id": "ALICE", "amount": "1", name: value});
    for (name, value, code, figure) in [
        (
            "if_balance_at_least",
            "100.01",
            "balance_condition",
            "balance",
        ),
        (
            "not_before",
            "2126-01-31T12:00:00Z",
            "too_early",
            "not_before",
        ),
        (
            "expires_at",
            "2026-01-31T12:00:00Z",
            "expired",
            "expires_at",
        ),
    ] {
        let refused = client
            .post("/commands/deposit", &deposit(name, value))
            .await;
        assert_eq!(refused.problem(412), code);
        assert!(refused.json()["data"][figure].is_string(), "{refused:?}");
    }
    for (name, value) in [
        ("if_balance_at_least", "100"),
        ("not_before", "2026-01-31T12:00:00Z"),
        ("expires_at", "2126-01-31T12:00:00Z"),
    ] {
        client
            .post("/commands/deposit", &deposit(name, value))
            .await
            .ok(201);
    }
    let of_type = |value: &str| json!({"account_id": "ALICE", "amount": "1", "not_before": value});
    for bad in [
        "tomorrow",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00:00.0000001Z",
    ] {
        let refused = client.post("/commands/deposit", &of_type(bad)).await;
        assert_eq!(refused.problem(400), "invalid_timestamp", "{bad}");
    }
    let account = client.get("/accounts/ALICE?min_version=4").await.ok(200);
    assert_eq!(account["balance"], "103.00");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_obeys_its_rules_and_they_are_told_now_and_as_they_were_then() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "0").await;
    let path = "/commands/set-account-rules";
    let rules = json!({"minimum_balance": "10.00", "maximum_balance": "120.00", "daily_debit_amount_max": "50.00",
        "daily_debit_count_max": 2, "allowed_counterparties": ["CAROL"]});
    let mut asked = rules.clone();
    asked["account_id"] = "ALICE".into();
    client.post(path, &asked).await.ok(201);
    assert_eq!(client.post(path, &asked).await.problem(409), "no_change");
    let account = client.get("/accounts/ALICE?min_version=2").await.ok(200);
    assert_eq!(account["rules"], rules);

    let movement = |amount: &str| json!({"account_id": "ALICE", "amount": amount});
    let too_much = client.post("/commands/deposit", &movement("20.01")).await;
    assert_eq!(too_much.problem(422), "above_maximum_balance");
    assert_eq!(too_much.json()["data"]["balance"], "120.01");
    let gift = json!({"from_account_id": "ALICE", "to_account_id": "BOB", "amount": "1"});
    let to_bob = client.post("/commands/transfer", &gift).await;
    assert_eq!(to_bob.problem(422), "counterparty_not_allowed");
    client
        .post("/commands/withdraw", &movement("30"))
        .await
        .ok(201);
    let again = client.post("/commands/withdraw", &movement("20.01")).await;
    assert_eq!(again.problem(422), "daily_amount_exceeded");
    assert_eq!(again.json()["data"]["amount"], "50.01");
    client
        .post("/commands/withdraw", &movement("1"))
        .await
        .ok(201);
    let third = client.post("/commands/withdraw", &movement("1")).await;
    assert_eq!(third.problem(422), "daily_count_exceeded");

    let then = client
        .get("/accounts/ALICE/balance-at?version=4")
        .await
        .ok(200);
    assert_eq!(then["rules"], rules);
    assert_eq!(then["day_debits"]["amount"], "31.00");
    assert_eq!(then["day_debits"]["count"], 2);
    let before = client
        .get("/accounts/ALICE/balance-at?version=1")
        .await
        .ok(200);
    assert_eq!(before["rules"], json!({}));
    assert_eq!(before["day_debits"], Value::Null);

    let minimum = json!({"account_id": "ALICE", "minimum_balance": "10"});
    client.post(path, &minimum).await.ok(201);
    let rest = client.post("/commands/withdraw", &movement("59.01")).await;
    assert_eq!(rest.problem(422), "below_minimum_balance");
    assert_eq!(rest.json()["data"]["remaining"], "9.99");
    client
        .post(path, &json!({"account_id": "ALICE"}))
        .await
        .ok(201);
    client
        .post("/commands/withdraw", &movement("69"))
        .await
        .ok(201);
    let account = client.get("/accounts/ALICE?min_version=7").await.ok(200);
    assert_eq!(account["rules"], json!({}));
    let lines = client
        .get("/accounts/ALICE/transactions?type=rules")
        .await
        .ok(200);
    assert_eq!(lines["total"], 3);
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
