//! What the small book looks like in each form.

use ledger::codec::json;

use crate::book::{Past, batched, book, dated, eventful, large, small};

const END: &str = "2026-02-04T00:00:00Z";

/// Holds an export against a file; `CHRONICLE_WRITE_GOLDEN=1` writes the file instead.
async fn golden(past: &Past, format: &str, name: &str) {
    let exported = book(past).await.export(format, END).await;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/export/golden")
        .join(name);
    if std::env::var_os("CHRONICLE_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &exported).expect("it can be written");
    }
    let expected = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(exported, expected, "{name} is not what is exported");
}

#[tokio::test]
async fn the_journal_for_hledger_looks_as_it_should() {
    golden(&small(), "hledger", "small.journal").await;
}

#[tokio::test]
async fn the_journal_for_beancount_looks_as_it_should() {
    golden(&small(), "beancount", "small.beancount").await;
}

#[tokio::test]
async fn the_table_looks_as_it_should() {
    golden(&small(), "csv", "small.csv").await;
}

/// What moves no money has no place in a journal; captures and sweeps have.
#[tokio::test]
async fn holds_freezes_and_closings_look_as_they_should() {
    golden(&eventful(), "hledger", "eventful.journal").await;
    golden(&eventful(), "beancount", "eventful.beancount").await;
    golden(&eventful(), "csv", "eventful.csv").await;
}

/// A transaction stands on the day of its recording, which its balance assertions are about, and says its business date.
#[tokio::test]
async fn business_dates_look_as_they_should() {
    golden(&dated(), "hledger", "dated.journal").await;
    golden(&dated(), "beancount", "dated.beancount").await;
    golden(&dated(), "csv", "dated.csv").await;
}

/// A posting is one transaction, and so is each command of a batch.
#[tokio::test]
async fn postings_and_batches_look_as_they_should() {
    golden(&batched(), "hledger", "batched.journal").await;
    golden(&batched(), "beancount", "batched.beancount").await;
    golden(&batched(), "csv", "batched.csv").await;
}

/// Every event is in the journal once, each transaction's amounts add up to nothing, and no transaction is told twice.
#[tokio::test]
async fn of_commands_of_thousands_of_events_every_event_is_told_once() {
    let book = book(&large()).await;
    let journal = book.export("hledger", "2026-02-07T00:00:00Z").await;
    let mut told: Vec<&str> = Vec::new();
    let mut transactions = 0;
    for transaction in journal.split("\n\n") {
        let mut sum = rust_decimal::Decimal::ZERO;
        let mut postings = 0;
        for line in transaction
            .lines()
            .filter(|line| line.contains("event_id: "))
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            sum += words[1].parse::<rust_decimal::Decimal>().unwrap();
            told.push(
                line.split("event_id: ")
                    .nth(1)
                    .unwrap()
                    .split(',')
                    .next()
                    .unwrap(),
            );
            postings += 1;
        }
        if postings > 1 {
            assert_eq!(sum, rust_decimal::Decimal::ZERO, "{transaction}");
            transactions += 1;
        }
    }
    assert_eq!(transactions, 1_000 + 1 + 500 + 500);
    assert_eq!(told.len(), book.events.len());
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), book.events.len());
}

#[tokio::test]
async fn ndjson_is_every_event_as_on_the_wire() {
    let mut book = book(&small()).await;
    let exported = book.export("ndjson", END).await;
    book.events
        .sort_by_key(|event| (event.account_id.clone(), event.version));
    let expected: String = book
        .events
        .iter()
        .map(|event| String::from_utf8(json::encode_event(event)).unwrap() + "\n")
        .collect();
    assert_eq!(exported, expected);
    assert_eq!(exported.lines().count(), 11);
}
