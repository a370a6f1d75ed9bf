//! Connecting to the event store, and running statements within their limits.

use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres, SqlSafeStr};

use crate::Error;

/// How long a statement may take, unless the options say otherwise. [`FINAL_AFTER`](crate::FINAL_AFTER) rests on it.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// How to connect.
#[derive(Debug, Clone)]
pub struct Options {
    /// The most connections at a time.
    pub connections_max: u32,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long a statement may take; past it the outcome of a commit counts as unknown. The server ends it then, too.
    ///
    /// Not longer than usual for a writer: see [`FINAL_AFTER`](crate::FINAL_AFTER).
    pub statement_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: 8,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: STATEMENT_TIMEOUT,
        }
    }
}

/// The event store. Cheap to clone; all clones share their connections.
#[derive(Debug, Clone)]
pub struct EventStore {
    pool: PgPool,
    statement_timeout: Duration,
}

/// A statement with its values.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

impl EventStore {
    /// The event store at `url`. Connects when it is first used, so it need not be there yet.
    pub fn connect_lazy(url: &str, options: &Options) -> Result<Self, Error> {
        let connect = parse(url)?.application_name("chronicle");
        let statement_timeout = options.statement_timeout;
        let pool = PgPoolOptions::new()
            .max_connections(options.connections_max)
            .acquire_timeout(options.connect_timeout)
            // A ping before each use would double the round trips; a dead connection shows itself by an error, and
            // every caller can repeat.
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    prefer_indexes(connection).await?;
                    limit_statements(connection, statement_timeout).await
                })
            })
            .connect_lazy_with(connect);
        Ok(Self {
            pool,
            statement_timeout,
        })
    }

    /// Fails unless the event store answers and its tables are there.
    pub async fn ping(&self) -> Result<(), Error> {
        let tables = "SELECT (SELECT 1 FROM events LIMIT 1), (SELECT 1 FROM commands LIMIT 1)";
        self.fetch_one(sqlx::query(tables)).await.map(|_| ())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) async fn fetch_all(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, Error> {
        let mut lease = self.lease().await?;
        let rows = lease.fetch_all(statement).await;
        lease.give_back();
        rows
    }

    pub(crate) async fn fetch_optional(
        &self,
        statement: Statement<'_>,
    ) -> Result<Option<PgRow>, Error> {
        let mut lease = self.lease().await?;
        let row = lease.fetch_optional(statement).await;
        lease.give_back();
        row
    }

    /// For statements that always answer with a row.
    pub(crate) async fn fetch_one(&self, statement: Statement<'_>) -> Result<PgRow, Error> {
        let mut lease = self.lease().await?;
        let row = lease.fetch_one(statement).await;
        lease.give_back();
        row
    }

    /// A connection. Whatever goes wrong here, nothing was changed.
    pub(crate) async fn lease(&self) -> Result<Lease, Error> {
        match self.pool.acquire().await {
            Ok(connection) => Ok(Lease {
                connection: Some(connection),
                statement_timeout: self.statement_timeout,
                is_answered: true,
            }),
            Err(error) => Err(match Error::from(error) {
                Error::Ambiguous(error) => Error::Unavailable(error),
                other => other,
            }),
        }
    }
}

/// A connection in use. It goes back to the others by [`give_back`](Self::give_back) alone; dropped, it is closed.
///
/// One that waits for an answer (the statement's time was over, the caller went away) must not go back: the pool would
/// go on waiting, for ever if the peer has vanished, and count it as in use.
pub(crate) struct Lease {
    /// None only while it is given back or dropped.
    connection: Option<PoolConnection<Postgres>>,
    statement_timeout: Duration,
    is_answered: bool,
}

impl Lease {
    pub(crate) async fn fetch_all(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, Error> {
        self.bounded(async |connection| statement.fetch_all(connection).await)
            .await
    }

    pub(crate) async fn fetch_optional(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Option<PgRow>, Error> {
        self.bounded(async |connection| statement.fetch_optional(connection).await)
            .await
    }

    /// For statements that always answer with a row.
    pub(crate) async fn fetch_one(&mut self, statement: Statement<'_>) -> Result<PgRow, Error> {
        let row = self.fetch_optional(statement).await?;
        row.ok_or(Error::Fatal(sqlx::Error::RowNotFound))
    }

    /// Runs statements that have no values and answer with nothing.
    pub(crate) async fn execute(
        &mut self,
        statements: impl SqlSafeStr + Send,
    ) -> Result<(), Error> {
        self.bounded(async |connection| connection.execute(statements).await.map(drop))
            .await
    }

    /// Bounds a call on our side: a peer that has vanished without a word sends no error.
    async fn bounded<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Error> {
        let timed_out = |limit| {
            let message = format!("no answer within {limit:?}");
            sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, message))
        };
        let limit = self.statement_timeout;
        if !self.is_answered {
            return Err(Error::Unavailable(timed_out(limit)));
        }
        let connection = self
            .connection
            .as_mut()
            .expect("it is there until it is given back");
        self.is_answered = false;
        let Ok(result) = tokio::time::timeout(limit, call(connection)).await else {
            return Err(Error::Ambiguous(timed_out(limit)));
        };
        self.is_answered = true;
        result.map_err(Error::from)
    }

    /// Back to the pool, which looks whether it still lives.
    pub(crate) fn give_back(mut self) {
        if self.is_answered {
            drop(self.connection.take());
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

/// Reads a URL; a scheme that is not PostgreSQL's is an error here already.
pub(crate) fn parse(url: &str) -> Result<PgConnectOptions, Error> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("postgres" | "postgresql")) {
        let message = "it does not begin with postgres:// or postgresql://";
        return Err(Error::Url(sqlx::Error::Configuration(message.into())));
    }
    PgConnectOptions::from_str(url).map_err(Error::Url)
}

/// PostgreSQL keeps the plan of a prepared statement until the table's statistics change. One that was made while a
/// table had a handful of rows may read the whole table, and would go on to when it has millions. Every statement here
/// has an index. (CockroachDB warns about the setting, so it is not told.)
async fn prefer_indexes(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let setting =
        "SELECT set_config('enable_seqscan', 'off', false) WHERE version() LIKE 'PostgreSQL%'";
    connection.execute(setting).await.map(drop)
}

/// The server's own limit: an append that was given up here (the peer vanished, this process died) does not linger there
/// and commit long after. Both databases take a whole number for milliseconds, and 0 for no limit.
async fn limit_statements(
    connection: &mut PgConnection,
    limit: Duration,
) -> Result<(), sqlx::Error> {
    let setting = format!("SET statement_timeout = {}", limit.as_millis().max(1));
    connection.execute(AssertSqlSafe(setting)).await.map(drop)
}
