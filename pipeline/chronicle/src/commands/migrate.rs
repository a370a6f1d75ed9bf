//! `chronicle migrate`: being written.

use std::process::ExitCode;

use crate::servers_at::ServerArguments; use crate::arguments::MigrateArguments;

pub(crate) async fn execute(servers: &ServerArguments, arguments: &MigrateArguments) -> anyhow::Result<ExitCode> {
    let _ = (servers, arguments);
    anyhow::bail!("not there yet")
}
