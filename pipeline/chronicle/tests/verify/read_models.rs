//! Read models against the event store.

use serde_json::json;

use crate::book::{Book, command_id};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_amount_in_account_balance() {
    let book = Book::written().await;
    book.tamper_read_model(
        "UPDATE account_balance SET balance = balance + 0.01 WHERE account_id = 'A'",
    )
    .await;
    let report = book.violates(&["convergence"]).await;
    assert_eq!(report.count("convergence"), 1);
    report.names("convergence", &json!({
        "projection":"account_balance","account_id":"A","version":5,"expected":"balance -10.00","found":"balance -9.99"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_column_of_account_balance_is_compared() {
    let book = Book::written().await;
    for (column, value) in [
        ("owner_name", "'Eve'"),
        ("balance", "'NaN'"),
        ("currency", "'EUR'"),
        ("overdraft_limit", "overdraft_limit + 1"),
        ("status", "'frozen'"),
        ("opened_at", "opened_at - interval '1 microsecond'"),
        ("updated_at", "'infinity'"),
    ] {
        let read_model = book.ledger.read_model().await;
        let sql = format!("UPDATE account_balance SET {column} = {value} WHERE account_id = 'B'");
        let mut transaction = read_model.begin().await.unwrap();
        let row: (String,) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "SELECT {column}::text FROM account_balance WHERE account_id = 'B'"
        )))
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        let report = book.violates(&["convergence"]).await;
        report.names("convergence", &json!({"projection":"account_balance","account_id":"B","expected":column,"found":column}));
        book.tamper_read_model(&format!(
            "UPDATE account_balance SET {column} = '{}' WHERE account_id = 'B'",
            row.0
        ))
        .await;
    }
    book.verify(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extra_row_in_transactions() {
    let book = Book::written().await;
    book.tamper_read_model(
        "INSERT INTO transactions SELECT gen_random_uuid(), account_id, 3, type, amount, currency, balance_after, description,
            transfer_id, counterparty_account_id, command_id, actor, timestamp
         FROM transactions WHERE account_id = 'C' AND version = 2",
    )
    .await;
    let report = book.violates(&["exactly_once"]).await;
    assert_eq!(report.count("exactly_once"), 1);
    report.names(
        "exactly_once",
        &json!({
            "projection":"transactions","account_id":"C","version":3,"message":"belongs to no event"
        }),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_row_in_transactions() {
    let book = Book::written().await;
    book.tamper_read_model("DELETE FROM transactions WHERE account_id = 'A' AND version = 3")
        .await;
    let report = book.violates(&["exactly_once"]).await;
    assert_eq!(report.count("exactly_once"), 1);
    report.names(
        "exactly_once",
        &json!({"projection":"transactions","account_id":"A","version":3,"message":"missing"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_transactions_that_says_something_else() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE transactions SET amount = -amount, actor = 'nobody' WHERE account_id = 'A' AND version = 3").await;
    let report = book.violates(&["convergence"]).await;
    report.names(
        "convergence",
        &json!({
            "projection":"transactions","account_id":"A","version":3,
            "expected":"amount -110.00, actor none","found":"amount 110.00, actor nobody"
        }),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_account() {
    let book = Book::written().await;
    book.tamper_read_model("DELETE FROM account_balance WHERE account_id = 'B'")
        .await;
    let report = book.violates(&["exactly_once"]).await;
    assert_eq!(report.count("exactly_once"), 1);
    report.names("exactly_once", &json!({"projection":"account_balance","account_id":"B","expected":"version 3","found":"none"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_nobody_opened() {
    let book = Book::written().await;
    book.tamper_read_model(
        "INSERT INTO account_balance SELECT 'GHOST', owner_name, balance, currency, overdraft_limit, status, version, opened_at,
            updated_at FROM account_balance WHERE account_id = 'A'",
    )
    .await;
    let report = book.violates(&["exactly_once"]).await;
    report.names("exactly_once", &json!({"projection":"account_balance","account_id":"GHOST","message":"belongs to no account"}));
    book.tamper_read_model(
        "INSERT INTO projection_versions VALUES ('account_balance', 'GHOST', 5)",
    )
    .await;
    let report = book.violates(&["exactly_once"]).await;
    report.names(
        "exactly_once",
        &json!({"projection":"account_balance","account_id":"GHOST","version":5}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_do_not_agree_with_the_rows() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE projection_versions SET version = 4 WHERE projection = 'account_balance' AND account_id = 'A'").await;
    let report = book.violates(&["exactly_once", "convergence"]).await;
    report.names("exactly_once", &json!({"projection":"account_balance","account_id":"A","expected":"version 4","found":"version 5"}));
    report.names(
        "convergence",
        &json!({"projection":"account_balance","account_id":"A","message":"behind"}),
    );
    book.tamper_read_model("UPDATE projection_versions SET version = 5 WHERE projection = 'account_balance' AND account_id = 'A'").await;
    book.tamper_read_model("UPDATE projection_versions SET version = 6 WHERE projection = 'transactions' AND account_id = 'A'").await;
    let report = book.violates(&["exactly_once"]).await;
    report.names("exactly_once", &json!({"projection":"transactions","account_id":"A","version":6,"message":"does not have"}));
    book.tamper_read_model("UPDATE projection_versions SET version = 4 WHERE projection = 'transactions' AND account_id = 'A'").await;
    let report = book.violates(&["exactly_once", "convergence"]).await;
    report.names("exactly_once", &json!({"projection":"transactions","account_id":"A","version":5,"message":"does not count as applied"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_transfer_and_one_that_nobody_made() {
    let book = Book::written().await;
    book.tamper_read_model(
        "UPDATE transfers SET transfer_id = gen_random_uuid() WHERE amount = 30",
    )
    .await;
    let report = book.violates(&["exactly_once"]).await;
    assert_eq!(report.count("exactly_once"), 3);
    report.names("exactly_once", &json!({"projection":"transfers","account_id":"A","version":4,"message":"the row is missing"}));
    report.names("exactly_once", &json!({"projection":"transfers","account_id":"B","version":2,"message":"the row is missing"}));
    report.names("exactly_once", &json!({"projection":"transfers","command_id":command_id(6),"message":"belongs to no transfer"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extra_transfer() {
    let book = Book::written().await;
    book.tamper_read_model(
        "INSERT INTO transfers SELECT gen_random_uuid(), from_account_id, to_account_id, amount, currency, status, debit_applied,
            credit_applied, description, command_id, timestamp FROM transfers WHERE amount = 30",
    )
    .await;
    let report = book.violates(&["exactly_once"]).await;
    assert_eq!(report.count("exactly_once"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_lacks_a_half() {
    let book = Book::written().await;
    book.tamper_read_model(
        "UPDATE transfers SET credit_applied = false, status = 'pending' WHERE amount = 30",
    )
    .await;
    let report = book.violates(&["exactly_once"]).await;
    assert_eq!(report.count("exactly_once"), 1);
    report.names(
        "exactly_once",
        &json!({"projection":"transfers","account_id":"B","version":2,"message":"not in the row"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_says_something_else() {
    let book = Book::written().await;
    book.tamper_read_model(
        "UPDATE transfers SET status = 'pending', to_account_id = 'C' WHERE amount = 30",
    )
    .await;
    let report = book.violates(&["convergence"]).await;
    report.names(
        "convergence",
        &json!({"projection":"transfers","expected":"completed","found":"pending"}),
    );
    report.names("convergence", &json!({
        "projection":"transfers","account_id":"A","version":4,"expected":"to_account_id B","found":"to_account_id C"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_amount_in_daily_totals() {
    let book = Book::written().await;
    book.tamper_read_model(
        "UPDATE daily_totals SET amount = amount + 0.01 WHERE type = 'withdrawal'",
    )
    .await;
    let report = book.violates(&["convergence"]).await;
    assert_eq!(report.count("convergence"), 1);
    let today = book.literal("daily_totals", "day", "type = 'withdrawal'");
    let row = format!("USD {} withdrawal", today.await.trim_matches('\''));
    report.names("convergence", &json!({
        "projection":"daily_totals","message":row,"expected":"amount 110.00","found":"amount 110.01"
    }));
    report.names(
        "convergence",
        &json!({"message":"not the sum of the events"}),
    );
    book.tamper_read_model(
        "UPDATE daily_totals SET amount = amount - 0.01 WHERE type = 'withdrawal'",
    )
    .await;
    book.verify(0).await;
    book.tamper_read_model(
        "UPDATE daily_totals SET count = 2, amount = 'NaN' WHERE type = 'withdrawal'",
    )
    .await;
    let report = book.violates(&["convergence"]).await;
    report.names("convergence", &json!({
        "projection":"daily_totals","expected":"count 1, amount 110.00","found":"count 2, amount NaN"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_row_in_daily_totals() {
    let book = Book::written().await;
    book.tamper_read_model("DELETE FROM daily_totals WHERE currency = 'EUR' AND type = 'deposit'")
        .await;
    let report = book.violates(&["convergence"]).await;
    assert_eq!(report.count("convergence"), 1);
    report.names("convergence", &json!({
        "projection":"daily_totals","message":"deposit: events count as applied, and their row is missing",
        "expected":"count 1, amount 2.50","found":"count none, amount none"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extra_row_in_daily_totals() {
    let book = Book::written().await;
    book.tamper_read_model(
        "INSERT INTO daily_totals VALUES ('JPY', '2026-01-31', 'deposit', 1, 5)",
    )
    .await;
    let report = book.violates(&["convergence"]).await;
    assert_eq!(report.count("convergence"), 1);
    report.names("convergence", &json!({
        "projection":"daily_totals","message":"JPY 2026-01-31 deposit: the row belongs to no event",
        "expected":"count none","found":"count 1, amount 5"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn daily_totals_are_compared_with_what_counts_as_applied() {
    let book = Book::written().await;
    // One event less counts: the row has one too many, and the projection is behind.
    book.tamper_read_model("UPDATE projection_versions SET version = 1 WHERE projection = 'daily_totals' AND account_id = 'C'").await;
    let report = book.violates(&["convergence"]).await;
    assert_eq!(report.count("convergence"), 2);
    report.names(
        "convergence",
        &json!({"projection":"daily_totals","account_id":"C","message":"behind"}),
    );
    report.names("convergence", &json!({
        "projection":"daily_totals","message":"deposit: the row belongs to no event","found":"count 1, amount 2.50"
    }));
}
