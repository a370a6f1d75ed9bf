//! Offsets, and limits.

use async_nats::jetstream::stream::DiscardPolicy;
use serde_json::json;
use transport::streams;

use crate::book::Book;
use crate::intake::consumer;

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_beyond_the_stream() {
    let book = Book::written().await;
    book.tamper_read_model(
        "UPDATE projection_offsets SET last_sequence = 11 WHERE projection = 'transfers'",
    )
    .await;
    let report = book.violates(&["single_applier"]).await;
    assert_eq!(report.count("single_applier"), 1);
    report.names("single_applier", &json!({
        "projection":"transfers","expected":"at most 10","found":"11","message":"chronicle run --only projection.transfers"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_of_another_stream() {
    let book = Book::written().await;
    book.tamper_read_model(
        "UPDATE projection_offsets SET stream_id = 'another' WHERE projection = 'transactions'",
    )
    .await;
    let report = book.violates(&["single_applier"]).await;
    report.names("single_applier", &json!({
        "projection":"transactions","found":"another","message":"chronicle projection adopt-stream transactions"
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_at_another_event() {
    let book = Book::written().await;
    book.tamper_read_model(
        "UPDATE projection_offsets SET last_sequence = 9 WHERE projection = 'account_balance'",
    )
    .await;
    let report = book.violates(&["single_applier"]).await;
    report.names(
        "single_applier",
        &json!({"projection":"account_balance","message":"rewound and written anew"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_was_never_raised() {
    let book = Book::written().await;
    book.tamper_read_model(
        "UPDATE projection_offsets SET epoch = 0 WHERE projection = 'account_balance'",
    )
    .await;
    let report = book.violates(&["single_applier"]).await;
    report.names(
        "single_applier",
        &json!({"projection":"account_balance","found":"0"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_gone() {
    let book = Book::written().await;
    book.nats
        .jetstream
        .delete_stream(streams::EVENTS)
        .await
        .unwrap();
    let report = book.violates(&["single_applier"]).await;
    assert_eq!(report.count("single_applier"), 5, "one a projection");
    report.names(
        "single_applier",
        &json!({"projection":"transfers","message":"adopt-stream transfers"}),
    );
}

/// Gives a stream another configuration.
async fn reconfigure(
    book: &Book,
    name: &str,
    change: impl Fn(&mut async_nats::jetstream::stream::Config),
) {
    let mut config = streams::existing(&book.nats.jetstream, name)
        .await
        .unwrap()
        .unwrap()
        .cached_info()
        .config
        .clone();
    change(&mut config);
    book.nats.jetstream.update_stream(config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_without_limits_or_that_drop_the_oldest() {
    let book = Book::written().await;
    book.intake_streams().await;
    reconfigure(&book, streams::EVENTS, |config| config.max_bytes = -1).await;
    reconfigure(&book, streams::COMMANDS, |config| {
        config.discard = DiscardPolicy::Old;
    })
    .await;
    reconfigure(&book, streams::DEAD_LETTERS, |config| {
        config.discard = DiscardPolicy::Old;
    })
    .await;
    let report = book.violates(&["bounded"]).await;
    assert_eq!(report.count("bounded"), 3);
    report.names("bounded", &json!({"message":"LEDGER_EVENTS has no limit"}));
    report.names(
        "bounded",
        &json!({"message":"LEDGER_COMMANDS drops its oldest"}),
    );
    report.names(
        "bounded",
        &json!({"message":"LEDGER_DEAD_LETTERS drops its oldest"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_without_a_limit_of_commands_in_flight() {
    let book = Book::written().await;
    consumer(&book.commands_stream().await, -1).await;
    let report = book.violates(&["bounded"]).await;
    report.names(
        "bounded",
        &json!({"message":"the consumer intake-0","found":"-1"}),
    );
}
