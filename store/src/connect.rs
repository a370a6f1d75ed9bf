//! Connecting to the event store.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::Error;

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most connections at a time.
    pub connections_max: u32,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long a statement may take; past it the outcome of a commit counts as unknown.
    pub statement_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: 8,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
        }
    }
}

/// The event store. Cheap to clone; all clones share their connections.
#[derive(Debug, Clone)]
pub struct EventStore {
    pub(crate) pool: PgPool,
    pub(crate) statement_timeout: Duration,
}

impl EventStore {
    /// The event store at `url`. Connects when it is first used, so it need not be there yet.
    pub fn connect_lazy(url: &str, options: &Options) -> Result<Self, Error> {
        let connect = PgConnectOptions::from_str(url)
            .map_err(Error::Url)?
            .application_name("chronicle");
        let pool = PgPoolOptions::new()
            .max_connections(options.connections_max)
            .acquire_timeout(options.connect_timeout)
            // A ping before each use would double the round trips; a dead connection shows itself by an error, and
            // every caller can repeat.
            .test_before_acquire(false)
            .connect_lazy_with(connect);
        Ok(Self {
            pool,
            statement_timeout: options.statement_timeout,
        })
    }

    /// Fails unless the event store answers and its tables are there.
    pub async fn ping(&self) -> Result<(), Error> {
        let answer = sqlx::query("SELECT 1 FROM events LIMIT 1").fetch_optional(&self.pool);
        self.bounded(answer).await.map(|_| ())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Bounds a call on our side too: a peer that has vanished without a word sends no error.
    pub(crate) async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.statement_timeout, call).await {
            Ok(result) => result.map_err(Error::from),
            Err(_) => Err(Error::Ambiguous(sqlx::Error::Io(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {:?}", self.statement_timeout),
            )))),
        }
    }
}
