//! The loop's servers: its streams, and one connection each for the append and for the projection.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, RetentionPolicy, StorageType, Stream, SubjectTransform,
};
use async_nats::jetstream::{self};
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::Urls;

/// The commands of the loop.
const COMMANDS: &str = "CEILING_COMMANDS";
/// The events of the loop.
const EVENTS: &str = "CEILING_EVENTS";
/// What commands are published under: one token follows, the account.
pub(super) const COMMAND_SUBJECTS: &str = "ceiling.commands";
/// What events are published under: one token follows, the account.
pub(super) const EVENT_SUBJECTS: &str = "ceiling.events";
/// How many publishes may wait for their acknowledgement.
pub(super) const ACKNOWLEDGEMENTS_MAX: usize = 4_096;

const MEBIBYTE: i64 = 1024 * 1024;
/// As the ledger has it.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const MESSAGES_PER_PULL: usize = 2_000;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// NATS refuses, or is away.
    #[error("the ceiling could not {what}: {source}; check that NATS runs")]
    Nats {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A database refuses, or is away.
    #[error(
        "the ceiling could not {what}: {source}; check that the database runs, and that its tables are those of this version"
    )]
    Database {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: sqlx::Error,
    },
    /// A stream ended before everything was read.
    #[error("a stream of the ceiling ended before everything was read; check that NATS runs")]
    Ended,
    /// Messages that were acknowledged do not come.
    #[error(
        "a stream of the ceiling has brought nothing for {0:?}, and more is to come; check that NATS runs"
    )]
    Silent(Duration),
    /// A stage has panicked, which is a defect.
    #[error("a stage of the ceiling has ended: {0}")]
    Stage(tokio::task::JoinError),
}

impl Error {
    pub(super) fn nats(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Nats {
            what,
            source: source.into(),
        }
    }

    pub(super) fn database(what: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { what, source }
    }
}

/// Connections, and the streams.
pub(super) struct Servers {
    client: async_nats::Client,
    commands: Stream,
    events: Stream,
    pub(super) event_store: PgPool,
    pub(super) read_model: PgPool,
}

impl Servers {
    /// Connects and makes the streams anew.
    pub(super) async fn prepare(urls: &Urls) -> Result<Self, Error> {
        let client = async_nats::connect(&urls.nats)
            .await
            .map_err(|error| Error::nats("connect to NATS", error))?;
        let jetstream = jetstream::new(client.clone());
        for name in [COMMANDS, EVENTS] {
            // Most often there is none.
            let _ = jetstream.delete_stream(name).await;
        }
        let commands = jetstream
            .create_stream(commands_config())
            .await
            .map_err(|error| Error::nats("make its stream of commands", error))?;
        let events = jetstream
            .create_stream(events_config())
            .await
            .map_err(|error| Error::nats("make its stream of events", error))?;
        Ok(Self {
            client,
            commands,
            events,
            event_store: connect(&urls.event_store)
                .await
                .map_err(Error::database("connect to its event store"))?,
            read_model: connect(&urls.read_model)
                .await
                .map_err(Error::database("connect to its read model"))?,
        })
    }

    /// A context with permits of its own.
    pub(super) fn jetstream(&self) -> jetstream::Context {
        ContextBuilder::new()
            .timeout(ANSWER_WITHIN)
            .ack_timeout(ANSWER_WITHIN)
            .max_ack_inflight(ACKNOWLEDGEMENTS_MAX)
            .backpressure_on_inflight(true)
            .build(self.client.clone())
    }

    /// Plain NATS.
    pub(super) fn client(&self) -> &async_nats::Client {
        &self.client
    }

    /// The commands, as an intake reads them: one acknowledgement for a whole batch.
    pub(super) async fn commands(&self) -> Result<pull::Stream, Error> {
        let config = pull::Config {
            durable_name: Some("intake-0".to_owned()),
            ack_policy: AckPolicy::All,
            max_ack_pending: 16_384,
            ..pull::Config::default()
        };
        messages(&self.commands, config).await
    }

    /// The events, as a projection reads them.
    pub(super) async fn events(&self) -> Result<pull::Stream, Error> {
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            memory_storage: true,
            inactive_threshold: Duration::from_mins(1),
            ..pull::Config::default()
        };
        messages(&self.events, config).await
    }

    /// Takes the streams away and closes the connections. What fails here is left to whoever looks after the servers.
    pub(super) async fn remove(&self) {
        let jetstream = jetstream::new(self.client.clone());
        let _ = jetstream.delete_stream(COMMANDS).await;
        let _ = jetstream.delete_stream(EVENTS).await;
        self.event_store.close().await;
        self.read_model.close().await;
    }
}

async fn messages(stream: &Stream, config: pull::Config) -> Result<pull::Stream, Error> {
    let consumer: Consumer<pull::Config> = stream
        .create_consumer(config)
        .await
        .map_err(|error| Error::nats("make a consumer", error))?;
    consumer
        .stream()
        .max_messages_per_batch(MESSAGES_PER_PULL)
        .messages()
        .await
        .map_err(|error| Error::nats("read a stream", error))
}

async fn connect(url: &str) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .connect(url)
        .await
}

/// As the ledger makes `LEDGER_COMMANDS`.
fn commands_config() -> Config {
    Config {
        name: COMMANDS.to_owned(),
        subjects: vec![format!("{COMMAND_SUBJECTS}.*")],
        subject_transform: Some(SubjectTransform {
            source: format!("{COMMAND_SUBJECTS}.*"),
            destination: format!("{COMMAND_SUBJECTS}.{{{{partition(1,1)}}}}.{{{{wildcard(1)}}}}"),
        }),
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_bytes: 4_096 * MEBIBYTE,
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    }
}

/// As the ledger makes `LEDGER_EVENTS`.
fn events_config() -> Config {
    Config {
        name: EVENTS.to_owned(),
        subjects: vec![format!("{EVENT_SUBJECTS}.*")],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::New,
        max_bytes: 4_096 * MEBIBYTE,
        storage: StorageType::File,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        ..Config::default()
    }
}
