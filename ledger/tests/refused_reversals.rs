//! `reverse`, refused: what is not there, what cannot be moved back, and what stands in the way of it.

mod support;

use ledger::RejectionCode::{
    AccountClosed, AccountFrozen, AccountNotFound, AlreadyReversed, AmountExceedsRest,
    AmountOverflow, BalanceCondition, CommandNotFound, Expired, InvalidAmount, NotReversible,
    ReversalUncovered, TooEarly, VersionConflict,
};
use ledger::{Accounts, RejectionCode, Scope};
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
fn not_reversible(before: &Given, number: u128) {
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
            not_reversible(&after, 50);
            // It was sent to A, and to nobody else.
            after.when(reverse("B", 50)).then_code(CommandNotFound);
        }
    }
    let after = captured(capture("A", 1).only("10").at_last().to("B"))
        .when(reverse("A", 4).number(50))
        .then_accepted();
    not_reversible(&after, 50);
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
        not_reversible(&after, 5);
    }
    not_reversible(&given([open("A", "100")]), 1);
    not_reversible(&given([open("A", "0")]), 1);
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
