//! `chronicle describe`: being written.

use std::process::ExitCode;

use crate::output::Format; use crate::arguments::DescribeArguments;

pub(crate) async fn execute(arguments: &DescribeArguments, output: Format) -> anyhow::Result<ExitCode> {
    let _ = (arguments, output);
    anyhow::bail!("not there yet")
}
