//! `chronicle status`: being written.

use std::process::ExitCode;

use crate::servers_at::ServerArguments; use crate::output::Format;

pub(crate) async fn execute(servers: &ServerArguments, output: Format) -> anyhow::Result<ExitCode> {
    let _ = (servers, output);
    anyhow::bail!("not there yet")
}
