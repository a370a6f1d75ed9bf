//! `chronicle history`: an account's events, oldest first, page by page.

use std::process::ExitCode;

use ledger::codec::json;
use ledger::{Event, Version};
use serde_json::value::RawValue;

use super::rows::{Column, Rows, description, signed_amount};
use super::{account, reach};
use crate::arguments::HistoryArguments;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// How many events are read at a time.
const PAGE: u32 = 500;

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &HistoryArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let store = servers.event_store()?;
    let failed = |error| reach::event_store_failed(servers, &error);
    let mut rows = Rows::new([
        Column::Right("version"),
        Column::Left("time"),
        Column::Left("type"),
        Column::Right("amount"),
        Column::Right("balance"),
        Column::Right("held"),
        Column::Left("currency"),
        Column::Left("counterparty"),
        Column::Left("command"),
        Column::Left("description"),
    ]);
    let mut after = Version::new(arguments.after_version);
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    let mut shown = 0_u64;
    while left > 0 {
        let page = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let events = store
            .history(&arguments.account_id, after, page)
            .await
            .map_err(failed)?;
        for event in &events {
            match output {
                Format::Json => output::json(&document(event)?)?,
                Format::Table => rows.push(cells(event))?,
            }
            after = event.version;
            shown += 1;
            left -= 1;
        }
        if events.len() < page as usize {
            break;
        }
    }
    rows.flush()?;
    if shown == 0 {
        // Nothing to show may mean that there is no such account.
        let Some(known) = store.account(&arguments.account_id).await.map_err(failed)? else {
            return Err(account::unknown(servers, &arguments.account_id));
        };
        output::say(format!(
            "account {} has no events behind version {}; its newest is {}",
            known.account_id, arguments.after_version, known.version
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// An event exactly as it is on the wire: its canonical JSON, whose hash can be checked.
pub(super) fn document(event: &Event) -> anyhow::Result<Box<RawValue>> {
    Ok(RawValue::from_string(String::from_utf8(
        json::encode_event(event),
    )?)?)
}

fn cells(event: &Event) -> [String; 10] {
    let counterparty = event
        .data
        .transfer()
        .map(|leg| leg.counterparty_account_id.to_string());
    [
        event.version.to_string(),
        event.recorded_at.to_string(),
        event.data.type_name().to_owned(),
        signed_amount(event),
        event.balance_after.to_string(),
        event.held_after.to_string(),
        event.currency().to_string(),
        counterparty.unwrap_or_default(),
        match event.part {
            Some(part) => format!("{} commands[{part}]", event.command_id),
            None => event.command_id.to_string(),
        },
        description(event),
    ]
}
