//! `chronicle projection rollback` and `prune`: what becomes of the read model from before the last swap.

use std::process::ExitCode;

use serde::Serialize;
use sinks::projection::{retired, swap};

use super::{copy_failed, definition, order};
use crate::commands::reach;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// A swap back.
#[derive(Serialize)]
struct RolledBack {
    projection: &'static str,
    from_sequence: u64,
    to_sequence: u64,
    /// Statements that make the indexes which the live tables lack now, and the others have.
    lacking_indexes: Vec<String>,
}

pub(super) async fn roll_back(
    servers: &ServerArguments,
    name: &str,
    reason: Option<&str>,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let definition = definition(name)?;
    let by = reach::operator();
    let swapped = swap::roll_back(&servers.read_model()?, definition, &order(&by, reason))
        .await
        .map_err(|error| copy_failed(servers, error))?;
    let projection = definition.name;
    // Readers and the projection go on while they are made.
    let lacking_indexes = swapped.lacking_indexes.iter();
    let lacking_indexes: Vec<String> = lacking_indexes
        .map(|statement| statement.replacen("INDEX ", "INDEX CONCURRENTLY ", 1))
        .collect();
    match output {
        Format::Json => output::json(&RolledBack {
            projection,
            from_sequence: swapped.from_sequence,
            to_sequence: swapped.to_sequence,
            lacking_indexes,
        })?,
        Format::Table => {
            output::line(format!(
                "{projection}: the model from before the last swap is live again, at sequence {}; what has happened since is \
             applied by whoever runs the projection. The other one is kept: to go back to it, the same again; to remove it: \
             chronicle projection prune {projection}",
                swapped.to_sequence
            ))?;
            if !lacking_indexes.is_empty() {
                output::line(format!(
                    "A migration has made indexes since the swap that this model lacks. Make them; until then queries that use \
                     them are slow: {}",
                    lacking_indexes.join("; ")
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What was removed.
#[derive(Serialize)]
struct Pruned {
    projection: &'static str,
    pruned: bool,
}

pub(super) async fn prune(
    servers: &ServerArguments,
    name: &str,
    reason: Option<&str>,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let definition = definition(name)?;
    let by = reach::operator();
    let projection = definition.name;
    let pruned = retired::prune(&servers.read_model()?, definition, &order(&by, reason))
        .await
        .map_err(|error| copy_failed(servers, error))?;
    if !pruned {
        return Err(exit::no(format!(
            "no earlier model of {projection} is kept; nothing was changed"
        )));
    }
    match output {
        Format::Json => output::json(&Pruned { projection, pruned })?,
        Format::Table => output::line(format!(
            "{projection}: the model from before the last swap is gone"
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}
