//! What an error of a database means. The only place where SQLSTATE codes are matched.

/// What helps against an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A duplicate key or a serialization failure: another transaction was faster, and nothing of this one happened.
    Conflict,
    /// The answer to a commit got lost: it may have happened.
    Ambiguous,
    /// The database is away, starting, stopping or full: later it may work.
    Unavailable,
    /// The database refuses a value; the same value will always be refused.
    Refused,
    /// Schema, rights or credentials are wrong.
    Fatal,
}

/// Classifies an error of a statement that may have changed something.
pub fn classify(error: &sqlx::Error) -> Class {
    match error {
        sqlx::Error::Database(database) => {
            database.code().map_or(Class::Fatal, |code| class_of(&code))
        }
        // The statement may have been sent, and the answer lost.
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            Class::Ambiguous
        }
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Class::Unavailable,
        _ => Class::Fatal,
    }
}

/// The meaning of a SQLSTATE (PostgreSQL documentation, appendix A; CockroachDB's "common errors").
fn class_of(code: &str) -> Class {
    match code {
        // unique_violation; serialization_failure; deadlock_detected
        "23505" | "40001" | "40P01" => Class::Conflict,
        // statement_completion_unknown ("result is ambiguous"), transaction_resolution_unknown; and what can take the
        // place of the answer to a commit that has happened: query_canceled, admin_shutdown, crash_shutdown
        "40003" | "08007" | "57014" | "57P01" | "57P02" => Class::Ambiguous,
        // read_only_sql_transaction (a standby, in the midst of a failover); lock_not_available, object_in_use;
        // idle_in_transaction_session_timeout, transaction_timeout; "cached plan must not change result type" and a
        // statement that a pooler has lost: a new connection prepares it anew; invalid_authorization, which CockroachDB
        // also says while it cannot look the user up
        "25006" | "55P03" | "55006" | "25P03" | "25P04" | "0A000" | "26000" | "28000" => {
            Class::Unavailable
        }
        // invalid_password, invalid_catalog_name (no such database); not_null and foreign_key violations, which only a
        // schema of another version can have
        "28P01" | "3D000" | "23502" | "23503" => Class::Fatal,
        _ => match code.get(..2) {
            // connection exceptions; insufficient resources (disk full, too many connections);
            // operator intervention (shutdown, starting up); system error; a transaction that was rolled back;
            // a cluster's own "try again" (XXUUU, XXC..)
            Some("08" | "53" | "57" | "58" | "40" | "XX") => Class::Unavailable,
            // cardinality, data exceptions, other integrity violations, program limits (e.g. an index row too large)
            Some("21" | "22" | "23" | "54") => Class::Refused,
            _ => Class::Fatal,
        },
    }
}

/// Whether an error says that the object exists already.
pub fn is_duplicate_object(error: &sqlx::Error) -> bool {
    // duplicate_object, duplicate_database, unique_violation (two sessions at once)
    code(error).is_some_and(|code| matches!(code.as_str(), "42710" | "42P04" | "23505"))
}

/// Whether an error says that a row with this key is there already.
pub fn is_duplicate_key(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == "23505")
}

/// Whether an error says that the user may not do this.
pub fn is_insufficient_privilege(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == "42501")
}

/// Whether an error says that the database that a URL names is not there.
pub fn is_missing_database(error: &sqlx::Error) -> bool {
    // invalid_catalog_name
    code(error).is_some_and(|code| code == "3D000")
}

/// Whether an error says that a table that a statement names, or its schema, is not there.
pub fn is_missing_table(error: &sqlx::Error) -> bool {
    // undefined_table, invalid_schema_name
    code(error).is_some_and(|code| matches!(code.as_str(), "42P01" | "3F000"))
}

/// Whether an error says that a lock was not to be had within `lock_timeout`.
pub fn is_lock_not_available(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == "55P03")
}

/// Whether an error says that the rights on a schema cannot be changed (CockroachDB before 22.1, schema `public`).
pub fn is_fixed_schema(error: &sqlx::Error) -> bool {
    // invalid_schema_name
    code(error).is_some_and(|code| code == "3F000")
}

fn code(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()?
        .code()
        .map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_what_the_databases_document() {
        for (code, class) in [
            ("23505", Class::Conflict),
            ("40001", Class::Conflict),
            ("40003", Class::Ambiguous),
            ("57014", Class::Ambiguous),
            ("57P01", Class::Ambiguous),
            ("08007", Class::Ambiguous),
            ("25006", Class::Unavailable),
            ("57P03", Class::Unavailable),
            ("53100", Class::Unavailable),
            ("08006", Class::Unavailable),
            ("22P05", Class::Refused),
            ("23514", Class::Refused),
            ("54000", Class::Refused),
            ("42501", Class::Fatal),
            ("42P01", Class::Fatal),
            ("28P01", Class::Fatal),
            ("3D000", Class::Fatal),
        ] {
            assert_eq!(class_of(code), class, "{code}");
        }
    }
}
