//! The rules of accounts: made by command, and looked at with each event that they are about.
//!
//! What was promised is kept: money that is held was looked at when it was held, and is captured whatever a day has seen
//! since. An account that is closed is not held up by its own minimum and its own daily limits.

use std::collections::BTreeSet;

use super::{Decision, not_negative};
use crate::account::Account;
use crate::command::{Action, Direction, SetAccountRules};
use crate::event::{AccountRulesSet, EventData};
use crate::ids::AccountId;
use crate::money::Money;
use crate::rejection::Rejection;
use crate::rules::{DayDebits, Rules};

impl Decision<'_> {
    /// The new rules are looked at from the next movement on: a balance that they would forbid stays as it is.
    pub(super) fn set_account_rules(&mut self, action: &SetAccountRules) -> Result<(), Rejection> {
        let account = self.open(&action.account_id)?;
        let currency = account.currency();
        let rules: Rules<Money> = action.rules.try_map(|field, amount| {
            if field == "daily_debit_amount_max" {
                return not_negative(field, *amount, currency);
            }
            Money::new(*amount, currency).map_err(|error| Rejection::invalid_amount(field, &error))
        })?;
        if let (Some(minimum), Some(maximum)) = (rules.minimum_balance, rules.maximum_balance)
            && maximum.value() < minimum.value()
        {
            let least = format!("minimum_balance, {minimum}, or more");
            return Err(Rejection::amount_out_of_range(
                "maximum_balance",
                maximum,
                &least,
            ));
        }
        let is_same = match &account.restrictions {
            None => rules.is_empty(),
            Some(restrictions) => restrictions.rules == rules,
        };
        if is_same {
            return Err(Rejection::no_change(
                &action.account_id,
                "under these rules",
            ));
        }
        let data = EventData::AccountRulesSet(AccountRulesSet {
            rules,
            description: self.command.description.clone(),
            metadata: self.command.metadata.clone(),
        });
        self.record(&action.account_id, data)
    }

    /// Whether the account's rules allow an event of it, which leaves this behind. What is counted of the day must stay a
    /// number even where nothing is refused for it: it is part of the account's state.
    pub(super) fn check_rules(
        &self,
        account: &Account,
        data: &EventData,
        balance_after: Money,
        held_after: Money,
    ) -> Result<(), Rejection> {
        let Some(restrictions) = &account.restrictions else {
            return Ok(());
        };
        let debits = match data.counted_debit() {
            Some(amount) => restrictions
                .day_debits_with(amount, self.recorded_at)
                .map_err(|_| Rejection::balance_overflow(&account.account_id))?
                .map(|debits| (debits, amount)),
            None => None,
        };
        if let Some(leg) = data.transfer() {
            check_counterparty(account, &leg.counterparty_account_id)?;
        }
        check_maximum(account, &restrictions.rules, balance_after)?;
        if matches!(self.command.action, Action::CloseAccount(_)) {
            return Ok(());
        }
        check_minimum(account, &restrictions.rules, balance_after, held_after)?;
        match debits {
            Some((debits, amount)) => check_day(account, &restrictions.rules, &debits, amount),
            None => Ok(()),
        }
    }

    /// Whether the rules of each account of a posting allow those on the other side, which give what it gets or get what
    /// it gives. An error comes with the place of the account.
    pub(super) fn check_sides(
        &self,
        sides: &[(&AccountId, Direction)],
    ) -> Result<(), (usize, Rejection)> {
        let on = |wanted: Direction| -> BTreeSet<&AccountId> {
            let there = sides.iter().filter(|(_, direction)| *direction == wanted);
            there.map(|(account_id, _)| *account_id).collect()
        };
        let (debited, credited) = (on(Direction::Debit), on(Direction::Credit));
        for (index, (account_id, direction)) in sides.iter().enumerate() {
            let account = self.existing(account_id).map_err(|error| (index, error))?;
            if account.restrictions.is_none() {
                continue;
            }
            let others = match direction {
                Direction::Debit => &credited,
                Direction::Credit => &debited,
            };
            for other in others.iter().filter(|other| *other != account_id) {
                check_counterparty(&account, other).map_err(|refusal| (index, refusal))?;
            }
        }
        Ok(())
    }
}

fn check_counterparty(account: &Account, counterparty: &AccountId) -> Result<(), Rejection> {
    let allowed = account
        .restrictions
        .as_ref()
        .and_then(|restrictions| restrictions.rules.allowed_counterparties.as_ref());
    match allowed {
        Some(allowed) if !allowed.contains(counterparty) => Err(
            Rejection::counterparty_not_allowed(&account.account_id, counterparty),
        ),
        _ => Ok(()),
    }
}

/// `debits` are the day's, with this one of `amount`.
fn check_day(
    account: &Account,
    rules: &Rules<Money>,
    debits: &DayDebits<Money>,
    amount: Money,
) -> Result<(), Rejection> {
    let account_id = &account.account_id;
    if let Some(maximum) = rules.daily_debit_amount_max
        && debits.amount.value() > maximum.value()
    {
        return Err(Rejection::daily_amount_exceeded(
            account_id, debits, maximum, amount,
        ));
    }
    match rules.daily_debit_count_max {
        Some(maximum) if debits.count > maximum => Err(Rejection::daily_count_exceeded(
            account_id, debits.day, maximum,
        )),
        _ => Ok(()),
    }
}

/// Only what raises the balance is held to the maximum.
fn check_maximum(
    account: &Account,
    rules: &Rules<Money>,
    balance_after: Money,
) -> Result<(), Rejection> {
    match rules.maximum_balance {
        Some(maximum)
            if balance_after.value() > account.balance.value()
                && balance_after.value() > maximum.value() =>
        {
            Err(Rejection::above_maximum_balance(
                &account.account_id,
                balance_after,
                maximum,
            ))
        }
        _ => Ok(()),
    }
}

/// Only what lowers the balance without what is held is held to the minimum.
fn check_minimum(
    account: &Account,
    rules: &Rules<Money>,
    balance_after: Money,
    held_after: Money,
) -> Result<(), Rejection> {
    let Some(minimum) = rules.minimum_balance else {
        return Ok(());
    };
    let free = |balance: Money, held| {
        let free = balance.checked_sub(held);
        free.map_err(|_| Rejection::balance_overflow(&account.account_id))
    };
    let before = free(account.balance, account.held)?;
    let after = free(balance_after, held_after)?;
    if after.value() < before.value() && after.value() < minimum.value() {
        let account_id = &account.account_id;
        return Err(Rejection::below_minimum_balance(account_id, after, minimum));
    }
    Ok(())
}
