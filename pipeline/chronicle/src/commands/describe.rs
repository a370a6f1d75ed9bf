//! `chronicle describe`: the dataflow as it is wired, without a server in reach.

use std::process::ExitCode;

use engine::Format as PictureFormat;
use tokio_util::sync::CancellationToken;

use crate::arguments::{DescribeArguments, Picture};
use crate::output::{self, Format};
use crate::run::{self, Urls};
use crate::topology;

/// Nobody need be there: describing waits for no server.
const NOWHERE: Urls<'static> = Urls {
    nats: "nats://127.0.0.1:4222",
    event_store: "postgres://127.0.0.1/event_store",
    read_model: "postgres://127.0.0.1/read_model",
};

pub(crate) async fn execute(
    arguments: &DescribeArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let parts = run::parts(&NOWHERE, &arguments.tuning).await?;
    let descriptions: Vec<engine::Description> =
        topology::pipelines(&parts, &CancellationToken::new())
            .iter()
            .map(|(_, build)| build().describe())
            .collect();
    let form = match (arguments.form, output) {
        (Some(Picture::Text), _) | (None, Format::Table) => PictureFormat::Text,
        (Some(Picture::Dot), _) => PictureFormat::Dot,
        (Some(Picture::Mermaid), _) => PictureFormat::Mermaid,
        (Some(Picture::Json), _) | (None, Format::Json) => PictureFormat::Json,
    };
    output::line(engine::render(&descriptions, form).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
