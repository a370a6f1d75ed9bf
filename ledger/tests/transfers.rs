//! `transfer`: two events on two accounts, or none.

mod support;

use ledger::RejectionCode::{
    AccountNotFound, AmountOverflow, CurrencyMismatch, InsufficientFunds, InvalidAmount,
    SameAccount,
};
use ledger::{EventData, Money};
use support::{Given, account_id, given, open, transfer};

const LARGEST_USD: &str = "9999999999999999999999999.99";

fn two_accounts() -> Given {
    given([open("A", "100.00"), open("B", "5.00")])
}

#[test]
fn money_moves_from_one_account_to_the_other() {
    let after = two_accounts()
        .when(transfer("A", "B", "25").in_currency("USD"))
        .then_events([
            "A v2 MoneyWithdrawn 25.00 USD, balance 75.00",
            "B v2 MoneyDeposited 25.00 USD, balance 30.00",
        ]);
    let total = |given: &Given| -> Money {
        let (a, b) = (given.account("A").balance, given.account("B").balance);
        a.checked_add(b).unwrap()
    };
    assert_eq!(total(&after), total(&two_accounts()));
}

#[test]
fn the_two_events_name_each_other() {
    let after = two_accounts()
        .when(
            transfer("A", "B", "25")
                .because("rent")
                .by("teller-3")
                .noting("invoice", "77"),
        )
        .then_accepted();
    let [debit, credit] = &after.events[2..] else {
        panic!("{:?}", after.events);
    };
    assert!(matches!(debit.data, EventData::MoneyWithdrawn(_)));
    assert!(matches!(credit.data, EventData::MoneyDeposited(_)));
    let (from, to) = (
        debit.data.transfer().unwrap(),
        credit.data.transfer().unwrap(),
    );
    assert_eq!(from.transfer_id, to.transfer_id);
    assert_eq!(from.transfer_id, debit.command_id.transfer_id(0));
    assert_eq!(from.counterparty_account_id, account_id("B"));
    assert_eq!(to.counterparty_account_id, account_id("A"));
    assert_eq!(debit.recorded_at, credit.recorded_at);
    assert_ne!(debit.event_id, credit.event_id);
}

#[test]
fn a_transfer_there_and_back_restores_the_balances() {
    two_accounts()
        .when(transfer("A", "B", "25"))
        .then_accepted()
        .when(transfer("B", "A", "25"))
        .then_events([
            "B v3 MoneyWithdrawn 25.00 USD, balance 5.00",
            "A v3 MoneyDeposited 25.00 USD, balance 100.00",
        ]);
}

#[test]
fn everything_can_be_transferred_and_not_a_cent_more() {
    given([
        open("A", "100.00").with_overdraft_limit("50"),
        open("B", "0"),
    ])
    .when(transfer("A", "B", "150.01"))
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
    .when(transfer("A", "B", "150"))
    .then_events([
        "A v2 MoneyWithdrawn 150.00 USD, balance -50.00",
        "B v2 MoneyDeposited 150.00 USD, balance 150.00",
    ]);
}

#[test]
fn a_transfer_needs_two_accounts() {
    for account in ["A", "GHOST"] {
        two_accounts()
            .when(transfer(account, account, "1"))
            .then_rejected(
                SameAccount,
                &format!("a transfer needs two accounts, and both are {account}"),
                [("account_id", account)],
            );
    }
}

#[test]
fn both_accounts_must_exist() {
    for (from, to) in [("GHOST", "B"), ("A", "GHOST"), ("GHOST", "OTHER")] {
        two_accounts().when(transfer(from, to, "1")).then_rejected(
            AccountNotFound,
            "there is no account GHOST; open it with create_account first",
            [("account_id", "GHOST")],
        );
    }
}

#[test]
fn the_two_accounts_must_have_one_currency() {
    let before = || given([open("A", "100"), open("E", "100").in_currency("EUR")]);
    for (from, to, message, data) in [
        (
            "A",
            "E",
            "account E is kept in EUR, not in USD",
            ["E", "EUR", "USD"],
        ),
        (
            "E",
            "A",
            "account A is kept in USD, not in EUR",
            ["A", "USD", "EUR"],
        ),
    ] {
        // A currency that is named changes nothing about that.
        for request in [
            transfer(from, to, "1"),
            transfer(from, to, "1").in_currency("USD"),
            transfer(from, to, "1").in_currency("EUR"),
        ] {
            let [account, account_currency, currency] = data;
            before().when(request).then_rejected(
                CurrencyMismatch,
                message,
                [
                    ("account_id", account),
                    ("account_currency", account_currency),
                    ("currency", currency),
                ],
            );
        }
    }
}

#[test]
fn the_currency_that_the_command_names_must_be_the_accounts() {
    two_accounts()
        .when(transfer("A", "B", "1").in_currency("EUR"))
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
fn the_amount_must_be_one() {
    for amount in ["0", "-1", "0.001", "1.000"] {
        two_accounts()
            .when(transfer("A", "B", amount))
            .then_code(InvalidAmount);
    }
    two_accounts()
        .when(transfer("A", "B", &"9".repeat(26)))
        .then_code(AmountOverflow);
}

#[test]
fn a_credit_that_the_other_account_cannot_hold_debits_nothing() {
    given([open("A", "100"), open("B", LARGEST_USD)])
        .when(transfer("A", "B", "0.01"))
        .then_rejected(
            AmountOverflow,
            "the balance of account B and its overdraft limit would add up to more than 27 digits, decimals included",
            [("account_id", "B")],
        );
}
