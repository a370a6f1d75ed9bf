//! A command has one outcome for ever, however often it comes.

use ledger::Command;
use store::Processed;

use crate::support::book::Book;
use crate::support::build::{create, deposit, new_account_id, under_the_id_of, withdraw};
use crate::support::database::{self, Database, connect};
use crate::support::outcomes::{outcome, process, verdicts, writer};
use crate::support::proxy::Proxy;

#[tokio::test]
async fn a_command_twice_in_a_batch_is_done_once() {
    let store = database::store().await;
    let account_id = new_account_id("twice");
    let opening = create(&account_id, "10");
    let (more, less) = (deposit(&account_id, "1"), withdraw(&account_id, "100"));
    let other = under_the_id_of(&more, deposit(&account_id, "2"));
    let batch = [
        &opening, &more, &less, &more, &other, &less, &opening, &other, &more,
    ]
    .map(Clone::clone);
    let processed = process(&mut writer(&store), &batch).await;
    assert_eq!(
        verdicts(&processed),
        [
            "accepted",
            "accepted",
            "insufficient_funds",
            "repeated accepted",
            "idempotency_conflict",
            "repeated insufficient_funds",
            "repeated accepted",
            "idempotency_conflict",
            "repeated accepted",
        ]
    );
    for (first, again) in [(1, 3), (2, 5), (0, 6), (1, 8)] {
        assert_eq!(outcome(&processed[first]), outcome(&processed[again]));
    }
    let book = Book::of(&store, &[&account_id]).await;
    assert_eq!(book.balance(&account_id).to_string(), "11.00");
    assert_eq!(book.versions(&account_id), 2);
    // What is answered for a repeat within the batch is what is stored.
    let Processed::Repeated(within) = &processed[3] else {
        unreachable!()
    };
    assert_eq!(
        store.outcomes(&[more.command_id]).await.unwrap(),
        [within.clone()]
    );
}

#[tokio::test]
async fn a_repeat_has_the_first_outcome_by_any_writer_at_any_time() {
    let store = database::store().await;
    let account_id = new_account_id("again");
    let opening = create(&account_id, "10");
    let refused = withdraw(&account_id, "11");
    let done = withdraw(&account_id, "10");
    let batch = [opening, refused.clone(), done.clone()];
    let mut first_writer = writer(&store);
    let first = process(&mut first_writer, &batch).await;
    assert_eq!(
        verdicts(&first),
        ["accepted", "insufficient_funds", "accepted"]
    );

    // Now the refused one could be done and the done one could not.
    process(&mut first_writer, &[deposit(&account_id, "5")]).await;
    let enough = deposit(&account_id, "500");
    let mut fresh = writer(&store);
    let mut warned = writer(&store);
    warned.expect_repeats();
    for writer in [&mut first_writer, &mut fresh, &mut warned] {
        for _ in 0..2 {
            let mut batch = batch.to_vec();
            batch.insert(1, enough.clone());
            let again = process(writer, &batch).await;
            for (index, first_index) in [(0, 0), (2, 1), (3, 2)] {
                assert!(matches!(again[index], Processed::Repeated(_)));
                assert_eq!(outcome(&again[index]), outcome(&first[first_index]));
            }
        }
    }
    let book = Book::of(&store, &[&account_id]).await;
    assert_eq!(book.balance(&account_id).to_string(), "505.00");
    assert_eq!(book.versions(&account_id), 4);
}

#[tokio::test]
async fn the_same_command_in_another_spelling_is_a_repeat() {
    let store = database::store().await;
    let account_id = new_account_id("spelling");
    process(&mut writer(&store), &[create(&account_id, "10")]).await;
    let command = deposit(&account_id, "25");
    let spelled = under_the_id_of(&command, deposit(&account_id, "25.00"));
    let processed = process(&mut writer(&store), &[command, spelled.clone()]).await;
    assert_eq!(verdicts(&processed), ["accepted", "repeated accepted"]);
    let processed = process(&mut writer(&store), &[spelled]).await;
    assert_eq!(verdicts(&processed), ["repeated accepted"]);
}

#[tokio::test]
async fn another_command_under_a_used_id_is_refused_and_changes_nothing() {
    let store = database::store().await;
    let account_id = new_account_id("used");
    let opening = create(&account_id, "10");
    process(&mut writer(&store), std::slice::from_ref(&opening)).await;
    let stored = store.outcomes(&[opening.command_id]).await.unwrap();
    let mut described = opening.clone();
    described.description = Some("another reason".to_owned());
    for other in [
        under_the_id_of(&opening, deposit(&account_id, "5")),
        described,
    ] {
        let mut late = writer(&store);
        let neighbour = deposit(&account_id, "1");
        let processed = process(&mut late, &[other.clone(), neighbour, other]).await;
        assert_eq!(
            verdicts(&processed),
            ["idempotency_conflict", "accepted", "idempotency_conflict"]
        );
    }
    assert_eq!(store.outcomes(&[opening.command_id]).await.unwrap(), stored);
    assert_eq!(
        store.command(opening.command_id).await.unwrap(),
        Some(opening)
    );
    let book = Book::of(&store, &[&account_id]).await;
    assert_eq!(book.balance(&account_id).to_string(), "12.00");
}

#[tokio::test]
async fn a_writer_that_expects_repeats_looks_before_it_appends() {
    let database = Database::shared().await;
    let proxy = Proxy::before(&database.application_url()).await;
    let store = connect(proxy.url());
    let ids: Vec<_> = (0..10).map(|_| new_account_id("redelivered")).collect();
    let batch: Vec<Command> = ids.iter().map(|id| create(id, "1")).collect();
    process(&mut writer(&store), &batch).await;

    let appends = proxy.appends();
    let mut restarted = writer(&store);
    restarted.expect_repeats();
    let processed = process(&mut restarted, &batch).await;
    assert!(
        verdicts(&processed)
            .iter()
            .all(|verdict| verdict == "repeated accepted")
    );
    assert_eq!(proxy.appends(), appends, "nothing was left to append");

    // Nothing new is repeated any more: back to one statement a batch.
    process(&mut restarted, &[deposit(&ids[0], "1")]).await;
    let statements = proxy.statements();
    process(&mut restarted, &[deposit(&ids[0], "1")]).await;
    assert_eq!(proxy.statements() - statements, 1);
}
