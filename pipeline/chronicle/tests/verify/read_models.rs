//! Read models against the event store.

use operators::FeedEvent;
use serde_json::json;
use sinks::projection::{AccountBalance, Transactions, Transfers};

use crate::book::{Book, Report, batch, command, command_id};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_amount_in_account_balance() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE account_balance SET balance = balance + 0.01 WHERE account_id = 'A'").await;
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
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        let report = book.violates(&["convergence"]).await;
        report.names("convergence", &json!({"projection":"account_balance","account_id":"B","expected":column,"found":column}));
        book.tamper_read_model(&format!("UPDATE account_balance SET {column} = '{}' WHERE account_id = 'B'", row.0)).await;
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
    report.names("exactly_once", &json!({
        "projection":"transactions","account_id":"C","version":3,"message":"belongs to no event"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_row_in_transactions() {
    let book = Book::written().await;
    book.tamper_read_model("DELETE FROM transactions WHERE account_id = 'A' AND version = 3").await;
    let report = book.violates(&["exactly_once"]).await;
    assert_eq!(report.count("exactly_once"), 1);
    report.names("exactly_once", &json!({"projection":"transactions","account_id":"A","version":3,"message":"missing"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_transactions_that_says_something_else() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE transactions SET amount = -amount, actor = 'nobody' WHERE account_id = 'A' AND version = 3").await;
    let report = book.violates(&["convergence"]).await;
    report.names("convergence", &json!({
        "projection":"transactions","account_id":"A","version":3,
        "expected":"amount -110.00, actor none","found":"amount 110.00, actor nobody"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_account() {
    let book = Book::written().await;
    book.tamper_read_model("DELETE FROM account_balance WHERE account_id = 'B'").await;
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
    book.tamper_read_model("INSERT INTO projection_versions VALUES ('account_balance', 'GHOST', 5)").await;
    let report = book.violates(&["exactly_once"]).await;
    report.names("exactly_once", &json!({"projection":"account_balance","account_id":"GHOST","version":5}));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_do_not_agree_with_the_rows() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE projection_versions SET version = 4 WHERE projection = 'account_balance' AND account_id = 'A'").await;
    let report = book.violates(&["exactly_once", "convergence"]).await;
    report.names("exactly_once", &json!({"projection":"account_balance","account_id":"A","expected":"version 4","found":"version 5"}));
    report.names("convergence", &json!({"projection":"account_balance","account_id":"A","message":"behind"}));
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
    book.tamper_read_model("UPDATE transfers SET transfer_id = gen_random_uuid() WHERE amount = 30").await;
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
    book.tamper_read_model("UPDATE transfers SET credit_applied = false, status = 'pending' WHERE amount = 30").await;
    let report = book.violates(&["exactly_once"]).await;
    assert_eq!(report.count("exactly_once"), 1);
    report.names("exactly_once", &json!({"projection":"transfers","account_id":"B","version":2,"message":"not in the row"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_says_something_else() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE transfers SET status = 'pending', to_account_id = 'C' WHERE amount = 30").await;
    let report = book.violates(&["convergence"]).await;
    report.names("convergence", &json!({"projection":"transfers","expected":"completed","found":"pending"}));
    report.names("convergence", &json!({
        "projection":"transfers","account_id":"A","version":4,"expected":"to_account_id B","found":"to_account_id C"
    }));
}

fn three_more() -> Vec<ledger::Command> {
    vec![
        command(20, r#""type":"deposit","account_id":"A","amount":"1""#),
        command(21, r#""type":"deposit","account_id":"A","amount":"1""#),
        command(22, r#""type":"create_account","account_id":"D","owner_name":"Dan","currency":"JPY""#),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_is_behind_an_idle_feed() {
    let mut book = Book::written().await;
    let events = book.process(&three_more()).await;
    let report = book.violates(&["convergence"]).await;
    // Two accounts in three projections.
    assert_eq!(report.count("convergence"), 6);
    report.names("convergence", &json!({
        "projection":"transfers","account_id":"A","message":"behind","expected":"version 7","found":"version 5"
    }));
    let message = report.invariant("convergence")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("transfers lacks 3 events of 2 accounts"), "{message}");
    assert!(message.contains("what is missing is not in the feed"), "{message}");

    book.publish(events.clone()).await;
    let report = book.violates(&["convergence"]).await;
    let message = report.invariant("convergence")["message"].as_str().unwrap().to_owned();
    assert!(message.contains("its offset is 10, and the feed ends at 13"), "{message}");

    book.project(events).await;
    book.verify(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_is_behind_is_still_compared_where_it_stands() {
    let book = Book::written().await;
    book.process(&three_more()).await;
    book.tamper_read_model("UPDATE account_balance SET balance = 1 WHERE account_id = 'A'").await;
    let report = book.violates(&["convergence"]).await;
    report.names("convergence", &json!({
        "projection":"account_balance","account_id":"A","version":5,"expected":"balance -10.00","found":"balance 1"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_catches_up_while_it_is_waited_for() {
    let mut book = Book::written().await;
    let events = book.process(&three_more()).await;
    book.publish(events.clone()).await;
    let verify = book.ledger.json(&["verify", "--wait-seconds", "60"], 0);
    let catch_up = async {
        eventually("verify to wait", || is_waiting(&book)).await;
        book.project(events).await;
    };
    let (report, ()) = tokio::join!(verify, catch_up);
    assert_eq!(report["totals"]["events"], 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_lags_behind_a_feed_that_moves_is_no_violation() {
    let book = Book::written().await;
    let events = book.process(&three_more()).await;
    let report = {
        let waiting = book.ledger.json(&["verify", "--wait-seconds", "3"], 0);
        tokio::pin!(waiting);
        loop {
            tokio::select! {
                report = &mut waiting => break Report(report),
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {
                    // The same events again: the feed moves, and the projections stand still.
                    let subject = transport::subjects::event(&events[0].account_id);
                    let payload = ledger::codec::json::encode_event(&events[0]).into();
                    book.nats.jetstream.publish(subject, payload).await.unwrap().await.unwrap();
                }
            }
        }
    };
    let convergence = report.invariant("convergence");
    assert_eq!(convergence["status"], "not_checked", "{convergence}");
    let message = convergence["message"].as_str().unwrap();
    assert!(message.contains("it lags behind a feed that moves"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_has_moved_on_since_the_snapshot_is_compared_at_its_own_version() {
    let mut book = Book::written().await;
    let within = book.process(&three_more()[..1]).await;
    book.publish(within.clone()).await;
    let verify = book.ledger.json(&["verify", "--wait-seconds", "60"], 1);
    let go_on = async {
        // When it waits for the projections, it has its snapshot.
        eventually("verify to wait", || is_waiting(&book)).await;
        let behind = book.process(&three_more()[1..2]).await;
        let items = (11..).zip(within.iter().chain(&behind).cloned());
        let batch = batch(items.map(|(position, event)| (position, FeedEvent::Event(Box::new(event)))).collect());
        book.project_with(AccountBalance, &batch).await;
        book.tamper_read_model("UPDATE account_balance SET balance = 5 WHERE account_id = 'A'").await;
        book.project_with(Transactions, &batch).await;
        book.project_with(Transfers, &batch).await;
    };
    let (report, ()) = tokio::join!(verify, go_on);
    let report = Report(report);
    assert_eq!(report.0["totals"]["events"], 11, "{:#}", report.0);
    assert_eq!(report.count("convergence"), 1, "{:#}", report.0);
    assert_eq!(report.count("exactly_once"), 0, "{:#}", report.0);
    report.names("convergence", &json!({
        "projection":"account_balance","account_id":"A","version":7,"expected":"balance -8.00","found":"balance 5"
    }));
}

/// Whether `verify` asks the read model up to where accounts are applied.
async fn is_waiting(book: &Book) -> bool {
    let asking: (i64,) = sqlx::query_as(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND query LIKE 'SELECT projection, account_id, version FROM projection_versions%'",
    )
    .fetch_one(&book.read_model)
    .await
    .unwrap();
    asking.0 > 0
}
