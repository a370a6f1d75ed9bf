//! `chronicle projection skip`: lets a projection pass over one message of the feed.

use std::process::ExitCode;

use ledger::EventId;
use operators::NoEvent;
use serde::Serialize;
use sinks::projection::{self, Skip};
use transport::stored::StoredMessages;
use transport::{streams, subjects};

use super::{known, never_ran, order, with_reason};
use crate::commands::reach;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// A skip as it was recorded.
#[derive(Serialize)]
struct Recorded<'a> {
    projection: &'a str,
    sequence: u64,
    /// The event that the message holds; null when it is no event, or not the one that it says it is.
    event_id: Option<EventId>,
    reason: &'a str,
    skipped_by: &'a str,
}

pub(super) async fn execute(
    servers: &ServerArguments,
    name: &str,
    sequence: u64,
    reason: &str,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let projection = known(name)?;
    with_reason(reason)?;
    if sequence == 0 || i64::try_from(sequence).is_err() {
        return Err(exit::usage(format!(
            "{sequence} is no sequence of the feed; the projection's error names it"
        )));
    }
    let read_model = servers.read_model()?;
    let event_id = event_at(servers, sequence).await?;
    let skipped_by = &reach::operator();
    let skip = Skip {
        projection,
        sequence,
        event_id,
        order: order(skipped_by, Some(reason)),
    };
    let done = projection::skip(&read_model, &skip)
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

/// The event at that sequence of the feed, if a projection takes it for one. The skip is of this event then: after a rewind
/// of the stream another one may stand there. An event that takes a newer program is refused: its rows would be missing for
/// good, and upgrading is what helps.
async fn event_at(servers: &ServerArguments, sequence: u64) -> anyhow::Result<Option<EventId>> {
    let nats = reach::nats(servers).await?;
    let nowhere = || {
        exit::no(format!(
            "the feed {} at {} has no message at sequence {sequence}, so there is nothing to skip; see `chronicle events`",
            streams::EVENTS,
            reach::place(servers.nats_url())
        ))
    };
    let feed = streams::existing(&nats.jetstream, streams::EVENTS)
        .await
        .map_err(|failure| reach::nats_failed(servers, &failure))?
        .ok_or_else(nowhere)?;
    reach::whole(&feed)?;
    let filter = format!("{}.*", subjects::EVENTS);
    let stored = StoredMessages::new(nats.jetstream, streams::EVENTS, &filter, 1);
    let found = stored.at(sequence).await;
    let found = found.map_err(|failure| reach::nats_failed(servers, &failure))?;
    let message = found.ok_or_else(nowhere)?.message;
    match operators::event_in(&message) {
        Ok(event) => Ok(Some(event.event_id)),
        Err(NoEvent::Malformed(_) | NoEvent::Damaged(_)) => Ok(None),
        Err(NoEvent::TooNew(reason)) => Err(exit::no(format!(
            "sequence {sequence} ({}) is not skipped, for it is an event: {reason}",
            message.subject
        ))),
    }
}
