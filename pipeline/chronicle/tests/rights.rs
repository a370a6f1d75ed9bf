//! The process runs as a role that adds to the event store and reads it, and can do nothing else there.

mod support;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};
use support::Ledger;
use support::publisher::{Publisher, create, movement, verdict};

/// insufficient_privilege
const REFUSED: &str = "42501";

/// The SQLSTATE that a statement fails with; `None` when it works.
async fn refusal(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let error = connection.execute(AssertSqlSafe(statement)).await.err()?;
    let error = error
        .as_database_error()
        .unwrap_or_else(|| panic!("{statement}: {error}"));
    Some(
        error
            .code()
            .expect("the server says which error it is")
            .into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_url_that_the_process_uses_nothing_can_be_changed_or_removed() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    publisher.tell(&create("ACC-1", "100.00")).await;
    assert_eq!(
        verdict(
            &publisher
                .tell(&movement("withdraw", "ACC-1", "25.00"))
                .await
        ),
        "accepted"
    );
    let before = ledger.counts().await;
    assert_eq!(before, (2, 2), "(commands, events)");

    let mut application = PgConnection::connect(&ledger.event_store)
        .await
        .expect("the process connects so, too");
    let user: String = application
        .fetch_one("SELECT current_user::text")
        .await
        .expect("it may ask")
        .get(0);
    assert_eq!(user, store::migrate::APPLICATION_ROLE);
    let count: i64 = application
        .fetch_one("SELECT count(*) FROM events")
        .await
        .expect("it may read")
        .get(0);
    assert_eq!(count, 2);
    for table in ["events", "commands"] {
        for statement in [
            format!("UPDATE {table} SET account_id = 'MALLORY'"),
            format!("DELETE FROM {table}"),
            format!("DELETE FROM {table} WHERE account_id = 'nobody'"),
            format!("TRUNCATE {table}"),
            format!("DROP TABLE {table}"),
            format!("ALTER TABLE {table} ADD COLUMN forged TEXT"),
            format!("ALTER TABLE {table} RENAME TO hidden"),
        ] {
            assert_eq!(
                refusal(&mut application, &statement).await.as_deref(),
                Some(REFUSED),
                "{statement}"
            );
        }
    }
    let create_table = "CREATE TABLE forged (id BIGINT PRIMARY KEY)";
    assert_eq!(
        refusal(&mut application, create_table).await.as_deref(),
        Some(REFUSED)
    );
    // PostgreSQL only warns of a grant that grants nothing: what counts is that nothing comes of it.
    let _ = refusal(
        &mut application,
        "GRANT UPDATE ON TABLE events TO chronicle_app",
    )
    .await;
    let update = "UPDATE events SET account_id = 'MALLORY'";
    assert_eq!(
        refusal(&mut application, update).await.as_deref(),
        Some(REFUSED)
    );

    assert_eq!(ledger.counts().await, before);
    assert_eq!(ledger.balance("ACC-1").await, "75.00");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
