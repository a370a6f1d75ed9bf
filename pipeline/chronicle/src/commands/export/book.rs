//! The book, page by page: the events of a snapshot that were recorded at or before an instant, by account and version.

use std::collections::{HashMap, HashSet};

use ledger::{
    AccountId, CommandId, Event, EventData, EventId, EventReference, Outcome, Timestamp,
    TransferId, Version, limits,
};
use store::Snapshot;

use crate::commands::reach;
use crate::exit;
use crate::servers_at::ServerArguments;

/// How many events are read at a time.
const PAGE: u32 = 1_000;
/// How many events are looked up at a time.
const PLACES: usize = 1_000;
/// How many events a command can have: one that is at most a transfer, and one that may be a batch, a posting or the
/// reversal of one. No event counts for less than 512 of the bytes that a command may write.
const SMALL: usize = 3;
const LARGE: usize = limits::WRITTEN_BYTES_MAX / 512;
/// How many events the commands of some events may have, to be looked up together.
const TOGETHER: usize = 10 * LARGE;

/// An event, and what it takes to tell it.
pub(super) struct Entry {
    pub(super) event: Event,
    /// What its transaction has besides: the credit of the transfer whose debit this is, or the other entries of the
    /// posting whose first entry this is. Always there when they were asked for.
    pub(super) others: Vec<Event>,
}

impl From<Event> for Entry {
    fn from(event: Event) -> Self {
        Self {
            event,
            others: Vec::new(),
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

    /// The same events, each debit of a transfer with its credit, and the first entry of each posting with the others.
    pub(super) async fn with_others(&mut self, events: Vec<Event>) -> anyhow::Result<Vec<Entry>> {
        let commands = self.commands(&events).await?;
        let mut places: HashSet<(&str, i64)> = HashSet::new();
        for event in &events {
            places.extend(commands.followers(event).map(place));
        }
        let found = self
            .events_at(&places.into_iter().collect::<Vec<_>>())
            .await?;
        let entry = |event: Event| {
            let others = others(&event, &commands, &found)?;
            Ok(Entry { event, others })
        };
        events.into_iter().map(entry).collect()
    }

    /// The events of the commands that have told something in several events.
    async fn commands(&mut self, events: &[Event]) -> anyhow::Result<Commands> {
        let mut command_ids: Vec<CommandId> = events
            .iter()
            .filter(|event| debited(event).is_some() || event.data.posting_id().is_some())
            .map(|event| event.command_id)
            .collect();
        command_ids.sort_unstable();
        command_ids.dedup();
        if command_ids.is_empty() {
            return Ok(Commands::default());
        }
        let outcomes = self.snapshot.outcomes(&command_ids).await;
        let outcomes = outcomes.map_err(|error| failed(self.servers, &error))?;
        Ok(Commands::of(outcomes.into_iter().map(|it| it.outcome)))
    }

    async fn events_at(
        &mut self,
        places: &[(&str, i64)],
    ) -> anyhow::Result<HashMap<EventId, Event>> {
        let mut found = HashMap::new();
        for places in places.chunks(PLACES) {
            let rows = self.snapshot.event_rows_at(places).await;
            for row in rows.map_err(|error| failed(self.servers, &error))? {
                let event = row.event.map_err(|message| {
                    damaged(&format!(
                        "account {} version {} cannot be read: {message}",
                        row.account_id, row.version
                    ))
                })?;
                found.insert(event.event_id, event);
            }
        }
        Ok(found)
    }

    /// Ends the walk.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let closed = self.snapshot.close().await;
        closed.map_err(|error| failed(self.servers, &error))
    }
}

/// Splits a page, so that what belongs to the events of one part is not too much to be looked up together. One command
/// alone may have more.
pub(super) fn split(page: Vec<Event>) -> Vec<Vec<Event>> {
    let mut parts = Vec::new();
    let (mut part, mut command_ids, mut weight) = (Vec::new(), HashSet::new(), 0);
    for event in page {
        let is_large = event.part.is_some()
            || event.data.posting_id().is_some()
            || event.data.reversal().is_some();
        let events_max = if is_large { LARGE } else { SMALL };
        if command_ids.insert(event.command_id) {
            weight += events_max;
            if weight > TOGETHER && !part.is_empty() {
                parts.push(std::mem::take(&mut part));
                command_ids = HashSet::from([event.command_id]);
                weight = events_max;
            }
        }
        part.push(event);
    }
    parts.push(part);
    parts
}

/// Where the events of some commands are, in the order of each command.
#[derive(Default)]
struct Commands {
    references: HashMap<CommandId, Vec<EventReference>>,
    /// The place of each event in its command.
    indexes: HashMap<EventId, usize>,
}

impl Commands {
    fn of(outcomes: impl Iterator<Item = Outcome>) -> Self {
        let mut commands = Self::default();
        for outcome in outcomes {
            let references = outcome.events().to_vec();
            for (index, reference) in references.iter().enumerate() {
                commands.indexes.insert(reference.event_id, index);
            }
            commands.references.insert(outcome.command_id, references);
        }
        commands
    }

    /// Those behind an event that may belong to it: the credit of a transfer stands behind its debit, and the entries of
    /// a posting behind the first of them, which the posting is named after.
    fn followers(&self, event: &Event) -> impl Iterator<Item = &EventReference> {
        let index = self.indexes.get(&event.event_id).copied();
        let first = |index: usize| {
            let index = u32::try_from(index).ok()?;
            Some(event.command_id.posting_id(index))
        };
        let count = match (debited(event), event.data.posting_id()) {
            (Some(_), _) => 1,
            (None, Some(posting_id)) if index.and_then(first) == Some(posting_id) => usize::MAX,
            _ => 0,
        };
        let references = self.references.get(&event.command_id);
        let behind = references
            .zip(index)
            .and_then(|(references, index)| references.get(index + 1..))
            .unwrap_or_default();
        let part = event.part;
        behind
            .iter()
            .take(count)
            .take_while(move |reference| reference.part == part)
    }
}

fn place(reference: &EventReference) -> (&str, i64) {
    let version = i64::try_from(reference.version.get()).unwrap_or(i64::MAX);
    (reference.account_id.as_str(), version)
}

/// What belongs to the transaction that an event tells.
fn others(
    event: &Event,
    commands: &Commands,
    found: &HashMap<EventId, Event>,
) -> anyhow::Result<Vec<Event>> {
    let missing = |what: String| {
        Err(damaged(&format!(
            "account {} version {}: {what} is not in the event store",
            event.account_id, event.version
        )))
    };
    let mut followers = commands
        .followers(event)
        .map(|reference| found.get(&reference.event_id));
    if let Some(transfer_id) = debited(event) {
        let credit = followers.next().flatten();
        return match credit.filter(|other| credited(other) == Some(transfer_id)) {
            Some(credit) => Ok(vec![credit.clone()]),
            None => missing(format!("the other half of transfer {transfer_id}")),
        };
    }
    let Some(posting_id) = event.data.posting_id() else {
        return Ok(Vec::new());
    };
    if !commands.indexes.contains_key(&event.event_id) {
        return missing(format!(
            "the outcome that names this entry of posting {posting_id}"
        ));
    }
    let mut others = Vec::new();
    for follower in followers {
        match follower {
            Some(other) if other.data.posting_id() == Some(posting_id) => {
                others.push(other.clone())
            }
            // Another posting, of a reversal of several.
            Some(_) => break,
            None => return missing(format!("another entry of posting {posting_id}")),
        }
    }
    Ok(others)
}

/// The transfer that an event is the debit of.
fn debited(event: &Event) -> Option<TransferId> {
    match &event.data {
        EventData::MoneyWithdrawn(moved) => moved.transfer.as_ref().map(|leg| leg.transfer_id),
        _ => None,
    }
}

/// The transfer that an event is the credit of.
fn credited(event: &Event) -> Option<TransferId> {
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

#[cfg(test)]
mod tests {
    use ledger::codec::json;
    use ledger::decide;

    use super::*;

    /// The events of commands whose fields are these, decided one after the other.
    fn events(commands: &[String]) -> Vec<Event> {
        let mut book = ledger::Book::default();
        let mut events = Vec::new();
        for (number, fields) in commands.iter().enumerate() {
            let body =
                format!("{{\"command_id\":\"6f1c2a3e-58b1-4c0e-9a53-{number:012}\",{fields}}}");
            let command = json::decode_command(body.as_bytes()).unwrap();
            let at = "2026-01-31T12:00:00Z".parse().unwrap();
            for event in decide(&book, &command, at, &ledger::Policy::default()).unwrap() {
                book.apply(&event).unwrap();
                events.push(event);
            }
        }
        events
    }

    fn sizes(page: Vec<Event>) -> Vec<usize> {
        split(page).iter().map(Vec::len).collect()
    }

    #[test]
    fn a_page_is_split_by_what_its_commands_may_have() {
        let open = r#""type":"create_account","account_id":"A","owner_name":"A","currency":"USD""#;
        let deposit = r#""type":"deposit","account_id":"A","amount":"1""#;
        let small = vec![deposit.to_owned(); 999];
        let page = events(&[&[open.to_owned()], &small[..]].concat());
        assert_eq!(sizes(page), [1_000]);

        let batch = |size: usize| {
            let commands = vec![format!("{{{deposit}}}"); size];
            format!(r#""type":"batch","commands":[{}]"#, commands.join(","))
        };
        // The first part has the opening, too.
        let page = events(&[&[open.to_owned()], &vec![batch(4); 25][..]].concat());
        assert_eq!(sizes(page), [1 + 9 * 4, 10 * 4, 6 * 4]);
        let page = events(&[open.to_owned(), batch(1_000)]);
        assert_eq!(sizes(page), [1_001]);
        assert_eq!(sizes(Vec::new()), [0]);
    }
}
