//! `chronicle projection`: where the projections stand, and the two things that an operator can tell them.

mod list;

use std::process::ExitCode;

use ledger::EventId;
use ledger::codec::json;
use serde::Serialize;
use sinks::projection::{self, Adopted, Skip};
use transport::stored::StoredMessages;
use transport::{streams, subjects};

use super::reach;
use crate::arguments::ProjectionTask;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;
use crate::standing::Feed;

pub(crate) async fn execute(
    servers: &ServerArguments,
    task: &ProjectionTask,
    output: Format,
) -> anyhow::Result<ExitCode> {
    match task {
        ProjectionTask::List => list::execute(servers, output).await,
        ProjectionTask::AdoptStream { name, .. } => {
            adopt_stream(servers, name.as_deref(), output).await
        }
        ProjectionTask::Skip {
            name,
            sequence,
            reason,
        } => skip(servers, name, *sequence, reason, output).await,
    }
}

/// The feed as it is now.
async fn feed(servers: &ServerArguments) -> anyhow::Result<Option<Feed>> {
    let nats = reach::nats(servers).await?;
    Feed::look(&nats)
        .await
        .map_err(|failure| reach::nats_failed(servers, &failure))
}

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
async fn adopt_stream(
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
    let mut unknown = Vec::new();
    for projection in names {
        let adopted = projection::adopt_stream(&read_model, projection, &feed.identity)
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

/// A skip as it was recorded.
#[derive(Serialize)]
struct Recorded<'a> {
    projection: &'a str,
    sequence: u64,
    /// The event that the message holds; null when it cannot be read.
    event_id: Option<EventId>,
    reason: &'a str,
    skipped_by: &'a str,
}

async fn skip(
    servers: &ServerArguments,
    name: &str,
    sequence: u64,
    reason: &str,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let projection = known(name)?;
    if reason.trim().is_empty() {
        return Err(exit::usage(
            "a skip needs a reason, for whoever asks later: --reason \"…\"",
        ));
    }
    if sequence == 0 || i64::try_from(sequence).is_err() {
        return Err(exit::usage(format!(
            "{sequence} is no sequence of the feed; the projection's error names it"
        )));
    }
    let read_model = servers.read_model()?;
    let event_id = event_at(servers, sequence).await?;
    let skipped_by = &reach::operator();
    let order = Skip {
        projection,
        sequence,
        event_id,
        reason,
        skipped_by,
    };
    let done = projection::skip(&read_model, &order)
        .await
        .map_err(|error| reach::read_model_failed(servers, &error))?;
    if !done {
        return Err(never_ran(name));
    }
    match output {
        Format::Json => output::json(&Recorded {
            projection,
            sequence,
            event_id,
            reason,
            skipped_by,
        })?,
        Format::Table => {
            let what = event_id.map_or_else(
                || "which holds no event".to_owned(),
                |id| format!("event {id}"),
            );
            output::line(format!(
                "{projection} skips sequence {sequence} ({what}) at its next start: start it again now if it has stopped. \
                 Recorded in projection_skips, by {skipped_by}"
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The event at that sequence of the feed; `None` when what lies there is none. The skip is of this event: after a rewind
/// of the stream another one may stand there.
async fn event_at(servers: &ServerArguments, sequence: u64) -> anyhow::Result<Option<EventId>> {
    let nats = reach::nats(servers).await?;
    let nowhere = || {
        exit::no(format!(
            "the feed {} at {} has no message at sequence {sequence}, so there is nothing to skip; see `chronicle events`",
            streams::EVENTS,
            reach::place(servers.nats_url())
        ))
    };
    streams::existing(&nats.jetstream, streams::EVENTS)
        .await
        .map_err(|failure| reach::nats_failed(servers, &failure))?
        .ok_or_else(nowhere)?;
    let filter = format!("{}.*", subjects::EVENTS);
    let stored = StoredMessages::new(nats.jetstream, streams::EVENTS, &filter, 1);
    let found = stored.at(sequence).await;
    let found = found.map_err(|failure| reach::nats_failed(servers, &failure))?;
    let message = found.ok_or_else(nowhere)?.message;
    Ok(json::decode_event(&message.payload)
        .ok()
        .map(|event| event.event_id))
}

/// The projection of that name; `projection.NAME`, as the pipelines are called, is understood too.
pub(super) fn known(name: &str) -> anyhow::Result<&'static str> {
    let bare = name.strip_prefix("projection.").unwrap_or(name);
    projection::NAMES
        .into_iter()
        .find(|known| *known == bare)
        .ok_or_else(|| {
            exit::usage(format!(
                "there is no projection {name:?}; there are {}",
                projection::NAMES.join(", ")
            ))
        })
}

pub(super) fn never_ran(name: &str) -> anyhow::Error {
    exit::no(format!(
        "projection {name} has never run on this read model; see `chronicle projection list`"
    ))
}
