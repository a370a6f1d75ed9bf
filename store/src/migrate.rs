//! The event store's tables, and the role that the application works as.

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::connect::parse;
use crate::{Error, sqlstate};

/// The role that the application connects as: it may INSERT and SELECT, and nothing else.
pub const APPLICATION_ROLE: &str = "chronicle_app";

/// Creates the database that `url` names, if it is missing. `url` is the owner's.
pub async fn create_database(url: &str) -> Result<(), Error> {
    let options = parse(url)?;
    let Some(name) = options.get_database().map(str::to_owned) else {
        return Ok(());
    };
    // Both servers have a database of this name from the start (CockroachDB since 2.1).
    let mut connection = PgConnection::connect_with(&options.database("postgres")).await?;
    // An owner who may not create databases can have been given this one.
    let is_there = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(&name)
        .fetch_optional(&mut connection)
        .await?
        .is_some();
    if is_there {
        return Ok(());
    }
    match execute(
        &mut connection,
        &format!("CREATE DATABASE {}", quoted(&name)),
    )
    .await
    {
        Err(error) if !sqlstate::is_duplicate_object(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Brings the event store's tables up to date and sets the rights of [`APPLICATION_ROLE`]. Harmless to repeat. `url` is
/// the owner's.
///
/// Run by one process at a time: CockroachDB has no advisory locks, so there is nothing that two could wait at.
pub async fn migrate(url: &str) -> Result<(), Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(parse(url)?)
        .await?;
    let mut migrator = sqlx::migrate!("../migrations/event_store");
    migrator.set_locking(false);
    migrator.run(&pool).await?;
    let mut connection = pool.acquire().await?;
    create_role(&mut connection).await?;
    grant(&mut connection).await?;
    drop(connection);
    pool.close().await;
    Ok(())
}

/// Roles belong to the server: another database's migration may have made it.
async fn create_role(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // CREATE USER (a role that can log in) has no IF NOT EXISTS on PostgreSQL, and DO blocks are missing on CockroachDB.
    let is_there = sqlx::query("SELECT 1 FROM pg_roles WHERE rolname = $1")
        .bind(APPLICATION_ROLE)
        .fetch_optional(&mut *connection)
        .await?
        .is_some();
    if is_there {
        return Ok(());
    }
    match execute(connection, &format!("CREATE USER {APPLICATION_ROLE}")).await {
        Err(error) if !sqlstate::is_duplicate_object(&error) => Err(error),
        _ => Ok(()),
    }
}

/// The rights are set by name on each table: what is not granted cannot be done.
async fn grant(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // In one transaction: an application that is at work meanwhile has its rights all the time.
    let mut transaction = connection.begin().await?;
    for statement in [
        format!("REVOKE ALL ON TABLE commands, events FROM PUBLIC, {APPLICATION_ROLE}"),
        format!("GRANT SELECT, INSERT ON TABLE commands, events TO {APPLICATION_ROLE}"),
    ] {
        execute(&mut transaction, &statement).await?;
    }
    transaction.commit().await?;
    let schema: String = sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(&mut *connection)
        .await?;
    let schema = quoted(&schema);
    for statement in [
        format!("GRANT USAGE ON SCHEMA {schema} TO {APPLICATION_ROLE}"),
        // Everybody may create tables there on PostgreSQL before 15 and CockroachDB from 22.1 on.
        format!("REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {APPLICATION_ROLE}"),
    ] {
        match execute(connection, &statement).await {
            // On older CockroachDBs the rights on this schema are fixed, and as they should be.
            Err(error) if sqlstate::is_fixed_schema(&error) => {}
            // The owner of a database need not own the schema in it.
            Err(error) if sqlstate::is_insufficient_privilege(&error) => {
                tracing::warn!(%error, statement, "the rights on the schema stay as they are");
            }
            result => result?,
        }
    }
    Ok(())
}

async fn execute(connection: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(statement)).await.map(drop)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
