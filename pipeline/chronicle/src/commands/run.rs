//! `chronicle run`: being written.

use std::process::ExitCode;

use crate::servers_at::ServerArguments; use crate::arguments::RunArguments;

pub(crate) async fn execute(servers: &ServerArguments, arguments: &RunArguments) -> anyhow::Result<ExitCode> {
    let _ = (servers, arguments);
    anyhow::bail!("not there yet")
}
