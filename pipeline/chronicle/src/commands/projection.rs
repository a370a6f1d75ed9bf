//! `chronicle projection`: where the projections stand, and the two things that an operator can tell them.

use std::process::ExitCode;

use ledger::Timestamp;
use serde::Serialize;
use sinks::projection::{self, Adopted};
use sqlx::{PgPool, Row};
use time::OffsetDateTime;
use transport::streams;

use super::reach;
use crate::arguments::ProjectionTask;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

pub(crate) async fn execute(
    servers: &ServerArguments,
    task: &ProjectionTask,
    output: Format,
) -> anyhow::Result<ExitCode> {
    match task {
        ProjectionTask::List => list(servers, output).await,
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

/// Where a projection stands.
#[derive(Debug, Serialize)]
struct Standing {
    projection: String,
    /// The last sequence of the feed that it has applied; null when it has never run.
    offset: Option<u64>,
    /// The last sequence of the feed; null when NATS cannot be asked, or when the projection has read another feed.
    head: Option<u64>,
    /// How many messages of the feed it has not applied.
    lag_events: Option<u64>,
    /// How often it was started.
    epoch: Option<i64>,
    /// Which life of the feed it has read.
    stream_id: Option<String>,
    updated_at: Option<Timestamp>,
}

/// The feed as it is now.
struct Feed {
    identity: String,
    head: u64,
}

async fn list(servers: &ServerArguments, output: Format) -> anyhow::Result<ExitCode> {
    let read_model = servers.read_model()?;
    let mut standings = standings(&read_model)
        .await
        .map_err(|error| reach::read_model_failed(servers, &error))?;
    let feed = match feed(servers).await {
        Ok(feed) => feed,
        Err(error) => {
            output::say(format!("the head of the feed is not known: {error}"));
            None
        }
    };
    for standing in &mut standings {
        if let (Some(feed), Some(offset)) = (&feed, standing.offset) {
            if standing.stream_id.as_ref() == Some(&feed.identity) {
                standing.head = Some(feed.head);
                standing.lag_events = Some(feed.head.saturating_sub(offset));
            } else {
                output::say(format!(
                    "{name} has read another feed than the one that is there now; to go on with it: \
                     chronicle projection adopt-stream {name}",
                    name = standing.projection
                ));
            }
        }
    }
    match output {
        Format::Json => standings.iter().try_for_each(output::json)?,
        Format::Table => print(&standings)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print(standings: &[Standing]) -> anyhow::Result<()> {
    let columns = [
        "projection",
        "offset",
        "head",
        "lag",
        "epoch",
        "feed made at",
        "updated at",
    ];
    let mut table = output::table(&columns, &["offset", "head", "lag", "epoch"]);
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for standing in standings {
        table.add_row([
            standing.projection.clone(),
            text(standing.offset.map(|offset| offset.to_string())),
            text(standing.head.map(|head| head.to_string())),
            text(standing.lag_events.map(|lag| lag.to_string())),
            text(standing.epoch.map(|epoch| epoch.to_string())),
            text(standing.stream_id.clone()),
            text(standing.updated_at.map(|at| at.to_string())),
        ]);
    }
    output::line(table)
}

/// Every projection that exists or has a row, by name.
async fn standings(read_model: &PgPool) -> Result<Vec<Standing>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT projection, stream_id, epoch, last_sequence, updated_at FROM projection_offsets",
    )
    .fetch_all(read_model)
    .await?;
    let mut standings = Vec::with_capacity(rows.len());
    for row in rows {
        let offset: i64 = row.try_get("last_sequence")?;
        let updated_at: OffsetDateTime = row.try_get("updated_at")?;
        standings.push(Standing {
            projection: row.try_get("projection")?,
            offset: u64::try_from(offset).ok(),
            head: None,
            lag_events: None,
            epoch: row.try_get("epoch")?,
            stream_id: row.try_get("stream_id")?,
            updated_at: Some(Timestamp::from_date_time(updated_at)),
        });
    }
    for name in projection::NAMES {
        if !standings.iter().any(|standing| standing.projection == name) {
            standings.push(Standing {
                projection: name.to_owned(),
                offset: None,
                head: None,
                lag_events: None,
                epoch: None,
                stream_id: None,
                updated_at: None,
            });
        }
    }
    standings.sort_by(|left, right| left.projection.cmp(&right.projection));
    Ok(standings)
}

async fn feed(servers: &ServerArguments) -> anyhow::Result<Option<Feed>> {
    let nats = reach::nats(servers).await?;
    let stream = streams::existing(&nats.jetstream, streams::EVENTS)
        .await
        .map_err(|failure| reach::nats_failed(servers, &failure))?;
    Ok(stream.map(|stream| Feed {
        identity: streams::identity(&stream),
        head: stream.cached_info().state.last_sequence,
    }))
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
struct Skip<'a> {
    projection: &'a str,
    sequence: u64,
    reason: &'a str,
    skipped_by: String,
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
    let skipped_by = reach::operator();
    let done = projection::skip(&read_model, projection, sequence, reason, &skipped_by)
        .await
        .map_err(|error| reach::read_model_failed(servers, &error))?;
    if !done {
        return Err(never_ran(name));
    }
    match output {
        Format::Json => output::json(&Skip {
            projection,
            sequence,
            reason,
            skipped_by,
        })?,
        Format::Table => output::line(format!(
            "{projection} skips sequence {sequence} at its next start (recorded in projection_skips, by {skipped_by}): start \
             it again now if it has stopped"
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The projection of that name; `projection.NAME`, as the pipelines are called, is understood too.
fn known(name: &str) -> anyhow::Result<&'static str> {
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

fn never_ran(name: &str) -> anyhow::Error {
    exit::no(format!(
        "projection {name} has never run on this read model; see `chronicle projection list`"
    ))
}
