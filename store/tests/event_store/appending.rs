//! Appending commits outcomes and events together or not at all.

use ledger::{AccountId, Command, Version};
use store::{Error, EventStore};

use crate::support::batch::Batch;
use crate::support::book::Book;
use crate::support::build::{create, deposit, new_account_id, transfer, under_the_id_of, withdraw};
use crate::support::clock;
use crate::support::database::{self, Database};
use crate::support::outcomes::{process, writer};

/// An account with a balance of 100.00.
async fn opened(store: &EventStore, name: &str) -> AccountId {
    let account_id = new_account_id(name);
    process(&mut writer(store), &[create(&account_id, "100")]).await;
    account_id
}

/// Fails unless a batch conflicts and leaves no trace.
async fn assert_nothing_is_appended(store: &EventStore, batch: &Batch, unknown: &[&Command]) {
    let append = batch.append();
    let account_ids: Vec<AccountId> = append
        .events
        .iter()
        .map(|recorded| recorded.event.account_id.clone())
        .collect();
    let before = store.load(&account_ids).await.unwrap();

    let result = store.append(&append).await;

    assert!(matches!(result, Err(Error::Conflict)), "{result:?}");
    let after = store.load(&account_ids).await.unwrap();
    assert_eq!(before.len(), after.len());
    assert!(after.iter().all(|account| before.contains(account)));
    for command in unknown {
        let stored = store.outcomes(&[command.command_id]).await.unwrap();
        assert_eq!(stored, [], "{command:?}");
    }
}

#[tokio::test]
async fn outcomes_and_events_of_a_batch_are_committed_together() {
    let store = database::store().await;
    let (rich, poor) = (new_account_id("rich"), new_account_id("poor"));
    let commands = [
        create(&rich, "100"),
        create(&poor, "0"),
        transfer(&rich, &poor, "30"),
        withdraw(&poor, "31"),
        deposit(&poor, "1"),
    ];
    let batch = Batch::of(&commands, clock::now());

    store.append(&batch.append()).await.unwrap();

    let book = Book::of(&store, &[&rich, &poor]).await;
    assert_eq!(book.versions(&rich), 2);
    assert_eq!(book.versions(&poor), 3);
    for decision in batch.append().decisions {
        let id = decision.command.command_id;
        let [stored] = &store.outcomes(&[id]).await.unwrap()[..] else {
            panic!("one outcome")
        };
        assert_eq!(stored.outcome, decision.outcome);
        assert_eq!(stored.fingerprint, decision.fingerprint);
        assert_eq!(stored.recorded_at, decision.recorded_at);
    }
    assert_eq!(
        store.account(&poor).await.unwrap().as_ref(),
        Some(batch.account(&poor))
    );
}

#[tokio::test]
async fn an_empty_batch_changes_nothing() {
    let store = database::store().await;
    store.append(&Batch::default().append()).await.unwrap();
}

#[tokio::test]
async fn a_command_that_has_an_outcome_anywhere_in_the_batch_refuses_all_of_it() {
    let store = database::store().await;
    let account_id = opened(&store, "known").await;
    let known = deposit(&account_id, "1");
    process(&mut writer(&store), std::slice::from_ref(&known)).await;

    for position in 0..5 {
        let others: Vec<Command> = (0..4)
            .map(|_| create(&new_account_id("new"), "1"))
            .collect();
        let mut commands = others.clone();
        commands.insert(position, known.clone());
        let accounts = store.load(std::slice::from_ref(&account_id)).await.unwrap();
        let batch = Batch::over(accounts, &commands, clock::now());
        assert_nothing_is_appended(&store, &batch, &others.iter().collect::<Vec<_>>()).await;
    }
}

#[tokio::test]
async fn a_command_id_twice_in_the_batch_refuses_all_of_it() {
    let store = database::store().await;
    let commands = [
        create(&new_account_id("new"), "1"),
        create(&new_account_id("new"), "2"),
        create(&new_account_id("new"), "3"),
    ];
    for (first, second) in [(0, 1), (0, 2), (1, 2)] {
        let mut commands = commands.to_vec();
        commands[second] = under_the_id_of(&commands[first], commands[second].clone());
        let batch = Batch::of(&commands, clock::now());
        assert_nothing_is_appended(&store, &batch, &commands.iter().collect::<Vec<_>>()).await;
    }
}

#[tokio::test]
async fn a_version_that_is_taken_anywhere_in_the_batch_refuses_all_of_it() {
    let store = database::store().await;
    let account_id = opened(&store, "moved").await;
    let remembered = store.load(std::slice::from_ref(&account_id)).await.unwrap();
    process(&mut writer(&store), &[deposit(&account_id, "1")]).await;

    for position in 0..5 {
        let mut commands: Vec<Command> = (0..4)
            .map(|_| create(&new_account_id("new"), "1"))
            .collect();
        commands.insert(position, deposit(&account_id, "2"));
        let batch = Batch::over(remembered.clone(), &commands, clock::now());
        assert_nothing_is_appended(&store, &batch, &commands.iter().collect::<Vec<_>>()).await;
    }
}

#[tokio::test]
async fn one_half_of_a_transfer_in_conflict_refuses_the_other() {
    let store = database::store().await;
    let (from, to) = (opened(&store, "from").await, opened(&store, "to").await);
    let remembered = store.load(&[from.clone(), to.clone()]).await.unwrap();
    for moved in [&from, &to] {
        process(&mut writer(&store), &[deposit(moved, "1")]).await;
        let command = transfer(&from, &to, "5");
        let batch = Batch::over(
            remembered.clone(),
            std::slice::from_ref(&command),
            clock::now(),
        );
        assert_nothing_is_appended(&store, &batch, &[&command]).await;
    }
    let book = Book::of(&store, &[&from, &to]).await;
    assert_eq!(book.balance(&from).to_string(), "101.00");
    assert_eq!(book.balance(&to).to_string(), "101.00");
}

#[tokio::test]
async fn a_version_twice_in_the_batch_refuses_all_of_it() {
    let store = database::store().await;
    let account_id = opened(&store, "twice").await;
    let remembered = store.load(std::slice::from_ref(&account_id)).await.unwrap();
    let (first, second) = (deposit(&account_id, "1"), deposit(&account_id, "2"));
    let mut batch = Batch::over(
        remembered.clone(),
        std::slice::from_ref(&first),
        clock::now(),
    );
    let same_version = Batch::over(remembered, &[second], clock::now());
    batch.events.extend(same_version.events);
    assert_nothing_is_appended(&store, &batch, &[&first]).await;
}

#[tokio::test]
async fn an_account_that_has_moved_on_refuses_what_rests_upon_it() {
    let store = database::store().await;
    let mut unmoved = Vec::new();
    for _ in 0..3 {
        unmoved.push(opened(&store, "unmoved").await);
    }
    let moved = opened(&store, "moved").await;
    process(&mut writer(&store), &[deposit(&moved, "1")]).await;
    let absent = new_account_id("absent");

    let at = |account_id: &AccountId, version| (account_id.clone(), Version::new(version));
    let still_true = [
        vec![at(&moved, 2)],
        vec![at(&absent, 0)],
        vec![
            at(&unmoved[0], 1),
            at(&absent, 0),
            at(&moved, 2),
            at(&unmoved[2], 1),
        ],
    ];
    let stale = [
        vec![at(&moved, 1)],
        vec![at(&moved, 0)],
        vec![at(&unmoved[1], 0)],
        vec![
            at(&unmoved[0], 1),
            at(&moved, 1),
            at(&unmoved[2], 1),
            at(&absent, 0),
        ],
        vec![
            at(&unmoved[0], 1),
            at(&unmoved[1], 1),
            at(&unmoved[2], 1),
            at(&moved, 1),
        ],
    ];
    for seen in stale {
        // A rejection, and an accepted command that has nothing to do with it.
        let commands = [withdraw(&absent, "1"), create(&new_account_id("new"), "1")];
        let mut batch = Batch::of(&commands, clock::now());
        batch.seen = seen;
        assert_nothing_is_appended(&store, &batch, &[&commands[0], &commands[1]]).await;
    }
    for seen in still_true {
        let commands = [withdraw(&absent, "1"), create(&new_account_id("new"), "1")];
        let mut batch = Batch::of(&commands, clock::now());
        batch.seen = seen;
        store.append(&batch.append()).await.unwrap();
        let ids = commands.each_ref().map(|command| command.command_id);
        assert_eq!(store.outcomes(&ids).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn many_accounts_can_be_seen_at_once() {
    let store = database::store().await;
    let moved = opened(&store, "moved").await;
    process(&mut writer(&store), &[deposit(&moved, "1")]).await;
    let absent: Vec<(AccountId, Version)> = (0..2_000)
        .map(|_| (new_account_id("absent"), Version::NONE))
        .collect();
    let command = withdraw(&absent[0].0, "1");
    let mut batch = Batch::of(std::slice::from_ref(&command), clock::now());
    batch.seen.clone_from(&absent);
    batch.seen.push((moved, Version::new(1)));
    assert_nothing_is_appended(&store, &batch, &[&command]).await;
    batch.seen = absent;
    store.append(&batch.append()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_appends_of_one_version_at_once_exactly_one_succeeds() {
    let store = Database::shared().await.store();
    let account_id = opened(&store, "raced").await;
    for round in 0..20 {
        let accounts = store.load(std::slice::from_ref(&account_id)).await.unwrap();
        let attempts = [(); 2].map(|()| {
            let (store, accounts) = (store.clone(), accounts.clone());
            let command = deposit(&account_id, "1");
            tokio::spawn(async move {
                let batch = Batch::over(accounts, &[command], clock::now());
                store.append(&batch.append()).await
            })
        });
        let mut succeeded = 0;
        for attempt in attempts {
            match attempt.await.unwrap() {
                Ok(()) => succeeded += 1,
                Err(error) => assert!(matches!(error, Error::Conflict), "{error}"),
            }
        }
        assert_eq!(succeeded, 1, "round {round}");
    }
    let book = Book::of(&store, &[&account_id]).await;
    assert_eq!(book.balance(&account_id).to_string(), "120.00");
}
