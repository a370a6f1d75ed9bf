//! `chronicle projection list`: where each projection stands, how far it is behind, and what there is beside it.

use std::process::ExitCode;

use serde::Serialize;
use sinks::projection::{self, retired, shadow};
use sqlx::PgPool;

use super::{copy_failed, feed};
use crate::commands::reach;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;
use crate::standing::{Standing, standings};

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
    if let Some(feed) = &feed {
        for standing in &mut standings {
            standing
                .compare(feed)
                .await
                .map_err(|failure| reach::nats_failed(servers, &failure))?;
            if standing.has_read_another(feed) {
                output::say(format!(
                    "{name} has read another feed than the one that is there now; to go on with it: \
                     chronicle projection adopt-stream {name}",
                    name = standing.projection
                ));
            }
        }
    }
    let mut lines = Vec::with_capacity(standings.len());
    for standing in standings {
        let copies = Copies::look(&read_model, &standing.projection)
            .await
            .map_err(|error| copy_failed(servers, error))?;
        lines.push(Line { standing, copies });
    }
    match output {
        Format::Json => lines.iter().try_for_each(output::json)?,
        Format::Table => print(&lines)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A projection, and what there is of it beside the live model.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    standing: Standing,
    #[serde(flatten)]
    copies: Copies,
}

/// Copies of a read model.
#[derive(Serialize)]
struct Copies {
    /// Events that a copy that is being built has walked over; null when there is none.
    shadow_events: Option<u64>,
    /// Up to which sequence the model has read that is kept for a rollback; null when none is kept.
    retired_sequence: Option<u64>,
}

impl Copies {
    async fn look(pool: &PgPool, projection: &str) -> Result<Self, projection::Error> {
        let shadow = shadow::look(pool, projection).await?;
        Ok(Self {
            shadow_events: shadow.map(|found| found.walked.events),
            retired_sequence: retired::look(pool, projection).await?,
        })
    }

    fn words(&self) -> String {
        let shadow = self
            .shadow_events
            .map(|events| format!("shadow ({events} events)"));
        let retired = self.retired_sequence.map(|_| "retired".to_owned());
        let words: Vec<String> = shadow.into_iter().chain(retired).collect();
        words.join(", ")
    }
}

fn print(lines: &[Line]) -> anyhow::Result<()> {
    let columns = [
        "projection",
        "state",
        "offset",
        "head",
        "lag",
        "seconds",
        "epoch",
        "feed made at",
        "updated at",
        "copies",
    ];
    let mut table = output::table(&columns, &["offset", "head", "lag", "seconds", "epoch"]);
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for Line { standing, copies } in lines {
        let state = match &standing.paused {
            Some(pause) => format!("paused by {}: {}", pause.by, pause.reason),
            None => "-".to_owned(),
        };
        table.add_row([
            standing.projection.clone(),
            state,
            text(standing.offset.map(|offset| offset.to_string())),
            text(standing.head.map(|head| head.to_string())),
            text(standing.lag_events.map(|lag| lag.to_string())),
            text(standing.lag_seconds.map(|lag| format!("{lag:.1}"))),
            text(standing.epoch.map(|epoch| epoch.to_string())),
            text(standing.stream_id.clone()),
            text(standing.updated_at.map(|at| at.to_string())),
            text(Some(copies.words()).filter(|words| !words.is_empty())),
        ]);
    }
    output::line(table)
}
