//! The event store's tables, and the role that the application works as.

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::{Error, sqlstate};

/// The role that the application connects as: it may INSERT and SELECT, and nothing else.
pub const APPLICATION_ROLE: &str = "chronicle_app";

/// Creates the database that `url` names, if it is missing. `url` is the owner's.
pub async fn create_database(url: &str) -> Result<(), Error> {
    use std::str::FromStr;
    let options = sqlx::postgres::PgConnectOptions::from_str(url).map_err(Error::Url)?;
    let Some(name) = options.get_database().map(str::to_owned) else {
        return Ok(());
    };
    // Both servers have a database of this name from the start (CockroachDB since 2.1).
    let mut connection = PgConnection::connect_with(&options.database("postgres")).await?;
    let quoted = name.replace('"', "\"\"");
    match connection
        .execute(AssertSqlSafe(format!("CREATE DATABASE \"{quoted}\"")))
        .await
    {
        Ok(_) => Ok(()),
        Err(error) if sqlstate::is_duplicate_object(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Brings the event store's tables up to date and sets the rights of [`APPLICATION_ROLE`]. Harmless to repeat. `url` is
/// the owner's.
///
/// Run by one process at a time: CockroachDB has no advisory locks, so there is nothing that two could wait at.
pub async fn migrate(url: &str) -> Result<(), Error> {
    let pool = PgPoolOptions::new().max_connections(1).connect(url).await?;
    let mut migrator = sqlx::migrate!("../migrations/event_store");
    migrator.set_locking(false);
    migrator.run(&pool).await?;
    let mut connection = pool.acquire().await?;
    grant(&mut connection).await?;
    drop(connection);
    pool.close().await;
    Ok(())
}

/// The rights are set by name on each table: what is not granted cannot be done.
async fn grant(connection: &mut PgConnection) -> Result<(), Error> {
    // CREATE USER (a role that can log in) has no IF NOT EXISTS on PostgreSQL, and DO blocks are missing on CockroachDB.
    let exists = sqlx::query("SELECT 1 FROM pg_roles WHERE rolname = $1")
        .bind(APPLICATION_ROLE)
        .fetch_optional(&mut *connection)
        .await?
        .is_some();
    if !exists {
        let created = connection
            .execute(AssertSqlSafe(format!("CREATE USER {APPLICATION_ROLE}")))
            .await;
        match created {
            Err(error) if !sqlstate::is_duplicate_object(&error) => return Err(error.into()),
            _ => {}
        }
    }
    for table in ["commands", "events"] {
        connection
            .execute(AssertSqlSafe(format!(
                "REVOKE ALL ON TABLE {table} FROM {APPLICATION_ROLE}"
            )))
            .await?;
        connection
            .execute(AssertSqlSafe(format!(
                "GRANT SELECT, INSERT ON TABLE {table} TO {APPLICATION_ROLE}"
            )))
            .await?;
    }
    Ok(())
}
