//! The whole dataflow of the ledger, on one screen.
//!
//! ```text
//! LEDGER_COMMANDS ─> [intake]  decode ─> validate ─> event_feed ─> outcomes          (one per partition)
//!                                 └──────────┴─> dead_letters
//! LEDGER_EVENTS ──> [projection.NAME]  decode ─> NAME                                (one per read model)
//!                                                              what is new is read and decoded once for all of them
//!                                                              a copy that is being built is fed in the same way
//! holds (read model) ─> [expiry]  expire ─> commands ─> LEDGER_COMMANDS              (the timer)
//! event store ─> [comparison]  compare ─> divergences      (feed and read models with the event store, for ever)
//! ```

use std::num::NonZeroU32;
use std::time::Duration;

use engine::{Batching, Topology};
use operators::{DecodeCommand, DecodeEvent, ExpireHold, Validate};
use sinks::projection::{
    AccountBalance, DailyTotals, Holds, Projection, ProjectionSink, Transactions, Transfers,
};
use sinks::{Commands, Divergences, EventFeed, JetStreamDeadLetters, Outcomes};
use sources::{
    Accounts, DueHolds, FeedTail, JetStreamCommands, JetStreamCommandsConfig, JetStreamEvents, Runs,
};
use sqlx::postgres::PgPool;
use store::{EventStore, WriterOptions};
use tokio_util::sync::CancellationToken;
use transport::Nats;
use transport::streams::Limits;
use uuid::Uuid;

use crate::comparison::Compare;
use crate::metrics::{IntakeCounters, Intakes};
use crate::rebuild::{self, KeepPace};

/// What the names of the pipelines of read models begin with.
const PROJECTION: &str = "projection.";
/// The pipeline that ends holds whose time is over.
const EXPIRY: &str = "expiry";
/// The pipeline that compares everything with the event store.
pub(crate) const COMPARISON: &str = "comparison";

/// Everything that pipelines are made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) nats: Nats,
    /// The newest events, read once for all pipelines that keep up.
    pub(crate) tail: FeedTail,
    pub(crate) store: EventStore,
    pub(crate) store_for_projections: EventStore,
    pub(crate) store_for_comparison: EventStore,
    pub(crate) read_model: PgPool,
    pub(crate) probes: Probes,
    pub(crate) intakes: Intakes,
    pub(crate) partitions: u32,
    pub(crate) credit: usize,
    pub(crate) limits: Limits,
    pub(crate) writer: WriterOptions,
    pub(crate) batching: Batching,
    pub(crate) intake_spacing: Duration,
    pub(crate) projection_spacing: Duration,
    pub(crate) drain_within: Duration,
    /// How many events a second are compared in the background; `None`: none.
    pub(crate) compare_rate: Option<NonZeroU32>,
    /// Of the time, in hundredths, at most.
    pub(crate) compare_percent: u32,
    /// What this process is called where only one may do something.
    pub(crate) process: Uuid,
    /// Whether a projection builds its rows anew when they are of an older definition, or stops.
    pub(crate) renews: bool,
}

impl Parts {
    /// Batches with this distance.
    fn spaced(&self, spacing: Duration) -> Batching {
        Batching {
            spacing,
            ..self.batching.clone()
        }
    }
}

/// Connections that only ask whether a server is there.
#[derive(Clone)]
pub(crate) struct Probes {
    pub(crate) store: EventStore,
    pub(crate) read_model: PgPool,
}

/// From commands to events: one partition.
fn intake(
    parts: &Parts,
    name: &str,
    partition: u32,
    runs: &Runs,
    counters: &IntakeCounters,
) -> Topology {
    let commands = JetStreamCommandsConfig {
        partition,
        partitions: parts.partitions,
        credit: parts.credit,
        limits: parts.limits.clone(),
        runs: runs.clone(),
    };
    Topology::named(name)
        .source(
            "commands",
            JetStreamCommands::new(parts.nats.clone(), commands),
        )
        .batching(parts.spaced(parts.intake_spacing))
        .drain_within(parts.drain_within)
        .then("decode", DecodeCommand)
        .then(
            "validate",
            Validate::new(parts.store.clone(), parts.writer.clone()).counted_by(&counters.commands),
        )
        .into(
            "event_feed",
            EventFeed::new(parts.nats.clone(), parts.limits.clone()).counted_by(&counters.feed),
        )
        .into("outcomes", Outcomes::new(parts.nats.clone()))
        .dead_letters(
            "dead_letters",
            JetStreamDeadLetters::new(parts.nats.clone(), parts.limits.clone()),
        )
        .build()
}

/// From events to one read model.
fn projection<P: Projection + Default>(parts: &Parts, name: &str, runs: &Runs) -> Topology {
    let renew = parts.renews.then(|| rebuild::at_start::<P>(parts));
    let sink = sink(parts, P::default()).renewed_by(renew);
    Topology::named(name)
        .source(
            "events",
            JetStreamEvents::new(parts.nats.clone(), parts.limits.clone())
                .among(runs)
                .sharing(&parts.tail),
        )
        .batching(parts.spaced(parts.projection_spacing))
        .drain_within(parts.drain_within)
        .then("decode", DecodeEvent)
        .into(P::NAME, sink)
        .build()
}

/// The same into a copy that is being built, whose tables the connections of `parts` see; at most `rate` events a second.
pub(crate) fn copy<P: Projection + Default>(
    parts: &Parts,
    name: &str,
    runs: &Runs,
    rate: Option<NonZeroU32>,
) -> Topology {
    let events = Topology::named(name)
        .source(
            "events",
            JetStreamEvents::new(parts.nats.clone(), parts.limits.clone())
                .among(runs)
                .sharing(&parts.tail),
        )
        .batching(parts.spaced(parts.projection_spacing))
        .drain_within(parts.drain_within)
        .then("decode", DecodeEvent);
    match rate {
        Some(rate) => events.then("pace", KeepPace::new(rate)),
        None => events,
    }
    .into(P::NAME, sink(parts, P::default()))
    .build()
}

/// A projection over the connections of `parts`.
pub(crate) fn sink<P: Projection>(parts: &Parts, projection: P) -> ProjectionSink<P> {
    ProjectionSink::new(
        projection,
        parts.nats.clone(),
        parts.limits.clone(),
        &parts.read_model,
        parts.store_for_projections.clone(),
    )
}

/// From holds that are over to the commands that end them.
fn expiry(parts: &Parts) -> Topology {
    Topology::named(EXPIRY)
        .source("due_holds", DueHolds::new(&parts.read_model))
        .batching(parts.batching.clone())
        .drain_within(parts.drain_within)
        .then("expire", ExpireHold)
        .into(
            "commands",
            Commands::new(parts.nats.clone(), parts.partitions, parts.limits.clone()),
        )
        .build()
}

/// From all accounts, one after the other, to what does not agree with the event store.
fn comparison(parts: &Parts, rate: NonZeroU32, shutdown: &CancellationToken) -> Topology {
    let read_model = sinks::read_model::another(&parts.read_model);
    // A step is many accounts already.
    let batching = Batching {
        records_max: 1,
        queue_batches: 1,
        ..parts.batching.clone()
    };
    Topology::named(COMPARISON)
        .source(
            "accounts",
            Accounts::new(parts.store_for_comparison.clone()),
        )
        .batching(batching)
        .drain_within(parts.drain_within)
        .then("compare", Compare::new(parts, &read_model, rate, shutdown))
        .into("divergences", Divergences::new(&read_model, parts.process))
        .build()
}

/// How many of these pipelines read what is new in the feed: with one, there is nothing to share.
pub(crate) fn readers_of_the_feed<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.filter(|name| name.starts_with(PROJECTION)).count()
}

/// How a pipeline is built, each time it is started.
pub(crate) type Build = Box<dyn Fn() -> Topology + Send + Sync>;

/// All pipelines, by name. What may take long in one of them is left undone at `shutdown`.
pub(crate) fn pipelines(parts: &Parts, shutdown: &CancellationToken) -> Vec<(String, Build)> {
    let mut pipelines: Vec<(String, Build)> = (0..parts.partitions)
        .map(|partition| {
            let name = match parts.partitions {
                1 => "intake".to_owned(),
                _ => format!("intake.{partition}"),
            };
            let (parts, own_name, runs) = (parts.clone(), name.clone(), Runs::default());
            let counters = parts.intakes.of(&name);
            let build: Build =
                Box::new(move || intake(&parts, &own_name, partition, &runs, &counters));
            (name, build)
        })
        .collect();
    pipelines.push(of::<AccountBalance>(parts));
    pipelines.push(of::<Transactions>(parts));
    pipelines.push(of::<Transfers>(parts));
    pipelines.push(of::<Holds>(parts));
    pipelines.push(of::<DailyTotals>(parts));
    let own_parts = parts.clone();
    let build: Build = Box::new(move || expiry(&own_parts));
    pipelines.push((EXPIRY.to_owned(), build));
    if let Some(rate) = parts.compare_rate {
        let (own_parts, shutdown) = (parts.clone(), shutdown.clone());
        let build: Build = Box::new(move || comparison(&own_parts, rate, &shutdown));
        pipelines.push((COMPARISON.to_owned(), build));
    }
    pipelines
}

fn of<P: Projection + Default>(parts: &Parts) -> (String, Build) {
    let name = format!("{PROJECTION}{}", P::NAME);
    let (parts, own_name, runs) = (parts.clone(), name.clone(), Runs::default());
    (
        name,
        Box::new(move || projection::<P>(&parts, &own_name, &runs)),
    )
}
