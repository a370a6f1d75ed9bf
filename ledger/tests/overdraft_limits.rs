//! `set_overdraft_limit`.

mod support;

use ledger::RejectionCode::{
    AccountClosed, AccountNotFound, AmountOverflow, InsufficientFunds, InvalidAmount, NoChange,
    OverdraftInUse,
};
use ledger::Version;
use support::{
    Given, capture, close, deposit, given, hold, open, release, set_overdraft_limit, withdraw,
};

const LARGEST_USD: &str = "9999999999999999999999999.99";

/// 100.00 may be overdrawn, 60.00 of it is.
fn overdrawn() -> Given {
    given([
        open("A", "0").with_overdraft_limit("100"),
        withdraw("A", "60"),
    ])
}

#[test]
fn a_limit_can_be_raised_and_lowered() {
    let after = overdrawn()
        .when(set_overdraft_limit("A", "100.01").because("asked for"))
        .then_events(["A v3 OverdraftLimitSet 100.01 USD, balance -60.00"]);
    assert_eq!(after.account("A").overdraft_limit.to_string(), "100.01");
    assert_eq!(after.account("A").profile_version, Version::new(3));
    assert_eq!(after.account("A").profile().overdraft_limit, "100.01");
    after
        .clone()
        .when(withdraw("A", "40.02"))
        .then_code(InsufficientFunds);
    after
        .when(withdraw("A", "40.01"))
        .then_events(["A v4 MoneyWithdrawn 40.01 USD, balance -100.01"]);
}

#[test]
fn a_limit_can_be_lowered_to_what_is_used_and_not_a_cent_more() {
    overdrawn()
        .when(set_overdraft_limit("A", "59.99"))
        .then_rejected(
            OverdraftInUse,
            "account A has a balance of -60.00 USD with 0.00 USD held, which an overdraft limit of 59.99 USD does not cover",
            [
                ("account_id", "A"),
                ("balance", "-60.00"),
                ("held", "0.00"),
                ("overdraft_limit", "59.99"),
                ("currency", "USD"),
            ],
        )
        .when(set_overdraft_limit("A", "60"))
        .then_events(["A v3 OverdraftLimitSet 60.00 USD, balance -60.00"])
        .when(withdraw("A", "0.01"))
        .then_code(InsufficientFunds);
}

#[test]
fn what_is_held_uses_the_limit_as_well() {
    let held = || {
        given([
            open("A", "30").with_overdraft_limit("100"),
            hold("A", 1, "80"),
        ])
    };
    held().when(set_overdraft_limit("A", "49.99")).then_rejected(
        OverdraftInUse,
        "account A has a balance of 30.00 USD with 80.00 USD held, which an overdraft limit of 49.99 USD does not cover",
        [
            ("account_id", "A"),
            ("balance", "30.00"),
            ("held", "80.00"),
            ("overdraft_limit", "49.99"),
            ("currency", "USD"),
        ],
    );
    let after = held()
        .when(set_overdraft_limit("A", "50"))
        .then_events(["A v3 OverdraftLimitSet 50.00 USD, balance 30.00, held 80.00"]);
    // All of the hold can still be captured, and then the limit is used to the cent.
    after
        .clone()
        .when(capture("A", 1))
        .then_events([
            "A v4 MoneyWithdrawn 80.00 USD, balance -50.00, hold 1: 80.00 captured, 0.00 remain",
        ])
        .when(set_overdraft_limit("A", "49.99"))
        .then_code(OverdraftInUse);
    after
        .when(release("A", 1))
        .then_accepted()
        .when(set_overdraft_limit("A", "0"))
        .then_events(["A v5 OverdraftLimitSet 0.00 USD, balance 30.00"]);
}

#[test]
fn the_limit_that_it_has_is_no_change_however_it_is_written() {
    for same in ["100", "100.0", "100.00"] {
        overdrawn()
            .when(set_overdraft_limit("A", same))
            .then_rejected(
                NoChange,
                "account A is at an overdraft limit of 100.00 USD already",
                [
                    ("account_id", "A"),
                    ("state", "at an overdraft limit of 100.00 USD"),
                ],
            );
    }
    given([open("A", "0")])
        .when(set_overdraft_limit("A", "-0.0"))
        .then_code(NoChange);
}

#[test]
fn a_limit_is_an_amount_of_the_accounts_currency_and_zero_or_more() {
    overdrawn()
        .when(set_overdraft_limit("A", "-0.01"))
        .then_rejected(
            InvalidAmount,
            "overdraft_limit must be zero or more, and it is -0.01",
            [("field", "overdraft_limit"), ("amount", "-0.01")],
        );
    overdrawn()
        .when(set_overdraft_limit("A", "100.000"))
        .then_rejected(
            InvalidAmount,
            "overdraft_limit: USD has 2 decimals, and 100.000 has 3; round it before sending",
            [
                ("field", "overdraft_limit"),
                ("amount", "100.000"),
                ("currency", "USD"),
            ],
        );
    overdrawn()
        .when(set_overdraft_limit("A", &"9".repeat(26)))
        .then_rejected(
            AmountOverflow,
            "overdraft_limit: more than 27 digits, the currency's decimals included; the ledger keeps no more",
            [("field", "overdraft_limit")],
        );
}

/// What is available must stay a number; see `deposits_and_withdrawals`.
#[test]
fn a_limit_leaves_room_for_the_balance() {
    given([open("A", "0.01")])
        .when(set_overdraft_limit("A", LARGEST_USD))
        .then_rejected(
            AmountOverflow,
            "the balance of account A and its overdraft limit would add up to more than 27 digits, decimals included",
            [("account_id", "A")],
        )
        .when(withdraw("A", "0.01"))
        .then_accepted()
        .when(set_overdraft_limit("A", LARGEST_USD))
        .then_accepted()
        .when(deposit("A", "0.01"))
        .then_code(AmountOverflow);
}

/// The largest figures that there can be: all overdrawn, or all held.
#[test]
fn the_largest_limit_can_be_used_to_the_last_unit() {
    let limited = || given([open("A", "0").with_overdraft_limit(LARGEST_USD)]);
    limited()
        .when(withdraw("A", LARGEST_USD))
        .then_accepted()
        .when(set_overdraft_limit("A", "0"))
        .then_code(OverdraftInUse);
    let held = limited().when(hold("A", 1, LARGEST_USD)).then_accepted();
    held.clone()
        .when(set_overdraft_limit("A", "0"))
        .then_code(OverdraftInUse);
    held.clone()
        .when(hold("A", 2, "0.01"))
        .then_code(InsufficientFunds);
    held.clone()
        .when(deposit("A", "0.01"))
        .then_code(AmountOverflow);
    held.when(capture("A", 1))
        .then_events([&format!(
            "A v3 MoneyWithdrawn {LARGEST_USD} USD, balance -{LARGEST_USD}, hold 1: {LARGEST_USD} captured, 0.00 remain"
        )])
        .when(set_overdraft_limit("A", "9999999999999999999999999.98"))
        .then_code(OverdraftInUse);
}

#[test]
fn only_an_account_that_is_there_and_open_has_a_limit() {
    overdrawn()
        .when(set_overdraft_limit("GHOST", "1"))
        .then_rejected(
            AccountNotFound,
            "there is no account GHOST; open it with create_account first",
            [("account_id", "GHOST")],
        );
    given([open("A", "0"), close("A")])
        .when(set_overdraft_limit("A", "1"))
        .then_code(AccountClosed);
}
