//! `set_account_rules`: minimum and maximum of a balance, and how rules come and go.

mod support;

use ledger::RejectionCode::{
    AboveMaximumBalance, AccountClosed, AccountNotFound, AmountOverflow, BelowMinimumBalance,
    InsufficientFunds, InvalidAmount, NoChange,
};
use ledger::{Account, Scope, Version};
use support::{
    Given, batch, capture, close, credit, debit, deposit, expire_hold, freeze, given, hold, open,
    post, release, reverse, rules, sweep, transfer, withdraw,
};

/// 100.00, of which 20.00 must stay.
fn with_minimum() -> Given {
    given([open("A", "100"), open("B", "100"), rules("A").minimum("20")])
}

/// 100.00, and no more than 150.00.
fn with_maximum() -> Given {
    given([
        open("A", "100"),
        open("B", "100"),
        rules("A").maximum("150"),
    ])
}

#[test]
fn a_balance_can_fall_to_the_minimum_and_not_a_cent_below() {
    with_minimum()
        .when(withdraw("A", "80.01"))
        .then_rejected(
            BelowMinimumBalance,
            "the balance of account A, without what is held, would be 19.99 USD, and its minimum is 20.00 USD",
            [
                ("account_id", "A"),
                ("remaining", "19.99"),
                ("minimum_balance", "20.00"),
                ("currency", "USD"),
            ],
        )
        .when(withdraw("A", "80"))
        .then_events(["A v3 MoneyWithdrawn 80.00 USD, balance 20.00"])
        .when(withdraw("A", "0.01"))
        .then_code(BelowMinimumBalance);
}

#[test]
fn whatever_lowers_the_balance_is_held_to_the_minimum() {
    for too_much in [
        transfer("A", "B", "80.01"),
        hold("A", 1, "80.01"),
        post([debit("A", "80.01"), credit("B", "80.01")]),
        batch([withdraw("A", "40"), withdraw("A", "40.01")]),
    ] {
        with_minimum().when(too_much).then_code(BelowMinimumBalance);
    }
    given([
        open("A", "0"),
        deposit("A", "100"),
        rules("A").minimum("20"),
    ])
    .when(reverse("A", 2))
    .then_code(BelowMinimumBalance);
    given([
        open("A", "0"),
        deposit("A", "100"),
        rules("A").minimum("20"),
    ])
    .when(reverse("A", 2).only("80"))
    .then_accepted();
}

#[test]
fn what_is_held_counts_as_gone_and_is_captured_without_another_look() {
    let held = with_minimum()
        .when(hold("A", 1, "70"))
        .then_events(["A v3 HoldPlaced 70.00 USD, balance 100.00, held 70.00, hold 1: 0.00 captured, 70.00 remain"]);
    held.clone()
        .when(withdraw("A", "10.01"))
        .then_code(BelowMinimumBalance);
    // The minimum rises above all that is left: what was promised is kept.
    let raised = held.when(rules("A").minimum("90")).then_accepted();
    raised
        .clone()
        .when(hold("A", 2, "1"))
        .then_code(BelowMinimumBalance);
    raised.clone().when(capture("A", 1)).then_accepted();
    raised
        .clone()
        .when(capture("A", 1).only("5").at_last())
        .then_accepted();
    raised.clone().when(capture("A", 1).to("B")).then_accepted();
    raised.when(release("A", 1)).then_accepted();
}

#[test]
fn a_hold_ends_by_itself_whatever_the_minimum() {
    given([
        open("A", "100"),
        hold("A", 1, "50").until("2026-01-31T09:00:00Z"),
        rules("A").minimum("500"),
    ])
    .when(expire_hold("A", 1))
    .then_accepted();
}

#[test]
fn an_account_below_its_minimum_can_be_filled_step_by_step() {
    let below = with_minimum()
        .when(rules("A").minimum("1000"))
        .then_events(["A v3 AccountRulesSet, balance 100.00"])
        .when(deposit("A", "1"))
        .then_accepted()
        .when(transfer("B", "A", "1"))
        .then_events([
            "B v2 MoneyWithdrawn 1.00 USD, balance 99.00",
            "A v5 MoneyDeposited 1.00 USD, balance 102.00",
        ]);
    below
        .when(withdraw("A", "0.01"))
        .then_code(BelowMinimumBalance);
}

#[test]
fn a_minimum_below_zero_leaves_a_part_of_the_overdraft() {
    let overdrawn = || {
        given([
            open("A", "0").with_overdraft_limit("100"),
            rules("A").minimum("-30"),
        ])
    };
    overdrawn().when(withdraw("A", "30")).then_accepted();
    overdrawn()
        .when(withdraw("A", "30.01"))
        .then_code(BelowMinimumBalance);
    // The funds come first.
    overdrawn()
        .when(withdraw("A", "100.01"))
        .then_code(InsufficientFunds);
}

#[test]
fn a_balance_can_rise_to_the_maximum_and_not_a_cent_above() {
    with_maximum()
        .when(deposit("A", "50.01"))
        .then_rejected(
            AboveMaximumBalance,
            "the balance of account A would be 150.01 USD, and its maximum is 150.00 USD",
            [
                ("account_id", "A"),
                ("balance", "150.01"),
                ("maximum_balance", "150.00"),
                ("currency", "USD"),
            ],
        )
        .when(deposit("A", "50"))
        .then_events(["A v3 MoneyDeposited 50.00 USD, balance 150.00"])
        .when(deposit("A", "0.01"))
        .then_code(AboveMaximumBalance);
}

#[test]
fn whatever_raises_the_balance_is_held_to_the_maximum() {
    for too_much in [
        transfer("B", "A", "50.01"),
        sweep("B", "A"),
        post([credit("A", "50.01"), debit("B", "50.01")]),
        batch([deposit("A", "25"), deposit("A", "25.01")]),
    ] {
        with_maximum().when(too_much).then_code(AboveMaximumBalance);
    }
    let held = with_maximum().when(hold("B", 1, "60")).then_accepted();
    held.clone()
        .when(capture("B", 1).to("A"))
        .then_code(AboveMaximumBalance);
    held.when(capture("B", 1).to("A").only("50"))
        .then_accepted();
    // A withdrawal that is moved back raises it as well.
    let gone = given([
        open("A", "100"),
        withdraw("A", "60"),
        rules("A").maximum("99.99"),
    ]);
    gone.clone()
        .when(reverse("A", 2))
        .then_code(AboveMaximumBalance);
    gone.when(reverse("A", 2).only("59.99")).then_accepted();
}

#[test]
fn an_account_above_its_maximum_can_be_emptied_step_by_step() {
    let above = with_maximum()
        .when(rules("A").maximum("10"))
        .then_accepted()
        .when(withdraw("A", "1"))
        .then_accepted();
    above.clone().when(hold("A", 1, "1")).then_accepted();
    above
        .when(deposit("A", "0.01"))
        .then_code(AboveMaximumBalance);
}

#[test]
fn new_rules_take_the_place_of_all_old_ones() {
    let replaced = given([
        open("A", "100"),
        rules("A").minimum("20").daily_amount("5").only_with(["B"]),
        rules("A").maximum("1000"),
    ]);
    assert_eq!(
        replaced
            .account("A")
            .profile()
            .rules
            .map(|rules| rules.maximum_balance),
        Some(Some("1000.00".to_owned()))
    );
    assert_eq!(replaced.account("A").profile_version, Version::new(3));
    let removed = replaced
        .when(withdraw("A", "99"))
        .then_accepted()
        .when(rules("A").because("no longer needed"))
        .then_events(["A v5 AccountRulesSet, balance 1.00"]);
    assert_eq!(removed.account("A").restrictions, None);
    assert_eq!(removed.account("A").profile().rules, None);
    removed.when(deposit("A", "10000")).then_accepted();
}

#[test]
fn the_rules_that_an_account_has_are_no_change_however_they_are_written() {
    with_minimum()
        .when(rules("A").minimum("20.0"))
        .then_rejected(
            NoChange,
            "account A is under these rules already",
            [("account_id", "A"), ("state", "under these rules")],
        );
    given([open("A", "0")]).when(rules("A")).then_code(NoChange);
    let none_allowed = given([open("A", "0"), rules("A").only_with([])]);
    none_allowed
        .clone()
        .when(rules("A").only_with([]))
        .then_code(NoChange);
    // That nobody is allowed is another thing than that nothing is said.
    none_allowed.when(rules("A")).then_accepted();
}

#[test]
fn rules_have_amounts_of_the_accounts_currency() {
    let account = || given([open("A", "100")]);
    for (wrong, code) in [
        (rules("A").minimum("0.001"), InvalidAmount),
        (rules("A").maximum("0.001"), InvalidAmount),
        (rules("A").daily_amount("0.001"), InvalidAmount),
        (
            rules("A").maximum("99999999999999999999999999"),
            AmountOverflow,
        ),
        (
            rules("A").minimum("-99999999999999999999999999"),
            AmountOverflow,
        ),
    ] {
        account().when(wrong).then_code(code);
    }
    account()
        .when(rules("A").daily_amount("-0.01"))
        .then_rejected(
            InvalidAmount,
            "daily_debit_amount_max must be zero or more, and it is -0.01",
            [("amount", "-0.01"), ("field", "daily_debit_amount_max")],
        );
    account()
        .when(rules("A").minimum("10.01").maximum("10"))
        .then_rejected(
            InvalidAmount,
            "maximum_balance must be minimum_balance, 10.01, or more, and it is 10.00",
            [("amount", "10.00"), ("field", "maximum_balance")],
        );
    account()
        .when(rules("A").minimum("10").maximum("10"))
        .then_accepted();
    account()
        .when(rules("A").minimum("-10").maximum("-5"))
        .then_accepted();
    account()
        .when(rules("A").daily_amount("0").daily_count(0))
        .then_accepted();
}

#[test]
fn rules_are_of_an_account_that_is_there_and_not_closed() {
    given([open("A", "0")])
        .when(rules("B").minimum("1"))
        .then_code(AccountNotFound);
    given([open("A", "0"), close("A")])
        .when(rules("A").minimum("1"))
        .then_code(AccountClosed);
    let frozen = given([open("A", "0"), freeze("A", Scope::All)]);
    frozen.when(rules("A").minimum("1")).then_accepted();
    given([open("A", "0")])
        .when(rules("A").minimum("1").expecting_version(2))
        .then_code(ledger::RejectionCode::VersionConflict);
}

#[test]
fn an_account_is_closed_whatever_its_own_minimum_and_days_say() {
    let ruled = || {
        given([
            open("A", "100"),
            open("B", "0"),
            rules("A").minimum("50").daily_amount("1").daily_count(0),
        ])
    };
    let closed = ruled().when(sweep("A", "B")).then_events([
        "A v3 MoneyWithdrawn 100.00 USD, balance 0.00",
        "B v2 MoneyDeposited 100.00 USD, balance 100.00",
        "A v4 AccountClosed, balance 0.00",
    ]);
    let counted = closed.account("A").day_debits().map(|debits| debits.count);
    assert_eq!(counted, Some(1));
    ruled()
        .when(batch([sweep("A", "B"), withdraw("B", "1")]))
        .then_accepted();
    given([open("A", "0"), rules("A").minimum("50")])
        .when(close("A"))
        .then_events(["A v3 AccountClosed, balance 0.00"]);
}

#[test]
fn what_follows_from_the_events_is_what_was_decided_by() {
    let decided = given([
        open("A", "100"),
        open("B", "0"),
        rules("A").minimum("1").daily_amount("50").only_with(["B"]),
        withdraw("A", "10"),
        hold("A", 1, "5"),
        transfer("A", "B", "2"),
        capture("A", 1),
        rules("A").daily_count(9),
        withdraw("A", "1"),
    ]);
    let own = decided
        .events
        .iter()
        .filter(|event| event.account_id.as_str() == "A");
    let folded = own.fold(None, |account, event| {
        Some(Account::fold(account, event).unwrap())
    });
    assert_eq!(folded.as_ref(), Some(decided.account("A")));
    let debits = folded.unwrap().day_debits().copied().unwrap();
    assert_eq!(
        (
            debits.amount.to_string().as_str(),
            debits.count,
            debits.day.to_string().as_str()
        ),
        ("18.00", 4, "2026-01-31")
    );
}
