//! Accounts, holds and earlier commands together: what a decision looks at, and how events change it.

use std::collections::HashMap;

use crate::account::{Account, BrokenChain};
use crate::decide::Accounts;
use crate::event::{Event, EventData, Hold};
use crate::ids::{AccountId, CommandId, HoldId};
use crate::money::Money;
use crate::original::Original;

/// Some accounts, some of their holds and some earlier commands, in memory.
#[derive(Debug, Clone, Default)]
pub struct Book {
    accounts: HashMap<AccountId, Account>,
    holds: HashMap<(AccountId, HoldId), Hold>,
    originals: HashMap<CommandId, Original>,
}

impl Accounts for Book {
    fn account(&self, account_id: &AccountId) -> Option<&Account> {
        self.accounts.get(account_id)
    }

    fn hold(&self, account_id: &AccountId, hold_id: HoldId) -> Option<&Hold> {
        self.holds.get(&(account_id.clone(), hold_id))
    }

    fn original(&self, command_id: CommandId) -> Option<&Original> {
        self.originals.get(&command_id)
    }
}

impl Book {
    /// Adds an account, or puts another state in its place.
    pub fn insert(&mut self, account: Account) {
        self.accounts.insert(account.account_id.clone(), account);
    }

    /// Adds a hold, or puts another state in its place.
    pub fn insert_hold(&mut self, account_id: AccountId, hold: Hold) {
        self.holds.insert((account_id, hold.hold_id), hold);
    }

    /// Adds an earlier command, or puts another state in its place.
    pub fn insert_original(&mut self, original: Original) {
        self.originals.insert(original.command_id, original);
    }

    /// Every account, in any order.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// Every account, in any order.
    pub fn into_accounts(self) -> impl Iterator<Item = Account> {
        self.accounts.into_values()
    }

    /// Changes all of it by the next event of an account; gives the account as it is then. On an error
    /// everything is as it was.
    pub fn apply(&mut self, event: &Event) -> Result<&Account, BrokenChain> {
        let account_id = &event.account_id;
        if let Some(hold) = event.data.hold() {
            hold.check_follows(self.hold(account_id, hold.hold_id), event)?;
        }
        match self.accounts.get_mut(account_id) {
            Some(account) => account.apply(event)?,
            None => self.insert(Account::open(event)?),
        }
        if let Some(hold) = event.data.hold() {
            self.insert_hold(account_id.clone(), hold.clone());
        }
        if let Some(reversal) = event.data.reversal()
            && let Some(original) = self.originals.get_mut(&reversal.command_id)
        {
            original.take(event);
        }
        Ok(&self.accounts[account_id])
    }
}

impl Hold {
    /// Whether the hold is what `event`, which carries it, makes of what it was before.
    pub fn check_follows(&self, previous: Option<&Self>, event: &Event) -> Result<(), BrokenChain> {
        match self.problem(previous, &event.data) {
            None => Ok(()),
            Some(problem) => Err(BrokenChain::Hold {
                account_id: event.account_id.clone(),
                version: event.version,
                hold_id: self.hold_id,
                problem,
            }),
        }
    }

    fn problem(&self, previous: Option<&Self>, data: &EventData) -> Option<&'static str> {
        let amount = data.amount().filter(|amount| amount.is_positive());
        let Some(amount) = amount else {
            return Some("it is changed by nothing, or by less than nothing");
        };
        let Some(previous) = previous else {
            let is_new = matches!(data, EventData::HoldPlaced(_))
                && (self.amount, self.remaining) == (amount, amount)
                && self.captured == Money::zero(amount.currency());
            return (!is_new).then_some("it does not begin with its placing, all of it held");
        };
        if matches!(data, EventData::HoldPlaced(_)) {
            return Some("it was placed before");
        }
        if (self.amount, self.expires_at) != (previous.amount, previous.expires_at) {
            return Some("its amount or its time is another than it was placed with");
        }
        // Arithmetic rests on it, and the account's own check comes later.
        if amount.currency() != previous.amount.currency() {
            return Some("what it is changed by is of another currency");
        }
        let captured = match data {
            EventData::MoneyWithdrawn(_) => previous.captured.checked_add(amount),
            _ => Ok(previous.captured),
        };
        let remaining = previous.remaining.checked_sub(amount);
        if Ok(self.captured) != captured || Ok(self.remaining) != remaining {
            return Some("what is captured and what remains are not what the event makes of them");
        }
        self.remaining
            .is_negative()
            .then_some("more was taken than was held")
    }
}
