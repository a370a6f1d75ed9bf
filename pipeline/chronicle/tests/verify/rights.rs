//! Rights and keys.

use serde_json::json;
use sqlx::Row;

use crate::book::Book;
use crate::support::Ledger;

async fn is_cockroach(book: &Book) -> bool {
    let row = sqlx::query("SELECT version() AS version")
        .fetch_one(&book.owner)
        .await
        .unwrap();
    row.get::<String, _>("version").contains("CockroachDB")
}

async fn run(book: &Book, sql: &'static str) {
    sqlx::query(sql).execute(&book.owner).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_role_may_only_insert_and_select() {
    let book = Book::written().await;
    run(&book, "GRANT UPDATE ON TABLE events TO chronicle_app").await;
    let report = book.violates(&["append_only"]).await;
    report.names(
        "append_only",
        &json!({"message":"the role chronicle_app","found":"UPDATE on events"}),
    );
    run(&book, "REVOKE UPDATE ON TABLE events FROM chronicle_app").await;
    book.verify(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_empties_a_table_counts_too() {
    let book = Book::written().await;
    let (right, sql) = if is_cockroach(&book).await {
        (
            "DROP on commands",
            "GRANT DROP ON TABLE commands TO chronicle_app",
        )
    } else {
        (
            "TRUNCATE on commands",
            "GRANT TRUNCATE ON TABLE commands TO chronicle_app",
        )
    };
    run(&book, sql).await;
    let report = book.violates(&["append_only"]).await;
    report.names("append_only", &json!({"found":right}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_told_so_and_the_applications_role_is_checked_instead() {
    let mut book = Book::written().await;
    book.ledger
        .event_store
        .clone_from(&book.ledger.event_store_owner);
    let report = book.verify(0).await;
    let message = report.invariant("append_only")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains(
            "an owner, who may do everything, so the rights of chronicle_app were checked instead"
        ),
        "{message}"
    );
    run(&book, "GRANT DELETE ON TABLE commands TO chronicle_app").await;
    let report = book.violates(&["append_only"]).await;
    report.names(
        "append_only",
        &json!({"message":"the role chronicle_app","found":"DELETE on commands"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_primary_key_is_another_keeps_no_writers_apart() {
    let book = Book::written().await;
    if is_cockroach(&book).await {
        run(
            &book,
            "ALTER TABLE events ALTER PRIMARY KEY USING COLUMNS (event_id)",
        )
        .await;
    } else {
        run(&book, "ALTER TABLE events DROP CONSTRAINT events_pkey").await;
        run(&book, "ALTER TABLE events ADD PRIMARY KEY (event_id)").await;
    }
    let report = book.violates(&["gapless_versions"]).await;
    report.names(
        "gapless_versions",
        &json!({"expected":"(account_id, version)","found":"(event_id)"}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_missing_are_an_error_that_names_the_command() {
    let ledger = Ledger::new().await;
    let read_model = servers::testing::postgres()
        .await
        .fresh_database("empty")
        .await;
    let output = ledger
        .chronicle(&["verify", "--read-model-url", &read_model])
        .await;
    let err = crate::support::text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(err.contains("chronicle migrate"), "{err}");
}
