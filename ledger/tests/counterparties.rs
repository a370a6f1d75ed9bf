//! The rule of an account about whom it may deal with.

mod support;

use ledger::RejectionCode::{
    AboveMaximumBalance, CounterpartyNotAllowed, InsufficientFunds, ReversalUncovered,
};
use support::{
    Given, Request, batch, capture, credit, debit, deposit, exchange, given, hold, open, post,
    reverse, rules, sweep, transfer, withdraw,
};

/// A may deal with FRIEND alone.
fn before() -> Given {
    given([
        open("A", "100"),
        open("FRIEND", "100"),
        open("STRANGER", "100"),
        rules("A").only_with(["FRIEND"]),
    ])
}

#[track_caller]
fn refused(given: Given, request: Request) {
    given.when(request).then_code(CounterpartyNotAllowed);
}

#[test]
fn a_transfer_to_or_from_a_stranger_is_refused() {
    before()
        .when(transfer("A", "STRANGER", "1"))
        .then_rejected(
            CounterpartyNotAllowed,
            "account A may not send money to account STRANGER, nor get money from it, by its rules",
            [("account_id", "A"), ("counterparty_account_id", "STRANGER")],
        )
        .when(transfer("STRANGER", "A", "1"))
        .then_rejected(
            CounterpartyNotAllowed,
            "account A may not send money to account STRANGER, nor get money from it, by its rules",
            [("account_id", "A"), ("counterparty_account_id", "STRANGER")],
        )
        .when(transfer("A", "FRIEND", "1"))
        .then_accepted()
        .when(transfer("FRIEND", "A", "1"))
        .then_accepted()
        .when(transfer("FRIEND", "STRANGER", "1"))
        .then_accepted();
}

#[test]
fn money_from_outside_and_to_outside_has_no_counterparty() {
    let alone = || given([open("A", "100"), rules("A").only_with([])]);
    alone().when(deposit("A", "1")).then_accepted();
    alone().when(withdraw("A", "1")).then_accepted();
    alone().when(hold("A", 1, "1")).then_accepted();
}

#[test]
fn an_empty_list_allows_nobody() {
    let alone = || given([open("A", "100"), open("B", "1"), rules("A").only_with([])]);
    refused(alone(), transfer("A", "B", "1"));
    refused(alone(), transfer("B", "A", "1"));
}

#[test]
fn an_account_that_is_not_there_can_be_allowed_already() {
    given([open("A", "100"), rules("A").only_with(["LATER"])])
        .when(batch([open("LATER", "0"), transfer("A", "LATER", "1")]))
        .then_accepted();
}

#[test]
fn a_capture_goes_to_no_stranger() {
    let held = || before().when(hold("A", 1, "50")).then_accepted();
    refused(held(), capture("A", 1).to("STRANGER"));
    held().when(capture("A", 1)).then_accepted();
    held().when(capture("A", 1).to("FRIEND")).then_accepted();
    let others = before().when(hold("STRANGER", 1, "50")).then_accepted();
    refused(others, capture("STRANGER", 1).to("A"));
}

#[test]
fn closing_sweeps_nothing_to_or_from_a_stranger() {
    refused(before(), sweep("A", "STRANGER"));
    refused(before(), sweep("STRANGER", "A"));
    before().when(sweep("A", "FRIEND")).then_accepted();
    before().when(sweep("FRIEND", "A")).then_accepted();
}

#[test]
fn a_posting_has_no_stranger_on_the_other_side() {
    before()
        .when(post([
            debit("FRIEND", "2"),
            debit("A", "1"),
            credit("STRANGER", "3"),
        ]))
        .then_rejected(
            CounterpartyNotAllowed,
            "entries[1]: account A may not send money to account STRANGER, nor get money from it, by its rules",
            [
                ("account_id", "A"),
                ("counterparty_account_id", "STRANGER"),
                ("entry", "1"),
            ],
        )
        // On its own side, a stranger does not matter.
        .when(post([
            debit("STRANGER", "2"),
            debit("A", "1"),
            credit("FRIEND", "3"),
        ]))
        .then_accepted()
        .when(post([
            credit("A", "1"),
            credit("STRANGER", "2"),
            debit("FRIEND", "3"),
        ]))
        .then_accepted();
    // Neither does the account itself.
    given([open("A", "1"), rules("A").only_with([])])
        .when(post([debit("A", "1"), credit("A", "1")]))
        .then_accepted();
}

#[test]
fn an_exchange_is_with_all_that_get_what_an_account_gives() {
    let accounts = |ruled: Request| {
        given([
            open("A", "100"),
            open("USD", "0"),
            open("EUR", "100").in_currency("EUR"),
            open("E", "0").in_currency("EUR"),
            ruled,
        ])
    };
    let sold = || {
        let price = ledger::Price::ToAmount("9".parse().unwrap());
        exchange("A", "E", "10", price)
    };
    for (account, others) in [
        ("A", ["USD", "E"]),
        ("EUR", ["USD", "E"]),
        ("USD", ["A", "EUR"]),
        ("E", ["A", "EUR"]),
    ] {
        accounts(rules(account).only_with(others))
            .when(sold())
            .then_accepted();
        for other in others {
            refused(accounts(rules(account).only_with([other])), sold());
        }
    }
}

#[test]
fn what_is_moved_back_is_held_to_the_rules_of_now() {
    let moved = |request: Request| {
        given([
            open("A", "100"),
            open("STRANGER", "100"),
            hold("A", 1, "10"),
            request,
            rules("A").only_with([]),
        ])
    };
    refused(moved(transfer("A", "STRANGER", "1")), reverse("A", 4));
    refused(
        moved(transfer("STRANGER", "A", "1")),
        reverse("STRANGER", 4),
    );
    refused(moved(capture("A", 1).to("STRANGER")), reverse("A", 4));
    let posting = || moved(post([debit("A", "1"), credit("STRANGER", "1")]));
    refused(posting(), reverse("A", 4));
    refused(
        moved(batch([transfer("A", "STRANGER", "1"), deposit("A", "1")])),
        reverse("A", 4),
    );
    posting()
        .when(rules("A").only_with(["STRANGER"]))
        .then_accepted()
        .when(reverse("A", 4))
        .then_accepted();
    moved(withdraw("A", "1"))
        .when(reverse("A", 4))
        .then_accepted();
}

#[test]
fn the_funds_come_before_the_counterparty_but_for_postings() {
    before()
        .when(transfer("A", "STRANGER", "101"))
        .then_code(InsufficientFunds);
    refused(
        before(),
        post([debit("A", "101"), credit("STRANGER", "101")]),
    );
    let back = |request: Request| {
        given([
            open("A", "0"),
            open("STRANGER", "100"),
            request,
            withdraw("A", "1"),
            rules("A").only_with([]),
        ])
    };
    back(transfer("STRANGER", "A", "5"))
        .when(reverse("STRANGER", 3))
        .then_code(ReversalUncovered);
    refused(
        back(post([debit("STRANGER", "5"), credit("A", "5")])),
        reverse("STRANGER", 3),
    );
}

#[test]
fn the_counterparty_comes_before_the_maximum() {
    let full = |ruled: Request| given([open("A", "100"), open("B", "100"), ruled]);
    full(rules("A").maximum("100"))
        .when(transfer("B", "A", "1"))
        .then_code(AboveMaximumBalance);
    refused(
        full(rules("A").maximum("100").only_with([])),
        transfer("B", "A", "1"),
    );
}
