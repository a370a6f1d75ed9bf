//! A subject: each event as a message with its own headers, marked with the replay.

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::context::GetStreamByNameErrorKind;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use transport::{Nats, headers, streams, subjects};

use crate::commands::reach;
use crate::commands::replay::event::{Place, Replayed};
use crate::exit;
use crate::servers_at::ServerArguments;
use crate::submission::publishing::{self, Outgoing, Unacknowledged};

/// How many messages wait for the stream's acknowledgement, or for the connection to take them.
const IN_FLIGHT_MAX: usize = 512;

type Acknowledgement = BoxFuture<'static, (Place, Result<bool, Unacknowledged>)>;

/// Messages that are being published.
pub(in crate::commands::replay) struct Subject {
    servers: ServerArguments,
    nats: Nats,
    pub(in crate::commands::replay) name: String,
    pub(in crate::commands::replay) replay_id: String,
    /// The stream that takes the subject; without one nothing keeps the messages.
    pub(in crate::commands::replay) stream: Option<String>,
    acknowledgements: FuturesOrdered<Acknowledgement>,
    /// How many were handed to the connection since it was flushed.
    unflushed: usize,
    last: Option<Place>,
    done: Option<Place>,
    /// What the stream had already under this replay's id.
    pub(in crate::commands::replay) duplicates: u64,
}

impl Subject {
    /// Looks who takes the subject, which must not be one that the ledger lives by.
    pub(in crate::commands::replay) async fn open(
        servers: &ServerArguments,
        name: &str,
        replay_id: String,
    ) -> anyhow::Result<Self> {
        check(name)?;
        let mut nats = reach::nats(servers).await?;
        nats.jetstream = nats.own_jetstream();
        let stream = stream_of(servers, &nats.jetstream, name).await?;
        if let Some(stream) = &stream
            && [streams::COMMANDS, streams::EVENTS, streams::DEAD_LETTERS]
                .contains(&stream.as_str())
        {
            return Err(exit::usage(format!(
                "the subject {name} is taken by the stream {stream}, which the ledger lives by; give another one"
            )));
        }
        Ok(Self {
            servers: servers.clone(),
            nats,
            name: name.to_owned(),
            replay_id,
            stream,
            acknowledgements: FuturesOrdered::new(),
            unflushed: 0,
            last: None,
            done: None,
            duplicates: 0,
        })
    }

    pub(super) async fn write(&mut self, replayed: Replayed) -> anyhow::Result<()> {
        let message = self.message(&replayed);
        self.last = Some(replayed.place.clone());
        if self.stream.is_none() {
            return self.hand_over(message).await;
        }
        let place = replayed.place;
        let acknowledgement = publishing::begin(&self.nats, message).await;
        self.acknowledgements.push_back(
            acknowledgement
                .map(|result| (place, result.map(|acknowledged| acknowledged.duplicate)))
                .boxed(),
        );
        while self.acknowledgements.len() >= IN_FLIGHT_MAX {
            self.acknowledged().await?;
        }
        Ok(())
    }

    /// The original's headers, but those that JetStream takes for its own: what they asked for was about the feed.
    fn message(&self, replayed: &Replayed) -> Outgoing {
        let mut map = HeaderMap::new();
        let originals = replayed.headers.iter().filter(|(name, _)| {
            let prefix = name.get(..headers::SERVER_PREFIX.len());
            !prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(headers::SERVER_PREFIX))
        });
        for (name, value) in originals {
            map.append(name.as_str(), value.as_str());
        }
        map.insert(headers::REPLAY, self.replay_id.as_str());
        if let Some(sequence) = replayed.place.sequence() {
            map.insert(headers::SEQUENCE, sequence.to_string());
        }
        // A replay that goes on does not repeat itself within the stream's window; another one is not suppressed by it.
        map.insert(
            headers::MESSAGE_ID,
            format!("{}:{}", self.replay_id, replayed.event.event_id),
        );
        Outgoing {
            subject: self.name.clone(),
            headers: map,
            payload: replayed.payload.clone(),
        }
    }

    async fn acknowledged(&mut self) -> anyhow::Result<()> {
        match self.acknowledgements.next().await {
            None => Ok(()),
            Some((place, Ok(is_duplicate))) => {
                self.duplicates += u64::from(is_duplicate);
                self.done = Some(place);
                Ok(())
            }
            Some((place, Err(error))) => Err(reach::nats_says(
                &self.servers,
                format!("{place} was not published: {error}"),
            )),
        }
    }

    /// To whoever listens now.
    async fn hand_over(&mut self, message: Outgoing) -> anyhow::Result<()> {
        if !self.nats.is_connected() {
            return Err(reach::nats_says(&self.servers, "the connection was lost"));
        }
        let published = self
            .nats
            .client
            .publish_with_headers(message.subject, message.headers, message.payload)
            .await;
        published.map_err(|error| reach::nats_says(&self.servers, error))?;
        self.unflushed += 1;
        if self.unflushed >= IN_FLIGHT_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        let flushed = self.nats.client.flush().await;
        flushed.map_err(|error| reach::nats_says(&self.servers, error))?;
        self.unflushed = 0;
        self.done.clone_from(&self.last);
        Ok(())
    }

    pub(super) async fn finish(&mut self) -> anyhow::Result<()> {
        if self.stream.is_none() {
            return self.flush().await;
        }
        while !self.acknowledgements.is_empty() {
            self.acknowledged().await?;
        }
        Ok(())
    }

    /// Up to where everything is published: in the stream, or handed to the server.
    pub(super) fn done(&self) -> Option<&Place> {
        self.done.as_ref()
    }
}

async fn stream_of(
    servers: &ServerArguments,
    jetstream: &jetstream::Context,
    name: &str,
) -> anyhow::Result<Option<String>> {
    match jetstream.stream_by_subject(name).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.kind() == GetStreamByNameErrorKind::NotFound => Ok(None),
        Err(error) => Err(reach::nats_says(servers, error)),
    }
}

/// A subject to publish under, and none of those that mean something to the ledger or to NATS.
fn check(name: &str) -> anyhow::Result<()> {
    let tokens: Vec<&str> = name.split('.').collect();
    let is_plain = |token: &&str| {
        !token.is_empty()
            && *token != "*"
            && *token != ">"
            && !token
                .chars()
                .any(|character| character.is_whitespace() || character.is_control())
    };
    if !tokens.iter().all(is_plain) {
        return Err(exit::usage(format!(
            "{name:?} is no subject to publish under: tokens with points between, without spaces and wildcards"
        )));
    }
    if name.starts_with('$') || name.starts_with('_') {
        return Err(exit::usage(format!(
            "the subject {name} belongs to NATS; give another one"
        )));
    }
    let live = [
        subjects::COMMANDS,
        subjects::EVENTS,
        subjects::RESTORED_EVENTS,
        subjects::OUTCOMES,
        subjects::DEAD_LETTERS,
    ];
    let is_live = |prefix: &&str| {
        name.strip_prefix(*prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if let Some(prefix) = live.iter().find(|prefix| is_live(prefix)) {
        return Err(exit::usage(format!(
            "the subject {name} is a live one ({prefix}.>): nothing is replayed onto it; give another one"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn live_subjects_those_of_nats_and_patterns_are_refused() {
        for name in [
            "",
            "a..b",
            "a.*",
            "a.>",
            ">",
            "a b",
            "a.\u{85}",
            "$JS.API.STREAM.NAMES",
            "_INBOX.x",
            "ledger.events.A",
            "ledger.commands.A",
            "ledger.events",
            "ledger.outcomes.x.y",
            "ledger.dead_letters.x",
        ] {
            assert!(check(name).is_err(), "{name:?}");
        }
        for name in [
            "replay",
            "replay.events",
            "ledger.events2.A",
            "ledger.replay",
        ] {
            assert!(check(name).is_ok(), "{name:?}");
        }
    }
}
