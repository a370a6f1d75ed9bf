//! The writer: takes a batch of commands from decision to commit.
//!
//! The fast path is one round trip: decide every command over cached accounts, append all of it in one statement.
//! When that statement conflicts, or comes too late, or it is unknown whether it committed, the slow path reads the
//! outcomes that are stored already, reads the accounts concerned anew, decides the rest again, and repeats. Correctness
//! rests on the primary keys alone: the cache may be stale, another writer may be active, the process may die at any
//! point.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;
use ledger::{
    Account, AccountId, Accounts, Book, Command, CommandId, Event, Hash, HoldId, Original, Outcome,
    Policy, Rejection, Timestamp, Version, decide, limits,
};
use lru::LruCache;

use crate::append::{Append, Decision, Recorded};
use crate::counters::WriterCounters;
use crate::parts::{REVERSALS_TOGETHER_MAX, parts};
use crate::read::StoredCommand;
use crate::{Error, EventStore};

/// How a writer works.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// How many accounts are kept in memory, at most.
    pub accounts_cached_max: NonZeroUsize,
    /// How often a batch is decided anew before the writer gives up for now.
    pub attempts_max: u32,
    /// What commands may ask for.
    pub policy: Policy,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            accounts_cached_max: NonZeroUsize::new(100_000).expect("100,000 is not zero"),
            attempts_max: 12,
            policy: Policy::default(),
        }
    }
}

/// What became of one command of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Processed {
    /// It was decided and committed now.
    Committed {
        /// Its outcome.
        outcome: Outcome,
        /// Its events, in order.
        events: Vec<Event>,
    },
    /// It had an outcome already; nothing was changed.
    Repeated(StoredCommand),
    /// Its id was used before, for another command; nothing was changed.
    IdempotencyConflict(Rejection),
    /// The database refuses a value of it, and always will; nothing was changed.
    Refused(String),
}

/// Turns commands into outcomes and events. One at a time per partition, if only for speed.
pub struct Writer {
    store: EventStore,
    options: WriterOptions,
    cache: LruCache<AccountId, Account>,
    /// The last batch held commands that had an outcome: look the next batch's up before deciding, for a failed append
    /// costs more than a look.
    expects_repeats: bool,
    counters: WriterCounters,
}

impl Writer {
    /// A writer that remembers nothing yet.
    pub fn new(store: EventStore, options: WriterOptions) -> Self {
        Self {
            store,
            cache: LruCache::new(options.accounts_cached_max),
            options,
            expects_repeats: false,
            counters: WriterCounters::default(),
        }
    }

    /// The same writer, counting in these counters.
    #[must_use]
    pub fn counted_by(mut self, counters: &WriterCounters) -> Self {
        self.counters = counters.clone();
        self
    }

    /// From now on, expect commands that have an outcome already: after a restart, say.
    pub fn expect_repeats(&mut self) {
        self.expects_repeats = true;
    }

    /// Decides and commits a batch, in order. Answers with one [`Processed`] per command, in the same order.
    ///
    /// An error says that it is unknown what became of the batch; the same batch again, to this writer or another,
    /// gives every command its one outcome.
    pub async fn process(
        &mut self,
        commands: &[Command],
        clock: &(dyn Fn() -> Timestamp + Sync),
    ) -> Result<Vec<Processed>, Error> {
        let numbered: Vec<(&Command, Hash)> = commands
            .iter()
            .map(|command| (command, command.fingerprint()))
            .collect();
        let mut processed = Vec::with_capacity(commands.len());
        for part in parts(&numbered) {
            match self.process_part(part, clock).await {
                Ok(part) => processed.extend(part),
                Err(error) => {
                    // Whoever asked will ask again. And a store that was away may have come back without its last
                    // commits (a failover to a copy that lags behind): what is remembered could be ahead of it.
                    self.expects_repeats = true;
                    self.cache.clear();
                    return Err(error);
                }
            }
        }
        Ok(processed)
    }

    async fn process_part(
        &mut self,
        commands: &[(&Command, Hash)],
        clock: &(dyn Fn() -> Timestamp + Sync),
    ) -> Result<Vec<Processed>, Error> {
        match self.process_together(commands, clock).await {
            Ok(Some(processed)) => Ok(processed),
            Ok(None) => self.process_in_halves(commands, clock).await,
            Err(Error::Refused(error)) => self.process_apart(commands, error, clock).await,
            Err(error) => Err(error),
        }
    }

    /// Somewhere in the batch is a value that the database refuses: halve until it stands alone, so that its
    /// neighbours are not refused with it.
    async fn process_apart(
        &mut self,
        commands: &[(&Command, Hash)],
        refusal: sqlx::Error,
        clock: &(dyn Fn() -> Timestamp + Sync),
    ) -> Result<Vec<Processed>, Error> {
        if commands.len() <= 1 {
            return Ok(commands
                .iter()
                .map(|_| Processed::Refused(refusal.to_string()))
                .collect());
        }
        self.process_in_halves(commands, clock).await
    }

    async fn process_in_halves(
        &mut self,
        commands: &[(&Command, Hash)],
        clock: &(dyn Fn() -> Timestamp + Sync),
    ) -> Result<Vec<Processed>, Error> {
        let (first, second) = commands.split_at(commands.len() / 2);
        let mut processed = Vec::with_capacity(commands.len());
        for half in [first, second] {
            processed.extend(Box::pin(self.process_part(half, clock)).await?);
        }
        Ok(processed)
    }

    /// `None` when that is too much for one append. A single command never is: see [`limits::WRITTEN_BYTES_MAX`].
    async fn process_together(
        &mut self,
        commands: &[(&Command, Hash)],
        clock: &(dyn Fn() -> Timestamp + Sync),
    ) -> Result<Option<Vec<Processed>>, Error> {
        let mut stored = HashMap::new();
        if self.expects_repeats {
            stored = self.stored(commands).await?;
            self.expects_repeats = !stored.is_empty();
        }
        let mut pause = ExponentialBackoffBuilder::new()
            .with_initial_interval(Duration::from_millis(5))
            .with_max_interval(Duration::from_millis(500))
            .with_max_elapsed_time(None)
            .build();
        let mut attempt = 1;
        loop {
            let plan = self.plan(commands, &stored, clock).await?;
            if commands.len() > 1 && plan.is_too_large() {
                return Ok(None);
            }
            let error = match self.append(&plan.append).await {
                Ok(()) => {
                    let mut processed = self.finish(plan, commands, &stored);
                    self.name_differences(commands, &stored, &mut processed)
                        .await?;
                    return Ok(Some(processed));
                }
                Err(error @ (Error::Conflict | Error::Late { .. } | Error::Ambiguous(_))) => error,
                Err(error) => return Err(error),
            };
            // The slow path: what we believed was wrong, or may be.
            match error {
                Error::Ambiguous(_) => self.cache.clear(),
                _ => self.forget(&plan.working),
            }
            if attempt == self.options.attempts_max {
                return Err(error);
            }
            tracing::debug!(attempt, %error, commands = commands.len(), "deciding a batch anew");
            if attempt > 1
                && let Some(duration) = pause.next_backoff()
            {
                tokio::time::sleep(duration).await;
            }
            attempt += 1;
            self.counters.decides_anew();
            stored = self.stored(commands).await?;
            self.expects_repeats = !stored.is_empty();
        }
    }

    /// Names the fields in which commands differ from the first ones under their ids, where those are in the store.
    async fn name_differences(
        &self,
        commands: &[(&Command, Hash)],
        stored: &HashMap<CommandId, StoredCommand>,
        processed: &mut [Processed],
    ) -> Result<(), Error> {
        let is_stored = |command: &Command| stored.contains_key(&command.command_id);
        let conflicts: Vec<CommandId> = commands
            .iter()
            .zip(&*processed)
            .filter(|((command, _), processed)| {
                matches!(processed, Processed::IdempotencyConflict(_)) && is_stored(command)
            })
            .map(|((command, _), _)| command.command_id)
            .collect();
        if conflicts.is_empty() {
            return Ok(());
        }
        let rows = self.store.command_rows_of(&conflicts).await?;
        let firsts: HashMap<CommandId, Command> = rows
            .into_iter()
            .filter_map(|row| Some((row.command_id, row.body.ok()?)))
            .collect();
        for ((command, _), processed) in commands.iter().zip(processed) {
            if let Processed::IdempotencyConflict(rejection) = processed
                && let Some(first) = firsts.get(&command.command_id)
            {
                *rejection = Rejection::idempotency_conflict(command, Some(first));
            }
        }
        Ok(())
    }

    /// Appends, unless there is nothing to append.
    async fn append(&self, append: &Append<'_>) -> Result<(), Error> {
        if append.decisions.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let appended = self.store.append(append).await;
        self.counters.appended(&appended, began.elapsed());
        appended
    }

    /// The outcomes that are there already.
    async fn stored(
        &self,
        commands: &[(&Command, Hash)],
    ) -> Result<HashMap<CommandId, StoredCommand>, Error> {
        let ids: Vec<CommandId> = commands
            .iter()
            .map(|(command, _)| command.command_id)
            .collect();
        let stored = self.store.outcomes(&ids).await?;
        Ok(stored
            .into_iter()
            .map(|stored| (stored.outcome.command_id, stored))
            .collect())
    }

    /// Trusts nothing that is remembered of the accounts concerned.
    fn forget(&mut self, working: &Working) {
        for account_id in working.loaded.keys() {
            self.cache.pop(account_id);
        }
    }

    /// Decides whatever has no outcome yet.
    async fn plan<'a>(
        &mut self,
        commands: &[(&'a Command, Hash)],
        stored: &HashMap<CommandId, StoredCommand>,
        clock: &(dyn Fn() -> Timestamp + Sync),
    ) -> Result<Plan<'a>, Error> {
        let open: Vec<&Command> = commands
            .iter()
            .map(|(command, _)| *command)
            .filter(|command| !stored.contains_key(&command.command_id))
            .collect();
        let mut plan = Plan {
            working: Working::default(),
            append: Append::default(),
            events: HashMap::new(),
            fingerprints: HashMap::new(),
        };
        self.fill(&mut plan.working, &open).await?;
        let mut seen = HashSet::new();
        for (command, fingerprint) in commands {
            // The second of two with one id gets the first one's outcome, or its own conflict, in `finish`.
            if stored.contains_key(&command.command_id)
                || plan.fingerprints.contains_key(&command.command_id)
            {
                continue;
            }
            plan.fingerprints.insert(command.command_id, *fingerprint);
            let now = clock();
            let decision = decide(&plan.working.book, command, now, &self.options.policy);
            let outcome = Outcome::of(command.command_id, decision.as_deref());
            let recorded_at = if let Ok(events) = &decision {
                plan.working.apply(events, &mut plan.append);
                plan.working.remember(command.command_id, events);
                events.first().map_or(now, |event| event.recorded_at)
            } else {
                seen.extend(concerned(command, &plan.working.book).cloned());
                now
            };
            plan.events
                .insert(command.command_id, decision.unwrap_or_default());
            plan.append.decisions.push(Decision {
                command,
                fingerprint: *fingerprint,
                outcome,
                decided_at: now,
                recorded_at,
            });
        }
        plan.append.seen = seen
            .into_iter()
            .map(|account_id| {
                let version = plan.working.loaded_version(&account_id);
                (account_id, version)
            })
            .collect();
        Ok(plan)
    }

    /// Takes the accounts concerned from the cache, and the others from the store; and then holds and earlier commands.
    ///
    /// In this order: a hold, or how much of a command has been moved back, may be newer than what is known of the account
    /// that it belongs to, never older. When it is newer the account has moved on, and the append says so.
    async fn fill(&mut self, working: &mut Working, commands: &[&Command]) -> Result<(), Error> {
        let named = commands.iter().flat_map(|command| command.account_ids());
        self.fill_accounts(working, named.cloned().collect())
            .await?;

        let holds: HashSet<(AccountId, HoldId)> = commands
            .iter()
            .flat_map(|command| command.hold_ids())
            .map(|(account_id, hold_id)| (account_id.clone(), hold_id))
            .collect();
        let holds: Vec<(AccountId, HoldId)> = holds.into_iter().collect();
        for (account_id, hold) in self.store.holds(&holds).await? {
            working.book.insert_hold(account_id, hold);
        }

        let (single, batches): (Vec<&Command>, Vec<&Command>) = commands
            .iter()
            .partition(|command| command.parts().is_empty());
        let mut others = self.fill_originals(working, &single).await?;
        for batch in batches {
            others.extend(self.fill_originals(working, &[batch]).await?);
        }
        self.fill_accounts(working, others).await
    }

    /// Takes earlier commands from the store, and says which accounts they are about.
    ///
    /// A batch can reverse many commands that were long themselves. Behind as many movements as it may write, in its own
    /// order, the rest is not looked at: it has been refused when it comes to them.
    async fn fill_originals(
        &self,
        working: &mut Working,
        commands: &[&Command],
    ) -> Result<HashSet<AccountId>, Error> {
        let mut reversed: Vec<CommandId> = commands
            .iter()
            .flat_map(|command| command.reversed_command_ids())
            .map(|(_, command_id)| command_id)
            .filter(|command_id| !working.reversed.contains(command_id))
            .collect();
        let mut seen = HashSet::new();
        reversed.retain(|command_id| seen.insert(*command_id));
        let (mut account_ids, mut movements) = (HashSet::new(), 0);
        for some in reversed.chunks(REVERSALS_TOGETHER_MAX) {
            if movements > limits::EVENTS_MAX {
                break;
            }
            working.reversed.extend(some);
            for original in self.store.originals(some).await? {
                movements += original.movements.len();
                account_ids.extend(original.account_ids().cloned());
                working.book.insert_original(original);
            }
        }
        Ok(account_ids)
    }

    /// Takes accounts from the cache, and the others from the store in one query.
    async fn fill_accounts(
        &mut self,
        working: &mut Working,
        mut account_ids: HashSet<AccountId>,
    ) -> Result<(), Error> {
        account_ids.retain(|account_id| {
            if working.loaded.contains_key(account_id) {
                return false;
            }
            let cached = self.cache.get(account_id);
            if let Some(account) = cached {
                working.insert(account.clone());
            }
            cached.is_none()
        });
        let missing: Vec<AccountId> = account_ids.into_iter().collect();
        for account in self.store.load(&missing).await? {
            working.insert(account);
        }
        Ok(())
    }

    /// After the commit: remembers the new states and says what became of each command.
    fn finish(
        &mut self,
        plan: Plan<'_>,
        commands: &[(&Command, Hash)],
        stored: &HashMap<CommandId, StoredCommand>,
    ) -> Vec<Processed> {
        for account in plan.working.book.into_accounts() {
            self.cache.put(account.account_id.clone(), account);
        }
        let mut fresh: HashMap<CommandId, (Outcome, Timestamp)> = plan
            .append
            .decisions
            .into_iter()
            .map(|decision| {
                (
                    decision.outcome.command_id,
                    (decision.outcome, decision.recorded_at),
                )
            })
            .collect();
        let mut events = plan.events;
        let mut repeated: HashMap<CommandId, StoredCommand> = HashMap::new();
        commands
            .iter()
            .map(|(command, fingerprint)| {
                let id = command.command_id;
                if let Some((outcome, recorded_at)) = fresh.remove(&id) {
                    let first = StoredCommand {
                        outcome: outcome.clone(),
                        fingerprint: *fingerprint,
                        recorded_at,
                    };
                    repeated.insert(id, first);
                    let events = events.remove(&id).unwrap_or_default();
                    return Processed::Committed { outcome, events };
                }
                let (first, asked_first) = match stored.get(&id) {
                    Some(first) => (first, None),
                    None => (
                        repeated
                            .get(&id)
                            .expect("a command was decided now, or has an outcome"),
                        commands
                            .iter()
                            .map(|(command, _)| *command)
                            .find(|first| first.command_id == id),
                    ),
                };
                if first.fingerprint == *fingerprint {
                    Processed::Repeated(first.clone())
                } else {
                    let rejection = Rejection::idempotency_conflict(command, asked_first);
                    Processed::IdempotencyConflict(rejection)
                }
            })
            .inspect(|processed| self.counters.processed(processed))
            .collect()
    }
}

/// A batch, decided but not committed.
struct Plan<'a> {
    working: Working,
    append: Append<'a>,
    events: HashMap<CommandId, Vec<Event>>,
    fingerprints: HashMap<CommandId, Hash>,
}

/// The accounts that a command's decision rests upon.
fn concerned<'a>(command: &'a Command, book: &'a Book) -> impl Iterator<Item = &'a AccountId> {
    let originals = command
        .reversed_command_ids()
        .filter_map(|(_, command_id)| book.original(command_id));
    command
        .account_ids()
        .chain(originals.flat_map(Original::account_ids))
}

/// The accounts, holds and earlier commands of a batch, as its commands change them one after the other.
#[derive(Default)]
struct Working {
    book: Book,
    /// The earlier commands that are to be reversed; some may be of this batch.
    reversed: HashSet<CommandId>,
    /// The versions that the accounts had in the store before this batch.
    loaded: HashMap<AccountId, Version>,
}

impl Plan<'_> {
    /// Only reversals can write more than [`parts`] took them for: how much, those say that they reverse.
    fn is_too_large(&self) -> bool {
        let has_reversal =
            |decision: &Decision<'_>| decision.command.reversed_command_ids().next().is_some();
        self.append.decisions.iter().any(has_reversal)
            && self.append.event_bytes() > limits::WRITTEN_BYTES_MAX
    }
}

impl Working {
    fn insert(&mut self, account: Account) {
        self.loaded
            .insert(account.account_id.clone(), account.version);
        self.book.insert(account);
    }

    fn loaded_version(&self, account_id: &AccountId) -> Version {
        self.loaded
            .get(account_id)
            .copied()
            .unwrap_or(Version::NONE)
    }

    /// Keeps what a command did, if another one of the batch is to reverse it.
    fn remember(&mut self, command_id: CommandId, events: &[Event]) {
        if self.reversed.contains(&command_id)
            && let Some(original) = Original::of(events)
        {
            self.book.insert_original(original);
        }
    }

    /// Changes the accounts by a command's events and queues the events' rows.
    fn apply(&mut self, events: &[Event], append: &mut Append<'_>) {
        for event in events {
            let account = self
                .book
                .apply(event)
                .expect("decide makes events that follow upon the accounts it saw");
            append.events.push(Recorded::of(event.clone(), account));
        }
    }
}
