//! Events of the event store, by account and version: each account's in order, one account after the other.

use std::collections::VecDeque;

use ledger::{AccountId, Event, Timestamp, Version};
use store::EventStore;

use super::event::{Counts, Replayed, Step};
use crate::arguments::ReplayArguments;
use crate::commands::reach;
use crate::servers_at::ServerArguments;

const PAGE: u32 = 1_000;

/// Events of the event store.
pub(super) struct StoredEvents<'a> {
    servers: &'a ServerArguments,
    arguments: &'a ReplayArguments,
    store: EventStore,
    through: Timestamp,
    after: Option<(AccountId, Version)>,
    page: VecDeque<Event>,
    has_ended: bool,
    /// How many were read.
    pub(super) read: u64,
}

impl<'a> StoredEvents<'a> {
    /// Behind `after`, of what was recorded at or before `through`.
    pub(super) fn new(
        servers: &'a ServerArguments,
        arguments: &'a ReplayArguments,
        store: EventStore,
        after: Option<(AccountId, Version)>,
        through: Timestamp,
    ) -> Self {
        let beginning = || {
            let account_id = arguments.account.clone()?;
            Some((account_id, Version::NONE))
        };
        Self {
            servers,
            arguments,
            store,
            through,
            after: after.or_else(beginning),
            page: VecDeque::new(),
            has_ended: false,
            read: 0,
        }
    }

    pub(super) async fn next(&mut self, counts: &mut Counts) -> anyhow::Result<Step> {
        if self.page.is_empty() && !self.has_ended {
            self.read_page().await?;
        }
        let Some(event) = self.page.pop_front() else {
            return Ok(Step::End);
        };
        self.read += 1;
        if self.is_wanted(&event) {
            return Ok(Step::Event(Box::new(Replayed::of_event_store(event))));
        }
        counts.filtered += 1;
        Ok(Step::Passed)
    }

    async fn read_page(&mut self) -> anyhow::Result<()> {
        let after = self.after.as_ref().map(|(id, version)| (id, *version));
        let events = self.store.events_behind(after, PAGE).await;
        let events = events.map_err(|error| reach::event_store_failed(self.servers, &error))?;
        self.has_ended = events.len() < PAGE as usize;
        self.after = events
            .last()
            .map(|event| (event.account_id.clone(), event.version));
        let account_id = self.arguments.account.as_ref();
        self.page = events
            .into_iter()
            .take_while(|event| account_id.is_none_or(|id| *id == event.account_id))
            .collect();
        self.has_ended |= self.page.len() < PAGE as usize;
        Ok(())
    }

    fn is_wanted(&self, event: &Event) -> bool {
        let types = &self.arguments.types;
        let from = self.arguments.from_time;
        event.recorded_at <= self.through
            && from.is_none_or(|from| event.recorded_at >= from)
            && (types.is_empty() || types.iter().any(|name| name == event.data.type_name()))
    }
}
