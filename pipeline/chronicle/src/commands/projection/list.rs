//! `chronicle projection list`: where each projection stands, and how far it is behind.

use std::process::ExitCode;

use super::feed;
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
        "seconds",
        "epoch",
        "feed made at",
        "updated at",
    ];
    let mut table = output::table(&columns, &["offset", "head", "lag", "seconds", "epoch"]);
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    for standing in standings {
        table.add_row([
            standing.projection.clone(),
            text(standing.offset.map(|offset| offset.to_string())),
            text(standing.head.map(|head| head.to_string())),
            text(standing.lag_events.map(|lag| lag.to_string())),
            text(standing.lag_seconds.map(|lag| format!("{lag:.1}"))),
            text(standing.epoch.map(|epoch| epoch.to_string())),
            text(standing.stream_id.clone()),
            text(standing.updated_at.map(|at| at.to_string())),
        ]);
    }
    output::line(table)
}
