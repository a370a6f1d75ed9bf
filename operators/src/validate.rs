//! Validating commands: each gets its one outcome, and its events are committed with it.

use std::time::{Duration, SystemTime};

use engine::{Cause, Failure, Operator, Step, fault};
use ledger::{Command, CommandId, Event, EventReference, Outcome, Timestamp};
use store::{EventStore, Processed, Writer, WriterOptions};
use time::OffsetDateTime;

use crate::counters::CommandCounters;
use crate::decode_command::Received;

/// A command with its outcome, committed.
#[derive(Debug, Clone)]
pub struct Decided {
    /// What became of it.
    pub outcome: Outcome,
    /// What has to be published: its events, unless they surely were published before.
    pub events: Vec<Event>,
    /// Where its publisher waits for the outcome.
    pub reply_to: Option<String>,
}

/// How far the clocks of the writer and of NATS may be apart.
const CLOCKS_APART_MAX: Duration = Duration::from_mins(1);

/// The operator.
pub struct Validate {
    store: EventStore,
    writer: Writer,
    counters: CommandCounters,
}

impl Validate {
    /// An operator that remembers nothing yet.
    pub fn new(store: EventStore, options: WriterOptions) -> Self {
        Self {
            writer: Writer::new(store.clone(), options),
            store,
            counters: CommandCounters::default(),
        }
    }

    /// The same operator, counting in these counters.
    #[must_use]
    pub fn counted_by(mut self, counters: &CommandCounters) -> Self {
        self.writer = self.writer.counted_by(&counters.writer);
        self.counters = counters.clone();
        self
    }

    /// The events of repeated commands that have to be published again: whoever committed them may have died before
    /// publishing them.
    async fn events_again(&self, again: &[EventReference]) -> Result<Vec<Event>, Failure> {
        let events = self.store.events(again).await.map_err(failure)?;
        self.counters.publishes_again(events.len());
        Ok(events)
    }
}

impl Operator for Validate {
    type Input = Received;
    type Output = Decided;

    async fn apply(&mut self, batch: Vec<Received>) -> Result<Vec<Step<Decided>>, Failure> {
        if batch.iter().any(|received| received.redelivered) {
            self.writer.expect_repeats();
        }
        let (commands, origins): (Vec<Command>, Vec<Origin>) =
            batch.into_iter().map(Origin::split).unzip();
        let processed = self
            .writer
            .process(&commands, &now)
            .await
            .map_err(failure)?;
        fault::point("after_commit");

        let again: Vec<EventReference> = processed
            .iter()
            .zip(&origins)
            .filter_map(|(processed, origin)| match processed {
                Processed::Repeated(stored) if origin.may_be_unpublished(stored.recorded_at) => {
                    Some(stored.outcome.events())
                }
                _ => None,
            })
            .flatten()
            .cloned()
            .collect();
        let mut events_again = self.events_again(&again).await?.into_iter();

        Ok(processed
            .into_iter()
            .zip(origins)
            .map(|(processed, origin)| match processed {
                Processed::Committed { outcome, events } => Step::Emit(Decided {
                    outcome,
                    events,
                    reply_to: origin.reply_to,
                }),
                Processed::Repeated(stored) => {
                    let count = if origin.may_be_unpublished(stored.recorded_at) {
                        stored.outcome.events().len()
                    } else {
                        0
                    };
                    Step::Emit(Decided {
                        events: events_again.by_ref().take(count).collect(),
                        outcome: stored.outcome,
                        reply_to: origin.reply_to,
                    })
                }
                Processed::IdempotencyConflict(rejection) => Step::DeadLetter(Cause {
                    code: rejection.code.as_str(),
                    message: rejection.message,
                }),
                Processed::Refused(reason) => Step::DeadLetter(Cause {
                    code: "refused_by_event_store",
                    message: format!(
                        "command {}: the event store refuses a value of it: {reason}",
                        origin.command_id
                    ),
                }),
            })
            .collect())
    }

    fn describe(&self) -> String {
        "decides each command over its accounts; commits outcomes and events of a batch in one statement".to_owned()
    }
}

/// What is kept of a received command while the writer has the command itself.
struct Origin {
    command_id: CommandId,
    reply_to: Option<String>,
    stored_at: SystemTime,
    redelivered: bool,
}

impl Origin {
    fn split(received: Received) -> (Command, Self) {
        let origin = Self {
            command_id: received.command.command_id,
            reply_to: received.reply_to,
            stored_at: received.stored_at,
            redelivered: received.redelivered,
        };
        (received.command, origin)
    }

    /// Whether the events of a command that has an outcome already may never have been published.
    ///
    /// A command is settled only after its events are published. If this message entered the stream after the outcome
    /// was recorded, then another message brought the command first; that one is settled and published, or will be
    /// delivered again itself. So a publisher's late retry does not repeat events in the feed.
    fn may_be_unpublished(&self, recorded_at: Timestamp) -> bool {
        let recorded_at = SystemTime::from(recorded_at.to_date_time());
        self.redelivered || self.stored_at < recorded_at + CLOCKS_APART_MAX
    }
}

fn now() -> Timestamp {
    Timestamp::from_date_time(OffsetDateTime::now_utc())
}

/// What the engine makes of an error of the event store.
fn failure(error: store::Error) -> Failure {
    let transient = error.is_transient();
    let failure = if transient {
        Failure::retry
    } else {
        Failure::fatal
    };
    failure("commands cannot be validated").because(error)
}
