//! Making the database, its tables and the role.

use servers::testing;
use sqlx::Row;
use store::migrate::{create_database, migrate};
use store::{Error, EventStore, Options};

use crate::support::build::{create, new_account_id};
use crate::support::clock;
use crate::support::database::{Database, as_user, connect};
use crate::support::outcomes::{process, verdicts, writer};

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let database = Database::fresh("twice").await;
    let store = database.store();
    let account_id = new_account_id("kept");
    process(&mut writer(&store), &[create(&account_id, "1")]).await;
    migrate(&database.owner_url).await.unwrap();
    migrate(&database.owner_url).await.unwrap();
    assert!(store.account(&account_id).await.unwrap().is_some());
    let again = process(&mut writer(&store), &[create(&account_id, "1")]).await;
    assert_eq!(verdicts(&again), ["account_exists"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_at_work_does_not_notice_a_migration() {
    let database = Database::fresh("at_work").await;
    let store = database.store();
    let account_id = new_account_id("kept");
    process(&mut writer(&store), &[create(&account_id, "1")]).await;
    let migrating = tokio::spawn({
        let owner_url = database.owner_url.clone();
        async move {
            for _ in 0..3 {
                migrate(&owner_url).await.unwrap();
            }
        }
    });
    while !migrating.is_finished() {
        match store.account(&account_id).await {
            Ok(account) => assert!(account.is_some()),
            // CockroachDB restarts what meets a change of the schema.
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    migrating.await.unwrap();
}

#[tokio::test]
async fn two_databases_of_one_server_share_the_role() {
    let first = Database::fresh("first").await;
    let second = Database::fresh("second").await;
    for database in [&first, &second] {
        let account_id = new_account_id("here");
        process(&mut writer(&database.store()), &[create(&account_id, "1")]).await;
    }
    assert_eq!(first.store().heads(None, 10).await.unwrap().len(), 1);
    assert_eq!(second.store().heads(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_database_is_created_unless_it_is_there() {
    let there = testing::event_store_url("there").await;
    let missing = format!("{}_too", name_of(&there));
    let url = there.replacen(&name_of(&there), &missing, 1);
    create_database(&url).await.unwrap();
    create_database(&url).await.unwrap();
    migrate(&url).await.unwrap();
    connect(&url).ping().await.unwrap();
}

#[tokio::test]
async fn an_awkward_name_is_a_name() {
    let there = testing::event_store_url("awkward").await;
    let awkward = format!("{}%20%22x%22;--", name_of(&there));
    let url = there.replacen(&name_of(&there), &awkward, 1);
    create_database(&url).await.unwrap();
    migrate(&url).await.unwrap();
    connect(&url).ping().await.unwrap();
}

#[tokio::test]
async fn a_url_without_a_database_creates_none() {
    let url = testing::event_store_url("unnamed").await;
    let (server, rest) = url.rsplit_once('/').unwrap();
    let parameters = rest
        .split_once('?')
        .map_or("", |(_, parameters)| parameters);
    create_database(&format!("{server}/?{parameters}"))
        .await
        .unwrap();
    create_database(&format!("{server}?{parameters}"))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_owner_who_may_not_create_databases_can_use_the_one_he_was_given() {
    let shared = testing::postgres().await;
    let given = Database {
        owner_url: shared.fresh_database("given").await,
    };
    let (name, owner) = (name_of(&given.owner_url), "plain_owner");
    given
        .execute(&format!(
            "CREATE ROLE {owner} LOGIN; ALTER DATABASE {name} OWNER TO {owner}"
        ))
        .await;
    // The role is there already, as this owner could not make it.
    Database::fresh_on_postgres("role_made").await;
    let url = as_user(&given.owner_url, owner);
    create_database(&url).await.unwrap();
    migrate(&url).await.unwrap();
    let database = Database { owner_url: url };
    process(
        &mut writer(&database.store()),
        &[create(&new_account_id("given"), "1")],
    )
    .await;
}

#[tokio::test]
async fn without_tables_the_store_says_what_to_do() {
    let url = testing::event_store_url("bare").await;
    let store = EventStore::connect_lazy(&url, &Options::default()).unwrap();
    let command = create(&new_account_id("bare"), "1");
    for error in [
        store.ping().await.unwrap_err(),
        writer(&store)
            .process(&[command], &clock::now)
            .await
            .unwrap_err(),
    ] {
        assert!(matches!(error, Error::Fatal(_)), "{error}");
        assert!(error.to_string().contains("chronicle migrate"), "{error}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn the_primary_keys_are_told() {
    let store = Database::shared().await.store();
    assert_eq!(
        store.primary_key("events").await.unwrap(),
        ["account_id", "version"]
    );
    assert_eq!(store.primary_key("commands").await.unwrap(), ["command_id"]);
    assert_eq!(
        store.primary_key("nothing").await.unwrap(),
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn tables_lie_where_the_search_path_leads() {
    let database = Database {
        owner_url: testing::postgres().await.fresh_database("searched").await,
    };
    database.execute("CREATE SCHEMA book").await;
    let searched = Database {
        owner_url: format!("{}?options[search_path]=book", database.owner_url),
    };
    migrate(&searched.owner_url).await.unwrap();
    process(
        &mut writer(&searched.store()),
        &[create(&new_account_id("searched"), "1")],
    )
    .await;
    let mut owner = database.owner().await;
    let schemas = sqlx::query("SELECT schemaname::text FROM pg_tables WHERE tablename = 'events'")
        .fetch_all(&mut owner)
        .await
        .unwrap();
    let schemas: Vec<String> = schemas.iter().map(|row| row.get(0)).collect();
    assert_eq!(schemas, ["book"]);
    assert_eq!(
        searched.store().excess_privileges().await.unwrap(),
        Vec::<String>::new()
    );
}

/// The database of a URL, as it is spelled there.
fn name_of(url: &str) -> String {
    let (_, rest) = url.rsplit_once('/').unwrap();
    rest.split('?').next().unwrap().to_owned()
}
