//! What a restoration of the feed would do, before it does it.

use async_nats::jetstream::stream::Stream;
use serde::Serialize;
use transport::restoring::{self, Restoration};

use super::limits::{Limits, MEBIBYTE, mebibytes};
use super::measure::Amount;
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
        /// It is being given up.
        abandoned: bool,
    },
}

impl Found {
    pub(super) fn of(stream: Option<&Stream>) -> Self {
        let Some(stream) = stream else {
            return Self::Missing;
        };
        let state = &stream.cached_info().state;
        match restoring::restoration(stream) {
            Some(Restoration {
                id, is_abandoned, ..
            }) => Self::Restoring {
                restoration: id,
                last_sequence: state.last_sequence,
                abandoned: is_abandoned,
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
    /// How many events the feed has when it is whole.
    pub(super) events: u64,
    /// About how many bytes of the stream they take; rather more than less.
    pub(super) bytes: u64,
    /// The limits that the feed has then.
    pub(super) limits: Limits,
    /// The feed whose limits these are, by when it was made: one that was removed by a restoration which has died.
    pub(super) limits_of: Option<String>,
    /// Whether there is room for everything.
    pub(super) fits: bool,
    pub(super) replace: bool,
    pub(super) since: Option<String>,
    /// Whether the projections are told to go on with the new feed.
    pub(super) adopt: bool,
}

impl Plan {
    /// The same with what was measured.
    pub(super) fn of(mut self, amount: Amount) -> Self {
        (self.events, self.bytes) = (amount.events, amount.bytes);
        self.fits = self.limits.take(amount.events, amount.bytes);
        self
    }

    /// Whether it would remove a feed without having been told to.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(self.feed, Found::Open { .. }) && !self.replace
    }

    /// Whether it goes on with a restoration that was begun before.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self.feed, Found::Restoring { abandoned, .. } if !abandoned && !self.replace)
    }

    /// The restoration that it would go on with, but which is being given up.
    pub(super) fn given_up(&self) -> Option<&str> {
        match &self.feed {
            Found::Restoring {
                restoration,
                abandoned: true,
                ..
            } if !self.replace => Some(restoration),
            _ => None,
        }
    }

    /// Why it is not begun with, or might not come to its end, and what to do.
    pub(super) fn too_large(&self) -> String {
        let Self { events, limits, .. } = self;
        let (bytes, limits) = (mebibytes(self.bytes), limits.told());
        let needed = self.bytes.div_ceil(MEBIBYTE);
        let more = if limits_bytes(self) {
            format!("Give it more: --feed-mib-max {needed}")
        } else {
            "Give it more (its messages are limited: nats stream edit LEDGER_EVENTS --max-msgs -1)"
                .to_owned()
        };
        let head = format!(
            "the feed has no room for everything: {events} events take about {bytes} MiB, and it keeps at most {limits}. "
        );
        if self.goes_on() {
            // It is an estimate, and there is a way on from a feed that is full.
            return format!(
                "{head}It goes on as far as there is room. {more}; or begin anew with what is newer: --replace --since \
                 TIMESTAMP; or let intake go on without its past: --abandon"
            );
        }
        format!(
            "{head}Nothing was changed. {more}; or restore only what is newer: --since TIMESTAMP"
        )
    }

    pub(super) fn print(&self, output: Format) -> anyhow::Result<()> {
        match output {
            Format::Json => output::json(self),
            Format::Table => self.words().into_iter().try_for_each(output::line),
        }
    }

    fn words(&self) -> Vec<String> {
        let what = match &self.since {
            Some(since) => format!(
                "the {} events that were recorded at {since} or later",
                self.events
            ),
            None => format!("{} events", self.events),
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
                ..
            } if self.replace => vec![
                format!(
                    "removes what restoration {restoration} has published so far, {last_sequence} events"
                ),
                publish,
            ],
            Found::Restoring {
                restoration,
                abandoned: true,
                ..
            } => vec![being_given_up(restoration)],
            Found::Restoring {
                restoration,
                last_sequence,
                ..
            } => vec![format!(
                "goes on with restoration {restoration}, which has published {last_sequence} of {what}"
            )],
        };
        lines.push(format!(
            "that takes about {} MiB, and the feed keeps at most {}: {}",
            mebibytes(self.bytes),
            self.limits.told(),
            if self.fits {
                "it has room for it"
            } else if self.goes_on() {
                "it may have no room for it, and goes on until it is full"
            } else {
                "it has no room for it, and nothing would be done"
            }
        ));
        if let Some(made_at) = &self.limits_of {
            lines.push(format!(
                "these are the limits of the feed that was made {made_at}, which an interrupted restoration has removed"
            ));
        }
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

/// Whether it is the number of bytes that is too small.
fn limits_bytes(plan: &Plan) -> bool {
    plan.limits.bytes_max.is_some_and(|max| plan.bytes > max)
}

/// A restoration is there that takes nothing any more.
pub(super) fn being_given_up(restoration: &str) -> String {
    format!(
        "restoration {restoration} is being given up, and cannot go on. Finish that with --abandon, or begin anew with --replace"
    )
}

/// A feed is there that nobody has said may go.
pub(super) fn still_there(messages: u64) -> String {
    format!(
        "the feed is there, with {messages} messages. Projections need no other one: what it lacks, they take from the event \
         store. To make it anew for other readers, give --replace: it is removed first, with all of its consumers"
    )
}
