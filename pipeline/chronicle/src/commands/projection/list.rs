//! `chronicle projection list`: where each projection stands, and how far it is behind.

use std::process::ExitCode;

use ledger::Timestamp;
use serde::Serialize;
use sinks::projection;
use sqlx::PgPool;

use super::feed;
use crate::commands::reach;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

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

pub(super) async fn execute(servers: &ServerArguments, output: Format) -> anyhow::Result<ExitCode> {
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
    let stored = projection::standings(read_model).await?;
    let mut standings: Vec<Standing> = stored
        .into_iter()
        .map(|stored| Standing {
            projection: stored.projection,
            offset: Some(stored.last_sequence),
            head: None,
            lag_events: None,
            epoch: Some(stored.epoch),
            stream_id: Some(stored.stream_id),
            updated_at: Some(Timestamp::from_date_time(stored.updated_at)),
        })
        .collect();
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
