//! `chronicle feed restore`: makes the feed anew from the event store.
//!
//! ```text
//! measure ─> remove the feed ─> make it anew, closed ─> tell the projections ─> publish all events ─> open it
//! ```
//!
//! What does not fit into the feed is not begun with; what was begun goes on as far as there is room. The feed has the limits that the old one had, unless a flag says
//! otherwise (that of a feed that is missing: the environment's).
//! Interrupted anywhere, it goes on when it is begun again: where it is, is in the stream itself.

use std::process::ExitCode;

use async_nats::jetstream::stream::Stream;
use engine::{Failure, RetryClass, fault};
use ledger::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use transport::restoring;
use transport::streams;

use super::limits::Limits;
use super::measure::{Published, measure};
use super::plan::{Found, Plan, being_given_up, still_there};
use super::work::{Work, instant};
use super::{adopt, kept, look, to_be_told, told};
use crate::arguments::{RestoreArguments, Tuning};
use crate::commands::reach;
use crate::exit;
use crate::output::{self, Format};
use crate::rebuild::Progress;
use crate::run;
use crate::servers_at::ServerArguments;

/// What was done.
#[derive(Serialize)]
struct Answer {
    restoration: String,
    /// Whether it went on with one that was interrupted.
    resumed: bool,
    /// How many events this run has published.
    events_published: u64,
    /// The last sequence of the feed.
    last_sequence: u64,
    stream_id: String,
    /// The projections that go on with it.
    adopted: Vec<&'static str>,
    took_ms: u64,
}

pub(super) async fn execute(
    servers: &ServerArguments,
    arguments: &RestoreArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let nats = reach::nats(servers).await?;
    let store = servers.event_store()?;
    let found = look(&nats)
        .await
        .map_err(|failure| reach::nats_failed(servers, &failure))?;
    let changes = arguments.changes();
    let usual = run::limits(&Tuning::of_environment()?);
    let kept = kept(&nats, found.as_ref()).await;
    let kept = kept.map_err(|failure| reach::nats_failed(servers, &failure))?;
    let present = found.as_ref().map(|stream| &stream.cached_info().config);
    let old = kept.as_ref().map(|kept| &kept.settings).or(present);
    let settings = restoring::settings(old, &usual, changes);
    let since = beginning(found.as_ref(), arguments)?;
    let plan = Plan {
        feed: Found::of(found.as_ref()),
        events: 0,
        bytes: 0,
        limits: Limits::of(&settings),
        limits_of: kept.map(|kept| kept.removed),
        fits: true,
        replace: arguments.replace,
        since: since.map(|since| since.to_string()),
        adopt: !arguments.no_adopt,
    };
    if plan.is_blocked() && !arguments.dry_run {
        let messages = found.map_or(0, |stream| stream.cached_info().state.messages);
        return Err(exit::no(still_there(messages)));
    }
    if let Some(given_up) = plan.given_up().filter(|_| !arguments.dry_run) {
        return Err(failed(&Failure::fatal(being_given_up(given_up))));
    }
    let goes_on_from = found.as_ref().filter(|_| plan.goes_on());
    let published = Published::by_now(&nats, goes_on_from).await;
    let published = published.map_err(|failure| failed(&failure))?;
    let mut progress = Progress::shown("feed");
    let amount = measure(&store, published, since, &mut progress).await;
    let plan = plan.of(amount.map_err(|error| reach::event_store_failed(servers, &error))?);
    if arguments.dry_run {
        progress.end();
        plan.print(output)?;
        return Ok(ExitCode::SUCCESS);
    }
    has_room(&plan, &progress)?;
    let work = Work {
        nats: &nats,
        store: &store,
        settings,
        changes,
        arguments,
    };
    // Before anything is removed: whether they can be told.
    let read_model = to_be_told(servers, arguments).await?;
    let began = Instant::now();
    let (stream, restoration) = work
        .begin(found)
        .await
        .map_err(|failure| failed(&failure))?;
    let stream_id = streams::identity(&stream);
    let mut adopted = Vec::new();
    if let Some(pool) = &read_model {
        let reason = arguments.reason.as_deref();
        adopted = adopt(
            servers,
            pool,
            &stream_id,
            reason.unwrap_or("the feed was restored"),
        )
        .await?;
    }
    let resumed_at = stream.cached_info().state.last_sequence;
    progress.stage("restore", Some(plan.events), resumed_at);
    let last_sequence = work
        .publish_all(&restoration, resumed_at, &mut progress)
        .await
        .map_err(|failure| failed(&failure))?;
    fault::point("before_feed_opens");
    restoring::end(&nats.jetstream, &stream)
        .await
        .map_err(|failure| failed(&failure))?;
    progress.end();
    print(
        &Answer {
            restoration: restoration.id,
            resumed: resumed_at > 0,
            events_published: last_sequence - resumed_at,
            last_sequence,
            stream_id,
            adopted,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        },
        output,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// What does not fit is not begun with. What was begun is told, and goes on: it is an estimate.
fn has_room(plan: &Plan, progress: &Progress) -> anyhow::Result<()> {
    if plan.fits {
        return Ok(());
    }
    if plan.goes_on() {
        progress.say(&plan.too_large());
        return Ok(());
    }
    progress.end();
    Err(exit::no(plan.too_large()))
}

/// From when on events are restored: what the flag says, or the restoration that goes on.
fn beginning(
    found: Option<&Stream>,
    arguments: &RestoreArguments,
) -> anyhow::Result<Option<Timestamp>> {
    let restoration = found.and_then(restoring::restoration);
    match restoration.and_then(|restoration| restoration.since) {
        Some(since) if !arguments.replace && arguments.since.is_none() => {
            Ok(Some(instant(&since).map_err(|failure| failed(&failure))?))
        }
        _ => Ok(arguments.since),
    }
}

fn failed(failure: &Failure) -> anyhow::Error {
    match failure.class() {
        RetryClass::Fatal => {
            exit::stopped(format!("the feed was not restored: {}", failure.chain()))
        }
        _ => anyhow::anyhow!(
            "the feed is not whole yet, and what was published is kept. To go on from there, run: chronicle feed restore (with \
             --abandon, to give it up). The reason: {}",
            failure.chain()
        ),
    }
}

fn print(answer: &Answer, output: Format) -> anyhow::Result<()> {
    match output {
        Format::Json => output::json(answer),
        Format::Table => output::line(format!(
            "the feed is whole again: {} events published in {:.1} s, the last sequence is {}; restoration {}; {}",
            answer.events_published,
            answer.took_ms as f64 / 1_000.0,
            answer.last_sequence,
            answer.restoration,
            told(&answer.adopted)
        )),
    }
}
