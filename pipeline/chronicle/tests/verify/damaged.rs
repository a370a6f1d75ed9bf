//! Rows that say what no event can say.

use serde_json::json;

use crate::book::{Book, command_id};

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_is_named_and_the_rest_is_still_checked() {
    let book = Book::written().await;
    book.tamper("UPDATE events SET balance_after = 'NaN' WHERE account_id = 'A' AND version = 2")
        .await;
    book.tamper(
        "UPDATE events SET recorded_at = 'infinity' WHERE account_id = 'A' AND version = 3",
    )
    .await;
    let id = command_id(4);
    book.tamper(&format!(
        "UPDATE commands SET recorded_at = '-infinity' WHERE command_id = '{id}'"
    ))
    .await;
    book.tamper_read_model("UPDATE account_balance SET balance = 16 WHERE account_id = 'B'")
        .await;
    let report = book
        .violates(&["append_only", "one_outcome", "convergence"])
        .await;
    assert_eq!(
        (report.count("append_only"), report.count("one_outcome")),
        (2, 1)
    );
    let unreadable =
        json!({"account_id":"A","version":3,"message":"recorded_at lies outside the years"});
    report.names("append_only", &unreadable);
    report.names(
        "one_outcome",
        &json!({"account_id":"A","command_id":id,"message":"recorded_at lies outside"}),
    );
    report.names(
        "append_only",
        &json!({"account_id":"A","version":2,"message":"the row cannot be read"}),
    );
    report.names(
        "convergence",
        &json!({"projection":"account_balance","account_id":"B"}),
    );
    assert_eq!(report.invariant("conservation")["status"], "not_checked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_event_that_opens_nothing() {
    let book = Book::written().await;
    let data = r#"{"amount":"7.50","currency":"EUR"}"#;
    book.tamper(&format!(
        "UPDATE events SET event_type = 'MoneyDeposited', data = '{data}' WHERE account_id = 'C' AND version = 1"
    ))
    .await;
    let report = book
        .violates(&[
            "append_only",
            "gapless_versions",
            "atomic_command",
            "convergence",
        ])
        .await;
    report.names(
        "gapless_versions",
        &json!({"account_id":"C","version":1,"message":"version 1 opens an account"}),
    );
}
