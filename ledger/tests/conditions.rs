//! A command's own conditions: `if_balance_at_least`, `not_before`, `expires_at`. `expected_version` has a file of its
//! own.

mod support;

use ledger::RejectionCode::{
    AccountNotFound, AmountOverflow, BalanceCondition, Expired, InsufficientFunds, InvalidAmount,
    SameAccount, TooEarly, VersionConflict,
};
use support::{
    Given, NOON, Request, batch, capture, close, credit, debit, deposit, expire_hold, freeze,
    given, hold, open, post, release, rename, reverse, set_overdraft_limit, timestamp, transfer,
    unfreeze, withdraw,
};

const BEFORE_NOON: &str = "2026-01-31T11:59:59.999999Z";
const AFTER_NOON: &str = "2026-01-31T12:00:00.000001Z";

fn before() -> Given {
    given([
        open("A", "100").with_overdraft_limit("50"),
        open("B", "1"),
        hold("A", 1, "30").until("2026-01-31T11:00:00Z"),
        hold("A", 2, "10"),
        freeze("A", ledger::Scope::Credits),
        withdraw("B", "1"),
    ])
}

/// One of each type, which would all be accepted at noon.
fn one_of_each() -> [Request; 16] {
    [
        open("C", "1"),
        deposit("B", "1"),
        withdraw("A", "1"),
        transfer("A", "B", "1"),
        freeze("A", ledger::Scope::Debits),
        unfreeze("A", ledger::Scope::Credits),
        close("B"),
        release("A", 2),
        set_overdraft_limit("A", "40"),
        rename("A", "Grace"),
        hold("A", 3, "1"),
        capture("A", 2),
        expire_hold("A", 1),
        reverse("B", 6),
        post([debit("A", "1"), credit("B", "1")]),
        batch([withdraw("A", "1"), deposit("B", "1")]),
    ]
}

#[test]
fn a_command_is_decided_before_it_expires_and_not_then() {
    for request in one_of_each() {
        before()
            .when(request.clone().expiring_at(AFTER_NOON))
            .then_accepted();
        for expires_at in [BEFORE_NOON, NOON] {
            let shown = timestamp(expires_at).to_string();
            before()
                .when(request.clone().expiring_at(expires_at))
                .then_rejected(
                    Expired,
                    &format!("the command expired at {shown}, and it is {NOON}"),
                    [("expires_at", &shown), ("recorded_at", NOON)],
                );
        }
    }
}

#[test]
fn a_command_is_decided_at_its_instant_and_not_before() {
    for request in one_of_each() {
        for not_before in [BEFORE_NOON, NOON] {
            before()
                .when(request.clone().not_before(not_before))
                .then_accepted();
        }
        before()
            .when(request.not_before(AFTER_NOON))
            .then_rejected(
                TooEarly,
                &format!(
                    "the command must not be decided before {AFTER_NOON}, and it is {NOON}; send a new one when it is time"
                ),
                [("not_before", AFTER_NOON), ("recorded_at", NOON)],
            );
    }
}

/// Both times are compared with what would be recorded, which no clock behind can hold back.
#[test]
fn a_clock_that_is_behind_is_not_believed() {
    let touched = || {
        given([
            open("A", "100").at("2026-01-31T08:00:00Z"),
            open("B", "100").at(NOON),
        ])
    };
    let early = "2026-01-31T09:00:00Z";
    touched()
        .when(withdraw("B", "1").expiring_at(AFTER_NOON).at(early))
        .then_rejected(
            Expired,
            &format!("the command expired at {AFTER_NOON}, and it is {AFTER_NOON}"),
            [("expires_at", AFTER_NOON), ("recorded_at", AFTER_NOON)],
        );
    touched()
        .when(withdraw("B", "1").not_before(AFTER_NOON).at(early))
        .then_accepted();
    // The account credited counts as well.
    touched()
        .when(transfer("A", "B", "1").expiring_at(AFTER_NOON).at(early))
        .then_code(Expired);
    touched()
        .when(transfer("A", "B", "1").not_before(AFTER_NOON).at(early))
        .then_accepted();
    touched()
        .when(withdraw("A", "1").expiring_at(AFTER_NOON).at(early))
        .then_accepted();
    touched()
        .when(
            withdraw("A", "1")
                .not_before("2026-01-31T09:00:00.000001Z")
                .at(early),
        )
        .then_code(TooEarly);
}

#[test]
fn the_balance_can_be_a_condition_to_the_cent() {
    for enough in ["100", "100.00", "99.99", "0", "-7"] {
        before()
            .when(withdraw("A", "1").if_balance_at_least(enough))
            .then_accepted();
    }
    before()
        .when(withdraw("A", "1").if_balance_at_least("100.01"))
        .then_rejected(
            BalanceCondition,
            "account A has a balance of 100.00 USD, and the command wants 100.01 USD or more",
            [
                ("account_id", "A"),
                ("balance", "100.00"),
                ("required", "100.01"),
                ("currency", "USD"),
            ],
        );
}

/// The balance, and not what is available: neither what is held nor what may be overdrawn.
#[test]
fn the_condition_is_about_the_balance_alone() {
    let overdrawn = || {
        given([
            open("A", "0").with_overdraft_limit("50"),
            open("B", "500"),
            withdraw("A", "20"),
        ])
    };
    overdrawn()
        .when(withdraw("A", "1").if_balance_at_least("-20"))
        .then_accepted();
    overdrawn()
        .when(withdraw("A", "1").if_balance_at_least("-19.99"))
        .then_code(BalanceCondition);
    // Of the account debited.
    overdrawn()
        .when(transfer("B", "A", "1").if_balance_at_least("500"))
        .then_accepted();
    overdrawn()
        .when(transfer("A", "B", "1").if_balance_at_least("0"))
        .then_code(BalanceCondition);
    given([open("A", "100"), hold("A", 1, "100")])
        .when(release("A", 1).if_balance_at_least("100"))
        .then_accepted();
}

#[test]
fn the_balance_that_is_wanted_is_an_amount_of_the_accounts_currency() {
    before()
        .when(withdraw("A", "1").if_balance_at_least("1.000"))
        .then_rejected(
            InvalidAmount,
            "if_balance_at_least: USD has 2 decimals, and 1.000 has 3; round it before sending",
            [
                ("field", "if_balance_at_least"),
                ("amount", "1.000"),
                ("currency", "USD"),
            ],
        );
    before()
        .when(withdraw("A", "1").if_balance_at_least(&"9".repeat(26)))
        .then_rejected(
            AmountOverflow,
            "if_balance_at_least: more than 27 digits, the currency's decimals included; the ledger keeps no more",
            [("field", "if_balance_at_least")],
        );
}

#[test]
fn an_account_that_is_not_there_has_no_balance() {
    for request in [withdraw("GHOST", "1"), open("GHOST", "1")] {
        before()
            .when(request.if_balance_at_least("0"))
            .then_rejected(
                AccountNotFound,
                "there is no account GHOST; open it with create_account first",
                [("account_id", "GHOST")],
            );
    }
}

#[test]
fn the_time_is_looked_at_first_then_the_version_then_the_balance() {
    let all = || {
        transfer("A", "A", "1000")
            .expiring_at(NOON)
            .not_before(AFTER_NOON)
            .expecting_version(9)
            .if_balance_at_least("900")
    };
    before().when(all()).then_code(Expired);
    before()
        .when(all().expiring_at("2026-01-31T13:00:00Z"))
        .then_code(TooEarly);
    let in_time = || all().expiring_at("2026-01-31T13:00:00Z").not_before(NOON);
    before().when(in_time()).then_code(VersionConflict);
    before()
        .when(in_time().expecting_version(4))
        .then_code(BalanceCondition);
    before()
        .when(in_time().expecting_version(4).if_balance_at_least("0"))
        .then_code(SameAccount);
    before()
        .when(withdraw("A", "1000").if_balance_at_least("0"))
        .then_code(InsufficientFunds);
    // Even of an account that is not there.
    before()
        .when(withdraw("GHOST", "1").expiring_at(NOON))
        .then_code(Expired);
}

#[test]
fn every_command_can_expect_a_version() {
    for request in one_of_each() {
        let account = request.command.account_id().to_string();
        let version = match account.as_str() {
            "A" => 4,
            "B" => 2,
            _ => 0,
        };
        before()
            .when(request.clone().expecting_version(version))
            .then_accepted();
        before()
            .when(request.expecting_version(version + 1))
            .then_code(VersionConflict);
    }
}
