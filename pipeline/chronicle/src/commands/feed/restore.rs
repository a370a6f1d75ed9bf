//! `chronicle feed restore`: makes the feed anew from the event store.
//!
//! ```text
//! measure ─> remove the feed ─> make it anew, closed ─> tell the projections ─> publish all events ─> open it
//! ```
//!
//! What does not fit into the feed is not begun with. The feed has the limits that the old one had, unless a flag says
//! otherwise (that of a feed that is missing: the environment's).
//! Interrupted anywhere, it goes on when it is begun again: where it is, is in the stream itself.

use std::process::ExitCode;

use async_nats::jetstream::stream::{Config, Stream};
use engine::{Failure, RetryClass, fault};
use ledger::{Event, Timestamp};
use serde::Serialize;
use sinks::RestoredFeed;
use sinks::projection::Pace;
use store::EventStore;
use tokio::time::Instant;
use transport::Nats;
use transport::restoring::{self, Changes, Restoration};
use transport::streams;
use uuid::Uuid;

use super::limits::Limits;
use super::measure::measure;
use super::plan::{Found, Plan, being_given_up, still_there};
use super::{adopt, look, to_be_told, told};
use crate::arguments::{RestoreArguments, Tuning};
use crate::commands::reach;
use crate::exit;
use crate::output::{self, Format};
use crate::rebuild::Progress;
use crate::run;
use crate::servers_at::ServerArguments;

/// How many events are read at a time, and how many bytes of their data.
const EVENTS_AT_A_TIME: u32 = 1_000;
const BYTES_AT_A_TIME: u64 = 4 * 1024 * 1024;
/// How often the feed is removed again that intake has made anew in between.
const REMOVALS_MAX: u32 = 20;

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
    let old = old_settings(&nats, found.as_ref()).await;
    let old = old.map_err(|failure| reach::nats_failed(servers, &failure))?;
    let settings = restoring::settings(old.as_ref(), &usual, changes);
    let since = beginning(found.as_ref(), arguments)?;
    let plan = Plan {
        feed: Found::of(found.as_ref()),
        events: 0,
        bytes: 0,
        limits: Limits::of(&settings),
        fits: true,
        replace: arguments.replace,
        since: since.map(|since| since.to_string()),
        adopt: !arguments.no_adopt,
    };
    if plan.is_blocked() && !arguments.dry_run {
        let messages = found.map_or(0, |stream| stream.cached_info().state.messages);
        return Err(exit::no(still_there(messages)));
    }
    let mut progress = Progress::shown("feed");
    let amount = measure(&store, since, &mut progress).await;
    let plan = plan.of(amount.map_err(|error| reach::event_store_failed(servers, &error))?);
    if arguments.dry_run {
        progress.end();
        plan.print(output)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !plan.fits {
        progress.end();
        return Err(exit::no(plan.too_large()));
    }
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

/// The settings of the feed that is there; or those of the one that was removed by a restoration which died before it had
/// made a new one. (Intake may have made one meanwhile, which is not as that one was.)
async fn old_settings(nats: &Nats, found: Option<&Stream>) -> Result<Option<Config>, Failure> {
    let present = found.map(|stream| stream.cached_info().config.clone());
    if found.and_then(restoring::restoration).is_some() {
        return Ok(present);
    }
    Ok(restoring::kept(&nats.jetstream).await?.or(present))
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

fn instant(text: &str) -> Result<Timestamp, Failure> {
    text.parse().map_err(|error| {
        Failure::fatal(format!(
            "the restoration's own beginning cannot be read: {error}"
        ))
    })
}

/// What a restoration works with.
struct Work<'a> {
    nats: &'a Nats,
    store: &'a EventStore,
    /// Of a feed that is made anew.
    settings: Config,
    /// In what they differ from those of the feed that was found.
    changes: Changes,
    arguments: &'a RestoreArguments,
}

impl Work<'_> {
    /// The feed, closed, and the restoration that it is in: the one that was begun before, unless it is to be replaced.
    async fn begin(&self, found: Option<Stream>) -> Result<(Stream, Restoration), Failure> {
        let jetstream = &self.nats.jetstream;
        let mut found = found;
        if self.arguments.replace
            && let Some(old) = found.take()
        {
            self.make_room(&old).await?;
            restoring::keep(jetstream, &self.settings).await?;
            restoring::remove(jetstream).await?;
            fault::point("after_feed_removed");
        }
        let wanted = Restoration {
            id: Uuid::new_v4().to_string(),
            since: self.arguments.since.map(|since| since.to_string()),
            is_abandoned: false,
        };
        for _ in 0..REMOVALS_MAX {
            let stream = match found.take() {
                Some(stream) => stream,
                None => restoring::begin(jetstream, &self.settings, &wanted).await?,
            };
            match restoring::restoration(&stream) {
                Some(there) if self.arguments.since.is_some() && there.since != wanted.since => {
                    return Err(Failure::fatal(format!(
                        "restoration {} was begun {}; go on without --since, or begin anew with --replace",
                        there.id,
                        there.since.map_or_else(
                            || "with everything".to_owned(),
                            |since| format!("since {since}")
                        )
                    )));
                }
                Some(there) if there.is_abandoned => {
                    return Err(Failure::fatal(being_given_up(&there.id)));
                }
                Some(there) => {
                    restoring::forget(jetstream).await?;
                    let is_as_wanted = self.changes.is_empty() || there.id == wanted.id;
                    let stream = if is_as_wanted {
                        stream
                    } else {
                        restoring::change(jetstream, &stream, self.changes).await?
                    };
                    return Ok((stream, there));
                }
                // Intake was quicker, and has made it as ever: nothing is in it that the event store has not.
                None => restoring::remove(jetstream).await?,
            }
        }
        Err(Failure::retry(
            "the feed is made anew by intake again and again; stop it for this moment",
        ))
    }

    /// Lets the old feed have the room first that the new one is to have: if NATS has none for it, nothing is lost yet.
    async fn make_room(&self, old: &Stream) -> Result<(), Failure> {
        let has = old.cached_info().config.max_bytes;
        let Some(wanted) = self.changes.bytes_max.filter(|max| has > 0 && *max > has) else {
            return Ok(());
        };
        let changes = Changes {
            bytes_max: Some(wanted),
            replicas: None,
        };
        match restoring::change(&self.nats.jetstream, old, changes).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(Failure::fatal(format!(
                "nothing was changed: {}",
                failure.chain()
            ))),
        }
    }

    /// Publishes every event that is not there yet. Answers with the last sequence.
    async fn publish_all(
        &self,
        restoration: &Restoration,
        resumed_at: u64,
        progress: &mut Progress,
    ) -> Result<u64, Failure> {
        let since = restoration.since.as_deref().map(instant).transpose()?;
        let id = restoration.id.clone();
        let (mut feed, mut last) = RestoredFeed::resume(self.nats, id, resumed_at).await?;
        let mut pace = self.arguments.rate.map(Pace::new);
        let at_a_time = match &pace {
            Some(pace) => pace.at_a_time(EVENTS_AT_A_TIME),
            None => EVENTS_AT_A_TIME,
        };
        let mut published = resumed_at;
        loop {
            let after = last
                .as_ref()
                .map(|(account_id, version)| (account_id, *version));
            let read = self
                .store
                .events_after(after, at_a_time, BYTES_AT_A_TIME)
                .await
                .map_err(unreadable)?;
            let Some(newest) = read.last() else {
                feed.flush().await?;
                return Ok(published);
            };
            last = Some((newest.account_id.clone(), newest.version));
            let wanted: Vec<Event> = read
                .into_iter()
                .filter(|event| since.is_none_or(|since| event.recorded_at >= since))
                .collect();
            if let Some(pace) = &mut pace {
                pace.wait(wanted.len()).await;
            }
            feed.publish(&wanted).await?;
            published += wanted.len() as u64;
            progress.reached(published);
            fault::point("in_feed_restoration");
        }
    }
}

/// A row that cannot be read will not be readable the next time either.
fn unreadable(error: store::Error) -> Failure {
    if error.is_transient() {
        Failure::retry("the event store cannot be read").because(error)
    } else {
        Failure::fatal(
            "an event of the event store cannot be read. To let intake go on without the feed's past: chronicle feed restore \
             --abandon",
        )
        .because(error)
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
