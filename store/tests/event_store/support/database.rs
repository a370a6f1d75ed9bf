//! Databases, and how to connect to them.

use std::str::FromStr;
use std::time::Duration;

use servers::testing;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use store::{EventStore, Options, migrate};
use tokio::sync::OnceCell;

/// A database with the event store's tables.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    /// For the owner.
    pub(crate) owner_url: String,
}

impl Database {
    /// One of the test's own.
    pub(crate) async fn fresh(prefix: &str) -> Self {
        let owner_url = testing::event_store_url(prefix).await;
        migrate::migrate(&owner_url).await.unwrap();
        Self { owner_url }
    }

    /// One of the test's own, on PostgreSQL in any case.
    pub(crate) async fn fresh_on_postgres(prefix: &str) -> Self {
        let owner_url = testing::postgres().await.fresh_database(prefix).await;
        migrate::migrate(&owner_url).await.unwrap();
        Self { owner_url }
    }

    /// The one that all tests share which touch only their own accounts.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Database> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::fresh("shared")).await
    }

    /// The URL for the application's role. It needs a server that lets it in without a password, as those of the tests do.
    pub(crate) fn application_url(&self) -> String {
        as_user(&self.owner_url, migrate::APPLICATION_ROLE)
    }

    /// The event store, as the application sees it.
    pub(crate) fn store(&self) -> EventStore {
        connect(&self.application_url())
    }

    /// A plain connection for the owner.
    pub(crate) async fn owner(&self) -> PgConnection {
        PgConnection::connect(&self.owner_url).await.unwrap()
    }

    /// Runs statements as the owner.
    pub(crate) async fn execute(&self, statements: &str) {
        let mut owner = self.owner().await;
        owner.execute(AssertSqlSafe(statements)).await.unwrap();
        owner.close().await.unwrap();
    }

    pub(crate) async fn is_cockroach(&self) -> bool {
        let mut owner = self.owner().await;
        let row = owner.fetch_one("SELECT version()").await.unwrap();
        row.get::<String, _>(0).contains("CockroachDB")
    }
}

/// The event store of the shared database, as the application sees it.
pub(crate) async fn store() -> EventStore {
    Database::shared().await.store()
}

pub(crate) fn connect(url: &str) -> EventStore {
    EventStore::connect_lazy(url, &Options::default()).unwrap()
}

pub(crate) fn connect_with(
    url: &str,
    connections_max: u32,
    statement_timeout: Duration,
) -> EventStore {
    let options = Options {
        connections_max,
        statement_timeout,
        ..Options::default()
    };
    EventStore::connect_lazy(url, &options).unwrap()
}

/// The same URL for another user.
pub(crate) fn as_user(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let address = rest.split_once('@').map_or(rest, |(_, address)| address);
    format!("{scheme}://{user}@{address}")
}

/// The same URL by way of another port on this machine.
pub(crate) fn by_way_of(url: &str, port: u16) -> String {
    let (host, direct) = address(url);
    let there = format!("{host}:{direct}");
    assert!(url.contains(&there), "{url} does not name {there}");
    url.replacen(&there, &format!("127.0.0.1:{port}"), 1)
}

/// Host and port of a URL.
pub(crate) fn address(url: &str) -> (String, u16) {
    let options = PgConnectOptions::from_str(url).unwrap();
    (options.get_host().to_owned(), options.get_port())
}
