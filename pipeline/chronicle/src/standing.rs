//! Where the projections stand, and how far they are behind the feed.

use std::time::{Duration, SystemTime};

use engine::Failure;
use ledger::Timestamp;
use serde::Serialize;
use sinks::projection;
use sqlx::PgPool;
use transport::stored::StoredMessages;
use transport::{Nats, streams, subjects};

/// The feed as it is now.
pub(crate) struct Feed {
    /// Which life of the stream it is.
    pub(crate) identity: String,
    /// The first sequence that it still has.
    pub(crate) first: u64,
    /// Its last sequence.
    pub(crate) head: u64,
    nats: Nats,
}

impl Feed {
    /// The feed; `None` if there is none yet.
    pub(crate) async fn look(nats: &Nats) -> Result<Option<Self>, Failure> {
        let stream = streams::existing(&nats.jetstream, streams::EVENTS).await?;
        Ok(stream.map(|stream| Self {
            identity: streams::identity(&stream),
            first: stream.cached_info().state.first_sequence,
            head: stream.cached_info().state.last_sequence,
            nats: nats.clone(),
        }))
    }
}

/// Where a projection stands.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Standing {
    pub(crate) projection: String,
    /// The last sequence of the feed that it has applied; null when it has never run.
    pub(crate) offset: Option<u64>,
    /// The last sequence of the feed; null when NATS cannot be asked, or when the projection has read another feed.
    pub(crate) head: Option<u64>,
    /// How many messages of the feed it has not applied.
    pub(crate) lag_events: Option<u64>,
    /// For how long the oldest of those has been in the feed, in seconds.
    pub(crate) lag_seconds: Option<f64>,
    /// How often it was started.
    pub(crate) epoch: Option<i64>,
    /// How often an operator has moved it.
    pub(crate) generation: Option<i64>,
    /// The version of the definition that its rows are made by.
    pub(crate) definition: Option<i32>,
    /// The order to rest; null when it may run.
    pub(crate) paused: Option<Pause>,
    /// Which life of the feed it has read.
    pub(crate) stream_id: Option<String>,
    pub(crate) updated_at: Option<Timestamp>,
}

/// An order to rest.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pause {
    pub(crate) at: Timestamp,
    pub(crate) by: String,
    pub(crate) reason: String,
}

impl Pause {
    fn of(pause: projection::Pause) -> Self {
        Self {
            at: Timestamp::from_date_time(pause.at),
            by: pause.by,
            reason: pause.reason,
        }
    }
}

impl Standing {
    fn never_ran(projection: String) -> Self {
        Self {
            projection,
            offset: None,
            head: None,
            lag_events: None,
            lag_seconds: None,
            epoch: None,
            generation: None,
            definition: None,
            paused: None,
            stream_id: None,
            updated_at: None,
        }
    }

    /// Whether it has read another feed than this one.
    pub(crate) fn has_read_another(&self, feed: &Feed) -> bool {
        self.stream_id
            .as_ref()
            .is_some_and(|identity| *identity != feed.identity)
    }

    /// Finds out how far it is behind.
    pub(crate) async fn compare(&mut self, feed: &Feed) -> Result<(), Failure> {
        let Some(offset) = self.offset.filter(|_| !self.has_read_another(feed)) else {
            return Ok(());
        };
        self.head = Some(feed.head);
        self.lag_events = Some(feed.head.saturating_sub(offset));
        let age = if feed.head > offset {
            age_behind(&feed.nats, offset).await?
        } else {
            Duration::ZERO
        };
        self.lag_seconds = Some(age.as_secs_f64());
        Ok(())
    }
}

/// How long the first message of the feed behind `offset` has been there; nothing if there is none.
pub(crate) async fn age_behind(nats: &Nats, offset: u64) -> Result<Duration, Failure> {
    let filter = format!("{}.*", subjects::EVENTS);
    let feed = StoredMessages::new(nats.jetstream.clone(), streams::EVENTS, &filter, 1);
    let oldest = feed.next(offset + 1).await?;
    // The clock of NATS may be ahead of ours.
    let age = oldest.map(|oldest| SystemTime::now().duration_since(oldest.message.stored_at));
    Ok(age.and_then(Result::ok).unwrap_or_default())
}

/// Every projection that exists or has a row, by name.
pub(crate) async fn standings(read_model: &PgPool) -> Result<Vec<Standing>, sqlx::Error> {
    let stored = projection::standings(read_model).await?;
    let mut standings: Vec<Standing> = stored
        .into_iter()
        .map(|stored| Standing {
            offset: Some(stored.last_sequence),
            epoch: Some(stored.epoch),
            generation: Some(stored.generation),
            definition: Some(stored.definition),
            paused: stored.pause.map(Pause::of),
            stream_id: Some(stored.stream_id),
            updated_at: Some(Timestamp::from_date_time(stored.updated_at)),
            ..Standing::never_ran(stored.projection)
        })
        .collect();
    for name in projection::NAMES {
        if !standings.iter().any(|standing| standing.projection == name) {
            standings.push(Standing::never_ran(name.to_owned()));
        }
    }
    standings.sort_by(|left, right| left.projection.cmp(&right.projection));
    Ok(standings)
}
