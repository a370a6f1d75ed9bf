//! Money that is moved back: refunds in parts, what stands in their way, and how each command finds the other.

use serde_json::{Value, json};

use crate::support::Ledger;
use crate::support::http::{Answer, Client};
use crate::{book, new_id, open};

/// Reverses a command that was sent to this account; without an amount, all that is left.
async fn reverse(client: &Client, account: &str, command: &Value, amount: Option<&str>) -> Answer {
    let command = json!({"account_id": account, "reversed_command_id": command, "amount": amount,
        "reason": "the dish was cold"});
    client.post("/commands/reverse", &command).await
}

/// The outcome of a command.
async fn outcome(client: &Client, command_id: &Value) -> Value {
    let command_id = command_id.as_str().expect("an id is a text");
    client.get(&format!("/commands/{command_id}")).await.ok(200)
}

async fn transfer(client: &Client, amount: &str) -> Value {
    let command = json!({"from_account_id": "ALICE", "to_account_id": "BOB", "amount": amount});
    let done = client.post("/commands/transfer", &command).await.ok(201);
    done["command_id"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_refunded_in_parts_and_both_commands_lead_to_the_other() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "0").await;
    let dinner = transfer(&client, "25").await;
    let alone = outcome(&client, &dinner).await;
    assert!(alone.get("reversed_by").is_none() && alone.get("reverses").is_none());

    let first = reverse(&client, "ALICE", &dinner, Some("5")).await.ok(201);
    assert_eq!(first["events"].as_array().map(Vec::len), Some(2));
    let transfer_id = first["transfer_id"].as_str().expect("money was moved");
    let second = reverse(&client, "ALICE", &dinner, None).await.ok(201);
    let done = outcome(&client, &dinner).await;
    assert_eq!(done["status"], "accepted");
    let by = &done["reversed_by"];
    let sums = ["reversed", "rest", "currency", "has_more"].map(|name| &by[name]);
    assert_eq!(json!(sums), json!(["25.00", "0.00", "USD", false]));
    let reversals = by["reversals"].as_array().expect("it is a list");
    for (told, reversal, amount) in [
        (&reversals[0], &first, "5.00"),
        (&reversals[1], &second, "20.00"),
    ] {
        let outcome = outcome(&client, &reversal["command_id"]).await;
        assert_eq!(
            outcome["reverses"],
            json!({"command_id": dinner, "amount": amount, "currency": "USD", "reason": "the dish was cold"})
        );
        assert!(outcome.get("reversed_by").is_none(), "{outcome}");
        assert_eq!(
            *told,
            json!({"command_id": reversal["command_id"], "amount": amount, "reason": "the dish was cold",
                "recorded_at": outcome["recorded_at"]})
        );
    }
    assert_eq!(reversals.len(), 2);

    // The money went from BOB to ALICE, and each line says why.
    let path = "/accounts/ALICE/transactions?min_version=4";
    let lines = client.get(path).await.ok(200);
    assert_eq!(lines["transactions"][0]["balance_after"], "100.00");
    assert_eq!(
        lines["transactions"][2]["reversed_command_id"],
        Value::Null,
        "the transfer itself reverses nothing"
    );
    let named = dinner.as_str().expect("an id is a text");
    for (account, kind, amounts) in [
        ("ALICE", "transfer_in", json!(["20.00", "5.00"])),
        ("BOB", "transfer_out", json!(["-20.00", "-5.00"])),
    ] {
        let path =
            format!("/accounts/{account}/transactions?min_version=4&reversed_command_id={named}");
        let found = client.get(&path).await.ok(200);
        let lines = found["transactions"].as_array().expect("it is a list");
        let told: Vec<_> = lines.iter().map(|line| &line["amount"]).collect();
        assert_eq!(json!(told), amounts);
        assert_eq!(found["total"], 2);
        for line in lines {
            assert_eq!(
                (&line["type"], &line["reversed_command_id"]),
                (&json!(kind), &dinner)
            );
        }
        let more = format!("{path}&max_amount=5");
        assert_eq!(client.get(&more).await.ok(200)["total"], 1);
    }
    let path = format!(
        "/accounts/ALICE/transactions?reversed_command_id={}",
        new_id()
    );
    assert_eq!(client.get(&path).await.ok(200)["total"], 0);
    let bad = client
        .get("/accounts/ALICE/transactions?reversed_command_id=7")
        .await;
    assert_eq!(bad.problem(400), "invalid_parameter");
    let back = client
        .get(&format!("/transfers/{transfer_id}"))
        .await
        .ok(200);
    assert_eq!(
        (&back["from_account_id"], &back["to_account_id"]),
        (&json!("BOB"), &json!("ALICE"))
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_of_a_reversal_is_told_by_its_code() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "0").await;
    let dinner = transfer(&client, "25").await;

    let unknown = json!(new_id());
    for (account, command) in [("ALICE", &unknown), ("BOB", &dinner)] {
        let refused = reverse(&client, account, command, None).await;
        assert_eq!(refused.problem(404), "command_not_found");
        assert_eq!(refused.json()["data"]["account_id"], account);
    }
    let refused = reverse(&client, "ALICE", &dinner, Some("25.01")).await;
    assert_eq!(refused.problem(422), "amount_exceeds_rest");
    assert_eq!(refused.json()["data"]["remaining"], "25.00");
    book(&client, "withdraw", "BOB", "10").await;
    let refused = reverse(&client, "ALICE", &dinner, None).await;
    assert_eq!(refused.problem(422), "reversal_uncovered");
    // A refusal has moved nothing, and is linked to nothing.
    assert!(outcome(&client, &dinner).await.get("reversed_by").is_none());
    let refusal = outcome(&client, &refused.json()["command_id"]).await;
    assert_eq!(refusal["rejection"]["code"], "reversal_uncovered");
    assert!(refusal.get("reverses").is_none());

    let freeze = json!({"account_id": "BOB", "scope": "debits", "reason": "a claim"});
    client
        .post("/commands/freeze-account", &freeze)
        .await
        .ok(201);
    let refused = reverse(&client, "ALICE", &dinner, Some("1")).await;
    assert_eq!(refused.problem(409), "account_frozen");
    client
        .post("/commands/unfreeze-account", &json!({"account_id": "BOB"}))
        .await
        .ok(201);
    let part = reverse(&client, "ALICE", &dinner, Some("15")).await.ok(201);
    // A reversal is not taken back, and was not sent to the other account.
    let refused = reverse(&client, "ALICE", &part["command_id"], None).await;
    assert_eq!(refused.problem(409), "not_reversible");
    let refused = reverse(&client, "BOB", &part["command_id"], None).await;
    assert_eq!(refused.problem(404), "command_not_found");
    book(&client, "deposit", "BOB", "10").await;
    reverse(&client, "ALICE", &dinner, None).await.ok(201);
    let refused = reverse(&client, "ALICE", &dinner, Some("0.01")).await;
    assert_eq!(refused.problem(409), "already_reversed");

    let no_reason = json!({"account_id": "ALICE", "reversed_command_id": dinner});
    let refused = client.post("/commands/reverse", &no_reason).await;
    assert_eq!(refused.problem(400), "missing_field");
    let no_id = json!({"account_id": "ALICE", "reversed_command_id": "7", "reason": "x"});
    let refused = client.post("/commands/reverse", &no_id).await;
    assert_eq!(refused.problem(400), "invalid_command_id");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn deposits_withdrawals_and_captures_are_moved_back() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "0").await;
    let deposit = book(&client, "deposit", "ALICE", "10").await;
    let withdrawal = book(&client, "withdraw", "ALICE", "20").await;
    let hold_id = new_id();
    let hold = json!({"account_id": "ALICE", "hold_id": hold_id, "amount": "30"});
    client.post("/commands/hold", &hold).await.ok(201);
    let capture = json!({"account_id": "ALICE", "hold_id": hold_id, "amount": "25", "final": true, "to_account_id": "BOB"});
    let capture = client.post("/commands/capture", &capture).await.ok(201);

    for (command, kind, amount, moves) in [
        (&deposit, "withdrawal", "-10.00", false),
        (&withdrawal, "deposit", "20.00", false),
        (&capture, "transfer_in", "25.00", true),
    ] {
        let command_id = &command["command_id"];
        let done = reverse(&client, "ALICE", command_id, None).await.ok(201);
        assert_eq!(done["transfer_id"].is_string(), moves, "{done}");
        let events = done["events"].as_array().expect("it is a list");
        let mine = events.iter().find(|event| event["account_id"] == "ALICE");
        let version = &mine.expect("ALICE is concerned")["version"];
        let path = format!(
            "/accounts/ALICE/transactions?min_version={version}&reversed_command_id={}",
            command_id.as_str().expect("an id is a text")
        );
        let line = &client.get(&path).await.ok(200)["transactions"][0];
        assert_eq!(
            (&line["type"], &line["amount"], &line["hold_id"]),
            (&json!(kind), &json!(amount), &Value::Null),
            "a hold that was captured is not held again"
        );
    }
    let account = client.get("/accounts/ALICE?min_version=9").await.ok(200);
    assert_eq!(
        (&account["balance"], &account["held"]),
        (&json!("100.00"), &json!("0.00"))
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
