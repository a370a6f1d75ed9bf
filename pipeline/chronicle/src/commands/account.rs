//! `chronicle account`: being written.

use std::process::ExitCode;

use crate::servers_at::ServerArguments; use crate::output::Format; use ledger::AccountId;

pub(crate) async fn execute(servers: &ServerArguments, account_id: &AccountId, output: Format) -> anyhow::Result<ExitCode> {
    let _ = (servers, account_id, output);
    anyhow::bail!("not there yet")
}
