//! The past, at any microsecond: what is told of it equals a fold of the histories cut there, and says when it is final.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ledger::{Account, AccountId, Command, Event, EventData, Sum, Timestamp, Version};
use sqlx::{Executor, Row};
use store::{CurrencyTotal, Error, EventStore, FINAL_AFTER, FRESH_FOR};

use crate::support::batch::Batch;
use crate::support::book::Book;
use crate::support::build::{create, deposit, new_account_id, transfer, withdraw};
use crate::support::clock::{self, moved, wait_until};
use crate::support::database::{Database, connect_with};
use crate::support::lives::random_lives;
use crate::support::outcomes::{process, process_until_done, verdicts, writer};
use crate::support::proxy::{Fault, Gate, Proxy};
use crate::support::random::Random;

/// The state after the events up to an instant.
fn fold(history: &[Event], at: Timestamp) -> Option<Account> {
    history
        .iter()
        .take_while(|event| event.recorded_at <= at)
        .fold(None, |state, event| {
            Some(Account::fold(state, event).unwrap())
        })
}

fn totals(accounts: &[Account]) -> Vec<CurrencyTotal> {
    let mut totals: BTreeMap<String, CurrencyTotal> = BTreeMap::new();
    for account in accounts {
        let currency = account.currency();
        let total = totals.entry(currency.to_string()).or_insert(CurrencyTotal {
            currency,
            accounts: 0,
            balance: Sum::zero(currency),
        });
        total.accounts += 1;
        total.balance = total.balance.plus(account.balance);
    }
    totals.into_values().collect()
}

/// Each boundary, a microsecond before and after it, and anything in between.
fn instants(book: &Book, begin: Timestamp, random: &mut Random) -> Vec<Timestamp> {
    let mut instants: Vec<Timestamp> = book
        .events()
        .flat_map(|event| [-1, 0, 1].map(|step| moved(event.recorded_at, step)))
        .collect();
    let end = *instants.iter().max().unwrap();
    let length = usize::try_from(end.unix_microseconds() - begin.unix_microseconds()).unwrap();
    for _ in 0..100 {
        let step = i64::try_from(random.below(length + 1)).unwrap();
        instants.push(moved(begin, step));
    }
    instants.extend([Timestamp::MIN, Timestamp::MAX]);
    instants.sort();
    instants.dedup();
    instants
}

/// The whole book in pages of this size, each with its finality.
async fn book_in_pages(store: &EventStore, at: Timestamp, limit: u32) -> Vec<Account> {
    let mut found: Vec<Account> = Vec::new();
    loop {
        let after = found.last().map(|account| account.account_id.clone());
        let page = store.book_at(at, after.as_ref(), limit).await.unwrap().what;
        let is_last = page.len() < limit as usize;
        assert!(page.len() <= limit as usize);
        found.extend(page);
        if is_last {
            return found;
        }
    }
}

#[tokio::test]
async fn an_account_at_any_instant_equals_a_fold_of_its_history_up_to_there() {
    let store = crate::support::database::store().await;
    for seed in 1..=3 {
        let (book, begin) = random_lives(&store, seed, 40).await;
        let mut random = Random::new(seed);
        for at in instants(&book, begin, &mut random) {
            for (account_id, history) in &book.histories {
                // All accounts at all instants would be 30,000 questions.
                let is_near = history.iter().any(|event| {
                    (event.recorded_at.unix_microseconds() - at.unix_microseconds()).abs() <= 1
                });
                if is_near || random.below(8) == 0 {
                    let then = store.account_at(account_id, at).await.unwrap();
                    assert_eq!(
                        then.what,
                        fold(history, at),
                        "{account_id} at {at}, seed {seed}"
                    );
                }
            }
        }
    }
}

/// An instant at random: exactly at an event, a microsecond beside one, or anywhere.
fn any_instant(events: &[&Event], begin: Timestamp, random: &mut Random) -> Timestamp {
    let at = events[random.below(events.len())].recorded_at;
    match random.below(6) {
        0 => at,
        1 => moved(at, -1),
        2 => moved(at, 1),
        // Between it and another.
        3 | 4 => {
            let other = events[random.below(events.len())].recorded_at;
            let (from, to) = (at.min(other), at.max(other));
            let length = usize::try_from(to.unix_microseconds() - from.unix_microseconds());
            let step = random.below(length.unwrap() + 1);
            moved(from, i64::try_from(step).unwrap())
        }
        _ => moved(begin, i64::try_from(random.below(10_000)).unwrap() - 5_000),
    }
}

/// What must have been seen of accounts, so that a kind of state that never was is noticed.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    statuses: BTreeSet<&'static str>,
    limits: BTreeSet<String>,
    reasons: BTreeSet<String>,
    owners: BTreeSet<String>,
    notes: BTreeSet<String>,
    held: BTreeSet<String>,
    rules: BTreeSet<String>,
    day_debits: BTreeSet<String>,
}

impl Seen {
    fn see(&mut self, account: &Account) {
        self.statuses.insert(account.status.as_str());
        self.limits.insert(account.overdraft_limit.to_string());
        self.reasons.extend(account.freeze_reason.clone());
        self.owners.insert(account.owner_name.clone());
        self.notes.extend(account.metadata.values().cloned());
        self.held.insert(account.held.to_string());
        self.rules.insert(format!("{:?}", account.profile().rules));
        self.day_debits
            .insert(format!("{:?}", account.day_debits()));
    }

    fn check(&self) {
        assert_eq!(self.statuses.len(), 5, "{self:?}");
        assert!(self.limits.len() > 5, "{self:?}");
        assert_eq!(self.reasons.len(), 3, "{self:?}");
        assert_eq!(self.owners.len(), 4, "{self:?}");
        assert_eq!(self.notes.len(), 3, "{self:?}");
        assert!(self.held.len() > 5, "{self:?}");
        assert!(self.rules.len() > 5, "{self:?}");
        assert!(self.day_debits.len() > 5, "{self:?}");
    }
}

#[tokio::test]
async fn every_state_at_a_thousand_random_instants_equals_a_fold_of_the_events_up_to_there() {
    let store = Database::fresh("lives").await.store();
    let (book, begin) = random_lives(&store, 1, 400).await;
    let events: Vec<&Event> = book.events().collect();
    for name in EventData::TYPE_NAMES {
        let of_type = |event: &&&Event| event.data.type_name() == name;
        let count = events.iter().filter(of_type).count();
        assert!(count > 2, "only {count} of the event {name}");
    }

    let mut random = Random::new(2);
    let mut seen = Seen::default();
    for _ in 0..1_000 {
        let at = any_instant(&events, begin, &mut random);
        let mut expected: Vec<Account> = book
            .histories
            .values()
            .filter_map(|history| fold(history, at))
            .collect();
        for account in &expected {
            seen.see(account);
        }
        expected.sort_by(|one, other| one.account_id.cmp(&other.account_id));
        let mut found = store.book_at(at, None, 100).await.unwrap().what;
        found.sort_by(|one, other| one.account_id.cmp(&other.account_id));
        assert_eq!(found, expected, "at {at}");

        let (account_id, history) = book
            .histories
            .iter()
            .nth(random.below(book.histories.len()))
            .unwrap();
        let then = store.account_at(account_id, at).await.unwrap().what;
        assert_eq!(then, fold(history, at), "{account_id} at {at}");
        let Some(account) = then else { continue };
        let then = store.account_at_version(account_id, account.version).await;
        assert_eq!(
            then.unwrap(),
            Some(account),
            "{account_id} after its version"
        );
    }
    seen.check();
}

#[tokio::test]
async fn the_whole_book_at_any_instant_equals_a_fold_of_all_histories_up_to_there() {
    let store = Database::fresh("past").await.store();
    assert_eq!(store.totals_at(Timestamp::MAX).await.unwrap().what, []);
    let (book, begin) = random_lives(&store, 7, 40).await;
    let mut random = Random::new(7);
    for (index, at) in instants(&book, begin, &mut random).into_iter().enumerate() {
        // Some suffice: a page costs several statements.
        if index % 5 != 0 {
            continue;
        }
        let mut expected: Vec<Account> = book
            .histories
            .values()
            .filter_map(|history| fold(history, at))
            .collect();
        expected.sort_by(|one, other| one.account_id.cmp(&other.account_id));
        let limit = [1, 2, 5, 12, 100][random.below(5)];
        let mut found = book_in_pages(&store, at, limit).await;
        found.sort_by(|one, other| one.account_id.cmp(&other.account_id));
        assert_eq!(found, expected, "at {at} in pages of {limit}");
        let then = store.totals_at(at).await.unwrap();
        assert_eq!(then.what, totals(&expected), "at {at}");
    }
}

#[tokio::test]
async fn a_page_looks_past_any_number_of_accounts_that_were_opened_later() {
    let store = Database::fresh("later").await.store();
    let at = store.now().await.unwrap();
    let (first, last) = (new_account_id("A"), new_account_id("Z"));
    let mut batch = vec![create(&first, "1"), create(&last, "2")];
    writer(&store).process(&batch, &|| at).await.unwrap();
    batch = (0..150)
        .map(|_| create(&new_account_id("M"), "1"))
        .collect();
    let later = moved(at, 1);
    writer(&store).process(&batch, &|| later).await.unwrap();

    for limit in [1, 2, 3, 200] {
        let found = book_in_pages(&store, at, limit).await;
        let mut ids: Vec<&AccountId> = found.iter().map(|account| &account.account_id).collect();
        ids.sort();
        assert_eq!(ids, [&first, &last], "in pages of {limit}");
    }
    assert_eq!(book_in_pages(&store, later, 64).await.len(), 152);
    assert_eq!(store.book_at(later, None, 0).await.unwrap().what, []);
}

#[tokio::test]
async fn a_transfer_under_way_is_in_the_book_with_both_halves_or_not_at_all() {
    let store = Database::fresh("halves").await.store();
    let ids: Vec<AccountId> = (0..40).map(|_| new_account_id("half")).collect();
    let commands: Vec<Command> = ids.iter().map(|id| create(id, "1000")).collect();
    process(&mut writer(&store), &commands).await;
    let expected = store.totals_at(Timestamp::MAX).await.unwrap().what;

    let moving = async {
        let mut writer = writer(&store);
        for round in 0..60 {
            let (from, to) = (&ids[round % 40], &ids[(round * 7 + 1) % 40]);
            process(&mut writer, &[transfer(from, to, "1")]).await;
        }
    };
    let looking = async {
        for _ in 0..20 {
            let then = store.totals_at(Timestamp::MAX).await.unwrap();
            assert_eq!(then.what, expected);
            assert!(!then.is_final);
        }
    };
    tokio::join!(moving, looking);
}

#[tokio::test]
async fn a_history_is_read_backwards_in_pages() {
    let store = crate::support::database::store().await;
    let account_id = new_account_id("back");
    let mut commands = vec![create(&account_id, "0")];
    commands.extend((1..10).map(|_| deposit(&account_id, "1")));
    process(&mut writer(&store), &commands).await;
    let mut expected = store.history(&account_id, Version::NONE, 10).await.unwrap();
    expected.reverse();
    for limit in [1, 3, 5, 10, 11] {
        let mut read: Vec<Event> = Vec::new();
        loop {
            let before = read.last().map(|event| event.version);
            let page = store.history_back(&account_id, before, limit).await;
            let page = page.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= limit as usize);
            read.extend(page);
        }
        assert_eq!(read, expected, "in pages of {limit}");
    }
    for (before, newest) in [
        (Some(Version::NONE), None),
        (Some(Version::FIRST), None),
        (Some(Version::new(4)), Some(3)),
        (Some(Version::new(u64::MAX)), Some(10)),
        (None, Some(10)),
    ] {
        let page = store.history_back(&account_id, before, 1).await.unwrap();
        let found = page.first().map(|event| event.version.get());
        assert_eq!(found, newest, "before {before:?}");
    }
}

#[tokio::test]
async fn an_answer_is_provisional_until_no_writer_can_change_it() {
    let store = crate::support::database::store().await;
    let account_id = new_account_id("final");
    process(&mut writer(&store), &[create(&account_id, "1")]).await;
    let opened = store.account(&account_id).await.unwrap().unwrap();
    let at = opened.last_recorded_at;

    let then = store.account_at(&account_id, at).await.unwrap();
    assert!(!then.is_final, "another writer may commit at the same time");
    assert!(then.asked_at >= at || clock::now() < at);
    let book = store.book_at(at, None, 1).await.unwrap();
    assert!(!book.is_final);

    process(&mut writer(&store), &[deposit(&account_id, "1")]).await;
    let then = store.account_at(&account_id, at).await.unwrap();
    assert!(then.is_final, "time rises within an account");
    assert_eq!(then.what, Some(opened));
    let newest = store.account(&account_id).await.unwrap().unwrap();
    let then = store.account_at(&account_id, newest.last_recorded_at).await;
    assert!(!then.unwrap().is_final);
    assert!(
        !store
            .account_at(&account_id, Timestamp::MAX)
            .await
            .unwrap()
            .is_final
    );

    // Whatever is there: nobody can commit there any more.
    let past = moved(store.now().await.unwrap(), -microseconds(FINAL_AFTER) - 1);
    let then = store.account_at(&new_account_id("nobody"), past).await;
    assert!(then.unwrap().is_final);
    assert!(store.book_at(past, None, 1).await.unwrap().is_final);
    assert!(store.totals_at(past).await.unwrap().is_final);
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap()
}

/// Fails unless the batch is refused for its age and leaves no trace.
async fn assert_late(store: &EventStore, batch: &Batch, commands: &[Command]) {
    let result = store.append(&batch.append()).await;
    assert!(matches!(result, Err(Error::Late { .. })), "{result:?}");
    for command in commands {
        assert_eq!(store.outcomes(&[command.command_id]).await.unwrap(), []);
        for account_id in command.account_ids() {
            let there = store.account(account_id).await.unwrap();
            assert!(there.is_none_or(|account| account.version == Version::FIRST));
        }
    }
}

#[tokio::test]
async fn what_was_decided_too_long_ago_is_not_appended() {
    let store = crate::support::database::store().await;
    let account_id = new_account_id("late");
    process(&mut writer(&store), &[create(&account_id, "1")]).await;
    let known = store.load(std::slice::from_ref(&account_id)).await.unwrap();
    let now = store.now().await.unwrap();
    let stale = moved(now, -microseconds(FRESH_FOR) - 1);

    let opening = [create(&new_account_id("late"), "1")];
    assert_late(&store, &Batch::of(&opening, stale), &opening).await;
    let rejected = [withdraw(&new_account_id("late"), "1")];
    assert_late(&store, &Batch::of(&rejected, stale), &rejected).await;
    // Its events are recorded later than it was decided, behind the account's newest; the clock is as wrong.
    let depositing = [deposit(&account_id, "1")];
    let batch = Batch::over(known.clone(), &depositing, stale);
    assert!(batch.account(&account_id).last_recorded_at > stale);
    assert_late(&store, &batch, &depositing).await;
    // One that is late makes all of the batch late.
    let mut mixed = Batch::of(&[create(&new_account_id("late"), "1")], now);
    let old = [create(&new_account_id("late"), "1")];
    mixed.add(&old, stale);
    assert_late(&store, &mixed, &old).await;

    let fresh = moved(store.now().await.unwrap(), -microseconds(FRESH_FOR) / 2);
    let opening = [create(&new_account_id("fresh"), "1")];
    let batch = Batch::of(&opening, fresh);
    store.append(&batch.append()).await.unwrap();
}

#[tokio::test]
async fn an_append_that_arrives_too_late_is_decided_anew() {
    let database = Database::shared().await;
    let proxy = Proxy::before(&database.application_url()).await;
    let store = connect_with(proxy.url(), 2, Duration::from_secs(30));
    let account_id = new_account_id("held");
    let gate = Gate::new();
    proxy.fail_appends([Fault::Hold(gate.clone())]);
    let command = [create(&account_id, "1")];
    let stale = moved(clock::now(), -microseconds(FRESH_FOR) - 1);
    // The clock is right; the first decision only takes its time on the way.
    let readings = std::sync::atomic::AtomicUsize::new(0);
    let now = || {
        let reading = readings.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if reading == 0 { stale } else { clock::now() }
    };
    let mut one_writer = writer(&store);
    let processing = one_writer.process(&command, &now);
    let letting_through = async {
        gate.arrived().await;
        gate.open().await;
    };
    let (processed, ()) = tokio::join!(processing, letting_through);
    assert_eq!(verdicts(&processed.unwrap()), ["accepted"]);
    let account = store.account(&account_id).await.unwrap().unwrap();
    assert!(account.last_recorded_at > stale);
    assert_eq!(proxy.appends(), 2);
}

#[tokio::test]
async fn a_writer_whose_clock_is_behind_is_told_by_how_much() {
    let store = crate::support::database::store().await;
    let command = [create(&new_account_id("behind"), "1")];
    let behind = || moved(clock::now(), -60_000_000);
    let error = writer(&store).process(&command, &behind).await.unwrap_err();
    let Error::Late { behind: told } = &error else {
        panic!("{error}")
    };
    assert!((60..65).contains(&told.as_secs()), "{told:?}");
    assert!(error.is_transient());
    let text = error.to_string();
    assert!(text.contains("clock is 6"), "{text}");
    assert!(text.contains("synchronise the clocks"), "{text}");
    assert_eq!(store.outcomes(&[command[0].command_id]).await.unwrap(), []);
}

#[tokio::test]
async fn a_writer_whose_clock_is_ahead_records_events_in_the_future() {
    let store = crate::support::database::store().await;
    let account_id = new_account_id("ahead");
    let ahead = || moved(clock::now(), 60_000_000);
    let mut fast = writer(&store);
    let opened = fast.process(&[create(&account_id, "1")], &ahead).await;
    assert_eq!(verdicts(&opened.unwrap()), ["accepted"]);
    let then = store
        .account_at(&account_id, store.now().await.unwrap())
        .await;
    assert_eq!(then.unwrap().what, None, "not yet");

    // One whose clock is right goes on behind it.
    let command = [deposit(&account_id, "1")];
    process_until_done(&mut writer(&store), &command, &clock::now).await;
    let history = store.history(&account_id, Version::NONE, 2).await.unwrap();
    assert_eq!(
        history[1].recorded_at,
        history[0].recorded_at.next_microsecond()
    );
    let at = history[0].recorded_at;
    let then = store.account_at(&account_id, at).await.unwrap();
    assert_eq!(then.what.unwrap().version, Version::FIRST);
    assert!(
        then.is_final,
        "though it lies ahead: the account has moved on"
    );
}

#[tokio::test]
async fn an_append_that_was_given_up_does_not_linger_in_the_database() {
    let database = Database::fresh_on_postgres("linger").await;
    let store = connect_with(&database.application_url(), 1, Duration::from_secs(1));
    store.ping().await.unwrap();
    let mut owner = database.owner().await;
    owner
        .execute("BEGIN; LOCK TABLE events IN EXCLUSIVE MODE")
        .await
        .unwrap();
    let command = [create(&new_account_id("linger"), "1")];
    let batch = Batch::of(&command, clock::now());
    let error = store.append(&batch.append()).await.unwrap_err();
    assert!(matches!(error, Error::Ambiguous(_)), "{error}");

    let mut watch = database.owner().await;
    wait_until("the server gives it up, too", async || {
        let waiting =
            "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
            WHERE NOT l.granted AND d.datname = current_database()";
        watch.fetch_one(waiting).await.unwrap().get::<i64, _>(0) == 0
    })
    .await;
    owner.execute("COMMIT").await.unwrap();
    assert_eq!(store.outcomes(&[command[0].command_id]).await.unwrap(), []);
}
