//! One amount can be spent once, however many ask for it at the same time.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Value, json};
use support::publisher::{Publisher, create, id, movement, transfer, verdict, verdicts};
use support::{Ledger, eventually};
use tokio::sync::Barrier;

/// How many ask at the same time.
const CLIENTS: usize = 64;

/// Has as many clients as there are commands publish one each, at the same moment; answers in the commands' order.
async fn at_once(ledger: &Ledger, commands: Vec<Value>) -> Vec<Value> {
    let connections = join_all(commands.iter().map(|_| Publisher::connect(ledger))).await;
    let start = Arc::new(Barrier::new(commands.len()));
    let asking = connections
        .into_iter()
        .zip(commands)
        .map(|(publisher, command)| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                publisher.tell(&command).await
            })
        });
    join_all(asking)
        .await
        .into_iter()
        .map(|answer| answer.expect("the client lives"))
        .collect()
}

/// Waits until the read model has this account at this balance and version.
async fn until_projected(ledger: &Ledger, account_id: &str, balance: &str, version: i64) {
    let wanted = (balance.to_owned(), version);
    eventually(&format!("{account_id} to be at {wanted:?}"), || async {
        ledger.balances().await.get(account_id) == Some(&wanted)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_concurrent_withdrawals_of_the_whole_balance_exactly_one_is_accepted() {
    let (ledger, process) = Ledger::running().await;
    let opened = Publisher::connect(&ledger)
        .await
        .tell(&create("HOT", "100.00"))
        .await;
    assert_eq!(verdict(&opened), "accepted");

    let withdrawals = (0..CLIENTS)
        .map(|_| movement("withdraw", "HOT", "100.00"))
        .collect();
    let answers = at_once(&ledger, withdrawals).await;
    assert_eq!(
        verdicts(&answers),
        BTreeMap::from([("accepted", 1), ("insufficient_funds", CLIENTS - 1)])
    );

    assert_eq!(ledger.balance("HOT").await, "0.00");
    until_projected(&ledger, "HOT", "0.00", 2).await;
    assert_eq!(ledger.counts().await, (65, 2), "(commands, events)");
    ledger.until_settled().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_concurrent_transfers_of_the_whole_balance_exactly_one_is_accepted() {
    let (ledger, process) = Ledger::running().await;
    let target = |number: usize| format!("TO-{number}");
    let mut accounts = vec![create("FROM", "100.00")];
    accounts.extend((0..CLIENTS).map(|number| create(&target(number), "0")));
    let opened = Publisher::connect(&ledger).await.tell_all(&accounts).await;
    assert_eq!(
        verdicts(&opened),
        BTreeMap::from([("accepted", CLIENTS + 1)])
    );

    let transfers = (0..CLIENTS)
        .map(|number| transfer("FROM", &target(number), "100.00"))
        .collect();
    let answers = at_once(&ledger, transfers).await;
    assert_eq!(
        verdicts(&answers),
        BTreeMap::from([("accepted", 1), ("insufficient_funds", CLIENTS - 1)])
    );

    let winner = answers
        .iter()
        .position(|answer| verdict(answer) == "accepted")
        .expect("one was accepted");
    assert_eq!(ledger.balance("FROM").await, "0.00");
    until_projected(&ledger, "FROM", "0.00", 2).await;
    until_projected(&ledger, &target(winner), "100.00", 2).await;
    let balances = ledger.balances().await;
    for loser in (0..CLIENTS).filter(|number| *number != winner) {
        assert_eq!(
            balances[&target(loser)],
            ("0.00".to_owned(), 1),
            "{}",
            target(loser)
        );
    }
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_published_64_times_at_once_has_one_outcome_and_64_equal_answers() {
    let (ledger, process) = Ledger::running().await;
    Publisher::connect(&ledger)
        .await
        .tell(&create("HOT", "100.00"))
        .await;

    let withdrawal = movement("withdraw", "HOT", "60.00");
    let answers = at_once(&ledger, vec![withdrawal; CLIENTS]).await;
    assert_eq!(verdict(&answers[0]), "accepted");
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    assert_eq!(ledger.balance("HOT").await, "40.00");
    until_projected(&ledger, "HOT", "40.00", 2).await;
    assert_eq!(ledger.counts().await, (2, 2), "(commands, events)");

    // The same for one that is rejected.
    let answers = at_once(&ledger, vec![movement("withdraw", "HOT", "60.00"); CLIENTS]).await;
    assert_eq!(
        verdicts(&answers),
        BTreeMap::from([("insufficient_funds", CLIENTS)])
    );
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    assert_eq!(ledger.counts().await, (3, 2), "(commands, events)");
    assert!(ledger.dead_letters().await.is_empty());
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_command_under_a_used_id_changes_nothing_and_is_recorded() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    publisher.tell(&create("ACC-1", "100.00")).await;

    let command_id = id();
    let with_amount = |amount: Value| json!({"command_id": command_id, "type": "deposit", "account_id": "ACC-1", "amount": amount, "currency": "USD"});
    let first = publisher.tell(&with_amount(json!("25.00"))).await;
    assert_eq!(verdict(&first), "accepted");

    // 25, 25.0 and "25.00" are one amount: this is the same command, and not another.
    for same in [json!("25"), json!(25), json!("25.000")] {
        assert_eq!(publisher.tell(&with_amount(same)).await, first);
    }

    let other = with_amount(json!("26.00"));
    let conflict = publisher.tell(&other).await;
    assert_eq!(verdict(&conflict), "idempotency_conflict", "{conflict}");
    let letters = ledger.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].code, "idempotency_conflict");
    assert_eq!(letters[0].payload, other.to_string().as_bytes());
    assert_eq!(conflict["dead_letter_id"], letters[0].id.as_str());

    // The first outcome stands, and its command is still the one that it was.
    assert_eq!(publisher.tell(&with_amount(json!("25.00"))).await, first);
    let stored = ledger.json(&["outcome", &command_id], 0).await;
    assert_eq!(stored["status"], "accepted", "{stored}");
    assert_eq!(stored["events"], first["events"], "{stored}");
    assert_eq!(ledger.balance("ACC-1").await, "125.00");
    ledger.until_settled().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_commands_under_one_id_in_one_batch_are_a_command_and_a_conflict() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    publisher.tell(&create("ACC-1", "100.00")).await;

    // Which of them comes first is for the stream to say; all others are conflicts.
    let command_id = id();
    let commands = (1..=CLIENTS).map(|amount| {
        json!({"command_id": command_id, "type": "withdraw", "account_id": "ACC-1", "amount": amount.to_string()})
    });
    let answers = at_once(&ledger, commands.collect()).await;
    assert_eq!(
        verdicts(&answers),
        BTreeMap::from([("accepted", 1), ("idempotency_conflict", CLIENTS - 1)])
    );
    assert_eq!(ledger.dead_letters().await.len(), CLIENTS - 1);
    assert_eq!(ledger.counts().await, (2, 2), "(commands, events)");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
