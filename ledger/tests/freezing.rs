//! `freeze_account` and `unfreeze_account`.

mod support;

use ledger::RejectionCode::{AccountClosed, AccountFrozen, AccountNotFound, NoChange};
use ledger::{EventData, Scope, Status, Version};
use support::{
    Given, Request, capture, close, deposit, describe, expire_hold, freeze, given, hold, open,
    release, rename, set_overdraft_limit, sweep, transfer, unfreeze, withdraw,
};

/// A with 30.00 of its 100.00 held by hold 1, and 5.00 by hold 3, which ends at nine; and B.
fn before() -> Given {
    given([
        open("A", "100"),
        open("B", "100"),
        hold("A", 1, "30"),
        hold("A", 3, "5").until("2026-01-31T09:00:00Z"),
    ])
}

fn frozen(scope: Scope) -> Given {
    before().when(freeze("A", scope)).then_accepted()
}

/// Everything that takes money out of A or reserves it.
fn debits() -> [Request; 5] {
    [
        withdraw("A", "1"),
        transfer("A", "B", "1"),
        hold("A", 2, "1"),
        capture("A", 1),
        capture("A", 1).to("B"),
    ]
}

/// Everything that brings money into A.
fn credits() -> [Request; 3] {
    [deposit("A", "1"), transfer("B", "A", "1"), sweep("B", "A")]
}

#[track_caller]
fn refused(given: Given, request: Request, status: &str, forbidden: &str) {
    given.when(request).then_rejected(
        AccountFrozen,
        &format!("account A is frozen ({status}), which forbids {forbidden}"),
        [
            ("account_id", "A"),
            ("status", status),
            ("forbidden", forbidden),
        ],
    );
}

/// Every status, how it comes about, and which scopes still change it.
#[test]
fn freezing_adds_up_and_unfreezing_takes_away() {
    use Scope::{All, Credits, Debits};
    use Status::{Active, CreditsFrozen, DebitsFrozen, Frozen};
    for (first, scope, status) in [
        (None, Debits, DebitsFrozen),
        (None, Credits, CreditsFrozen),
        (None, All, Frozen),
        (Some(Debits), Credits, Frozen),
        (Some(Debits), All, Frozen),
        (Some(Credits), Debits, Frozen),
        (Some(Credits), All, Frozen),
    ] {
        let given = first.map_or_else(before, frozen);
        let after = given.when(freeze("A", scope)).then_accepted();
        assert_eq!(after.account("A").status, status, "{first:?} and {scope:?}");
    }
    for (first, scope, status) in [
        (All, Debits, CreditsFrozen),
        (All, Credits, DebitsFrozen),
        (All, All, Active),
        (Debits, Debits, Active),
        (Debits, All, Active),
        (Credits, Credits, Active),
        (Credits, All, Active),
    ] {
        let after = frozen(first).when(unfreeze("A", scope)).then_accepted();
        assert_eq!(
            after.account("A").status,
            status,
            "{first:?} less {scope:?}"
        );
    }
}

#[test]
fn what_a_freeze_would_not_change_is_refused() {
    use Scope::{All, Credits, Debits};
    for (first, again, status) in [
        (Debits, Debits, "debits_frozen"),
        (Credits, Credits, "credits_frozen"),
        (All, Debits, "frozen"),
        (All, Credits, "frozen"),
        (All, All, "frozen"),
    ] {
        frozen(first).when(freeze("A", again)).then_rejected(
            NoChange,
            &format!("account A is {status} already"),
            [("account_id", "A"), ("state", status)],
        );
    }
}

#[test]
fn what_is_allowed_is_not_allowed_again() {
    use Scope::{All, Credits, Debits};
    for scope in Scope::ALL {
        before().when(unfreeze("A", scope)).then_rejected(
            NoChange,
            "account A is active already",
            [("account_id", "A"), ("state", "active")],
        );
    }
    for (first, other, status) in [
        (Debits, Credits, "debits_frozen"),
        (Credits, Debits, "credits_frozen"),
    ] {
        frozen(first).when(unfreeze("A", other)).then_rejected(
            NoChange,
            &format!("account A is {status} already"),
            [("account_id", "A"), ("state", status)],
        );
    }
    let after = frozen(All).when(unfreeze("A", Debits)).then_accepted();
    after.when(unfreeze("A", Debits)).then_code(NoChange);
}

#[test]
fn frozen_debits_keep_the_money_in() {
    for request in debits() {
        before().when(request.clone()).then_accepted();
        refused(
            frozen(Scope::Debits),
            request.clone(),
            "debits_frozen",
            "debits",
        );
        refused(frozen(Scope::All), request.clone(), "frozen", "debits");
        frozen(Scope::Credits).when(request).then_accepted();
    }
}

#[test]
fn frozen_credits_keep_money_out() {
    for request in credits() {
        before().when(request.clone()).then_accepted();
        refused(
            frozen(Scope::Credits),
            request.clone(),
            "credits_frozen",
            "credits",
        );
        refused(frozen(Scope::All), request.clone(), "frozen", "credits");
        frozen(Scope::Debits).when(request).then_accepted();
    }
    // What is captured comes in, too.
    given([open("A", "0"), open("B", "10"), hold("B", 1, "5")])
        .when(freeze("A", Scope::Credits))
        .then_accepted()
        .when(capture("B", 1).to("A"))
        .then_code(AccountFrozen);
}

/// What is held becomes available again, which moves no money.
#[test]
fn a_frozen_account_lets_go_of_its_holds_and_can_be_described() {
    for request in [
        release("A", 1),
        release("A", 1).only("5"),
        expire_hold("A", 3),
        set_overdraft_limit("A", "10"),
        rename("A", "Grace"),
        describe("A", [("colour", "red")]),
    ] {
        for scope in Scope::ALL {
            let after = frozen(scope).when(request.clone()).then_accepted();
            assert_eq!(after.account("A").status, Status::Active.frozen(scope));
        }
    }
}

#[test]
fn a_frozen_account_is_not_closed() {
    for (scope, status) in [
        (Scope::Debits, "debits_frozen"),
        (Scope::Credits, "credits_frozen"),
        (Scope::All, "frozen"),
    ] {
        refused(frozen(scope), close("A"), status, "closing");
        refused(frozen(scope), sweep("A", "B"), status, "closing");
    }
}

#[test]
fn the_events_say_what_was_frozen_and_why() {
    let after = before()
        .when(
            freeze("A", Scope::Debits)
                .reasoning("court order 7")
                .because("by letter")
                .by("officer-1")
                .noting("case", "7"),
        )
        .then_events(["A v4 AccountFrozen, balance 100.00, held 35.00"]);
    let EventData::AccountFrozen(freeze_changed) = &after.events[4].data else {
        panic!("{:?}", after.events[4]);
    };
    assert_eq!(freeze_changed.scope, Scope::Debits);
    assert_eq!(freeze_changed.reason.as_deref(), Some("court order 7"));
    assert_eq!(freeze_changed.metadata["case"], "7");
    let account = after.account("A");
    assert_eq!(account.freeze_reason.as_deref(), Some("court order 7"));
    assert_eq!(account.profile_version, Version::new(4));
    let profile = serde_json::to_value(account.profile()).expect("a profile is JSON");
    assert_eq!(profile["status"], "debits_frozen");
    assert_eq!(profile["freeze_reason"], "court order 7");

    let after = after
        .when(unfreeze("A", Scope::Debits).reasoning("lifted"))
        .then_events(["A v5 AccountUnfrozen, balance 100.00, held 35.00"]);
    let EventData::AccountUnfrozen(freeze_changed) = &after.events[5].data else {
        panic!("{:?}", after.events[5]);
    };
    assert_eq!(freeze_changed.reason.as_deref(), Some("lifted"));
    assert_eq!(after.account("A").freeze_reason, None);
    assert_eq!(after.account("A").profile_version, Version::new(5));
}

/// The newest reason stays for as long as anything is frozen.
#[test]
fn the_reason_is_the_last_freezes() {
    let after = frozen(Scope::Debits)
        .when(freeze("A", Scope::Credits).reasoning("second"))
        .then_accepted();
    assert_eq!(after.account("A").freeze_reason.as_deref(), Some("second"));
    let after = after
        .when(unfreeze("A", Scope::Credits).reasoning("no matter"))
        .then_accepted();
    assert_eq!(after.account("A").freeze_reason.as_deref(), Some("second"));
}

#[test]
fn only_an_account_that_is_there_and_open_can_be_frozen() {
    for request in [freeze("GHOST", Scope::All), unfreeze("GHOST", Scope::All)] {
        before().when(request).then_rejected(
            AccountNotFound,
            "there is no account GHOST; open it with create_account first",
            [("account_id", "GHOST")],
        );
    }
    for request in [freeze("C", Scope::All), unfreeze("C", Scope::All)] {
        given([open("C", "0"), close("C")])
            .when(request)
            .then_rejected(AccountClosed, "account C is closed", [("account_id", "C")]);
    }
}
