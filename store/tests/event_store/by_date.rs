//! Balances by business date: what is told equals a sum over all events that count, whatever was dated where.

use ledger::{Account, AccountId, Event, Sum, Timestamp, Version};
use sqlx::{Executor, Row};
use store::{BalanceByDate, EventStore, FINAL_AFTER};

use crate::support::build::{create, dated, deposit, new_account_id, transfer, withdraw};
use crate::support::clock::moved;
use crate::support::database::Database;
use crate::support::lives::random_lives;
use crate::support::outcomes::{process, verdicts, writer};
use crate::support::random::Random;

const HOUR: i64 = 3_600_000_000;

/// All that was recorded at or before `known` and is effective at or before `effective`.
fn fold(history: &[Event], effective: Timestamp, known: Timestamp) -> Option<BalanceByDate> {
    let recorded = || history.iter().filter(|event| event.recorded_at <= known);
    let account = recorded().fold(None, |state, event| {
        Some(Account::fold(state, event).unwrap())
    })?;
    let balance = recorded()
        .filter(|event| event.effective_at() <= effective)
        .filter_map(|event| event.data.balance_change())
        .fold(Sum::zero(account.currency()), Sum::plus);
    Some(BalanceByDate {
        known: account,
        balance,
    })
}

/// An instant of an event, by one order or the other, a microsecond beside it, or somewhere.
fn any_instant(events: &[&Event], random: &mut Random) -> Timestamp {
    let event = events[random.below(events.len())];
    let at = match random.below(2) {
        0 => event.recorded_at,
        _ => event.effective_at(),
    };
    match random.below(12) {
        0..=2 => at,
        3 | 4 => moved(at, -1),
        5 | 6 => moved(at, 1),
        7 => Timestamp::MIN,
        8 => Timestamp::MAX,
        _ => moved(
            at,
            i64::try_from(random.below(40)).unwrap() * HOUR - 20 * HOUR,
        ),
    }
}

#[tokio::test]
async fn a_balance_by_date_equals_a_sum_over_all_events_that_count() {
    let store = Database::fresh("dates").await.store();
    let (book, _) = random_lives(&store, 11, 500).await;
    let events: Vec<&Event> = book.events().collect();
    let dated = events
        .iter()
        .filter(|event| event.data.effective_at().is_some())
        .count();
    assert!(dated > 50, "only {dated} events have a business date");

    let mut random = Random::new(12);
    let (mut told, mut moved_by_date) = (0, 0);
    for _ in 0..2_000 {
        let (account_id, history) = book
            .histories
            .iter()
            .nth(random.below(book.histories.len()))
            .unwrap();
        let own: Vec<&Event> = history.iter().collect();
        let effective = any_instant(&own, &mut random);
        let known = any_instant(&own, &mut random);
        let then = store.balance_by_date(account_id, effective, known).await;
        let found = then.unwrap().what;
        let expected = fold(history, effective, known);
        assert_eq!(
            found, expected,
            "{account_id} at {effective} as known at {known}"
        );
        let Some(found) = found else { continue };
        told += 1;
        let by_clock = fold_by_clock(history, effective.min(known));
        moved_by_date += u32::from(by_clock != Some(found.balance));
    }
    assert!(told > 500 && moved_by_date > 200, "{told} {moved_by_date}");
}

fn fold_by_clock(history: &[Event], at: Timestamp) -> Option<Sum> {
    let newest = history.iter().rfind(|event| event.recorded_at <= at)?;
    Some(Sum::zero(newest.currency()).plus(newest.balance_after))
}

async fn balance(
    store: &EventStore,
    account_id: &AccountId,
    effective: Timestamp,
    known: Timestamp,
) -> String {
    let then = store.balance_by_date(account_id, effective, known).await;
    then.unwrap().what.unwrap().balance.to_string()
}

#[tokio::test]
async fn what_is_dated_back_is_known_from_its_recording_on() {
    let store = crate::support::database::store().await;
    let (account_id, other) = (new_account_id("dated"), new_account_id("dated"));
    process(
        &mut writer(&store),
        &[create(&account_id, "100"), create(&other, "0")],
    )
    .await;
    let before = store.account(&account_id).await.unwrap().unwrap();
    let opened = before.last_recorded_at;
    let (yesterday, tomorrow) = (moved(opened, -24 * HOUR), moved(opened, 24 * HOUR));
    let told = process(
        &mut writer(&store),
        &[
            dated(deposit(&account_id, "10"), yesterday),
            dated(transfer(&account_id, &other, "30"), tomorrow),
            dated(withdraw(&account_id, "1"), yesterday),
        ],
    )
    .await;
    assert_eq!(verdicts(&told), ["accepted"; 3]);
    let now = store.now().await.unwrap();
    let at = |effective, known| balance(&store, &account_id, effective, known);
    assert_eq!(at(now, opened).await, "100.00");
    assert_eq!(at(now, now).await, "109.00");
    assert_eq!(at(opened, now).await, "109.00");
    // Before it was opened, by its books: all that counts is what was dated back.
    assert_eq!(at(moved(opened, -1), now).await, "9.00");
    assert_eq!(at(yesterday, now).await, "9.00");
    assert_eq!(at(moved(yesterday, -1), now).await, "0.00");
    assert_eq!(at(moved(tomorrow, -1), now).await, "109.00");
    assert_eq!(at(tomorrow, now).await, "79.00");
    assert_eq!(at(tomorrow, opened).await, "100.00");
    assert_eq!(
        balance(&store, &other, moved(tomorrow, -1), now).await,
        "0.00"
    );
    assert_eq!(balance(&store, &other, tomorrow, now).await, "30.00");
    // What was known before it was opened: nothing.
    let then = store
        .balance_by_date(&account_id, tomorrow, moved(opened, -1))
        .await;
    assert_eq!(then.unwrap().what, None);
}

/// Only the order of recording decides whether there is enough: by business date the account is overdrawn for a day.
#[tokio::test]
async fn by_business_date_a_balance_can_be_below_the_limit() {
    let store = crate::support::database::store().await;
    let account_id = new_account_id("overdrawn");
    process(&mut writer(&store), &[create(&account_id, "0")]).await;
    let now = store.now().await.unwrap();
    let tomorrow = moved(now, 24 * HOUR);
    let commands = [
        dated(deposit(&account_id, "50"), tomorrow),
        withdraw(&account_id, "50"),
    ];
    let told = process(&mut writer(&store), &commands).await;
    assert_eq!(verdicts(&told), ["accepted"; 2]);
    let known = store.now().await.unwrap();
    assert_eq!(balance(&store, &account_id, known, known).await, "-50.00");
    assert_eq!(balance(&store, &account_id, tomorrow, known).await, "0.00");
}

/// Final is what is known at an instant; what is recorded later can be dated back at any time.
#[tokio::test]
async fn an_answer_is_final_with_what_was_known() {
    let store = crate::support::database::store().await;
    let account_id = new_account_id("final");
    process(&mut writer(&store), &[create(&account_id, "1")]).await;
    let opened = store.account(&account_id).await.unwrap().unwrap();
    let opened = opened.last_recorded_at;
    let then = async |effective, known| {
        let then = store.balance_by_date(&account_id, effective, known).await;
        then.unwrap()
    };
    let long_ago = moved(opened, -24 * HOUR);
    // However long ago the date is.
    assert!(!then(long_ago, opened).await.is_final);
    assert!(!then(Timestamp::MAX, opened).await.is_final);
    process(
        &mut writer(&store),
        &[dated(deposit(&account_id, "5"), long_ago)],
    )
    .await;
    for effective in [long_ago, opened, Timestamp::MAX] {
        assert!(then(effective, opened).await.is_final, "it has moved on");
        assert!(!then(effective, Timestamp::MAX).await.is_final);
    }
    let past = i64::try_from(FINAL_AFTER.as_micros()).unwrap();
    let past = moved(store.now().await.unwrap(), -past - 1);
    let nobody = new_account_id("nobody");
    let then = store.balance_by_date(&nobody, opened, past).await;
    assert!(then.unwrap().is_final);
}

#[tokio::test]
async fn a_sum_can_have_more_digits_than_an_amount() {
    let store = crate::support::database::store().await;
    let account_id = new_account_id("large");
    process(&mut writer(&store), &[create(&account_id, "0")]).await;
    let now = store.now().await.unwrap();
    let (yesterday, tomorrow) = (moved(now, -24 * HOUR), moved(now, 24 * HOUR));
    let large = "9".repeat(25);
    for _ in 0..3 {
        let commands = [
            dated(deposit(&account_id, &large), yesterday),
            dated(withdraw(&account_id, &large), tomorrow),
        ];
        let told = process(&mut writer(&store), &commands).await;
        assert_eq!(verdicts(&told), ["accepted"; 2]);
    }
    let known = store.now().await.unwrap();
    let expected = "29999999999999999999999997.00";
    assert_eq!(
        balance(&store, &account_id, yesterday, known).await,
        expected
    );
    assert_eq!(balance(&store, &account_id, tomorrow, known).await, "0.00");
}

/// The columns that the row is found by are there for what has a business date, and for nothing else.
#[tokio::test]
async fn the_row_of_an_event_has_its_business_date() {
    let database = Database::shared().await;
    let store = database.store();
    let account_id = new_account_id("columns");
    process(&mut writer(&store), &[create(&account_id, "1")]).await;
    let now = store.now().await.unwrap();
    let (yesterday, tomorrow) = (moved(now, -24 * HOUR), moved(now, 24 * HOUR));
    let commands = [
        deposit(&account_id, "1"),
        dated(deposit(&account_id, "1"), yesterday),
        dated(withdraw(&account_id, "1"), tomorrow),
    ];
    process(&mut writer(&store), &commands).await;
    let history = store.history(&account_id, Version::NONE, 9).await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    let places: Vec<(&str, i64)> = (1..=4)
        .map(|version| (account_id.as_str(), version))
        .collect();
    let mut rows = snapshot.event_rows_at(&places).await.unwrap();
    snapshot.close().await.unwrap();
    rows.sort_by_key(|row| row.version);
    for (row, event) in rows.iter().zip(&history) {
        assert_eq!(row.dates, store::Dates::of(event));
    }
    assert_eq!(rows[1].dates, store::Dates::default());
    assert_eq!(rows[2].dates.dated_until, Some(Ok(history[2].recorded_at)));
    assert_eq!(rows[3].dates.dated_until, Some(Ok(tomorrow)));
    let mut owner = database.owner().await;
    let query = format!("SELECT count(*) FROM events WHERE dated_account_id = '{account_id}'");
    let found = owner.fetch_one(sqlx::AssertSqlSafe(query)).await.unwrap();
    assert_eq!(found.get::<i64, _>(0), 2);
}
