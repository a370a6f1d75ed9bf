//! `chronicle verify --deep`: every message of the feed against the event store.

use ledger::Event;
use ledger::codec::json::encode_event;
use serde_json::json;
use transport::restoring::{self, Changes, Restoration};
use transport::streams::{self, Limits};

use crate::book::{Book, command};
use crate::report::Report;

async fn deep(book: &Book, code: i32) -> Report {
    let arguments = ["verify", "--wait-seconds", "0", "--deep"];
    Report(book.ledger.json(&arguments, code).await)
}

/// Only convergence is violated, by the feed, with these fields.
async fn finds(book: &Book, fields: &serde_json::Value) {
    let report = deep(book, 1).await;
    assert_eq!(report.violated(), ["convergence"].into(), "{:#}", report.0);
    let mut fields = fields.clone();
    fields["projection"] = json!("feed");
    report.names("convergence", &fields);
}

async fn stream(book: &Book) -> async_nats::jetstream::stream::Stream {
    let found = streams::existing(&book.nats.jetstream, streams::EVENTS).await;
    found.unwrap().unwrap()
}

/// Publishes an event as it is, without the id that JetStream would know it by.
async fn publish(book: &Book, event: &Event) {
    let subject = transport::subjects::event(&event.account_id);
    let payload = encode_event(event);
    let acknowledged = book.nats.jetstream.publish(subject, payload.into()).await;
    acknowledged.unwrap().await.unwrap();
}

/// The sequence of an event in the feed of the first ledger, by its place among all.
async fn sequence_of(book: &Book, account_id: &str, version: u64) -> u64 {
    let feed = book.ledger.feed().await;
    let place = feed.iter().position(|event| {
        event.account_id.as_str() == account_id && event.version.get() == version
    });
    place.unwrap() as u64 + 1
}

fn message(report: &Report) -> String {
    let convergence = report.invariant("convergence");
    convergence["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_has_everything_is_clean_and_messages_that_come_again_are_legal() {
    let book = Book::batched().await;
    let report = deep(&book, 0).await;
    let checked = &report.invariant("convergence")["checked"];
    assert_eq!(checked["feed messages"], checked["events"]);
    for event in book.history("P").await.iter().skip(1).take(3) {
        publish(&book, event).await;
    }
    deep(&book, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_feed_is_found_and_one_that_was_filled_too_late() {
    let book = Book::written().await;
    let sequence = sequence_of(&book, "A", 3).await;
    let feed = stream(&book).await;
    assert!(feed.delete_message(sequence).await.unwrap());
    book.verify(0).await;
    finds(
        &book,
        &json!({"account_id":"A","version":3,"message":"version 3 is missing"}),
    )
    .await;
    // It is no reason to leave read models as they are.
    let repair = ["verify", "--wait-seconds", "0", "--repair"];
    let report = book.ledger.json(&repair, 1).await;
    assert!(report["repair"]["refused"].is_null(), "{report:#}");

    publish(&book, &book.history("A").await[2]).await;
    finds(
        &book,
        &json!({"account_id":"A","version":3,"message":"comes behind"}),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_event_store_does_not_have_or_has_otherwise() {
    let book = Book::written().await;
    let mut event = book.history("C").await.remove(1);
    event.version = event.version.next();
    event.hash = event.compute_hash();
    publish(&book, &event).await;
    let fields = json!({"account_id":"C","version":3,"message":"the event store does not have"});
    finds(&book, &fields).await;

    let mut event = book.history("B").await.remove(2);
    event.actor = Some("nobody".to_owned());
    event.hash = event.compute_hash();
    publish(&book, &event).await;
    finds(
        &book,
        &json!({"account_id":"B","version":3,"message":"another event"}),
    )
    .await;

    let subject = "ledger.events.B";
    let published = book.nats.jetstream.publish(subject, "{}".into()).await;
    published.unwrap().await.unwrap();
    finds(&book, &json!({"account_id":"B","message":"is no event"})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beginnings_and_ends_that_the_feed_lacks_are_noted() {
    let book = Book::written().await;
    stream(&book).await.purge().sequence(5).await.unwrap();
    let report = deep(&book, 0).await;
    let words = message(&report);
    assert!(words.contains("the feed begins at sequence 5"), "{words}");
    assert!(words.contains("lacks the beginnings"), "{words}");

    // NATS has lost the newest event of A.
    let book = Book::written().await;
    let sequence = sequence_of(&book, "A", 5).await;
    let feed = stream(&book).await;
    assert!(feed.delete_message(sequence).await.unwrap());
    let words = message(&deep(&book, 0).await);
    assert!(
        words.contains("lacks the newest events of 1 accounts; of account A from version 5 on"),
        "{words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_being_restored_is_not_compared() {
    let book = Book::written().await;
    restoring::remove(&book.nats.jetstream).await.unwrap();
    let restoration = Restoration {
        id: "a-test".to_owned(),
        since: None,
        is_abandoned: false,
    };
    let settings = restoring::settings(None, &Limits::default(), Changes::default());
    restoring::begin(&book.nats.jetstream, &settings, &restoration)
        .await
        .unwrap();
    let report = deep(&book, 1).await;
    assert_eq!(
        report.violated(),
        ["single_applier"].into(),
        "{:#}",
        report.0
    );
    let convergence = report.invariant("convergence");
    assert_eq!(convergence["status"], "not_checked");
    let words = message(&report);
    assert!(words.contains("is being restored (a-test)"), "{words}");
    let repair = ["verify", "--wait-seconds", "0", "--repair"];
    book.tamper_read_model("UPDATE account_balance SET balance = 1 WHERE account_id = 'B'")
        .await;
    let report = book.ledger.json(&repair, 1).await;
    let refused = report["repair"]["refused"].as_str().unwrap();
    assert!(refused.contains("is being restored"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_lags_behind_the_event_store_is_no_violation() {
    let book = Book::written().await;
    let later = [command(
        30,
        r#""type":"deposit","account_id":"A","amount":"1""#,
    )];
    book.process(&later).await;
    let report = deep(&book, 1).await;
    // Projections have it neither from here nor from there yet.
    for violation in report.invariant("convergence")["violations"]
        .as_array()
        .unwrap()
    {
        assert_eq!(violation["message"], "it is behind", "{:#}", report.0);
    }
}
