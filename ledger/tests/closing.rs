//! `close_account`, with and without a sweep; and that a closed account stays closed.

mod support;

use ledger::RejectionCode::{
    AccountClosed, AccountExists, AccountFrozen, AccountNotFound, AmountOverflow, BalanceNotZero,
    CurrencyMismatch, HoldsOpen, SameAccount,
};
use ledger::{BrokenChain, EventData, Scope, Status, Version};
use support::{
    Given, capture, close, deposit, describe, expire_hold, freeze, given, hold, open, release,
    rename, set_overdraft_limit, sweep, transfer, unfreeze, withdraw,
};

const LARGEST_USD: &str = "9999999999999999999999999.99";

fn with(balance: &str) -> Given {
    given([open("A", balance), open("B", "5.00")])
}

#[test]
fn an_empty_account_can_be_closed() {
    let after = with("0")
        .when(
            close("A")
                .because("moved away")
                .by("teller-3")
                .noting("letter", "9"),
        )
        .then_events(["A v2 AccountClosed, balance 0.00"]);
    let account = after.account("A");
    assert_eq!(account.status, Status::Closed);
    assert_eq!(account.profile_version, Version::new(2));
    assert_eq!(account.owner_name, "owner of A");
    assert_eq!(account.profile().status, Status::Closed);
}

#[test]
fn a_balance_must_go_somewhere() {
    for balance in ["0.01", "100.00"] {
        with(balance).when(close("A")).then_rejected(
            BalanceNotZero,
            &format!(
                "account A has a balance of {balance} USD; name an account to sweep it to, or take it out first"
            ),
            [
                ("account_id", "A"),
                ("balance", balance),
                ("currency", "USD"),
            ],
        );
    }
}

#[test]
fn what_is_owed_must_be_paid_in() {
    for request in [close("A"), sweep("A", "B")] {
        given([
            open("A", "0").with_overdraft_limit("10"),
            open("B", "5"),
            withdraw("A", "0.01"),
        ])
        .when(request)
        .then_rejected(
            BalanceNotZero,
            "account A has a balance of -0.01 USD; it must be paid in first",
            [
                ("account_id", "A"),
                ("balance", "-0.01"),
                ("currency", "USD"),
            ],
        );
    }
}

#[test]
fn a_sweep_takes_all_to_another_account() {
    let after = with("100.00").when(sweep("A", "B")).then_events([
        "A v2 MoneyWithdrawn 100.00 USD, balance 0.00",
        "B v2 MoneyDeposited 100.00 USD, balance 105.00",
        "A v3 AccountClosed, balance 0.00",
    ]);
    let [debit, credit, closed] = &after.events[2..] else {
        panic!("{:?}", after.events);
    };
    let (from, to) = (debit.data.transfer(), credit.data.transfer());
    let (from, to) = (from.expect("a transfer"), to.expect("a transfer"));
    assert_eq!(from.transfer_id, to.transfer_id);
    assert_eq!(from.transfer_id, debit.command_id.transfer_id(0));
    assert_eq!(from.counterparty_account_id.as_str(), "B");
    assert_eq!(to.counterparty_account_id.as_str(), "A");
    assert_eq!(closed.prev_hash, debit.hash);
    assert_eq!(after.account("A").status, Status::Closed);
    assert_eq!(after.account("B").status, Status::Active);
}

#[test]
fn a_sweep_takes_what_there_is_and_leaves_the_overdraft() {
    given([open("A", "0.01").with_overdraft_limit("50"), open("B", "0")])
        .when(sweep("A", "B"))
        .then_events([
            "A v2 MoneyWithdrawn 0.01 USD, balance 0.00",
            "B v2 MoneyDeposited 0.01 USD, balance 0.01",
            "A v3 AccountClosed, balance 0.00",
        ]);
}

#[test]
fn a_sweep_of_nothing_only_closes() {
    with("0")
        .when(sweep("A", "B"))
        .then_events(["A v2 AccountClosed, balance 0.00"]);
}

#[test]
fn a_sweep_needs_another_account_that_is_there() {
    with("100").when(sweep("A", "A")).then_rejected(
        SameAccount,
        "a transfer needs two accounts, and both are A",
        [("account_id", "A")],
    );
    for (from, to) in [("A", "GHOST"), ("GHOST", "B"), ("GHOST", "OTHER")] {
        with("100").when(sweep(from, to)).then_rejected(
            AccountNotFound,
            "there is no account GHOST; open it with create_account first",
            [("account_id", "GHOST")],
        );
    }
    // Even when there is nothing to sweep.
    with("0")
        .when(sweep("A", "GHOST"))
        .then_code(AccountNotFound);
}

#[test]
fn a_sweep_needs_an_account_that_takes_it() {
    let closed = || given([open("A", "100"), open("B", "0"), close("B")]);
    closed().when(sweep("A", "B")).then_rejected(
        AccountClosed,
        "account B is closed",
        [("account_id", "B")],
    );
    let frozen = given([
        open("A", "100"),
        open("B", "0"),
        freeze("B", Scope::Credits),
    ]);
    frozen.when(sweep("A", "B")).then_rejected(
        AccountFrozen,
        "account B is frozen (credits_frozen), which forbids credits",
        [
            ("account_id", "B"),
            ("status", "credits_frozen"),
            ("forbidden", "credits"),
        ],
    );
    given([open("A", "100"), open("B", "0"), freeze("B", Scope::Debits)])
        .when(sweep("A", "B"))
        .then_accepted();
    for balance in ["100", "0"] {
        given([open("A", balance), open("E", "0").in_currency("EUR")])
            .when(sweep("A", "E"))
            .then_rejected(
                CurrencyMismatch,
                "account E is kept in EUR, not in USD",
                [
                    ("account_id", "E"),
                    ("account_currency", "EUR"),
                    ("currency", "USD"),
                ],
            );
    }
    given([open("A", "0.01"), open("B", LARGEST_USD)])
        .when(sweep("A", "B"))
        .then_rejected(
            AmountOverflow,
            "the balance of account B and its overdraft limit would add up to more than 27 digits, decimals included",
            [("account_id", "B")],
        );
}

#[test]
fn what_is_held_keeps_an_account_open() {
    for request in [close("A"), sweep("A", "B")] {
        given([open("A", "100"), open("B", "0"), hold("A", 1, "0.01")])
            .when(request)
            .then_rejected(
                HoldsOpen,
                "0.01 USD is held on account A; capture or release its holds first",
                [("account_id", "A"), ("held", "0.01"), ("currency", "USD")],
            );
    }
    // Held on what may be overdrawn: the balance is zero and still it is not closed.
    given([open("A", "0").with_overdraft_limit("1"), hold("A", 1, "1")])
        .when(close("A"))
        .then_code(HoldsOpen);
    given([open("A", "0.01"), hold("A", 1, "0.01"), capture("A", 1)])
        .when(close("A"))
        .then_accepted();
}

#[test]
fn of_several_reasons_the_first_is_given() {
    let before = || {
        given([
            open("A", "100"),
            open("E", "0").in_currency("EUR"),
            hold("A", 1, "1"),
            open("Z", "0"),
            close("Z"),
        ])
    };
    before().when(sweep("A", "A")).then_code(SameAccount);
    before()
        .when(sweep("GHOST", "GHOST"))
        .then_code(SameAccount);
    before()
        .when(sweep("Z", "GHOST"))
        .then_code(AccountNotFound);
    before().when(sweep("A", "Z")).then_code(AccountClosed);
    before().when(sweep("A", "E")).then_code(HoldsOpen);
    let frozen = || before().when(freeze("A", Scope::All)).then_accepted();
    frozen().when(sweep("A", "A")).then_code(SameAccount);
    frozen()
        .when(sweep("A", "GHOST"))
        .then_code(AccountNotFound);
    frozen().when(sweep("A", "E")).then_code(AccountFrozen);
}

#[test]
fn an_account_that_is_not_there_cannot_be_closed() {
    with("0").when(close("GHOST")).then_rejected(
        AccountNotFound,
        "there is no account GHOST; open it with create_account first",
        [("account_id", "GHOST")],
    );
}

#[test]
fn a_closed_account_refuses_everything() {
    let before = || {
        given([
            open("A", "10"),
            open("B", "10"),
            hold("A", 1, "10").until("2026-01-31T09:00:00Z"),
            hold("B", 1, "5"),
            capture("A", 1),
            close("A"),
        ])
    };
    for request in [
        deposit("A", "1"),
        withdraw("A", "1"),
        transfer("A", "B", "1"),
        transfer("B", "A", "1"),
        freeze("A", Scope::All),
        unfreeze("A", Scope::All),
        close("A"),
        sweep("A", "B"),
        sweep("B", "A"),
        set_overdraft_limit("A", "1"),
        rename("A", "Grace"),
        describe("A", []),
        hold("A", 2, "1"),
        capture("A", 1),
        capture("A", 1).to("B"),
        capture("B", 1).to("A"),
        capture("A", 9),
        release("A", 1),
        release("A", 9),
        expire_hold("A", 1),
    ] {
        before().when(request).then_rejected(
            AccountClosed,
            "account A is closed",
            [("account_id", "A")],
        );
    }
    before().when(open("A", "1")).then_rejected(
        AccountExists,
        "account A exists already; choose another id",
        [("account_id", "A")],
    );
}

#[test]
fn no_event_follows_upon_the_closing() {
    let closed = with("0").when(close("A")).then_accepted();
    let next = with("0").when(deposit("A", "1")).then_accepted();
    let mut event = next.events.last().expect("a deposit").clone();
    event.version = Version::new(3);
    event.prev_hash = closed.account("A").last_hash;
    let mut account = closed.account("A").clone();
    let broken = account.apply(&event).expect_err("the account is closed");
    assert!(matches!(broken, BrokenChain::Type { .. }), "{broken}");
    assert_eq!(&account, closed.account("A"));
    event.data = closed.events[2].data.clone();
    event.balance_after = account.balance;
    assert!(matches!(event.data, EventData::AccountClosed(_)));
    account.apply(&event).expect_err("it is closed once");
}
