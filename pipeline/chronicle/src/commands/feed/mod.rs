//! `chronicle feed`: the feed as a whole.

mod plan;
mod restore;

use std::process::ExitCode;

use crate::arguments::FeedTask;
use crate::output::Format;
use crate::servers_at::ServerArguments;

pub(crate) async fn execute(
    servers: &ServerArguments,
    task: &FeedTask,
    output: Format,
) -> anyhow::Result<ExitCode> {
    match task {
        FeedTask::Restore(arguments) => restore::execute(servers, arguments, output).await,
    }
}
