//! Business dates, broken: in the event, in the columns that it is found by, and in the read model.

use ledger::{EventData, Timestamp};
use serde_json::json;

use crate::book::{Book, command, command_id};
use crate::support::books::Books;

/// The day before, as an instant.
fn yesterday() -> Timestamp {
    let at = time::OffsetDateTime::now_utc() - time::Duration::days(1);
    Timestamp::from_date_time(at)
}

/// The first ledger, with a deposit of 1.00 to A of the day before (version 6), and a transfer of 2.00 from A to B of the
/// same day (versions 7 and 4).
async fn dated() -> (Book, Timestamp) {
    let mut book = Book::written().await;
    let at = yesterday();
    let commands = [
        format!(r#""type":"deposit","account_id":"A","amount":"1","effective_at":"{at}""#),
        format!(
            r#""type":"transfer","from_account_id":"A","to_account_id":"B","amount":"2","effective_at":"{at}""#
        ),
    ];
    let commands: Vec<_> = (30..)
        .zip(commands)
        .map(|(number, fields)| command(number, &fields))
        .collect();
    let events = book.process(&commands).await;
    assert_eq!(events.len(), 3);
    book.publish(events.clone()).await;
    book.project(events).await;
    (book, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_with_business_dates_is_clean() {
    let (book, _) = dated().await;
    book.intake_streams().await;
    let report = book.verify(0).await;
    assert_eq!(report.0["ok"], true, "{:#}", report.0);
    assert_eq!(
        Books::read(&book.read_model).await,
        Books::fold(&book.ledger.stored_events().await)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_business_date_that_the_command_did_not_give() {
    let (book, at) = dated().await;
    book.rewrite("A", |event| {
        if let EventData::MoneyDeposited(moved) = &mut event.data
            && moved.effective_at.is_some()
        {
            moved.effective_at = Some(at.next_microsecond());
        }
    })
    .await;
    book.tamper(
        "UPDATE events SET effective_at = effective_at + interval '1 microsecond' WHERE account_id = 'A' AND version = 6",
    )
    .await;
    let report = book.verify(1).await;
    let shown = format!("MoneyDeposited A 1 effective at {at}");
    report.names(
        "atomic_command",
        &json!({"command_id": command_id(30), "expected": shown, "found": "effective at"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_a_business_date_that_no_hash_covers() {
    let (book, _) = dated().await;
    for (version, change) in [
        (6, "effective_at = effective_at - interval '1 microsecond'"),
        (6, "effective_at = NULL"),
        (6, "dated_account_id = 'B'"),
        (6, "dated_account_id = NULL"),
        (6, "dated_until = recorded_at + interval '1 microsecond'"),
        (7, "dated_until = NULL"),
        (7, "dated_until = 'infinity'"),
        (2, "dated_account_id = 'A'"),
        (2, "effective_at = recorded_at"),
    ] {
        let place = format!("account_id = 'A' AND version = {version}");
        book.tamper(&format!("UPDATE events SET {change} WHERE {place}"))
            .await;
        let report = book.violates(&["append_only"]).await;
        assert_eq!(report.count("append_only"), 1, "{change}");
        report.names(
            "append_only",
            &json!({"account_id": "A", "version": version, "message": "effective_at"}),
        );
        book.tamper(
            "UPDATE events SET effective_at = (data->>'effective_at')::timestamptz,
                dated_account_id = CASE WHEN data->>'effective_at' IS NOT NULL THEN account_id END,
                dated_until = CASE WHEN data->>'effective_at' IS NOT NULL
                    THEN greatest(recorded_at, (data->>'effective_at')::timestamptz) END",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_with_another_business_date() {
    let (book, at) = dated().await;
    for (version, value) in [
        (6, "effective_at + interval '1 microsecond'"),
        (6, "NULL"),
        (5, "timestamp"),
    ] {
        let of = format!("account_id = 'A' AND version = {version}");
        let before = book.literal("transactions", "effective_at", &of).await;
        book.tamper_read_model(&format!(
            "UPDATE transactions SET effective_at = {value} WHERE {of}"
        ))
        .await;
        let report = book.violates(&["convergence"]).await;
        report.names(
            "convergence",
            &json!({"projection": "transactions", "account_id": "A", "version": version, "expected": "effective_at"}),
        );
        book.tamper_read_model(&format!(
            "UPDATE transactions SET effective_at = {before}::timestamptz WHERE {of}"
        ))
        .await;
    }
    assert!(at < Timestamp::MAX);
}
