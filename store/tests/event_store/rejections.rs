//! Writers that remember accounts as they no longer are.

use ledger::AccountId;
use store::{EventStore, Writer};

use crate::support::book::Book;
use crate::support::build::{create, deposit, expecting, new_account_id, transfer, withdraw};
use crate::support::clock;
use crate::support::database;
use crate::support::outcomes::{outcome, process, verdicts, writer};

/// A writer that remembers an account with 10.00 (version 1), while it has 110.00 (version 2).
async fn stale_writer(store: &EventStore) -> (Writer, AccountId) {
    let account_id = new_account_id("stale");
    let mut stale = writer(store);
    process(&mut stale, &[create(&account_id, "10")]).await;
    process(&mut writer(store), &[deposit(&account_id, "100")]).await;
    (stale, account_id)
}

#[tokio::test]
async fn an_accepted_command_over_a_stale_memory_is_decided_anew() {
    let store = database::store().await;
    let (mut stale, account_id) = stale_writer(&store).await;
    let processed = process(
        &mut stale,
        &[withdraw(&account_id, "5"), deposit(&account_id, "1")],
    )
    .await;
    assert_eq!(verdicts(&processed), ["accepted", "accepted"]);
    let book = Book::of(&store, &[&account_id]).await;
    assert_eq!(book.balance(&account_id).to_string(), "106.00");
    assert_eq!(book.versions(&account_id), 4);
}

#[tokio::test]
async fn a_rejection_over_a_stale_memory_is_not_recorded() {
    let store = database::store().await;
    for rejected_by_memory in [
        |id: &AccountId| withdraw(id, "50"),
        |id: &AccountId| expecting(deposit(id, "1"), 2),
        |id: &AccountId| transfer(id, id, "50"),
    ] {
        let (mut stale, account_id) = stale_writer(&store).await;
        let command = rejected_by_memory(&account_id);
        let processed = process(&mut stale, std::slice::from_ref(&command)).await;
        let again = process(&mut writer(&store), &[command.clone()]).await;
        assert_eq!(outcome(&processed[0]), outcome(&again[0]));
        let expected = if command.account_ids().count() == 2 {
            "same_account"
        } else {
            "accepted"
        };
        assert_eq!(verdicts(&processed), [expected]);
    }
}

#[tokio::test]
async fn an_account_that_was_missing_is_found_when_another_writer_has_opened_it() {
    let store = database::store().await;
    let (from, to) = (new_account_id("from"), new_account_id("to"));
    let mut stale = writer(&store);
    process(&mut stale, &[create(&from, "10")]).await;
    let before = process(&mut stale, &[transfer(&from, &to, "1")]).await;
    assert_eq!(verdicts(&before), ["account_not_found"]);
    process(&mut writer(&store), &[create(&to, "0")]).await;
    let after = process(&mut stale, &[transfer(&from, &to, "1")]).await;
    assert_eq!(verdicts(&after), ["accepted"]);
}

#[tokio::test]
async fn a_stale_acceptance_becomes_a_rejection() {
    let store = database::store().await;
    let account_id = new_account_id("emptied");
    let mut stale = writer(&store);
    process(&mut stale, &[create(&account_id, "10")]).await;
    process(&mut writer(&store), &[withdraw(&account_id, "10")]).await;
    let processed = process(&mut stale, &[withdraw(&account_id, "10")]).await;
    assert_eq!(verdicts(&processed), ["insufficient_funds"]);
}

#[tokio::test]
async fn one_stale_account_does_not_spoil_the_others_of_its_batch() {
    let store = database::store().await;
    let (mut stale, moved) = stale_writer(&store).await;
    let ids: Vec<AccountId> = (0..5).map(|_| new_account_id("neighbour")).collect();
    let mut batch: Vec<_> = ids.iter().map(|id| create(id, "1")).collect();
    batch.push(withdraw(&moved, "50"));
    batch.push(withdraw(&ids[0], "2"));
    batch.push(deposit(&ids[0], "1"));
    let processed = process(&mut stale, &batch).await;
    let mut expected = vec!["accepted"; 6];
    expected.extend(["insufficient_funds", "accepted"]);
    assert_eq!(verdicts(&processed), expected);
    let mut all: Vec<&AccountId> = ids.iter().collect();
    all.push(&moved);
    Book::of(&store, &all).await;
}

#[tokio::test]
async fn a_rejection_is_recorded_with_its_time_and_no_events() {
    let store = database::store().await;
    let account_id = new_account_id("nobody");
    let time = clock::Manual::at("2126-01-31T12:00:00.000000Z");
    let command = withdraw(&account_id, "1");
    let batch = std::slice::from_ref(&command);
    let processed = writer(&store).process(batch, &|| time.now()).await.unwrap();
    assert_eq!(verdicts(&processed), ["account_not_found"]);
    let stored = store.outcomes(&[command.command_id]).await.unwrap();
    assert_eq!(stored[0].recorded_at, time.now());
    assert_eq!(stored[0].outcome.events(), []);
}
