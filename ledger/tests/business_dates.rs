//! Business dates: from when on money counts as moved, by the publisher's word.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod support;

use std::time::Duration;

use ledger::RejectionCode::{
    EffectiveAtOutOfWindow, Expired, InsufficientFunds, TooEarly, VersionConflict,
};
use ledger::codec::{binary, json};
use ledger::{Event, EventData, Policy, decide};
use serde_json::{Value, json};
use support::{
    Given, NOON, Request, capture, deposit, given, hold, open, reverse, timestamp, transfer,
    withdraw,
};

const LAST_WEEK: &str = "2026-01-24T00:00:00.000000Z";
const NEXT_WEEK: &str = "2026-02-07T00:00:00.000000Z";
/// 366 days before and after noon.
const EARLIEST: &str = "2025-01-30T12:00:00.000000Z";
const LATEST: &str = "2027-02-01T12:00:00.000000Z";

fn before() -> Given {
    given([
        open("A", "100"),
        open("B", "0"),
        hold("A", 1, "30"),
        deposit("B", "5"),
    ])
}

/// One of each type that moves money.
fn movements() -> [Request; 5] {
    [
        deposit("A", "1"),
        withdraw("A", "1"),
        transfer("A", "B", "1"),
        capture("A", 1),
        reverse("B", 4),
    ]
}

fn moved(events: &[Event]) -> impl Iterator<Item = &Event> {
    events
        .iter()
        .filter(|event| event.data.balance_change().is_some())
}

#[test]
fn every_movement_carries_the_business_date_of_its_command() {
    for request in movements() {
        for date in [LAST_WEEK, NEXT_WEEK, NOON, EARLIEST, LATEST] {
            let decision = before().when(request.clone().effective(date));
            let events = decision.result.clone().unwrap();
            for event in moved(&events) {
                assert_eq!(event.effective_at(), timestamp(date));
                assert_eq!(event.recorded_at, timestamp(NOON));
                let json: Value = serde_json::from_slice(&json::encode_event(event)).unwrap();
                assert_eq!(json["data"]["effective_at"], json!(date));
                assert_eq!(binary::encode_event(event)[0], 2);
            }
            decision.then_accepted();
        }
    }
}

#[test]
fn what_has_no_business_date_is_effective_when_it_is_recorded() {
    for request in movements() {
        let events = before().when(request).result.unwrap();
        for event in &events {
            assert_eq!(event.data.effective_at(), None);
            assert_eq!(event.effective_at(), event.recorded_at);
            let json: Value = serde_json::from_slice(&json::encode_event(event)).unwrap();
            assert_eq!(json["data"].get("effective_at"), None);
        }
    }
    let opened = &before().events[0];
    assert_eq!(opened.effective_at(), opened.recorded_at);
}

#[test]
fn both_halves_of_a_transfer_carry_it() {
    let events = before().when(transfer("A", "B", "1").effective(LAST_WEEK));
    let events = events.result.unwrap();
    let dates: Vec<_> = events
        .iter()
        .map(|event| event.data.effective_at())
        .collect();
    assert_eq!(dates, [Some(timestamp(LAST_WEEK)); 2]);
}

/// What is held is held by the clock: only money that moves has a business date.
#[test]
fn the_rest_that_a_final_capture_releases_has_none() {
    let capture = capture("A", 1).only("10").at_last().effective(LAST_WEEK);
    let events = before().when(capture).result.unwrap();
    let [captured, released] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(captured.data.effective_at(), Some(timestamp(LAST_WEEK)));
    assert!(matches!(released.data, EventData::HoldReleased(_)));
    assert_eq!(released.data.effective_at(), None);
}

#[test]
fn a_date_beyond_the_window_is_refused_with_the_window() {
    for (date, shown) in [
        ("2025-01-30T11:59:59.999999Z", "2025-01-30T11:59:59.999999Z"),
        ("2027-02-01T12:00:00.000001Z", "2027-02-01T12:00:00.000001Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ] {
        for request in movements() {
            before().when(request.effective(date)).then_rejected(
                EffectiveAtOutOfWindow,
                &format!("effective_at can be {EARLIEST} to {LATEST}, and it is {shown}"),
                [
                    ("effective_at", shown),
                    ("earliest", EARLIEST),
                    ("latest", LATEST),
                ],
            );
        }
    }
}

/// The window is around what would be recorded, which no clock behind can hold back.
#[test]
fn a_clock_that_is_behind_does_not_move_the_window() {
    // The newest event of B is of three seconds past eight.
    let early = "2026-01-31T07:00:00Z";
    let edge = "2025-01-30T08:00:03.000001Z";
    let request = deposit("B", "1").at(early);
    before()
        .when(request.clone().effective(edge))
        .then_accepted();
    before()
        .when(request.effective("2025-01-30T08:00:03Z"))
        .then_code(EffectiveAtOutOfWindow);
}

#[test]
fn the_window_is_the_operators_to_choose() {
    let given = before();
    let day = Duration::from_hours(24);
    let policy = |past: u32, future: u32| Policy {
        effective_past_max: day * past,
        effective_future_max: day * future,
    };
    let decided = |date: &str, policy: &Policy| {
        let request = deposit("A", "1").number(99).effective(date);
        decide(&given.book, &request.command, timestamp(NOON), policy)
            .map_err(|rejection| rejection.code)
            .map(drop)
    };
    let refused = Err(EffectiveAtOutOfWindow);
    assert_eq!(decided(LAST_WEEK, &policy(7, 0)), refused);
    assert_eq!(decided(LAST_WEEK, &policy(8, 0)), Ok(()));
    assert_eq!(decided(NEXT_WEEK, &policy(8, 0)), refused);
    assert_eq!(decided(NEXT_WEEK, &policy(0, 6)), refused);
    assert_eq!(decided(NEXT_WEEK, &policy(0, 7)), Ok(()));
    // None at all: but the instant of recording itself is no other date.
    assert_eq!(decided(NOON, &policy(0, 0)), Ok(()));
    assert_eq!(decided(LAST_WEEK, &policy(0, 0)), refused);
    let ever = policy(u32::MAX, u32::MAX);
    assert_eq!(decided("0001-01-01T00:00:00Z", &ever), Ok(()));
}

/// Money that came in yesterday by the books, but is recorded now, was not there to be spent yesterday; and money that
/// comes tomorrow by the books can be spent as soon as it is recorded.
#[test]
fn recorded_order_alone_decides_an_overdraft() {
    before()
        .when(withdraw("A", "70.01").effective(NEXT_WEEK))
        .then_code(InsufficientFunds);
    let after = before()
        .when(deposit("A", "50").effective(NEXT_WEEK))
        .then_accepted();
    // By the books A is at -10.00 until next week.
    after
        .when(withdraw("A", "110").effective(LAST_WEEK))
        .then_accepted();
}

#[test]
fn the_window_is_looked_at_behind_the_other_times_and_before_the_version() {
    let request = || {
        withdraw("A", "1")
            .effective("2020-01-01T00:00:00Z")
            .expecting_version(9)
    };
    before()
        .when(request().expiring_at(NOON))
        .then_code(Expired);
    before()
        .when(request().not_before("2026-01-31T12:00:00.000001Z"))
        .then_code(TooEarly);
    before().when(request()).then_code(EffectiveAtOutOfWindow);
    before()
        .when(request().effective(LAST_WEEK))
        .then_code(VersionConflict);
    // Even of an account that is not there.
    before()
        .when(deposit("GHOST", "1").effective("2020-01-01T00:00:00Z"))
        .then_code(EffectiveAtOutOfWindow);
}

/// The date says when the money counts, and not which command it is that is reversed.
#[test]
fn a_reversal_has_a_date_of_its_own() {
    let after = before()
        .when(deposit("B", "7").number(50).effective(LAST_WEEK))
        .then_accepted();
    let events = after.when(reverse("B", 50)).result.unwrap();
    assert_eq!(events[0].data.effective_at(), None);
}

#[test]
fn only_a_movement_of_money_has_a_business_date() {
    for event in &before().events {
        let mut written: Value = serde_json::from_slice(&json::encode_event(event)).unwrap();
        written["data"]["effective_at"] = json!(NOON);
        let read = json::decode_event(written.to_string().as_bytes());
        match event.data {
            EventData::MoneyDeposited(_) | EventData::MoneyWithdrawn(_) => {
                let read = read.unwrap();
                assert_eq!(read.data.effective_at(), Some(timestamp(NOON)));
                // It is not the event that has the hash.
                read.check_hash().unwrap_err();
            }
            _ => {
                let malformed = read.unwrap_err();
                assert_eq!(malformed.code, "invalid_event");
                let reason = "unknown field `effective_at`";
                assert!(malformed.message.contains(reason), "{malformed}");
            }
        }
    }
}

/// In bincode it stands behind the event, whatever the event is; so its type is looked at.
#[test]
fn the_bincode_of_an_event_has_a_business_date_only_when_its_type_has() {
    let after = before()
        .when(deposit("B", "7").effective(LAST_WEEK))
        .then_accepted();
    let dated = after.events.last().unwrap();
    let bytes = binary::encode_event(dated);
    assert_eq!(binary::decode_event(&bytes).unwrap(), *dated);
    let mut plain = dated.clone();
    if let EventData::MoneyDeposited(moved) = &mut plain.data {
        moved.effective_at = None;
    }
    let first = binary::encode_event(&plain);
    assert_eq!(first[0], binary::FORMAT_VERSIONS[0]);
    let tail = &bytes[first.len()..];
    let opened = binary::encode_event(&after.events[1]);
    let lying = [&[binary::FORMAT_VERSIONS[1]], &opened[1..], tail].concat();
    let malformed = binary::decode_event(&lying).unwrap_err();
    assert_eq!(malformed.code, "invalid_event");
    assert_eq!(malformed.message, "this type of event has no business date");
    for length in 1..bytes.len() {
        binary::decode_event(&bytes[..length]).unwrap_err();
    }
}
