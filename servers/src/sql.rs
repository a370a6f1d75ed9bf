//! Creates databases on a SQL server that is known by its URL.

use std::process::Command;
use std::time::Duration;

use url::Url;

use crate::error::Error;
use crate::wire::{self, Address, Connection, quoted};
use crate::{locate, process};

const LIMIT: Duration = Duration::from_mins(1);
const DUPLICATE_DATABASE: &str = "42P04";
/// Two sessions that create the same database at once: the slower one meets this on the catalogue's index.
const UNIQUE_VIOLATION: &str = "23505";

/// Creates `name` on the server that `url` leads to, unless it exists.
pub(crate) fn create_database(url: &str, name: &str) -> Result<(), Error> {
    let url = Url::parse(url).map_err(|error| Error::Url {
        setting: "the database URL",
        reason: error.to_string(),
    })?;
    let failed = |reason: String| Error::Sql {
        url: without_password(&url),
        action: format!("creating the database {name}"),
        reason,
    };
    let statement = format!("CREATE DATABASE {}", quoted(name));
    let needs_psql = url.password().is_some()
        || url
            .query_pairs()
            .any(|(key, value)| key == "sslmode" && value.starts_with("verify"));
    let result = if needs_psql {
        Err(wire::Error::PasswordNeeded)
    } else {
        run(&url, &statement)
    };
    match result {
        Ok(()) => Ok(()),
        Err(wire::Error::Server { state, .. })
            if state == DUPLICATE_DATABASE || state == UNIQUE_VIOLATION =>
        {
            Ok(())
        }
        Err(wire::Error::PasswordNeeded) => run_by_psql(&url, &statement, name).map_err(failed),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// `url` with another database.
pub(crate) fn with_database(url: &str, database: &str) -> Result<String, Error> {
    let mut url = Url::parse(url).map_err(|error| Error::Url {
        setting: "the database URL",
        reason: error.to_string(),
    })?;
    url.set_path(database);
    Ok(url.into())
}

fn run(url: &Url, statement: &str) -> Result<(), wire::Error> {
    let address = Address {
        host: url.host_str().unwrap_or("127.0.0.1"),
        port: url.port().unwrap_or(5432),
        user: if url.username().is_empty() {
            "postgres"
        } else {
            url.username()
        },
        database: match url.path().trim_start_matches('/') {
            "" => "postgres",
            database => database,
        },
    };
    Connection::open(&address, LIMIT)?
        .query(statement)
        .map(|_| ())
}

/// psql knows every way to prove who one is.
fn run_by_psql(url: &Url, statement: &str, name: &str) -> Result<(), String> {
    let programs = locate::postgres(None).map_err(|error| {
        format!("the server wants a password or a certificate, which takes psql: {error}")
    })?;
    let mut command = Command::new(programs.path.join("psql"));
    command
        .args([
            "--no-psqlrc",
            "--no-password",
            "--quiet",
            "--command",
            statement,
        ])
        .arg(url.as_str());
    let finished = process::run(command, None, LIMIT)
        .map_err(|error| format!("psql does not run: {error}"))?;
    if finished.success
        || finished
            .output
            .contains(&format!("database \"{name}\" already exists"))
    {
        Ok(())
    } else {
        Err(finished.output)
    }
}

fn without_password(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None);
    url.into()
}
