//! `chronicle feed restore`: makes the feed anew from the event store.
//!
//! ```text
//! remove the feed ─> make it anew, closed ─> tell the projections ─> publish all events ─> open it
//! ```
//!
//! Interrupted anywhere, it goes on when it is begun again: where it is, is in the stream itself.

use std::process::ExitCode;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use engine::{Failure, RetryClass, fault};
use ledger::{Event, Timestamp};
use serde::Serialize;
use sinks::RestoredFeed;
use sinks::projection::audit::Order;
use sinks::projection::{self, Adopted, Pace};
use store::EventStore;
use tokio::time::Instant;
use transport::Nats;
use transport::restoring::{self, Restoration};
use transport::streams::{self, Limits};
use uuid::Uuid;

use super::plan::{Found, Plan, still_there};
use crate::arguments::RestoreArguments;
use crate::commands::reach;
use crate::exit;
use crate::output::{self, Format};
use crate::rebuild::Progress;
use crate::run;
use crate::servers_at::ServerArguments;

/// How many events are read at a time, and how many bytes of their data.
const EVENTS_AT_A_TIME: u32 = 1_000;
const BYTES_AT_A_TIME: u64 = 4 * 1024 * 1024;
/// How long the events may take to be counted.
const COUNT_WITHIN: Duration = Duration::from_secs(20);
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
    let plan = Plan {
        feed: Found::of(found.as_ref()),
        events: total(&store).await,
        replace: arguments.replace,
        since: arguments.since.map(|since| since.to_string()),
        adopt: !arguments.no_adopt,
    };
    if arguments.dry_run {
        plan.print(output)?;
        return Ok(ExitCode::SUCCESS);
    }
    if plan.is_blocked() {
        let messages = found.map_or(0, |stream| stream.cached_info().state.messages);
        return Err(exit::no(still_there(messages)));
    }
    let work = Work {
        nats: &nats,
        store: &store,
        limits: run::limits(&arguments.tuning),
        arguments,
    };
    // Before anything is removed: whether they can be told.
    let read_model = if arguments.no_adopt {
        None
    } else {
        Some(servers.read_model()?)
    };
    if let Some(pool) = &read_model {
        projection::standings(pool)
            .await
            .map_err(|error| reach::read_model_failed(servers, &error))?;
    }
    let began = Instant::now();
    let (stream, restoration) = work
        .begin(found)
        .await
        .map_err(|failure| failed(&failure))?;
    let stream_id = streams::identity(&stream);
    let mut adopted = Vec::new();
    if let Some(pool) = &read_model {
        adopted = adopt(servers, pool, &stream_id, arguments.reason.as_deref()).await?;
    }
    let resumed_at = stream.cached_info().state.last_sequence;
    let mut progress = Progress::shown("feed");
    progress.stage("restore", plan.events, resumed_at);
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

async fn look(nats: &Nats) -> Result<Option<Stream>, Failure> {
    streams::existing(&nats.jetstream, streams::EVENTS).await
}

async fn total(store: &EventStore) -> Option<u64> {
    tokio::time::timeout(COUNT_WITHIN, store.events_total())
        .await
        .ok()?
        .ok()
}

/// What a restoration works with.
struct Work<'a> {
    nats: &'a Nats,
    store: &'a EventStore,
    limits: Limits,
    arguments: &'a RestoreArguments,
}

impl Work<'_> {
    /// The feed, closed, and the restoration that it is in: the one that was begun before, unless it is to be replaced.
    async fn begin(&self, found: Option<Stream>) -> Result<(Stream, Restoration), Failure> {
        let jetstream = &self.nats.jetstream;
        let mut found = found;
        if self.arguments.replace && found.is_some() {
            restoring::remove(jetstream).await?;
            fault::point("after_feed_removed");
            found = None;
        }
        let wanted = Restoration {
            id: Uuid::new_v4().to_string(),
            since: self.arguments.since.map(|since| since.to_string()),
        };
        for _ in 0..REMOVALS_MAX {
            let stream = match found.take() {
                Some(stream) => stream,
                None => restoring::begin(jetstream, &self.limits, &wanted).await?,
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
                Some(there) => return Ok((stream, there)),
                // Intake was quicker, and has made it as ever: nothing is in it that the event store has not.
                None => restoring::remove(jetstream).await?,
            }
        }
        Err(Failure::retry(
            "the feed is made anew by intake again and again; stop it for this moment",
        ))
    }

    /// Publishes every event that is not there yet. Answers with the last sequence.
    async fn publish_all(
        &self,
        restoration: &Restoration,
        resumed_at: u64,
        progress: &mut Progress,
    ) -> Result<u64, Failure> {
        let since: Option<Timestamp> = match &restoration.since {
            Some(text) => Some(text.parse().map_err(|error| {
                Failure::fatal(format!(
                    "the restoration's own beginning cannot be read: {error}"
                ))
            })?),
            None => None,
        };
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
            "an event of the event store cannot be read. To do without a restored feed until it can be, remove the one that \
             was begun (nats stream rm LEDGER_EVENTS), and run: chronicle projection adopt-stream --all",
        )
        .because(error)
    }
}

/// Tells every projection that has ever run to go on with the new feed, before it is opened: until then they only wait.
async fn adopt(
    servers: &ServerArguments,
    pool: &sqlx::PgPool,
    stream_id: &str,
    reason: Option<&str>,
) -> anyhow::Result<Vec<&'static str>> {
    let by = reach::operator();
    let order = Order {
        by: &by,
        reason: reason.or(Some("the feed was restored")),
    };
    let mut adopted = Vec::new();
    for name in projection::NAMES {
        let done = projection::adopt_stream(pool, name, stream_id, &order)
            .await
            .map_err(|error| reach::read_model_failed(servers, &error))?;
        if !matches!(done, Adopted::Unknown) {
            adopted.push(name);
        }
    }
    Ok(adopted)
}

fn failed(failure: &Failure) -> anyhow::Error {
    match failure.class() {
        RetryClass::Fatal => {
            exit::stopped(format!("the feed was not restored: {}", failure.chain()))
        }
        _ => anyhow::anyhow!(
            "the feed is not whole yet, and what was published is kept. To go on from there, run: chronicle feed restore. \
             The reason: {}",
            failure.chain()
        ),
    }
}

fn print(answer: &Answer, output: Format) -> anyhow::Result<()> {
    match output {
        Format::Json => output::json(answer),
        Format::Table => {
            let adopted = match &answer.adopted[..] {
                [] => "no projection was told of it".to_owned(),
                names => format!(
                    "{} go on with it; start them if they have stopped",
                    names.join(", ")
                ),
            };
            output::line(format!(
                "the feed is whole again: {} events published in {:.1} s, the last sequence is {}; restoration {}; {adopted}",
                answer.events_published,
                answer.took_ms as f64 / 1_000.0,
                answer.last_sequence,
                answer.restoration
            ))
        }
    }
}
