//! Several commands at once, and postings of several entries: all of it, or nothing.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::{Decision, check_funds, check_named_currency, positive_amount, positive_money};
use crate::account::Account;
use crate::codec::json;
use crate::command::{Action, Batch, Direction, Entry, Exchange, Post, Price, limits};
use crate::event::{Event, EventData, MoneyMoved};
use crate::ids::AccountId;
use crate::money::{Currency, Money};
use crate::overlay::Overlay;
use crate::rejection::Rejection;
use crate::sum::Sum;

impl Decision<'_> {
    /// Each command sees what those before it have done; the first one that is refused refuses the batch.
    pub(super) fn batch(&mut self, batch: &Batch) -> Result<(), Rejection> {
        let mut after = Overlay::over(self.before);
        let mut written = Written::default();
        for (index, command) in (0..).zip(&batch.commands) {
            let mut part = Decision {
                before: &after,
                policy: self.policy,
                command,
                part: Some(index),
                first_index: self.next_index(),
                recorded_at: self.recorded_at,
                events: Vec::new(),
                after: None,
            };
            part.decide()
                .map_err(|refusal| refusal.of_part(index, command.type_name()))?;
            let events = part.events;
            for event in &events {
                written.add(event, after.apply(event))?;
            }
            self.events.extend(events);
        }
        Ok(())
    }

    /// In the order of the entries: an account must have what leaves it when its turn comes.
    pub(super) fn post(&mut self, action: &Post) -> Result<(), Rejection> {
        let mut amounts = Vec::with_capacity(action.entries.len());
        for (index, entry) in action.entries.iter().enumerate() {
            let amount = self.amount_of(entry);
            amounts.push(amount.map_err(|refusal| refusal.of_entry(index))?);
        }
        check_balanced(&action.entries, &amounts)?;
        self.enter_all(&action.entries, &amounts)
    }

    /// What is given and what is got for it, each through an account of its currency.
    pub(super) fn exchange(&mut self, action: &Exchange) -> Result<(), Rejection> {
        let (from, to) = (&action.from_account_id, &action.to_account_id);
        let (desk, source) = (
            &action.from_clearing_account_id,
            &action.to_clearing_account_id,
        );
        self.check_parties(from, desk)?;
        self.check_parties(source, to)?;
        let (sold, bought) = (
            self.payer(from, desk)?.currency(),
            self.payer(source, to)?.currency(),
        );
        if sold == bought {
            return Err(Rejection::same_currency(to, bought));
        }
        let amount = positive_amount(action.amount, sold)?;
        let worth = worth(amount, action.price, bought)?;
        let entry = |account_id: &AccountId, direction, money: Money| Entry {
            account_id: account_id.clone(),
            direction,
            amount: money.value(),
            currency: None,
        };
        let entries = [
            entry(from, Direction::Debit, amount),
            entry(desk, Direction::Credit, amount),
            entry(source, Direction::Debit, worth),
            entry(to, Direction::Credit, worth),
        ];
        self.enter_all(&entries, &[amount, amount, worth, worth])
    }

    fn enter_all(&mut self, entries: &[Entry], amounts: &[Money]) -> Result<(), Rejection> {
        let sides: Vec<_> = entries
            .iter()
            .map(|entry| (&entry.account_id, entry.direction))
            .collect();
        self.check_sides(&sides)
            .map_err(|(index, refusal)| self.of_entry(refusal, index))?;
        self.keep_accounts();
        let posting_id = self.command.command_id.posting_id(self.next_index());
        let mut written = Written::default();
        for (index, (entry, amount)) in entries.iter().zip(amounts).enumerate() {
            let moved = MoneyMoved {
                amount: *amount,
                transfer: None,
                posting_id: Some(posting_id),
                hold: None,
                reversal: None,
                effective_at: self.command.effective_at,
                description: self.command.description.clone(),
                metadata: self.command.metadata.clone(),
            };
            let data = match entry.direction {
                Direction::Debit => EventData::MoneyWithdrawn(moved),
                Direction::Credit => EventData::MoneyDeposited(moved),
            };
            self.enter(entry, data, *amount)
                .map_err(|refusal| self.of_entry(refusal, index))?;
            if let Some(event) = self.events.last() {
                written.add(event, &*self.existing(&entry.account_id)?)?;
            }
        }
        Ok(())
    }

    /// Only a posting has entries that its publisher knows of.
    fn of_entry(&self, refusal: Rejection, index: usize) -> Rejection {
        match self.command.action {
            Action::Post(_) => refusal.of_entry(index),
            _ => refusal,
        }
    }

    fn amount_of(&self, entry: &Entry) -> Result<Money, Rejection> {
        let account = match entry.direction {
            Direction::Debit => self.debitable(&entry.account_id)?,
            Direction::Credit => self.creditable(&entry.account_id)?,
        };
        check_named_currency(&account, entry.currency)?;
        positive_amount(entry.amount, account.currency())
    }

    fn enter(&mut self, entry: &Entry, data: EventData, amount: Money) -> Result<(), Rejection> {
        if entry.direction == Direction::Debit {
            check_funds(&*self.existing(&entry.account_id)?, amount)?;
        }
        self.record(&entry.account_id, data)
    }
}

/// What an amount is worth in another currency.
fn worth(amount: Money, price: Price, currency: Currency) -> Result<Money, Rejection> {
    match price {
        Price::ToAmount(worth) => positive_money("to_amount", worth, currency),
        Price::Rate(rate) => {
            if rate <= Decimal::ZERO {
                return Err(Rejection::amount_out_of_range(
                    "rate",
                    rate,
                    "more than zero",
                ));
            }
            let worth = Money::converted(amount, rate, currency)
                .map_err(|error| Rejection::invalid_amount("rate", &error))?;
            if worth.is_positive() {
                Ok(worth)
            } else {
                let least = "so much that at least the smallest unit comes of it";
                Err(Rejection::amount_out_of_range("rate", rate, least))
            }
        }
    }
}

/// What leaves accounts comes to accounts, in each currency.
fn check_balanced(entries: &[Entry], amounts: &[Money]) -> Result<(), Rejection> {
    let mut sums: BTreeMap<Currency, (Sum, Sum)> = BTreeMap::new();
    for (entry, amount) in entries.iter().zip(amounts) {
        let currency = amount.currency();
        let nothing = Sum::zero(currency);
        let (debits, credits) = sums.entry(currency).or_insert((nothing, nothing));
        let sum = match entry.direction {
            Direction::Debit => debits,
            Direction::Credit => credits,
        };
        *sum = sum.plus(*amount);
    }
    match sums.values().find(|(debits, credits)| debits != credits) {
        None => Ok(()),
        Some((debits, credits)) => Err(Rejection::unbalanced(*debits, *credits)),
    }
}

/// What a command writes so far, in bytes.
#[derive(Default)]
pub(super) struct Written {
    bytes: usize,
}

impl Written {
    /// One event more, after which the account is as given.
    pub(super) fn add(&mut self, event: &Event, account: &Account) -> Result<(), Rejection> {
        let profile_bytes = if account.profile_version == event.version {
            let profile = serde_json::to_vec(&account.profile());
            profile.expect("a profile always becomes JSON").len()
        } else {
            0
        };
        self.bytes +=
            limits::EVENT_BYTES_MIN + json::encode_event_data(event).len() + profile_bytes;
        if self.bytes > limits::WRITTEN_BYTES_MAX {
            return Err(Rejection::too_much_written());
        }
        Ok(())
    }
}
