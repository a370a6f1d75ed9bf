//! The work of a restoration: the feed is made anew, closed, and filled.

use async_nats::jetstream::stream::{Config, Info, Stream};
use engine::{Failure, fault};
use ledger::{Event, Timestamp};
use sinks::RestoredFeed;
use sinks::projection::Pace;
use store::EventStore;
use transport::Nats;
use transport::restoring::{self, Changes, Restoration};
use uuid::Uuid;

use super::plan::being_given_up;
use crate::arguments::RestoreArguments;
use crate::rebuild::Progress;

/// How many events are read at a time, and how many bytes of their data.
const EVENTS_AT_A_TIME: u32 = 1_000;
const BYTES_AT_A_TIME: u64 = 4 * 1024 * 1024;
/// How often the feed is removed again that intake has made anew in between.
const REMOVALS_MAX: u32 = 20;

/// What a restoration works with.
pub(super) struct Work<'a> {
    pub(super) nats: &'a Nats,
    pub(super) store: &'a EventStore,
    /// Of a feed that is made anew.
    pub(super) settings: Config,
    /// In what they differ from those of the feed that was found.
    pub(super) changes: Changes,
    pub(super) arguments: &'a RestoreArguments,
}

impl Work<'_> {
    /// The feed, closed, and the restoration that it is in: the one that was begun before, unless it is to be replaced.
    pub(super) async fn begin(
        &self,
        found: Option<Stream>,
    ) -> Result<(Stream, Restoration), Failure> {
        let jetstream = &self.nats.jetstream;
        let mut found = found;
        if self.arguments.replace
            && let Some(old) = found.take()
        {
            self.make_room(&old).await?;
            restoring::keep(jetstream, &old, &self.settings).await?;
            restoring::remove(jetstream).await?;
            fault::point("after_feed_removed");
        }
        let wanted = Restoration {
            id: Uuid::new_v4().to_string(),
            since: self.arguments.since.map(|since| since.to_string()),
            is_abandoned: false,
        };
        for _ in 0..REMOVALS_MAX {
            let stream = match found.take() {
                Some(stream) => stream,
                None => restoring::begin(jetstream, &self.settings, &wanted).await?,
            };
            match restoring::restoration(&stream) {
                Some(there) if self.arguments.since.is_some() && there.since != wanted.since => {
                    return Err(Failure::fatal(format!(
                        "restoration {} was begun {}; go on without --since, or begin anew with --replace",
                        there.id,
                        there.since.map_or_else(
                            || "with everything".to_owned(),
                            |since| format!("since {since}")
                        )
                    )));
                }
                Some(there) if there.is_abandoned => {
                    return Err(Failure::fatal(being_given_up(&there.id)));
                }
                Some(there) => {
                    restoring::forget(jetstream).await?;
                    let is_as_wanted = self.changes.is_empty() || there.id == wanted.id;
                    let stream = if is_as_wanted {
                        stream
                    } else {
                        restoring::change(jetstream, &stream, self.changes).await?
                    };
                    return Ok((stream, there));
                }
                // Intake was quicker, and has made it as ever: nothing is in it that the event store has not.
                None => restoring::remove(jetstream).await?,
            }
        }
        Err(Failure::retry(
            "the feed is made anew by intake again and again; stop it for this moment",
        ))
    }

    /// Lets the old feed have first what the new one is to have more of, room and servers: if NATS has not got it, nothing is
    /// lost yet.
    async fn make_room(&self, old: &Stream) -> Result<(), Failure> {
        let changes = more(old.cached_info(), &self.settings);
        if changes.is_empty() {
            return Ok(());
        }
        match restoring::change(&self.nats.jetstream, old, changes).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(Failure::fatal(format!(
                "nothing was changed: {}",
                failure.chain()
            ))),
        }
    }

    /// Publishes every event that is not there yet. Answers with the last sequence.
    pub(super) async fn publish_all(
        &self,
        restoration: &Restoration,
        resumed_at: u64,
        progress: &mut Progress,
    ) -> Result<u64, Failure> {
        let since = restoration.since.as_deref().map(instant).transpose()?;
        let id = restoration.id.clone();
        let (mut feed, mut last) = RestoredFeed::resume(self.nats, id, resumed_at).await?;
        let mut pace = self.arguments.rate.map(Pace::new);
        let at_a_time = match &pace {
            Some(pace) => pace.at_a_time(EVENTS_AT_A_TIME),
            None => EVENTS_AT_A_TIME,
        };
        let mut published = resumed_at;
        loop {
            let after = last
                .as_ref()
                .map(|(account_id, version)| (account_id, *version));
            let read = self
                .store
                .events_after(after, at_a_time, BYTES_AT_A_TIME)
                .await
                .map_err(unreadable)?;
            let Some(newest) = read.last() else {
                feed.flush().await?;
                return Ok(published);
            };
            last = Some((newest.account_id.clone(), newest.version));
            let wanted: Vec<Event> = read
                .into_iter()
                .filter(|event| since.is_none_or(|since| event.recorded_at >= since))
                .collect();
            if let Some(pace) = &mut pace {
                pace.wait(wanted.len()).await;
            }
            feed.publish(&wanted).await?;
            published += wanted.len() as u64;
            progress.reached(published);
            fault::point("in_feed_restoration");
        }
    }
}

/// What a feed with these settings takes more of the servers than the old one. A limit of bytes is set aside by NATS, none is
/// not. (One below what the old feed holds would cost it messages, so that is not tried on it.)
fn more(old: &Info, wanted: &Config) -> Changes {
    let (has, wants) = (old.config.max_bytes, wanted.max_bytes);
    let keeps_all = i64::try_from(old.state.bytes).is_ok_and(|bytes| wants >= bytes);
    let is_more = wants > 0 && if has > 0 { wants > has } else { keeps_all };
    Changes {
        bytes_max: is_more.then_some(wants),
        replicas: Some(wanted.num_replicas).filter(|count| *count > old.config.num_replicas),
    }
}

/// When a restoration begins, as its stream says it.
pub(super) fn instant(text: &str) -> Result<Timestamp, Failure> {
    text.parse().map_err(|error| {
        Failure::fatal(format!(
            "the restoration's own beginning cannot be read: {error}"
        ))
    })
}

/// A row that cannot be read will not be readable the next time either.
fn unreadable(error: store::Error) -> Failure {
    if error.is_transient() {
        Failure::retry("the event store cannot be read").because(error)
    } else {
        Failure::fatal(
            "an event of the event store cannot be read. To let intake go on without the feed's past: chronicle feed restore \
             --abandon",
        )
        .because(error)
    }
}
