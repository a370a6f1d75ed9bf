//! `chronicle migrate`: makes or updates the tables of the event store and the read model.

use std::process::ExitCode;

use crate::arguments::MigrateArguments;
use crate::output;
use crate::servers_at::{ServerArguments, Stack};

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &MigrateArguments,
) -> anyhow::Result<ExitCode> {
    let event_store = match &arguments.event_store_owner_url {
        Some(url) => url.clone(),
        None => match (
            &servers.event_store_url,
            Stack::running_in(&servers.data_dir),
        ) {
            (None, Some(stack)) => stack.event_store_owner,
            _ => servers.event_store_url()?,
        },
    };
    let read_model = servers.read_model_url()?;
    databases(&event_store, &read_model, arguments.create_databases).await?;
    output::say(format!(
        "the tables are up to date; the application connects to the event store as {}",
        store::migrate::APPLICATION_ROLE
    ));
    Ok(ExitCode::SUCCESS)
}

/// Both databases, as their owners.
pub(crate) async fn databases(
    event_store: &str,
    read_model: &str,
    create: bool,
) -> anyhow::Result<()> {
    if create {
        store::migrate::create_database(event_store).await?;
        store::migrate::create_database(read_model).await?;
    }
    store::migrate::migrate(event_store).await?;
    sinks::read_model::migrate(read_model).await?;
    Ok(())
}
