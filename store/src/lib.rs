//! The event store: the ledger's truth, on CockroachDB or PostgreSQL with the same statements.
//!
//! Owns the tables `commands` and `events`: appending with optimistic concurrency ([`EventStore::append`]), reading,
//! and [`Writer`], which takes batches of commands from decision to commit. Guarantees that a command has at most one
//! outcome, that its events are committed with it or not at all, and that versions have no hole. Knows nothing of
//! NATS and nothing of read models.

mod append;
mod audit;
mod by_date;
mod connect;
mod counters;
mod finality;
pub mod migrate;
mod parts;
mod past;
mod read;
mod replay;
mod rows;
mod snapshot;
pub mod sqlstate;
mod writer;

pub use append::{Append, Decision, Recorded, hold_thread_key, reversal_thread_key, thread_key};
pub use audit::{CommandRow, Dates, EventRow, Place, Rights};
pub use by_date::BalanceByDate;
pub use connect::{EventStore, Options};
pub use counters::{WriterCounters, WriterSnapshot};
pub use finality::{FINAL_AFTER, FRESH_FOR, Then, is_final};
pub use past::{CurrencyTotal, Totals};
pub use read::{Head, StoredCommand};
pub use replay::{CommandPlace, CommandRange, Measured};
pub use snapshot::Snapshot;
pub use writer::{Processed, Writer, WriterOptions};

/// Why the event store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, overloaded, or asks to try again. Nothing was changed.
    #[error("the event store cannot be reached: {0}; check that it runs and that its URL is right")]
    Unavailable(#[source] sqlx::Error),
    /// Another writer was faster. Nothing was changed.
    #[error("another writer has changed the same accounts or commands")]
    Conflict,
    /// What was decided reached the database too late by the database's clock. Nothing was changed.
    #[error(
        "this machine's clock is {behind:.1?} behind the event store's, or the way to it takes that long; nothing can be \
         committed that was decided more than {limit:?} ago: synchronise the clocks of both machines (NTP)",
        limit = FRESH_FOR
    )]
    Late {
        /// From the decision by this machine's clock to the commit by the database's.
        behind: std::time::Duration,
    },
    /// The connection or the database failed during a commit: it may have happened. Look the command ids up.
    #[error("it is unknown whether the event store has committed: {0}")]
    Ambiguous(#[source] sqlx::Error),
    /// The database refuses a value of this batch, and always will.
    #[error("the event store refuses a value: {0}")]
    Refused(#[source] sqlx::Error),
    /// A row cannot be understood: it was damaged, or written by a newer version.
    #[error("account {account_id} version {version} in the event store cannot be read: {message}")]
    Unreadable {
        /// The account of the row.
        account_id: String,
        /// Its version.
        version: i64,
        /// What is wrong with it.
        message: String,
    },
    /// The stored command cannot be understood.
    #[error("command {command_id} in the event store cannot be read: {message}")]
    UnreadableCommand {
        /// The command.
        command_id: uuid::Uuid,
        /// What is wrong with it.
        message: String,
    },
    /// Wrong credentials, missing tables, missing rights …: a person has to act.
    #[error(
        "the event store refuses to work: {0}; run `chronicle migrate` and check the user's rights"
    )]
    Fatal(#[source] sqlx::Error),
    /// The URL is no PostgreSQL URL.
    #[error(
        "this is no URL of an event store: {0}; it looks like postgres://user@host:26257/database"
    )]
    Url(#[source] sqlx::Error),
    /// A migration failed.
    #[error("the event store's tables could not be made: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Conflict | Self::Late { .. } | Self::Ambiguous(_)
        )
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match sqlstate::classify(&error) {
            sqlstate::Class::Conflict => Self::Conflict,
            sqlstate::Class::Ambiguous => Self::Ambiguous(error),
            sqlstate::Class::Unavailable => Self::Unavailable(error),
            sqlstate::Class::Refused => Self::Refused(error),
            sqlstate::Class::Fatal => Self::Fatal(error),
        }
    }
}
