//! `chronicle projection log`: what operators have ordered.

use std::process::ExitCode;

use ledger::Timestamp;
use serde::Serialize;
use sinks::projection::audit;

use super::known;
use crate::commands::reach;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// One order.
#[derive(Serialize)]
struct Entry {
    at: Timestamp,
    projection: String,
    action: String,
    by: String,
    reason: Option<String>,
    details: serde_json::Value,
}

pub(super) async fn execute(
    servers: &ServerArguments,
    name: Option<&str>,
    limit: u32,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let projection = name.map(known).transpose()?;
    let entries = audit::log(&servers.read_model()?, projection, limit)
        .await
        .map_err(|error| reach::read_model_failed(servers, &error))?;
    let entries = entries.into_iter().map(|entry| Entry {
        at: Timestamp::from_date_time(entry.at),
        projection: entry.projection,
        action: entry.action,
        by: entry.by,
        reason: entry.reason,
        details: entry.details,
    });
    match output {
        Format::Json => {
            for entry in entries {
                output::json(&entry)?;
            }
        }
        Format::Table => {
            let columns = ["at", "projection", "action", "by", "reason", "details"];
            let mut table = output::table(&columns, &[]);
            for entry in entries {
                table.add_row([
                    entry.at.to_string(),
                    entry.projection,
                    entry.action,
                    entry.by,
                    entry.reason.unwrap_or_default(),
                    details(&entry.details),
                ]);
            }
            output::line(table)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `{"from": 1, "to": 2}` as `from 1, to 2`.
fn details(details: &serde_json::Value) -> String {
    let pairs = details.as_object().into_iter().flatten();
    let words: Vec<String> = pairs
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        })
        .collect();
    words.join(", ")
}
