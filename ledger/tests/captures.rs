//! `capture`: money that was held goes out, or to another account.

mod support;

use ledger::RejectionCode::{
    AccountFrozen, AccountNotFound, AmountExceedsHold, AmountOverflow, CurrencyMismatch,
    HoldClosed, HoldExpired, HoldNotFound, SameAccount,
};
use ledger::{EventData, Scope};
use support::{
    Given, account_id, capture, close, expire_hold, freeze, given, hold, open, release, timestamp,
    withdraw,
};

const LARGEST_USD: &str = "9999999999999999999999999.99";
const HOLD_1: &str = "00000000-0000-0000-0000-000000000001";
const ONE: &str = "2026-01-31T13:00:00.000000Z";

/// 30.00 of A's 100.00 are held until one o'clock.
fn held() -> Given {
    given([
        open("A", "100"),
        open("B", "5"),
        hold("A", 1, "30").until(ONE),
    ])
}

#[test]
fn all_of_a_hold_is_captured_unless_the_command_says_how_much() {
    for request in [
        capture("A", 1),
        capture("A", 1).at_last(),
        capture("A", 1).only("30"),
        capture("A", 1).only("30").at_last(),
    ] {
        held().when(request).then_events([
            "A v3 MoneyWithdrawn 30.00 USD, balance 70.00, hold 1: 30.00 captured, 0.00 remain",
        ]);
    }
}

#[test]
fn a_hold_can_be_captured_bit_by_bit() {
    held()
        .when(capture("A", 1).only("0.01"))
        .then_events([
            "A v3 MoneyWithdrawn 0.01 USD, balance 99.99, held 29.99, hold 1: 0.01 captured, 29.99 remain",
        ])
        .when(capture("A", 1).only("20"))
        .then_events([
            "A v4 MoneyWithdrawn 20.00 USD, balance 79.99, held 9.99, hold 1: 20.01 captured, 9.99 remain",
        ])
        .when(release("A", 1).only("4.99"))
        .then_events([
            "A v5 HoldReleased 4.99 USD, balance 79.99, held 5.00, hold 1: 20.01 captured, 5.00 remain",
        ])
        .when(capture("A", 1).only("5.01"))
        .then_rejected(
            AmountExceedsHold,
            &format!("hold {HOLD_1} on account A still holds 5.00 USD, and 5.01 USD is required"),
            [
                ("account_id", "A"),
                ("hold_id", HOLD_1),
                ("remaining", "5.00"),
                ("required", "5.01"),
                ("currency", "USD"),
            ],
        )
        .when(capture("A", 1))
        .then_events([
            "A v6 MoneyWithdrawn 5.00 USD, balance 74.99, hold 1: 25.01 captured, 0.00 remain",
        ])
        .when(capture("A", 1))
        .then_rejected(
            HoldClosed,
            &format!(
                "nothing is held any more by hold {HOLD_1} on account A: of 30.00 USD, 25.01 USD was captured, and the rest is available again"
            ),
            [
                ("account_id", "A"),
                ("hold_id", HOLD_1),
                ("amount", "30.00"),
                ("captured", "25.01"),
                ("currency", "USD"),
            ],
        );
}

#[test]
fn the_last_capture_releases_the_rest() {
    let after = held()
        .when(
            capture("A", 1)
                .only("12.50")
                .at_last()
                .because("checkout")
                .noting("room", "7"),
        )
        .then_events([
            "A v3 MoneyWithdrawn 12.50 USD, balance 87.50, held 17.50, hold 1: 12.50 captured, 17.50 remain",
            "A v4 HoldReleased 17.50 USD, balance 87.50, hold 1: 12.50 captured, 0.00 remain",
        ]);
    let [taken, released] = &after.events[3..] else {
        panic!("{:?}", after.events);
    };
    assert_eq!(taken.recorded_at, released.recorded_at);
    assert_eq!(released.prev_hash, taken.hash);
    assert_eq!(after.hold("A", 1).amount.to_string(), "30.00");
    after.clone().when(capture("A", 1)).then_code(HoldClosed);
    after
        .when(withdraw("A", "87.50"))
        .then_events(["A v5 MoneyWithdrawn 87.50 USD, balance 0.00"]);
}

#[test]
fn what_is_captured_can_go_to_another_account() {
    let after = held()
        .when(capture("A", 1).only("12.50").at_last().to("B"))
        .then_events([
            "A v3 MoneyWithdrawn 12.50 USD, balance 87.50, held 17.50, hold 1: 12.50 captured, 17.50 remain",
            "B v2 MoneyDeposited 12.50 USD, balance 17.50",
            "A v4 HoldReleased 17.50 USD, balance 87.50, hold 1: 12.50 captured, 0.00 remain",
        ]);
    let [debit, credit, released] = &after.events[3..] else {
        panic!("{:?}", after.events);
    };
    let (from, to) = (debit.data.transfer(), credit.data.transfer());
    let (from, to) = (from.expect("a transfer"), to.expect("a transfer"));
    assert_eq!(from.transfer_id, to.transfer_id);
    assert_eq!(from.counterparty_account_id, account_id("B"));
    assert_eq!(to.counterparty_account_id, account_id("A"));
    assert_eq!(released.prev_hash, debit.hash);
    assert_eq!(released.recorded_at, debit.recorded_at);
    let EventData::MoneyDeposited(deposited) = &credit.data else {
        panic!("{credit:?}");
    };
    assert_eq!(deposited.hold, None);
    held().when(capture("A", 1).to("B")).then_events([
        "A v3 MoneyWithdrawn 30.00 USD, balance 70.00, hold 1: 30.00 captured, 0.00 remain",
        "B v2 MoneyDeposited 30.00 USD, balance 35.00",
    ]);
}

#[test]
fn a_capture_needs_another_account_that_takes_it() {
    held().when(capture("A", 1).to("A")).then_rejected(
        SameAccount,
        "a transfer needs two accounts, and both are A",
        [("account_id", "A")],
    );
    held().when(capture("A", 1).to("GHOST")).then_rejected(
        AccountNotFound,
        "there is no account GHOST; open it with create_account first",
        [("account_id", "GHOST")],
    );
    let frozen = held().when(freeze("B", Scope::Credits)).then_accepted();
    frozen.when(capture("A", 1).to("B")).then_rejected(
        AccountFrozen,
        "account B is frozen (credits_frozen), which forbids credits",
        [
            ("account_id", "B"),
            ("status", "credits_frozen"),
            ("forbidden", "credits"),
        ],
    );
    given([
        open("A", "10"),
        open("E", "0").in_currency("EUR"),
        hold("A", 1, "5"),
    ])
    .when(capture("A", 1).to("E"))
    .then_rejected(
        CurrencyMismatch,
        "account E is kept in EUR, not in USD",
        [
            ("account_id", "E"),
            ("account_currency", "EUR"),
            ("currency", "USD"),
        ],
    );
}

#[test]
fn a_credit_that_the_other_account_cannot_hold_captures_nothing() {
    let after = given([open("A", "1"), open("B", LARGEST_USD), hold("A", 1, "1")])
        .when(capture("A", 1).to("B"))
        .then_rejected(
            AmountOverflow,
            "the balance of account B and its overdraft limit would add up to more than 27 digits, decimals included",
            [("account_id", "B")],
        );
    assert!(after.hold("A", 1).is_open());
    after.when(capture("A", 1)).then_accepted();
}

#[test]
fn of_several_reasons_the_first_is_given() {
    let before = || {
        given([
            open("A", "10"),
            open("E", "0").in_currency("EUR"),
            open("Z", "0"),
            close("Z"),
            hold("A", 1, "5"),
        ])
    };
    before()
        .when(capture("A", 9).to("A"))
        .then_code(SameAccount);
    before()
        .when(capture("A", 9).to("GHOST"))
        .then_code(AccountNotFound);
    before()
        .when(capture("Z", 9).to("GHOST"))
        .then_code(AccountNotFound);
    before()
        .when(capture("A", 9).to("E"))
        .then_code(HoldNotFound);
    before()
        .when(capture("A", 1).only("-1").to("E"))
        .then_code(CurrencyMismatch);
    before()
        .when(freeze("A", Scope::Debits))
        .then_accepted()
        .when(capture("A", 9))
        .then_code(AccountFrozen);
}

/// A hold lasts until the instant before it ends.
#[test]
fn a_hold_that_is_over_is_not_captured() {
    held()
        .when(capture("A", 1).at("2026-01-31T12:59:59.999999Z"))
        .then_accepted();
    for over in [ONE, "2026-01-31T13:00:00.000001Z", "2027-01-01T00:00:00Z"] {
        for request in [
            capture("A", 1),
            capture("A", 1).only("1").at_last(),
            capture("A", 1).to("B"),
        ] {
            held().when(request.at(over)).then_rejected(
                HoldExpired,
                &format!("the time of hold {HOLD_1} on account A was over at {ONE}"),
                [
                    ("account_id", "A"),
                    ("hold_id", HOLD_1),
                    ("hold_expires_at", ONE),
                ],
            );
        }
    }
}

/// What counts is when it would be recorded: after the newest event of either account.
#[test]
fn a_clock_that_is_behind_does_not_capture_what_is_over() {
    let last_touched = |account: &'static str| {
        held()
            .when(withdraw(account, "1").at("2026-01-31T12:59:59.999999Z"))
            .then_accepted()
    };
    let early = "2026-01-31T12:00:00Z";
    last_touched("A")
        .when(capture("A", 1).at(early))
        .then_code(HoldExpired);
    last_touched("B")
        .when(capture("A", 1).to("B").at(early))
        .then_code(HoldExpired);
    let after = last_touched("B")
        .when(capture("A", 1).at(early))
        .then_accepted();
    let recorded_at = after.events.last().expect("a capture").recorded_at;
    assert_eq!(recorded_at, timestamp(early));
}

/// Whichever of the two is decided first, the other is refused and nothing is taken twice.
#[test]
fn a_capture_and_the_expiry_do_not_both_happen() {
    held()
        .when(capture("A", 1).at("2026-01-31T12:59:59.999999Z"))
        .then_accepted()
        .when(expire_hold("A", 1).at(ONE))
        .then_code(HoldClosed);
    held()
        .when(expire_hold("A", 1).at(ONE))
        .then_accepted()
        .when(capture("A", 1).at(ONE))
        .then_code(HoldClosed);
    // After a capture of a part, the rest expires.
    held()
        .when(capture("A", 1).only("10").at("2026-01-31T12:59:59.999999Z"))
        .then_accepted()
        .when(expire_hold("A", 1).at(ONE))
        .then_events([
            "A v4 HoldExpired 20.00 USD, balance 90.00, hold 1: 10.00 captured, 0.00 remain",
        ]);
}

#[test]
fn several_holds_are_captured_each_by_itself() {
    given([
        open("A", "100"),
        hold("A", 1, "60"),
        hold("A", 2, "40"),
        capture("A", 2).only("1"),
    ])
    .when(capture("A", 1).only("60.01"))
    .then_code(AmountExceedsHold);
    given([open("A", "100"), hold("A", 1, "60"), hold("A", 2, "40")])
        .when(capture("A", 1))
        .then_events([
            "A v4 MoneyWithdrawn 60.00 USD, balance 40.00, held 40.00, hold 1: 60.00 captured, 0.00 remain",
        ])
        .when(capture("A", 2))
        .then_events([
            "A v5 MoneyWithdrawn 40.00 USD, balance 0.00, hold 2: 40.00 captured, 0.00 remain",
        ]);
}
