//! Postings: entries that balance, per currency, in the order in which they stand.

mod support;

use ledger::RejectionCode::{
    AccountClosed, AccountFrozen, AccountNotFound, AlreadyReversed, AmountOverflow,
    BalanceCondition, CurrencyMismatch, InsufficientFunds, InvalidAmount, NotReversible,
    ReversalUncovered, TooMuchWritten, Unbalanced, VersionConflict,
};
use ledger::{Direction, Entry, Event, EventData, Scope};
use support::{
    Given, NOON, Request, close, command_id, credit, debit, deposit, freeze, given, hold, open,
    post, reverse, withdraw,
};

const LARGEST_USD: &str = "9999999999999999999999999.99";
const FIVE: &str = "00000000-0000-0000-0000-000000000005";

/// A has 100.00 USD, B and C nothing, E 50.00 EUR.
fn before() -> Given {
    given([
        open("A", "100"),
        open("B", "0"),
        open("C", "0"),
        open("E", "50").in_currency("EUR"),
    ])
}

/// The same, and command 5 has posted 30.00 from A: 20.00 to B and 10.00 to C.
fn posted() -> Given {
    before().when(split().number(5)).then_events([
        "A v2 MoneyWithdrawn 30.00 USD, balance 70.00",
        "B v2 MoneyDeposited 20.00 USD, balance 20.00",
        "C v2 MoneyDeposited 10.00 USD, balance 10.00",
    ])
}

fn split() -> Request {
    post([debit("A", "30"), credit("B", "20"), credit("C", "10")])
}

fn in_currency(entry: Entry, code: &str) -> Entry {
    Entry {
        currency: Some(code.parse().expect("a code")),
        ..entry
    }
}

/// The newest events.
fn newest(given: &Given, count: usize) -> &[Event] {
    &given.events[given.events.len() - count..]
}

#[test]
fn each_entry_is_one_movement_of_the_same_posting() {
    let after = before()
        .when(split().because("wages").by("teller-3").noting("month", "1"))
        .then_accepted();
    let events = newest(&after, 3);
    let command_id = events[0].command_id;
    for event in events {
        assert_eq!(event.data.posting_id(), Some(command_id.posting_id(0)));
        assert_eq!(event.data.transfer(), None);
        assert_eq!(event.data.hold(), None);
        assert_eq!(event.data.reversal(), None);
        assert!(event.data.is_internal());
        assert_eq!(event.recorded_at.to_string(), NOON);
        assert_eq!(event.part, None);
    }
    assert_ne!(
        command_id.posting_id(0).as_uuid(),
        command_id.transfer_id(0).as_uuid()
    );
}

#[test]
fn what_is_credited_may_stand_before_what_is_debited() {
    before()
        .when(post([
            credit("B", "0.01"),
            debit("A", "100"),
            credit("C", "99.99"),
        ]))
        .then_events([
            "B v2 MoneyDeposited 0.01 USD, balance 0.01",
            "A v2 MoneyWithdrawn 100.00 USD, balance 0.00",
            "C v2 MoneyDeposited 99.99 USD, balance 99.99",
        ]);
}

#[test]
fn entries_that_do_not_balance_are_refused_with_both_sums() {
    for (entries, debits, credits) in [
        (
            vec![debit("A", "30"), credit("B", "29.99")],
            "30.00",
            "29.99",
        ),
        (vec![debit("A", "30"), debit("A", "1")], "31.00", "0.00"),
        (vec![credit("B", "1"), credit("C", "2")], "0.00", "3.00"),
        (vec![debit("A", "5")], "5.00", "0.00"),
        (vec![credit("A", "5.5")], "0.00", "5.50"),
    ] {
        before().when(post(entries)).then_rejected(
            Unbalanced,
            &format!(
                "the entries do not balance: {debits} USD are debited and {credits} USD credited"
            ),
            [
                ("debits", debits),
                ("credits", credits),
                ("currency", "USD"),
            ],
        );
    }
}

/// 30.00 and 30.00 are no balance when they are of two currencies.
#[test]
fn each_currency_balances_by_itself() {
    before()
        .when(post([debit("A", "30"), credit("E", "30")]))
        .then_rejected(
            Unbalanced,
            "the entries do not balance: 0.00 EUR are debited and 30.00 EUR credited",
            [
                ("debits", "0.00"),
                ("credits", "30.00"),
                ("currency", "EUR"),
            ],
        );
    let exchange = |received: &str| {
        given([
            open("A", "100"),
            open("SHOP-USD", "0"),
            open("SHOP-EUR", "500").in_currency("EUR"),
            open("E", "50").in_currency("EUR"),
        ])
        .when(post([
            in_currency(debit("A", "30"), "USD"),
            credit("SHOP-USD", "30"),
            debit("SHOP-EUR", "27.5"),
            in_currency(credit("E", received), "EUR"),
        ]))
    };
    exchange("27.50").then_events([
        "A v2 MoneyWithdrawn 30.00 USD, balance 70.00",
        "SHOP-USD v2 MoneyDeposited 30.00 USD, balance 30.00",
        "SHOP-EUR v2 MoneyWithdrawn 27.50 EUR, balance 472.50",
        "E v2 MoneyDeposited 27.50 EUR, balance 77.50",
    ]);
    exchange("27.49").then_rejected(
        Unbalanced,
        "the entries do not balance: 27.50 EUR are debited and 27.49 EUR credited",
        [
            ("debits", "27.50"),
            ("credits", "27.49"),
            ("currency", "EUR"),
        ],
    );
}

/// Every entry counts on the one before.
#[test]
fn an_account_can_stand_in_several_entries() {
    let after = before()
        .when(post([
            debit("A", "60"),
            credit("B", "60"),
            debit("A", "40"),
            credit("A", "10"),
            debit("B", "10"),
            credit("C", "40"),
        ]))
        .then_events([
            "A v2 MoneyWithdrawn 60.00 USD, balance 40.00",
            "B v2 MoneyDeposited 60.00 USD, balance 60.00",
            "A v3 MoneyWithdrawn 40.00 USD, balance 0.00",
            "A v4 MoneyDeposited 10.00 USD, balance 10.00",
            "B v3 MoneyWithdrawn 10.00 USD, balance 50.00",
            "C v2 MoneyDeposited 40.00 USD, balance 40.00",
        ]);
    let events = newest(&after, 6);
    assert_eq!(events[2].prev_hash, events[0].hash);
    assert_eq!(events[3].prev_hash, events[2].hash);
    assert_eq!(events[4].prev_hash, events[1].hash);
}

#[test]
fn an_account_can_pay_itself() {
    before()
        .when(post([debit("A", "100"), credit("A", "100")]))
        .then_events([
            "A v2 MoneyWithdrawn 100.00 USD, balance 0.00",
            "A v3 MoneyDeposited 100.00 USD, balance 100.00",
        ]);
}

/// B gets what it pays in the same posting: it must have got it by then.
#[test]
fn an_account_must_have_what_leaves_it_when_its_turn_comes() {
    before()
        .when(post([
            debit("A", "30"),
            credit("B", "30"),
            debit("B", "30"),
            credit("C", "30"),
        ]))
        .then_events([
            "A v2 MoneyWithdrawn 30.00 USD, balance 70.00",
            "B v2 MoneyDeposited 30.00 USD, balance 30.00",
            "B v3 MoneyWithdrawn 30.00 USD, balance 0.00",
            "C v2 MoneyDeposited 30.00 USD, balance 30.00",
        ]);
    before()
        .when(post([
            debit("A", "30"),
            debit("B", "30"),
            credit("B", "30"),
            credit("C", "30"),
        ]))
        .then_rejected(
            InsufficientFunds,
            "entries[1]: account B has 0.00 USD available, and 30.00 USD is required",
            [
                ("account_id", "B"),
                ("available", "0.00"),
                ("required", "30.00"),
                ("currency", "USD"),
                ("entry", "1"),
            ],
        );
    // What is held cannot be posted, and an overdraft can.
    given([
        open("A", "100").with_overdraft_limit("20"),
        open("B", "0"),
        hold("A", 1, "50"),
    ])
    .when(post([debit("A", "70.01"), credit("B", "70.01")]))
    .then_code(InsufficientFunds);
    given([
        open("A", "100").with_overdraft_limit("20"),
        open("B", "0"),
        hold("A", 1, "50"),
    ])
    .when(post([debit("A", "70"), credit("B", "70")]))
    .then_events([
        "A v3 MoneyWithdrawn 70.00 USD, balance 30.00, held 50.00",
        "B v2 MoneyDeposited 70.00 USD, balance 70.00",
    ]);
}

#[test]
fn the_first_entry_that_is_refused_is_named() {
    let with = |entry| before().when(post([debit("A", "30"), entry, credit("C", "10")]));
    with(credit("D", "20")).then_rejected(
        AccountNotFound,
        "entries[1]: there is no account D; open it with create_account first",
        [("account_id", "D"), ("entry", "1")],
    );
    with(in_currency(credit("B", "20"), "EUR")).then_rejected(
        CurrencyMismatch,
        "entries[1]: account B is kept in USD, not in EUR",
        [
            ("account_id", "B"),
            ("account_currency", "USD"),
            ("currency", "EUR"),
            ("entry", "1"),
        ],
    );
    with(credit("B", "0")).then_rejected(
        InvalidAmount,
        "entries[1]: amount must be more than zero, and it is 0",
        [("field", "amount"), ("amount", "0"), ("entry", "1")],
    );
    with(credit("B", "20.001")).then_rejected(
        InvalidAmount,
        "entries[1]: amount: USD has 2 decimals, and 20.001 has 3; round it before sending",
        [
            ("field", "amount"),
            ("amount", "20.001"),
            ("currency", "USD"),
            ("entry", "1"),
        ],
    );
    // All accounts and amounts are looked at before the sums are, and the sums before the funds.
    before()
        .when(post([
            debit("B", "1000"),
            credit("C", "1"),
            credit("D", "1"),
        ]))
        .then_code(AccountNotFound);
    before()
        .when(post([debit("B", "1000"), credit("C", "1")]))
        .then_code(Unbalanced);
    before()
        .when(post([debit("B", "1000"), credit("C", "1000")]))
        .then_code(InsufficientFunds);
}

#[test]
fn a_frozen_account_takes_part_where_it_may() {
    let frozen = |scope| given([open("A", "100"), open("B", "100"), freeze("B", scope)]);
    let entries = |directions: [Direction; 2]| {
        ["A", "B"]
            .into_iter()
            .zip(directions)
            .map(|(account, direction)| Entry {
                direction,
                ..debit(account, "1")
            })
    };
    let (into, out_of) = (
        [Direction::Debit, Direction::Credit],
        [Direction::Credit, Direction::Debit],
    );
    for (scope, directions, forbidden, status) in [
        (Scope::Credits, into, "credits", "credits_frozen"),
        (Scope::Debits, out_of, "debits", "debits_frozen"),
        (Scope::All, into, "credits", "frozen"),
        (Scope::All, out_of, "debits", "frozen"),
    ] {
        frozen(scope).when(post(entries(directions))).then_rejected(
            AccountFrozen,
            &format!("entries[1]: account B is frozen ({status}), which forbids {forbidden}"),
            [
                ("account_id", "B"),
                ("status", status),
                ("forbidden", forbidden),
                ("entry", "1"),
            ],
        );
    }
    frozen(Scope::Credits)
        .when(post(entries(out_of)))
        .then_accepted();
    frozen(Scope::Debits)
        .when(post(entries(into)))
        .then_accepted();
}

#[test]
fn a_closed_account_takes_no_part() {
    for entries in [
        [debit("A", "1"), credit("B", "1")],
        [credit("A", "1"), debit("B", "1")],
    ] {
        given([open("A", "100"), open("B", "0"), close("B")])
            .when(post(entries))
            .then_rejected(
                AccountClosed,
                "entries[1]: account B is closed",
                [("account_id", "B"), ("entry", "1")],
            );
    }
}

#[test]
fn there_must_be_room_for_what_comes_in_when_its_turn_comes() {
    let full = || given([open("A", LARGEST_USD), open("B", "1")]);
    full()
        .when(post([credit("A", "1"), debit("B", "1")]))
        .then_code(AmountOverflow);
    full()
        .when(post([
            debit("A", "1"),
            credit("B", "1"),
            debit("B", "1"),
            credit("A", "1"),
        ]))
        .then_accepted();
    // The sums have room for more than any account has.
    full()
        .when(post([
            debit("A", LARGEST_USD),
            credit("A", LARGEST_USD),
            debit("A", LARGEST_USD),
            credit("A", LARGEST_USD),
        ]))
        .then_accepted();
    full()
        .when(post([
            debit("A", LARGEST_USD),
            debit("B", "1"),
            credit("B", LARGEST_USD),
            credit("A", "1"),
        ]))
        .then_accepted();
    full()
        .when(post([debit("A", &"9".repeat(26)), credit("B", "1")]))
        .then_code(AmountOverflow);
}

#[test]
fn the_conditions_are_about_the_account_of_the_first_entry() {
    let later = || before().when(deposit("B", "5")).then_accepted();
    later()
        .when(split().expecting_version(1).if_balance_at_least("100"))
        .then_accepted();
    later().when(split().expecting_version(2)).then_rejected(
        VersionConflict,
        "account A is at version 1, and the command expects 2; read it again",
        [("account_id", "A"), ("expected", "2"), ("actual", "1")],
    );
    later()
        .when(split().if_balance_at_least("100.01"))
        .then_code(BalanceCondition);
}

/// Also of the last of its entries.
#[test]
fn it_is_recorded_behind_the_newest_event_of_every_account() {
    let newest_of_c = "2026-01-31T13:00:00.000000Z";
    let after = given([
        open("A", "100"),
        open("B", "0"),
        open("C", "0").at(newest_of_c),
    ])
    .when(split())
    .then_accepted();
    for event in newest(&after, 3) {
        assert_eq!(event.recorded_at.to_string(), "2026-01-31T13:00:00.000001Z");
    }
}

#[test]
fn a_posting_goes_back_whole_entry_by_entry_from_the_last() {
    let after = posted().when(reverse("A", 5)).then_events([
        "C v3 MoneyWithdrawn 10.00 USD, balance 0.00, 10.00 of command 5 moved back",
        "B v3 MoneyWithdrawn 20.00 USD, balance 0.00, 20.00 of command 5 moved back",
        "A v3 MoneyDeposited 30.00 USD, balance 100.00, 30.00 of command 5 moved back",
    ]);
    let events = newest(&after, 3);
    let own_id = events[0].command_id;
    for event in events {
        assert_eq!(event.data.posting_id(), Some(own_id.posting_id(0)));
    }
    assert_ne!(own_id.posting_id(0), command_id(5).posting_id(0));
    after.clone().when(reverse("A", 5)).then_rejected(
        AlreadyReversed,
        &format!("all of the 30.00 USD of command {FIVE} has been moved back"),
        [
            ("reversed_command_id", FIVE),
            ("amount", "30.00"),
            ("currency", "USD"),
        ],
    );
    after
        .when(reverse("A", 5).only("1"))
        .then_code(AlreadyReversed);
}

#[test]
fn a_part_of_several_amounts_does_not_go_back() {
    for part in ["30", "10", "0.01", "0", "1000"] {
        posted().when(reverse("A", 5).only(part)).then_rejected(
            NotReversible,
            &format!(
                "command {FIVE} moved several amounts, so only all of it can be moved back; leave the amount out"
            ),
            [("reversed_command_id", FIVE)],
        );
    }
    // It was sent to the account of its first entry.
    posted()
        .when(reverse("B", 5))
        .then_code(ledger::RejectionCode::CommandNotFound);
}

/// Two entries are a transfer by another name.
#[test]
fn a_posting_of_one_amount_goes_back_in_parts() {
    let two = before()
        .when(post([credit("B", "30"), debit("A", "30")]).number(5))
        .then_accepted();
    two.when(reverse("B", 5).only("10"))
        .then_events([
            "A v3 MoneyDeposited 10.00 USD, balance 80.00, 10.00 of command 5 moved back",
            "B v3 MoneyWithdrawn 10.00 USD, balance 20.00, 10.00 of command 5 moved back",
        ])
        .when(reverse("B", 5))
        .then_events([
            "A v4 MoneyDeposited 20.00 USD, balance 100.00, 30.00 of command 5 moved back",
            "B v4 MoneyWithdrawn 20.00 USD, balance 0.00, 30.00 of command 5 moved back",
        ])
        .when(reverse("B", 5))
        .then_code(AlreadyReversed);
    // But not when both are on one account, which moved nothing.
    let itself = before()
        .when(post([debit("A", "30"), credit("A", "30")]).number(5))
        .then_accepted();
    itself
        .clone()
        .when(reverse("A", 5).only("10"))
        .then_code(NotReversible);
    itself.when(reverse("A", 5)).then_events([
        "A v4 MoneyWithdrawn 30.00 USD, balance 70.00, 30.00 of command 5 moved back",
        "A v5 MoneyDeposited 30.00 USD, balance 100.00, 60.00 of command 5 moved back",
    ]);
}

#[test]
fn a_reversal_obeys_what_every_movement_obeys() {
    let spent = posted().when(withdraw("C", "0.01")).then_accepted();
    spent.when(reverse("A", 5)).then_rejected(
        ReversalUncovered,
        &format!(
            "command {FIVE} cannot be moved back from where its money went: account C has 9.99 USD available, and 10.00 USD is required"
        ),
        [
            ("account_id", "C"),
            ("available", "9.99"),
            ("required", "10.00"),
            ("currency", "USD"),
            ("reversed_command_id", FIVE),
        ],
    );
    let frozen = posted().when(freeze("B", Scope::Debits)).then_accepted();
    frozen.when(reverse("A", 5)).then_code(AccountFrozen);
    let frozen = posted().when(freeze("B", Scope::Credits)).then_accepted();
    frozen.when(reverse("A", 5)).then_accepted();
    let reversed = posted().when(reverse("A", 5).number(6)).then_accepted();
    // A reversal was sent to the account that the reversed command was.
    reversed.when(reverse("A", 6)).then_code(NotReversible);
}

/// A text stands in each event, so that a thousand entries with a long one are too much; half as long they are not.
#[test]
fn what_would_be_written_has_a_limit() {
    let entries = || (0..500).flat_map(|_| [debit("A", "0.01"), credit("B", "0.01")]);
    let noted = |count: usize, request: Request| {
        (0..count).fold(request, |request, number| {
            request.noting(&format!("key-{number:02}"), &"x".repeat(500))
        })
    };
    before().when(noted(8, post(entries()))).then_rejected(
        TooMuchWritten,
        "the command would write more than 4194304 bytes, for its texts stand in every event; send several commands, or shorter texts",
        [("bytes_max", "4194304")],
    );
    let most = before()
        .when(noted(6, post(entries()).number(5)))
        .then_accepted();
    assert_eq!(newest(&most, 1_000).len(), 1_000);
    assert_eq!(most.account("A").balance.to_string(), "95.00");
    let moved = newest(&most, 1_000).iter();
    let mut moved = moved.filter(|event| matches!(event.data, EventData::MoneyDeposited(_)));
    assert_eq!(moved.by_ref().count(), 500);
    // The reversal's own texts stand in each of its events, too.
    most.clone()
        .when(noted(8, reverse("A", 5)))
        .then_code(TooMuchWritten);
    most.when(noted(5, reverse("A", 5))).then_accepted();
}
