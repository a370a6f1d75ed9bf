//! `reverse`: the money of an earlier command is moved back, all of it or the same part of each movement.

mod support;

use ledger::RejectionCode::{
    AccountClosed, AccountFrozen, AccountNotFound, AlreadyReversed, AmountExceedsRest,
    AmountOverflow, BalanceCondition, CommandNotFound, Expired, InvalidAmount, NotReversible,
    ReversalUncovered, TooEarly, VersionConflict,
};
use ledger::{Accounts, Event, EventData, RejectionCode, Scope};
use support::{
    Given, NOON, Request, account_id, capture, close, command_id, deposit, expire_hold, freeze,
    given, hold, open, release, rename, reverse, set_overdraft_limit, sweep, transfer, unfreeze,
    withdraw,
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

#[test]
fn money_that_was_spent_is_not_moved_back() {
    let spent = given([
        open("A", "100"),
        open("B", "5"),
        transfer("A", "B", "30"),
        withdraw("B", "10"),
    ]);
    let after = spent.when(reverse("A", 3)).then_rejected(
        ReversalUncovered,
        &format!(
            "command {THREE} cannot be moved back from where its money went: account B has 25.00 USD available, and 30.00 USD is required"
        ),
        [
            ("account_id", "B"),
            ("available", "25.00"),
            ("required", "30.00"),
            ("currency", "USD"),
            ("reversed_command_id", THREE),
        ],
    );
    // A part of it is there, to the cent; the rest comes when it is there again.
    after
        .clone()
        .when(reverse("A", 3).only("25.01"))
        .then_code(ReversalUncovered);
    after
        .when(reverse("A", 3).only("25"))
        .then_accepted()
        .when(deposit("B", "5"))
        .then_accepted()
        .when(reverse("A", 3))
        .then_events([
            "B v6 MoneyWithdrawn 5.00 USD, balance 0.00, 30.00 of command 3 moved back",
            "A v4 MoneyDeposited 5.00 USD, balance 100.00, 30.00 of command 3 moved back",
        ]);
}

#[test]
fn money_that_is_held_is_not_moved_back() {
    given([
        open("A", "0"),
        open("B", "0"),
        deposit("A", "30"),
        hold("A", 1, "12"),
    ])
    .when(reverse("A", 3))
    .then_rejected(
        ReversalUncovered,
        &format!(
            "command {THREE} cannot be moved back from where its money went: account A has 18.00 USD available, and 30.00 USD is required; 12.00 USD is held"
        ),
        [
            ("account_id", "A"),
            ("available", "18.00"),
            ("held", "12.00"),
            ("required", "30.00"),
            ("currency", "USD"),
            ("reversed_command_id", THREE),
        ],
    )
    .when(reverse("A", 3).only("18"))
    .then_events([
        "A v4 MoneyWithdrawn 18.00 USD, balance 12.00, held 12.00, 18.00 of command 3 moved back",
    ]);
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

#[test]
fn a_freeze_forbids_what_a_reversal_does_and_nothing_else() {
    let frozen =
        |before: Given, account: &str, scope| before.when(freeze(account, scope)).then_accepted();
    // A deposit goes out, a withdrawal comes in.
    for (before, forbidding, allowing) in [
        (deposited(), Scope::Debits, Scope::Credits),
        (withdrawn(), Scope::Credits, Scope::Debits),
    ] {
        for scope in [forbidding, Scope::All] {
            frozen(before.clone(), "A", scope)
                .when(reverse("A", 3))
                .then_code(AccountFrozen);
        }
        frozen(before, "A", allowing)
            .when(reverse("A", 3))
            .then_accepted();
    }
    // A transfer is taken from B and given to A.
    for (account, scope, status, forbidden) in [
        ("A", Scope::Credits, "credits_frozen", "credits"),
        ("A", Scope::All, "frozen", "credits"),
        ("B", Scope::Debits, "debits_frozen", "debits"),
        ("B", Scope::All, "frozen", "debits"),
    ] {
        let after = frozen(transferred(), account, scope)
            .when(reverse("A", 3))
            .then_rejected(
                AccountFrozen,
                &format!("account {account} is frozen ({status}), which forbids {forbidden}"),
                [
                    ("account_id", account),
                    ("status", status),
                    ("forbidden", forbidden),
                ],
            );
        after
            .when(unfreeze(account, Scope::All))
            .then_accepted()
            .when(reverse("A", 3))
            .then_accepted();
    }
    for (account, scope) in [("A", Scope::Debits), ("B", Scope::Credits)] {
        frozen(transferred(), account, scope)
            .when(reverse("A", 3))
            .then_accepted();
    }
}

#[test]
fn nothing_is_moved_back_from_or_to_an_account_that_is_closed() {
    let closed =
        |before: Given, account: &str, to: &str| before.when(sweep(account, to)).then_accepted();
    for before in [deposited(), withdrawn(), transferred()] {
        closed(before, "A", "B")
            .when(reverse("A", 3))
            .then_rejected(AccountClosed, "account A is closed", [("account_id", "A")]);
    }
    closed(transferred(), "B", "A")
        .when(reverse("A", 3))
        .then_rejected(AccountClosed, "account B is closed", [("account_id", "B")]);
}

#[test]
fn an_account_that_is_not_there_has_nothing_to_reverse() {
    transferred().when(reverse("GHOST", 3)).then_rejected(
        AccountNotFound,
        "there is no account GHOST; open it with create_account first",
        [("account_id", "GHOST")],
    );
}

#[test]
fn a_command_that_was_not_accepted_cannot_be_found() {
    for unknown in [9, 1_003, u128::MAX, 0] {
        let id = command_id(unknown).to_string();
        transferred().when(reverse("A", unknown)).then_rejected(
            CommandNotFound,
            &format!("no command {id} was accepted that had been sent to account A"),
            [("account_id", "A"), ("reversed_command_id", &id)],
        );
    }
    // Not even when it was sent.
    transferred()
        .when(withdraw("A", "1000").number(77))
        .then_rejected(
            RejectionCode::InsufficientFunds,
            "account A has 70.00 USD available, and 1000.00 USD is required",
            [
                ("account_id", "A"),
                ("available", "70.00"),
                ("required", "1000.00"),
                ("currency", "USD"),
            ],
        )
        .when(reverse("A", 77))
        .then_code(CommandNotFound);
    // A command cannot reverse itself: it is none yet.
    transferred()
        .when(reverse("A", 77).number(77))
        .then_code(CommandNotFound);
}

/// A transfer was sent to the account that pays: whoever got the money cannot send it back by `reverse`.
#[test]
fn a_command_belongs_to_the_account_that_it_was_sent_to() {
    transferred().when(reverse("B", 3)).then_rejected(
        CommandNotFound,
        &format!("no command {THREE} was accepted that had been sent to account B"),
        [("account_id", "B"), ("reversed_command_id", THREE)],
    );
    deposited().when(reverse("B", 3)).then_code(CommandNotFound);
    captured(capture("A", 1).to("B"))
        .when(reverse("B", 4))
        .then_code(CommandNotFound);
}

#[track_caller]
fn not_reversible(before: Given, number: u128) {
    let id = command_id(number).to_string();
    for request in [reverse("A", number), reverse("A", number).only("-1")] {
        before.clone().when(request).then_rejected(
            NotReversible,
            &format!(
                "command {id} cannot be reversed: it did something else than move money, or is a reversal itself"
            ),
            [("reversed_command_id", &id)],
        );
    }
}

#[test]
fn a_reversal_is_not_reversed_whichever_way_its_money_went() {
    for before in [deposited(), withdrawn(), transferred()] {
        for part in [reverse("A", 3), reverse("A", 3).only("1")] {
            let after = before.clone().when(part.number(50)).then_accepted();
            not_reversible(after.clone(), 50);
            // It was sent to A, and to nobody else.
            after.when(reverse("B", 50)).then_code(CommandNotFound);
        }
    }
    let after = captured(capture("A", 1).only("10").at_last().to("B"))
        .when(reverse("A", 4).number(50))
        .then_accepted();
    not_reversible(after.clone(), 50);
    after.when(reverse("B", 50)).then_code(CommandNotFound);
}

#[test]
fn what_did_something_else_than_move_money_is_not_reversed() {
    let others: [Request; 9] = [
        hold("A", 2, "1"),
        release("A", 1),
        release("A", 1).only("1"),
        expire_hold("A", 3).at("2026-01-31T09:00:00Z"),
        freeze("A", Scope::Debits),
        unfreeze("A", Scope::Credits),
        set_overdraft_limit("A", "50"),
        rename("A", "Grace"),
        hold("A", 4, "1").until("2026-02-28T00:00:00Z"),
    ];
    for request in others {
        let after = given([
            open("A", "100"),
            hold("A", 1, "5"),
            hold("A", 3, "5").until("2026-01-31T09:00:00Z"),
            freeze("A", Scope::Credits),
            request,
        ]);
        not_reversible(after, 5);
    }
    not_reversible(given([open("A", "100")]), 1);
    not_reversible(given([open("A", "0")]), 1);
}

/// A closing with a sweep moves money, but an account that is closed does not come back. Both are said of its own account:
/// that it is closed comes first.
#[test]
fn a_closing_is_not_reversed() {
    let swept = || given([open("A", "100"), open("B", "0"), sweep("A", "B")]);
    swept().when(reverse("A", 3)).then_code(AccountClosed);
    swept().when(reverse("B", 3)).then_code(CommandNotFound);
    let original = swept();
    let original = original.book.original(command_id(3));
    let original = original.expect("it was accepted");
    assert!(original.is_final);
    assert_eq!(original.account_id, account_id("A"));
    assert_eq!(original.movements.len(), 2);
    given([open("A", "0"), close("A")])
        .when(reverse("A", 2))
        .then_code(AccountClosed);
}

#[test]
fn a_credit_that_has_no_room_moves_nothing_back() {
    let full = given([
        open("A", "30"),
        open("B", "5"),
        transfer("A", "B", "30"),
        deposit("A", LARGEST_USD),
    ]);
    let after = full.when(reverse("A", 3)).then_rejected(
        AmountOverflow,
        "the balance of account A and its overdraft limit would add up to more than 27 digits, decimals included",
        [("account_id", "A")],
    );
    assert_eq!(after.account("B").balance.to_string(), "35.00");
    let rest = after.book.original(command_id(3)).expect("an original");
    assert_eq!(rest.reversed, None);
    after
        .when(withdraw("A", "29.99"))
        .then_accepted()
        .when(reverse("A", 3).only("29.99"))
        .then_accepted()
        .when(reverse("A", 3))
        .then_code(AmountOverflow);
    // An overdraft limit takes room, too.
    given([
        open("A", LARGEST_USD),
        withdraw("A", "1"),
        set_overdraft_limit("A", "0.01"),
    ])
    .when(reverse("A", 2))
    .then_code(AmountOverflow);
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
fn of_several_reasons_the_first_is_given() {
    let all = || {
        reverse("A", 9)
            .only("1.005")
            .expiring_at(NOON)
            .not_before(TEN_PAST)
            .expecting_version(9)
            .if_balance_at_least("900")
    };
    let in_time = || all().expiring_at("2026-01-31T13:00:00Z").not_before(NOON);
    let at_that_version = || in_time().expecting_version(2);
    transferred().when(all()).then_code(Expired);
    transferred()
        .when(all().expiring_at("2026-01-31T13:00:00Z"))
        .then_code(TooEarly);
    transferred().when(in_time()).then_code(VersionConflict);
    transferred()
        .when(at_that_version())
        .then_code(BalanceCondition);
    // The account, then the command.
    let closed = || transferred().when(sweep("A", "B")).then_accepted();
    closed().when(reverse("A", 9)).then_code(AccountClosed);
    transferred()
        .when(at_that_version().if_balance_at_least("70"))
        .then_code(CommandNotFound);
    // Whether the command can be reversed at all, then what stands in the way of it.
    let frozen = || {
        transferred()
            .when(freeze("A", Scope::All))
            .then_accepted()
            .when(freeze("B", Scope::All))
            .then_accepted()
    };
    frozen().when(reverse("A", 9)).then_code(CommandNotFound);
    frozen().when(reverse("A", 1)).then_code(NotReversible);
    // Of the two accounts, the one that got the money.
    frozen().when(reverse("A", 3)).then_rejected(
        AccountFrozen,
        "account B is frozen (frozen), which forbids debits",
        [
            ("account_id", "B"),
            ("status", "frozen"),
            ("forbidden", "debits"),
        ],
    );
    frozen()
        .when(reverse("A", 3).only("-1"))
        .then_code(AccountFrozen);
    // Freezes, then how much is left of it, then the amount, then the funds, then the room.
    let reversed = || transferred().when(reverse("A", 3)).then_accepted();
    reversed()
        .when(freeze("B", Scope::Debits))
        .then_accepted()
        .when(reverse("A", 3))
        .then_code(AccountFrozen);
    reversed()
        .when(reverse("A", 3).only("1.005"))
        .then_code(AlreadyReversed);
    let spent_and_full = || {
        given([
            open("A", "30"),
            open("B", "0"),
            transfer("A", "B", "30"),
            withdraw("B", "1"),
            deposit("A", LARGEST_USD),
        ])
    };
    spent_and_full()
        .when(reverse("A", 3).only("30.001"))
        .then_code(InvalidAmount);
    spent_and_full()
        .when(reverse("A", 3).only("30.01"))
        .then_code(AmountExceedsRest);
    spent_and_full()
        .when(reverse("A", 3))
        .then_code(ReversalUncovered);
    spent_and_full()
        .when(reverse("A", 3).only("29"))
        .then_code(AmountOverflow);
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

/// Its times are compared with what would be recorded, which is after the newest event of both accounts.
#[test]
fn a_clock_that_is_behind_either_account_is_not_believed() {
    let touched = |account: &'static str| {
        transferred()
            .when(deposit(account, "1").at(NOON))
            .then_accepted()
    };
    let (early, after_noon) = ("2026-01-31T11:00:00Z", "2026-01-31T12:00:00.000001Z");
    for account in ["A", "B"] {
        touched(account)
            .when(reverse("A", 3).expiring_at(after_noon).at(early))
            .then_rejected(
                Expired,
                &format!("the command expired at {after_noon}, and it is {after_noon}"),
                [("expires_at", after_noon), ("recorded_at", after_noon)],
            );
        touched(account)
            .when(reverse("A", 3).not_before(after_noon).at(early))
            .then_accepted();
    }
    // What another account's command touched does not matter, even to a refusal.
    let before = || {
        given([
            open("A", "100"),
            open("B", "100"),
            open("C", "0"),
            transfer("B", "C", "1"),
            deposit("C", "1").at(NOON),
        ])
    };
    before()
        .when(reverse("A", 4).expiring_at(after_noon).at(early))
        .then_code(CommandNotFound);
    before()
        .when(reverse("B", 4).expiring_at(after_noon).at(early))
        .then_code(Expired);
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

/// A book that knows the newest reversal goes on as the one that saw all of them; see `Original::of` and `take`.
#[test]
fn an_original_loaded_from_its_events_and_the_newest_reversal_is_the_one_that_was_kept() {
    let after = transferred()
        .when(reverse("A", 3).only("10"))
        .then_accepted()
        .when(reverse("A", 3).only("5"))
        .then_accepted();
    let mut loaded = ledger::Original::of(&after.events[2..4]).expect("there are events");
    assert_eq!(loaded.reversed, None);
    for event in &after.events[4..] {
        let mut one = loaded.clone();
        one.take(event);
        // What the other account says of it is not looked at.
        let is_its_own = event.account_id == account_id("A");
        assert_eq!(one.reversed.is_some(), is_its_own);
    }
    // Nor is what was moved back of another command.
    let others = withdrawn()
        .when(withdraw("A", "1").number(60))
        .then_accepted()
        .when(reverse("A", 60))
        .then_accepted();
    let [other] = newest(&others);
    loaded.take(other);
    assert_eq!(loaded.reversed, None);
    loaded.take(after.events.last().expect("an event"));
    assert_eq!(after.book.original(command_id(3)), Some(&loaded));
    assert_eq!(
        loaded.account_ids().collect::<Vec<_>>(),
        [&account_id("A"), &account_id("B")]
    );
    assert_eq!(ledger::Original::of(&[]), None);
}

/// The events of a batch are applied to one book before the next command is decided.
#[test]
fn several_reversals_in_one_batch_know_of_each_other() {
    let batch = (0..3).map(|_| reverse("A", 3).only("10").at(NOON));
    let history = [open("A", "100"), open("B", "5"), transfer("A", "B", "30")];
    let after = given(history.into_iter().chain(batch));
    let times: Vec<String> = after.events[4..]
        .iter()
        .map(|event| event.recorded_at.to_string())
        .collect();
    assert_eq!(
        times[..4],
        [
            NOON,
            NOON,
            "2026-01-31T12:00:00.000001Z",
            "2026-01-31T12:00:00.000001Z"
        ]
    );
    after
        .when(reverse("A", 3).only("0.01"))
        .then_code(AlreadyReversed);
}

/// What a reversal is made of is in the hash: nothing of it can be changed unnoticed.
#[test]
fn no_field_of_a_reversal_can_be_changed_without_another_hash() {
    let after = transferred()
        .when(reverse("A", 3).only("10"))
        .then_accepted();
    let changes: [fn(&mut ledger::Reversal); 3] = [
        |reversal| reversal.command_id = command_id(4),
        |reversal| reversal.reversed = reversal.reversed.negated(),
        |reversal| reversal.reason = "another".to_owned(),
    ];
    let moved = |event: &Event| match &event.data {
        EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) => moved.clone(),
        other => panic!("{other:?}"),
    };
    for event in newest::<2>(&after) {
        let mut variants = Vec::new();
        for change in changes {
            let mut one = moved(event);
            change(one.reversal.as_mut().expect("a reversal"));
            variants.push(one);
        }
        let mut without = moved(event);
        without.reversal = None;
        variants.push(without);
        for variant in variants {
            let data = match &event.data {
                EventData::MoneyDeposited(_) => EventData::MoneyDeposited(variant),
                _ => EventData::MoneyWithdrawn(variant),
            };
            let changed = Event {
                data,
                ..event.clone()
            };
            assert!(changed.check_hash().is_err(), "{changed:?}");
        }
    }
    // Each account's chain goes on over it.
    let [debit, credit] = newest(&after);
    assert_eq!(credit.prev_hash, after.events[2].hash);
    assert_eq!(debit.prev_hash, after.events[3].hash);
}

/// Money of another currency in it is refused, and does not panic.
#[test]
fn a_reversal_in_another_currency_does_not_follow() {
    let after = withdrawn().when(reverse("A", 3)).then_accepted();
    let [event] = newest(&after);
    let mut changed = event.clone();
    let EventData::MoneyDeposited(moved) = &mut changed.data else {
        panic!("{changed:?}");
    };
    let euros = given([open("E", "30").in_currency("EUR")]);
    let euros = euros.account("E").balance;
    moved.reversal.as_mut().expect("a reversal").reversed = euros;
    let mut before = withdrawn();
    let known = before.book.original(command_id(3)).cloned();
    let error = before.book.apply(&changed).expect_err("it cannot follow");
    assert_eq!(
        error.to_string(),
        "account A version 3: the account is kept in USD, and the event is in EUR"
    );
    assert_eq!(before.book.original(command_id(3)), known.as_ref());
}
