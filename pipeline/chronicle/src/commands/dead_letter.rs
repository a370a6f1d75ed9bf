//! `chronicle dead-letter`: being written.

use std::process::ExitCode;

use crate::servers_at::ServerArguments; use crate::output::Format; use crate::arguments::DeadLetterTask;

pub(crate) async fn execute(servers: &ServerArguments, task: &DeadLetterTask, output: Format) -> anyhow::Result<ExitCode> {
    let _ = (servers, task, output);
    anyhow::bail!("not there yet")
}
