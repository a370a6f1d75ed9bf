//! `chronicle dev`: being written.

use std::process::ExitCode;

use crate::servers_at::ServerArguments; use crate::arguments::DevArguments;

pub(crate) async fn execute(servers: &ServerArguments, arguments: &DevArguments) -> anyhow::Result<ExitCode> {
    let _ = (servers, arguments);
    anyhow::bail!("not there yet")
}
