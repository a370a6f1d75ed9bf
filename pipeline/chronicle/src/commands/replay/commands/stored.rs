//! Commands of the event store with their outcomes, in the order in which they were decided.

use std::collections::{HashMap, VecDeque};

use ledger::{Command, CommandId, Outcome};
use store::{CommandPlace, CommandRange, EventStore};

use crate::commands::reach;
use crate::servers_at::ServerArguments;

/// How many places are read at a time: many, for each time the whole table is read.
const PLACES_AT_A_TIME: u32 = 100_000;
/// How many bodies are read at a time.
const BODIES_AT_A_TIME: usize = 500;

/// A command that has an outcome.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) command: Command,
    pub(super) outcome: Outcome,
}

/// Commands as they come.
pub(super) struct StoredCommands<'a> {
    servers: &'a ServerArguments,
    store: EventStore,
    range: CommandRange,
    behind: Option<CommandPlace>,
    places: VecDeque<CommandPlace>,
    has_ended: bool,
    ready: VecDeque<Stored>,
}

impl<'a> StoredCommands<'a> {
    /// Those of `range` that come behind the given one.
    pub(super) fn new(
        servers: &'a ServerArguments,
        store: EventStore,
        range: CommandRange,
        behind: Option<CommandPlace>,
    ) -> Self {
        Self {
            servers,
            store,
            range,
            behind,
            places: VecDeque::new(),
            has_ended: false,
            ready: VecDeque::new(),
        }
    }

    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Stored>> {
        if self.ready.is_empty() {
            if self.places.is_empty() && !self.has_ended {
                self.read_places().await?;
            }
            self.read_bodies().await?;
        }
        Ok(self.ready.pop_front())
    }

    async fn read_places(&mut self) -> anyhow::Result<()> {
        let places = self
            .store
            .command_places(&self.range, self.behind, PLACES_AT_A_TIME)
            .await
            .map_err(|error| reach::event_store_failed(self.servers, &error))?;
        self.has_ended = places.len() < PLACES_AT_A_TIME as usize;
        self.behind = places.last().copied().or(self.behind);
        self.places = places.into();
        Ok(())
    }

    async fn read_bodies(&mut self) -> anyhow::Result<()> {
        let count = self.places.len().min(BODIES_AT_A_TIME);
        let ids: Vec<CommandId> = self
            .places
            .drain(..count)
            .map(|place| place.command_id)
            .collect();
        let rows = self.store.command_rows_of(&ids).await;
        let rows = rows.map_err(|error| reach::event_store_failed(self.servers, &error))?;
        let mut found: HashMap<CommandId, _> =
            rows.into_iter().map(|row| (row.command_id, row)).collect();
        for command_id in ids {
            let unreadable = |message: String| {
                let error = store::Error::UnreadableCommand {
                    command_id: command_id.as_uuid(),
                    message,
                };
                reach::event_store_failed(self.servers, &error)
            };
            let row = found
                .remove(&command_id)
                .ok_or_else(|| unreadable("it is not there any more".to_owned()))?;
            self.ready.push_back(Stored {
                command: row.body.map_err(unreadable)?,
                outcome: row.outcome.map_err(unreadable)?,
            });
        }
        Ok(())
    }
}
