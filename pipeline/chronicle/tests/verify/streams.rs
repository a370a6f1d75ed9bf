//! Offsets, limits, and what is on its way through NATS.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::stream::{DiscardPolicy, Stream};
use futures::StreamExt;
use serde_json::json;
use transport::streams::{self, Limits};
use transport::{headers, subjects};

use crate::book::{Book, command, command_id};

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_beyond_the_stream() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE projection_offsets SET last_sequence = 11 WHERE projection = 'transfers'").await;
    let report = book.violates(&["single_applier"]).await;
    assert_eq!(report.count("single_applier"), 1);
    report.names("single_applier", &json!({
        "projection":"transfers","expected":"at most 10","found":"11","message":"chronicle run --only projection.transfers"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_of_another_stream() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE projection_offsets SET stream_id = 'another' WHERE projection = 'transactions'").await;
    let report = book.violates(&["single_applier"]).await;
    report.names("single_applier", &json!({
        "projection":"transactions","found":"another","message":"chronicle projection adopt-stream transactions"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_at_another_event() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE projection_offsets SET last_sequence = 9 WHERE projection = 'account_balance'").await;
    let report = book.violates(&["single_applier"]).await;
    report.names("single_applier", &json!({"projection":"account_balance","message":"rewound and written anew"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_was_never_raised() {
    let book = Book::written().await;
    book.tamper_read_model("UPDATE projection_offsets SET epoch = 0 WHERE projection = 'account_balance'").await;
    let report = book.violates(&["single_applier"]).await;
    report.names("single_applier", &json!({"projection":"account_balance","found":"0"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_gone() {
    let book = Book::written().await;
    book.nats.jetstream.delete_stream(streams::EVENTS).await.unwrap();
    let report = book.violates(&["single_applier"]).await;
    assert_eq!(report.count("single_applier"), 3);
    report.names("single_applier", &json!({"projection":"transfers","message":"adopt-stream transfers"}));
}

/// Gives a stream another configuration.
async fn reconfigure(book: &Book, name: &str, change: impl Fn(&mut async_nats::jetstream::stream::Config)) {
    let mut config = streams::existing(&book.nats.jetstream, name).await.unwrap().unwrap().cached_info().config.clone();
    change(&mut config);
    book.nats.jetstream.update_stream(config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_without_limits_or_that_drop_the_oldest() {
    let book = Book::written().await;
    book.commands_stream().await;
    streams::dead_letters(&book.nats.jetstream, &Limits::default()).await.unwrap();
    reconfigure(&book, streams::EVENTS, |config| config.max_bytes = -1).await;
    reconfigure(&book, streams::COMMANDS, |config| config.discard = DiscardPolicy::Old).await;
    reconfigure(&book, streams::DEAD_LETTERS, |config| config.discard = DiscardPolicy::Old).await;
    let report = book.violates(&["bounded"]).await;
    assert_eq!(report.count("bounded"), 3);
    report.names("bounded", &json!({"message":"LEDGER_EVENTS has no limit"}));
    report.names("bounded", &json!({"message":"LEDGER_COMMANDS drops its oldest"}));
    report.names("bounded", &json!({"message":"LEDGER_DEAD_LETTERS drops its oldest"}));
}

/// The intake's consumer, without an intake.
async fn consumer(stream: &Stream, max_ack_pending: i64) -> Consumer<pull::Config> {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_without_a_limit_of_commands_in_flight() {
    let book = Book::written().await;
    consumer(&book.commands_stream().await, -1).await;
    let report = book.violates(&["bounded"]).await;
    report.names("bounded", &json!({"message":"the consumer intake-0","found":"-1"}));
}

async fn publish_command(book: &Book, number: u128, payload: &str) {
    let subject = subjects::command(&"A".parse().unwrap());
    let body = payload.replace("ID", &command_id(number).to_string());
    book.nats.jetstream.publish(subject, body.into()).await.unwrap().await.unwrap();
}

const DEPOSIT: &str = r#"{"command_id":"ID","type":"deposit","account_id":"A","amount":"1"}"#;

async fn acknowledge(consumer: &Consumer<pull::Config>, count: usize) {
    let mut messages = consumer.fetch().max_messages(count).messages().await.unwrap();
    while let Some(message) = messages.next().await {
        message.unwrap().double_ack().await.unwrap();
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_command_without_an_outcome_is_lost() {
    let book = Book::written().await;
    let consumer = consumer(&book.commands_stream().await, 100).await;
    // The first has an outcome, the second and the third do not, the fourth is not settled.
    book.process(&[command(30, r#""type":"deposit","account_id":"A","amount":"1""#)]).await;
    for number in 30..32 {
        publish_command(&book, number, DEPOSIT).await;
    }
    publish_command(&book, 32, "garbage").await;
    acknowledge(&consumer, 3).await;
    publish_command(&book, 33, DEPOSIT).await;
    let report = book.verify(1).await;
    assert_eq!(report.count("no_silent_loss"), 2, "{:#}", report.0);
    report.names("no_silent_loss", &json!({
        "account_id":"A","command_id":command_id(31),"message":"sequence 2 of LEDGER_COMMANDS is settled"
    }));
    report.names("no_silent_loss", &json!({"account_id":"A","message":"sequence 3 of LEDGER_COMMANDS is settled"}));

    // With a dead letter the garbage is accounted for.
    bury(&book, "LEDGER_COMMANDS-3", "invalid_json", "no JSON").await;
    let report = book.verify(1).await;
    assert_eq!(report.count("no_silent_loss"), 1);
}

async fn bury(book: &Book, id: &str, code: &str, reason: &str) {
    streams::dead_letters(&book.nats.jetstream, &Limits::default()).await.unwrap();
    let mut map = HeaderMap::new();
    let parts = [(headers::DEAD_LETTER_ID, id), (headers::DEAD_LETTER_CODE, code), (headers::DEAD_LETTER_REASON, reason)];
    for (name, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
        map.insert(name, value);
    }
    let subject = format!("{}.{code}", subjects::DEAD_LETTERS);
    book.nats.jetstream.publish_with_headers(subject, map, "garbage".into()).await.unwrap().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_does_not_say_why() {
    let book = Book::written().await;
    for number in 1..=600 {
        bury(&book, &format!("LEDGER_COMMANDS-{number}"), "invalid_json", "no JSON").await;
    }
    let report = book.verify(0).await;
    assert_eq!(report.invariant("no_silent_loss")["checked"]["dead_letters"], 600);
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
    streams::dead_letters(&book.nats.jetstream, &Limits::default()).await.unwrap();
    for part in ["1/3", "3/3"] {
        let mut map = HeaderMap::new();
        map.insert(headers::DEAD_LETTER_ID, "LEDGER_COMMANDS-7");
        map.insert(headers::DEAD_LETTER_CODE, "body_too_large");
        map.insert(headers::DEAD_LETTER_REASON, "too large");
        map.insert(headers::DEAD_LETTER_PART, part);
        let subject = format!("{}.body_too_large", subjects::DEAD_LETTERS);
        book.nats.jetstream.publish_with_headers(subject, map, "…".into()).await.unwrap().await.unwrap();
    }
    let report = book.violates(&["no_silent_loss"]).await;
    report.names("no_silent_loss", &json!({"message":"dead letter LEDGER_COMMANDS-7 lacks 1 of its parts"}));
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
    report.names("no_silent_loss", &json!({"message":"by hand","expected":"0","found":"1"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_looked_at_one_by_one() {
    let book = Book::written().await;
    let stream = streams::commands(&book.nats.jetstream, 4, &Limits::default()).await.unwrap();
    for number in 30..40 {
        let account_id = format!("P{number}").parse().unwrap();
        let body = format!("{{\"command_id\":\"{}\"}}", command_id(number));
        book.nats.jetstream.publish(subjects::command(&account_id), body.into()).await.unwrap().await.unwrap();
    }
    for partition in 0..4 {
        let config = pull::Config {
            durable_name: Some(format!("intake-{partition}")),
            filter_subject: subjects::partition_filter(partition),
            ack_policy: AckPolicy::All,
            max_ack_pending: 100,
            ack_wait: Duration::from_secs(60),
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        if partition == 1 {
            acknowledge(&consumer, 10).await;
        }
    }
    let report = book.violates(&["no_silent_loss"]).await;
    assert_eq!(report.invariant("bounded")["checked"]["consumers"], 4);
    let lost = report.count("no_silent_loss");
    assert!(lost > 0 && lost < 10, "{:#}", report.0);
}
