//! Batches that no database would take in one message.

use std::collections::BTreeMap;

use ledger::{AccountId, Command, limits};

use crate::support::book::Book;
use crate::support::build::{create, deposit, new_account_id, transfer};
use crate::support::database::{Database, connect};
use crate::support::outcomes::{process, verdicts, writer};
use crate::support::proxy::Proxy;

/// With all that a command may carry, about 28 KiB.
fn laden(command: Command) -> Command {
    let mut metadata = BTreeMap::new();
    for entry in 0..limits::METADATA_ENTRIES_MAX {
        metadata.insert(
            format!("key-{entry}"),
            "m".repeat(limits::METADATA_VALUE_BYTES_MAX),
        );
    }
    Command {
        description: Some("d".repeat(limits::DESCRIPTION_BYTES_MAX)),
        metadata,
        ..command
    }
}

#[tokio::test]
async fn a_batch_of_many_megabytes_is_committed_in_parts() {
    let database = Database::shared().await;
    let proxy = Proxy::before(&database.application_url()).await;
    let store = connect(proxy.url());
    let (first, second) = (new_account_id("first"), new_account_id("second"));
    let mut writer = writer(&store);
    process(
        &mut writer,
        &[create(&first, "10000"), create(&second, "0")],
    )
    .await;

    // 30 MiB and more: bodies, and two events each.
    let again = laden(transfer(&first, &second, "1"));
    let mut batch: Vec<Command> = (0..350)
        .map(|_| laden(transfer(&first, &second, "1")))
        .collect();
    batch[0] = again.clone();
    batch.push(again);
    let appends = proxy.appends();
    let processed = process(&mut writer, &batch).await;

    let verdicts = verdicts(&processed);
    assert!(verdicts[..350].iter().all(|verdict| verdict == "accepted"));
    assert_eq!(verdicts[350], "repeated accepted");
    assert!(
        proxy.appends() - appends >= 4,
        "in {} appends",
        proxy.appends() - appends
    );
    let book = Book::of(&store, &[&first, &second]).await;
    assert_eq!(book.balance(&second).to_string(), "350.00");
}

#[tokio::test]
async fn thousands_of_ordinary_commands_are_one_append() {
    let database = Database::shared().await;
    let proxy = Proxy::before(&database.application_url()).await;
    let store = connect(proxy.url());
    let ids: Vec<AccountId> = (0..50).map(|_| new_account_id("many")).collect();
    let mut writer = writer(&store);
    process(
        &mut writer,
        &ids.iter().map(|id| create(id, "0")).collect::<Vec<_>>(),
    )
    .await;
    let batch: Vec<Command> = ids
        .iter()
        .cycle()
        .take(2_048)
        .map(|id| {
            let mut command = deposit(id, "1");
            command.description = Some("an ordinary reason for a payment".to_owned());
            command
        })
        .collect();
    let appends = proxy.appends();
    let processed = process(&mut writer, &batch).await;
    assert!(
        verdicts(&processed)
            .iter()
            .all(|verdict| verdict == "accepted")
    );
    assert_eq!(proxy.appends() - appends, 1);
    Book::of(&store, &ids.iter().collect::<Vec<_>>()).await;
}
