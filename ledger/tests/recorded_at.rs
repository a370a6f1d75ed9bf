//! `recorded_at`, the invariant `monotonic_time`: it rises within an account even when the clock does not.

mod support;

use ledger::Timestamp;
use support::{
    Given, Request, capture, deposit, given, hold, open, reverse, sweep, timestamp, transfer,
    withdraw,
};

const EIGHT: &str = "2026-01-31T08:00:00.000000Z";
const NINE: &str = "2026-01-31T09:00:00.000000Z";
const TEN: &str = "2026-01-31T10:00:00.000000Z";
const ONE_MICROSECOND_PAST_TEN: &str = "2026-01-31T10:00:00.000001Z";

/// A was last touched at nine, B at ten.
fn before() -> Given {
    given([
        open("A", "100").at(EIGHT),
        open("B", "100").at(EIGHT),
        deposit("A", "1").at(NINE),
        deposit("B", "1").at(TEN),
    ])
}

#[track_caller]
fn recorded(before: Given, request: Request) -> Vec<String> {
    let known = before.events.len();
    let after = before.when(request).then_accepted();
    let new = &after.events[known..];
    new.iter()
        .map(|event| event.recorded_at.to_string())
        .collect()
}

#[test]
fn a_clock_that_is_ahead_is_taken_as_it_is() {
    let ahead = "2026-01-31T09:00:00.000001Z";
    assert_eq!(recorded(before(), deposit("A", "1").at(ahead)), [ahead]);
    assert_eq!(recorded(before(), withdraw("A", "1").at(TEN)), [TEN]);
}

#[test]
fn a_clock_that_stands_still_is_pushed_by_a_microsecond() {
    let next = "2026-01-31T09:00:00.000001Z";
    assert_eq!(recorded(before(), deposit("A", "1").at(NINE)), [next]);
    assert_eq!(recorded(before(), withdraw("A", "1").at(NINE)), [next]);
}

#[test]
fn a_clock_that_is_behind_is_not_believed() {
    let next = "2026-01-31T09:00:00.000001Z";
    for behind in [EIGHT, "1969-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"] {
        assert_eq!(recorded(before(), deposit("A", "1").at(behind)), [next]);
    }
}

#[test]
fn a_transfer_takes_the_later_of_both_accounts() {
    let next = ONE_MICROSECOND_PAST_TEN;
    for clock in [EIGHT, NINE, TEN] {
        for (from, to) in [("A", "B"), ("B", "A")] {
            let times = recorded(before(), transfer(from, to, "1").at(clock));
            assert_eq!(times, [next, next], "{from} to {to} at {clock}");
        }
    }
    let later = "2026-01-31T10:00:00.000002Z";
    assert_eq!(
        recorded(before(), transfer("A", "B", "1").at(later)),
        [later, later]
    );
}

/// Whatever moves money between two accounts, with as many events as it takes.
#[test]
fn a_sweep_and_a_capture_take_the_later_of_both_accounts() {
    let next = ONE_MICROSECOND_PAST_TEN;
    let held = || before().when(hold("A", 1, "50").at(EIGHT)).then_accepted();
    for clock in [EIGHT, NINE, TEN] {
        let times = recorded(before(), sweep("A", "B").at(clock));
        assert_eq!(times, [next; 3], "a sweep at {clock}");
        let last_capture = capture("A", 1).only("20").at_last().to("B");
        let times = recorded(held(), last_capture.at(clock));
        assert_eq!(times, [next; 3], "a capture at {clock}");
    }
    // To outside, the other account's time does not matter.
    let times = recorded(held(), capture("A", 1).only("20").at_last().at(EIGHT));
    assert_eq!(times, ["2026-01-31T09:00:00.000002Z"; 2]);
    let times = recorded(before(), sweep("B", "A").at(EIGHT));
    assert_eq!(times, [next; 3]);
}

/// A reversal does not name the other account: the command that it reverses does.
#[test]
fn a_reversal_takes_the_later_of_both_accounts() {
    let transferred = |latest: &'static str| {
        given([
            open("A", "100").at(EIGHT),
            open("B", "100").at(EIGHT),
            transfer("A", "B", "10").at(NINE),
            deposit(latest, "1").at(TEN),
        ])
    };
    let next = ONE_MICROSECOND_PAST_TEN;
    for clock in [EIGHT, NINE, TEN] {
        for latest in ["A", "B"] {
            let times = recorded(transferred(latest), reverse("A", 3).at(clock));
            assert_eq!(times, [next, next], "{latest} at {clock}");
        }
    }
    let captured = given([
        open("A", "100").at(EIGHT),
        open("B", "100").at(EIGHT),
        hold("A", 1, "10").at(EIGHT),
        capture("A", 1).only("5").at_last().to("B").at(NINE),
        deposit("B", "1").at(TEN),
    ]);
    assert_eq!(recorded(captured, reverse("A", 4).at(EIGHT)), [next, next]);
    // Of a deposit there is no other account.
    let times = recorded(before(), reverse("A", 3).at(EIGHT));
    assert_eq!(times, ["2026-01-31T09:00:00.000001Z"]);
}

#[test]
fn another_accounts_time_does_not_matter() {
    let clock = "2026-01-31T09:30:00.000000Z";
    assert_eq!(recorded(before(), deposit("A", "1").at(clock)), [clock]);
}

#[test]
fn an_account_opens_when_the_clock_says() {
    assert_eq!(recorded(before(), open("C", "1").at(EIGHT)), [EIGHT]);
}

#[test]
fn a_burst_within_one_microsecond_stays_in_order() {
    let burst = (0..5).map(|_| deposit("A", "1").at(NINE));
    let after = given(std::iter::once(open("A", "1").at(NINE)).chain(burst));
    let times: Vec<i64> = after
        .events
        .iter()
        .map(|event| event.recorded_at.unix_microseconds())
        .collect();
    let first = timestamp(NINE).unix_microseconds();
    assert_eq!(times, (first..first + 6).collect::<Vec<_>>());
}

#[test]
fn the_end_of_time_stops_the_clock_but_not_the_ledger() {
    let last = Timestamp::MAX.to_string();
    let before = given([open("A", "1").at(&last)]);
    assert_eq!(recorded(before, deposit("A", "1").at(NINE)), [last]);
}

/// At the end of time every hold that has an end is over, and none can begin.
#[test]
fn the_end_of_time_ends_every_hold_that_has_an_end() {
    let last = Timestamp::MAX.to_string();
    let before = || {
        given([
            open("A", "100").at(NINE),
            hold("A", 1, "10").until(&last).at(NINE),
            hold("A", 2, "10").at(NINE),
            deposit("A", "1").at(&last),
        ])
    };
    before().when(reverse("A", 4).at(NINE)).then_events([
        "A v5 MoneyWithdrawn 1.00 USD, balance 100.00, held 20.00, 1.00 of command 4 moved back",
    ]);
    before()
        .when(capture("A", 1).at(NINE))
        .then_code(ledger::RejectionCode::HoldExpired);
    before()
        .when(hold("A", 3, "10").until(&last).at(NINE))
        .then_code(ledger::RejectionCode::HoldExpired);
    before()
        .when(deposit("A", "1").expiring_at(&last).at(NINE))
        .then_code(ledger::RejectionCode::Expired);
    let after = before()
        .when(support::expire_hold("A", 1).at(NINE))
        .then_accepted()
        .when(capture("A", 2).at(NINE))
        .then_accepted()
        .when(deposit("A", "1").not_before(&last).at(NINE))
        .then_accepted();
    assert_eq!(after.account("A").held.to_string(), "0.00");
}
