//! `chronicle feed restore --abandon`: a restoration is given up, and the feed goes on without its past.
//!
//! ```text
//! tell the projections ─> close the feed for the restoration, too ─> wait ─> empty it ─> open it
//! ```
//!
//! What was published is removed, for a part of the past looks like all of it. Intake may have to publish the same events
//! again, which NATS must not take for duplicates of what was removed: this is waited for (two minutes at most, by the feed's
//! usual settings). Interrupted anywhere, the feed is closed and
//! says so, or open and done; the command is given again.

use std::process::ExitCode;

use async_nats::jetstream::stream::Stream;
use engine::{Failure, fault};
use serde::Serialize;
use transport::restoring::{self, Restoration};
use transport::streams;

use super::plan::Found;
use super::{adopt, look, to_be_told, told};
use crate::arguments::RestoreArguments;
use crate::commands::reach;
use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// What would be done.
#[derive(Serialize)]
struct Plan {
    feed: Found,
    abandon: bool,
    /// Whether the projections are told to go on with the feed.
    adopt: bool,
}

/// What was done.
#[derive(Serialize)]
struct Answer {
    /// The restoration that was given up.
    restoration: String,
    /// How many of its events were removed.
    events_removed: u64,
    /// The sequence of the next event.
    next_sequence: u64,
    stream_id: String,
    /// The projections that go on with it.
    adopted: Vec<&'static str>,
}

pub(super) async fn execute(
    servers: &ServerArguments,
    arguments: &RestoreArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let nats = reach::nats(servers).await?;
    let failed = |failure: Failure| reach::nats_failed(servers, &failure);
    let found = look(&nats).await.map_err(failed)?;
    let feed = Found::of(found.as_ref());
    let under_way = found.and_then(|stream| Some((restoring::restoration(&stream)?, stream)));
    let Some((restoration, stream)) = under_way else {
        return nothing_to_give_up(&feed, output);
    };
    if arguments.dry_run {
        let adopt = !arguments.no_adopt;
        print_plan(feed, adopt, &restoration, &stream, output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let stream_id = streams::identity(&stream);
    let mut adopted = Vec::new();
    if let Some(pool) = to_be_told(servers, arguments).await? {
        let reason = arguments.reason.as_deref();
        let reason = reason.unwrap_or("the restoration of the feed was given up");
        adopted = adopt(servers, &pool, &stream_id, reason).await?;
    }
    let closed = restoring::close(&nats.jetstream, &stream).await;
    let closed = closed.map_err(failed)?;
    fault::point("after_feed_closed");
    let wait = restoring::remembered_for(&nats.jetstream, &closed).await;
    let wait = wait.map_err(failed)?;
    if !wait.is_zero() {
        output::say(format!(
            "waits {} s until NATS no longer takes for duplicates what intake publishes under the ids of the events that are \
             removed",
            wait.as_secs() + 1
        ));
        tokio::time::sleep(wait).await;
    }
    let emptied = restoring::empty(&nats.jetstream, &closed).await;
    let (events_removed, emptied) = emptied.map_err(failed)?;
    fault::point("after_feed_emptied");
    restoring::forget(&nats.jetstream).await.map_err(failed)?;
    restoring::end(&nats.jetstream, &closed)
        .await
        .map_err(failed)?;
    print(
        &Answer {
            restoration: restoration.id,
            events_removed,
            // Nothing could be published since it was closed.
            next_sequence: emptied.cached_info().state.last_sequence + 1,
            stream_id,
            adopted,
        },
        output,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// A feed that is open has nothing to be given up, perhaps because that has been done.
fn nothing_to_give_up(feed: &Found, output: Format) -> anyhow::Result<ExitCode> {
    match (feed, output) {
        (Found::Open { .. }, Format::Json) => output::json(feed)?,
        (Found::Open { .. }, Format::Table) => {
            output::line("the feed is open: no restoration is under way, and nothing was changed")?;
        }
        _ => {
            return Err(exit::no(
                "there is no feed, so no restoration is under way. Intake makes one when it runs; then tell the projections: \
                 chronicle projection adopt-stream --all",
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_plan(
    feed: Found,
    adopt: bool,
    restoration: &Restoration,
    stream: &Stream,
    output: Format,
) -> anyhow::Result<()> {
    let plan = Plan {
        feed,
        abandon: true,
        adopt,
    };
    if output == Format::Json {
        return output::json(&plan);
    }
    let state = &stream.cached_info().state;
    output::line(format!(
        "gives restoration {} up: removes the {} events that it has published",
        restoration.id, state.messages
    ))?;
    output::line(format!(
        "opens the feed, empty, from sequence {} on: intake goes on, and commands that wait have their outcomes",
        state.last_sequence + 1
    ))?;
    output::line(READERS)?;
    if adopt {
        output::line(PROJECTIONS)?;
    }
    Ok(())
}

/// What it means for who reads the feed.
const READERS: &str = "readers of the feed do without its past; the event store has it: chronicle replay --from-event-store";
const PROJECTIONS: &str = "tells the projections to go on with it: they take what they lack from the event store, and apply nothing twice";

fn print(answer: &Answer, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return output::json(answer);
    }
    output::line(format!(
        "restoration {} was given up: {} events were removed, and the feed is open, empty, from sequence {} on; {}",
        answer.restoration,
        answer.events_removed,
        answer.next_sequence,
        told(&answer.adopted)
    ))?;
    output::line(READERS)
}
