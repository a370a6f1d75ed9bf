//! The book, page by page: the events of a snapshot that were recorded at or before an instant, by account and version.

use std::collections::{HashMap, HashSet};

use ledger::{
    AccountId, CommandId, Event, EventData, EventReference, Timestamp, TransferId, Version,
};
use store::Snapshot;

use crate::commands::reach;
use crate::exit;
use crate::servers_at::ServerArguments;

/// How many events are read at a time.
const PAGE: u32 = 1_000;
/// How many events are looked up at a time.
const PLACES: usize = 1_000;

/// An event, and what it takes to tell it.
pub(super) struct Entry {
    pub(super) event: Event,
    /// The credit of the transfer whose debit this is; always there when other halves were asked for.
    pub(super) credit: Option<Event>,
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        Self {
            event,
            credit: None,
        }
    }
}

/// A walk over the book.
pub(super) struct Book<'a> {
    servers: &'a ServerArguments,
    snapshot: Snapshot,
    at: Timestamp,
    /// The last event that was read.
    last: Option<(AccountId, Version)>,
    ended: bool,
}

impl<'a> Book<'a> {
    pub(super) fn of(servers: &'a ServerArguments, snapshot: Snapshot, at: Timestamp) -> Self {
        Self {
            servers,
            snapshot,
            at,
            last: None,
            ended: false,
        }
    }

    /// Begins again.
    pub(super) fn rewind(&mut self) {
        self.last = None;
        self.ended = false;
    }

    /// The next events, perhaps none of a page that lies behind the instant; `None` at the end of the book.
    pub(super) async fn next_page(&mut self) -> anyhow::Result<Option<Vec<Event>>> {
        if self.ended {
            return Ok(None);
        }
        let after = self.last.as_ref().map(|(id, version)| (id, *version));
        let found = self.snapshot.events(after, PAGE).await;
        let mut events = found.map_err(|error| failed(self.servers, &error))?;
        self.ended = events.len() < PAGE as usize;
        self.last = events
            .last()
            .map(|event| (event.account_id.clone(), event.version));
        events.retain(|event| event.recorded_at <= self.at);
        Ok(Some(events))
    }

    /// The same events, each debit of a transfer with its credit. A command's outcome names all its events, and those of
    /// the account credited are looked at.
    pub(super) async fn with_other_halves(
        &mut self,
        events: Vec<Event>,
    ) -> anyhow::Result<Vec<Entry>> {
        let mut credits = self.credits(&events).await?;
        let entry = |event: Event| {
            let Some(transfer_id) = debit(&event).map(|(transfer_id, _)| transfer_id) else {
                return Ok(Entry::from(event));
            };
            let Some(credit) = credits.remove(&transfer_id) else {
                return Err(exit::no(format!(
                    "account {} version {}: the other half of transfer {transfer_id} is not in the event store; \
                     `chronicle verify` tells what else is damaged",
                    event.account_id, event.version
                )));
            };
            Ok(Entry {
                event,
                credit: Some(credit),
            })
        };
        events.into_iter().map(entry).collect()
    }

    async fn credits(&mut self, events: &[Event]) -> anyhow::Result<HashMap<TransferId, Event>> {
        let servers = self.servers;
        let wanted: HashSet<(CommandId, &AccountId)> = events
            .iter()
            .filter_map(|event| debit(event).map(|(_, credited)| (event.command_id, credited)))
            .collect();
        let mut command_ids: Vec<CommandId> = wanted.iter().map(|(id, _)| *id).collect();
        command_ids.sort_unstable();
        command_ids.dedup();
        let outcomes = if command_ids.is_empty() {
            Vec::new()
        } else {
            let outcomes = self.snapshot.outcomes(&command_ids).await;
            outcomes.map_err(|error| failed(servers, &error))?
        };
        let mut places: Vec<(&str, i64)> = Vec::new();
        for stored in &outcomes {
            let command_id = stored.outcome.command_id;
            let is_wanted =
                |reference: &&EventReference| wanted.contains(&(command_id, &reference.account_id));
            for reference in stored.outcome.events().iter().filter(is_wanted) {
                let version = i64::try_from(reference.version.get()).unwrap_or(i64::MAX);
                places.push((reference.account_id.as_str(), version));
            }
        }
        let mut credits = HashMap::new();
        for places in places.chunks(PLACES) {
            let rows = self.snapshot.event_rows_at(places).await;
            for row in rows.map_err(|error| failed(servers, &error))? {
                let event = row.event.map_err(|message| {
                    damaged(&format!(
                        "account {} version {} cannot be read: {message}",
                        row.account_id, row.version
                    ))
                })?;
                if let Some(transfer_id) = credit(&event) {
                    credits.insert(transfer_id, event);
                }
            }
        }
        Ok(credits)
    }

    /// Ends the walk.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let closed = self.snapshot.close().await;
        closed.map_err(|error| failed(self.servers, &error))
    }
}

/// The transfer that an event is the debit of, and the account that is credited.
fn debit(event: &Event) -> Option<(TransferId, &AccountId)> {
    match &event.data {
        EventData::MoneyWithdrawn(moved) => moved
            .transfer
            .as_ref()
            .map(|leg| (leg.transfer_id, &leg.counterparty_account_id)),
        _ => None,
    }
}

/// The transfer that an event is the credit of.
fn credit(event: &Event) -> Option<TransferId> {
    match &event.data {
        EventData::MoneyDeposited(moved) => moved.transfer.as_ref().map(|leg| leg.transfer_id),
        _ => None,
    }
}

fn failed(servers: &ServerArguments, error: &store::Error) -> anyhow::Error {
    match error {
        store::Error::Unreadable { .. } | store::Error::UnreadableCommand { .. } => {
            damaged(&error.to_string())
        }
        other => reach::event_store_failed(servers, other),
    }
}

fn damaged(what: &str) -> anyhow::Error {
    exit::no(format!(
        "{what}; `chronicle verify` tells what else is damaged"
    ))
}
