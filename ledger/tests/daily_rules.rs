//! The rules of an account about a day: how much may leave it, and how often.

mod support;

use ledger::RejectionCode::{
    AmountOverflow, BelowMinimumBalance, DailyAmountExceeded, DailyCountExceeded,
};
use support::{
    Given, NOON, batch, capture, credit, debit, deposit, exchange, given, hold, open, post,
    release, reverse, rules, sweep, transfer, withdraw,
};

const LAST: &str = "2026-01-31T23:59:59.999999Z";
const MIDNIGHT: &str = "2026-02-01T00:00:00.000000Z";

/// 50.00 a day may leave it.
fn by_amount() -> Given {
    given([
        open("A", "1000"),
        open("B", "1000"),
        rules("A").daily_amount("50"),
    ])
}

/// Two debits a day.
fn by_count() -> Given {
    given([
        open("A", "1000"),
        open("B", "1000"),
        rules("A").daily_count(2),
    ])
}

/// How much, how often and when, as it is counted now.
fn day(given: &Given) -> Option<(String, u32, String)> {
    let debits = given.account("A").day_debits()?;
    Some((
        debits.amount.to_string(),
        debits.count,
        debits.day.to_string(),
    ))
}

fn counted(amount: &str, count: u32, day: &str) -> (String, u32, String) {
    (amount.to_owned(), count, day.to_owned())
}

#[test]
fn a_days_debits_come_to_the_amount_and_not_a_cent_more() {
    let after = by_amount()
        .when(withdraw("A", "30"))
        .then_events(["A v3 MoneyWithdrawn 30.00 USD, balance 970.00"]);
    assert_eq!(day(&after), Some(counted("30.00", 1, "2026-01-31")));
    after
        .when(withdraw("A", "20.01"))
        .then_rejected(
            DailyAmountExceeded,
            "the debits of account A on 2026-01-31 (UTC) would be 50.01 USD with these 20.01 USD, and 50.00 USD a day is the most",
            [
                ("account_id", "A"),
                ("day", "2026-01-31"),
                ("amount", "50.01"),
                ("required", "20.01"),
                ("daily_debit_amount_max", "50.00"),
                ("currency", "USD"),
            ],
        )
        .when(withdraw("A", "20"))
        .then_accepted()
        .when(withdraw("A", "0.01"))
        .then_code(DailyAmountExceeded);
}

#[test]
fn a_day_has_so_many_debits_and_not_one_more() {
    by_count()
        .when(withdraw("A", "1"))
        .then_accepted()
        .when(transfer("A", "B", "1"))
        .then_accepted()
        .when(withdraw("A", "1"))
        .then_rejected(
            DailyCountExceeded,
            "account A may have 2 debits a day, and has had as many on 2026-01-31 (UTC)",
            [
                ("account_id", "A"),
                ("day", "2026-01-31"),
                ("daily_debit_count_max", "2"),
            ],
        )
        .when(deposit("A", "1"))
        .then_accepted();
}

#[test]
fn none_a_day_and_nothing_a_day_forbid_every_debit() {
    for (forbidding, code) in [
        (rules("A").daily_count(0), DailyCountExceeded),
        (rules("A").daily_amount("0"), DailyAmountExceeded),
        // The amount is looked at first.
        (
            rules("A").daily_amount("0").daily_count(0),
            DailyAmountExceeded,
        ),
    ] {
        let forbidden = || given([open("A", "10"), forbidding.clone()]);
        forbidden().when(withdraw("A", "0.01")).then_code(code);
        forbidden().when(hold("A", 1, "0.01")).then_code(code);
        forbidden().when(deposit("A", "1")).then_accepted();
    }
}

#[test]
fn a_day_ends_at_midnight_of_utc() {
    let used_up = by_amount().when(withdraw("A", "50")).then_accepted();
    used_up
        .clone()
        .when(withdraw("A", "0.01").at(LAST))
        .then_code(DailyAmountExceeded);
    let next = used_up
        .when(withdraw("A", "50").at(MIDNIGHT))
        .then_accepted();
    assert_eq!(day(&next), Some(counted("50.00", 1, "2026-02-01")));
    next.when(withdraw("A", "0.01").at("2026-02-01T23:59:59.999999Z"))
        .then_code(DailyAmountExceeded);
}

/// The day is that of `recorded_at`, which never falls.
#[test]
fn a_clock_that_is_behind_does_not_bring_a_day_back() {
    let at_last = by_count()
        .when(withdraw("A", "1").at(LAST))
        .then_accepted()
        .when(withdraw("A", "1").at(LAST))
        .then_accepted();
    // The second was pushed by a microsecond, and so into the next day.
    assert_eq!(day(&at_last), Some(counted("1.00", 1, "2026-02-01")));
    let behind = at_last.when(withdraw("A", "1").at(NOON)).then_accepted();
    assert_eq!(day(&behind), Some(counted("2.00", 2, "2026-02-01")));
    behind
        .when(withdraw("A", "1").at(LAST))
        .then_code(DailyCountExceeded);
}

#[test]
fn the_other_account_of_a_transfer_can_push_it_into_the_next_day() {
    let later = by_amount()
        .when(withdraw("A", "50").at(LAST))
        .then_accepted()
        .when(deposit("B", "1").at(MIDNIGHT))
        .then_accepted();
    later
        .when(transfer("A", "B", "50").at(LAST))
        .then_accepted();
}

#[test]
fn each_debit_of_a_batch_and_of_a_posting_counts() {
    by_count()
        .when(batch([
            withdraw("A", "1"),
            withdraw("A", "1"),
            withdraw("A", "1"),
        ]))
        .then_code(DailyCountExceeded);
    let both = by_count()
        .when(batch([withdraw("A", "1"), withdraw("A", "2")]))
        .then_accepted();
    assert_eq!(day(&both), Some(counted("3.00", 2, "2026-01-31")));
    let entries = |second| {
        [
            debit("A", "25"),
            debit("A", second),
            credit("B", "25"),
            credit("B", second),
        ]
    };
    by_amount()
        .when(post(entries("25.01")))
        .then_code(DailyAmountExceeded);
    let posted = by_amount().when(post(entries("25"))).then_accepted();
    assert_eq!(day(&posted), Some(counted("50.00", 2, "2026-01-31")));
}

#[test]
fn an_exchange_counts_for_whoever_pays() {
    let accounts = |ruled: &str| {
        given([
            open("A", "100"),
            open("USD", "0"),
            open("EUR", "100").in_currency("EUR"),
            open("E", "0").in_currency("EUR"),
            rules(ruled).daily_count(0),
        ])
    };
    let price = || ledger::Price::ToAmount("9".parse().unwrap());
    for payer in ["A", "EUR"] {
        accounts(payer)
            .when(exchange("A", "E", "10", price()))
            .then_code(DailyCountExceeded);
    }
    for payee in ["USD", "E"] {
        accounts(payee)
            .when(exchange("A", "E", "10", price()))
            .then_accepted();
    }
}

#[test]
fn money_that_is_held_counts_when_it_is_held_and_never_again() {
    let held = by_amount().when(hold("A", 1, "50")).then_accepted();
    held.clone()
        .when(withdraw("A", "0.01"))
        .then_code(DailyAmountExceeded);
    let captured = held.clone().when(capture("A", 1).to("B")).then_accepted();
    assert_eq!(day(&captured), Some(counted("50.00", 1, "2026-01-31")));
    // What is given back does not count less.
    let released = held.clone().when(release("A", 1)).then_accepted();
    assert_eq!(day(&released), Some(counted("50.00", 1, "2026-01-31")));
    // A capture on another day is none of that day's.
    let next = held.when(capture("A", 1).at(MIDNIGHT)).then_accepted();
    assert_eq!(day(&next), Some(counted("50.00", 1, "2026-01-31")));
    next.when(withdraw("A", "50").at(MIDNIGHT)).then_accepted();
}

#[test]
fn moving_back_counts_nothing_and_gives_nothing_back() {
    let used_up = given([
        open("A", "100"),
        deposit("A", "7"),
        rules("A").daily_amount("50"),
        withdraw("A", "50"),
    ]);
    let back = used_up.when(reverse("A", 4)).then_accepted();
    assert_eq!(day(&back), Some(counted("50.00", 1, "2026-01-31")));
    let back = back.when(reverse("A", 2)).then_accepted();
    assert_eq!(day(&back), Some(counted("50.00", 1, "2026-01-31")));
    back.when(withdraw("A", "0.01"))
        .then_code(DailyAmountExceeded);
}

#[test]
fn a_day_is_counted_since_there_is_a_daily_rule() {
    let without = given([
        open("A", "100"),
        rules("A").minimum("1"),
        withdraw("A", "40"),
    ]);
    assert_eq!(day(&without), None);
    let with = without.when(rules("A").daily_amount("50")).then_accepted();
    assert_eq!(day(&with), None);
    with.when(withdraw("A", "50")).then_accepted();
}

#[test]
fn new_daily_rules_go_on_counting_and_others_forget() {
    let used = by_amount().when(withdraw("A", "40")).then_accepted();
    let replaced = used.clone().when(rules("A").daily_count(1)).then_accepted();
    assert_eq!(day(&replaced), Some(counted("40.00", 1, "2026-01-31")));
    replaced
        .when(withdraw("A", "1"))
        .then_code(DailyCountExceeded);
    // Less than was spent already: nothing more today.
    used.clone()
        .when(rules("A").daily_amount("39.99"))
        .then_accepted()
        .when(withdraw("A", "0.01"))
        .then_code(DailyAmountExceeded);
    for other in [rules("A"), rules("A").maximum("5000")] {
        let forgotten = used.clone().when(other).then_accepted();
        assert_eq!(day(&forgotten), None);
        let again = forgotten
            .when(rules("A").daily_amount("50"))
            .then_accepted();
        assert_eq!(day(&again), None);
        again.when(withdraw("A", "50")).then_accepted();
    }
}

#[test]
fn the_minimum_is_looked_at_before_the_day() {
    given([
        open("A", "100"),
        rules("A").minimum("90").daily_amount("5").daily_count(0),
    ])
    .when(withdraw("A", "11"))
    .then_code(BelowMinimumBalance);
}

/// What a day has seen is a number like any other: it is refused before it has too many digits, with the closing that
/// would otherwise be allowed.
#[test]
fn what_a_day_has_seen_never_has_more_digits_than_money() {
    let largest = "9999999999999999999999999.99";
    let seen = given([
        open("A", largest),
        open("B", "0"),
        rules("A").daily_count(9),
        hold("A", 1, largest),
        release("A", 1),
    ]);
    seen.clone()
        .when(withdraw("A", "0.01"))
        .then_code(AmountOverflow);
    seen.clone().when(sweep("A", "B")).then_code(AmountOverflow);
    seen.when(sweep("A", "B").at(MIDNIGHT)).then_accepted();
}
