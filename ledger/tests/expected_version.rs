//! `expected_version`: optimistic concurrency on the publisher's side.

mod support;

use ledger::RejectionCode::{AccountExists, AccountNotFound, InsufficientFunds, VersionConflict};
use support::{Given, Request, deposit, given, open, transfer, withdraw};

/// A at version 3, B at version 1.
fn before() -> Given {
    given([
        open("A", "100"),
        deposit("A", "1"),
        deposit("A", "1"),
        open("B", "100"),
    ])
}

fn movements_of_a() -> [Request; 3] {
    [
        deposit("A", "1"),
        withdraw("A", "1"),
        transfer("A", "B", "1"),
    ]
}

#[test]
fn the_version_that_the_account_has_is_accepted() {
    for movement in movements_of_a() {
        before().when(movement.expecting_version(3)).then_accepted();
    }
}

#[test]
fn another_version_is_a_conflict() {
    for (expected, shown) in [
        (0, "0"),
        (2, "2"),
        (4, "4"),
        (u64::MAX, "18446744073709551615"),
    ] {
        for movement in movements_of_a() {
            before()
                .when(movement.expecting_version(expected))
                .then_rejected(
                    VersionConflict,
                    &format!(
                        "account A is at version 3, and the command expects {shown}; read it again"
                    ),
                    [("account_id", "A"), ("expected", shown), ("actual", "3")],
                );
        }
    }
}

#[test]
fn a_transfer_means_the_account_debited() {
    before()
        .when(transfer("B", "A", "1").expecting_version(1))
        .then_accepted();
    before()
        .when(transfer("B", "A", "1").expecting_version(3))
        .then_code(VersionConflict);
}

#[test]
fn the_version_is_looked_at_first() {
    before()
        .when(withdraw("A", "1000").expecting_version(2))
        .then_code(VersionConflict);
    before()
        .when(withdraw("A", "1000").expecting_version(3))
        .then_code(InsufficientFunds);
    before()
        .when(transfer("A", "A", "1").expecting_version(2))
        .then_code(VersionConflict);
}

#[test]
fn an_account_that_does_not_exist_is_not_found_whatever_is_expected() {
    for expected in [0, 1, 7] {
        for movement in [
            deposit("GHOST", "1"),
            withdraw("GHOST", "1"),
            transfer("GHOST", "B", "1"),
        ] {
            before()
                .when(movement.expecting_version(expected))
                .then_rejected(
                    AccountNotFound,
                    "there is no account GHOST; open it with create_account first",
                    [("account_id", "GHOST")],
                );
        }
    }
}

#[test]
fn an_account_to_be_opened_has_version_0() {
    before()
        .when(open("C", "1").expecting_version(0))
        .then_accepted();
    before()
        .when(open("C", "1").expecting_version(5))
        .then_rejected(
            VersionConflict,
            "account C does not exist yet, and the command expects version 5",
            [("account_id", "C"), ("expected", "5"), ("actual", "0")],
        );
}

#[test]
fn an_account_that_exists_is_not_opened_whatever_is_expected() {
    before()
        .when(open("A", "1").expecting_version(3))
        .then_code(AccountExists);
    for expected in [0, 2, 4] {
        before()
            .when(open("A", "1").expecting_version(expected))
            .then_code(VersionConflict);
    }
}
