//! `chronicle projection pause` and `resume`: lets a projection rest, and go on.

use std::process::ExitCode;

use serde::Serialize;
use sinks::projection::orders::{self, Done};

use super::{known, never_ran, order, with_reason};
use crate::commands::reach;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// How it is now.
#[derive(Serialize)]
struct Answer<'a> {
    projection: &'a str,
    paused: bool,
    /// Whether that is new.
    changed: bool,
}

pub(super) async fn pause(
    servers: &ServerArguments,
    name: &str,
    reason: &str,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let projection = known(name)?;
    with_reason(reason)?;
    let by = reach::operator();
    let done = orders::pause(
        &servers.read_model()?,
        projection,
        &order(&by, Some(reason)),
    )
    .await
    .map_err(|error| reach::read_model_failed(servers, &error))?;
    say(name, done, true, output)
}

pub(super) async fn resume(
    servers: &ServerArguments,
    name: &str,
    reason: Option<&str>,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let projection = known(name)?;
    let by = reach::operator();
    let done = orders::resume(&servers.read_model()?, projection, &order(&by, reason))
        .await
        .map_err(|error| reach::read_model_failed(servers, &error))?;
    say(name, done, false, output)
}

fn say(name: &str, done: Done, paused: bool, output: Format) -> anyhow::Result<ExitCode> {
    let projection = known(name)?;
    let changed = match done {
        Done::Unknown => return Err(never_ran(name)),
        Done::Already => false,
        Done::Changed => true,
    };
    match output {
        Format::Json => output::json(&Answer {
            projection,
            paused,
            changed,
        })?,
        Format::Table => output::line(match (paused, changed) {
            (true, true) => format!(
                "{projection} is paused from its next commit on, and stays so when it is restarted. Its read model stands \
                 still; to go on: chronicle projection resume {projection}"
            ),
            (true, false) => format!("{projection} was paused already; nothing was changed"),
            (false, true) => format!("{projection} goes on within a second or two"),
            (false, false) => format!("{projection} was not paused; nothing was changed"),
        })?,
    }
    Ok(ExitCode::SUCCESS)
}
