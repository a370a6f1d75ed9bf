//! The same book at the same instant is the same export; an instant takes in exactly what was recorded at or before it.

use ledger::Timestamp;
use serde_json::Value;

use crate::book::{book, small};

const FORMATS: [&str; 4] = ["hledger", "beancount", "csv", "ndjson"];

#[tokio::test]
async fn two_exports_of_a_book_are_the_same_to_the_byte_wherever_it_is_kept() {
    let past = small();
    let here = book(&past).await;
    let there = book(&past).await;
    for format in FORMATS {
        let at = "2026-01-31T08:00:00Z";
        let exported = here.export(format, at).await;
        assert!(!exported.is_empty());
        assert_eq!(exported, here.export(format, at).await, "{format}, again");
        assert_eq!(
            exported,
            there.export(format, at).await,
            "{format}, elsewhere"
        );
        // The same instant, spelled otherwise.
        let elsewhere = "2026-01-31T09:00:00.000+01:00";
        assert_eq!(exported, here.export(format, elsewhere).await, "{format}");
    }
}

#[tokio::test]
async fn what_comes_later_changes_nothing_about_the_past() {
    let past = small();
    let at = "2026-01-31T08:30:00Z";
    let whole = book(&past).await;
    let until: Vec<_> = past
        .into_iter()
        .filter(|(decided_at, _)| decided_at.as_str() <= at)
        .collect();
    let then = book(&until).await;
    for format in FORMATS {
        assert_eq!(
            whole.export(format, at).await,
            then.export(format, at).await,
            "{format}"
        );
    }
}

#[tokio::test]
async fn an_instant_takes_in_exactly_what_was_recorded_at_or_before_it() {
    let book = book(&small()).await;
    let mut instants: Vec<Timestamp> = book.events.iter().map(|event| event.recorded_at).collect();
    instants.dedup();
    for instant in instants {
        for offset in [-1, 0] {
            let at = Timestamp::from_unix_microseconds(instant.unix_microseconds() + offset);
            let exported = book.export("ndjson", &at.to_string()).await;
            let ids = |value: Value| value["event_id"].as_str().unwrap().to_owned();
            let mut found: Vec<String> = exported
                .lines()
                .map(|line| ids(serde_json::from_str(line).unwrap()))
                .collect();
            let mut expected: Vec<String> = book
                .events
                .iter()
                .filter(|event| event.recorded_at <= at)
                .map(|event| event.event_id.to_string())
                .collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{at}");
            let journal = book.export("hledger", &at.to_string()).await;
            let legs = journal.matches("event_id: ").count();
            assert_eq!(legs, expected.len(), "each event is one posting, at {at}");
        }
    }
}

#[tokio::test]
async fn it_says_whether_the_answer_is_final() {
    let past = small();
    let book = book(&past).await;
    let at = "2026-01-31T12:00:00Z";
    book.ask(&["export", "--format", "csv", "--at", at])
        .await
        .exits(0)
        .says("exported 7 events of 4 accounts, as of 2026-01-31T12:00:00.000000Z (final)");
    book.ask(&["export", "--format", "csv"])
        .await
        .exits(0)
        .says("exported 11 events of 4 accounts")
        .says("provisional");
    book.ask(&["export", "--format", "csv", "--at", "9999-01-01T00:00:00Z"])
        .await
        .exits(2)
        .says("lies in the future")
        .prints_nothing();
    // Before everything.
    for format in FORMATS {
        let nothing = book.export(format, "2020-01-01T00:00:00Z").await;
        assert!(!nothing.contains("ALICE"), "{nothing}");
    }
}

#[tokio::test]
async fn a_long_book_is_read_page_by_page() {
    let mut past = small();
    // Two pages of transfers, and their credits on an account that lies before the one debited.
    for number in 0..1_500 {
        let fields = r#""type":"transfer","from_account_id":"bob_2","to_account_id":"ALICE","amount":"0.01""#;
        let at = format!("2026-02-{:02}T12:00:00Z", 3 + number / 100);
        past.push((at, crate::book::command(1_000 + number, fields)));
    }
    let book = book(&past).await;
    let at = "2026-03-01T00:00:00Z";
    let journal = book.export("hledger", at).await;
    assert_eq!(journal.matches("event_id: ").count(), 11 + 2 * 1_500);
    assert_eq!(journal.matches(") transfer\n").count(), 1 + 1_500);
    assert!(journal.contains("2026-02-17 * balance\n    assets:ALICE  0.00 USD == -15.49 USD\n"));
    assert!(journal.ends_with("\n; end of the book: 3011 events of 4 accounts\n"));
}
