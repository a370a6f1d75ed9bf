//! The three streams: what they hold, and their limits.

use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind,
};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, RetentionPolicy, StorageType, Stream, SubjectTransform,
};
use async_nats::jetstream::{self, ErrorCode};
use engine::Failure;

use crate::{restoring, subjects};

/// Commands that have no outcome yet. A settled command leaves it.
pub const COMMANDS: &str = "LEDGER_COMMANDS";
/// The feed: every event, in the order of publication.
pub const EVENTS: &str = "LEDGER_EVENTS";
/// What was no command, with the reason.
pub const DEAD_LETTERS: &str = "LEDGER_DEAD_LETTERS";

/// How large the streams may become.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many commands may wait; one more is refused, and its publisher is told.
    pub commands_max: i64,
    /// How many bytes of commands may wait.
    pub command_bytes_max: i64,
    /// How many bytes of events the feed keeps; older ones leave it, for the event store has them.
    pub event_bytes_max: i64,
    /// How many bytes of dead letters are kept; when it is full, intake waits until somebody has dealt with them.
    pub dead_letter_bytes_max: i64,
    /// How many servers hold each stream.
    pub replicas: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MEBIBYTE: i64 = 1024 * 1024;
        Self {
            commands_max: 1_000_000,
            command_bytes_max: 512 * MEBIBYTE,
            event_bytes_max: 4096 * MEBIBYTE,
            dead_letter_bytes_max: 256 * MEBIBYTE,
            replicas: 1,
        }
    }
}

/// Within this window JetStream itself drops a message with a known `Nats-Msg-Id`. An optimisation: nothing rests on it.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// The commands stream, made if it is missing. Its subject transform puts the partition in: `ledger.commands.<account>`
/// becomes `ledger.commands.<partition>.<account>`.
pub async fn commands(
    jetstream: &jetstream::Context,
    partitions: u32,
    limits: &Limits,
) -> Result<Stream, Failure> {
    let transform = SubjectTransform {
        source: format!("{}.*", subjects::COMMANDS),
        destination: format!(
            "{}.{{{{partition({partitions},1)}}}}.{{{{wildcard(1)}}}}",
            subjects::COMMANDS
        ),
    };
    let config = Config {
        name: COMMANDS.to_owned(),
        description: Some(
            "Commands that have no outcome yet; a settled command leaves the stream".to_owned(),
        ),
        subjects: vec![format!("{}.*", subjects::COMMANDS)],
        subject_transform: Some(transform.clone()),
        retention: RetentionPolicy::Limits,
        // A full stream is a real backlog: the publisher is refused, nothing that waits is dropped.
        discard: DiscardPolicy::New,
        max_messages: limits.commands_max,
        max_bytes: limits.command_bytes_max,
        storage: StorageType::File,
        num_replicas: limits.replicas,
        duplicate_window: DUPLICATE_WINDOW,
        ..Config::default()
    };
    let stream = get_or_create(jetstream, config).await?;
    let settings = &stream.cached_info().config;
    if settings.discard != DiscardPolicy::New
        || settings.retention != RetentionPolicy::Limits
        || !settings.max_age.is_zero()
    {
        return Err(Failure::fatal(format!(
            "the stream {COMMANDS} is set up so that it could drop commands that wait (it needs retention limits, discard \
             new and no maximum age); mend it with `nats stream edit {COMMANDS} --discard new --max-age 0`"
        )));
    }
    let present = settings.subject_transform.as_ref();
    let same = present.is_some_and(|present| {
        present.source == transform.source && present.destination == transform.destination
    });
    if same {
        Ok(stream)
    } else {
        Err(Failure::fatal(format!(
            "the stream {COMMANDS} spreads its commands otherwise ({}) than --partitions {partitions} asks for; start with \
             the number of partitions that it was made with, or drain it and remove it first (nats stream rm {COMMANDS})",
            present.map_or("not at all", |present| present.destination.as_str())
        )))
    }
}

/// The feed, made if it is missing. Fails, to be tried again, while it is being [restored](crate::restoring): neither
/// may anything be published to it in between, nor is there much to read.
pub async fn events(jetstream: &jetstream::Context, limits: &Limits) -> Result<Stream, Failure> {
    let stream = get_or_create(jetstream, events_config(limits)).await?;
    match restoring::restoration(&stream) {
        None => Ok(stream),
        Some(restoration) => Err(Failure::retry(format!(
            "the feed {EVENTS} is being restored ({}); if nobody is at it any more, `chronicle feed restore` goes on, and with \
             --abandon gives it up",
            restoration.id
        ))),
    }
}

/// What the feed is when nothing is wrong with it.
pub(crate) fn events_config(limits: &Limits) -> Config {
    Config {
        name: EVENTS.to_owned(),
        description: Some("Every event of the ledger; rebuildable from the event store".to_owned()),
        subjects: vec![format!("{}.*", subjects::EVENTS)],
        retention: RetentionPolicy::Limits,
        discard: DiscardPolicy::Old,
        max_bytes: limits.event_bytes_max,
        storage: StorageType::File,
        num_replicas: limits.replicas,
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        ..Config::default()
    }
}

/// The dead letters, made if the stream is missing.
pub async fn dead_letters(
    jetstream: &jetstream::Context,
    limits: &Limits,
) -> Result<Stream, Failure> {
    get_or_create(
        jetstream,
        Config {
            name: DEAD_LETTERS.to_owned(),
            description: Some("Messages that are no commands, with the reason".to_owned()),
            subjects: vec![format!("{}.*", subjects::DEAD_LETTERS)],
            retention: RetentionPolicy::Limits,
            // Nothing is dropped without a record: a full stream holds intake up instead.
            discard: DiscardPolicy::New,
            max_bytes: limits.dead_letter_bytes_max,
            storage: StorageType::File,
            num_replicas: limits.replicas,
            duplicate_window: DUPLICATE_WINDOW,
            allow_direct: true,
            ..Config::default()
        },
    )
    .await
}

/// Which life of a stream this is: a stream that was lost and made anew was created at another time.
pub fn identity(stream: &Stream) -> String {
    stream.cached_info().created.to_string()
}

/// The stream `name` as it is, or `None` if there is none.
pub async fn existing(
    jetstream: &jetstream::Context,
    name: &str,
) -> Result<Option<Stream>, Failure> {
    match jetstream.get_stream(name).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(server)
                if server.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(None)
            }
            _ => {
                Err(Failure::retry(format!("the stream {name} cannot be looked up")).because(error))
            }
        },
    }
}

/// An operator may have given the stream other limits or replicas: what is there stays as it is.
pub(crate) async fn get_or_create(
    jetstream: &jetstream::Context,
    config: Config,
) -> Result<Stream, Failure> {
    let name = config.name.clone();
    if let Some(stream) = existing(jetstream, &name).await? {
        return Ok(stream);
    }
    let mebibytes = config.max_bytes / (1024 * 1024);
    match jetstream.create_stream(config).await {
        Ok(stream) => {
            tracing::info!(stream = name, "made the stream");
            Ok(stream)
        }
        // Somebody else may have made it in between.
        Err(error) => match existing(jetstream, &name).await? {
            Some(stream) => Ok(stream),
            None => Err(Failure::retry(if is_lack_of_storage(&error) {
                format!(
                    "the stream {name} may grow to {mebibytes} MiB, which is more than the NATS server still has to give: free \
                     disk space and restart it, or raise its `max_file_store`"
                )
            } else {
                format!("the stream {name} cannot be made")
            })
            .because(error)),
        },
    }
}

/// JetStream sets a stream's limit aside when it is made, from `max_file_store`.
pub(crate) fn is_lack_of_storage(error: &CreateStreamError) -> bool {
    matches!(error.kind(), CreateStreamErrorKind::JetStream(server)
        if server.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED)
}
