//! Currencies that ISO 4217 does not have, and money that becomes money of another currency, from end to end.

mod support;

use serde_json::{Value, json};
use support::publisher::{Publisher, id, verdict};
use support::{Ledger, eventually, text};

fn open(account_id: &str, currency: &str, initial_balance: &str, overdraft_limit: &str) -> Value {
    json!({
        "command_id": id(), "type": "create_account", "account_id": account_id, "owner_name": "Ada Lovelace",
        "currency": currency, "initial_balance": initial_balance, "overdraft_limit": overdraft_limit,
    })
}

fn exchange(from: &str, to: &str, amount: &str, rate: &str) -> Value {
    json!({
        "command_id": id(), "type": "exchange", "from_account_id": from, "to_account_id": to, "amount": amount,
        "rate": rate, "from_clearing_account_id": "DESK-USD", "to_clearing_account_id": "DESK-BTC",
    })
}

async fn balance(ledger: &Ledger, account_id: &str) -> String {
    let account = ledger.json(&["account", account_id], 0).await;
    account["balance"].as_str().expect("it is there").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn dollars_become_bitcoins_and_every_decimal_is_kept() {
    let mut ledger = Ledger::new().await;
    ledger.environment = vec![("CHRONICLE_CURRENCIES", "BTC:8,POINTS:0")];
    let process = ledger.run(&[], &[]).await;
    let publisher = Publisher::connect(&ledger).await;
    let bought = exchange("ALICE", "COINS", "100.00", "0.0000106843");
    let answers = publisher
        .tell_all(&[
            open("ALICE", "USD", "1000.00", "0"),
            open("COINS", "BTC", "0.00000001", "0"),
            open("DESK-USD", "USD", "0", "0"),
            open("DESK-BTC", "BTC", "0", "2"),
            open("GAME", "POINTS", "7", "0"),
            open("GOLD", "GOLD", "0", "0"),
            bought.clone(),
            exchange("ALICE", "COINS", "900.00", "1"),
        ])
        .await;
    assert_eq!(
        answers.iter().map(verdict).collect::<Vec<_>>(),
        [
            "accepted",
            "accepted",
            "accepted",
            "accepted",
            "accepted",
            "unknown_currency",
            "accepted",
            "insufficient_funds"
        ]
    );
    // 100.00 × 0.0000106843 = 0.00106843.
    assert_eq!(balance(&ledger, "COINS").await, "0.00106844");
    assert_eq!(balance(&ledger, "DESK-BTC").await, "-0.00106843");
    assert_eq!(balance(&ledger, "GAME").await, "7");
    eventually("the read model", || async {
        let answer = process.http().get("/accounts/COINS").await;
        answer.status == 200 && answer.json()["balance"] == "0.00106844"
    })
    .await;
    ledger.verify().await;

    let back = json!({
        "command_id": id(), "type": "reverse", "account_id": "ALICE",
        "reversed_command_id": bought["command_id"], "reason": "fat finger",
    });
    assert_eq!(verdict(&publisher.tell_all(&[back]).await[0]), "accepted");
    assert_eq!(balance(&ledger, "COINS").await, "0.00000001");
    assert_eq!(balance(&ledger, "ALICE").await, "1000.00");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));

    // Whoever reads must know the currencies, and know them as they were.
    for (declared, said) in [
        ("POINTS:0", "BTC is no currency here"),
        ("BTC:6", "was BTC declared otherwise when it was written?"),
    ] {
        ledger.environment = vec![("CHRONICLE_CURRENCIES", declared)];
        let output = ledger.chronicle(&["history", "COINS"]).await;
        let error = text(&output.stderr);
        assert!(
            !output.status.success() && error.contains(said),
            "{declared:?}: {error}"
        );
    }
}

#[tokio::test]
async fn a_declaration_that_cannot_be_is_a_wrong_call() {
    let ledger = Ledger::new().await;
    for (declared, said) in [
        (
            "BTC",
            "a currency is declared by its code and its number of decimals",
        ),
        ("USD:3", "USD is a currency of ISO 4217"),
        ("BTC:8,BTC:6", "BTC is declared with 8 decimals and with 6"),
    ] {
        let arguments = ["balances", "--declare-currency", declared];
        let output = ledger.chronicle(&arguments).await;
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said), "{declared}: {error}");
    }
}
