//! `chronicle projection digest`: a number for the rows of a read model.

use std::process::ExitCode;

use serde::Serialize;
use sinks::projection::digest::{self, TableDigest, Which};

use super::{copy_failed, definition};
use crate::arguments::DigestArguments;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

#[derive(Serialize)]
struct Answer {
    projection: &'static str,
    copy: &'static str,
    tables: Vec<TableDigest>,
}

pub(super) async fn execute(
    servers: &ServerArguments,
    arguments: &DigestArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let definition = definition(&arguments.name)?;
    let (which, copy) = match (arguments.shadow, arguments.retired) {
        (true, _) => (Which::Shadow, "shadow"),
        (_, true) => (Which::Retired, "retired"),
        _ => (Which::Live, "live"),
    };
    let tables = digest::digest(&servers.read_model()?, definition, which)
        .await
        .map_err(|error| copy_failed(servers, error))?;
    let tables = tables.ok_or_else(|| {
        exit::no(format!(
            "there is no {copy} copy of {}; see `chronicle projection list`",
            definition.name
        ))
    })?;
    match output {
        Format::Json => output::json(&Answer {
            projection: definition.name,
            copy,
            tables,
        })?,
        Format::Table => {
            let mut table = output::table(&["table", "rows", "digest"], &["rows"]);
            for digest in tables {
                table.add_row([
                    digest.table.to_owned(),
                    digest.rows.to_string(),
                    digest.digest,
                ]);
            }
            output::line(table)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
