//! `chronicle replay`: events of the feed, or of the event store, once more.
//!
//! Reads with a consumer of its own and moves no offset: what runs does not notice, but for a projection that lacked
//! something. Where a replay begins and ends is fixed before it begins. Memory is bounded by what is on its way; whatever
//! ends a replay too early, it says which command goes on.

mod commands;
mod event;
mod event_store;
pub(super) mod feed;
mod go_on;
mod pace;
mod plan;
mod progress;
mod report;
mod target;

use std::io::{self, IsTerminal};
use std::pin::pin;
use std::process::ExitCode;

use async_nats::jetstream::stream::Stream;

use self::event::{Counts, Step};
use self::event_store::StoredEvents;
use self::feed::FeedEvents;
use self::pace::Pace;
use self::plan::{Plan, Source};
use self::progress::Progress;
use self::report::{Report, Route};
use self::target::lines::{Found, Lines, Out, Tail};
use self::target::projection::IntoProjection;
use self::target::subject::Subject;
use self::target::{Destination, Target};
use crate::arguments::{ReplayArguments, ReplayTask};
use crate::exit;
use crate::output::{self, Closed, Format};
use crate::servers_at::ServerArguments;

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &ReplayArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    if let Some(ReplayTask::Commands(arguments)) = &arguments.task {
        return commands::execute(servers, arguments, output).await;
    }
    let destination = Destination::read(&arguments.into)?;
    check(arguments, &destination)?;
    let tail = match &destination {
        Destination::File(path) => Tail::of(path, arguments.resume)?,
        _ => Tail::default(),
    };
    let found = found(&destination, &tail)?;
    let target = Box::pin(open(servers, arguments, &destination)).await?;
    let plan = Box::pin(Plan::make(servers, arguments, found.as_ref())).await?;
    if arguments.dry_run {
        let route = Route::of(arguments, &plan, &destination, target.as_ref());
        report::print_plan(arguments, &plan, route, output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let target = match target {
        Some(Target::Projection(mut projection)) => {
            projection.comes_from(Route::of(arguments, &plan, &destination, None).told());
            Target::Projection(projection)
        }
        Some(target) => target,
        None => Target::Lines(Lines::new(out(
            &destination,
            &tail,
            arguments.rate.is_some(),
        )?)),
    };
    let replay = Replay {
        servers,
        arguments,
        destination,
        plan,
        target,
        counts: Counts::default(),
    };
    Box::pin(replay.run(output)).await
}

/// What the grammar of the flags does not say.
fn check(arguments: &ReplayArguments, destination: &Destination) -> anyhow::Result<()> {
    let is_backwards =
        |from: Option<u64>, to: Option<u64>| from.zip(to).is_some_and(|(a, b)| b < a);
    if is_backwards(arguments.from_sequence, arguments.to_sequence)
        || arguments
            .from_time
            .zip(arguments.to_time)
            .is_some_and(|(from, to)| to < from)
    {
        return Err(exit::usage("the end lies before the beginning"));
    }
    if arguments.resume && !matches!(destination, Destination::File(_)) {
        return Err(exit::usage("--resume is for files"));
    }
    if arguments.reason.is_some() && !matches!(destination, Destination::Projection(_)) {
        return Err(exit::usage(
            "--reason is for projections, whose log keeps it",
        ));
    }
    if arguments.replay_id.is_some() && !matches!(destination, Destination::Subject(_)) {
        return Err(exit::usage("--replay-id is for subjects"));
    }
    Ok(())
}

/// Lines to stdout, or into a file. Slow ones are written one by one, for somebody may be waiting for them.
fn out(destination: &Destination, tail: &Tail, is_slow: bool) -> anyhow::Result<Out> {
    match destination {
        Destination::File(path) => Out::open(Some((path, tail)), is_slow),
        _ => Out::open(None, is_slow),
    }
}

/// What a file has already.
fn found(destination: &Destination, tail: &Tail) -> anyhow::Result<Option<Found>> {
    let (Destination::File(path), Some(line)) = (destination, &tail.line) else {
        return Ok(None);
    };
    Found::read(line).map(Some).ok_or_else(|| {
        exit::usage(format!(
            "the last line of {} is none that a replay has written, so nothing can go on behind it; give another file",
            path.display()
        ))
    })
}

/// The target, if opening it changes nothing.
async fn open(
    servers: &ServerArguments,
    arguments: &ReplayArguments,
    destination: &Destination,
) -> anyhow::Result<Option<Target>> {
    match destination {
        Destination::Stdout | Destination::File(_) => Ok(None),
        Destination::Subject(name) => {
            let replay_id = arguments.replay_id.clone();
            let replay_id = replay_id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
            let subject = Subject::open(servers, name, replay_id).await?;
            Ok(Some(Target::Subject(Box::new(subject))))
        }
        Destination::Projection(name) => {
            let projection = IntoProjection::open(servers, arguments, name).await?;
            Ok(Some(Target::Projection(Box::new(projection))))
        }
    }
}

/// Events as they come.
enum Events<'a> {
    Feed(Box<FeedEvents<'a>>),
    EventStore(Box<StoredEvents<'a>>),
}

impl<'a> Events<'a> {
    async fn open(
        servers: &'a ServerArguments,
        arguments: &'a ReplayArguments,
        source: &Source,
    ) -> anyhow::Result<Self> {
        match source {
            Source::Feed {
                nats,
                stream,
                from,
                through,
            } => {
                let range = (*from, *through);
                let stream = Stream::clone(stream);
                let events = FeedEvents::open(servers, arguments, nats, stream, range).await?;
                Ok(Self::Feed(Box::new(events)))
            }
            Source::EventStore {
                store,
                after,
                through,
            } => {
                let (store, after) = (store.clone(), after.clone());
                let events = StoredEvents::new(servers, arguments, store, after, *through);
                Ok(Self::EventStore(Box::new(events)))
            }
        }
    }

    async fn next(&mut self, counts: &mut Counts, progress: &Progress) -> anyhow::Result<Step> {
        match self {
            Self::Feed(events) => events.next(counts, progress).await,
            Self::EventStore(events) => events.next(counts).await,
        }
    }
}

/// A replay under way.
struct Replay<'a> {
    servers: &'a ServerArguments,
    arguments: &'a ReplayArguments,
    destination: Destination,
    plan: Plan,
    target: Target,
    counts: Counts,
}

impl Replay<'_> {
    async fn run(mut self, output: Format) -> anyhow::Result<ExitCode> {
        let is_shared = self.destination == Destination::Stdout && io::stdout().is_terminal();
        let mut progress = Progress::new(self.plan.units(), "events", is_shared);
        let all = self.replay(&mut progress).await;
        let finished = self.target.finish().await;
        let elapsed = progress.end();
        match (all, finished) {
            (Ok(true), Ok(())) => {
                let route = Route::of(
                    self.arguments,
                    &self.plan,
                    &self.destination,
                    Some(&self.target),
                );
                let report = Report::of(route, &self.target, self.counts, elapsed);
                report.print(&self.destination, output)?;
                Ok(report.exit_code())
            }
            (Ok(false), Ok(())) => Err(self.ended_early(exit::no("interrupted"))),
            (Err(error), _) | (Ok(_), Err(error)) => Err(self.ended_early(error)),
        }
    }

    /// Says how to go on.
    fn ended_early(&self, error: anyhow::Error) -> anyhow::Error {
        if !error.is::<Closed>()
            && let Some(done) = self.target.done()
        {
            let command = go_on::go_on(self.arguments, &self.plan.source, &self.target, done);
            output::say(format!(
                "replayed up to {done}, included. What goes on: {command}"
            ));
        }
        error
    }

    /// Says whether it came to its end.
    async fn replay(&mut self, progress: &mut Progress) -> anyhow::Result<bool> {
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        let mut pace = Pace::new(self.arguments.rate);
        let mut events = Events::open(self.servers, self.arguments, &self.plan.source).await?;
        loop {
            let step = tokio::select! {
                biased;
                interrupted = &mut interrupted => {
                    interrupted?;
                    return Ok(false);
                }
                step = events.next(&mut self.counts, progress) => step?,
            };
            match step {
                Step::Event(replayed) => {
                    tokio::select! {
                        biased;
                        interrupted = &mut interrupted => {
                            interrupted?;
                            return Ok(false);
                        }
                        () = pace.wait() => {}
                    }
                    self.target.write(*replayed).await?;
                    self.counts.replayed += 1;
                }
                Step::Passed => {}
                Step::End => return Ok(true),
            }
            progress.show(self.counts.replayed, self.units_done(&events));
        }
    }

    fn units_done(&self, events: &Events<'_>) -> u64 {
        match (events, &self.plan.source) {
            (Events::Feed(events), Source::Feed { from, .. }) => {
                (events.position() + 1).saturating_sub(*from)
            }
            (Events::EventStore(events), _) => events.read,
            (Events::Feed(_), Source::EventStore { .. }) => 0,
        }
    }
}
