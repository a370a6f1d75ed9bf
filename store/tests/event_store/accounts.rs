//! Accounts are loaded as their histories make them: now, at an instant, after a version.

use ledger::{Account, AccountId, Command, Event, Timestamp, Version};
use store::EventStore;

use crate::support::batch::Batch;
use crate::support::book::Book;
use crate::support::build::{create, create_with, deposit, new_account_id, transfer, withdraw};
use crate::support::clock::{self, moved};
use crate::support::database;
use crate::support::outcomes::{process, writer};

/// The states of an account after each of its events.
async fn states(store: &EventStore, account_id: &AccountId) -> Vec<Account> {
    let history = store
        .history(account_id, Version::NONE, 1_000)
        .await
        .unwrap();
    let mut states: Vec<Account> = Vec::new();
    for event in &history {
        states.push(Account::fold(states.last().cloned(), event).unwrap());
    }
    states
}

#[tokio::test]
async fn loading_equals_folding_the_history() {
    let store = database::store().await;
    let ids: Vec<AccountId> = (0..9).map(|_| new_account_id("folded")).collect();
    let [
        plain,
        overdrawn,
        yen,
        dinar,
        large,
        second,
        round,
        round_yen,
        nothing,
    ] = &ids[..]
    else {
        unreachable!()
    };
    let commands = [
        create(plain, "100"),
        create_with(overdrawn, "0", "USD", "250.50"),
        create_with(yen, "12345", "JPY", "0"),
        create_with(dinar, "1.005", "BHD", "0.001"),
        create_with(large, "9999999999999999999999999.99", "USD", "0"),
        create(second, "0"),
        create_with(round, "100000000000000000000", "USD", "50000"),
        create_with(round_yen, "70000", "JPY", "10000"),
        create_with(nothing, "10000", "JPY", "0"),
        withdraw(overdrawn, "250.50"),
        deposit(yen, "1"),
        withdraw(dinar, "1.006"),
        withdraw(large, "0.01"),
        transfer(plain, second, "33.33"),
        transfer(second, plain, "0.33"),
        withdraw(round_yen, "80000"),
        withdraw(nothing, "10000"),
    ];
    process(&mut writer(&store), &commands).await;

    let book = Book::of(&store, &ids.iter().collect::<Vec<_>>()).await;

    let balances: Vec<String> = ids.iter().map(|id| book.balance(id).to_string()).collect();
    assert_eq!(
        balances,
        [
            "67.00",
            "-250.50",
            "12346",
            "-0.001",
            "9999999999999999999999999.98",
            "33.00",
            "100000000000000000000.00",
            "-10000",
            "0"
        ]
    );
    let account = store.account(overdrawn).await.unwrap().unwrap();
    assert_eq!(account.owner_name, "Ada Lovelace");
    assert_eq!(account.overdraft_limit.to_string(), "250.50");
    assert_eq!(account.profile_version, Version::FIRST);
    assert_eq!(account.version, Version::new(2));
}

#[tokio::test]
async fn any_number_of_accounts_is_loaded_and_missing_ones_are_left_out() {
    let store = database::store().await;
    let ids: Vec<AccountId> = (0..150).map(|_| new_account_id("many")).collect();
    let commands: Vec<Command> = ids.iter().map(|id| create(id, "1")).collect();
    process(&mut writer(&store), &commands).await;

    for count in [0, 1, 2, 4, 5, 15, 16, 17, 64, 65, 150] {
        let mut wanted = ids[..count].to_vec();
        wanted.insert(count / 2, new_account_id("missing"));
        let mut loaded: Vec<AccountId> = store
            .load(&wanted)
            .await
            .unwrap()
            .into_iter()
            .map(|account| account.account_id)
            .collect();
        loaded.sort();
        let mut expected = ids[..count].to_vec();
        expected.sort();
        assert_eq!(loaded, expected, "{count} accounts");
    }
    assert_eq!(
        store.account(&new_account_id("missing")).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn an_account_is_as_it_was_at_any_microsecond() {
    let store = database::store().await;
    let account_id = new_account_id("timed");
    let time = clock::Manual::at("2126-01-31T12:00:00.000000Z");
    let mut writer = writer(&store);
    for command in [
        create(&account_id, "1"),
        deposit(&account_id, "2"),
        deposit(&account_id, "4"),
    ] {
        writer.process(&[command], &|| time.now()).await.unwrap();
        time.advance(10);
    }
    let states = states(&store, &account_id).await;
    let opened = states[0].last_recorded_at;
    assert_eq!(opened.to_string(), "2126-01-31T12:00:00.000000Z");

    for (microseconds, expected) in [
        (-1, None),
        (0, Some(0)),
        (1, Some(0)),
        (9, Some(0)),
        (10, Some(1)),
        (11, Some(1)),
        (19, Some(1)),
        (20, Some(2)),
        (21, Some(2)),
    ] {
        let found = store
            .account_at(&account_id, moved(opened, microseconds))
            .await
            .unwrap();
        assert_eq!(
            found.what.as_ref(),
            expected.map(|index: usize| &states[index]),
            "at {microseconds} µs"
        );
    }
    for (at, expected) in [(Timestamp::MIN, None), (Timestamp::MAX, states.last())] {
        let found = store.account_at(&account_id, at).await.unwrap();
        assert_eq!(found.what.as_ref(), expected);
    }
    let missing = new_account_id("missing");
    let found = store.account_at(&missing, Timestamp::MAX).await.unwrap();
    assert_eq!(found.what, None);
}

#[tokio::test]
async fn of_several_events_of_one_instant_the_last_counts() {
    let store = database::store().await;
    let account_id = new_account_id("instant");
    let at: Timestamp = "2126-01-31T12:00:00.000000Z".parse().unwrap();
    let mut batch = Batch::of(&[create(&account_id, "1")], at);
    // No command makes two events on one account yet; `batch` (DESIGN §6) will.
    for version in 2..=12_u64 {
        let last = batch.account(&account_id).clone();
        let one = Batch::over(vec![last], &[deposit(&account_id, "1")], at)
            .events
            .remove(0)
            .event;
        let same_instant = if version == 12 { one.recorded_at } else { at };
        let mut event = Event {
            recorded_at: same_instant,
            ..one
        };
        event.hash = event.compute_hash();
        batch.push(event);
    }
    store.append(&batch.append()).await.unwrap();

    let state = async |at| store.account_at(&account_id, at).await.unwrap().what;
    let before = state(moved(at, -1)).await;
    let during = state(at).await.unwrap();
    let after = state(moved(at, 1)).await.unwrap();

    assert_eq!(before, None);
    assert_eq!(during.version, Version::new(11));
    assert_eq!(during.balance.to_string(), "11.00");
    assert_eq!(after.version, Version::new(12));
}

#[tokio::test]
async fn an_account_is_as_it_was_after_any_version() {
    let store = database::store().await;
    let account_id = new_account_id("versioned");
    let commands = [
        create(&account_id, "1"),
        deposit(&account_id, "2"),
        withdraw(&account_id, "3"),
    ];
    process(&mut writer(&store), &commands).await;
    let states = states(&store, &account_id).await;
    assert_eq!(states.len(), 3);
    for state in &states {
        let found = store.account_at_version(&account_id, state.version).await;
        assert_eq!(found.unwrap().as_ref(), Some(state));
    }
    for version in [0, 4, u64::from(u32::MAX), Version::MAX.get(), u64::MAX] {
        let found = store
            .account_at_version(&account_id, Version::new(version))
            .await;
        assert_eq!(found.unwrap(), None, "version {version}");
    }
}
