//! `deposit` and `withdraw`.

mod support;

use ledger::RejectionCode::{
    AccountNotFound, AmountOverflow, CurrencyMismatch, InsufficientFunds, InvalidAmount,
};
use support::{Request, deposit, given, open, withdraw};

const LARGEST_USD: &str = "9999999999999999999999999.99";

/// Both movements of one amount on one account.
fn both(account: &str, amount: &str) -> [Request; 2] {
    [deposit(account, amount), withdraw(account, amount)]
}

#[test]
fn a_deposit_adds() {
    given([open("A", "100.00")])
        .when(deposit("A", "30"))
        .then_events(["A v2 MoneyDeposited 30.00 USD, balance 130.00"])
        .when(deposit("A", "0.01").in_currency("USD"))
        .then_events(["A v3 MoneyDeposited 0.01 USD, balance 130.01"]);
}

#[test]
fn a_withdrawal_subtracts() {
    given([open("A", "100.00")])
        .when(withdraw("A", "30"))
        .then_events(["A v2 MoneyWithdrawn 30.00 USD, balance 70.00"])
        .when(withdraw("A", "0.01").in_currency("USD"))
        .then_events(["A v3 MoneyWithdrawn 0.01 USD, balance 69.99"]);
}

#[test]
fn a_movement_leaves_the_profile_alone() {
    let before = given([open("A", "100").with_overdraft_limit("5")]);
    let opened = before.account("A").clone();
    let after = before.when(deposit("A", "1")).then_accepted();
    assert_eq!(after.account("A").profile(), opened.profile());
    assert_eq!(after.account("A").profile_version, opened.profile_version);
}

#[test]
fn the_commands_words_go_into_the_event() {
    for movement in both("A", "1") {
        let after = given([open("A", "1")])
            .when(
                movement
                    .because("rent")
                    .by("teller-3")
                    .noting("invoice", "77"),
            )
            .then_accepted();
        let event = &after.events[1];
        assert_eq!(event.actor.as_deref(), Some("teller-3"));
        assert_eq!(event.data.description(), Some("rent"));
        assert_eq!(event.data.metadata()["invoice"], "77");
        assert_eq!(event.data.transfer(), None);
    }
}

#[test]
fn everything_can_be_withdrawn_and_not_a_cent_more() {
    given([open("A", "100.00")])
        .when(withdraw("A", "100.01"))
        .then_rejected(
            InsufficientFunds,
            "account A has 100.00 USD available, and 100.01 USD is required",
            [
                ("account_id", "A"),
                ("available", "100.00"),
                ("required", "100.01"),
                ("currency", "USD"),
            ],
        )
        .when(withdraw("A", "100"))
        .then_events(["A v2 MoneyWithdrawn 100.00 USD, balance 0.00"])
        .when(withdraw("A", "0.01"))
        .then_code(InsufficientFunds);
}

#[test]
fn the_overdraft_limit_holds_to_the_cent() {
    given([open("A", "100.00").with_overdraft_limit("50.00")])
        .when(withdraw("A", "150.01"))
        .then_rejected(
            InsufficientFunds,
            "account A has 150.00 USD available, and 150.01 USD is required",
            [
                ("account_id", "A"),
                ("available", "150.00"),
                ("required", "150.01"),
                ("currency", "USD"),
            ],
        )
        .when(withdraw("A", "150.00"))
        .then_events(["A v2 MoneyWithdrawn 150.00 USD, balance -50.00"])
        .when(withdraw("A", "0.01"))
        .then_rejected(
            InsufficientFunds,
            "account A has 0.00 USD available, and 0.01 USD is required",
            [
                ("account_id", "A"),
                ("available", "0.00"),
                ("required", "0.01"),
                ("currency", "USD"),
            ],
        )
        .when(deposit("A", "0.01"))
        .then_events(["A v3 MoneyDeposited 0.01 USD, balance -49.99"])
        .when(withdraw("A", "0.01"))
        .then_events(["A v4 MoneyWithdrawn 0.01 USD, balance -50.00"]);
}

#[test]
fn the_smallest_unit_is_the_currencys() {
    for (currency, unit) in [
        ("JPY", "1"),
        ("USD", "0.01"),
        ("BHD", "0.001"),
        ("CLF", "0.0001"),
    ] {
        given([open("A", unit).in_currency(currency)])
            .when(withdraw("A", unit))
            .then_accepted()
            .when(withdraw("A", unit))
            .then_code(InsufficientFunds);
    }
}

#[test]
fn an_account_that_was_never_opened_is_not_found() {
    for movement in both("GHOST", "1") {
        given([open("A", "1")]).when(movement).then_rejected(
            AccountNotFound,
            "there is no account GHOST; open it with create_account first",
            [("account_id", "GHOST")],
        );
    }
}

#[test]
fn another_currency_than_the_accounts_is_refused() {
    // ABC is no currency at all, and still it is the account that says so: its currency is known.
    for code in ["EUR", "JPY", "ABC"] {
        for movement in both("A", "1") {
            given([open("A", "100")])
                .when(movement.in_currency(code))
                .then_rejected(
                    CurrencyMismatch,
                    &format!("account A is kept in USD, not in {code}"),
                    [
                        ("account_id", "A"),
                        ("account_currency", "USD"),
                        ("currency", code),
                    ],
                );
        }
    }
}

#[test]
fn an_amount_must_be_more_than_zero() {
    for (amount, shown) in [
        ("0", "0"),
        ("0.00", "0.00"),
        ("-0.01", "-0.01"),
        ("-5", "-5"),
    ] {
        for movement in both("A", amount) {
            given([open("A", "100")]).when(movement).then_rejected(
                InvalidAmount,
                &format!("amount must be more than zero, and it is {shown}"),
                [("field", "amount"), ("amount", shown)],
            );
        }
    }
}

#[test]
fn decimals_that_the_currency_does_not_have_are_refused_even_when_they_are_zeros() {
    for (currency, decimals, amount, scale) in [
        ("USD", "2", "0.001", "3"),
        ("USD", "2", "1.000", "3"),
        ("JPY", "0", "1.0", "1"),
        ("BHD", "3", "1.0001", "4"),
    ] {
        for movement in both("A", amount) {
            given([open("A", "100").in_currency(currency)])
                .when(movement)
                .then_rejected(
                    InvalidAmount,
                    &format!(
                        "amount: {currency} has {decimals} decimals, and {amount} has {scale}; round it before sending"
                    ),
                    [("field", "amount"), ("amount", amount), ("currency", currency)],
                );
        }
    }
}

#[test]
fn an_amount_too_large_for_the_currency_is_an_overflow() {
    for movement in both("A", &"9".repeat(26)) {
        given([open("A", "100")]).when(movement).then_rejected(
            AmountOverflow,
            "amount: more than 27 digits, the currency's decimals included; the ledger keeps no more",
            [("field", "amount")],
        );
    }
}

#[test]
fn a_balance_too_large_for_the_ledger_is_an_overflow_that_changes_nothing() {
    given([open("A", LARGEST_USD)])
        .when(deposit("A", "0.01"))
        .then_rejected(
            AmountOverflow,
            "the balance of account A and its overdraft limit would add up to more than 27 digits, decimals included",
            [("account_id", "A")],
        )
        .when(withdraw("A", "0.01"))
        .then_accepted()
        .when(deposit("A", "0.01"))
        .then_accepted();
}

#[test]
fn a_deposit_leaves_room_for_the_overdraft_limit() {
    // Otherwise what is available would be no number, and nothing could be withdrawn any more.
    given([open("A", "0").with_overdraft_limit("0.01")])
        .when(deposit("A", LARGEST_USD))
        .then_code(AmountOverflow);
    given([open("A", "0").with_overdraft_limit(LARGEST_USD)])
        .when(withdraw("A", LARGEST_USD))
        .then_events([&format!(
            "A v2 MoneyWithdrawn {LARGEST_USD} USD, balance -{LARGEST_USD}"
        )])
        .when(withdraw("A", "0.01"))
        .then_code(InsufficientFunds);
}

#[test]
fn the_currency_is_looked_at_before_the_amount_and_the_amount_before_the_funds() {
    let before = given([open("A", "1")]);
    before
        .clone()
        .when(withdraw("A", "-1.000").in_currency("EUR"))
        .then_code(CurrencyMismatch);
    before.when(withdraw("A", "9.000")).then_code(InvalidAmount);
}
