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
use transport::restoring::{self, KEPT, Kept, Restoration};
use transport::{Nats, streams};
use uuid::Uuid;

use super::limits::Limits;
use super::plan::Found;
use super::{adopt, kept, look, to_be_told, told};
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
    /// The feed as which it would be made, by when that was made: one that was removed by a restoration which has died.
    made_as: Option<String>,
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
    /// The feed as which it was made, by when that was made, if the restoration had removed it and made none.
    made_as: Option<String>,
    /// The projections that go on with it.
    adopted: Vec<&'static str>,
}

/// Nothing was done: the feed is open.
#[derive(Serialize)]
struct Open<'a> {
    #[serde(flatten)]
    feed: &'a Found,
    /// What a restoration that has died keeps of a feed that it had removed, if intake has made this one since.
    kept: Option<KeptOf<'a>>,
}

#[derive(Serialize)]
struct KeptOf<'a> {
    made_at: &'a str,
    limits: Limits,
}

pub(super) async fn execute(
    servers: &ServerArguments,
    arguments: &RestoreArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let nats = reach::nats(servers).await?;
    let failed = |failure: Failure| reach::nats_failed(servers, &failure);
    let mut found = look(&nats).await.map_err(failed)?;
    let kept = kept(&nats, found.as_ref()).await.map_err(failed)?;
    let mut made_as = None;
    if let (None, Some(kept)) = (&found, &kept) {
        if arguments.dry_run {
            print_making(kept, !arguments.no_adopt, output)?;
            return Ok(ExitCode::SUCCESS);
        }
        // Before anything is closed: whether they can be told.
        to_be_told(servers, arguments).await?;
        found = Some(make(&nats, kept).await.map_err(failed)?);
        made_as = Some(kept.removed.clone());
    }
    let Some(stream) = found else {
        return Err(exit::no(
            "there is no feed, so no restoration is under way. Intake makes one when it runs; then tell the projections: \
             chronicle projection adopt-stream --all",
        ));
    };
    let Some(restoration) = restoring::restoration(&stream) else {
        if kept.is_none() && !arguments.dry_run {
            // One that died before it had removed this feed.
            restoring::forget(&nats.jetstream).await.map_err(failed)?;
        }
        nothing_to_give_up(&stream, kept.as_ref(), output)?;
        return Ok(ExitCode::SUCCESS);
    };
    if stream.cached_info().config.deny_purge {
        return Err(exit::no(CANNOT_BE_EMPTIED));
    }
    if arguments.dry_run {
        let adopt = !arguments.no_adopt;
        print_plan(adopt, &restoration, &stream, output)?;
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
            made_as,
            adopted,
        },
        output,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What was published cannot be removed: somebody has set this on the feed since it was begun.
const CANNOT_BE_EMPTIED: &str = "the feed forbids that its messages are removed (deny_purge), so the restoration cannot be \
     given up, and nothing was changed. Begin anew: chronicle feed restore --replace; or remove the feed (nats stream rm \
     LEDGER_EVENTS), which intake makes again, and then tell the projections: chronicle projection adopt-stream --all";

/// Makes the feed, closed, as the one was that a restoration has removed. (Unless intake is quicker.)
async fn make(nats: &Nats, kept: &Kept) -> Result<Stream, Failure> {
    let restoration = Restoration {
        id: Uuid::new_v4().to_string(),
        since: None,
        is_abandoned: false,
    };
    restoring::begin(&nats.jetstream, &kept.settings, &restoration).await
}

/// A feed that is open has nothing to be given up, perhaps because that has been done; or because it is one that intake has
/// made, and not the one that was removed.
fn nothing_to_give_up(feed: &Stream, kept: Option<&Kept>, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return output::json(&Open {
            feed: &Found::of(Some(feed)),
            kept: kept.map(|kept| KeptOf {
                made_at: &kept.removed,
                limits: Limits::of(&kept.settings),
            }),
        });
    }
    output::line("the feed is open: no restoration is under way, and nothing was changed")?;
    let Some(kept) = kept else {
        return Ok(());
    };
    output::line(format!(
        "a restoration that died has removed the feed that was made {}, and intake has made this one: it keeps at most {}, and \
         that one kept {}. To make it anew as that one was: chronicle feed restore --replace; to leave it as it is: nats stream \
         rm {KEPT}",
        kept.removed,
        Limits::of(&feed.cached_info().config).told(),
        Limits::of(&kept.settings).told()
    ))
}

fn print_making(kept: &Kept, adopt: bool, output: Format) -> anyhow::Result<()> {
    if output == Format::Json {
        return output::json(&Plan {
            feed: Found::Missing,
            abandon: true,
            made_as: Some(kept.removed.clone()),
            adopt,
        });
    }
    output::line(format!(
        "makes the feed, empty, as the one was that was made {} and that a restoration has removed: it keeps at most {}",
        kept.removed,
        Limits::of(&kept.settings).told()
    ))?;
    consequences(adopt)
}

fn print_plan(
    adopt: bool,
    restoration: &Restoration,
    stream: &Stream,
    output: Format,
) -> anyhow::Result<()> {
    if output == Format::Json {
        return output::json(&Plan {
            feed: Found::of(Some(stream)),
            abandon: true,
            made_as: None,
            adopt,
        });
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
    consequences(adopt)
}

/// What it means for who reads the feed.
fn consequences(adopt: bool) -> anyhow::Result<()> {
    output::line(READERS)?;
    if adopt {
        output::line(PROJECTIONS)?;
    }
    Ok(())
}

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
