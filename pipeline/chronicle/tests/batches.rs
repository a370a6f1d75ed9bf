//! Batches from end to end: a thousand commands of which all are done or none, once, whatever is repeated.

mod support;

use serde_json::{Value, json};
use support::publisher::{Publisher, create, id, transfer, verdict, verdicts};
use support::{Ledger, Process, eventually, text};

const TRANSFERS: usize = 1_000;

/// A command as it stands in a batch.
fn part(mut command: Value) -> Value {
    let fields = command.as_object_mut().expect("an object");
    fields.remove("command_id");
    command
}

fn batch(commands: Vec<Value>) -> Value {
    let commands: Vec<Value> = commands.into_iter().map(part).collect();
    json!({"command_id": id(), "type": "batch", "commands": commands})
}

/// As many transfers as a batch can have, of one cent each, over three accounts.
fn payroll() -> Vec<Value> {
    (0..TRANSFERS)
        .map(|number| transfer("BANK", ["ADA", "BOB"][number % 2], "0.01"))
        .collect()
}

async fn balances(ledger: &Ledger) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    for account in ["BANK", "ADA", "BOB"] {
        let account = ledger.json(&["account", account], 0).await;
        let balance = account["balance"].as_str().expect("it is a text");
        let version = account["version"].as_u64().expect("it is a number");
        found.push((balance.to_owned(), version));
    }
    found
}

fn told(balances: &[(&str, u64)]) -> Vec<(String, u64)> {
    balances
        .iter()
        .map(|(balance, version)| ((*balance).to_owned(), *version))
        .collect()
}

async fn started() -> (Ledger, Process, Publisher) {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    let opened = publisher
        .tell_all(&[
            create("BANK", "10.00"),
            create("ADA", "0"),
            create("BOB", "0"),
        ])
        .await;
    assert_eq!(verdicts(&opened)["accepted"], 3);
    (ledger, process, publisher)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_transfers_are_one_command() {
    let (ledger, process, publisher) = started().await;
    let payroll = batch(payroll());
    // Several times at once, and in other words.
    let reordered: Value = serde_json::from_str(&payroll.to_string().replace("0.01", "0.010"))
        .expect("it is still JSON");
    let answers = publisher
        .tell_all(&[payroll.clone(), payroll.clone(), reordered, payroll.clone()])
        .await;
    for answer in &answers {
        assert_eq!(answer, &answers[0], "one command has one outcome");
    }
    let first = &answers[0];
    assert_eq!(verdict(first), "accepted", "{first}");
    let events = first["events"].as_array().expect("it is a list");
    assert_eq!(events.len(), 2 * TRANSFERS);
    for (index, halves) in events.chunks(2).enumerate() {
        for (half, account) in halves.iter().zip(["BANK", ["ADA", "BOB"][index % 2]]) {
            assert_eq!(
                (&half["account_id"], &half["part"]),
                (&json!(account), &json!(index))
            );
        }
    }
    let after = told(&[("0.00", 1_001), ("5.00", 501), ("5.00", 501)]);
    assert_eq!(balances(&ledger).await, after);

    // Another body under the same id.
    let mut other = payroll.clone();
    other["commands"][999]["amount"] = "0.02".into();
    let conflict = publisher.tell(&other).await;
    assert_eq!(verdict(&conflict), "idempotency_conflict", "{conflict}");
    let message = conflict["rejection"]["message"].as_str().expect("a text");
    assert!(message.contains("commands"), "{message}");
    assert_eq!(balances(&ledger).await, after);

    // The projections have all of it, and what is stored is what was asked for.
    let client = process.http();
    eventually("the read model", || async {
        let path = "/accounts/BANK/transactions?type=transfer_out&limit=1";
        let answer = client.get(path).await;
        answer.status == 200 && answer.json()["total"] == TRANSFERS
    })
    .await;
    ledger.verify().await;

    // All of it back, in one command as well.
    let back = json!({"command_id": id(), "type": "reverse", "account_id": "BANK",
        "reversed_command_id": payroll["command_id"], "reason": "the wrong month"});
    let back = publisher.tell(&back).await;
    assert_eq!(verdict(&back), "accepted", "{back}");
    assert_eq!(
        balances(&ledger).await,
        told(&[("10.00", 2_001), ("0.00", 1_001), ("0.00", 1_001)])
    );
    let id = payroll["command_id"].as_str().expect("a text");
    let links = ledger.json(&["outcome", id], 0).await;
    let by = &links["reversed_by"];
    assert_eq!(
        json!([by["reversed"], by["rest"], by["has_more"]]),
        json!(["10.00", "0.00", false])
    );
    assert_eq!(by["reversals"].as_array().map(Vec::len), Some(1));
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_transfers_are_none_if_the_last_is_refused() {
    let (ledger, process, publisher) = started().await;
    let before = balances(&ledger).await;
    let mut commands = payroll();
    commands[TRANSFERS - 1]["amount"] = "0.02".into();
    let payroll = batch(commands);
    let refused = publisher.tell(&payroll).await;
    assert_eq!(verdict(&refused), "insufficient_funds", "{refused}");
    assert_eq!(refused["rejection"]["data"]["command"], "999");
    assert_eq!(refused["events"], json!([]));
    assert_eq!(balances(&ledger).await, before);
    // It stays refused, whatever is in the account by now.
    let deposit =
        json!({"command_id": id(), "type": "deposit", "account_id": "BANK", "amount": "1.00"});
    assert_eq!(verdict(&publisher.tell(&deposit).await), "accepted");
    assert_eq!(publisher.tell(&payroll).await, refused);

    let command_id = payroll["command_id"].as_str().expect("a text");
    let shown = ledger.chronicle(&["outcome", command_id]).await;
    let shown = text(&shown.stdout);
    assert!(
        shown.contains("insufficient_funds: commands[999] (transfer): account BANK"),
        "{shown}"
    );
    assert!(shown.contains("batch of 1000 commands"), "{shown}");
    assert!(shown.contains("transfer 0.02 from BANK to BOB"), "{shown}");
    assert!(!shown.contains("commands[998]"), "{shown}");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// Batches that stand in each other's way, and in that of single commands, without a hole between them.
#[tokio::test(flavor = "multi_thread")]
async fn batches_among_other_commands_are_whole_or_not_there() {
    let (ledger, process, publisher) = started().await;
    let mut commands = Vec::new();
    for round in 0..60 {
        let size = 1 + round % 7;
        let from = ["BANK", "ADA", "BOB"][round % 3];
        let to = ["ADA", "BOB", "BANK"][round % 3];
        commands.push(batch(
            (0..size).map(|_| transfer(from, to, "0.20")).collect(),
        ));
        commands.push(transfer(from, to, "0.05"));
    }
    let answers = publisher.tell_all(&commands).await;
    for (command, answer) in commands.iter().zip(&answers) {
        let events = answer["events"].as_array().map_or(0, Vec::len);
        let whole = command["commands"]
            .as_array()
            .map_or(2, |parts| 2 * parts.len());
        match verdict(answer) {
            "accepted" => assert_eq!(events, whole),
            "insufficient_funds" => assert_eq!(events, 0),
            other => panic!("{other}: {answer}"),
        }
    }
    let verdicts = verdicts(&answers);
    assert!(verdicts.len() == 2, "both must happen: {verdicts:?}");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
