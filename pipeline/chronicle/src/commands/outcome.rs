//! `chronicle outcome`: being written.

use std::process::ExitCode;

use crate::servers_at::ServerArguments; use crate::output::Format; use ledger::CommandId;

pub(crate) async fn execute(servers: &ServerArguments, command_id: CommandId, output: Format) -> anyhow::Result<ExitCode> {
    let _ = (servers, command_id, output);
    anyhow::bail!("not there yet")
}
