//! Outcomes whose answer did not come: an answer is a plain message and may be lost with a connection, the outcome in the
//! event store is not.

use std::collections::HashMap;

use ledger::{CommandId, Hash, Outcome};
use store::{EventStore, StoredCommand};

/// What the event store says of a command.
pub(crate) enum Found {
    /// Its outcome.
    Outcome(Outcome),
    /// The outcome of another command that had the same id before: this one becomes a dead letter.
    AnotherCommand,
    /// It has none yet.
    Nothing,
}

/// The outcomes of several commands.
pub(crate) struct Answers {
    stored: HashMap<CommandId, StoredCommand>,
}

impl Answers {
    /// Asks the event store.
    pub(crate) async fn of(
        store: &EventStore,
        command_ids: &[CommandId],
    ) -> Result<Self, store::Error> {
        let stored = store.outcomes(command_ids).await?;
        Ok(Self {
            stored: stored
                .into_iter()
                .map(|stored| (stored.outcome.command_id, stored))
                .collect(),
        })
    }

    /// What is said of one command.
    pub(crate) fn find(&self, command_id: CommandId, fingerprint: Hash) -> Found {
        match self.stored.get(&command_id) {
            None => Found::Nothing,
            Some(stored) if stored.fingerprint == fingerprint => {
                Found::Outcome(stored.outcome.clone())
            }
            Some(_) => Found::AnotherCommand,
        }
    }
}
