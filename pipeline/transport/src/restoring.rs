//! The feed while it is being restored from the event store.
//!
//! A restored feed has each account's events in the order of their versions, and what is recorded meanwhile comes behind
//! them. So while it is being restored, the stream takes events under another subject only, which it turns into the usual
//! one: whoever publishes events as ever finds no stream, and tries again; nothing can come in between. That the stream is
//! in this state is said by its own settings, which outlive every process.
//!
//! A restoration that is given up is [closed](close) for itself, too, then [emptied](empty), then [opened](end): whoever is
//! still at it has nowhere to publish to, and a feed that is open never has a part of the past that looks like all of it.

mod giving_up;
mod kept;

use async_nats::jetstream::context::DeleteStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream, SubjectTransform};
use async_nats::jetstream::{self, ErrorCode};
use engine::Failure;

pub use self::giving_up::{close, empty, remembered_for};
pub use self::kept::{KEPT, Kept, forget, keep, kept};
use crate::streams::{self, EVENTS, Limits};
use crate::subjects;

const ID: &str = "chronicle-restoration";
const SINCE: &str = "chronicle-restoration-since";
/// That the feed is to take no purge when it is open. Until then a restoration must be able to be given up.
const DENY_PURGE: &str = "chronicle-restoration-deny-purge";
/// What servers note of a stream by themselves begins so.
const OF_THE_SERVER: &str = "_nats.";

/// A restoration that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoration {
    /// Its name, which each of its messages has in a header.
    pub id: String,
    /// Only what was recorded at this instant or later is restored; everything, if it is not given.
    pub since: Option<String>,
    /// It is being given up, and takes nothing any more.
    pub is_abandoned: bool,
}

/// The restoration that a stream is in, if it is in one.
pub fn restoration(stream: &Stream) -> Option<Restoration> {
    let config = &stream.cached_info().config;
    let takes = |subject: &str| config.subjects.contains(&format!("{subject}.*"));
    if takes(subjects::EVENTS) {
        return None;
    }
    Some(Restoration {
        id: config.metadata.get(ID)?.clone(),
        since: config.metadata.get(SINCE).cloned(),
        is_abandoned: takes(subjects::ABANDONED_EVENTS),
    })
}

/// In what a feed is to differ from what it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// How many bytes it may keep.
    pub bytes_max: Option<i64>,
    /// How many servers hold it.
    pub replicas: Option<usize>,
}

impl Changes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn apply(self, config: &mut Config) {
        config.max_bytes = self.bytes_max.unwrap_or(config.max_bytes);
        config.num_replicas = self.replicas.unwrap_or(config.num_replicas);
    }
}

/// The settings of a feed that is made anew: whatever an operator has given the old one, or the pipelines' own with these
/// limits if there is none; and the changes.
pub fn settings(old: Option<&Config>, limits: &Limits, changes: Changes) -> Config {
    let usual = streams::events_config(limits);
    let mut config = match old {
        None => usual,
        Some(old) => Config {
            subjects: usual.subjects,
            subject_transform: usual.subject_transform,
            discard: usual.discard,
            // What would keep it from being filled.
            sealed: false,
            mirror: None,
            sources: None,
            first_sequence: None,
            // Only a feed that refuses what it has no room for may have it.
            discard_new_per_subject: false,
            deny_purge: old.deny_purge || old.metadata.contains_key(DENY_PURGE),
            ..old.clone()
        },
    };
    let is_ours = |name: &str| [ID, SINCE, DENY_PURGE].contains(&name);
    config
        .metadata
        .retain(|name, _| !is_ours(name) && !name.starts_with(OF_THE_SERVER));
    changes.apply(&mut config);
    config
}

/// Makes the feed, which is not there, in the state of being restored, with the settings that it has afterwards, too.
///
/// Until it is whole it refuses what it has no room for, instead of dropping what is older: the order of accounts says
/// nothing about age.
pub async fn begin(
    jetstream: &jetstream::Context,
    settings: &Config,
    restoration: &Restoration,
) -> Result<Stream, Failure> {
    let mut config = Config {
        subjects: vec![format!("{}.*", subjects::RESTORED_EVENTS)],
        subject_transform: Some(SubjectTransform {
            source: format!("{}.*", subjects::RESTORED_EVENTS),
            destination: format!("{}.{{{{wildcard(1)}}}}", subjects::EVENTS),
        }),
        discard: DiscardPolicy::New,
        deny_purge: false,
        ..settings.clone()
    };
    config
        .metadata
        .insert(ID.to_owned(), restoration.id.clone());
    if settings.deny_purge {
        config
            .metadata
            .insert(DENY_PURGE.to_owned(), true.to_string());
    }
    if let Some(since) = &restoration.since {
        config.metadata.insert(SINCE.to_owned(), since.clone());
    }
    streams::get_or_create(jetstream, config).await
}

/// Changes the limits of a feed that is there, and nothing else of it. Fails without having changed anything if NATS has no
/// room for it.
pub async fn change(
    jetstream: &jetstream::Context,
    stream: &Stream,
    changes: Changes,
) -> Result<Stream, Failure> {
    let mut config = same(jetstream, stream).await?.cached_info().config.clone();
    changes.apply(&mut config);
    update(jetstream, config, "the feed's limits cannot be changed").await
}

/// Opens the feed for everybody: the restoration is over.
pub async fn end(jetstream: &jetstream::Context, stream: &Stream) -> Result<(), Failure> {
    // As it is now: whatever an operator has changed meanwhile stays, such as the room that it has.
    let mut config = same(jetstream, stream).await?.cached_info().config.clone();
    config.subjects = vec![format!("{}.*", subjects::EVENTS)];
    config.subject_transform = None;
    config.discard = DiscardPolicy::Old;
    config.discard_new_per_subject = false;
    config.deny_purge |= config.metadata.remove(DENY_PURGE).is_some();
    config.metadata.remove(ID);
    config.metadata.remove(SINCE);
    let why = "the restored feed cannot be opened; the command goes on when it is given again";
    update(jetstream, config, why).await.map(drop)
}

/// The feed as it is now, if it is still in the restoration that it was found in.
async fn same(jetstream: &jetstream::Context, stream: &Stream) -> Result<Stream, Failure> {
    let is_same = |now: &Stream| {
        streams::identity(now) == streams::identity(stream)
            && restoration(now) == restoration(stream)
    };
    let now = streams::existing(jetstream, EVENTS).await?;
    now.filter(is_same).ok_or_else(|| {
        Failure::fatal(
            "the feed is not the one that this restoration was about: another one was begun meanwhile, or has ended it, or it \
             was given up",
        )
    })
}

async fn update(
    jetstream: &jetstream::Context,
    config: Config,
    what: &str,
) -> Result<Stream, Failure> {
    let mebibytes = config.max_bytes / (1024 * 1024);
    let updated = jetstream.update_stream(config).await;
    updated.map_err(|error| {
        if streams::is_lack_of_storage(&error) {
            let what = format!(
                "{what}: {mebibytes} MiB are more than the NATS server still has to give; free disk space and restart it, or \
                 raise its `max_file_store`"
            );
            Failure::retry(what).because(error)
        } else {
            Failure::retry(what.to_owned()).because(error)
        }
    })?;
    let now = streams::existing(jetstream, EVENTS).await?;
    now.ok_or_else(|| Failure::retry("the feed is gone"))
}

/// Removes the feed as it is, with its consumers. The event store has everything that was in it.
pub async fn remove(jetstream: &jetstream::Context) -> Result<(), Failure> {
    remove_stream(jetstream, EVENTS).await
}

async fn remove_stream(jetstream: &jetstream::Context, name: &str) -> Result<(), Failure> {
    match jetstream.delete_stream(name).await {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            DeleteStreamErrorKind::JetStream(server)
                if server.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(())
            }
            _ => Err(Failure::retry(format!("the stream {name} cannot be removed")).because(error)),
        },
    }
}
