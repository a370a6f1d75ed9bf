//! What is on its way in, settled, or buried.

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::stream::Stream;
use futures::StreamExt;
use serde_json::json;
use transport::streams::{self, Limits};
use transport::{dead_letter, headers, message, subjects};

use crate::book::{Book, command, command_id};

const DEPOSIT: &str = r#"{"command_id":"ID","type":"deposit","account_id":"A","amount":"1"}"#;

/// The intake's consumer, without an intake.
pub(crate) async fn consumer(stream: &Stream, max_ack_pending: i64) -> Consumer<pull::Config> {
    let config = pull::Config {
        durable_name: Some("intake-0".to_owned()),
        filter_subject: subjects::partition_filter(0),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::All,
        max_ack_pending,
        ..pull::Config::default()
    };
    stream.create_consumer(config).await.unwrap()
}

async fn publish_command(book: &Book, number: u128, payload: &str) {
    let subject = subjects::command(&"A".parse().unwrap());
    let body = payload.replace("ID", &command_id(number).to_string());
    book.nats
        .jetstream
        .publish(subject, body.into())
        .await
        .unwrap()
        .await
        .unwrap();
}

async fn acknowledge(consumer: &Consumer<pull::Config>, count: usize) {
    let mut messages = consumer
        .fetch()
        .max_messages(count)
        .messages()
        .await
        .unwrap();
    while let Some(message) = messages.next().await {
        message.unwrap().double_ack().await.unwrap();
    }
}

async fn bury(book: &Book, id: &str, code: &str, reason: &str) {
    streams::dead_letters(&book.nats.jetstream, &Limits::default())
        .await
        .unwrap();
    let mut map = HeaderMap::new();
    let parts = [
        (headers::DEAD_LETTER_ID, id),
        (headers::DEAD_LETTER_CODE, code),
        (headers::DEAD_LETTER_REASON, reason),
    ];
    for (name, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
        map.insert(name, value);
    }
    let subject = format!("{}.{code}", subjects::DEAD_LETTERS);
    book.nats
        .jetstream
        .publish_with_headers(subject, map, "garbage".into())
        .await
        .unwrap()
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_wait_are_no_loss() {
    let book = Book::written().await;
    let stream = book.commands_stream().await;
    publish_command(&book, 30, DEPOSIT).await;
    let report = book.verify(0).await;
    assert_eq!(report.invariant("no_silent_loss")["checked"]["waiting"], 1);
    let consumer = consumer(&stream, 100).await;
    let mut messages = consumer.fetch().max_messages(1).messages().await.unwrap();
    let held = messages.next().await.unwrap().unwrap();
    book.verify(0).await;
    drop(held);
}

/// Four commands: the first has an outcome, the second and the third (which is none) do not, and the fourth is the only
/// one that is not acknowledged.
async fn four_commands() -> (Book, Consumer<pull::Config>) {
    let mut book = Book::written().await;
    let fields = r#""type":"deposit","account_id":"A","amount":"1""#;
    let events = book.process(&[command(30, fields)]).await;
    book.publish(events.clone()).await;
    book.project(events).await;
    let consumer = consumer(&book.commands_stream().await, 100).await;
    publish_command(&book, 30, DEPOSIT).await;
    publish_command(&book, 31, DEPOSIT).await;
    publish_command(&book, 32, "garbage").await;
    acknowledge(&consumer, 3).await;
    publish_command(&book, 33, DEPOSIT).await;
    (book, consumer)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_and_has_no_outcome_waits_for_the_next_start_of_the_intake() {
    let (book, _) = four_commands().await;
    let report = book.verify(0).await;
    let message = report.invariant("no_silent_loss")["message"]
        .as_str()
        .unwrap();
    assert!(
        message.contains("settled and not yet purged: 1"),
        "{message}"
    );
    assert!(
        message.contains("waiting for the next start of the intake: 2"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_running_intake_passes_over_is_lost_without_an_outcome_or_a_dead_letter() {
    let (book, consumer) = four_commands().await;
    let garbage = book.commands_stream().await.get_raw_message(3).await;
    let id = dead_letter::id_of(&message::from_stream(garbage.unwrap()));
    bury(&book, &id, "invalid_json", "no JSON").await;
    // An intake that asks for messages and does nothing about them.
    let mut intake = consumer.messages().await.unwrap();
    let asking = tokio::spawn(async move { while intake.next().await.is_some() {} });
    let report = book.violates(&["no_silent_loss"]).await;
    asking.abort();
    assert_eq!(report.count("no_silent_loss"), 1, "{:#}", report.0);
    report.names("no_silent_loss", &json!({
        "account_id":"A","command_id":command_id(31),"message":"sequence 2 of LEDGER_COMMANDS counts as acknowledged"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_does_not_say_why() {
    let book = Book::written().await;
    for number in 1..=600 {
        bury(
            &book,
            &format!("LEDGER_COMMANDS-{number}"),
            "invalid_json",
            "no JSON",
        )
        .await;
    }
    let report = book.verify(0).await;
    assert_eq!(
        report.invariant("no_silent_loss")["checked"]["dead_letters"],
        600
    );
    bury(&book, "LEDGER_COMMANDS-601", "invalid_json", "").await;
    let report = book.violates(&["no_silent_loss"]).await;
    assert_eq!(report.count("no_silent_loss"), 1);
    report.names("no_silent_loss", &json!({
        "message":"sequence 601 of LEDGER_DEAD_LETTERS","found":"no Chronicle-Dead-Letter-Reason"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_lacks_a_part() {
    let book = Book::written().await;
    streams::dead_letters(&book.nats.jetstream, &Limits::default())
        .await
        .unwrap();
    for part in ["1/3", "3/3"] {
        let mut map = HeaderMap::new();
        map.insert(headers::DEAD_LETTER_ID, "LEDGER_COMMANDS-7");
        map.insert(headers::DEAD_LETTER_CODE, "body_too_large");
        map.insert(headers::DEAD_LETTER_REASON, "too large");
        map.insert(headers::DEAD_LETTER_PART, part);
        let subject = format!("{}.body_too_large", subjects::DEAD_LETTERS);
        book.nats
            .jetstream
            .publish_with_headers(subject, map, "…".into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    let report = book.violates(&["no_silent_loss"]).await;
    report.names(
        "no_silent_loss",
        &json!({"message":"dead letter LEDGER_COMMANDS-7 lacks some","expected":"3","found":"2"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_somebody_removed_from_the_stream() {
    let book = Book::written().await;
    let stream = book.commands_stream().await;
    for number in 30..33 {
        publish_command(&book, number, DEPOSIT).await;
    }
    stream.delete_message(2).await.unwrap();
    let report = book.violates(&["no_silent_loss"]).await;
    report.names(
        "no_silent_loss",
        &json!({"message":"by hand","expected":"0","found":"1"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_looked_at_one_by_one() {
    let book = Book::written().await;
    let stream = streams::commands(&book.nats.jetstream, 4, &Limits::default())
        .await
        .unwrap();
    for number in 30..40 {
        let account_id = format!("P{number}").parse().unwrap();
        let body = format!("{{\"command_id\":\"{}\"}}", command_id(number));
        book.nats
            .jetstream
            .publish(subjects::command(&account_id), body.into())
            .await
            .unwrap()
            .await
            .unwrap();
    }
    for partition in 0..4 {
        let config = pull::Config {
            durable_name: Some(format!("intake-{partition}")),
            filter_subject: subjects::partition_filter(partition),
            ack_policy: AckPolicy::All,
            max_ack_pending: 100,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        if partition == 1 {
            acknowledge(&consumer, 10).await;
        }
    }
    let report = book.verify(0).await;
    assert_eq!(report.invariant("bounded")["checked"]["consumers"], 4);
    let message = report.invariant("no_silent_loss")["message"]
        .as_str()
        .unwrap();
    let (_, waiting) = message
        .split_once("waiting for the next start of the intake: ")
        .unwrap();
    let waiting: u32 = waiting.split(';').next().unwrap().parse().unwrap();
    assert!(waiting > 0 && waiting < 10, "{message}");
}
