//! A restoration that is given up: the feed is [closed](close) for it, too, then [emptied](empty), then opened.
//!
//! What is removed may be what intake still has to publish, under the same ids. JetStream remembers ids for a while, also of
//! messages that were purged, and would take what intake publishes for duplicates, acknowledge it, and store nothing. So
//! before the feed is emptied, it stays closed until every id is [forgotten](remembered_for).

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::Stream;
use engine::Failure;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{same, update};
use crate::streams::EVENTS;
use crate::subjects;

/// JetStream forgets ids in rounds, which may come a little later than they are due.
const ROUND_MAX: Duration = Duration::from_secs(1);

/// Closes the feed also for its restoration, which is given up: nobody can publish to it until it is opened. Answers with the
/// feed as it is then.
pub async fn close(jetstream: &jetstream::Context, stream: &Stream) -> Result<Stream, Failure> {
    let mut config = same(jetstream, stream).await?.cached_info().config.clone();
    config.subjects = vec![format!("{}.*", subjects::ABANDONED_EVENTS)];
    config.subject_transform = None;
    update(jetstream, config, "the feed cannot be closed").await
}

/// What the server says of the feed, with its own time: that of this machine may be another.
#[derive(Deserialize)]
struct Look {
    state: State,
    #[serde(default, rename = "ts", with = "time::serde::rfc3339::option")]
    now: Option<OffsetDateTime>,
}

#[derive(Deserialize)]
struct State {
    last_seq: u64,
    /// Purging does not change it.
    #[serde(with = "time::serde::rfc3339")]
    last_ts: OffsetDateTime,
}

impl Look {
    /// How long an id is still remembered that came with the last message.
    fn remembered_for(&self, window: Duration) -> Duration {
        if self.state.last_seq == 0 {
            return Duration::ZERO;
        }
        let age = self.now.map(|now| now - self.state.last_ts);
        // A server that does not say what time it is, or whose time has gone back: as if it had come just now.
        let age = age.and_then(|age| Duration::try_from(age).ok());
        let remembered_for = window + ROUND_MAX;
        remembered_for.saturating_sub(age.unwrap_or_default())
    }
}

/// How long JetStream still takes for a duplicate what has the id of a message that is in the feed, which was
/// [closed](close), or was in it.
pub async fn remembered_for(
    jetstream: &jetstream::Context,
    closed: &Stream,
) -> Result<Duration, Failure> {
    let unknown = "it cannot be said how long NATS remembers what is to be removed from the feed";
    let asked = jetstream.request(format!("STREAM.INFO.{EVENTS}"), &());
    let answer: Response<Look> = asked
        .await
        .map_err(|error| Failure::retry(unknown).because(error))?;
    match answer {
        Response::Ok(look) => Ok(look.remembered_for(closed.cached_info().config.duplicate_window)),
        Response::Err { error } => Err(Failure::retry(unknown).because(error)),
    }
}

/// Removes every message of a feed that was [closed](close); its sequences go on, so that it says itself that something
/// was there before. Answers with how many there were, and with the feed as it is now. (Should somebody have opened it in
/// between, what came stays.)
pub async fn empty(
    jetstream: &jetstream::Context,
    closed: &Stream,
) -> Result<(u64, Stream), Failure> {
    // What was on its way when it was closed is there by now.
    let now = same(jetstream, closed).await?;
    let next = now.cached_info().state.last_sequence + 1;
    match now.purge().sequence(next).await {
        Ok(purged) => Ok((purged.purged, now)),
        Err(error) => Err(Failure::retry("the feed cannot be emptied").because(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(2);

    fn look(last_seq: u64, last: i64, now: Option<i64>) -> Duration {
        let at = |second| OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(second);
        let state = State {
            last_seq,
            last_ts: at(last),
        };
        let now = now.map(at);
        Look { state, now }.remembered_for(WINDOW)
    }

    #[test]
    fn an_id_is_remembered_for_the_window_and_a_little_longer() {
        let whole = WINDOW + ROUND_MAX;
        assert_eq!(look(7, 100, Some(100)), whole);
        assert_eq!(look(7, 100, Some(130)) + Duration::from_secs(30), whole);
        assert_eq!(look(7, 100, Some(1_000)), Duration::ZERO);
        assert_eq!(look(0, 100, Some(100)), Duration::ZERO);
    }

    #[test]
    fn a_server_whose_time_is_unknown_or_went_back_is_waited_for_the_whole_window() {
        let whole = WINDOW + ROUND_MAX;
        assert_eq!(look(7, 100, None), whole);
        assert_eq!(look(7, 100, Some(40)), whole);
    }
}
