//! Batches and postings: all of it or nothing, and each part told for itself.

use serde_json::{Value, json};

use crate::support::Ledger;
use crate::support::http::{Answer, Client};
use crate::{new_id, open};

fn entry(account: &str, direction: &str, amount: &str) -> Value {
    json!({"account_id": account, "direction": direction, "amount": amount})
}

async fn post(client: &Client, entries: &[Value]) -> Answer {
    let command = json!({"entries": entries, "description": "a sale"});
    client.post("/commands/post", &command).await
}

async fn batch(client: &Client, commands: &[Value]) -> Answer {
    client
        .post("/commands/batch", &json!({"commands": commands}))
        .await
}

fn transfer(from: &str, to: &str, amount: &str) -> Value {
    json!({"type": "transfer", "from_account_id": from, "to_account_id": to, "amount": amount})
}

async fn reverse(client: &Client, account: &str, command: &Value, amount: Option<&str>) -> Answer {
    let command = json!({"account_id": account, "reversed_command_id": command, "amount": amount,
        "reason": "a mistake"});
    client.post("/commands/reverse", &command).await
}

async fn outcome(client: &Client, command_id: &Value) -> Value {
    let command_id = command_id.as_str().expect("an id is a text");
    client.get(&format!("/commands/{command_id}")).await.ok(200)
}

/// The places of an answer's events: account, version, part.
fn places(answer: &Value) -> Value {
    let events = answer["events"].as_array().expect("it is a list");
    let place = |event: &Value| json!([event["account_id"], event["version"], event["part"]]);
    events.iter().map(place).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posting_is_booked_on_all_of_its_accounts_or_on_none() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    for (account, amount) in [("ALICE", "100"), ("BOB", "0"), ("FEES", "0")] {
        open(&client, account, amount).await;
    }
    let sale = [
        entry("ALICE", "debit", "30"),
        entry("BOB", "credit", "28.50"),
        entry("FEES", "credit", "1.50"),
    ];
    let done = post(&client, &sale).await.ok(201);
    assert_eq!(
        places(&done),
        json!([["ALICE", 2, null], ["BOB", 2, null], ["FEES", 2, null]])
    );
    let posting_id = &done["posting_id"];
    assert!(
        posting_id.is_string() && done.get("transfer_id").is_none(),
        "{done}"
    );
    for (account, kind, amount) in [
        ("ALICE", "posting_out", "-30.00"),
        ("BOB", "posting_in", "28.50"),
        ("FEES", "posting_in", "1.50"),
    ] {
        let path = format!("/accounts/{account}/transactions?min_version=2&type={kind}");
        let found = client.get(&path).await.ok(200);
        assert_eq!(found["total"], 1, "{found}");
        let line = &found["transactions"][0];
        assert_eq!(
            (&line["amount"], &line["posting_id"], &line["transfer_id"]),
            (&json!(amount), posting_id, &Value::Null)
        );
        assert_eq!(line["description"], "a sale");
    }

    for (entries, status, code, data) in [
        (
            vec![entry("ALICE", "debit", "2"), entry("BOB", "credit", "1")],
            422,
            "unbalanced",
            json!({"debits": "2.00", "credits": "1.00", "currency": "USD"}),
        ),
        (
            vec![entry("BOB", "credit", "1"), entry("NOBODY", "debit", "1")],
            404,
            "account_not_found",
            json!({"account_id": "NOBODY", "entry": "1"}),
        ),
        (
            vec![
                entry("BOB", "credit", "500"),
                entry("ALICE", "debit", "500"),
            ],
            422,
            "insufficient_funds",
            json!({"account_id": "ALICE", "available": "70.00", "currency": "USD", "entry": "1", "required": "500.00"}),
        ),
    ] {
        let refused = post(&client, &entries).await;
        assert_eq!(refused.problem(status), code);
        let problem = refused.json();
        assert_eq!(problem["data"], data);
        let is_of_an_entry = data.get("entry").is_some();
        let detail = problem["detail"].as_str().expect("it is a text");
        assert_eq!(
            detail.starts_with("entries[1]: "),
            is_of_an_entry,
            "{detail}"
        );
    }
    for (entries, code) in [
        (json!([]), "invalid_field"),
        (json!({}), "invalid_field"),
        (json!([1]), "invalid_field"),
        (
            json!(vec![entry("ALICE", "debit", "1"); 1_001]),
            "invalid_field",
        ),
        (json!([entry("ALICE", "sideways", "1")]), "invalid_field"),
        (
            json!([{"account_id": "ALICE", "direction": "debit"}]),
            "missing_field",
        ),
        (Value::Null, "missing_field"),
    ] {
        let refused = client
            .post("/commands/post", &json!({"entries": entries}))
            .await;
        assert_eq!(refused.problem(400), code, "{entries}");
    }
    let account = client.get("/accounts/BOB").await.ok(200);
    assert_eq!(account["version"], 2, "nothing else has happened");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_done_as_a_whole_and_each_event_says_which_command_made_it() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    let keyed = client.with("Idempotency-Key", &new_id());
    let commands = [
        json!({"type": "create_account", "account_id": "BOB", "owner_name": "Bob", "currency": "USD"}),
        json!({"type": "transfer", "from_account_id": "ALICE", "to_account_id": "BOB", "amount": "10", "description": "a start",
            "metadata": {"invoice": "77"}, "expected_version": 1}),
        json!({"type": "post", "entries": [entry("BOB", "debit", "4"), entry("ALICE", "credit", "4")]}),
    ];
    let done = batch(&keyed, &commands).await.ok(201);
    assert_eq!(
        places(&done),
        json!([
            ["BOB", 1, 0],
            ["ALICE", 2, 1],
            ["BOB", 2, 1],
            ["BOB", 3, 2],
            ["ALICE", 3, 2]
        ])
    );
    for name in ["transfer_id", "posting_id", "hold_id"] {
        assert!(done.get(name).is_none(), "{name}: {done}");
    }
    let told = outcome(&client, &done["command_id"]).await;
    assert_eq!(told["events"], done["events"]);
    assert!(told.get("reverses").is_none() && told.get("reversed_by").is_none());
    // All events at one instant, so no instant shows a part of it.
    let history = client.get("/accounts/BOB/history").await.ok(200);
    let steps = history["history"].as_array().expect("it is a list");
    assert_eq!(steps.len(), 3);
    for step in steps {
        let event = &step["event"];
        assert_eq!(event["recorded_at"], told["recorded_at"], "{event}");
        assert!(event["part"].is_number(), "{event}");
    }
    // The same again, and another one under the same id.
    assert_eq!(batch(&keyed, &commands).await.ok(201), done);
    let refused = batch(&keyed, &commands[..2]).await;
    assert_eq!(refused.problem(409), "idempotency_conflict");
    let detail = refused.json()["detail"].as_str().map(str::to_owned);
    assert!(
        detail.is_some_and(|detail| detail.contains("commands")),
        "{refused:?}"
    );

    // The first that is refused refuses all, and says so.
    let carol = json!({"type": "create_account", "account_id": "CAROL", "owner_name": "C", "currency": "USD"});
    let refused = batch(
        &client,
        &[
            carol.clone(),
            transfer("ALICE", "CAROL", "94"),
            transfer("ALICE", "CAROL", "1"),
        ],
    )
    .await;
    assert_eq!(refused.problem(422), "insufficient_funds");
    let problem = refused.json();
    assert_eq!(
        problem["data"],
        json!({"account_id": "ALICE", "available": "0.00", "command": "2", "currency": "USD", "required": "1.00"})
    );
    let detail = problem["detail"].as_str().expect("it is a text");
    assert!(
        detail.starts_with("commands[2] (transfer): account ALICE"),
        "{detail}"
    );
    assert_eq!(client.get("/accounts/CAROL").await.status, 404);
    let posting = json!({"type": "post", "entries": [entry("BOB", "debit", "1"), entry("ALICE", "credit", "2")]});
    let refused = batch(&client, &[transfer("ALICE", "BOB", "1"), posting]).await;
    assert_eq!(refused.problem(422), "unbalanced");
    assert_eq!(refused.json()["data"]["command"], "1");

    for (commands, code) in [
        (json!([]), "invalid_field"),
        (
            json!([{"type": "batch", "commands": [carol]}]),
            "invalid_field",
        ),
        (
            json!(vec![transfer("ALICE", "BOB", "1"); 1_001]),
            "invalid_field",
        ),
        (
            json!([{"type": "deposit", "account_id": "BOB", "amount": "1", "command_id": new_id()}]),
            "unknown_field",
        ),
        (
            json!([{"type": "deposit", "account_id": "BOB", "amount": "1", "actor": "me"}]),
            "unknown_field",
        ),
        (json!([{"type": "steal"}]), "unknown_type"),
        (Value::Null, "missing_field"),
    ] {
        let refused = client
            .post("/commands/batch", &json!({"commands": commands}))
            .await;
        assert_eq!(refused.problem(400), code, "{commands}");
    }
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_write_too_much_is_refused() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "0").await;
    let text = "x".repeat(512);
    let metadata: serde_json::Map<String, Value> = (0..40)
        .map(|number| (format!("key-{number}"), text.clone().into()))
        .collect();
    let entries: Vec<Value> = (0..300)
        .map(|number| {
            let direction = if number % 2 == 0 { "debit" } else { "credit" };
            entry(["ALICE", "BOB"][number % 2], direction, "0.01")
        })
        .collect();
    let refused = client
        .post(
            "/commands/post",
            &json!({"entries": entries, "metadata": metadata}),
        )
        .await;
    assert_eq!(refused.problem(422), "too_much_written");
    assert_eq!(refused.json()["data"], json!({"bytes_max": "4194304"}));
    let done = client
        .post("/commands/post", &json!({"entries": entries}))
        .await
        .ok(201);
    assert_eq!(done["events"].as_array().map(Vec::len), Some(300));
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_and_postings_are_moved_back_whole_and_lead_to_their_reversals() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    for (account, amount) in [("ALICE", "100"), ("BOB", "0"), ("FEES", "0")] {
        open(&client, account, amount).await;
    }
    // Two movements on the account that it is sent to.
    let sale = [
        entry("ALICE", "debit", "30"),
        entry("BOB", "credit", "30"),
        entry("ALICE", "debit", "1.50"),
        entry("FEES", "credit", "1.50"),
    ];
    let sale = post(&client, &sale).await.ok(201);
    let pay = [
        transfer("ALICE", "BOB", "10"),
        transfer("ALICE", "FEES", "5"),
        transfer("BOB", "ALICE", "2"),
    ];
    let pay = batch(&client, &pay).await.ok(201);
    let pair = post(
        &client,
        &[entry("ALICE", "debit", "8"), entry("BOB", "credit", "8")],
    )
    .await;
    let pair = pair.ok(201);
    for (command, whole, movements) in [(&sale, "31.50", 4), (&pay, "17.00", 6)] {
        let command_id = &command["command_id"];
        assert!(
            outcome(&client, command_id)
                .await
                .get("reversed_by")
                .is_none()
        );
        let refused = reverse(&client, "ALICE", command_id, Some("1")).await;
        assert_eq!(refused.problem(409), "not_reversible");
        let done = reverse(&client, "ALICE", command_id, None).await.ok(201);
        assert_eq!(done["events"].as_array().map(Vec::len), Some(movements));
        // One posting back is a posting; several transfers are none.
        assert!(done.get("transfer_id").is_none(), "{done}");
        let is_posting = command.get("posting_id").is_some();
        assert_eq!(done.get("posting_id").is_some(), is_posting, "{done}");
        let reversal = outcome(&client, &done["command_id"]).await;
        assert_eq!(
            reversal["reverses"],
            json!({"command_id": command_id, "amount": whole, "currency": "USD", "reason": "a mistake"})
        );
        let by = outcome(&client, command_id).await["reversed_by"].take();
        assert_eq!(
            by,
            json!({"reversed": whole, "rest": "0.00", "currency": "USD", "has_more": false, "reversals": [
                {"command_id": done["command_id"], "amount": whole, "reason": "a mistake",
                    "recorded_at": reversal["recorded_at"]}]})
        );
        let refused = reverse(&client, "ALICE", command_id, None).await;
        assert_eq!(refused.problem(409), "already_reversed");
    }
    // One amount, moved once, comes back in parts; one of them in a batch.
    let command_id = &pair["command_id"];
    let first = reverse(&client, "ALICE", command_id, Some("3"))
        .await
        .ok(201);
    assert!(
        first.get("posting_id").is_some() && first.get("transfer_id").is_none(),
        "{first}"
    );
    let second = json!({"type": "reverse", "account_id": "ALICE", "reversed_command_id": command_id, "amount": "1",
        "reason": "a mistake"});
    let second = batch(&client, &[transfer("ALICE", "BOB", "1"), second])
        .await
        .ok(201);
    let by = outcome(&client, command_id).await["reversed_by"].take();
    assert_eq!(
        (&by["reversed"], &by["rest"]),
        (&json!("4.00"), &json!("4.00"))
    );
    let told = |index: usize| {
        let reversal = &by["reversals"][index];
        json!([reversal["command_id"], reversal["part"], reversal["amount"]])
    };
    assert_eq!(told(0), json!([first["command_id"], null, "3.00"]));
    assert_eq!(told(1), json!([second["command_id"], 1, "1.00"]));
    let links = outcome(&client, &second["command_id"]).await;
    assert!(
        links.get("reverses").is_none() && links.get("reversed_by").is_none(),
        "{links}"
    );
    let entered = client
        .get("/accounts/ALICE/transactions?type=posting_in&min_version=9")
        .await
        .ok(200);
    assert_eq!(
        entered["total"], 4,
        "two of the sale, and two parts of the pair"
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_did_more_than_move_money_is_not_moved_back() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    for (account, amount) in [("ALICE", "100"), ("BOB", "0"), ("FEES", "0")] {
        open(&client, account, amount).await;
    }
    let mixed = [
        json!({"type": "freeze_account", "account_id": "FEES", "scope": "debits", "reason": "x"}),
        transfer("ALICE", "BOB", "1"),
    ];
    let mixed = batch(&client, &mixed).await.ok(201);
    let refused = reverse(&client, "FEES", &mixed["command_id"], None).await;
    assert_eq!(refused.problem(409), "not_reversible");
    let links = outcome(&client, &mixed["command_id"]).await;
    assert!(links.get("reversed_by").is_none());
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
