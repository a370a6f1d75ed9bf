//! Commands over HTTP: what they answer, and what retries do.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use transport::streams;

use crate::support::{Ledger, eventually};
use crate::{book, new_id, open};

#[tokio::test(flavor = "multi_thread")]
async fn each_command_is_answered_with_what_became_of_it() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    open(&client, "BOB", "0").await;

    let deposited = book(&client, "deposit", "ALICE", "25.50").await;
    assert_eq!(deposited["success"], true);
    assert_eq!(deposited["events"][0]["version"], 2);
    assert_eq!(deposited["event_id"], deposited["events"][0]["event_id"]);
    book(&client, "withdraw", "ALICE", "0.50").await;
    let transfer = json!({"from_account_id": "ALICE", "to_account_id": "BOB", "amount": 25, "description": "rent"});
    let transferred = client.post("/commands/transfer", &transfer).await.ok(201);
    assert_eq!(transferred["events"][1]["account_id"], "BOB");
    let transfer_id = transferred["transfer_id"].as_str().expect("it has an id");

    // Any command, with its type in the body; numbers are read digit by digit.
    let any = r#"{"type":"deposit","account_id":"BOB","amount":0.10}"#;
    let posted = client
        .with("Content-Type", "application/json; charset=utf-8")
        .send("POST", "/commands", any.as_bytes())
        .await
        .ok(201);
    assert_eq!(posted["events"][0]["version"], 3);

    // Read your writes.
    let account = client.get("/accounts/BOB?min_version=3").await.ok(200);
    assert_eq!(account["balance"], "25.10");
    assert_eq!(account["as_of"]["version"], 3);
    eventually("both halves of the transfer", || async {
        let found = client.get(&format!("/transfers/{transfer_id}")).await;
        found.status == 200 && found.json()["status"] == "completed"
    })
    .await;
    let found = client
        .get(&format!("/transfers/{transfer_id}"))
        .await
        .ok(200);
    assert_eq!(found["amount"], "25.00");

    let id = transferred["command_id"].as_str().expect("it has an id");
    let outcome = client.get(&format!("/commands/{id}")).await.ok(200);
    assert_eq!(outcome["status"], "accepted");
    assert_eq!(outcome["events"], transferred["events"]);
    let unknown = client.get(&format!("/commands/{}", new_id())).await;
    assert_eq!(unknown.problem(404), "no_outcome");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[allow(clippy::too_many_lines)] // a table of cases
#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_status_and_the_code_of_their_kind() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    for (kind, command, status, code) in [
        (
            "deposit",
            json!({"account_id": "NOBODY", "amount": "1"}),
            404,
            "account_not_found",
        ),
        (
            "create-account",
            json!({"account_id": "ALICE", "owner_name": "A", "currency": "USD"}),
            409,
            "account_exists",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "1", "expected_version": 7}),
            409,
            "version_conflict",
        ),
        (
            "withdraw",
            json!({"account_id": "ALICE", "amount": "100.01"}),
            422,
            "insufficient_funds",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "0"}),
            422,
            "invalid_amount",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "1.001"}),
            422,
            "invalid_amount",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "1", "currency": "EUR"}),
            422,
            "currency_mismatch",
        ),
        (
            "transfer",
            json!({"from_account_id": "ALICE", "to_account_id": "ALICE", "amount": "1"}),
            422,
            "same_account",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE"}),
            400,
            "missing_field",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "ten"}),
            400,
            "invalid_amount",
        ),
        (
            "deposit",
            json!({"account_id": "A B", "amount": "1"}),
            400,
            "invalid_account_id",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "1", "note": "x"}),
            400,
            "unknown_field",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "1", "type": "withdraw"}),
            400,
            "duplicate_field",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "1", "command_id": null}),
            400,
            "missing_field",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "1", "command_id": 7}),
            400,
            "invalid_command_id",
        ),
        ("deposit", json!([1]), 400, "invalid_json"),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "1", "description": "x".repeat(3_000)}),
            400,
            "text_too_long",
        ),
        (
            "deposit",
            json!({"account_id": "ALICE", "amount": "1", "description": "x".repeat(270_000)}),
            413,
            "too_large",
        ),
    ] {
        let answer = client.post(&format!("/commands/{kind}"), &command).await;
        assert_eq!(answer.problem(status), code, "{command}");
    }
    let answer = client
        .with("Content-Type", "text/plain")
        .send("POST", "/commands/deposit", b"{}")
        .await;
    assert_eq!(answer.problem(415), "unsupported_content_type");
    let funds = client
        .post(
            "/commands/withdraw",
            &json!({"account_id": "ALICE", "amount": "500"}),
        )
        .await;
    assert_eq!(funds.json()["data"]["available"], "100.00");
    // Whatever was refused has changed nothing.
    let account = client.get("/accounts/ALICE").await.ok(200);
    assert_eq!(
        (&account["balance"], &account["version"]),
        (&json!("100.00"), &json!(1))
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_gets_the_same_answer_and_another_body_changes_nothing() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    let keyed = client.with("Idempotency-Key", &new_id());
    let command = json!({"account_id": "ALICE", "amount": "10"});
    let first = keyed.post("/commands/deposit", &command).await.ok(201);
    for _ in 0..3 {
        assert_eq!(
            keyed.post("/commands/deposit", &command).await.ok(201),
            first
        );
    }
    let other = json!({"account_id": "ALICE", "amount": "11"});
    let refused = keyed.post("/commands/deposit", &other).await;
    assert_eq!(refused.problem(409), "idempotency_conflict");
    // A refusal stays a refusal, too, whatever has changed since.
    let poor = client.with("Idempotency-Key", &new_id());
    let withdrawal = json!({"account_id": "ALICE", "amount": "500"});
    let refused = poor.post("/commands/withdraw", &withdrawal).await;
    assert_eq!(refused.problem(422), "insufficient_funds");
    book(&client, "deposit", "ALICE", "1000").await;
    let again = poor.post("/commands/withdraw", &withdrawal).await;
    assert_eq!(again.json(), refused.json());

    let two = client
        .with("Idempotency-Key", &new_id())
        .post(
            "/commands/deposit",
            &json!({"command_id": new_id(), "account_id": "ALICE", "amount": "1"}),
        )
        .await;
    assert_eq!(two.problem(400), "invalid_command_id");
    let account = client.get("/accounts/ALICE?min_version=3").await.ok(200);
    assert_eq!(account["balance"], "1110.00");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_and_comes_back_with_its_key_gets_the_outcome_once() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    let mut sent = 0;
    for round in 0..20_u64 {
        let (key, body) = (new_id(), r#"{"account_id":"ALICE","amount":"1"}"#);
        let mut connection = TcpStream::connect(&client.address)
            .await
            .expect("it listens");
        let request = format!(
            "POST /commands/deposit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connection
            .write_all(request.as_bytes())
            .await
            .expect("it can be sent");
        // Gone at any moment between the request and the answer.
        tokio::time::sleep(std::time::Duration::from_millis(round)).await;
        drop(connection);
        let again = client
            .with("Idempotency-Key", &key)
            .with("Content-Type", "application/json")
            .send("POST", "/commands/deposit", body.as_bytes())
            .await
            .ok(201);
        sent += 1;
        assert_eq!(again["command_id"], key);
        assert_eq!(again["events"][0]["version"], 1 + sent);
    }
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_takes_too_long_is_pending_and_never_failed() {
    let ledger = Ledger::new().await;
    // Nobody decides commands yet.
    let queries = ledger
        .run(&["--only", "projection.account_balance"], &[])
        .await;
    let client = queries.http();
    let command = json!({"account_id": "ALICE", "owner_name": "A", "currency": "USD"});
    let unheard = client.post("/commands/create-account", &command).await;
    assert_eq!(
        unheard.problem(503),
        "nats_unavailable",
        "there is no stream yet"
    );
    assert!(unheard.headers.contains_key("retry-after"));

    let (key, intake) = (new_id(), ledger.run(&["--only", "intake"], &[]).await);
    assert_eq!(intake.stop().await, Some(0));
    let keyed = client.with("Idempotency-Key", &key);
    let asked = keyed
        .with("Prefer", "respond-async")
        .post("/commands/create-account", &command)
        .await;
    let pending = asked.ok(202);
    assert_eq!(
        pending,
        json!({"status": "pending", "command_id": key, "location": format!("/commands/{key}")})
    );
    assert_eq!(asked.headers["location"], format!("/commands/{key}"));
    assert_eq!(asked.headers["preference-applied"], "respond-async");
    let waited = keyed
        .with("Prefer", "wait=1")
        .post("/commands/create-account", &command)
        .await;
    waited.ok(202);
    assert_eq!(
        client.get(&format!("/commands/{key}")).await.problem(404),
        "no_outcome"
    );

    let intake = ledger.run(&["--only", "intake"], &[]).await;
    eventually("the outcome", || async {
        client.get(&format!("/commands/{key}")).await.status == 200
    })
    .await;
    let answered = keyed
        .post("/commands/create-account", &command)
        .await
        .ok(201);
    assert_eq!(answered["events"][0]["version"], 1);
    assert_eq!(intake.stop().await, Some(0));
    assert_eq!(queries.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_full_refuses_and_says_when_to_come_again() {
    let ledger = Ledger::new().await;
    let few = ["--commands-waiting-max", "2"];
    let intake = ledger
        .run(&[&few[..], &["--only", "intake"]].concat(), &[])
        .await;
    assert_eq!(intake.stop().await, Some(0));
    let queries = ledger
        .run(&["--only", "projection.account_balance"], &[])
        .await;
    let client = queries.http().with("Prefer", "respond-async");
    let command = |name: &str| json!({"account_id": name, "owner_name": "A", "currency": "USD"});
    for name in ["A", "B"] {
        client
            .post("/commands/create-account", &command(name))
            .await
            .ok(202);
    }
    let refused = client.post("/commands/create-account", &command("C")).await;
    assert_eq!(refused.problem(429), "too_many_commands");
    assert!(refused.headers.contains_key("retry-after"));
    let nats = ledger.connect().await;
    let stream = nats
        .jetstream
        .get_stream(streams::COMMANDS)
        .await
        .expect("it is there");
    assert_eq!(stream.cached_info().state.messages, 2);
    assert_eq!(queries.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_withdrawals_of_the_whole_balance_at_once() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    let withdrawals = (0..64).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let command = json!({"account_id": "ALICE", "amount": "100"});
            client.post("/commands/withdraw", &command).await
        })
    });
    let mut accepted = 0;
    for answer in futures::future::join_all(withdrawals).await {
        let answer = answer.expect("it does not panic");
        if answer.status == 201 {
            accepted += 1;
        } else {
            assert_eq!(answer.problem(422), "insufficient_funds");
        }
    }
    assert_eq!(accepted, 1);
    let account: Value = client.get("/accounts/ALICE?min_version=2").await.ok(200);
    assert_eq!(account["balance"], "0.00");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_answers_what_it_has_accepted() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "0").await;
    let deposits: Vec<_> = (0..200)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let body = json!({"account_id": "ALICE", "amount": "1"}).to_string();
                let request = format!(
                    "POST /commands/deposit HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                client.raw(request.as_bytes()).await
            })
        })
        .collect();
    eventually("the first deposits", || async {
        client.get("/accounts/ALICE").await.json()["version"]
            .as_u64()
            .is_some_and(|version| version > 1)
    })
    .await;
    assert_eq!(process.stop().await, Some(0));
    // Either it was accepted and is answered, or the connection was not taken at all.
    let mut told = 0;
    for answer in futures::future::join_all(deposits).await {
        if let Some(answer) = answer.expect("it does not panic") {
            assert!(matches!(answer.status, 201 | 202), "{answer:?}");
            told += u64::from(answer.status == 201);
        }
    }
    let process = ledger.run(&[], &[]).await;
    let client = process.http();
    ledger.until_converged().await;
    let account = client.get("/accounts/ALICE").await.ok(200);
    let booked = account["version"].as_u64().expect("it is a number") - 1;
    assert!(booked >= told, "{told} were told, and {booked} are booked");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
