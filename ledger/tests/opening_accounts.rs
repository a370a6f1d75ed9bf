//! `create_account`.

mod support;

use ledger::RejectionCode::{AccountExists, AmountOverflow, InvalidAmount, UnknownCurrency};
use ledger::{EventData, Hash, Status, Version};
use support::{NOON, given, open, timestamp, withdraw};

/// The largest amount of USD: 27 digits, of which two are decimals.
const LARGEST_USD: &str = "9999999999999999999999999.99";

#[test]
fn an_account_opens_with_its_initial_balance() {
    let after = given([])
        .when(open("A", "100.00").with_overdraft_limit("50"))
        .then_events(["A v1 AccountCreated 100.00 USD, balance 100.00"]);
    let account = after.account("A");
    assert_eq!(account.version, Version::FIRST);
    assert_eq!(account.profile_version, Version::FIRST);
    assert_eq!(account.owner_name, "owner of A");
    assert_eq!(account.overdraft_limit.to_string(), "50.00");
    assert_eq!(account.available().unwrap().to_string(), "150.00");
    assert_eq!(account.status, Status::Active);
    assert_eq!(account.last_recorded_at, timestamp(NOON));
    assert_eq!(account.last_hash, after.events[0].hash);
    assert_eq!(after.events[0].prev_hash, Hash::ZERO);
}

#[test]
fn the_profile_says_what_changes_seldom() {
    let after = given([open("A", "100").with_overdraft_limit("50")]);
    let profile = serde_json::to_value(after.account("A").profile()).unwrap();
    let expected = serde_json::json!({
        "owner_name": "owner of A", "currency": "USD", "overdraft_limit": "50.00", "status": "active"
    });
    assert_eq!(profile, expected);
}

#[test]
fn an_account_can_open_with_nothing() {
    given([])
        .when(open("A", "0"))
        .then_events(["A v1 AccountCreated 0.00 USD, balance 0.00"]);
}

#[test]
fn a_negative_zero_is_zero() {
    given([])
        .when(open("A", "-0.0").with_overdraft_limit("-0"))
        .then_events(["A v1 AccountCreated 0.00 USD, balance 0.00"]);
}

#[test]
fn an_amount_is_written_with_its_currencys_decimals() {
    for (currency, given_as, written) in [
        ("JPY", "7", "7"),
        ("USD", "7.1", "7.10"),
        ("BHD", "7.1", "7.100"),
        ("CLF", "7.1", "7.1000"),
    ] {
        let event = format!("A v1 AccountCreated {written} {currency}, balance {written}");
        given([])
            .when(open("A", given_as).in_currency(currency))
            .then_events([&event]);
    }
}

#[test]
fn the_commands_words_go_into_the_event() {
    let after = given([])
        .when(
            open("A", "1")
                .because("first account")
                .by("teller-3")
                .noting("branch", "Oslo"),
        )
        .then_accepted();
    let event = &after.events[0];
    assert_eq!(event.actor.as_deref(), Some("teller-3"));
    let EventData::AccountCreated(created) = &event.data else {
        panic!("{event:?}");
    };
    assert_eq!(created.owner_name, "owner of A");
    assert_eq!(created.description.as_deref(), Some("first account"));
    assert_eq!(created.metadata["branch"], "Oslo");
}

#[test]
fn an_account_opens_once() {
    for again in [open("A", "100.00"), open("A", "5").in_currency("EUR")] {
        given([open("A", "100.00")]).when(again).then_rejected(
            AccountExists,
            "account A exists already; choose another id",
            [("account_id", "A")],
        );
    }
}

#[test]
fn the_currency_must_be_one() {
    for code in ["XAU", "XXX", "ZZZ", "POINTS"] {
        given([]).when(open("A", "1").in_currency(code)).then_rejected(
            UnknownCurrency,
            &format!(
                "{code} is no currency here: ISO 4217 does not have it with a number of decimals, and it is not declared; \
                 use a code such as USD, or declare it where the ledger is run (--declare-currency {code}:2)"
            ),
            [("currency", code)],
        );
    }
}

#[test]
fn an_account_cannot_open_below_zero() {
    given([]).when(open("A", "-0.01")).then_rejected(
        InvalidAmount,
        "initial_balance must be zero or more, and it is -0.01",
        [("field", "initial_balance"), ("amount", "-0.01")],
    );
    given([])
        .when(open("A", "1").with_overdraft_limit("-50"))
        .then_rejected(
            InvalidAmount,
            "overdraft_limit must be zero or more, and it is -50",
            [("field", "overdraft_limit"), ("amount", "-50")],
        );
}

#[test]
fn decimals_that_the_currency_does_not_have_are_refused() {
    given([])
        .when(open("A", "0.5").in_currency("JPY"))
        .then_rejected(
            InvalidAmount,
            "initial_balance: JPY has 0 decimals, and 0.5 has 1; round it before sending",
            [
                ("field", "initial_balance"),
                ("amount", "0.5"),
                ("currency", "JPY"),
            ],
        );
    given([])
        .when(open("A", "1").with_overdraft_limit("1.005"))
        .then_rejected(
            InvalidAmount,
            "overdraft_limit: USD has 2 decimals, and 1.005 has 3; round it before sending",
            [
                ("field", "overdraft_limit"),
                ("amount", "1.005"),
                ("currency", "USD"),
            ],
        );
}

#[test]
fn an_amount_too_large_for_the_currency_is_an_overflow() {
    let twenty_six_digits = "9".repeat(26);
    given([])
        .when(open("A", &twenty_six_digits))
        .then_rejected(
            AmountOverflow,
            "initial_balance: more than 27 digits, the currency's decimals included; the ledger keeps no more",
            [("field", "initial_balance")],
        );
    given([])
        .when(open("A", "0").with_overdraft_limit(&twenty_six_digits))
        .then_rejected(
            AmountOverflow,
            "overdraft_limit: more than 27 digits, the currency's decimals included; the ledger keeps no more",
            [("field", "overdraft_limit")],
        );
}

#[test]
fn what_an_account_opens_with_can_all_be_withdrawn() {
    given([])
        .when(open("A", LARGEST_USD).with_overdraft_limit("0.01"))
        .then_rejected(
            AmountOverflow,
            "the balance of account A and its overdraft limit would add up to more than 27 digits, decimals included",
            [("account_id", "A")],
        );
    given([open("A", LARGEST_USD)])
        .when(withdraw("A", LARGEST_USD))
        .then_events([&format!(
            "A v2 MoneyWithdrawn {LARGEST_USD} USD, balance 0.00"
        )]);
}
