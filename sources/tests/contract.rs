//! Every source keeps the contract of sources, on a real nats-server.

use std::sync::atomic::{AtomicUsize, Ordering};

use engine::testing::contract::source::{self, SourceUnderTest};
use servers::testing;
use sources::{
    FeedItem, Incoming, JetStreamCommands, JetStreamCommandsConfig, JetStreamEvents, Runs,
};
use transport::streams::{self, Limits};
use transport::{Nats, headers};

/// A server of its own for each log.
struct Log {
    server: testing::Nats,
    nats: Nats,
    appended: AtomicUsize,
}

impl Log {
    async fn new() -> Self {
        let server = testing::Nats::start().await;
        let nats = Nats::connect(&server.url())
            .await
            .expect("the server has just been started");
        Self {
            server,
            nats,
            appended: AtomicUsize::new(0),
        }
    }

    /// Publishes `count` messages, each with an id of its own.
    async fn publish(&self, subject: &str, count: usize) {
        for _ in 0..count {
            let number = self.appended.fetch_add(1, Ordering::Relaxed);
            let mut map = async_nats::HeaderMap::new();
            map.insert(headers::MESSAGE_ID, format!("message-{number}").as_str());
            let publish = self.nats.jetstream.publish_with_headers(
                subject.to_owned(),
                map,
                format!("{number}").into(),
            );
            publish
                .await
                .expect("it can be published")
                .await
                .expect("it is stored");
        }
    }

    /// A connection as a new process would have one.
    async fn connect_again(&self) -> Nats {
        Nats::connect(&self.server.url())
            .await
            .expect("the server runs")
    }
}

/// Where the sources of one log run: a source that follows another in its process is more careful.
#[derive(Clone)]
enum Process {
    Same(Runs),
    Another,
}

impl Process {
    fn runs(&self) -> Runs {
        match self {
            Self::Same(runs) => runs.clone(),
            Self::Another => Runs::default(),
        }
    }
}

/// One of several partitions: the messages of the others are not its own.
struct Commands {
    log: Log,
    config: JetStreamCommandsConfig,
    process: Process,
}

impl Commands {
    async fn new(partitions: u32, process: Process) -> Self {
        let log = Log::new().await;
        streams::commands(&log.nats.jetstream, partitions, &Limits::default())
            .await
            .expect("the stream can be made");
        let config = JetStreamCommandsConfig {
            partitions,
            partition: partitions - 1,
            credit: 50,
            ..JetStreamCommandsConfig::default()
        };
        Self {
            log,
            config,
            process,
        }
    }

    /// An account of the partition that is read.
    fn account(&self) -> &'static str {
        // By JetStream's partition(2,1): this one lands in partition 1.
        if self.config.partitions == 1 {
            "ACC-1"
        } else {
            "ACC-0"
        }
    }
}

impl SourceUnderTest for Commands {
    type Source = JetStreamCommands;

    async fn append(&self, count: usize) {
        for _ in 0..count {
            self.log
                .publish(&format!("ledger.commands.{}", self.account()), 1)
                .await;
            if self.config.partitions > 1 {
                self.log.publish("ledger.commands.ACC-1", 1).await;
            }
        }
    }

    async fn build(&self) -> JetStreamCommands {
        let config = JetStreamCommandsConfig {
            runs: self.process.runs(),
            ..self.config.clone()
        };
        JetStreamCommands::new(self.log.connect_again().await, config)
    }

    fn identity(&self, item: &Incoming) -> String {
        String::from_utf8_lossy(&item.message.payload).into_owned()
    }

    fn in_flight_max(&self) -> Option<usize> {
        Some(self.config.credit)
    }
}

/// The feed, read by a sink that keeps the offset.
struct Events {
    log: Log,
    process: Process,
}

impl SourceUnderTest for Events {
    type Source = JetStreamEvents;

    async fn append(&self, count: usize) {
        self.log.publish("ledger.events.ACC-1", count).await;
    }

    async fn build(&self) -> JetStreamEvents {
        JetStreamEvents::new(self.log.connect_again().await, Limits::default())
            .among(&self.process.runs())
    }

    fn identity(&self, item: &FeedItem) -> String {
        match item {
            FeedItem::Message(message) => String::from_utf8_lossy(&message.payload).into_owned(),
            FeedItem::Lost { why } => panic!("nothing was lost, and it says: {why}"),
        }
    }

    fn remembers(&self) -> bool {
        false
    }

    fn mark(&self, item: &FeedItem) -> Option<String> {
        match item {
            FeedItem::Message(message) => message.header(headers::MESSAGE_ID).map(str::to_owned),
            FeedItem::Lost { .. } => None,
        }
    }
}

async fn events(process: impl Fn() -> Process) {
    source::all(async || {
        let log = Log::new().await;
        streams::events(&log.nats.jetstream, &Limits::default())
            .await
            .expect("the stream can be made");
        Events {
            log,
            process: process(),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_only_partition() {
    source::all(async || Commands::new(1, Process::Another).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_one_partition_of_two() {
    source::all(async || Commands::new(2, Process::Another).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_again_in_the_same_process() {
    source::all(async || Commands::new(2, Process::Same(Runs::default())).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_from_the_feed() {
    events(|| Process::Another).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_from_the_feed_again_in_the_same_process() {
    events(|| Process::Same(Runs::default())).await;
}
