//! Holds in a history: each event that changes a hold carries it, and nothing of that can be changed unnoticed.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod support;

use ledger::{
    Account, Accounts, Book, BrokenChain, Currency, Event, EventData, Hold, HoldChanged, Money,
    MoneyMoved, Scope, Timestamp, parse_decimal,
};
use support::{
    account_id, capture, expire_hold, freeze, given, hold, hold_id, open, release, timestamp,
};

const UNTIL: &str = "2026-01-31T09:00:00Z";

/// A's history: opened, 30.00 held, 10.00 of it captured, 5.00 released, the rest expired.
fn history() -> Vec<Event> {
    let after = given([
        open("A", "100"),
        hold("A", 1, "30").until(UNTIL),
        capture("A", 1).only("10"),
        release("A", 1).only("5"),
        expire_hold("A", 1).at(UNTIL),
    ]);
    after.events
}

fn book(events: &[Event]) -> Book {
    let mut book = Book::default();
    for event in events {
        book.apply(event).unwrap();
    }
    book
}

fn money(text: &str, code: &str) -> Money {
    let currency = Currency::lookup(code.parse().unwrap()).unwrap();
    Money::new(parse_decimal(text).unwrap(), currency).unwrap()
}

fn usd(text: &str) -> Money {
    money(text, "USD")
}

/// What the event says of its hold, to be changed.
fn parts(event: &mut Event) -> (&mut Money, &mut Hold) {
    match &mut event.data {
        EventData::MoneyWithdrawn(MoneyMoved {
            amount,
            hold: Some(hold),
            ..
        })
        | EventData::HoldPlaced(HoldChanged { amount, hold, .. })
        | EventData::HoldReleased(HoldChanged { amount, hold, .. })
        | EventData::HoldExpired(HoldChanged { amount, hold, .. }) => (amount, hold),
        other => panic!("{other:?} changes no hold"),
    }
}

/// The event at `index`, changed, cannot follow upon those before it, and the book stays as it was.
#[track_caller]
fn broken(index: usize, change: impl FnOnce(&mut Event)) -> BrokenChain {
    let events = history();
    let mut changed = events[index].clone();
    change(&mut changed);
    assert_ne!(changed, events[index]);
    let mut book = book(&events[..index]);
    let account = book.account(&account_id("A")).cloned();
    let hold = book.hold(&account_id("A"), hold_id(1)).cloned();
    let error = book.apply(&changed).unwrap_err();
    assert_eq!(book.account(&account_id("A")), account.as_ref());
    assert_eq!(book.hold(&account_id("A"), hold_id(1)), hold.as_ref());
    error
}

#[track_caller]
fn refused(index: usize, problem: &str, change: impl FnOnce(&mut Event)) {
    let number = "00000000-0000-0000-0000-000000000001";
    let message = format!("account A version {}: hold {number}: {problem}", index + 1);
    assert_eq!(broken(index, change).to_string(), message);
}

#[test]
fn the_newest_event_says_all_of_the_hold() {
    let events = history();
    for length in 1..=events.len() {
        let book = book(&events[..length]);
        assert_eq!(
            book.hold(&account_id("A"), hold_id(1)),
            events[..length]
                .iter()
                .rev()
                .find_map(|event| event.data.hold())
        );
        let held = book.account(&account_id("A")).unwrap().held;
        assert_eq!(held, events[length - 1].held_after);
    }
    let held: Vec<String> = events
        .iter()
        .map(|event| event.held_after.to_string())
        .collect();
    assert_eq!(held, ["0.00", "30.00", "20.00", "15.00", "0.00"]);
}

/// Loading needs no more than the newest event of the account, its profile, and the newest event of each hold.
#[test]
fn a_book_loaded_from_the_newest_events_goes_on_as_the_one_that_was_folded() {
    let events = history();
    let folded = book(&events[..3]);
    let mut loaded = Book::default();
    loaded.insert(folded.account(&account_id("A")).unwrap().clone());
    loaded.insert_hold(account_id("A"), events[2].data.hold().unwrap().clone());
    for event in &events[3..] {
        loaded.apply(event).unwrap();
    }
    let complete = book(&events);
    assert_eq!(
        loaded.accounts().collect::<Vec<_>>(),
        complete.accounts().collect::<Vec<_>>()
    );
    let accounts: Vec<Account> = loaded.into_accounts().collect();
    assert_eq!(accounts.len(), 1);
}

#[test]
fn a_hold_begins_with_its_placing() {
    let problem = "it does not begin with its placing, all of it held";
    let placed = 1;
    refused(placed, problem, |event| {
        parts(event).1.remaining = usd("29")
    });
    refused(placed, problem, |event| parts(event).1.captured = usd("1"));
    refused(placed, problem, |event| parts(event).1.amount = usd("31"));
    refused(placed, problem, |event| *parts(event).0 = usd("29"));
    refused(placed, problem, |event| {
        let EventData::HoldPlaced(placed) = event.data.clone() else {
            panic!("{event:?}");
        };
        event.data = EventData::HoldReleased(placed);
    });
    // A hold that the book has never seen cannot be changed.
    for index in [2, 3, 4] {
        let mut changed = history()[index].clone();
        parts(&mut changed).1.hold_id = hold_id(2);
        let error = book(&history()[..index]).apply(&changed).unwrap_err();
        assert!(error.to_string().ends_with(problem), "{error}");
    }
}

#[test]
fn a_hold_is_placed_once() {
    let placed = history().remove(1).data;
    refused(2, "it was placed before", |event| event.data = placed);
}

#[test]
fn what_a_hold_was_placed_with_stays() {
    let problem = "its amount or its time is another than it was placed with";
    for index in [2, 3, 4] {
        refused(index, problem, |event| parts(event).1.amount = usd("31"));
        refused(index, problem, |event| parts(event).1.expires_at = None);
        refused(index, problem, |event| {
            parts(event).1.expires_at = Some(timestamp(UNTIL).next_microsecond());
        });
    }
}

#[test]
fn what_is_captured_and_what_remains_add_up() {
    let problem = "what is captured and what remains are not what the event makes of them";
    for index in [2, 3, 4] {
        for change in [
            |event: &mut Event| parts(event).1.captured = usd("10.01"),
            |event: &mut Event| parts(event).1.captured = usd("0"),
            |event: &mut Event| parts(event).1.remaining = usd("14.99"),
            |event: &mut Event| parts(event).1.remaining = usd("30"),
            |event: &mut Event| *parts(event).0 = usd("0.01"),
        ] {
            let mut changed = history()[index].clone();
            change(&mut changed);
            if changed != history()[index] {
                refused(index, problem, change);
            }
        }
    }
    // A release is no capture, and the other way round.
    refused(3, problem, |event| {
        let captured = history().remove(2).data;
        let EventData::MoneyWithdrawn(mut moved) = captured else {
            panic!("{captured:?}");
        };
        (moved.amount, moved.hold) = (usd("5"), event.data.hold().cloned());
        event.data = EventData::MoneyWithdrawn(moved);
    });
}

#[test]
fn no_more_is_taken_than_is_held() {
    refused(2, "more was taken than was held", |event| {
        let (amount, hold) = parts(event);
        *amount = usd("30.01");
        hold.captured = usd("30.01");
        hold.remaining = usd("-0.01");
    });
}

/// Otherwise a release of less than nothing would make a hold larger than it was placed.
#[test]
fn a_hold_is_changed_by_more_than_nothing() {
    let problem = "it is changed by nothing, or by less than nothing";
    for amount in ["0", "-5"] {
        refused(1, problem, |event| {
            let (changed, hold) = parts(event);
            *changed = usd(amount);
            (hold.amount, hold.remaining) = (usd(amount), usd(amount));
        });
        for index in [2, 3, 4] {
            refused(index, problem, |event| *parts(event).0 = usd(amount));
        }
    }
    refused(3, problem, |event| {
        let (amount, hold) = parts(event);
        (*amount, hold.remaining) = (usd("-5"), usd("25"));
        event.held_after = usd("25");
    });
}

#[test]
fn money_of_another_currency_is_refused_without_a_panic() {
    for index in [2, 3, 4] {
        refused(
            index,
            "what it is changed by is of another currency",
            |event| {
                *parts(event).0 = money("5", "EUR");
            },
        );
        for change in [
            |event: &mut Event| parts(event).1.amount = money("30", "EUR"),
            |event: &mut Event| parts(event).1.captured = money("10", "EUR"),
            |event: &mut Event| parts(event).1.remaining = money("15", "EUR"),
        ] {
            let error = broken(index, change);
            assert!(matches!(error, BrokenChain::Hold { .. }), "{error}");
        }
        let error = broken(index, |event| event.held_after = money("1", "EUR"));
        assert!(matches!(error, BrokenChain::Currency { .. }), "{error}");
        // All of it, as an event that was written for another account would have it.
        broken(index, |event| {
            event.balance_after = money("90", "EUR");
            event.held_after = money("20", "EUR");
            let (amount, hold) = parts(event);
            *amount = money("10", "EUR");
            hold.amount = money("30", "EUR");
            hold.captured = money("10", "EUR");
            hold.remaining = money("20", "EUR");
        });
    }
    let error = broken(1, |event| parts(event).1.captured = money("0", "EUR"));
    assert!(matches!(error, BrokenChain::Hold { .. }), "{error}");
}

#[test]
fn what_is_held_follows_from_the_events() {
    for (index, expected) in [(1, "30.00"), (2, "20.00"), (3, "15.00"), (4, "0.00")] {
        let error = broken(index, |event| event.held_after = usd("1"));
        assert_eq!(
            error.to_string(),
            format!(
                "account A version {}: {expected} is held by the events and 1.00 by held_after",
                index + 1
            )
        );
    }
    let mut opened = history().remove(0);
    opened.held_after = usd("1");
    let error = Account::open(&opened).unwrap_err();
    assert!(matches!(error, BrokenChain::Held { .. }), "{error}");
    // An event that is about no hold changes nothing of it.
    let after = given([open("A", "100"), hold("A", 1, "30")])
        .when(freeze("A", Scope::All))
        .then_accepted();
    let mut frozen = after.events[2].clone();
    frozen.held_after = usd("0");
    let error = book(&after.events[..2]).apply(&frozen).unwrap_err();
    assert!(matches!(error, BrokenChain::Held { .. }), "{error}");
}

#[test]
fn no_field_of_a_hold_can_be_changed_without_another_hash() {
    for event in &history()[1..] {
        for change in [
            |event: &mut Event| parts(event).1.hold_id = hold_id(2),
            |event: &mut Event| parts(event).1.amount = usd("31"),
            |event: &mut Event| parts(event).1.captured = usd("11"),
            |event: &mut Event| parts(event).1.remaining = usd("1"),
            |event: &mut Event| parts(event).1.expires_at = None,
            |event: &mut Event| parts(event).1.expires_at = Some(Timestamp::MAX),
            |event: &mut Event| event.held_after = usd("3"),
            |event: &mut Event| *parts(event).0 = usd("3"),
        ] {
            let mut changed = event.clone();
            change(&mut changed);
            assert!(changed.check_hash().is_err(), "{changed:?}");
        }
    }
}
