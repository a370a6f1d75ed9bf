//! URLs, and what goes wrong with them.

use std::time::Duration;

use servers::testing;
use store::{Error, EventStore, Options};
use tokio::net::TcpListener;

use crate::support::build::{create, new_account_id};
use crate::support::database::{Database, as_user, connect};
use crate::support::outcomes::{process, writer};

fn impatient() -> Options {
    Options {
        connect_timeout: Duration::from_millis(300),
        ..Options::default()
    }
}

/// What connecting fails with.
async fn failure(url: &str) -> Error {
    let store = EventStore::connect_lazy(url, &impatient()).unwrap();
    store.ping().await.expect_err(url)
}

#[tokio::test]
async fn a_store_that_works_answers() {
    let database = Database::shared().await;
    database.store().ping().await.unwrap();
    connect(&database.owner_url).ping().await.unwrap();
}

#[tokio::test]
async fn a_url_is_a_url_of_postgresql() {
    for url in [
        "",
        "nonsense",
        "http://127.0.0.1/ledger",
        "postgres://127.0.0.1:port/ledger",
    ] {
        let error = EventStore::connect_lazy(url, &Options::default()).unwrap_err();
        assert!(matches!(error, Error::Url(_)), "{url}: {error}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_store_need_not_be_there_yet_and_is_unavailable_until_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // Nobody answers: connections are taken by the kernel and nothing is said.
    let url = format!("postgres://somebody@127.0.0.1:{port}/ledger");
    let silent = failure(&url).await;
    drop(listener);
    let closed = failure(&url).await;
    for error in [silent, closed] {
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let hanging_up = tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
        }
    });
    let error = failure(&format!("postgres://somebody@127.0.0.1:{port}/ledger")).await;
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    hanging_up.abort();
}

#[tokio::test]
async fn a_missing_database_needs_a_person() {
    let url = testing::postgres().await.url();
    let missing = url.replace("/postgres", "/no_such_database");
    let error = failure(&missing).await;
    assert!(matches!(error, Error::Fatal(_)), "{error:?}");
    // CockroachDB gives the same code while it cannot look users up: whether this will pass is not to be known.
    let error = failure(&as_user(&url, "no_such_user")).await;
    assert!(error.to_string().contains("no_such_user"), "{error}");
}

#[tokio::test]
async fn a_url_without_a_database_leads_to_no_ledger() {
    let database = Database::shared().await;
    let (server, rest) = database.owner_url.rsplit_once('/').unwrap();
    let parameters = rest
        .split_once('?')
        .map_or("", |(_, parameters)| parameters);
    // PostgreSQL takes the user's name for the database's, CockroachDB its default database.
    for url in [
        format!("{server}?{parameters}"),
        format!("{server}/?{parameters}"),
    ] {
        let error = failure(&url).await;
        assert!(matches!(error, Error::Fatal(_)), "{error}");
    }
}

#[tokio::test]
async fn the_ways_to_say_that_there_is_no_tls() {
    let database = Database::shared().await;
    let url = database.application_url();
    let plain = url.split('?').next().unwrap().to_owned();
    for parameters in ["", "?sslmode=disable", "?sslmode=allow", "?sslmode=prefer"] {
        let store = connect(&format!("{plain}{parameters}"));
        process(&mut writer(&store), &[create(&new_account_id("tls"), "1")]).await;
    }
    let store = connect(&format!("{plain}?sslmode=require"));
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, Error::Fatal(_)), "{error:?}");
}

#[tokio::test]
async fn closing_ends_the_connections() {
    let store = Database::shared().await.store();
    store.ping().await.unwrap();
    store.close().await;
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
}
