//! Batches: all of their commands are done, one after the other, or none is.

mod support;

use std::collections::HashSet;

use ledger::RejectionCode::{
    AccountClosed, AccountExists, AccountNotFound, AlreadyReversed, AmountExceedsRest,
    BalanceCondition, CommandNotFound, Expired, HoldExists, InsufficientFunds, NotReversible,
    ReversalUncovered, TooEarly, TooMuchWritten, Unbalanced, VersionConflict,
};
use ledger::{Accounts, Event, Original, Scope};
use support::{
    Given, NOON, Request, account_id, batch, capture, close, command_id, credit, debit, deposit,
    freeze, given, hold, hold_id, open, post, release, rename, reverse, sweep, transfer, unfreeze,
    withdraw,
};

const AFTER_NOON: &str = "2026-01-31T12:00:00.000001Z";
const FIVE: &str = "00000000-0000-0000-0000-000000000005";

/// A has 100.00, B and C nothing; command 4 transfers 10.00 from A to B, of which they have 90.00 and 10.00 then.
fn before() -> Given {
    given([
        open("A", "100"),
        open("B", "0"),
        open("C", "0"),
        transfer("A", "B", "10"),
    ])
}

/// The same, and command 5 is a batch that has been accepted.
fn after(parts: impl IntoIterator<Item = Request>) -> Given {
    before().when(batch(parts).number(5)).then_accepted()
}

/// The newest events.
fn newest(given: &Given, count: usize) -> &[Event] {
    &given.events[given.events.len() - count..]
}

#[test]
fn each_command_sees_what_those_before_it_have_done() {
    let after = before()
        .when(batch([
            open("D", "5"),
            deposit("D", "20"),
            transfer("D", "C", "7"),
            hold("D", 1, "10"),
            capture("D", 1).only("4").at_last(),
            freeze("D", Scope::Credits),
            unfreeze("D", Scope::All),
            sweep("D", "A"),
            post([debit("A", "50"), credit("C", "50")]),
        ]))
        .then_events([
            "D v1 AccountCreated 5.00 USD, balance 5.00, part 0",
            "D v2 MoneyDeposited 20.00 USD, balance 25.00, part 1",
            "D v3 MoneyWithdrawn 7.00 USD, balance 18.00, part 2",
            "C v2 MoneyDeposited 7.00 USD, balance 7.00, part 2",
            "D v4 HoldPlaced 10.00 USD, balance 18.00, held 10.00, hold 1: 0.00 captured, 10.00 remain, part 3",
            "D v5 MoneyWithdrawn 4.00 USD, balance 14.00, held 6.00, hold 1: 4.00 captured, 6.00 remain, part 4",
            "D v6 HoldReleased 6.00 USD, balance 14.00, hold 1: 4.00 captured, 0.00 remain, part 4",
            "D v7 AccountFrozen, balance 14.00, part 5",
            "D v8 AccountUnfrozen, balance 14.00, part 6",
            "D v9 MoneyWithdrawn 14.00 USD, balance 0.00, part 7",
            "A v3 MoneyDeposited 14.00 USD, balance 104.00, part 7",
            "D v10 AccountClosed, balance 0.00, part 7",
            "A v4 MoneyWithdrawn 50.00 USD, balance 54.00, part 8",
            "C v3 MoneyDeposited 50.00 USD, balance 57.00, part 8",
        ]);
    assert_eq!(after.account("D").status.as_str(), "closed");
}

#[test]
fn the_order_of_the_commands_matters() {
    before()
        .when(batch([withdraw("C", "5"), deposit("C", "5")]))
        .then_rejected(
            InsufficientFunds,
            "commands[0] (withdraw): account C has 0.00 USD available, and 5.00 USD is required",
            [
                ("account_id", "C"),
                ("available", "0.00"),
                ("required", "5.00"),
                ("currency", "USD"),
                ("command", "0"),
            ],
        )
        .when(batch([deposit("C", "5"), withdraw("C", "5")]))
        .then_accepted();
    before()
        .when(batch([close("C"), deposit("C", "5")]))
        .then_rejected(
            AccountClosed,
            "commands[1] (deposit): account C is closed",
            [("account_id", "C"), ("command", "1")],
        );
}

#[test]
fn the_first_command_that_is_refused_refuses_all_and_is_named() {
    let known = before();
    let refused = known
        .clone()
        .when(batch([
            deposit("A", "5"),
            open("D", "0"),
            open("D", "0"),
            withdraw("A", "1000"),
        ]))
        .then_rejected(
            AccountExists,
            "commands[2] (create_account): account D exists already; choose another id",
            [("account_id", "D"), ("command", "2")],
        );
    assert_eq!(refused.account("A"), known.account("A"));
    assert_eq!(refused.book.account(&account_id("D")), None);
    assert_eq!(refused.events, known.events);
    before()
        .when(batch([
            hold("A", 1, "1"),
            hold("A", 2, "1"),
            hold("A", 1, "1"),
        ]))
        .then_rejected(
            HoldExists,
            &format!(
                "commands[2] (hold): account A has had a hold {} already; choose another id",
                hold_id(1)
            ),
            [
                ("account_id", "A"),
                ("hold_id", &hold_id(1).to_string()),
                ("command", "2"),
            ],
        );
}

#[test]
fn an_entry_of_a_posting_is_named_beside_the_posting() {
    before()
        .when(batch([
            deposit("A", "5"),
            post([debit("A", "5"), credit("D", "5")]),
        ]))
        .then_rejected(
            AccountNotFound,
            "commands[1] (post): entries[1]: there is no account D; open it with create_account first",
            [("account_id", "D"), ("command", "1"), ("entry", "1")],
        )
        .when(batch([post([debit("A", "5"), credit("B", "6")])]))
        .then_rejected(
            Unbalanced,
            "commands[0] (post): the entries do not balance: 5.00 USD are debited and 6.00 USD credited",
            [
                ("debits", "5.00"),
                ("credits", "6.00"),
                ("currency", "USD"),
                ("command", "0"),
            ],
        );
}

#[test]
fn a_batch_of_one_is_a_batch() {
    let after = before()
        .when(batch([deposit("A", "5")]))
        .then_events(["A v3 MoneyDeposited 5.00 USD, balance 95.00, part 0"]);
    assert_eq!(newest(&after, 1)[0].part, Some(0));
}

#[test]
fn the_conditions_of_the_batch_are_about_the_account_of_its_first_command() {
    let parts = || [deposit("A", "5"), deposit("B", "5")];
    before()
        .when(
            batch(parts())
                .expecting_version(2)
                .if_balance_at_least("90")
                .not_before(NOON)
                .expiring_at(AFTER_NOON),
        )
        .then_accepted();
    before()
        .when(batch(parts()).expecting_version(3))
        .then_rejected(
            VersionConflict,
            "account A is at version 2, and the command expects 3; read it again",
            [("account_id", "A"), ("expected", "3"), ("actual", "2")],
        );
    before()
        .when(batch(parts()).if_balance_at_least("90.01"))
        .then_code(BalanceCondition);
    before()
        .when(batch(parts()).expiring_at(NOON))
        .then_code(Expired);
    before()
        .when(batch(parts()).not_before(AFTER_NOON))
        .then_code(TooEarly);
    // An account that the batch itself opens is not there before.
    before()
        .when(batch([open("D", "0")]).expecting_version(1))
        .then_code(AccountNotFound);
    before()
        .when(batch([open("D", "0").expecting_version(0)]))
        .then_accepted();
}

#[test]
fn the_conditions_of_a_command_are_about_what_is_there_when_its_turn_comes() {
    before()
        .when(batch([
            deposit("A", "5")
                .expecting_version(2)
                .if_balance_at_least("90"),
            transfer("A", "B", "5")
                .expecting_version(3)
                .if_balance_at_least("95"),
            withdraw("B", "1").expecting_version(3),
            open("D", "1").expecting_version(0),
            rename("D", "Grace").expecting_version(1),
        ]))
        .then_accepted();
    before()
        .when(batch([
            deposit("A", "5"),
            withdraw("A", "1").expecting_version(2),
        ]))
        .then_rejected(
            VersionConflict,
            "commands[1] (withdraw): account A is at version 3, and the command expects 2; read it again",
            [
                ("account_id", "A"),
                ("expected", "2"),
                ("actual", "3"),
                ("command", "1"),
            ],
        )
        .when(batch([
            withdraw("A", "1"),
            deposit("A", "1").if_balance_at_least("90"),
        ]))
        .then_code(BalanceCondition);
    for (part, code) in [
        (deposit("A", "1").expiring_at(NOON), Expired),
        (deposit("A", "1").not_before(AFTER_NOON), TooEarly),
    ] {
        before()
            .when(batch([deposit("A", "5"), part]))
            .then_code(code);
    }
    before()
        .when(batch([
            deposit("A", "1").expiring_at(AFTER_NOON),
            deposit("A", "1").not_before(NOON),
        ]))
        .then_accepted();
}

/// Of all accounts that it names and of those whose money it moves back, the newest event says when.
#[test]
fn all_events_share_one_instant_behind_every_account_concerned() {
    let (one, two) = ("2026-01-31T13:00:00.000000Z", "2026-01-31T14:00:00.000000Z");
    let late = |last: Request| {
        given([
            open("A", "100"),
            open("B", "0"),
            open("C", "1"),
            transfer("A", "B", "10"),
            last,
        ])
    };
    for (last, parts) in [
        (
            deposit("C", "1").at(one),
            vec![deposit("A", "1"), withdraw("C", "1")],
        ),
        (
            deposit("C", "1").at(one),
            vec![deposit("A", "1"), post([debit("A", "1"), credit("C", "1")])],
        ),
        // Only what is moved back concerns B.
        (
            deposit("B", "1").at(one),
            vec![deposit("C", "1"), reverse("A", 4)],
        ),
    ] {
        let after = late(last).when(batch(parts)).then_accepted();
        for event in newest(&after, 2) {
            assert_eq!(event.recorded_at.to_string(), "2026-01-31T13:00:00.000001Z");
        }
    }
    // What a part opens is as old as the rest, and a hold that is over by then is not placed.
    late(deposit("C", "1").at(one))
        .when(batch([
            open("D", "5"),
            hold("D", 1, "1").until("2026-01-31T13:00:00.000001Z"),
            deposit("C", "1"),
        ]))
        .then_code(ledger::RejectionCode::HoldExpired);
    late(deposit("C", "1").at(one))
        .when(batch([deposit("A", "1"), deposit("B", "1")]).at(two))
        .then_accepted();
}

#[test]
fn ids_are_derived_by_the_place_among_all_events_of_the_batch() {
    let after = before()
        .when(batch([
            transfer("A", "B", "1"),
            deposit("C", "5"),
            transfer("A", "B", "1"),
            post([debit("A", "1"), credit("B", "1")]),
            post([debit("A", "1"), credit("C", "1")]),
        ]))
        .then_accepted();
    let events = newest(&after, 9);
    let command_id = events[0].command_id;
    let mut names = HashSet::new();
    for (index, event) in (0..).zip(events) {
        assert_eq!(event.event_id, command_id.event_id(index));
        assert!(names.insert(event.event_id));
        assert_eq!(event.recorded_at.to_string(), NOON);
    }
    let parts: Vec<_> = events.iter().filter_map(|event| event.part).collect();
    assert_eq!(parts, [0, 0, 1, 2, 2, 3, 3, 4, 4]);
    for (index, first) in [(0, 0), (1, 0), (3, 3), (4, 3)] {
        let leg = events[index].data.transfer().expect("a transfer");
        assert_eq!(leg.transfer_id, command_id.transfer_id(first));
    }
    for (index, first) in [(5, 5), (6, 5), (7, 7), (8, 7)] {
        let posting_id = events[index].data.posting_id();
        assert_eq!(posting_id, Some(command_id.posting_id(first)));
    }
}

#[test]
fn each_command_has_its_own_words_and_the_actor_of_the_batch() {
    let after = before()
        .when(
            batch([
                deposit("A", "1").because("one").noting("n", "1"),
                deposit("A", "1"),
            ])
            .because("both")
            .by("teller-3"),
        )
        .then_accepted();
    let [one, two] = newest(&after, 2) else {
        panic!("two events");
    };
    assert_eq!(one.data.description(), Some("one"));
    assert_eq!(one.data.metadata()["n"], "1");
    assert_eq!(two.data.description(), None);
    assert!(two.data.metadata().is_empty());
    for event in [one, two] {
        assert_eq!(event.actor.as_deref(), Some("teller-3"));
    }
}

#[test]
fn an_earlier_command_can_be_moved_back_in_a_batch() {
    before()
        .when(batch([
            reverse("A", 4).only("4"),
            reverse("A", 4).only("5"),
            reverse("A", 4),
            withdraw("A", "100"),
        ]))
        .then_events([
            "B v3 MoneyWithdrawn 4.00 USD, balance 6.00, 4.00 of command 4 moved back, part 0",
            "A v3 MoneyDeposited 4.00 USD, balance 94.00, 4.00 of command 4 moved back, part 0",
            "B v4 MoneyWithdrawn 5.00 USD, balance 1.00, 9.00 of command 4 moved back, part 1",
            "A v4 MoneyDeposited 5.00 USD, balance 99.00, 9.00 of command 4 moved back, part 1",
            "B v5 MoneyWithdrawn 1.00 USD, balance 0.00, 10.00 of command 4 moved back, part 2",
            "A v5 MoneyDeposited 1.00 USD, balance 100.00, 10.00 of command 4 moved back, part 2",
            "A v6 MoneyWithdrawn 100.00 USD, balance 0.00, part 3",
        ])
        .when(reverse("A", 4))
        .then_code(AlreadyReversed);
    before()
        .when(batch([reverse("A", 4), reverse("A", 4)]))
        .then_rejected(
            AlreadyReversed,
            &format!(
                "commands[1] (reverse): all of the 10.00 USD of command {} has been moved back",
                "00000000-0000-0000-0000-000000000004"
            ),
            [
                (
                    "reversed_command_id",
                    "00000000-0000-0000-0000-000000000004",
                ),
                ("amount", "10.00"),
                ("currency", "USD"),
                ("command", "1"),
            ],
        )
        // The refusal has changed nothing.
        .when(batch([
            reverse("A", 4).only("4"),
            reverse("A", 4).only("6.01"),
        ]))
        .then_code(AmountExceedsRest);
    // The batch itself is no earlier command.
    before()
        .when(batch([deposit("A", "1"), reverse("A", 5)]).number(5))
        .then_code(CommandNotFound);
}

#[test]
fn a_batch_of_movements_goes_back_whole_from_the_last_to_the_first() {
    let moved = after([
        deposit("A", "30"),
        transfer("A", "C", "20"),
        withdraw("A", "5"),
        transfer("C", "A", "15"),
        post([debit("A", "2"), credit("B", "1"), credit("C", "1")]),
    ]);
    assert_eq!(moved.account("A").balance.to_string(), "108.00");
    let back = moved.when(reverse("A", 5)).then_events([
        "C v5 MoneyWithdrawn 1.00 USD, balance 5.00, 1.00 of command 5 moved back",
        "B v4 MoneyWithdrawn 1.00 USD, balance 10.00, 1.00 of command 5 moved back",
        "A v8 MoneyDeposited 2.00 USD, balance 110.00, 2.00 of command 5 moved back",
        "A v9 MoneyWithdrawn 15.00 USD, balance 95.00, 17.00 of command 5 moved back",
        "C v6 MoneyDeposited 15.00 USD, balance 20.00, 16.00 of command 5 moved back",
        "A v10 MoneyDeposited 5.00 USD, balance 100.00, 22.00 of command 5 moved back",
        "C v7 MoneyWithdrawn 20.00 USD, balance 0.00, 36.00 of command 5 moved back",
        "A v11 MoneyDeposited 20.00 USD, balance 120.00, 42.00 of command 5 moved back",
        "A v12 MoneyWithdrawn 30.00 USD, balance 90.00, 72.00 of command 5 moved back",
    ]);
    let original = back.book.original(command_id(5)).expect("an original");
    let whole = original.whole(&account_id("A"));
    assert_eq!(
        whole.map(|whole| whole.to_string()).as_deref(),
        Some("72.00")
    );
    assert_eq!(original.reversed, whole);
    // Each transfer and each posting goes back as one of its own.
    let events = newest(&back, 9);
    let own_id = events[0].command_id;
    for (index, first) in [(3, 3), (4, 3), (6, 6), (7, 6)] {
        let leg = events[index].data.transfer().expect("a transfer");
        assert_eq!(leg.transfer_id, own_id.transfer_id(first));
    }
    for event in &events[..3] {
        assert_eq!(event.data.posting_id(), Some(own_id.posting_id(0)));
    }
    back.when(reverse("A", 5)).then_code(AlreadyReversed);
}

/// What two postings of one batch moved is not one posting when it goes back, though they stand side by side.
#[test]
fn two_postings_side_by_side_go_back_as_two() {
    let moved = after([
        post([debit("A", "2"), credit("B", "2")]),
        post([debit("A", "3"), credit("B", "3")]),
    ]);
    let back = moved.when(reverse("A", 5)).then_accepted();
    let events = newest(&back, 4);
    let own_id = events[0].command_id;
    let ids: Vec<_> = events
        .iter()
        .filter_map(|event| event.data.posting_id())
        .collect();
    let (one, two) = (own_id.posting_id(0), own_id.posting_id(2));
    assert_eq!(ids, [one, one, two, two]);
}

#[test]
fn several_amounts_do_not_go_back_in_parts() {
    for parts in [
        vec![deposit("A", "1"), deposit("A", "2")],
        vec![transfer("A", "B", "1"), transfer("A", "B", "1")],
        // The same amount twice is not the same money twice.
        vec![deposit("A", "1"), deposit("B", "1")],
        vec![deposit("A", "1"), withdraw("B", "1")],
    ] {
        let moved = after(parts);
        moved.clone().when(reverse("A", 5).only("1")).then_rejected(
            NotReversible,
            &format!(
                "command {FIVE} moved several amounts, so only all of it can be moved back; leave the amount out"
            ),
            [("reversed_command_id", FIVE)],
        );
        moved
            .when(reverse("A", 5))
            .then_accepted()
            .when(reverse("A", 5))
            .then_code(AlreadyReversed);
    }
    // One amount that moved once does, whatever it was moved by.
    for part in [
        deposit("A", "3"),
        transfer("A", "B", "3"),
        post([debit("A", "3"), credit("B", "3")]),
    ] {
        after([part])
            .when(reverse("A", 5).only("1"))
            .then_accepted()
            .when(reverse("A", 5))
            .then_accepted();
    }
}

#[test]
fn a_batch_that_did_anything_else_than_move_money_is_not_reversible() {
    let held = || {
        given([
            open("A", "100"),
            open("B", "0"),
            hold("A", 1, "30"),
            hold("A", 2, "30"),
        ])
    };
    for parts in [
        vec![release("A", 1), transfer("A", "B", "1")],
        vec![transfer("A", "B", "1"), release("A", 1)],
        // Only what the last capture itself releases is no obstacle.
        vec![capture("A", 1).only("10"), release("A", 1)],
        vec![capture("A", 1).only("10").at_last(), release("A", 2)],
        vec![deposit("A", "1"), rename("A", "Grace")],
        vec![deposit("A", "1"), open("C", "0")],
        vec![deposit("A", "1"), hold("A", 3, "1")],
        vec![deposit("A", "1"), sweep("B", "A")],
    ] {
        let sent_to = parts[0].command.account_id().to_string();
        let moved = held().when(batch(parts).number(5)).then_accepted();
        moved
            .when(reverse(&sent_to, 5))
            .then_rejected(
                NotReversible,
                &format!(
                    "command {FIVE} cannot be reversed: it did something else than move money, or is a reversal itself"
                ),
                [("reversed_command_id", FIVE)],
            );
    }
    let captured = held()
        .when(
            batch([
                capture("A", 1).only("10").at_last(),
                capture("A", 2).only("5").to("B"),
            ])
            .number(5),
        )
        .then_accepted();
    captured.when(reverse("A", 5)).then_events([
        "B v3 MoneyWithdrawn 5.00 USD, balance 0.00, 5.00 of command 5 moved back",
        "A v7 MoneyDeposited 5.00 USD, balance 90.00, held 25.00, 5.00 of command 5 moved back",
        "A v8 MoneyDeposited 10.00 USD, balance 100.00, held 25.00, 15.00 of command 5 moved back",
    ]);
    // A batch that moved something back is a reversal itself.
    let back = after([deposit("C", "1"), reverse("A", 4)]);
    back.when(reverse("C", 5)).then_code(NotReversible);
    let back = after([reverse("A", 4), deposit("C", "1")]);
    back.when(reverse("A", 5)).then_code(NotReversible);
}

/// A batch that begins with a reversal was sent to the account that the reversed command was, not to the one that it takes
/// the money from.
#[test]
fn a_batch_was_sent_to_the_account_of_its_first_command() {
    for (parts, sent_to) in [
        (vec![reverse("A", 4), deposit("C", "1")], "A"),
        (vec![deposit("C", "1"), reverse("A", 4)], "C"),
        (vec![transfer("B", "C", "1"), deposit("A", "1")], "B"),
        (vec![post([credit("C", "1"), debit("A", "1")])], "C"),
        (vec![open("D", "1"), transfer("D", "A", "1")], "D"),
    ] {
        let moved = after(parts);
        let own = moved
            .events
            .iter()
            .filter(|event| event.command_id == command_id(5));
        let own: Vec<Event> = own.cloned().collect();
        let original = Original::of(&own).expect("events");
        assert_eq!(original.account_id, account_id(sent_to));
        for other in ["A", "B", "C"] {
            if other != sent_to {
                moved
                    .clone()
                    .when(reverse(other, 5))
                    .then_code(CommandNotFound);
            }
        }
    }
}

/// The money must be there on the way back, step by step, which is another way than the one that it came.
#[test]
fn a_reversal_of_a_batch_is_covered_at_each_step_or_not_done() {
    let moved = after([
        deposit("C", "10"),
        transfer("C", "B", "10"),
        withdraw("B", "15"),
    ]);
    let back = moved.clone().when(reverse("C", 5)).then_accepted();
    assert_eq!(back.account("B").balance.to_string(), "10.00");
    let spent = moved.when(withdraw("B", "5")).then_accepted();
    // The withdrawal comes back first, so that there is enough for the transfer.
    let back = spent.when(reverse("C", 5)).then_accepted();
    assert_eq!(back.account("B").balance.to_string(), "5.00");
    assert_eq!(back.account("C").balance.to_string(), "0.00");
    let moved = after([withdraw("B", "5"), deposit("B", "5"), deposit("C", "1")]);
    let spent = moved.when(withdraw("B", "6")).then_accepted();
    spent.when(reverse("B", 5)).then_rejected(
        ReversalUncovered,
        &format!(
            "command {FIVE} cannot be moved back from where its money went: account B has 4.00 USD available, and 5.00 USD is required"
        ),
        [
            ("account_id", "B"),
            ("available", "4.00"),
            ("required", "5.00"),
            ("currency", "USD"),
            ("reversed_command_id", FIVE),
        ],
    );
}

/// As much as there can be twice is more than what has been moved back can say.
#[test]
fn more_than_a_balance_can_have_does_not_go_back() {
    let largest = "9999999999999999999999999.99";
    let moved = given([open("A", "0"), open("B", "0")])
        .when(
            batch([
                deposit("A", largest),
                withdraw("A", "0.01"),
                withdraw("A", "1"),
            ])
            .number(5),
        )
        .then_accepted();
    moved
        .when(reverse("A", 5))
        .then_code(ledger::RejectionCode::AmountOverflow);
}

#[test]
fn what_would_be_written_has_a_limit() {
    let long = "x".repeat(2_048);
    let many = |count: usize, text: &str| {
        batch((0..count).map(|_| {
            let part = deposit("A", "0.01").because(text);
            (0..4).fold(part, |part, n| {
                part.noting(&n.to_string(), &"x".repeat(512))
            })
        }))
    };
    before().when(many(1_000, &long)).then_rejected(
        TooMuchWritten,
        "the command would write more than 4194304 bytes, for its texts stand in every event; send several commands, or shorter texts",
        [("bytes_max", "4194304")],
    );
    before().when(many(800, &long)).then_accepted();
    // Each change of what is known about an account writes all that is known.
    let changes =
        |count: usize| batch((0..count).map(|number| rename("A", &format!("{number:0256}"))));
    before().when(changes(1_000)).then_accepted();
    let metadata: std::collections::BTreeMap<String, String> = (0..50)
        .map(|n| (format!("{n:064}"), "x".repeat(512)))
        .collect();
    let mut described = support::describe("A", []);
    if let ledger::Action::UpdateAccount(update) = &mut described.command.action {
        update.account_metadata = Some(metadata);
    }
    let known = before().when(described).then_accepted();
    known.clone().when(changes(1_000)).then_code(TooMuchWritten);
    known.when(changes(100)).then_accepted();
}
