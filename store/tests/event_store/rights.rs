//! The application's role adds rows and reads them, and can do nothing else.

use ledger::AccountId;
use servers::testing;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use store::migrate::APPLICATION_ROLE;

use crate::support::build::{create, new_account_id};
use crate::support::database::{Database, connect};
use crate::support::outcomes::{process, verdicts, writer};

/// A database with one account, and a connection of the application's role.
async fn scene() -> (Database, PgConnection, AccountId) {
    let database = Database::fresh("rights").await;
    let account_id = new_account_id("kept");
    let processed = process(&mut writer(&database.store()), &[create(&account_id, "1")]).await;
    assert_eq!(
        verdicts(&processed),
        ["accepted"],
        "the role may INSERT and SELECT"
    );
    let application = PgConnection::connect(&database.application_url())
        .await
        .unwrap();
    (database, application, account_id)
}

/// The SQLSTATE that a statement fails with.
async fn refusal(connection: &mut PgConnection, statement: &str) -> String {
    let result = connection.execute(AssertSqlSafe(statement)).await;
    let error = result.expect_err(statement);
    let database = error
        .as_database_error()
        .unwrap_or_else(|| panic!("{statement}: {error}"));
    database.code().unwrap().into_owned()
}

async fn assert_untouched(database: &Database, account_id: &AccountId) {
    let account = database.store().account(account_id).await.unwrap().unwrap();
    assert_eq!(account.balance.to_string(), "1.00");
}

#[tokio::test]
async fn the_application_can_change_and_remove_nothing() {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    let (database, mut application, account_id) = scene().await;
    for statement in [
        "UPDATE events SET actor = 'mallory'",
        "UPDATE events SET balance_after = 1000000 WHERE version = 1",
        "UPDATE commands SET outcome = '{}'",
        "DELETE FROM events",
        "DELETE FROM commands WHERE account_id = 'nobody'",
        "INSERT INTO events (account_id, version) VALUES ('a', 1) ON CONFLICT (account_id, version) DO UPDATE SET actor = 'm'",
        "INSERT INTO commands SELECT * FROM commands ON CONFLICT (command_id) DO UPDATE SET outcome = '{}'",
        "SELECT * FROM events FOR UPDATE",
        "TRUNCATE events",
        "TRUNCATE commands",
        "TRUNCATE events, commands CASCADE",
        "DROP TABLE events",
        "DROP TABLE commands CASCADE",
        "ALTER TABLE events ADD COLUMN forged TEXT",
        "ALTER TABLE events DROP COLUMN hash",
        "ALTER TABLE events RENAME TO old_events",
        "ALTER TABLE commands RENAME COLUMN outcome TO forged",
        "CREATE INDEX forged ON events (actor)",
        "CREATE TABLE forged (id BIGINT PRIMARY KEY)",
        "CREATE VIEW forged AS SELECT 1 AS one",
        "CREATE SCHEMA forged",
        "CREATE DATABASE forged",
        "UPDATE _sqlx_migrations SET success = false",
        "SELECT * FROM _sqlx_migrations",
    ] {
        let code = refusal(&mut application, statement).await;
        assert_eq!(code, INSUFFICIENT_PRIVILEGE, "{statement}");
    }
    assert_untouched(&database, &account_id).await;
}

#[tokio::test]
async fn the_application_cannot_give_itself_rights() {
    let (database, mut application, account_id) = scene().await;
    let mut owner = database.owner().await;
    let own_name: String = owner
        .fetch_one("SELECT current_user::text")
        .await
        .unwrap()
        .get(0);
    for statement in [
        // PostgreSQL answers these with a warning instead of an error, and grants nothing.
        format!("GRANT UPDATE ON TABLE events TO {APPLICATION_ROLE}"),
        format!("GRANT ALL ON TABLE events, commands TO {APPLICATION_ROLE}"),
        format!("GRANT DELETE ON TABLE events TO {APPLICATION_ROLE} WITH GRANT OPTION"),
    ] {
        drop(application.execute(AssertSqlSafe(statement)).await);
    }
    for statement in [
        format!("ALTER TABLE events OWNER TO {APPLICATION_ROLE}"),
        format!("GRANT {own_name} TO {APPLICATION_ROLE}"),
        format!("ALTER ROLE {APPLICATION_ROLE} CREATEROLE"),
        "CREATE ROLE accomplice".to_owned(),
        format!("DROP ROLE {own_name}"),
    ] {
        assert_eq!(
            refusal(&mut application, &statement).await,
            "42501",
            "{statement}"
        );
    }
    // 42601 and 0A000: CockroachDB before 22 does not know these at all.
    for statement in [
        format!("ALTER ROLE {APPLICATION_ROLE} SUPERUSER"),
        format!("SET ROLE {own_name}"),
        format!("SET SESSION AUTHORIZATION {own_name}"),
    ] {
        let code = refusal(&mut application, &statement).await;
        assert!(
            ["42501", "42601", "0A000"].contains(&&*code),
            "{statement}: {code}"
        );
    }
    for statement in [
        "UPDATE events SET actor = 'mallory'",
        "DELETE FROM commands",
    ] {
        assert_eq!(
            refusal(&mut application, statement).await,
            "42501",
            "{statement}"
        );
    }
    assert_untouched(&database, &account_id).await;
}

#[tokio::test]
async fn excess_privileges_are_told() {
    let (database, ..) = scene().await;
    assert_eq!(
        database.store().excess_privileges().await.unwrap(),
        Vec::<String>::new()
    );
    let owner = connect(&database.owner_url)
        .excess_privileges()
        .await
        .unwrap();
    for right in [
        "UPDATE on events",
        "DELETE on commands",
        "TRUNCATE on events",
    ] {
        assert!(owner.contains(&right.to_owned()), "{owner:?}");
    }
    database
        .execute(&format!(
            "GRANT DELETE ON TABLE events TO {APPLICATION_ROLE}"
        ))
        .await;
    // CockroachDB takes DELETE for TRUNCATE, too.
    let excess = database.store().excess_privileges().await.unwrap();
    assert_eq!(excess[0], "DELETE on events");
    assert!(
        excess[1..]
            .iter()
            .all(|right| right == "TRUNCATE on events")
    );
    let rights = connect(&database.owner_url).rights().await.unwrap();
    assert!(rights.owner);
    assert_eq!(rights.application_role_excess, ["DELETE on events"]);

    store::migrate::migrate(&database.owner_url).await.unwrap();
    assert_eq!(
        database.store().excess_privileges().await.unwrap(),
        Vec::<String>::new()
    );
    let rights = database.store().rights().await.unwrap();
    assert!(!rights.owner);
    assert_eq!(rights.user, APPLICATION_ROLE);
    assert_eq!(rights.application_role_excess, Vec::<String>::new());
}

#[tokio::test]
async fn rights_that_everybody_was_given_are_taken_back() {
    let database = Database::fresh("everybody").await;
    database
        .execute("GRANT UPDATE, DELETE ON TABLE events, commands TO PUBLIC")
        .await;
    assert!(database.store().excess_privileges().await.unwrap().len() >= 4);
    store::migrate::migrate(&database.owner_url).await.unwrap();
    assert_eq!(
        database.store().excess_privileges().await.unwrap(),
        Vec::<String>::new()
    );
}

/// As PostgreSQL before 15 does it in every database.
#[tokio::test]
async fn where_everybody_may_create_tables_the_application_may_not_any_more() {
    let owner_url = testing::postgres()
        .await
        .fresh_database("open_schema")
        .await;
    let database = Database { owner_url };
    database
        .execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        .await;
    store::migrate::migrate(&database.owner_url).await.unwrap();
    let mut application = PgConnection::connect(&database.application_url())
        .await
        .unwrap();
    let code = refusal(
        &mut application,
        "CREATE TABLE forged (id BIGINT PRIMARY KEY)",
    )
    .await;
    assert_eq!(code, "42501");
    assert_eq!(
        database.store().excess_privileges().await.unwrap(),
        Vec::<String>::new()
    );
}
