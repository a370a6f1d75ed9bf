//! Why a copy of a read model could not be made, put in its place or removed.

use engine::Failure;
use store::sqlstate;

use crate::read_model;

/// Why it could not be done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As things are it cannot be done; the message says what to do.
    #[error("{0}")]
    Refused(String),
    /// The user lacks rights on the read model's database.
    #[error(
        "the read model's user may not do this: {0}; building beside the live tables needs the right to make schemas, and \
         the tables must be the user's own. As the owner of the database: GRANT CREATE ON DATABASE … TO …, and ALTER TABLE … \
         OWNER TO …"
    )]
    Rights(#[source] sqlx::Error),
    /// Others use the tables; later it can be done.
    #[error("{0}")]
    InUse(String),
    /// The database refuses or cannot be reached.
    #[error("the read model: {0}")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if sqlstate::is_insufficient_privilege(&error) {
            Self::Rights(error)
        } else if sqlstate::is_lock_not_available(&error) {
            Self::InUse(format!(
                "another session holds what is needed here (pg_locks has which): {error}. Nothing was changed, and a copy that \
                 was begun is kept: give the command again when that session has ended"
            ))
        } else {
            Self::Database(error)
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(message) => Self::fatal(message),
            Error::Rights(_) => Self::fatal(error.to_string()),
            Error::InUse(message) => Self::retry(message),
            Error::Database(error) => {
                read_model::failure("the copy of the read model cannot be worked on", error)
            }
        }
    }
}
