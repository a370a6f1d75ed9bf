//! A command with a value that the database refuses is refused alone.

use ledger::{Action, Command, CreateAccount};

use crate::support::book::Book;
use crate::support::build::{code, command, create, decimal, deposit, new_account_id};
use crate::support::database::Database;
use crate::support::outcomes::{process, verdict, verdicts, writer};

/// No codec lets a command with U+0000 through; PostgreSQL takes it in no text.
fn poisoned() -> Command {
    command(Action::CreateAccount(CreateAccount {
        account_id: new_account_id("poisoned"),
        owner_name: "Ada\0Lovelace".to_owned(),
        currency: code("USD"),
        initial_balance: decimal("1"),
        overdraft_limit: decimal("0"),
    }))
}

#[tokio::test]
async fn neighbours_of_a_refused_command_are_committed_wherever_it_stands() {
    let database = Database::shared().await;
    let store = database.store();
    // CockroachDB takes U+0000, and no value is known that it refuses and a command can have.
    let expected = if database.is_cockroach().await {
        "accepted"
    } else {
        "refused"
    };
    for (size, places) in [
        (1, vec![0]),
        (2, vec![1]),
        (9, vec![0]),
        (9, vec![4, 5]),
        (40, vec![0, 17, 39]),
    ] {
        let account_id = new_account_id("neighbour");
        process(&mut writer(&store), &[create(&account_id, "0")]).await;
        let mut batch: Vec<Command> = (0..size).map(|_| deposit(&account_id, "1")).collect();
        for place in &places {
            batch[*place] = poisoned();
        }

        let mut one_writer = writer(&store);
        let processed = process(&mut one_writer, &batch).await;

        for (index, (processed, command)) in processed.iter().zip(&batch).enumerate() {
            let is_poisoned = places.contains(&index);
            assert_eq!(
                verdict(processed),
                if is_poisoned { expected } else { "accepted" }
            );
            if expected == "refused" && is_poisoned {
                assert_eq!(store.outcomes(&[command.command_id]).await.unwrap(), []);
            }
        }
        let again = process(&mut one_writer, &batch).await;
        for (index, processed) in again.iter().enumerate() {
            match (places.contains(&index), expected) {
                (true, "refused") => assert_eq!(verdict(processed), "refused"),
                _ => assert_eq!(verdict(processed), "repeated accepted"),
            }
        }
        let neighbours = size - places.len();
        if neighbours > 0 {
            let book = Book::of(&store, &[&account_id]).await;
            assert_eq!(book.versions(&account_id), 1 + neighbours);
        }
    }
}

#[tokio::test]
async fn what_rests_upon_a_refused_command_is_decided_without_it() {
    let database = Database::shared().await;
    if database.is_cockroach().await {
        return; // see above: nothing is refused
    }
    let store = database.store();
    let opening = poisoned();
    let account_id = opening.account_id().clone();
    let neighbour = new_account_id("neighbour");
    let batch = [
        create(&neighbour, "1"),
        opening,
        deposit(&account_id, "1"),
        deposit(&neighbour, "1"),
    ];
    let processed = process(&mut writer(&store), &batch).await;
    assert_eq!(
        verdicts(&processed),
        ["accepted", "refused", "account_not_found", "accepted"]
    );
    Book::of(&store, &[&neighbour]).await;
}
