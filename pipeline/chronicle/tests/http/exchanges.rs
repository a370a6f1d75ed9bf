//! Money of one currency becomes money of another.

use serde_json::{Value, json};

use crate::new_id;
use crate::support::http::Client;
use crate::support::{Ledger, Process, text};

/// Dollars on `ALICE`, and a currency of six decimals that has a digit in its code on `COINS`.
async fn two_currencies() -> (Ledger, Process) {
    let mut ledger = Ledger::new().await;
    ledger.environment = vec![("CHRONICLE_CURRENCIES", "USDC2:6")];
    let process = ledger.run(&[], &[]).await;
    let client = process.http();
    for (account, currency, overdraft_limit) in [
        ("ALICE", "USD", "0"),
        ("COINS", "USDC2", "0"),
        ("DESK-USD", "USD", "0"),
        ("DESK-USDC2", "USDC2", "1000"),
    ] {
        let command = json!({"account_id": account, "owner_name": "Owner", "currency": currency,
            "initial_balance": if account == "ALICE" { "100" } else { "0" }, "overdraft_limit": overdraft_limit});
        let answer = client.post("/commands/create-account", &command).await;
        answer.ok(201);
    }
    (ledger, process)
}

/// The command, with more or other fields than it has by itself.
fn exchange(more: &Value) -> Value {
    let mut command = json!({"from_account_id": "ALICE", "to_account_id": "COINS", "amount": "25.00",
        "from_clearing_account_id": "DESK-USD", "to_clearing_account_id": "DESK-USDC2"});
    let fields = more.as_object().expect("fields are an object").clone();
    let all = command.as_object_mut().expect("a command is an object");
    all.extend(fields);
    command
}

async fn lines(client: &Client, posting_id: &Value) -> Vec<(Value, Value)> {
    let mut lines = Vec::new();
    for account in ["ALICE", "DESK-USD", "DESK-USDC2", "COINS"] {
        let path = format!("/accounts/{account}/transactions?min_version=2");
        let found = client.get(&path).await.ok(200);
        for line in found["transactions"].as_array().expect("it is a list") {
            if line["posting_id"] == *posting_id {
                lines.push((line["type"].clone(), line["amount"].clone()));
            }
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_is_one_posting_at_the_price_that_was_asked_for() {
    let (ledger, process) = two_currencies().await;
    let client = process.http();
    let command_id = new_id();
    let command = exchange(&json!({"command_id": command_id, "rate": "0.9999995"}));
    let done = client.post("/commands/exchange", &command).await.ok(201);
    let versions: Vec<(&Value, &Value)> = done["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (&event["account_id"], &event["version"]))
        .collect();
    assert_eq!(
        json!(versions),
        json!([
            ["ALICE", 2],
            ["DESK-USD", 2],
            ["DESK-USDC2", 2],
            ["COINS", 2]
        ])
    );
    assert!(done.get("transfer_id").is_none(), "{done}");
    // 25 × 0.9999995 = 24.9999875, which lies in the middle: the even one is taken.
    assert_eq!(
        json!(lines(&client, &done["posting_id"]).await),
        json!([
            ["posting_out", "-25.00"],
            ["posting_in", "25.00"],
            ["posting_out", "-24.999988"],
            ["posting_in", "24.999988"]
        ])
    );
    // Every door leads to the same command.
    let mut same = command.clone();
    same["type"] = json!("exchange");
    assert_eq!(client.post("/commands", &same).await.ok(201), done);

    let named = exchange(&json!({"amount": 1, "to_amount": "0.5"}));
    let batch = json!({"commands": [named]});
    let mut of_a_batch = batch.clone();
    of_a_batch["commands"][0]["type"] = json!("exchange");
    let refused = client.post("/commands/batch", &batch).await;
    assert_eq!(refused.problem(400), "missing_field");
    let done = client.post("/commands/batch", &of_a_batch).await.ok(201);
    assert_eq!(done["events"].as_array().map(Vec::len), Some(4));

    let back =
        json!({"account_id": "ALICE", "reversed_command_id": command_id, "reason": "a slip"});
    let mut part = back.clone();
    part["amount"] = json!("1.00");
    let refused = client.post("/commands/reverse", &part).await;
    assert_eq!(refused.problem(409), "not_reversible");
    let done = client.post("/commands/reverse", &back).await.ok(201);
    assert_eq!(
        json!(lines(&client, &done["posting_id"]).await),
        json!([
            ["posting_in", "25.00"],
            ["posting_out", "-25.00"],
            ["posting_in", "24.999988"],
            ["posting_out", "-24.999988"]
        ])
    );
    ledger.verify().await;

    // hledger reads a symbol with a digit in it only in quotes.
    let output = ledger.chronicle(&["export", "--format", "hledger"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let journal = text(&output.stdout);
    for line in [
        "commodity 1000.000000 \"USDC2\"",
        "    assets:DESK-USDC2  -24.999988 \"USDC2\"  ; event_id",
        "    assets:COINS  0.000000 \"USDC2\" == 0.500000 \"USDC2\"",
        "    assets:ALICE  -25.00 USD  ; event_id",
    ] {
        assert!(journal.contains(line), "{line}:\n{journal}");
    }
    assert!(!journal.contains("0 USDC2"), "{journal}");
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_without_a_price_or_without_two_currencies_is_refused() {
    let (ledger, process) = two_currencies().await;
    let client = process.http();
    for (more, status, code) in [
        (json!({}), 400, "missing_field"),
        (json!({"rate": "1", "to_amount": "1"}), 400, "invalid_field"),
        (
            json!({"rate": "1", "currency": "USD"}),
            400,
            "unknown_field",
        ),
        (json!({"rate": "0"}), 422, "invalid_amount"),
        (json!({"rate": "0.00000001"}), 422, "invalid_amount"),
        (
            json!({"rate": "999999999999999999999999999"}),
            422,
            "amount_overflow",
        ),
        (json!({"to_amount": "1.0000001"}), 422, "invalid_amount"),
        (
            json!({"rate": "1", "amount": "100.01"}),
            422,
            "insufficient_funds",
        ),
        (json!({"rate": "41"}), 422, "insufficient_funds"),
        (
            json!({"rate": "1", "to_account_id": "DESK-USD", "to_clearing_account_id": "ALICE"}),
            422,
            "same_currency",
        ),
        (
            json!({"rate": "1", "from_clearing_account_id": "DESK-USDC2"}),
            422,
            "currency_mismatch",
        ),
        (
            json!({"rate": "1", "to_account_id": "NOBODY"}),
            404,
            "account_not_found",
        ),
    ] {
        let command = exchange(&more);
        let refused = client.post("/commands/exchange", &command).await;
        assert_eq!(refused.problem(status), code, "{command}");
    }
    let account = client.get("/accounts/ALICE?min_version=1").await.ok(200);
    assert_eq!(account["balance"], "100.00");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
