//! A snapshot shows one instant, whatever is written meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};

use ledger::{AccountId, Command, CommandId, Event, Version};
use store::Snapshot;
use uuid::Uuid;

use crate::support::build::{create, deposit, new_account_id, transfer, withdraw};
use crate::support::clock::{self, wait_until};
use crate::support::database::Database;
use crate::support::outcomes::{process, process_until_done, writer};
use crate::support::random::Random;

/// All events of a snapshot, in pages.
async fn all_events(snapshot: &mut Snapshot, page: u32) -> Vec<Event> {
    let mut read: Vec<Event> = Vec::new();
    loop {
        let last = read
            .last()
            .map(|event| (event.account_id.clone(), event.version));
        let after = last
            .as_ref()
            .map(|(account_id, version)| (account_id, *version));
        let page = snapshot.events(after, page).await.unwrap();
        if page.is_empty() {
            return read;
        }
        read.extend(page);
    }
}

/// The ids of all commands of a snapshot, in pages.
async fn all_commands(snapshot: &mut Snapshot, page: u32) -> Vec<CommandId> {
    let mut read: Vec<CommandId> = Vec::new();
    loop {
        let page = snapshot.commands(read.last().copied(), page).await.unwrap();
        if page.is_empty() {
            return read;
        }
        read.extend(page.iter().map(|stored| stored.outcome.command_id));
    }
}

#[tokio::test]
async fn a_snapshot_is_of_the_instant_at_which_it_was_begun() {
    let store = Database::fresh("snapshot").await.store();
    let mut writer = writer(&store);
    let ids: Vec<AccountId> = (0..10).map(|_| new_account_id("kept")).collect();
    let before: Vec<Command> = ids.iter().map(|id| create(id, "10")).collect();
    process(&mut writer, &before).await;

    let mut snapshot = store.snapshot().await.unwrap();
    let after: Vec<Command> = ids
        .iter()
        .flat_map(|id| {
            [
                deposit(id, "1"),
                withdraw(id, "100"),
                create(&new_account_id("new"), "1"),
            ]
        })
        .collect();
    process(&mut writer, &after).await;

    for page in [1, 3, 10, 1_000] {
        let events = all_events(&mut snapshot, page).await;
        assert_eq!(events.len(), 10, "in pages of {page}");
        assert!(events.iter().all(|event| event.version == Version::FIRST));
        let mut commands = all_commands(&mut snapshot, page).await;
        let mut expected: Vec<CommandId> =
            before.iter().map(|command| command.command_id).collect();
        commands.sort();
        expected.sort();
        assert_eq!(commands, expected, "in pages of {page}");
    }
    let [old, new] = [&before[0], &after[0]].map(|command| command.command_id);
    let outcomes = snapshot
        .outcomes(&[old, new, Uuid::new_v4().into()])
        .await
        .unwrap();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].outcome.command_id, old);
    snapshot.close().await.unwrap();

    let mut later = store.snapshot().await.unwrap();
    assert_eq!(all_events(&mut later, 7).await.len(), 30);
    assert_eq!(all_commands(&mut later, 7).await.len(), 40);
}

#[tokio::test]
async fn a_snapshot_finds_the_command_with_the_smallest_id() {
    let store = Database::fresh("smallest").await.store();
    let mut command = create(&new_account_id("smallest"), "1");
    command.command_id = Uuid::nil().into();
    process(&mut writer(&store), &[command]).await;
    let mut snapshot = store.snapshot().await.unwrap();
    assert_eq!(all_commands(&mut snapshot, 1).await, [Uuid::nil().into()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_book_balances_in_every_snapshot_while_transfers_are_committed() {
    const ACCOUNTS: usize = 12;
    let store = Database::fresh("transfers").await.store();
    let ids: Vec<AccountId> = (0..ACCOUNTS).map(|_| new_account_id("moving")).collect();
    let opening: Vec<Command> = ids.iter().map(|id| create(id, "100")).collect();
    process(&mut writer(&store), &opening).await;

    let is_over = std::sync::Arc::new(AtomicBool::new(false));
    let transfers = tokio::spawn({
        let (store, ids, is_over) = (store.clone(), ids.clone(), is_over.clone());
        async move {
            let mut random = Random::new(2);
            let mut writer = writer(&store);
            while !is_over.load(Ordering::Relaxed) {
                let batch: Vec<Command> = (0..8)
                    .map(|_| {
                        let from = random.below(ACCOUNTS);
                        let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
                        transfer(&ids[from], &ids[to], "3")
                    })
                    .collect();
                process_until_done(&mut writer, &batch, &clock::now).await;
            }
        }
    });

    let mut versions = 0;
    let mut different = 0;
    wait_until("ten different snapshots were taken", async || {
        let mut snapshot = store.snapshot().await.unwrap();
        let events = all_events(&mut snapshot, 50).await;
        snapshot.close().await.unwrap();
        let cents: i128 = ids
            .iter()
            .map(|id| {
                let newest = events
                    .iter()
                    .rfind(|event| event.account_id == *id)
                    .unwrap();
                newest.balance_after.value().mantissa()
            })
            .sum();
        assert_eq!(cents, i128::try_from(ACCOUNTS).unwrap() * 100_00);
        assert!(events.len() >= versions, "nothing disappears");
        if events.len() > versions {
            different += 1;
        }
        versions = events.len();
        different >= 10
    })
    .await;
    is_over.store(true, Ordering::Relaxed);
    transfers.await.unwrap();
}
