//! Holds: what is reserved is found again, by every writer, in every batch, at every length of history.

use ledger::{HoldId, Scope, Timestamp, Version};

use crate::support::build::{
    capture, create, deposit, freeze, hold, new_account_id, new_hold_id, release, transfer,
    withdraw,
};
use crate::support::database::Database;
use crate::support::outcomes::{process, verdicts, writer};

#[tokio::test]
async fn a_hold_and_its_captures_in_one_batch() {
    let database = Database::fresh("holds").await;
    let store = database.store();
    let (account_id, hold_id) = (new_account_id("held"), new_hold_id());
    let batch = [
        create(&account_id, "100"),
        hold(&account_id, hold_id, "60"),
        withdraw(&account_id, "40.01"),
        capture(&account_id, hold_id, "25"),
        capture(&account_id, hold_id, "35.01"),
        capture(&account_id, hold_id, "35"),
        release(&account_id, hold_id),
        hold(&account_id, hold_id, "1"),
    ];
    let told = process(&mut writer(&store), &batch).await;
    assert_eq!(
        verdicts(&told),
        [
            "accepted",
            "accepted",
            "insufficient_funds",
            "accepted",
            "amount_exceeds_hold",
            "accepted",
            "hold_closed",
            "hold_exists",
        ]
    );
    let account = store.account(&account_id).await.unwrap().unwrap();
    assert_eq!(account.balance.to_string(), "40.00");
    assert!(account.held.is_zero());
    let history = store.history(&account_id, Version::NONE, 10).await.unwrap();
    let held: Vec<String> = history
        .iter()
        .map(|event| event.held_after.to_string())
        .collect();
    assert_eq!(held, ["0.00", "60.00", "35.00", "0.00"]);
    for event in &history {
        event.check_hash().unwrap();
    }
}

#[tokio::test]
async fn another_writer_finds_what_is_held() {
    let database = Database::fresh("holds").await;
    let store = database.store();
    let (account_id, other) = (new_account_id("held"), new_account_id("other"));
    let (first, second) = (new_hold_id(), new_hold_id());
    let mut one = writer(&store);
    process(
        &mut one,
        &[
            create(&account_id, "100"),
            create(&other, "100"),
            hold(&account_id, first, "30"),
            hold(&account_id, second, "20"),
            hold(&other, first, "5"),
        ],
    )
    .await;

    let mut another = writer(&store);
    let told = process(
        &mut another,
        &[
            withdraw(&account_id, "50.01"),
            capture(&account_id, first, "10"),
            transfer(&account_id, &other, "50"),
            capture(&other, second, "1"),
        ],
    )
    .await;
    assert_eq!(
        verdicts(&told),
        [
            "insufficient_funds",
            "accepted",
            "accepted",
            "hold_not_found"
        ]
    );

    // The first one has the account as it left it in memory, and has not heard of the capture.
    let told = process(&mut one, &[capture(&account_id, first, "20.01")]).await;
    assert_eq!(verdicts(&told), ["amount_exceeds_hold"]);
    let told = process(
        &mut one,
        &[
            release(&account_id, first),
            withdraw(&account_id, "20"),
            withdraw(&account_id, "0.01"),
        ],
    )
    .await;
    assert_eq!(
        verdicts(&told),
        ["accepted", "accepted", "insufficient_funds"]
    );

    let keys = [
        (account_id.clone(), first),
        (account_id.clone(), second),
        (other.clone(), first),
        (other.clone(), second),
    ];
    let mut holds: Vec<_> = store
        .holds(&keys)
        .await
        .unwrap()
        .into_iter()
        .map(|(account_id, hold)| {
            let figures = format!("{} {} {}", hold.amount, hold.captured, hold.remaining);
            (account_id, hold.hold_id, figures)
        })
        .collect();
    holds.sort();
    let figures = |account: &ledger::AccountId, hold_id: HoldId| {
        let found = holds
            .iter()
            .find(|(account_id, id, _)| account_id == account && *id == hold_id);
        found.map(|(.., figures)| figures.as_str())
    };
    assert_eq!(figures(&account_id, first), Some("30.00 10.00 0.00"));
    assert_eq!(figures(&account_id, second), Some("20.00 0.00 20.00"));
    assert_eq!(figures(&other, first), Some("5.00 0.00 5.00"));
    assert_eq!(holds.len(), 3);
}

#[tokio::test]
async fn the_past_knows_what_was_held_and_frozen() {
    let database = Database::fresh("holds").await;
    let store = database.store();
    let (account_id, hold_id) = (new_account_id("held"), new_hold_id());
    let mut one = writer(&store);
    for command in [
        create(&account_id, "100"),
        hold(&account_id, hold_id, "60"),
        freeze(&account_id, Scope::Debits),
        deposit(&account_id, "1"),
    ] {
        let told = process(&mut one, &[command]).await;
        assert_eq!(verdicts(&told), ["accepted"]);
    }
    let told = process(&mut one, &[withdraw(&account_id, "1")]).await;
    assert_eq!(verdicts(&told), ["account_frozen"]);
    let mut states = Vec::new();
    for event in store.history(&account_id, Version::NONE, 10).await.unwrap() {
        let at = event.recorded_at;
        let before = Timestamp::from_unix_microseconds(at.unix_microseconds() - 1);
        for at in [before, at] {
            let account = store.account_at(&account_id, at).await.unwrap().what;
            states.push(account.map(|account| {
                format!(
                    "{} {} {}",
                    account.balance,
                    account.held,
                    account.status.as_str()
                )
            }));
        }
    }
    let states: Vec<&str> = states
        .iter()
        .map(|state| state.as_deref().unwrap_or("none"))
        .collect();
    assert_eq!(
        states,
        [
            "none",
            "100.00 0.00 active",
            "100.00 0.00 active",
            "100.00 60.00 active",
            "100.00 60.00 active",
            "100.00 60.00 debits_frozen",
            "100.00 60.00 debits_frozen",
            "101.00 60.00 debits_frozen",
        ]
    );
}
