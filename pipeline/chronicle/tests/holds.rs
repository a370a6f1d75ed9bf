//! Holds from end to end: what is reserved cannot be spent, and what is over comes back by itself: after restarts, and with
//! two timers.

mod support;

use std::time::Duration;

use ledger::Timestamp;
use serde_json::{Value, json};
use support::publisher::{Publisher, create, id, movement, verdict, verdicts};
use support::{Ledger, eventually};

fn hold(account_id: &str, hold_id: &str, amount: &str, expires_in: Option<Duration>) -> Value {
    let mut command = json!({
        "command_id": id(), "type": "hold", "account_id": account_id, "hold_id": hold_id, "amount": amount,
    });
    if let Some(expires_in) = expires_in {
        let at = time::OffsetDateTime::now_utc() + expires_in;
        command["hold_expires_at"] = Timestamp::from_date_time(at).to_string().into();
    }
    command
}

fn of_hold(type_name: &str, account_id: &str, hold_id: &str, more: &Value) -> Value {
    let mut command = json!({
        "command_id": id(), "type": type_name, "account_id": account_id, "hold_id": hold_id,
    });
    for (name, value) in more.as_object().expect("an object") {
        command[name] = value.clone();
    }
    command
}

/// The types of an account's events, oldest first, with who asked for them.
async fn history(ledger: &Ledger, account_id: &str) -> Vec<(String, Value)> {
    let output = ledger
        .chronicle(&["history", account_id, "-o", "json"])
        .await;
    support::text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line is an event"))
        .map(|event: Value| {
            let type_name = event["type"].as_str().expect("it has a type").to_owned();
            (type_name, event["actor"].clone())
        })
        .collect()
}

async fn held(ledger: &Ledger, account_id: &str) -> String {
    let account = ledger.json(&["account", account_id], 0).await;
    account["held"].as_str().expect("it is there").to_owned()
}

async fn until_nothing_is_held(ledger: &Ledger, account_id: &str) {
    eventually("the hold to expire", || async {
        held(ledger, account_id).await == "0.00"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_captured_released_or_expires() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    let (first, second, third) = (id(), id(), id());
    let answers = publisher
        .tell_all(&[
            create("ALICE", "100.00"),
            create("SHOP", "0"),
            hold("ALICE", &first, "50.00", None),
            hold("ALICE", &second, "30.00", None),
            hold("ALICE", &third, "20.00", Some(Duration::from_secs(3))),
            movement("withdraw", "ALICE", "0.01"),
            of_hold(
                "capture",
                "ALICE",
                &first,
                &json!({"amount": "35.00", "final": true, "to_account_id": "SHOP"}),
            ),
            of_hold("release", "ALICE", &second, &json!({})),
        ])
        .await;
    let told: Vec<&str> = answers.iter().map(verdict).collect();
    let accepted = "accepted";
    assert_eq!(
        told,
        [
            accepted,
            accepted,
            accepted,
            accepted,
            accepted,
            "insufficient_funds",
            accepted,
            accepted
        ]
    );
    assert_eq!(answers[6]["events"].as_array().map(Vec::len), Some(3));
    assert_eq!(held(&ledger, "ALICE").await, "20.00");

    until_nothing_is_held(&ledger, "ALICE").await;
    let late = of_hold("capture", "ALICE", &third, &json!({}));
    assert_eq!(verdict(&publisher.tell(&late).await), "hold_closed");
    let history = history(&ledger, "ALICE").await;
    let expected = [
        "AccountCreated",
        "HoldPlaced",
        "HoldPlaced",
        "HoldPlaced",
        "MoneyWithdrawn",
        "HoldReleased",
        "HoldReleased",
        "HoldExpired",
    ];
    let types: Vec<&str> = history.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(types, expected);
    assert_eq!(history[7].1, "chronicle", "the ledger asked itself");
    let account = ledger.json(&["account", "ALICE"], 0).await;
    assert_eq!(
        [&account["balance"], &account["available"]],
        ["65.00", "65.00"]
    );

    let read_model = ledger.read_model().await;
    let row = |status: &str, figures: &str| (status.to_owned(), figures.to_owned());
    let expected = [
        row("expired", "20.00 0.00 0.00"),
        row("released", "30.00 0.00 0.00"),
        row("captured", "50.00 35.00 0.00"),
    ];
    eventually("the read model to know", || async {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT status, concat_ws(' ', amount, captured, remaining) FROM holds ORDER BY amount",
        )
        .fetch_all(&read_model)
        .await
        .expect("the read model answers");
        rows == expected
    })
    .await;
    assert_eq!(process.stop().await, Some(0));
    ledger.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_over_while_nothing_runs_expires_after_the_start_and_is_not_captured_before()
{
    let ledger = Ledger::new().await;
    let process = ledger.run(&[], &[]).await;
    let publisher = Publisher::connect(&ledger).await;
    let hold_id = id();
    let answers = publisher
        .tell_all(&[
            create("ALICE", "100.00"),
            hold("ALICE", &hold_id, "60.00", Some(Duration::from_secs(2))),
        ])
        .await;
    assert_eq!(verdicts(&answers)["accepted"], 2);
    process.kill().await;
    // Over by every clock, and nobody has said so: the money stays held.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(held(&ledger, "ALICE").await, "60.00");

    // Without the timer nothing changes by the mere time, and yet it is too late for a capture.
    let intake = ledger.run(&["--only", "intake"], &[]).await;
    let capture = of_hold("capture", "ALICE", &hold_id, &json!({}));
    assert_eq!(verdict(&publisher.tell(&capture).await), "hold_expired");
    let withdraw = movement("withdraw", "ALICE", "40.01");
    assert_eq!(
        verdict(&publisher.tell(&withdraw).await),
        "insufficient_funds"
    );
    assert_eq!(held(&ledger, "ALICE").await, "60.00");
    intake.kill().await;

    let process = ledger.run(&[], &[]).await;
    until_nothing_is_held(&ledger, "ALICE").await;
    let again = movement("withdraw", "ALICE", "40.01");
    assert_eq!(verdict(&publisher.tell(&again).await), "accepted");
    assert_eq!(process.stop().await, Some(0));
    ledger.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_timers_end_each_hold_once() {
    const HOLDS: usize = 300;
    let ledger = Ledger::new().await;
    let first = ledger.run(&[], &[]).await;
    let second = ledger.run(&["--only", "expiry"], &[]).await;
    let publisher = Publisher::connect(&ledger).await;
    let mut commands = vec![create("ALICE", "1000.00"), create("BOB", "1000.00")];
    for number in 0..HOLDS {
        let account_id = ["ALICE", "BOB"][number % 2];
        commands.push(hold(
            account_id,
            &id(),
            "1.00",
            Some(Duration::from_secs(5)),
        ));
    }
    let answers = publisher.tell_all(&commands).await;
    assert_eq!(verdicts(&answers)["accepted"], commands.len());
    for account_id in ["ALICE", "BOB"] {
        until_nothing_is_held(&ledger, account_id).await;
    }
    let counts: (i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT thread_key) FROM events WHERE event_type = 'HoldExpired'",
    )
    .fetch_one(&ledger.event_store().await)
    .await
    .expect("the event store answers");
    let holds = i64::try_from(HOLDS).expect("a small number");
    assert_eq!(counts, (holds, holds));
    assert_eq!(second.stop().await, Some(0));
    assert_eq!(first.stop().await, Some(0));
    ledger.verify().await;
}
