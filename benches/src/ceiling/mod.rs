//! The ceiling: a bare loop with the ledger's input and output and no ledger in it.
//!
//! ```text
//! publish a command ─> read it ─> one append statement a batch ─> publish its events ─> read them ─> upsert, offset
//! ```
//!
//! All stages at once, each in a task of its own: the events of batch n are published while batch n + 1 is committed. What
//! is written has the width of what the ledger writes ([`Samples`]), into tables with the ledger's columns and indexes,
//! which the caller makes. Nothing is decoded, decided, hashed or guarded, no outcome is sent, no settled command is
//! purged, and there is one read model where the ledger has several: what is measured is what the servers and their client
//! libraries can do on this machine, with as much of it to themselves as possible.
//!
//! Both streams are made anew and removed again. Nothing of it can be used for anything but measuring: there is no retry,
//! and the first error ends it.

mod append;
mod batch;
mod feed;
mod names;
mod project;
mod publish;
mod servers;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

pub use self::servers::Error;
use self::servers::Servers;

/// The most records in one batch, and how long it waits for more: as the ledger has them unless it is told otherwise.
const BATCH_MAX: usize = 2_048;
const LINGER: Duration = Duration::from_millis(2);
/// How many batches may wait between appending and publishing.
const QUEUE_BATCHES: usize = 2;

/// Where the servers are.
#[derive(Debug, Clone)]
pub struct Urls {
    /// NATS with JetStream.
    pub nats: String,
    /// A database with the tables of an event store, empty.
    pub event_store: String,
    /// A database with the tables of the read models, empty.
    pub read_model: String,
}

/// What is written, byte for byte the same each time but for ids, versions and times.
#[derive(Debug, Clone)]
pub struct Samples {
    /// A command as it is published.
    pub command: Bytes,
    /// Its headers.
    pub command_headers: HeaderMap,
    /// The type of the command, as its row has it.
    pub command_type: String,
    /// The command as its row has it: JSON.
    pub body: String,
    /// Its outcome as its row has it: JSON.
    pub outcome: String,
    /// An event as it is published.
    pub event: Bytes,
    /// Its headers, without an id.
    pub event_headers: HeaderMap,
    /// The type of the event, as its row has it.
    pub event_type: String,
    /// The data of the event as its row has them: JSON.
    pub data: String,
    /// Who asked for it.
    pub actor: Option<String>,
    /// A balance, as a decimal number.
    pub balance: String,
}

/// Which accounts a command is about, by their index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Touched {
    /// The account that the command is sent to.
    pub account: usize,
    /// The accounts that get an event each.
    pub events: [Option<usize>; 2],
}

/// Which accounts the command with this number is about: the same each time it is asked.
pub type Touch = Arc<dyn Fn(u64) -> Touched + Send + Sync>;

/// How long, and with how much on its way.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long commands are published.
    pub publish_for: Duration,
    /// How many commands may be published and not settled.
    pub in_flight_max: usize,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// How many commands went all the way.
    pub commands: u64,
    /// How many events came of them.
    pub events: u64,
    /// In how many append statements.
    pub appends: u64,
    /// From the first publish to the last commit of a projection.
    pub elapsed: Duration,
}

impl Measured {
    /// Commands a second, from being published to being projected.
    pub fn commands_per_second(&self) -> f64 {
        self.commands as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// What all stages share.
struct Loop {
    servers: Servers,
    samples: Samples,
    accounts: Arc<[String]>,
    touch: Touch,
    /// One permit for each command that may be on its way.
    room: Semaphore,
    /// How many commands there are in all; `u64::MAX` while that is not known.
    commands: AtomicU64,
    /// How many events there are in all; `u64::MAX` while that is not known.
    events: AtomicU64,
}

/// Runs the loop over `accounts`, by their names.
pub async fn measure(
    urls: &Urls,
    samples: Samples,
    accounts: Arc<[String]>,
    touch: Touch,
    options: Options,
) -> Result<Measured, Error> {
    let servers = Servers::prepare(urls).await?;
    let all = Arc::new(Loop {
        servers,
        samples,
        accounts,
        touch,
        room: Semaphore::new(options.in_flight_max.max(1)),
        commands: AtomicU64::new(u64::MAX),
        events: AtomicU64::new(u64::MAX),
    });
    let measured = run(&all, options.publish_for).await;
    all.servers.remove().await;
    measured
}

async fn run(all: &Arc<Loop>, publish_for: Duration) -> Result<Measured, Error> {
    let (appended, to_publish) = mpsc::channel(QUEUE_BATCHES);
    let commands = all.servers.commands().await?;
    let events = all.servers.events().await?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    tasks.spawn(publish::commands(Arc::clone(all), publish_for));
    tasks.spawn(append::commands(Arc::clone(all), commands, appended));
    tasks.spawn(feed::publish(Arc::clone(all), to_publish));
    tasks.spawn(project::events(Arc::clone(all), events));
    let mut measured = Measured {
        commands: 0,
        events: 0,
        appends: 0,
        elapsed: Duration::ZERO,
    };
    while let Some(ended) = tasks.join_next().await {
        // The first error ends the others, for they are dropped with the set.
        match ended.map_err(Error::Stage)?? {
            Done::Published => {}
            Done::Appended { commands, appends } => {
                measured.commands = commands;
                measured.appends = appends;
            }
            Done::Fed { events } => measured.events = events,
            Done::Projected { at } => measured.elapsed = at.duration_since(begun),
        }
    }
    Ok(measured)
}

/// How a stage has ended.
enum Done {
    Published,
    Appended { commands: u64, appends: u64 },
    Fed { events: u64 },
    Projected { at: Instant },
}
