//! `chronicle history`: being written.

use std::process::ExitCode;

use crate::servers_at::ServerArguments; use crate::output::Format; use crate::arguments::HistoryArguments;

pub(crate) async fn execute(servers: &ServerArguments, arguments: &HistoryArguments, output: Format) -> anyhow::Result<ExitCode> {
    let _ = (servers, arguments, output);
    anyhow::bail!("not there yet")
}
