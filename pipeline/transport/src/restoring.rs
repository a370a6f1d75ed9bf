//! The feed while it is being restored from the event store.
//!
//! A restored feed has each account's events in the order of their versions, and what is recorded meanwhile comes behind
//! them. So while it is being restored, the stream takes events under another subject only, which it turns into the usual
//! one: whoever publishes events as ever finds no stream, and tries again; nothing can come in between. That the stream is
//! in this state is said by its own settings, which outlive every process.

use async_nats::jetstream::context::DeleteStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream, SubjectTransform};
use async_nats::jetstream::{self, ErrorCode};
use engine::Failure;

use crate::streams::{self, EVENTS, Limits};
use crate::subjects;

const ID: &str = "chronicle-restoration";
const SINCE: &str = "chronicle-restoration-since";

/// A restoration that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restoration {
    /// Its name, which each of its messages has in a header.
    pub id: String,
    /// Only what was recorded at this instant or later is restored; everything, if it is not given.
    pub since: Option<String>,
}

/// The restoration that a stream is in, if it is in one.
pub fn restoration(stream: &Stream) -> Option<Restoration> {
    let config = &stream.cached_info().config;
    let live = format!("{}.*", subjects::EVENTS);
    if config.subjects.contains(&live) {
        return None;
    }
    Some(Restoration {
        id: config.metadata.get(ID)?.clone(),
        since: config.metadata.get(SINCE).cloned(),
    })
}

/// Makes the feed, which is not there, in the state of being restored. `limits` are those that it has afterwards, too.
///
/// Until it is whole it refuses what it has no room for, instead of dropping what is older: the order of accounts says
/// nothing about age.
pub async fn begin(
    jetstream: &jetstream::Context,
    limits: &Limits,
    restoration: &Restoration,
) -> Result<Stream, Failure> {
    let mut config = Config {
        subjects: vec![format!("{}.*", subjects::RESTORED_EVENTS)],
        subject_transform: Some(SubjectTransform {
            source: format!("{}.*", subjects::RESTORED_EVENTS),
            destination: format!("{}.{{{{wildcard(1)}}}}", subjects::EVENTS),
        }),
        discard: DiscardPolicy::New,
        ..streams::events_config(limits)
    };
    config
        .metadata
        .insert(ID.to_owned(), restoration.id.clone());
    if let Some(since) = &restoration.since {
        config.metadata.insert(SINCE.to_owned(), since.clone());
    }
    streams::get_or_create(jetstream, config).await
}

/// Opens the feed for everybody: the restoration is over.
pub async fn end(jetstream: &jetstream::Context, stream: &Stream) -> Result<(), Failure> {
    // As it is now: whatever an operator has changed meanwhile stays, such as the room that it has.
    let now = streams::existing(jetstream, EVENTS).await?;
    let same = |now: &Stream| {
        streams::identity(now) == streams::identity(stream)
            && restoration(now) == restoration(stream)
    };
    let Some(now) = now.filter(same) else {
        return Err(Failure::fatal(
            "the feed is not the one that this restoration has filled: another one was begun meanwhile, or has ended it",
        ));
    };
    let mut config = now.cached_info().config.clone();
    config.subjects = vec![format!("{}.*", subjects::EVENTS)];
    config.subject_transform = None;
    config.discard = DiscardPolicy::Old;
    config.metadata.remove(ID);
    config.metadata.remove(SINCE);
    jetstream.update_stream(config).await.map_err(|error| {
        Failure::retry(
            "the restored feed cannot be opened; the command goes on when it is given again",
        )
        .because(error)
    })?;
    Ok(())
}

/// Removes the feed as it is, with its consumers. The event store has everything that was in it.
pub async fn remove(jetstream: &jetstream::Context) -> Result<(), Failure> {
    match jetstream.delete_stream(EVENTS).await {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            DeleteStreamErrorKind::JetStream(server)
                if server.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Ok(())
            }
            _ => {
                Err(Failure::retry(format!("the stream {EVENTS} cannot be removed")).because(error))
            }
        },
    }
}
