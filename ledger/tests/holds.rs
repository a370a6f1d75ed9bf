//! `hold` and `release`: money that is reserved, and given back.

mod support;

use ledger::RejectionCode::{
    AccountClosed, AccountNotFound, AmountExceedsHold, AmountOverflow, CurrencyMismatch,
    HoldClosed, HoldExists, HoldExpired, HoldNotFound, InsufficientFunds, InvalidAmount,
};
use ledger::{EventData, Version};
use support::{
    Given, NOON, capture, close, deposit, expire_hold, given, hold, hold_id, open, release,
    timestamp, withdraw,
};

const LARGEST_USD: &str = "9999999999999999999999999.99";
const HOLD_1: &str = "00000000-0000-0000-0000-000000000001";
const AFTER_NOON: &str = "2026-01-31T12:00:00.000001Z";

/// 30.00 of A's 100.00 are held.
fn held() -> Given {
    given([open("A", "100"), open("B", "100"), hold("A", 1, "30")])
}

#[test]
fn a_hold_stays_in_the_balance_and_leaves_what_is_available() {
    let after = given([open("A", "100")])
        .when(hold("A", 1, "30").in_currency("USD"))
        .then_events([
            "A v2 HoldPlaced 30.00 USD, balance 100.00, held 30.00, hold 1: 0.00 captured, 30.00 remain",
        ]);
    let account = after.account("A");
    assert_eq!(account.available().unwrap().to_string(), "70.00");
    assert_eq!(account.profile_version, Version::FIRST);
    after.clone().when(withdraw("A", "70.01")).then_rejected(
        InsufficientFunds,
        "account A has 70.00 USD available, and 70.01 USD is required; 30.00 USD is held",
        [
            ("account_id", "A"),
            ("available", "70.00"),
            ("held", "30.00"),
            ("required", "70.01"),
            ("currency", "USD"),
        ],
    );
    after
        .when(withdraw("A", "70"))
        .then_events(["A v3 MoneyWithdrawn 70.00 USD, balance 30.00, held 30.00"])
        .when(withdraw("A", "0.01"))
        .then_code(InsufficientFunds);
}

#[test]
fn a_hold_says_all_there_is_to_know_about_it() {
    let after = given([open("A", "100")])
        .when(
            hold("A", 1, "30")
                .until(AFTER_NOON)
                .because("hotel")
                .by("terminal-9")
                .noting("room", "7"),
        )
        .then_accepted();
    let EventData::HoldPlaced(changed) = &after.events[1].data else {
        panic!("{:?}", after.events[1]);
    };
    assert_eq!(&changed.hold, after.hold("A", 1));
    assert_eq!(changed.hold.hold_id, hold_id(1));
    assert_eq!(changed.hold.amount.to_string(), "30.00");
    assert_eq!(changed.hold.expires_at, Some(timestamp(AFTER_NOON)));
    assert!(changed.hold.is_open());
    assert_eq!(changed.metadata["room"], "7");
}

#[test]
fn all_that_is_available_can_be_held_and_not_a_cent_more() {
    let before = || given([open("A", "100").with_overdraft_limit("50")]);
    before().when(hold("A", 1, "150.01")).then_rejected(
        InsufficientFunds,
        "account A has 150.00 USD available, and 150.01 USD is required",
        [
            ("account_id", "A"),
            ("available", "150.00"),
            ("required", "150.01"),
            ("currency", "USD"),
        ],
    );
    let after = before().when(hold("A", 1, "150")).then_events([
        "A v2 HoldPlaced 150.00 USD, balance 100.00, held 150.00, hold 1: 0.00 captured, 150.00 remain",
    ]);
    for request in [withdraw("A", "0.01"), hold("A", 2, "0.01")] {
        after.clone().when(request).then_code(InsufficientFunds);
    }
    after
        .clone()
        .when(deposit("A", "0.01"))
        .then_accepted()
        .when(hold("A", 2, "0.01"))
        .then_accepted();
    // And all of it can be captured, down to the overdraft limit.
    after.when(capture("A", 1)).then_events([
        "A v3 MoneyWithdrawn 150.00 USD, balance -50.00, hold 1: 150.00 captured, 0.00 remain",
    ]);
}

#[test]
fn holds_add_up() {
    held()
        .when(hold("A", 2, "70"))
        .then_events([
            "A v3 HoldPlaced 70.00 USD, balance 100.00, held 100.00, hold 2: 0.00 captured, 70.00 remain",
        ])
        .when(release("A", 1))
        .then_events([
            "A v4 HoldReleased 30.00 USD, balance 100.00, held 70.00, hold 1: 0.00 captured, 0.00 remain",
        ])
        .when(capture("A", 2))
        .then_events([
            "A v5 MoneyWithdrawn 70.00 USD, balance 30.00, hold 2: 70.00 captured, 0.00 remain",
        ]);
}

#[test]
fn the_largest_amount_can_be_held() {
    let after = given([open("A", LARGEST_USD), hold("A", 1, LARGEST_USD)]);
    after.clone().when(hold("A", 2, "0.01")).then_rejected(
        InsufficientFunds,
        &format!(
            "account A has 0.00 USD available, and 0.01 USD is required; {LARGEST_USD} USD is held"
        ),
        [
            ("account_id", "A"),
            ("available", "0.00"),
            ("held", LARGEST_USD),
            ("required", "0.01"),
            ("currency", "USD"),
        ],
    );
    after
        .clone()
        .when(deposit("A", "0.01"))
        .then_code(AmountOverflow);
    after
        .when(release("A", 1))
        .then_accepted()
        .when(withdraw("A", LARGEST_USD))
        .then_accepted();
}

#[test]
fn a_hold_id_is_used_once_within_an_account() {
    let refused = |given: Given| {
        given.when(hold("A", 1, "1")).then_rejected(
            HoldExists,
            &format!("account A has had a hold {HOLD_1} already; choose another id"),
            [("account_id", "A"), ("hold_id", HOLD_1)],
        );
    };
    refused(held());
    for ending in [release("A", 1), capture("A", 1)] {
        refused(held().when(ending).then_accepted());
    }
    let expired = given([
        open("A", "100"),
        hold("A", 1, "1").until("2026-01-31T09:00:00Z"),
        expire_hold("A", 1).at("2026-01-31T09:00:00Z"),
    ]);
    refused(expired);
    // Another account's holds are others.
    held().when(hold("B", 1, "30")).then_events([
        "B v2 HoldPlaced 30.00 USD, balance 100.00, held 30.00, hold 1: 0.00 captured, 30.00 remain",
    ]);
}

#[test]
fn a_hold_ends_in_the_future_or_does_not_begin() {
    for over in ["2026-01-31T11:59:59.999999Z", NOON] {
        let until = timestamp(over).to_string();
        given([open("A", "100")])
            .when(hold("A", 1, "30").until(over))
            .then_rejected(
                HoldExpired,
                &format!("the time of hold {HOLD_1} on account A was over at {until}"),
                [
                    ("account_id", "A"),
                    ("hold_id", HOLD_1),
                    ("hold_expires_at", &until),
                ],
            );
    }
    given([open("A", "100")])
        .when(hold("A", 1, "30").until(AFTER_NOON))
        .then_accepted();
}

/// What counts is when it would be recorded, not what the clock shows.
#[test]
fn a_clock_that_is_behind_does_not_make_a_hold_last_longer() {
    let before = || given([open("A", "100").at(NOON)]);
    before()
        .when(
            hold("A", 1, "30")
                .until(AFTER_NOON)
                .at("2026-01-31T11:00:00Z"),
        )
        .then_code(HoldExpired);
    before()
        .when(
            hold("A", 1, "30")
                .until("2026-01-31T12:00:00.000002Z")
                .at("2026-01-31T11:00:00Z"),
        )
        .then_accepted();
}

#[test]
fn the_amount_must_be_one() {
    for (amount, message) in [
        ("0", "amount must be more than zero, and it is 0"),
        ("-0.01", "amount must be more than zero, and it is -0.01"),
    ] {
        for request in [
            hold("A", 2, amount),
            release("A", 1).only(amount),
            capture("A", 1).only(amount),
        ] {
            held().when(request).then_rejected(
                InvalidAmount,
                message,
                [("field", "amount"), ("amount", amount)],
            );
        }
    }
    for request in [
        hold("A", 2, "1.000"),
        release("A", 1).only("1.000"),
        capture("A", 1).only("1.000"),
    ] {
        held().when(request).then_rejected(
            InvalidAmount,
            "amount: USD has 2 decimals, and 1.000 has 3; round it before sending",
            [
                ("field", "amount"),
                ("amount", "1.000"),
                ("currency", "USD"),
            ],
        );
    }
    let many = "9".repeat(26);
    for request in [
        hold("A", 2, &many),
        release("A", 1).only(&many),
        capture("A", 1).only(&many),
    ] {
        held().when(request).then_rejected(
            AmountOverflow,
            "amount: more than 27 digits, the currency's decimals included; the ledger keeps no more",
            [("field", "amount")],
        );
    }
}

#[test]
fn the_currency_that_the_command_names_must_be_the_accounts() {
    held()
        .when(hold("A", 2, "1").in_currency("EUR"))
        .then_rejected(
            CurrencyMismatch,
            "account A is kept in USD, not in EUR",
            [
                ("account_id", "A"),
                ("account_currency", "USD"),
                ("currency", "EUR"),
            ],
        );
}

#[test]
fn of_several_reasons_the_first_is_given() {
    let wrong = |number| hold("A", number, "-1").in_currency("EUR").until(NOON);
    held().when(wrong(1)).then_code(HoldExists);
    held().when(wrong(2)).then_code(HoldExpired);
    held()
        .when(hold("A", 2, "-1").in_currency("EUR"))
        .then_code(CurrencyMismatch);
    held()
        .when(hold("A", 2, "900.000"))
        .then_code(InvalidAmount);
}

#[test]
fn a_hold_can_be_released_bit_by_bit() {
    let after = held()
        .when(release("A", 1).only("10").because("less rent"))
        .then_events([
            "A v3 HoldReleased 10.00 USD, balance 100.00, held 20.00, hold 1: 0.00 captured, 20.00 remain",
        ])
        .when(release("A", 1).only("20.01"))
        .then_rejected(
            AmountExceedsHold,
            &format!("hold {HOLD_1} on account A still holds 20.00 USD, and 20.01 USD is required"),
            [
                ("account_id", "A"),
                ("hold_id", HOLD_1),
                ("remaining", "20.00"),
                ("required", "20.01"),
                ("currency", "USD"),
            ],
        )
        .when(release("A", 1).only("20.0"))
        .then_events([
            "A v4 HoldReleased 20.00 USD, balance 100.00, hold 1: 0.00 captured, 0.00 remain",
        ]);
    assert!(!after.hold("A", 1).is_open());
    let available = after.account("A").available().unwrap();
    assert_eq!(available.to_string(), "100.00");
}

#[test]
fn what_is_not_held_any_more_is_not_released() {
    held()
        .when(release("A", 1))
        .then_accepted()
        .when(release("A", 1))
        .then_rejected(
            HoldClosed,
            &format!(
                "nothing is held any more by hold {HOLD_1} on account A: of 30.00 USD, 0.00 USD was captured, and the rest is available again"
            ),
            [
                ("account_id", "A"),
                ("hold_id", HOLD_1),
                ("amount", "30.00"),
                ("captured", "0.00"),
                ("currency", "USD"),
            ],
        );
}

/// A release ends a hold at any time, also one that is over and not yet expired.
#[test]
fn a_hold_that_is_due_can_still_be_released() {
    given([open("A", "100"), hold("A", 1, "30").until(AFTER_NOON)])
        .when(release("A", 1).at("2026-02-01T00:00:00Z"))
        .then_accepted();
}

#[test]
fn a_hold_that_never_was_is_not_found() {
    for request in [release("A", 2), capture("A", 2), expire_hold("A", 2)] {
        let unknown = "00000000-0000-0000-0000-000000000002";
        held().when(request).then_rejected(
            HoldNotFound,
            &format!("account A has no hold {unknown}"),
            [("account_id", "A"), ("hold_id", unknown)],
        );
    }
    // It is another account's.
    held().when(release("B", 1)).then_code(HoldNotFound);
}

#[test]
fn only_an_account_that_is_there_and_open_has_holds() {
    for request in [
        hold("GHOST", 1, "1"),
        release("GHOST", 1),
        capture("GHOST", 1),
        expire_hold("GHOST", 1),
    ] {
        held().when(request).then_rejected(
            AccountNotFound,
            "there is no account GHOST; open it with create_account first",
            [("account_id", "GHOST")],
        );
    }
    given([open("A", "0"), close("A")])
        .when(hold("A", 1, "1"))
        .then_code(AccountClosed);
}
