//! What was it then.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use crate::support::Ledger;
use crate::support::publisher::{Publisher, create, id, movement, verdicts};
use crate::{book, open};

/// The same instant, so many microseconds later.
fn moved(timestamp: &str, microseconds: i64) -> String {
    let at = OffsetDateTime::parse(timestamp, &Rfc3339).expect("it is a time");
    (at + Duration::microseconds(microseconds))
        .format(&Rfc3339)
        .expect("it can be written")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_boundary_of_a_history_is_exact() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    open(&client, "ALICE", "100").await;
    // In one batch, so within microseconds.
    let deposits = (1..=20).map(|_| book(&client, "deposit", "ALICE", "1"));
    futures::future::join_all(deposits).await;
    let history = client
        .get("/accounts/ALICE/history?limit=500")
        .await
        .ok(200);
    let steps = history["history"].as_array().expect("it is a list").clone();
    assert_eq!(steps.len(), 21);
    let balance_at = async |timestamp: &str| {
        let timestamp = timestamp.replace('+', "%2B");
        client
            .get(&format!("/accounts/ALICE/balance-at?timestamp={timestamp}"))
            .await
    };
    let recorded_at = |step: &Value| {
        step["event"]["recorded_at"]
            .as_str()
            .expect("a time")
            .to_owned()
    };
    for (index, step) in steps.iter().enumerate() {
        let at = recorded_at(step);
        assert_eq!(step["state"]["balance"], step["event"]["balance_after"]);
        let then = balance_at(&at).await.ok(200);
        assert_eq!(then["version"], index + 1, "{at}");
        assert_eq!(then["balance"], step["event"]["balance_after"]);
        assert_eq!(
            then["as_of"],
            json!({"timestamp": at, "version": index + 1})
        );
        let before = balance_at(&moved(&at, -1)).await;
        if index == 0 {
            assert_eq!(before.problem(404), "not_yet_open");
            assert_eq!(before.json()["data"]["opened_at"], at);
        } else {
            assert_eq!(before.ok(200)["version"], index);
        }
        // Once there is a later event, nothing can come before it any more.
        if let Some(next) = steps.get(index + 1) {
            assert_eq!(then["provisional"], false);
            if moved(&at, 1) != moved(&recorded_at(next), 0) {
                assert_eq!(
                    balance_at(&moved(&at, 1)).await.ok(200)["version"],
                    index + 1
                );
            }
        } else {
            assert_eq!(then["provisional"], true);
        }
        let version = client
            .get(&format!("/accounts/ALICE/balance-at?version={}", index + 1))
            .await
            .ok(200);
        assert_eq!(version["balance"], then["balance"]);
    }
    let future = moved(&recorded_at(&steps[20]), 3_600_000_000);
    assert_eq!(balance_at(&future).await.problem(422), "in_the_future");
    assert_eq!(
        client
            .get("/accounts/ALICE/balance-at?version=22")
            .await
            .problem(404),
        "version_not_found"
    );
    assert_eq!(
        client
            .get("/accounts/NOBODY/balance-at?version=1")
            .await
            .problem(404),
        "account_not_found"
    );
    for bad in [
        "",
        "timestamp=now",
        "timestamp=2026-01-01T00:00:00.0000001Z",
        "version=x",
        "version=1&timestamp=2026-01-01T00:00:00Z",
    ] {
        let answer = client
            .get(&format!("/accounts/ALICE/balance-at?{bad}"))
            .await;
        assert_eq!(answer.problem(400), "invalid_parameter", "{bad}");
    }
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// A life of `ALICE`: what is asked, and what is there afterwards: balance, available, limit, status, owner.
fn life() -> Vec<(Value, [&'static str; 5])> {
    let hold_id = id();
    let ask = |type_name: &str, more: &Value| {
        let mut command = json!({"command_id": id(), "type": type_name, "account_id": "ALICE"});
        for (name, value) in more.as_object().expect("an object") {
            command[name] = value.clone();
        }
        command
    };
    let of_hold = |type_name: &str, more: Value| {
        let mut command = ask(type_name, &more);
        command["hold_id"] = hold_id.clone().into();
        command
    };
    vec![
        (
            create("ALICE", "100"),
            ["100.00", "100.00", "0.00", "active", "Ada"],
        ),
        (
            ask("set_overdraft_limit", &json!({"overdraft_limit": "50"})),
            ["100.00", "150.00", "50.00", "active", "Ada"],
        ),
        (
            of_hold("hold", json!({"amount": "60"})),
            ["100.00", "90.00", "50.00", "active", "Ada"],
        ),
        (
            ask(
                "freeze_account",
                &json!({"scope": "debits", "reason": "a court order"}),
            ),
            ["100.00", "90.00", "50.00", "debits_frozen", "Ada"],
        ),
        (
            ask(
                "freeze_account",
                &json!({"scope": "credits", "reason": "another"}),
            ),
            ["100.00", "90.00", "50.00", "frozen", "Ada"],
        ),
        (
            ask("unfreeze_account", &json!({"scope": "debits"})),
            ["100.00", "90.00", "50.00", "credits_frozen", "Ada"],
        ),
        (
            of_hold("capture", json!({"amount": "25"})),
            ["75.00", "90.00", "50.00", "credits_frozen", "Ada"],
        ),
        (
            ask("update_account", &json!({"owner_name": "Ada King"})),
            ["75.00", "90.00", "50.00", "credits_frozen", "Ada King"],
        ),
        (
            of_hold("release", json!({})),
            ["75.00", "125.00", "50.00", "credits_frozen", "Ada King"],
        ),
        (
            ask("unfreeze_account", &json!({"scope": "all"})),
            ["75.00", "125.00", "50.00", "active", "Ada King"],
        ),
        (
            movement("withdraw", "ALICE", "75"),
            ["0.00", "50.00", "50.00", "active", "Ada King"],
        ),
        (
            ask("close_account", &json!({})),
            ["0.00", "50.00", "50.00", "closed", "Ada King"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn freezes_limits_holds_and_the_closing_are_told_as_they_were_then() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    let publisher = Publisher::connect(&ledger).await;
    let (commands, expected): (Vec<Value>, Vec<[&str; 5]>) = life().into_iter().unzip();
    let answers = publisher.tell_all(&commands).await;
    assert_eq!(
        verdicts(&answers)["accepted"],
        commands.len(),
        "{answers:#?}"
    );
    let history = client
        .get("/accounts/ALICE/history?limit=500")
        .await
        .ok(200);
    let history = history["history"].as_array().expect("it is a list");
    assert_eq!(history.len(), expected.len());
    let told = |state: &Value| {
        [
            "balance",
            "available",
            "overdraft_limit",
            "status",
            "owner_name",
        ]
        .map(|name| state[name].as_str().expect("a text").to_owned())
    };
    for (index, (step, expected)) in history.iter().zip(&expected).enumerate() {
        assert_eq!(told(&step["state"]), *expected);
        let at = step["event"]["recorded_at"].as_str().expect("a time");
        // A microsecond later the next event may have been recorded; a microsecond before, this one had not.
        let next = history.get(index + 1);
        let next = next.and_then(|next| next["event"]["recorded_at"].as_str());
        let until = next.map_or_else(|| at.to_owned(), |next| moved(next, -1));
        for instant in [at, &until] {
            let path = format!("/accounts/ALICE/balance-at?timestamp={instant}");
            let then = client.get(&path).await.ok(200);
            assert_eq!(told(&then), *expected, "at {instant}");
            assert_eq!(then["version"], index + 1, "at {instant}");
        }
    }
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_book_is_of_one_instant_on_all_pages() {
    let (ledger, process) = Ledger::running().await;
    let client = process.http();
    for name in ["A", "B", "C", "D", "E"] {
        open(&client, name, "10").await;
    }
    let first = client.get("/ledger/balances-at?limit=2").await.ok(200);
    assert_eq!(
        first["totals"],
        json!([{"currency": "USD", "accounts": 5, "balance": "50.00"}])
    );
    assert_eq!(first["provisional"], true);
    // What is booked between two pages belongs to a later instant.
    for name in ["A", "C", "E"] {
        book(&client, "deposit", name, "90").await;
    }
    open(&client, "CC", "7").await;
    let mut accounts = first["accounts"].as_array().expect("a list").clone();
    let mut next = first["next_cursor"].clone();
    while let Some(cursor) = next.as_str() {
        let page = client
            .get(&format!("/ledger/balances-at?limit=2&cursor={cursor}"))
            .await
            .ok(200);
        assert_eq!(page["as_of"], first["as_of"]);
        assert!(page["totals"].is_null());
        accounts.extend(page["accounts"].as_array().expect("a list").clone());
        next = page["next_cursor"].clone();
    }
    let names: Vec<&str> = accounts
        .iter()
        .filter_map(|one| one["account_id"].as_str())
        .collect();
    assert_eq!(names, ["A", "B", "C", "D", "E"]);
    assert!(
        accounts.iter().all(|one| one["balance"] == "10.00"),
        "{accounts:?}"
    );
    let now = client.get("/ledger/balances-at").await.ok(200);
    assert_eq!(now["totals"][0]["balance"], "327.00");
    let long_ago = client
        .get("/ledger/balances-at?timestamp=2000-01-01T00:00:00Z")
        .await
        .ok(200);
    assert_eq!(long_ago["accounts"], json!([]));
    assert_eq!(long_ago["provisional"], false);
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
