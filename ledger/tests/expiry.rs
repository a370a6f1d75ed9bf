//! `expire_hold`: the ledger ends what is over by the clock.

mod support;

use ledger::RejectionCode::{HoldClosed, HoldNotDue};
use ledger::{Scope, Timestamp};
use support::{
    Given, NOON, capture, deposit, expire_hold, freeze, given, hold, open, release, timestamp,
};

const HOLD_1: &str = "00000000-0000-0000-0000-000000000001";
const ONE: &str = "2026-01-31T13:00:00.000000Z";

fn held() -> Given {
    given([open("A", "100"), hold("A", 1, "30").until(ONE)])
}

#[test]
fn a_hold_expires_at_its_instant_and_ever_after() {
    for at in [ONE, "2026-01-31T13:00:00.000001Z", "2030-01-01T00:00:00Z"] {
        let after = held().when(expire_hold("A", 1).at(at)).then_events([
            "A v3 HoldExpired 30.00 USD, balance 100.00, hold 1: 0.00 captured, 0.00 remain",
        ]);
        assert!(!after.hold("A", 1).is_open());
        assert_eq!(
            after.account("A").available().unwrap().to_string(),
            "100.00"
        );
    }
}

#[test]
fn a_hold_does_not_expire_before() {
    for at in [NOON, "2026-01-31T12:59:59.999999Z"] {
        let shown = timestamp(at).to_string();
        held().when(expire_hold("A", 1).at(at)).then_rejected(
            HoldNotDue,
            &format!("hold {HOLD_1} on account A expires at {ONE}, and it is {shown}"),
            [
                ("account_id", "A"),
                ("hold_id", HOLD_1),
                ("hold_expires_at", ONE),
                ("recorded_at", &shown),
            ],
        );
    }
}

#[test]
fn a_hold_without_an_end_never_expires() {
    let last = Timestamp::MAX.to_string();
    given([open("A", "100"), hold("A", 1, "30")])
        .when(expire_hold("A", 1).at(&last))
        .then_rejected(
            HoldNotDue,
            &format!("hold {HOLD_1} on account A never expires; release it instead"),
            [
                ("account_id", "A"),
                ("hold_id", HOLD_1),
                ("hold_expires_at", "never"),
                ("recorded_at", &last),
            ],
        );
}

/// The account's own history is time, too.
#[test]
fn a_clock_that_is_behind_expires_what_is_over_by_the_accounts_history() {
    let touched = |at| held().when(deposit("A", "1").at(at)).then_accepted();
    touched("2026-01-31T12:59:59.999999Z")
        .when(expire_hold("A", 1).at(NOON))
        .then_accepted();
    touched("2026-01-31T12:59:59.999998Z")
        .when(expire_hold("A", 1).at(NOON))
        .then_code(HoldNotDue);
}

#[test]
fn what_is_held_stays_held_until_the_expiry_is_recorded() {
    let late = "2026-02-01T00:00:00Z";
    let after = held().when(deposit("A", "1").at(late)).then_accepted();
    assert_eq!(after.account("A").held.to_string(), "30.00");
    after
        .when(hold("A", 2, "71.01").at(late))
        .then_code(ledger::RejectionCode::InsufficientFunds);
}

#[test]
fn only_what_remains_expires_and_only_once() {
    given([
        open("A", "100"),
        hold("A", 1, "30").until(ONE),
        capture("A", 1).only("12"),
        release("A", 1).only("8"),
    ])
    .when(expire_hold("A", 1).at(ONE))
    .then_events([
        "A v5 HoldExpired 10.00 USD, balance 88.00, hold 1: 12.00 captured, 0.00 remain",
    ])
    .when(expire_hold("A", 1).at("2026-01-31T14:00:00Z"))
    .then_rejected(
        HoldClosed,
        &format!(
            "nothing is held any more by hold {HOLD_1} on account A: of 30.00 USD, 12.00 USD was captured, and the rest is available again"
        ),
        [
            ("account_id", "A"),
            ("hold_id", HOLD_1),
            ("amount", "30.00"),
            ("captured", "12.00"),
            ("currency", "USD"),
        ],
    );
}

#[test]
fn a_frozen_accounts_holds_expire_as_well() {
    for scope in Scope::ALL {
        held()
            .when(freeze("A", scope))
            .then_accepted()
            .when(expire_hold("A", 1).at(ONE))
            .then_accepted();
    }
}
