//! The read model's database: connecting and its tables.

use std::str::FromStr;
use std::time::Duration;

use engine::Failure;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use store::sqlstate::{self, Class};

/// A connection that was idle for so long is tried before it is used.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// Why the read model cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is no PostgreSQL URL.
    #[error(
        "this is no URL of a read model: {0}; it looks like postgres://user@host:5432/database"
    )]
    Url(#[source] sqlx::Error),
    /// The database refuses or cannot be reached.
    #[error(
        "the read model cannot be reached: {0}; check that PostgreSQL runs and that the URL is right"
    )]
    Database(#[from] sqlx::Error),
    /// A migration failed.
    #[error("the read model's tables could not be made: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// The read model at `url`. Connects when it is first used, so it need not be there yet.
pub fn connect_lazy(url: &str, connections_max: u32) -> Result<PgPool, Error> {
    let options = PgConnectOptions::from_str(url)
        .map_err(Error::Url)?
        .application_name("chronicle")
        // A peer that has vanished, or a copy of a projection that was paused within its transaction, must not hold us
        // up for ever.
        .options([
            ("statement_timeout", "30s"),
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "30s"),
        ]);
    Ok(PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_secs(10))
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move {
                // After a restart of the database the idle connections are dead; those in use show it by themselves.
                if metadata.idle_for < PING_AFTER_IDLE {
                    return Ok(true);
                }
                let ping = tokio::time::timeout(Duration::from_secs(2), connection.ping()).await;
                Ok(matches!(ping, Ok(Ok(()))))
            })
        })
        .connect_lazy_with(options))
}

/// Connections of their own to the database of `pool`, for one run of a pipeline.
///
/// A run that is given up may leave a connection in the midst of a transaction (sqlx forgets a BEGIN whose answer nobody
/// awaited). In a pool that outlives the run, the next run's statements would become part of that transaction, and be
/// rolled back with it.
pub fn another(pool: &PgPool) -> PgPool {
    another_with(pool, PgConnectOptions::clone(&pool.connect_options()))
}

/// The same, with these options instead of the pool's.
pub(crate) fn another_with(pool: &PgPool, options: PgConnectOptions) -> PgPool {
    pool.options().clone().connect_lazy_with(options)
}

/// Brings the read model's tables up to date. Harmless to repeat, also by several processes at once.
pub async fn migrate(url: &str) -> Result<(), Error> {
    let pool = connect_lazy(url, 1)?;
    sqlx::migrate!("../migrations/read_model")
        .run(&pool)
        .await?;
    pool.close().await;
    Ok(())
}

/// What the engine makes of an error of the read model.
pub(crate) fn failure(message: impl Into<String>, error: sqlx::Error) -> Failure {
    let failure = match sqlstate::classify(&error) {
        Class::Fatal | Class::Refused => Failure::fatal(message),
        Class::Conflict | Class::Ambiguous | Class::Unavailable => Failure::retry(message),
    };
    failure.because(error)
}
