//! A writer decides and commits batches; over accounts that it remembers, in one round trip.

use std::num::NonZeroUsize;

use ledger::{AccountId, Command, Event, RejectionCode, Version};
use store::{Processed, Writer, WriterCounters, WriterOptions};

use crate::support::book::Book;
use crate::support::build::{create, deposit, expecting, new_account_id, transfer, withdraw};
use crate::support::clock;
use crate::support::database::{self, Database, connect};
use crate::support::outcomes::{events, outcome, process, verdicts, writer};
use crate::support::proxy::Proxy;

#[tokio::test]
async fn a_batch_over_remembered_accounts_is_one_append_and_nothing_else() {
    let database = Database::shared().await;
    let proxy = Proxy::before(&database.application_url()).await;
    let store = connect(proxy.url());
    let mut writer = writer(&store);
    let (first, second) = (new_account_id("first"), new_account_id("second"));
    process(
        &mut writer,
        &[create(&first, "100"), create(&second, "100")],
    )
    .await;

    for size in [1, 2, 50, 1_000] {
        let batch: Vec<Command> = (0..size)
            .map(|index| match index % 4 {
                0 => deposit(&first, "5"),
                1 => transfer(&first, &second, "1"),
                2 => withdraw(&second, "1"),
                _ => withdraw(&first, "1000000"),
            })
            .collect();
        let (statements, appends) = (proxy.statements(), proxy.appends());
        process(&mut writer, &batch).await;
        assert_eq!(proxy.appends() - appends, 1, "a batch of {size}");
        assert_eq!(proxy.statements() - statements, 1, "a batch of {size}");
    }
    Book::of(&store, &[&first, &second]).await;
}

#[tokio::test]
async fn unknown_accounts_cost_one_more_round_trip_for_sixteen_of_them() {
    let database = Database::shared().await;
    let proxy = Proxy::before(&database.application_url()).await;
    let store = connect(proxy.url());
    for (accounts, loads) in [(1, 1), (16, 1), (17, 2), (160, 10)] {
        let ids: Vec<AccountId> = (0..accounts).map(|_| new_account_id("cold")).collect();
        let batch: Vec<Command> = ids.iter().map(|id| create(id, "1")).collect();
        process(&mut writer(&store), &batch).await;

        let mut cold = writer(&store);
        let statements = proxy.statements();
        let batch: Vec<Command> = ids.iter().map(|id| deposit(id, "1")).collect();
        process(&mut cold, &batch).await;
        assert_eq!(
            proxy.statements() - statements,
            loads + 1,
            "{accounts} accounts"
        );
    }
}

#[tokio::test]
async fn commands_of_one_account_in_one_batch_build_upon_each_other() {
    let store = database::store().await;
    let mut writer = writer(&store);
    let account_id = new_account_id("chain");
    let processed = process(
        &mut writer,
        &[
            deposit(&account_id, "1"),
            create(&account_id, "10"),
            expecting(deposit(&account_id, "5"), 1),
            expecting(deposit(&account_id, "5"), 1),
            withdraw(&account_id, "16"),
            withdraw(&account_id, "15"),
            withdraw(&account_id, "0.01"),
            create(&account_id, "1"),
            deposit(&account_id, "2"),
        ],
    )
    .await;
    assert_eq!(
        verdicts(&processed),
        [
            "account_not_found",
            "accepted",
            "accepted",
            "version_conflict",
            "insufficient_funds",
            "accepted",
            "insufficient_funds",
            "account_exists",
            "accepted"
        ]
    );
    let made: Vec<&Event> = processed
        .iter()
        .filter(|one| outcome(one).is_accepted())
        .flat_map(events)
        .collect();
    let versions: Vec<u64> = made.iter().map(|event| event.version.get()).collect();
    assert_eq!(versions, [1, 2, 3, 4]);

    process(
        &mut writer,
        &[deposit(&account_id, "3"), deposit(&account_id, "4")],
    )
    .await;
    let book = Book::of(&store, &[&account_id]).await;
    assert_eq!(book.versions(&account_id), 6);
    assert_eq!(book.balance(&account_id).to_string(), "9.00");
    assert_eq!(
        book.histories[&account_id]
            .iter()
            .take(4)
            .collect::<Vec<_>>(),
        made
    );
}

#[tokio::test]
async fn what_is_answered_is_what_is_stored() {
    let store = database::store().await;
    let (first, second) = (new_account_id("first"), new_account_id("second"));
    let commands = [
        create(&first, "10"),
        create(&second, "0"),
        transfer(&first, &second, "4"),
        transfer(&first, &second, "7"),
    ];
    let processed = process(&mut writer(&store), &commands).await;
    for (command, processed) in commands.iter().zip(&processed) {
        let Processed::Committed { outcome, events } = processed else {
            panic!("{processed:?}")
        };
        let stored = store.outcomes(&[command.command_id]).await.unwrap();
        assert_eq!(stored[0].outcome, *outcome);
        assert_eq!(stored[0].fingerprint, command.fingerprint());
        assert_eq!(store.events(outcome.events()).await.unwrap(), *events);
    }
}

#[tokio::test]
async fn time_rises_within_an_account_though_the_clock_stands_or_falls() {
    let store = database::store().await;
    let (first, second) = (new_account_id("first"), new_account_id("second"));
    let time = clock::Manual::at("2126-01-31T12:00:00.000000Z");
    let mut writer = writer(&store);
    let batch = [
        create(&first, "10"),
        create(&second, "10"),
        deposit(&first, "1"),
        deposit(&first, "1"),
        transfer(&second, &first, "1"),
    ];
    writer.process(&batch, &|| time.now()).await.unwrap();
    time.advance(-1_000_000);
    writer
        .process(&[deposit(&second, "1")], &|| time.now())
        .await
        .unwrap();

    let book = Book::of(&store, &[&first, &second]).await;
    let micros = |account_id: &AccountId| -> Vec<i64> {
        let noon = clock::Manual::at("2126-01-31T12:00:00.000000Z")
            .now()
            .unix_microseconds();
        let history = book.histories[account_id].iter();
        history
            .map(|event| event.recorded_at.unix_microseconds() - noon)
            .collect()
    };
    assert_eq!(micros(&first), [0, 1, 2, 3]);
    assert_eq!(micros(&second), [0, 3, 4]);
}

#[tokio::test]
async fn a_small_memory_changes_nothing_but_the_speed() {
    let store = database::store().await;
    let options = WriterOptions {
        accounts_cached_max: NonZeroUsize::new(2).unwrap(),
        ..WriterOptions::default()
    };
    let mut writer = Writer::new(store.clone(), options);
    let ids: Vec<AccountId> = (0..10).map(|_| new_account_id("forgotten")).collect();
    process(
        &mut writer,
        &ids.iter().map(|id| create(id, "10")).collect::<Vec<_>>(),
    )
    .await;
    for round in 0..3 {
        let batch: Vec<Command> = ids
            .iter()
            .zip(ids.iter().cycle().skip(1 + round))
            .flat_map(|(from, to)| [transfer(from, to, "1"), deposit(from, "1")])
            .collect();
        let processed = process(&mut writer, &batch).await;
        assert!(
            verdicts(&processed)
                .iter()
                .all(|verdict| verdict == "accepted")
        );
    }
    let book = Book::of(&store, &ids.iter().collect::<Vec<_>>()).await;
    for id in &ids {
        assert_eq!(book.balance(id).to_string(), "13.00");
        assert_eq!(book.versions(id), 1 + 3 * 3);
    }
}

#[tokio::test]
async fn an_empty_batch_has_no_answers() {
    let store = database::store().await;
    assert_eq!(process(&mut writer(&store), &[]).await, []);
}

#[tokio::test]
async fn a_writer_can_work_in_a_task_of_its_own() {
    let store = database::store().await;
    let account_id = new_account_id("task");
    let command = create(&account_id, "1");
    let task = tokio::spawn({
        let store = store.clone();
        async move { process(&mut writer(&store), &[command]).await }
    });
    assert_eq!(verdicts(&task.await.unwrap()), ["accepted"]);
    assert_eq!(
        store.account(&account_id).await.unwrap().unwrap().version,
        Version::FIRST
    );
}

#[tokio::test]
async fn what_became_of_commands_and_appends_is_counted() {
    let store = database::store().await;
    let account_id = new_account_id("counted");
    let (one, other) = (WriterCounters::default(), WriterCounters::default());
    let mut first = writer(&store).counted_by(&one);
    let mut second = writer(&store).counted_by(&other);
    let repeated = create(&account_id, "10");
    process(&mut first, std::slice::from_ref(&repeated)).await;
    process(&mut second, &[deposit(&account_id, "1")]).await;
    // The first one remembers the account as it was, and the command is not new either.
    process(
        &mut first,
        &[
            repeated,
            deposit(&account_id, "1"),
            withdraw(&account_id, "1000"),
        ],
    )
    .await;

    let snapshot = one.snapshot();
    let appends: u64 = snapshot.durations.iter().map(|(_, count)| count).sum();
    assert_eq!(
        (appends, snapshot.conflicts, snapshot.decided_anew),
        (2, 1, 1)
    );
    assert_eq!((snapshot.accepted, snapshot.repeated), (2, 1));
    assert_eq!((snapshot.ambiguous, snapshot.failures), (0, 0));
    let mut rejected = snapshot.rejected;
    rejected.retain(|(_, count)| *count > 0);
    assert_eq!(rejected, [(RejectionCode::InsufficientFunds, 1)]);
    assert_eq!(other.snapshot().accepted, 1);
}
