//! Currencies that ISO 4217 does not have. One process, one declaration: one test.

use ledger::codec::json;
use ledger::{
    Currency, CurrencyCode, Declaration, InvalidDeclaration, Money, declare, parse_decimal,
};

fn code(text: &str) -> CurrencyCode {
    text.parse().expect("the test names a code")
}

fn said(text: &str) -> String {
    let declaration = text.parse::<Declaration>();
    declaration.expect_err("it is none").to_string()
}

#[test]
fn a_declared_currency_is_a_currency_like_any_other() {
    let declaration = |text: &str| text.parse::<Declaration>().unwrap();
    assert!(Currency::lookup(code("POINTS")).is_err());
    let two = [declaration("BTC:8"), declaration("BTC:6")];
    assert_eq!(
        declare(two),
        Err(InvalidDeclaration::Twice {
            code: code("BTC"),
            first: 8,
            second: 6
        })
    );
    let three = ["BTC:8", "POINTS:0", "ATOM12:12"].map(declaration);
    declare(three).unwrap();
    declare(three).unwrap();
    assert_eq!(declare([two[0]]), Err(InvalidDeclaration::TooLate));

    for (text, least, exponent) in [
        ("BTC", "0.00000001", 8),
        ("POINTS", "1", 0),
        ("ATOM12", "0.000000000001", 12),
        ("USD", "0.01", 2),
    ] {
        let currency = Currency::lookup(code(text)).unwrap();
        assert_eq!(currency.exponent(), exponent);
        let least = parse_decimal(least).unwrap();
        let money = Money::new(least, currency).unwrap();
        assert_eq!(money.to_string(), least.to_string());
        let less = least / parse_decimal("10").unwrap();
        assert!(Money::new(less, currency).is_err());
    }
    let unknown = Currency::lookup(code("GOLD")).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "GOLD is no currency here: ISO 4217 does not have it with a number of decimals, and it is not declared; use a code \
         such as USD, or declare it where the ledger is run (--declare-currency GOLD:2)"
    );

    // What was written under another declaration is not read as if nothing had happened.
    let event = |amount: &str| format!(r#"{{"amount":"{amount}","currency":"BTC"}}"#);
    assert!(json::decode_event_data("MoneyDeposited", &event("1.00000000")).is_ok());
    let error = json::decode_event_data("MoneyDeposited", &event("1.000000")).unwrap_err();
    assert_eq!(
        error.message,
        "an event's amounts have all decimals of their currency, and 1.000000 BTC has 6 of 8; was BTC declared otherwise \
         when it was written?"
    );
}

#[test]
fn a_declaration_that_cannot_be_is_an_error_that_says_why() {
    for text in [
        "BTC", "BTC:", "BTC:13", "BTC:-1", "BTC:+1", "BTC:8:1", ":8", "",
    ] {
        let said = said(text);
        let is_form = said.starts_with("a currency is declared by its code");
        assert!(
            is_form || said.contains("a currency code is"),
            "{text}: {said}"
        );
    }
    assert!(said("btc:8").starts_with("a currency code is 3 to 12 characters"));
    assert_eq!(
        said("USD:3"),
        "USD is a currency of ISO 4217, which has it with 2 decimals; choose another code"
    );
}
