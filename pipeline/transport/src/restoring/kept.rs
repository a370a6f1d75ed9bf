//! What a feed is to be like that is removed to be made anew.
//!
//! Between the removal and the making there is no feed that could say it, and a process may die there. So it is written
//! into the settings of a stream of its own first, which is removed when the new feed is there.

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};
use engine::Failure;

use crate::streams;

/// The stream that keeps it. It has no messages.
pub const KEPT: &str = "LEDGER_EVENTS_SETTINGS";
const SETTINGS: &str = "chronicle-feed-settings";
const REMOVED: &str = "chronicle-feed-removed";

/// What is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What the new feed is to be like.
    pub settings: Config,
    /// The feed that was to be removed, by its [identity](streams::identity).
    pub removed: String,
}

impl Kept {
    /// Whether this feed is the one that was to be removed: it was not, and says itself what it is like.
    pub fn is_of(&self, feed: &Stream) -> bool {
        self.removed == streams::identity(feed)
    }
}

/// Keeps the settings until they are [forgotten](forget), in the place of those that may be kept already: `feed` is about to
/// be removed.
pub async fn keep(
    jetstream: &jetstream::Context,
    feed: &Stream,
    settings: &Config,
) -> Result<(), Failure> {
    let unkept = "the feed's settings cannot be kept, so it is not removed";
    let text =
        serde_json::to_string(settings).map_err(|error| Failure::fatal(unkept).because(error))?;
    let config = Config {
        name: KEPT.to_owned(),
        description: Some("What the feed is to be like that is being made anew".to_owned()),
        subjects: vec![KEPT.to_owned()],
        discard: DiscardPolicy::New,
        max_messages: 1,
        max_bytes: 1024,
        num_replicas: settings.num_replicas,
        metadata: [
            (SETTINGS.to_owned(), text),
            (REMOVED.to_owned(), streams::identity(feed)),
        ]
        .into(),
        ..Config::default()
    };
    match jetstream.create_or_update_stream(config).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::retry(unkept).because(error)),
    }
}

/// What is kept: a feed was to be removed, and whoever was at it has not come to make it anew.
pub async fn kept(jetstream: &jetstream::Context) -> Result<Option<Kept>, Failure> {
    let Some(stream) = streams::existing(jetstream, KEPT).await? else {
        return Ok(None);
    };
    let metadata = &stream.cached_info().config.metadata;
    let unreadable = || {
        Failure::fatal(format!(
            "the settings that the stream {KEPT} keeps of the feed cannot be read; remove it (nats stream rm {KEPT})"
        ))
    };
    let (Some(settings), Some(removed)) = (metadata.get(SETTINGS), metadata.get(REMOVED)) else {
        return Err(unreadable());
    };
    Ok(Some(Kept {
        settings: serde_json::from_str(settings).map_err(|error| unreadable().because(error))?,
        removed: removed.clone(),
    }))
}

/// The feed is there: its own settings say what it is like.
pub async fn forget(jetstream: &jetstream::Context) -> Result<(), Failure> {
    super::remove_stream(jetstream, KEPT).await
}
