//! `reverse`: the money of an earlier command is moved back, all of it or the same part of each movement.

mod support;

use ledger::RejectionCode::{
    AlreadyReversed, AmountExceedsRest, AmountOverflow, BalanceCondition, InvalidAmount,
    ReversalUncovered, VersionConflict,
};
use ledger::{Accounts, Event};
use support::{
    Given, NOON, Request, account_id, capture, command_id, deposit, given, hold, open, reverse,
    transfer, withdraw,
};

const LARGEST_USD: &str = "9999999999999999999999999.99";
const THREE: &str = "00000000-0000-0000-0000-000000000003";
const TEN_PAST: &str = "2026-01-31T12:10:00.000000Z";

/// Command 3 deposits 30.00 on A, which has 130.00 then.
fn deposited() -> Given {
    given([open("A", "100"), open("B", "5"), deposit("A", "30")])
}

/// Command 3 withdraws 30.00 from A, which has 70.00 then.
fn withdrawn() -> Given {
    given([open("A", "100"), open("B", "5"), withdraw("A", "30")])
}

/// Command 3 transfers 30.00 from A to B, which have 70.00 and 35.00 then.
fn transferred() -> Given {
    given([open("A", "100"), open("B", "5"), transfer("A", "B", "30")])
}

/// Command 4 captures, as asked, from the 30.00 that command 3 holds on A.
fn captured(request: Request) -> Given {
    given([
        open("A", "100"),
        open("B", "5"),
        hold("A", 1, "30"),
        request,
    ])
}

/// What came of the newest command.
fn newest<const N: usize>(given: &Given) -> [&Event; N] {
    let events: Vec<&Event> = given.events.iter().rev().take(N).rev().collect();
    events.try_into().expect("so many events there are")
}

#[test]
fn a_deposit_goes_out_again() {
    deposited().when(reverse("A", 3)).then_events([
        "A v3 MoneyWithdrawn 30.00 USD, balance 100.00, 30.00 of command 3 moved back",
    ]);
    for all in ["30", "30.0", "30.00"] {
        deposited().when(reverse("A", 3).only(all)).then_events([
            "A v3 MoneyWithdrawn 30.00 USD, balance 100.00, 30.00 of command 3 moved back",
        ]);
    }
}

#[test]
fn a_withdrawal_comes_in_again() {
    withdrawn().when(reverse("A", 3)).then_events([
        "A v3 MoneyDeposited 30.00 USD, balance 100.00, 30.00 of command 3 moved back",
    ]);
}

#[test]
fn a_transfer_is_taken_from_whoever_got_it_and_given_to_whoever_paid() {
    let after = transferred()
        .when(reverse("A", 3).reasoning("twice paid").by("teller-3"))
        .then_events([
            "B v3 MoneyWithdrawn 30.00 USD, balance 5.00, 30.00 of command 3 moved back",
            "A v3 MoneyDeposited 30.00 USD, balance 100.00, 30.00 of command 3 moved back",
        ]);
    let [debit, credit] = newest(&after);
    assert_eq!(debit.recorded_at, credit.recorded_at);
    let (from, to) = (debit.data.transfer(), credit.data.transfer());
    let (from, to) = (from.expect("a transfer"), to.expect("a transfer"));
    assert_eq!(from.counterparty_account_id, account_id("A"));
    assert_eq!(to.counterparty_account_id, account_id("B"));
    assert_eq!(from.transfer_id, to.transfer_id);
    assert_eq!(from.transfer_id, debit.command_id.transfer_id(0));
    for event in [debit, credit] {
        let reversal = event.data.reversal().expect("a reversal");
        assert_eq!(reversal.command_id, command_id(3));
        assert_eq!(reversal.reason, "twice paid");
    }
    // The transfer that was moved back keeps its own id.
    let paid = after.events[2].data.transfer().expect("a transfer");
    assert_ne!(paid.transfer_id, from.transfer_id);
}

#[test]
fn a_capture_is_given_back_and_not_held_again() {
    let after = captured(capture("A", 1))
        .when(reverse("A", 4))
        .then_events([
            "A v4 MoneyDeposited 30.00 USD, balance 100.00, 30.00 of command 4 moved back",
        ]);
    assert!(!after.hold("A", 1).is_open());
    let [event] = newest(&after);
    assert_eq!(event.data.hold(), None);
    // What the hold still holds stays held.
    captured(capture("A", 1).only("12.50"))
        .when(reverse("A", 4))
        .then_events([
            "A v4 MoneyDeposited 12.50 USD, balance 100.00, held 17.50, 12.50 of command 4 moved back",
        ])
        .when(capture("A", 1))
        .then_events([
            "A v5 MoneyWithdrawn 17.50 USD, balance 82.50, hold 1: 30.00 captured, 0.00 remain",
        ]);
}

/// The release that stands behind it is neither undone nor in the way.
#[test]
fn a_last_capture_can_be_reversed_though_it_released_the_rest() {
    captured(capture("A", 1).only("12.50").at_last())
        .when(reverse("A", 4))
        .then_events([
            "A v5 MoneyDeposited 12.50 USD, balance 100.00, 12.50 of command 4 moved back",
        ]);
    let after = captured(capture("A", 1).only("12.50").at_last().to("B"))
        .when(reverse("A", 4).only("2.50"))
        .then_events([
            "B v3 MoneyWithdrawn 2.50 USD, balance 15.00, 2.50 of command 4 moved back",
            "A v5 MoneyDeposited 2.50 USD, balance 90.00, 2.50 of command 4 moved back",
        ])
        .when(reverse("A", 4))
        .then_events([
            "B v4 MoneyWithdrawn 10.00 USD, balance 5.00, 12.50 of command 4 moved back",
            "A v6 MoneyDeposited 10.00 USD, balance 100.00, 12.50 of command 4 moved back",
        ]);
    let original = after.book.original(command_id(4)).expect("an original");
    assert_eq!(original.movements.len(), 2);
    assert!(!original.is_final);
}

#[test]
fn a_capture_that_went_to_another_account_comes_back_from_there() {
    let after = captured(capture("A", 1).to("B"))
        .when(reverse("A", 4))
        .then_events([
            "B v3 MoneyWithdrawn 30.00 USD, balance 5.00, 30.00 of command 4 moved back",
            "A v4 MoneyDeposited 30.00 USD, balance 100.00, 30.00 of command 4 moved back",
        ]);
    assert!(!after.hold("A", 1).is_open());
}

#[test]
fn parts_go_back_up_to_the_last_unit_and_not_one_more() {
    let almost = transferred()
        .when(reverse("A", 3).only("0.01"))
        .then_events([
            "B v3 MoneyWithdrawn 0.01 USD, balance 34.99, 0.01 of command 3 moved back",
            "A v3 MoneyDeposited 0.01 USD, balance 70.01, 0.01 of command 3 moved back",
        ])
        .when(reverse("A", 3).only("29.98"))
        .then_events([
            "B v4 MoneyWithdrawn 29.98 USD, balance 5.01, 29.99 of command 3 moved back",
            "A v4 MoneyDeposited 29.98 USD, balance 99.99, 29.99 of command 3 moved back",
        ])
        .when(reverse("A", 3).only("0.02"))
        .then_rejected(
            AmountExceedsRest,
            &format!(
                "0.01 USD of command {THREE} can still be moved back, and 0.02 USD is required"
            ),
            [
                ("reversed_command_id", THREE),
                ("remaining", "0.01"),
                ("required", "0.02"),
                ("currency", "USD"),
            ],
        );
    for last in [reverse("A", 3), reverse("A", 3).only("0.01")] {
        let whole = almost.clone().when(last).then_events([
            "B v5 MoneyWithdrawn 0.01 USD, balance 5.00, 30.00 of command 3 moved back",
            "A v5 MoneyDeposited 0.01 USD, balance 100.00, 30.00 of command 3 moved back",
        ]);
        for one_more in [reverse("A", 3), reverse("A", 3).only("0.01")] {
            whole.clone().when(one_more).then_rejected(
                AlreadyReversed,
                &format!("all of the 30.00 USD of command {THREE} has been moved back"),
                [
                    ("reversed_command_id", THREE),
                    ("amount", "30.00"),
                    ("currency", "USD"),
                ],
            );
        }
    }
}

/// Two commands of the same amount are two.
#[test]
fn what_is_moved_back_of_one_command_is_not_of_another() {
    given([
        open("A", "100"),
        withdraw("A", "30"),
        withdraw("A", "30"),
        reverse("A", 2).only("20"),
        reverse("A", 3),
    ])
    .when(reverse("A", 2).only("10.01"))
    .then_code(AmountExceedsRest);
    given([
        open("A", "100"),
        withdraw("A", "30"),
        withdraw("A", "30"),
        reverse("A", 2).only("20"),
        reverse("A", 3),
    ])
    .when(reverse("A", 2))
    .then_events(["A v6 MoneyDeposited 10.00 USD, balance 100.00, 30.00 of command 2 moved back"])
    .when(reverse("A", 3))
    .then_code(AlreadyReversed);
}

#[test]
fn an_overdraft_covers_a_reversal_as_it_covers_a_withdrawal() {
    given([
        open("A", "0").with_overdraft_limit("20"),
        deposit("A", "30"),
        withdraw("A", "30"),
    ])
    .when(reverse("A", 2).only("20.01"))
    .then_code(ReversalUncovered);
    given([
        open("A", "0").with_overdraft_limit("20"),
        deposit("A", "30"),
        withdraw("A", "30"),
    ])
    .when(reverse("A", 2).only("20"))
    .then_events(["A v4 MoneyWithdrawn 20.00 USD, balance -20.00, 20.00 of command 2 moved back"]);
}

/// As much as there can be goes back and forth.
#[test]
fn the_largest_amount_is_moved_back_in_parts() {
    let but_a_cent = "9999999999999999999999999.98";
    given([
        open("A", LARGEST_USD),
        open("B", "0"),
        transfer("A", "B", LARGEST_USD),
    ])
    .when(reverse("A", 3).only(but_a_cent))
    .then_events([
        "B v3 MoneyWithdrawn 9999999999999999999999999.98 USD, balance 0.01, 9999999999999999999999999.98 of command 3 moved back",
        "A v3 MoneyDeposited 9999999999999999999999999.98 USD, balance 9999999999999999999999999.98, 9999999999999999999999999.98 of command 3 moved back",
    ])
    .when(reverse("A", 3).only(LARGEST_USD))
    .then_code(AmountExceedsRest);
    given([
        open("A", LARGEST_USD),
        withdraw("A", LARGEST_USD),
        reverse("A", 2).only(but_a_cent),
    ])
    .when(reverse("A", 2))
    .then_events([
        "A v4 MoneyDeposited 0.01 USD, balance 9999999999999999999999999.99, 9999999999999999999999999.99 of command 2 moved back",
    ]);
}

#[test]
fn a_reversal_carries_its_own_words_and_not_those_of_the_command() {
    let after = given([
        open("A", "100"),
        withdraw("A", "30")
            .because("dinner")
            .by("waiter-1")
            .noting("table", "5"),
    ])
    .when(
        reverse("A", 2)
            .because("goodwill")
            .by("waiter-2")
            .noting("ticket", "77")
            .reasoning("the dish was cold"),
    )
    .then_accepted();
    let [event] = newest(&after);
    assert_eq!(event.data.description(), Some("goodwill"));
    assert_eq!(event.actor.as_deref(), Some("waiter-2"));
    let reversal = event.data.reversal().expect("a reversal");
    assert_eq!(reversal.reason, "the dish was cold");
    assert_eq!(event.data.metadata().len(), 1);
}

#[test]
fn a_reversals_conditions_are_about_the_account_that_it_is_sent_to() {
    transferred()
        .when(
            reverse("A", 3)
                .expecting_version(2)
                .if_balance_at_least("70")
                .not_before(NOON)
                .expiring_at(TEN_PAST),
        )
        .then_accepted();
    transferred()
        .when(reverse("A", 3).expecting_version(3))
        .then_rejected(
            VersionConflict,
            "account A is at version 2, and the command expects 3; read it again",
            [("account_id", "A"), ("expected", "3"), ("actual", "2")],
        );
    transferred()
        .when(reverse("A", 3).if_balance_at_least("70.01"))
        .then_code(BalanceCondition);
}

#[test]
fn an_amount_is_one_of_the_earlier_commands_currency() {
    transferred()
        .when(reverse("A", 3).only("1.005"))
        .then_rejected(
            InvalidAmount,
            "amount: USD has 2 decimals, and 1.005 has 3; round it before sending",
            [
                ("field", "amount"),
                ("amount", "1.005"),
                ("currency", "USD"),
            ],
        );
    for (amount, shown) in [("0", "0"), ("0.00", "0.00"), ("-1", "-1")] {
        transferred()
            .when(reverse("A", 3).only(amount))
            .then_rejected(
                InvalidAmount,
                &format!("amount must be more than zero, and it is {shown}"),
                [("field", "amount"), ("amount", shown)],
            );
    }
    transferred()
        .when(reverse("A", 3).only(&"9".repeat(26)))
        .then_code(AmountOverflow);
    transferred()
        .when(reverse("A", 3).only(LARGEST_USD))
        .then_code(AmountExceedsRest);
    for (code, least, too_fine) in [
        ("JPY", "1", "0.1"),
        ("BHD", "0.001", "0.0001"),
        ("CLF", "0.0001", "0.00001"),
    ] {
        let before = || {
            given([
                open("A", "0").in_currency(code),
                deposit("A", "7"),
                reverse("A", 2).only(least),
            ])
        };
        before()
            .when(reverse("A", 2).only(too_fine))
            .then_code(InvalidAmount);
        before()
            .when(reverse("A", 2).only("7"))
            .then_code(AmountExceedsRest);
        let after = before().when(reverse("A", 2)).then_accepted();
        assert!(after.account("A").balance.is_zero(), "{code}");
    }
}
