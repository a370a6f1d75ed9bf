//! `chronicle projection adopt-stream`: goes on with a feed that was lost and made anew.

use std::process::ExitCode;

use serde::Serialize;
use sinks::projection::{self, Adopted};
use transport::streams;

use super::{feed, known, never_ran, order};
use crate::commands::reach;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// What became of one projection.
#[derive(Serialize)]
struct AdoptedAnswer<'a> {
    projection: &'a str,
    /// Whether anything was changed.
    adopted: bool,
    stream_id: &'a str,
    /// Which life of the feed it had read before.
    before: Option<String>,
}

/// One projection, or all (`None`).
pub(super) async fn execute(
    servers: &ServerArguments,
    name: Option<&str>,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let names = match name {
        Some(name) => vec![known(name)?],
        None => projection::NAMES.to_vec(),
    };
    let feed = feed(servers).await?.ok_or_else(|| {
        exit::no(format!(
            "there is no feed {} at {} to adopt; start the pipelines first (`chronicle run` or `chronicle dev`)",
            streams::EVENTS,
            reach::place(servers.nats_url())
        ))
    })?;
    let read_model = servers.read_model()?;
    let by = reach::operator();
    let mut unknown = Vec::new();
    for projection in names {
        let order = order(&by, None);
        let adopted = projection::adopt_stream(&read_model, projection, &feed.identity, &order)
            .await
            .map_err(|error| reach::read_model_failed(servers, &error))?;
        let (before, said) = match adopted {
            Adopted::Unknown => {
                unknown.push(projection);
                continue;
            }
            Adopted::Already => (
                None,
                format!("{projection} reads this feed already; nothing was changed"),
            ),
            Adopted::Moved { from } => {
                let said = format!(
                    "{projection} goes on with the feed made {}, and makes up for what is missing from the event store. If \
                     it has stopped, start it again",
                    feed.identity
                );
                (Some(from), said)
            }
        };
        match output {
            Format::Table => output::line(said)?,
            Format::Json => output::json(&AdoptedAnswer {
                projection,
                adopted: before.is_some(),
                stream_id: &feed.identity,
                before,
            })?,
        }
    }
    match (name, unknown.as_slice()) {
        (_, []) => Ok(ExitCode::SUCCESS),
        (Some(name), _) => Err(never_ran(name)),
        (None, never) => {
            output::say(format!(
                "never run, so nothing to adopt for: {}",
                never.join(", ")
            ));
            Ok(ExitCode::SUCCESS)
        }
    }
}
