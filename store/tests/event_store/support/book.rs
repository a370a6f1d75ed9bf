//! The whole event store, or some of its accounts, read back and held against the invariants of DESIGN §3.

use std::collections::{BTreeMap, HashMap};

use ledger::{Account, AccountId, CommandId, Event, EventReference, Money, Outcome, Version};
use store::{EventStore, StoredCommand};

/// Histories and outcomes.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) histories: BTreeMap<AccountId, Vec<Event>>,
    pub(crate) outcomes: HashMap<CommandId, StoredCommand>,
}

const PAGE: u32 = 1_000;

impl Book {
    /// Everything there is, at one instant, and correct.
    pub(crate) async fn of_everything(store: &EventStore) -> Self {
        let mut book = Self::default();
        let mut snapshot = store.snapshot().await.unwrap();
        let mut last: Option<(AccountId, Version)> = None;
        loop {
            let after = last
                .as_ref()
                .map(|(account_id, version)| (account_id, *version));
            let page = snapshot.events(after, PAGE).await.unwrap();
            let Some(newest) = page.last() else { break };
            last = Some((newest.account_id.clone(), newest.version));
            book.add(page);
        }
        let mut last = None;
        loop {
            let page = snapshot.commands(last, PAGE).await.unwrap();
            let Some(newest) = page.last() else { break };
            last = Some(newest.outcome.command_id);
            let stored = page.into_iter();
            book.outcomes
                .extend(stored.map(|stored| (stored.outcome.command_id, stored)));
        }
        snapshot.close().await.unwrap();
        book.check(store).await;
        for stored in book.outcomes.values() {
            book.check_outcome(&stored.outcome);
        }
        book
    }

    /// Some accounts, and correct.
    pub(crate) async fn of(store: &EventStore, account_ids: &[&AccountId]) -> Self {
        let mut book = Self::default();
        for account_id in account_ids {
            let mut after = Version::NONE;
            loop {
                let page = store.history(account_id, after, PAGE).await.unwrap();
                let Some(newest) = page.last() else { break };
                after = newest.version;
                book.add(page);
            }
        }
        let ids: Vec<CommandId> = book.events().map(|event| event.command_id).collect();
        let stored = store.outcomes(&ids).await.unwrap().into_iter();
        book.outcomes = stored
            .map(|stored| (stored.outcome.command_id, stored))
            .collect();
        book.check(store).await;
        book
    }

    pub(crate) fn balance(&self, account_id: &AccountId) -> Money {
        self.histories[account_id].last().unwrap().balance_after
    }

    pub(crate) fn versions(&self, account_id: &AccountId) -> usize {
        self.histories.get(account_id).map_or(0, Vec::len)
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.histories.values().flatten()
    }

    fn add(&mut self, page: Vec<Event>) {
        for event in page {
            let history = self.histories.entry(event.account_id.clone()).or_default();
            history.push(event);
        }
    }

    async fn check(&self, store: &EventStore) {
        let mut folded = Vec::new();
        for history in self.histories.values() {
            folded.push(check_history(history));
        }
        let ids: Vec<AccountId> = self.histories.keys().cloned().collect();
        let mut loaded = store.load(&ids).await.unwrap();
        loaded.sort_by(|one, other| one.account_id.cmp(&other.account_id));
        assert_eq!(loaded, folded, "loading equals folding");
        self.check_commands();
    }

    /// `atomic_command`, `one_outcome`: an outcome names exactly the events that its command made.
    fn check_commands(&self) {
        let mut made: HashMap<CommandId, Vec<&Event>> = HashMap::new();
        for event in self.events() {
            made.entry(event.command_id).or_default().push(event);
        }
        for (command_id, events) in made {
            let stored = self
                .outcomes
                .get(&command_id)
                .expect("every event has an outcome");
            let at = events[0].recorded_at;
            assert!(events.iter().all(|event| event.recorded_at == at));
            assert_eq!(stored.recorded_at, at, "of command {command_id}");
            for event in events {
                let reference = EventReference::from(event);
                assert!(
                    stored.outcome.events().contains(&reference),
                    "{reference:?}"
                );
            }
        }
    }

    /// Every event that an outcome names is there.
    fn check_outcome(&self, outcome: &Outcome) {
        for reference in outcome.events() {
            let index = usize::try_from(reference.version.get()).unwrap() - 1;
            let event = &self.histories[&reference.account_id][index];
            assert_eq!(event.event_id, reference.event_id);
            assert_eq!(event.command_id, outcome.command_id);
        }
    }
}

/// `gapless_versions`, the hash chain, the balances, `no_overdraft`, `monotonic_time`.
fn check_history(history: &[Event]) -> Account {
    let mut state: Option<Account> = None;
    for event in history {
        event.check_hash().unwrap();
        if let Some(before) = &state {
            let previous = &history[usize::try_from(before.version.get()).unwrap() - 1];
            assert!(
                event.command_id == previous.command_id || event.recorded_at > previous.recorded_at,
                "time rises from command to command"
            );
        }
        let account = Account::fold(state, event).unwrap();
        assert!(!account.available().unwrap().is_negative(), "{account:?}");
        state = Some(account);
    }
    state.expect("a history has an event")
}
