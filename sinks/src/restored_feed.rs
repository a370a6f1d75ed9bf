//! The feed while it is being restored: events of the event store, put back in order.
//!
//! Each message names the sequence that must be the stream's last one when it comes, so there is never a hole behind an
//! event that is there: the stream's end tells exactly how far the restoration has come, whatever has died since. It also
//! keeps two restorations apart: the second one finds another end than it expects, and stops.

use std::collections::VecDeque;

use async_nats::jetstream;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use engine::Failure;
use ledger::{AccountId, Event, Version};
use transport::stored::StoredMessages;
use transport::streams::EVENTS;
use transport::{Nats, PUBLISHES_IN_FLIGHT_MAX, headers, subjects};

use crate::event_feed::message;

/// How many publishes wait for their acknowledgement at a time.
const IN_FLIGHT_MAX: usize = PUBLISHES_IN_FLIGHT_MAX / 2;

/// What a restored event takes of the stream besides what differs from event to event: the names of its fields and headers,
/// its ids, hashes and time, and what JetStream adds.
const BYTES_BESIDES: u64 = 680;

/// How many bytes of the stream so many restored events take, with that much of what differs from event to event. A few
/// percent more than it will be.
pub fn restored_bytes(events: u64, bytes: u64) -> u64 {
    bytes.saturating_add(events.saturating_mul(BYTES_BESIDES))
}

/// Puts events back into the feed.
pub struct RestoredFeed {
    jetstream: jetstream::Context,
    restoration_id: String,
    /// The sequence of the last message that was sent.
    last_sequence: u64,
    acknowledgements: VecDeque<PublishAckFuture>,
}

impl RestoredFeed {
    /// Goes on behind what the feed has, which is being restored, and answers with the account and version of the last event
    /// in it.
    pub async fn resume(
        nats: &Nats,
        restoration_id: String,
        last_sequence: u64,
    ) -> Result<(Self, Option<(AccountId, Version)>), Failure> {
        let place = Self::place(nats, last_sequence).await?;
        let feed = Self {
            jetstream: nats.own_jetstream(),
            restoration_id,
            last_sequence,
            acknowledgements: VecDeque::new(),
        };
        Ok((feed, place))
    }

    /// The account and version of the last event in the feed, which is being restored and ends with this sequence.
    pub async fn place(
        nats: &Nats,
        last_sequence: u64,
    ) -> Result<Option<(AccountId, Version)>, Failure> {
        let filter = format!("{}.*", subjects::EVENTS);
        let stored = StoredMessages::new(nats.jetstream.clone(), EVENTS, &filter, 1);
        let last = match last_sequence {
            0 => None,
            sequence => stored.at(sequence).await?,
        };
        match last {
            None if last_sequence > 0 => Err(Failure::fatal(format!(
                "the feed is being restored, and its last message, {last_sequence}, is gone; begin anew: chronicle feed \
                     restore --replace"
            ))),
            None => Ok(None),
            Some(stored) => {
                let event = operators::event_in(&stored.message).map_err(|error| {
                    Failure::fatal(format!(
                        "message {last_sequence} of the feed that is being restored is no event ({error}); begin anew: \
                         chronicle feed restore --replace"
                    ))
                })?;
                Ok(Some((event.account_id, event.version)))
            }
        }
    }

    /// Publishes the next events; some may not be acknowledged yet when it returns.
    pub async fn publish(&mut self, events: &[Event]) -> Result<(), Failure> {
        for event in events {
            let message = message(event)
                .header(headers::RESTORED, self.restoration_id.as_str())
                .expected_last_sequence(self.last_sequence);
            let subject = subjects::restored_event(&event.account_id);
            let sent = self.jetstream.send_publish(subject, message).await;
            self.acknowledgements.push_back(sent.map_err(failure)?);
            self.last_sequence += 1;
            if self.acknowledgements.len() >= IN_FLIGHT_MAX {
                self.acknowledged().await?;
            }
        }
        Ok(())
    }

    /// Waits until everything is acknowledged.
    pub async fn flush(&mut self) -> Result<(), Failure> {
        while !self.acknowledgements.is_empty() {
            self.acknowledged().await?;
        }
        Ok(())
    }

    /// Waits for the oldest acknowledgement.
    async fn acknowledged(&mut self) -> Result<(), Failure> {
        if let Some(oldest) = self.acknowledgements.pop_front() {
            oldest.into_future().await.map_err(failure)?;
        }
        Ok(())
    }
}

fn failure(error: PublishError) -> Failure {
    let text = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
    match error.kind() {
        PublishErrorKind::WrongLastSequence => {
            return Failure::fatal(
                "another process restores the feed at this moment: this one has stopped, the other goes on",
            )
            .because(error);
        }
        PublishErrorKind::StreamNotFound => {
            return Failure::fatal(
                "the feed takes no restored events any more: another process has opened it, given the restoration up or \
                 begun anew",
            )
            .because(error);
        }
        _ => {}
    }
    let is_full = ["maximum bytes exceeded", "maximum messages exceeded"];
    if is_full.iter().any(|words| text.contains(words)) {
        return Failure::fatal(format!(
            "the feed has no room for all events ({text}). Give it more, and it goes on: chronicle feed restore --feed-mib-max \
             N; or begin anew with what is newer: chronicle feed restore --replace --since TIMESTAMP; or let intake go on \
             without its past: chronicle feed restore --abandon"
        ));
    }
    let is_exhausted = ["insufficient", "resource limits exceeded"];
    if is_exhausted.iter().any(|words| text.contains(words)) {
        return Failure::fatal(format!(
            "NATS has no room for all events ({text}). Free disk space, or give its account more, and it goes on: chronicle \
             feed restore; or let intake go on without the feed's past: chronicle feed restore --abandon"
        ));
    }
    Failure::retry("the feed did not take an event").because(error)
}
