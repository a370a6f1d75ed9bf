//! `chronicle projection`: where the projections stand, and what an operator can tell them.

mod adopt_stream;
mod copies;
mod digest;
mod list;
mod log;
mod pause;
mod plan;
mod rebuild;
mod rewind;
mod skip;

use std::process::ExitCode;

use sinks::projection::audit::Order;
use sinks::projection::{self, DEFINITIONS, Definition};

use super::reach;
use crate::arguments::ProjectionTask;
use crate::exit;
use crate::output::Format;
use crate::servers_at::ServerArguments;
use crate::standing::Feed;

pub(crate) async fn execute(
    servers: &ServerArguments,
    task: &ProjectionTask,
    output: Format,
) -> anyhow::Result<ExitCode> {
    match task {
        ProjectionTask::List => list::execute(servers, output).await,
        ProjectionTask::Rebuild(arguments) => rebuild::execute(servers, arguments, output).await,
        ProjectionTask::Rollback { name, reason } => {
            copies::roll_back(servers, name, reason.as_deref(), output).await
        }
        ProjectionTask::Prune { name, reason } => {
            copies::prune(servers, name, reason.as_deref(), output).await
        }
        ProjectionTask::Digest(arguments) => digest::execute(servers, arguments, output).await,
        ProjectionTask::Pause { name, reason } => pause::pause(servers, name, reason, output).await,
        ProjectionTask::Resume { name, reason } => {
            pause::resume(servers, name, reason.as_deref(), output).await
        }
        ProjectionTask::Rewind {
            name,
            to_sequence,
            forward,
            execute,
            reason,
        } => {
            let wish = rewind::Wish {
                to: *to_sequence,
                forward: *forward,
                execute: *execute,
                reason: reason.as_deref(),
            };
            rewind::execute(servers, name, &wish, output).await
        }
        ProjectionTask::Log { name, limit } => {
            log::execute(servers, name.as_deref(), *limit, output).await
        }
        ProjectionTask::AdoptStream { name, .. } => {
            adopt_stream::execute(servers, name.as_deref(), output).await
        }
        ProjectionTask::Skip {
            name,
            sequence,
            reason,
        } => skip::execute(servers, name, *sequence, reason, output).await,
    }
}

/// The feed as it is now.
async fn feed(servers: &ServerArguments) -> anyhow::Result<Option<Feed>> {
    let nats = reach::nats(servers).await?;
    Feed::look(&nats)
        .await
        .map_err(|failure| reach::nats_failed(servers, &failure))
}

/// The projection of that name; `projection.NAME`, as the pipelines are called, is understood too.
pub(super) fn known(name: &str) -> anyhow::Result<&'static str> {
    Ok(definition(name)?.name)
}

/// What that projection is.
fn definition(name: &str) -> anyhow::Result<Definition> {
    let bare = name.strip_prefix("projection.").unwrap_or(name);
    DEFINITIONS
        .into_iter()
        .find(|known| known.name == bare)
        .ok_or_else(|| {
            exit::usage(format!(
                "there is no projection {name:?}; there are {}",
                projection::NAMES.join(", ")
            ))
        })
}

pub(super) fn never_ran(name: &str) -> anyhow::Error {
    exit::no(format!(
        "projection {name} has never run on this read model; see `chronicle projection list`"
    ))
}

/// An order of whoever sits at the keyboard.
fn order<'a>(by: &'a str, reason: Option<&'a str>) -> Order<'a> {
    Order { by, reason }
}

/// Nothing can be ordered without a reason here, for whoever asks later.
fn with_reason(reason: &str) -> anyhow::Result<()> {
    if reason.trim().is_empty() {
        return Err(exit::usage(
            "this needs a reason, for whoever asks later: --reason \"…\"",
        ));
    }
    Ok(())
}

/// A copy of a read model could not be worked on.
fn copy_failed(servers: &ServerArguments, error: projection::Error) -> anyhow::Error {
    match error {
        projection::Error::Refused(message) | projection::Error::InUse(message) => {
            exit::no(message)
        }
        projection::Error::Database(error) => reach::read_model_failed(servers, &error),
        rights @ projection::Error::Rights(_) => anyhow::anyhow!(rights),
    }
}
