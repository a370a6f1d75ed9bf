//! `exchange`: money of one currency for money of another, in four events or none.

mod support;

use std::collections::HashSet;

use ledger::RejectionCode::{
    AccountFrozen, AccountNotFound, AlreadyReversed, AmountOverflow, CurrencyMismatch,
    InsufficientFunds, InvalidAmount, NotReversible, SameAccount, SameCurrency,
};
use ledger::codec::{binary, json};
use ledger::{Price, Scope, parse_decimal};
use support::{Given, exchange, freeze, given, open, reverse};

fn at(rate: &str) -> Price {
    Price::Rate(parse_decimal(rate).expect("the test names a rate"))
}

fn for_just(amount: &str) -> Price {
    Price::ToAmount(parse_decimal(amount).expect("the test names an amount"))
}

/// `A` has dollars and `B` euros; `USD` takes dollars, and `EUR` gives euros.
fn two_currencies() -> Given {
    given([
        open("A", "100.00"),
        open("B", "5.00").in_currency("EUR"),
        open("USD", "0"),
        open("EUR", "50.00").in_currency("EUR"),
    ])
}

#[test]
fn money_of_one_currency_becomes_money_of_another() {
    let after = two_currencies()
        .when(exchange("A", "B", "25", at("0.92")).because("holidays"))
        .then_events([
            "A v2 MoneyWithdrawn 25.00 USD, balance 75.00",
            "USD v2 MoneyDeposited 25.00 USD, balance 25.00",
            "EUR v2 MoneyWithdrawn 23.00 EUR, balance 27.00",
            "B v2 MoneyDeposited 23.00 EUR, balance 28.00",
        ]);
    let events = &after.events[4..];
    let postings: HashSet<_> = events.iter().map(|event| event.data.posting_id()).collect();
    assert_eq!(
        postings,
        HashSet::from([Some(events[0].command_id.posting_id(0))])
    );
    assert!(events.iter().all(|event| event.data.is_internal()));
    assert!(
        events
            .iter()
            .all(|event| event.data.description() == Some("holidays"))
    );
}

#[test]
fn what_is_got_can_be_named() {
    two_currencies()
        .when(exchange("A", "B", "25", for_just("22.50")))
        .then_events([
            "A v2 MoneyWithdrawn 25.00 USD, balance 75.00",
            "USD v2 MoneyDeposited 25.00 USD, balance 25.00",
            "EUR v2 MoneyWithdrawn 22.50 EUR, balance 27.50",
            "B v2 MoneyDeposited 22.50 EUR, balance 27.50",
        ]);
}

#[test]
fn a_tie_is_rounded_to_the_even_cent() {
    for (amount, worth) in [
        ("0.25", "0.02"),
        ("0.35", "0.04"),
        ("0.45", "0.04"),
        ("0.5", "0.05"),
    ] {
        let after = two_currencies()
            .when(exchange("A", "B", amount, at("0.1")))
            .then_accepted();
        let last = after.events.last().unwrap();
        assert_eq!(last.data.amount().unwrap().to_string(), worth, "{amount}");
    }
}

#[test]
fn neither_side_goes_below_what_it_has() {
    two_currencies()
        .when(exchange("A", "B", "100.01", at("0.1")))
        .then_code(InsufficientFunds);
    // The account that gives the euros is an account like any other.
    two_currencies()
        .when(exchange("A", "B", "100", for_just("50.01")))
        .then_rejected(
            InsufficientFunds,
            "account EUR has 50.00 EUR available, and 50.01 EUR is required",
            [
                ("account_id", "EUR"),
                ("available", "50.00"),
                ("required", "50.01"),
                ("currency", "EUR"),
            ],
        );
}

#[test]
fn a_price_that_gives_nothing_is_refused() {
    for price in [
        at("0"),
        at("-1"),
        at("0.0001"),
        for_just("0"),
        for_just("-1"),
        for_just("1.001"),
    ] {
        two_currencies()
            .when(exchange("A", "B", "1", price))
            .then_code(InvalidAmount);
    }
    two_currencies()
        .when(exchange("A", "B", "0", at("1")))
        .then_code(InvalidAmount);
    two_currencies()
        .when(exchange("A", "B", "1", at("999999999999999999999999999")))
        .then_code(AmountOverflow);
}

#[test]
fn both_clearing_accounts_are_kept_in_the_right_currency() {
    given([
        open("A", "1"),
        open("B", "1"),
        open("USD", "1"),
        open("EUR", "1"),
    ])
    .when(exchange("A", "B", "1", at("1")))
    .then_rejected(
        SameCurrency,
        "both sides of the exchange are kept in USD; money of one currency goes by transfer",
        [("account_id", "B"), ("currency", "USD")],
    );
    given([
        open("A", "1").in_currency("EUR"),
        open("B", "1"),
        open("USD", "1"),
        open("EUR", "1").in_currency("EUR"),
    ])
    .when(exchange("A", "B", "1", at("1")))
    .then_code(CurrencyMismatch);
    two_currencies()
        .when(exchange("USD", "B", "1", at("1")))
        .then_code(SameAccount);
    two_currencies()
        .when(exchange("A", "C", "1", at("1")))
        .then_code(AccountNotFound);
}

#[test]
fn a_frozen_account_takes_no_part() {
    for (account, scope) in [
        ("A", Scope::Debits),
        ("USD", Scope::Credits),
        ("EUR", Scope::Debits),
        ("B", Scope::Credits),
    ] {
        given([
            open("A", "100.00"),
            open("B", "5.00").in_currency("EUR"),
            open("USD", "0"),
            open("EUR", "50.00").in_currency("EUR"),
            freeze(account, scope),
        ])
        .when(exchange("A", "B", "1", at("1")))
        .then_code(AccountFrozen);
    }
}

#[test]
fn it_is_moved_back_whole_at_the_price_that_it_had() {
    let exchanged = || {
        two_currencies()
            .when(exchange("A", "B", "25", at("0.92")).number(5))
            .then_accepted()
    };
    exchanged()
        .when(reverse("A", 5))
        .then_events([
            "B v3 MoneyWithdrawn 23.00 EUR, balance 5.00, 23.00 of command 5 moved back",
            "EUR v3 MoneyDeposited 23.00 EUR, balance 50.00, 23.00 of command 5 moved back",
            "USD v3 MoneyWithdrawn 25.00 USD, balance 0.00, 25.00 of command 5 moved back",
            "A v3 MoneyDeposited 25.00 USD, balance 100.00, 25.00 of command 5 moved back",
        ])
        .when(reverse("A", 5))
        .then_code(AlreadyReversed);
    exchanged()
        .when(reverse("A", 5).only("1"))
        .then_code(NotReversible);
}

#[test]
fn one_of_rate_and_to_amount_is_given() {
    let body = |more: &str| {
        format!(
            r#"{{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","type":"exchange","from_account_id":"A","to_account_id":"B","from_clearing_account_id":"USD","to_clearing_account_id":"EUR","amount":"1"{more}}}"#
        )
    };
    for (more, code, message) in [
        (
            "",
            "missing_field",
            "one of the fields rate and to_amount must be there, and both are missing or null",
        ),
        (
            r#","rate":"1","to_amount":"1""#,
            "invalid_field",
            "rate and to_amount cannot both be given; leave one out",
        ),
        (
            r#","rate":"1","currency":"USD""#,
            "unknown_field",
            r#"exchange has no field "currency"; check its spelling or leave it out"#,
        ),
    ] {
        let malformed = json::decode_command(body(more).as_bytes()).unwrap_err();
        assert_eq!(
            (malformed.code, malformed.message.as_str()),
            (code, message)
        );
    }
    let command = json::decode_command(body(r#","rate":0.920"#).as_bytes()).unwrap();
    assert_eq!(
        binary::decode_command(&binary::encode_command(&command)).unwrap(),
        command
    );
    let same = json::decode_command(body(r#","rate":"0.92""#).as_bytes()).unwrap();
    assert_eq!(command.fingerprint(), same.fingerprint());
}
