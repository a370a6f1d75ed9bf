//! Reversals: what was moved back is known to every writer, and never more than was moved.

use ledger::{Command, Version};
use store::EventStore;

use crate::support::build::{create, deposit, new_account_id, reverse, transfer, withdraw};
use crate::support::database::Database;
use crate::support::outcomes::{process, verdicts, writer};

async fn balances(store: &EventStore, accounts: [&ledger::AccountId; 2]) -> [String; 2] {
    let mut found = Vec::new();
    for account_id in accounts {
        let account = store.account(account_id).await.unwrap().unwrap();
        found.push(account.balance.to_string());
    }
    found.try_into().unwrap()
}

#[tokio::test]
async fn a_transfer_is_moved_back_in_parts_by_any_writer() {
    let database = Database::fresh("reversals").await;
    let store = database.store();
    let (from, to) = (new_account_id("from"), new_account_id("to"));
    let moved = transfer(&from, &to, "30");
    let mut one = writer(&store);
    // The transfer and its first reversal come in one batch.
    let batch = [
        create(&from, "100"),
        create(&to, "0"),
        moved.clone(),
        reverse(&moved, Some("10")),
        reverse(&moved, Some("20.01")),
    ];
    let told = process(&mut one, &batch).await;
    assert_eq!(
        verdicts(&told),
        [
            "accepted",
            "accepted",
            "accepted",
            "accepted",
            "amount_exceeds_rest"
        ]
    );
    assert_eq!(balances(&store, [&from, &to]).await, ["80.00", "20.00"]);

    // Another writer knows of it; the first one, which has the accounts as it left them, hears of the other's.
    let told = process(&mut writer(&store), &[reverse(&moved, Some("15"))]).await;
    assert_eq!(verdicts(&told), ["accepted"]);
    let told = process(
        &mut one,
        &[
            reverse(&moved, Some("5.01")),
            reverse(&moved, None),
            reverse(&moved, None),
        ],
    )
    .await;
    assert_eq!(
        verdicts(&told),
        ["amount_exceeds_rest", "accepted", "already_reversed"]
    );
    assert_eq!(balances(&store, [&from, &to]).await, ["100.00", "0.00"]);
    // A reversal begins on the account that gives the money back, and was sent to the other one.
    let of_a_reversal = reverse(&batch[3], None);
    let told = process(&mut one, &[of_a_reversal]).await;
    assert_eq!(verdicts(&told), ["not_reversible"]);

    let events = store.reversals(&from, moved.command_id, 10).await.unwrap();
    let reversed: Vec<String> = events
        .iter()
        .filter_map(|event| event.data.reversal())
        .map(|reversal| reversal.reversed.to_string())
        .collect();
    assert_eq!(reversed, ["10.00", "25.00", "30.00"]);
    for account_id in [&from, &to] {
        for event in store.history(account_id, Version::NONE, 20).await.unwrap() {
            event.check_hash().unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_spent_what_is_unknown_and_what_is_no_movement_is_not_moved_back() {
    let database = Database::fresh("reversals").await;
    let store = database.store();
    let (account_id, other) = (new_account_id("a"), new_account_id("b"));
    let (opening, salary) = (create(&account_id, "0"), deposit(&account_id, "50"));
    let unknown = deposit(&account_id, "1");
    let of_another = Command {
        action: reverse(&deposit(&other, "1"), None).action,
        ..reverse(&salary, None)
    };
    let mut one = writer(&store);
    let told = process(
        &mut one,
        &[
            opening.clone(),
            create(&other, "0"),
            salary.clone(),
            withdraw(&account_id, "20"),
            reverse(&salary, None),
            reverse(&opening, None),
            reverse(&unknown, None),
            of_another,
        ],
    )
    .await;
    assert_eq!(
        verdicts(&told)[4..],
        [
            "reversal_uncovered",
            "not_reversible",
            "command_not_found",
            "command_not_found"
        ]
    );
    let back = reverse(&salary, Some("30"));
    let told = process(&mut one, &[back.clone(), reverse(&back, None)]).await;
    assert_eq!(verdicts(&told), ["accepted", "not_reversible"]);
}

/// Whoever looks first at what has been moved back, and then at the account, moves it back twice.
#[tokio::test]
async fn many_writers_move_it_back_once() {
    let database = Database::fresh("reversals").await;
    let store = database.store();
    let (from, to) = (new_account_id("from"), new_account_id("to"));
    let moved = transfer(&from, &to, "10");
    process(
        &mut writer(&store),
        &[create(&from, "10"), create(&to, "1000"), moved.clone()],
    )
    .await;
    for _ in 0..5 {
        let attempts = (0..8).map(|_| {
            let (store, moved) = (store.clone(), moved.clone());
            tokio::spawn(async move {
                let told = process(&mut writer(&store), &[reverse(&moved, Some("2"))]).await;
                verdicts(&told)[0].clone()
            })
        });
        for attempt in futures::future::join_all(attempts).await {
            let verdict = attempt.unwrap();
            assert!(
                ["accepted", "already_reversed"].contains(&verdict.as_str()),
                "{verdict}"
            );
        }
    }
    assert_eq!(balances(&store, [&from, &to]).await, ["10.00", "1000.00"]);
    let events = store.reversals(&from, moved.command_id, 10).await.unwrap();
    assert_eq!(events.len(), 5);
}
