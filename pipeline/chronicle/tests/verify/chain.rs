//! One account's history: the chain, the versions, the times, the balances.

use ledger::Timestamp;
use rust_decimal::Decimal;
use serde_json::json;

use crate::book::{Book, command_id};

/// An amount of the same currency.
fn money(like: ledger::Money, value: Decimal) -> ledger::Money {
    ledger::Money::new(value, like.currency()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_amount() {
    let book = Book::written().await;
    let data = r#"{"amount":"26.00","currency":"USD"}"#;
    book.tamper(&format!(
        "UPDATE events SET data = '{data}' WHERE account_id = 'A' AND version = 2"
    ))
    .await;
    let report = book
        .violates(&[
            "append_only",
            "atomic_command",
            "conservation",
            "convergence",
        ])
        .await;
    assert_eq!(report.count("append_only"), 1);
    report.names(
        "append_only",
        &json!({"account_id":"A","version":2,"message":"does not have the hash"}),
    );
    report.names(
        "conservation",
        &json!({"account_id":"A","version":2,"expected":"126.00","found":"125.00"}),
    );
    report.names(
        "conservation",
        &json!({"message":"USD: the newest balances","expected":"16.00","found":"15.00"}),
    );
    report.names("atomic_command", &json!({
        "command_id": command_id(4), "expected":"MoneyDeposited A 25", "found":"MoneyDeposited A 26"
    }));
    report.names("convergence", &json!({
        "projection":"transactions","account_id":"A","version":2,"expected":"amount 26.00","found":"amount 25.00"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_balance_with_its_hash_computed_anew() {
    let book = Book::written().await;
    book.reseal("C", 2, |event| {
        event.balance_after = money(event.balance_after, Decimal::new(1100, 2));
    })
    .await;
    let report = book.violates(&["conservation", "convergence"]).await;
    report.names("conservation", &json!({
        "account_id":"C","version":2,"command_id":command_id(8),"expected":"10.00","found":"11.00"
    }));
    report.names("convergence", &json!({"projection":"account_balance","account_id":"C","expected":"balance 11.00","found":"balance 10.00"}));
    report.names("convergence", &json!({"projection":"transactions","account_id":"C","version":2,"expected":"balance_after 11.00"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_balance_in_the_middle_breaks_the_link_behind_it() {
    let book = Book::written().await;
    book.reseal("A", 3, |event| {
        event.balance_after = money(event.balance_after, Decimal::new(1600, 2));
    })
    .await;
    let report = book
        .violates(&["append_only", "conservation", "convergence"])
        .await;
    assert_eq!(
        (report.count("append_only"), report.count("conservation")),
        (1, 2)
    );
    report.names(
        "append_only",
        &json!({"account_id":"A","version":4,"message":"prev_hash is not the hash"}),
    );
    report.names(
        "conservation",
        &json!({"account_id":"A","version":3,"expected":"15.00","found":"16.00"}),
    );
    report.names(
        "conservation",
        &json!({"account_id":"A","version":4,"expected":"-14.00","found":"-15.00"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_row() {
    let book = Book::written().await;
    book.tamper("DELETE FROM events WHERE account_id = 'A' AND version = 2")
        .await;
    let report = book
        .violates(&[
            "append_only",
            "gapless_versions",
            "atomic_command",
            "conservation",
            "exactly_once",
            "convergence",
        ])
        .await;
    assert_eq!(
        (
            report.count("append_only"),
            report.count("gapless_versions")
        ),
        (1, 1)
    );
    report.names(
        "gapless_versions",
        &json!({"account_id":"A","version":3,"expected":"2","found":"3"}),
    );
    report.names(
        "append_only",
        &json!({"account_id":"A","version":3,"message":"version 2 is missing"}),
    );
    report.names(
        "atomic_command",
        &json!({"account_id":"A","version":2,"command_id":command_id(4),"found":"nothing"}),
    );
    report.names(
        "conservation",
        &json!({"account_id":"A","version":5,"expected":"-35.00","found":"-10.00"}),
    );
    report.names("exactly_once", &json!({"projection":"transactions","account_id":"A","version":2,"message":"belongs to no event"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_first_row() {
    let book = Book::written().await;
    book.tamper("DELETE FROM events WHERE account_id = 'C' AND version = 1")
        .await;
    let report = book
        .violates(&[
            "append_only",
            "gapless_versions",
            "atomic_command",
            "conservation",
            "exactly_once",
            "convergence",
        ])
        .await;
    report.names(
        "gapless_versions",
        &json!({"account_id":"C","version":2,"expected":"1","found":"2"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_newest_row_is_missed_by_its_command() {
    let book = Book::written().await;
    book.tamper("DELETE FROM events WHERE account_id = 'C' AND version = 2")
        .await;
    let report = book
        .violates(&["atomic_command", "exactly_once", "convergence"])
        .await;
    report.names("convergence", &json!({
        "projection":"daily_totals","message":"EUR","expected":"count none","found":"count 1, amount 2.50"
    }));
    report.names(
        "atomic_command",
        &json!({"account_id":"C","version":2,"command_id":command_id(8),"found":"nothing"}),
    );
    for projection in sinks::projection::NAMES {
        report.names("exactly_once", &json!({
            "projection":projection,"account_id":"C","version":2,"message":"that the event store does not have"
        }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_versions() {
    let book = Book::written().await;
    for (from, to) in [(2, 1000), (3, 2), (1000, 3)] {
        book.tamper(&format!(
            "UPDATE events SET version = {to} WHERE account_id = 'A' AND version = {from}"
        ))
        .await;
    }
    let report = book
        .violates(&[
            "append_only",
            "atomic_command",
            "conservation",
            "convergence",
            "monotonic_time",
        ])
        .await;
    for version in [2, 3] {
        report.names(
            "append_only",
            &json!({"account_id":"A","version":version,"message":"does not have the hash"}),
        );
        report.names(
            "append_only",
            &json!({"account_id":"A","version":version,"message":"prev_hash is not the hash"}),
        );
    }
    report.names(
        "monotonic_time",
        &json!({"account_id":"A","version":3,"command_id":command_id(4)}),
    );
    report.names(
        "atomic_command",
        &json!({"account_id":"A","version":2,"command_id":command_id(4)}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_falls() {
    let book = Book::written().await;
    let first = book.history("C").await[0].recorded_at;
    let earlier = Timestamp::from_unix_microseconds(first.unix_microseconds() - 1);
    book.reseal("C", 2, |event| event.recorded_at = earlier)
        .await;
    let report = book.violates(&["monotonic_time", "convergence"]).await;
    assert_eq!(report.count("monotonic_time"), 2);
    report.names("monotonic_time", &json!({
        "account_id":"C","version":2,"expected":format!("after {first}"),"found":earlier.to_string()
    }));
    report.names("monotonic_time", &json!({
        "account_id":"C","version":2,"command_id":command_id(8),"message":"do not share their recorded_at"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_stands_still_from_command_to_command() {
    let book = Book::written().await;
    let first = book.history("C").await[0].recorded_at;
    book.reseal("C", 2, |event| event.recorded_at = first).await;
    book.tamper(&format!(
        "UPDATE commands SET recorded_at = (SELECT recorded_at FROM events WHERE account_id = 'C' AND version = 1) \
         WHERE command_id = '{}'",
        command_id(8)
    ))
    .await;
    let report = book.violates(&["monotonic_time", "convergence"]).await;
    assert_eq!(report.count("monotonic_time"), 1);
}
