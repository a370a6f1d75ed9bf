//! Read models that are not where the event store is: behind, or ahead of the snapshot.

use operators::FeedEvent;
use serde_json::json;
use sinks::projection::{AccountBalance, DailyTotals, Holds, Transactions, Transfers};
use std::sync::Arc;

use crate::book::{Book, batch, command};
use crate::report::Report;
use crate::support::eventually;

fn three_more() -> Vec<ledger::Command> {
    vec![
        command(20, r#""type":"deposit","account_id":"A","amount":"1""#),
        command(21, r#""type":"deposit","account_id":"A","amount":"1""#),
        command(
            22,
            r#""type":"create_account","account_id":"D","owner_name":"Dan","currency":"JPY""#,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_is_behind_an_idle_feed() {
    let mut book = Book::written().await;
    let events = book.process(&three_more()).await;
    let report = book.violates(&["convergence"]).await;
    // Two accounts in five projections.
    assert_eq!(report.count("convergence"), 10);
    report.names("convergence", &json!({
        "projection":"transfers","account_id":"A","message":"behind","expected":"version 7","found":"version 5"
    }));
    let message = report.invariant("convergence")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("transfers lacks 3 events of 2 accounts"),
        "{message}"
    );
    assert!(
        message.contains("what is missing is not in the feed"),
        "{message}"
    );

    book.publish(events.clone()).await;
    let report = book.violates(&["convergence"]).await;
    let message = report.invariant("convergence")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("its offset is 10, and the feed ends at 13"),
        "{message}"
    );

    book.project(events).await;
    book.verify(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_is_behind_is_still_compared_where_it_stands() {
    let book = Book::written().await;
    book.process(&three_more()).await;
    book.tamper_read_model("UPDATE account_balance SET balance = 1 WHERE account_id = 'A'")
        .await;
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
    assert!(
        message.contains("it lags behind a feed that moves"),
        "{message}"
    );
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
        let batch = batch(
            items
                .map(|(position, event)| (position, FeedEvent::Event(Arc::new(event))))
                .collect(),
        );
        book.project_with(AccountBalance, &batch).await;
        book.tamper_read_model("UPDATE account_balance SET balance = 5 WHERE account_id = 'A'")
            .await;
        book.project_with(Transactions, &batch).await;
        book.project_with(Transfers, &batch).await;
        book.project_with(Holds, &batch).await;
        book.project_with(DailyTotals, &batch).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn totals_that_are_swapped_meanwhile_are_compared_as_they_were_and_hold_no_swap_up() {
    let book = Book::written().await;
    swapped_meanwhile(book, "ok").await;
}

/// The wrong rows that it has read are not those that readers see any more.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_totals_that_are_swapped_out_meanwhile_are_no_divergence() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE daily_totals SET count = count + 1")
        .await;
    swapped_meanwhile(book, "not_checked").await;
}

/// A new `daily_totals` is swapped in while the one before is compared.
async fn swapped_meanwhile(mut book: Book, status: &str) {
    let events = book.process(&three_more()).await;
    book.publish(events.clone()).await;
    let verify = book.ledger.json(&["verify", "--wait-seconds", "60"], 0);
    let swap_and_go_on = async {
        // When it waits for the projections, it has read the totals.
        eventually("verify to wait", || is_waiting(&book)).await;
        let order = ["projection", "rebuild", "daily_totals"];
        let rebuilt = book.ledger.json(&order, 0).await;
        assert_eq!(rebuilt["events_walked"], 13);
        let items = (11..).zip(events);
        let batch = batch(
            items
                .map(|(position, event)| (position, FeedEvent::Event(Arc::new(event))))
                .collect(),
        );
        book.project_with(AccountBalance, &batch).await;
        book.project_with(Transactions, &batch).await;
        book.project_with(Transfers, &batch).await;
        book.project_with(Holds, &batch).await;
    };
    let (report, ()) = tokio::join!(verify, swap_and_go_on);
    assert_eq!(report["totals"]["events"], 13);
    let report = Report(report);
    assert_eq!(report.invariant("convergence")["status"], status);
    book.verify(0).await;
}

/// Whether `verify` asks the read model up to where accounts are applied.
async fn is_waiting(book: &Book) -> bool {
    let asking: (i64,) = sqlx::query_as(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND query LIKE 'SELECT projection, account_id, known.version%'",
    )
    .fetch_one(&book.read_model)
    .await
    .unwrap();
    asking.0 > 0
}
