//! A batch for `EventStore::append`, put together by hand: decided over accounts that the test holds.

use std::collections::HashMap;

use ledger::{
    Account, AccountId, Command, Event, Outcome, Policy, Rejection, Timestamp, Version, decide,
};
use store::{Append, Decision, Recorded};

#[derive(Debug, Default)]
pub(crate) struct Batch {
    accounts: HashMap<AccountId, Account>,
    decided: Vec<(Command, Result<Vec<Event>, Rejection>, Timestamp)>,
    pub(crate) events: Vec<Recorded>,
    pub(crate) seen: Vec<(AccountId, Version)>,
}

impl Batch {
    /// Of commands that all concern new accounts, or each other's.
    pub(crate) fn of(commands: &[Command], now: Timestamp) -> Self {
        Self::over(Vec::new(), commands, now)
    }

    /// Of commands upon accounts as they are known.
    pub(crate) fn over(accounts: Vec<Account>, commands: &[Command], now: Timestamp) -> Self {
        let mut batch = Self::default();
        for account in accounts {
            batch.accounts.insert(account.account_id.clone(), account);
        }
        batch.add(commands, now);
        batch
    }

    /// Decides more commands, at another time.
    pub(crate) fn add(&mut self, commands: &[Command], now: Timestamp) {
        for command in commands {
            self.decide(command, now);
        }
    }

    fn decide(&mut self, command: &Command, now: Timestamp) {
        let decision = decide(&self.accounts, command, now, &Policy::default());
        for event in decision.iter().flatten() {
            self.push(event.clone());
        }
        self.decided.push((command.clone(), decision, now));
    }

    /// Adds an event to those of the commands.
    pub(crate) fn push(&mut self, event: Event) {
        let state = self.accounts.remove(&event.account_id);
        let account = Account::fold(state, &event).unwrap();
        self.events.push(Recorded::of(event, &account));
        self.accounts.insert(account.account_id.clone(), account);
    }

    /// The accounts after the batch.
    pub(crate) fn account(&self, account_id: &AccountId) -> &Account {
        &self.accounts[account_id]
    }

    pub(crate) fn append(&self) -> Append<'_> {
        let decisions = self.decided.iter().map(|(command, decision, now)| {
            let first = decision.iter().flatten().next();
            Decision {
                command,
                fingerprint: command.fingerprint(),
                outcome: Outcome::of(command.command_id, decision.as_deref()),
                decided_at: *now,
                recorded_at: first.map_or(*now, |event| event.recorded_at),
            }
        });
        Append {
            decisions: decisions.collect(),
            events: self.events.clone(),
            seen: self.seen.clone(),
        }
    }
}
