//! What a restoration of the feed would do, before it does it.

use async_nats::jetstream::stream::Stream;
use serde::Serialize;
use transport::restoring::{self, Restoration};

use crate::output::{self, Format};

/// The feed as it is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Found {
    /// There is none.
    Missing,
    /// Everybody reads and writes it.
    Open {
        messages: u64,
        first_sequence: u64,
        last_sequence: u64,
        /// When it was made.
        made_at: String,
    },
    /// A restoration was begun, and is at this message.
    Restoring {
        restoration: String,
        last_sequence: u64,
    },
}

impl Found {
    pub(super) fn of(stream: Option<&Stream>) -> Self {
        let Some(stream) = stream else {
            return Self::Missing;
        };
        let state = &stream.cached_info().state;
        match restoring::restoration(stream) {
            Some(Restoration { id, .. }) => Self::Restoring {
                restoration: id,
                last_sequence: state.last_sequence,
            },
            None => Self::Open {
                messages: state.messages,
                first_sequence: state.first_sequence,
                last_sequence: state.last_sequence,
                made_at: transport::streams::identity(stream),
            },
        }
    }
}

/// The plan.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    pub(super) feed: Found,
    /// How many events the event store has; null when counting them takes too long.
    pub(super) events: Option<u64>,
    pub(super) replace: bool,
    pub(super) since: Option<String>,
    /// Whether the projections are told to go on with the new feed.
    pub(super) adopt: bool,
}

impl Plan {
    /// Whether it would remove a feed without having been told to.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.feed, Found::Open { .. }) && !self.replace
    }

    pub(super) fn print(&self, output: Format) -> anyhow::Result<()> {
        match output {
            Format::Json => output::json(self),
            Format::Table => self.words().into_iter().try_for_each(output::line),
        }
    }

    fn words(&self) -> Vec<String> {
        let events = self
            .events
            .map_or_else(|| "all".to_owned(), |events| events.to_string());
        let what = match &self.since {
            Some(since) => {
                format!("those of {events} events that were recorded at {since} or later")
            }
            None => format!("{events} events"),
        };
        let publish = format!("publishes {what} of the event store, account by account");
        let mut lines = match &self.feed {
            Found::Missing => vec!["makes the feed, which is missing".to_owned(), publish],
            Found::Open {
                messages,
                first_sequence,
                last_sequence,
                made_at,
            } => vec![
                if self.replace {
                    format!(
                        "removes the feed, made {made_at}, with {messages} messages ({first_sequence} to {last_sequence}) and \
                         all of its consumers"
                    )
                } else {
                    still_there(*messages)
                },
                publish,
            ],
            Found::Restoring {
                restoration,
                last_sequence,
            } if self.replace => vec![
                format!(
                    "removes what restoration {restoration} has published so far, {last_sequence} events"
                ),
                publish,
            ],
            Found::Restoring {
                restoration,
                last_sequence,
            } => vec![format!(
                "goes on with restoration {restoration}, which has published {last_sequence} of {what}"
            )],
        };
        lines.push(
            "meanwhile intake waits: commands are kept, and have their outcomes later".to_owned(),
        );
        if self.adopt {
            lines.push(
                "tells the projections to go on with it; what they have applied is applied once"
                    .to_owned(),
            );
        }
        lines
    }
}

/// A feed is there that nobody has said may go.
pub(super) fn still_there(messages: u64) -> String {
    format!(
        "the feed is there, with {messages} messages. Projections need no other one: what it lacks, they take from the event \
         store. To make it anew for other readers, give --replace: it is removed first, with all of its consumers"
    )
}
