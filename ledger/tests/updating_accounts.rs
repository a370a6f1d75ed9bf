//! `update_account`.

mod support;

use ledger::RejectionCode::{AccountClosed, AccountNotFound, NoChange};
use ledger::{Action, EventData, Version};
use support::{Given, Request, close, deposit, describe, given, open, rename, texts};

fn before() -> Given {
    given([open("A", "100").noting("branch", "Oslo")])
}

/// Changes both.
fn rename_and_describe(owner_name: &str, entries: [(&str, &str); 1]) -> Request {
    let mut request = rename("A", owner_name);
    let Action::UpdateAccount(update) = &mut request.command.action else {
        panic!("{request:?}");
    };
    update.account_metadata = Some(texts(entries));
    request
}

#[test]
fn an_account_can_change_hands() {
    let after = before()
        .when(rename("A", "Grace").because("sold").noting("deed", "3"))
        .then_events(["A v2 AccountUpdated, balance 100.00"]);
    let account = after.account("A");
    assert_eq!(account.owner_name, "Grace");
    assert_eq!(account.profile().owner_name, "Grace");
    assert_eq!(account.profile_version, Version::new(2));
    let EventData::AccountUpdated(updated) = &after.events[1].data else {
        panic!("{:?}", after.events[1]);
    };
    assert_eq!(updated.owner_name.as_deref(), Some("Grace"));
    assert_eq!(updated.account_metadata, None);
}

#[test]
fn an_accounts_own_metadata_is_not_the_commands() {
    let before = before();
    assert_eq!(before.account("A").metadata, texts([]));
    let after = before
        .when(describe("A", [("colour", "red"), ("kind", "joint")]).noting("ticket", "5"))
        .then_accepted();
    let account = after.account("A");
    assert_eq!(
        account.metadata,
        texts([("colour", "red"), ("kind", "joint")])
    );
    assert_eq!(account.owner_name, "owner of A");
    let profile = serde_json::to_value(account.profile()).expect("a profile is JSON");
    assert_eq!(
        profile["metadata"],
        serde_json::json!({"colour": "red", "kind": "joint"})
    );
}

#[test]
fn metadata_is_replaced_and_never_merged() {
    let described = || given([open("A", "1"), describe("A", [("a", "1"), ("b", "2")])]);
    let after = described()
        .when(describe("A", [("b", "3")]))
        .then_accepted();
    assert_eq!(after.account("A").metadata, texts([("b", "3")]));
    let after = described().when(describe("A", [])).then_accepted();
    assert_eq!(after.account("A").metadata, texts([]));
    let after = described().when(rename("A", "Grace")).then_accepted();
    assert_eq!(after.account("A").metadata, texts([("a", "1"), ("b", "2")]));
}

#[test]
fn both_can_change_at_once() {
    let after = before()
        .when(rename_and_describe("Grace", [("colour", "red")]))
        .then_accepted();
    assert_eq!(after.account("A").owner_name, "Grace");
    assert_eq!(after.account("A").metadata, texts([("colour", "red")]));
    // One of the two is enough for a change.
    for request in [
        rename_and_describe("Ada", [("colour", "red")]),
        rename_and_describe("Grace", [("colour", "blue")]),
    ] {
        after.clone().when(request).then_accepted();
    }
}

#[test]
fn what_is_known_already_is_no_change() {
    let described = || {
        given([
            open("A", "1"),
            rename_and_describe("Grace", [("colour", "red")]),
        ])
    };
    for request in [
        rename("A", "Grace"),
        describe("A", [("colour", "red")]),
        rename_and_describe("Grace", [("colour", "red")]),
    ] {
        described().when(request).then_rejected(
            NoChange,
            "account A is known by these already",
            [("account_id", "A"), ("state", "known by these")],
        );
    }
    before().when(describe("A", [])).then_code(NoChange);
}

#[test]
fn an_update_leaves_the_money_alone() {
    let after = before().when(rename("A", "Grace")).then_accepted();
    assert_eq!(after.account("A").balance, before().account("A").balance);
    after
        .when(deposit("A", "1"))
        .then_events(["A v3 MoneyDeposited 1.00 USD, balance 101.00"]);
}

#[test]
fn only_an_account_that_is_there_and_open_can_be_updated() {
    before().when(rename("GHOST", "Grace")).then_rejected(
        AccountNotFound,
        "there is no account GHOST; open it with create_account first",
        [("account_id", "GHOST")],
    );
    given([open("A", "0"), close("A")])
        .when(rename("A", "Grace"))
        .then_code(AccountClosed);
}
