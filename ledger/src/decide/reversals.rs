//! Money that is moved back.
//!
//! A reversal mirrors every movement of an accepted command, all of it or the same part of each, in one transaction. The
//! parts never add up to more than the command moved. It obeys what every movement obeys: funds, freezes, closings.

use rust_decimal::Decimal;

use super::{Accounts, Decision, check_funds, original_of, positive_amount};
use crate::command::Reverse;
use crate::event::{EventData, MoneyMoved, Reversal, TransferLeg};
use crate::money::Money;
use crate::original::{Movement, Original};
use crate::rejection::Rejection;

impl<A: Accounts> Decision<'_, A> {
    pub(super) fn reverse(&mut self, action: &Reverse) -> Result<(), Rejection> {
        self.open(&action.account_id)?;
        let original = original_of(self.before, self.command).ok_or_else(|| {
            Rejection::command_not_found(&action.account_id, action.reversed_command_id)
        })?;
        if original.is_final || original.movements.is_empty() {
            return Err(Rejection::not_reversible(original.command_id));
        }
        // The last movement first: money that went from one account to another is taken from the latter.
        for movement in original.movements.iter().rev() {
            if movement.came_in {
                self.debitable(&movement.account_id)?;
            } else {
                self.creditable(&movement.account_id)?;
            }
        }
        let (amount, reversed) = amounts(original, action.amount)?;
        for movement in original.movements.iter().rev() {
            self.move_back(action, movement, amount, reversed)?;
        }
        Ok(())
    }

    fn move_back(
        &mut self,
        action: &Reverse,
        movement: &Movement,
        amount: Money,
        reversed: Money,
    ) -> Result<(), Rejection> {
        let account_id = &movement.account_id;
        if movement.came_in {
            let account = self.existing(account_id)?;
            check_funds(&account, amount)
                .map_err(|refusal| refusal.of_reversal(action.reversed_command_id))?;
        }
        let transfer_id = self.command.command_id.transfer_id(0);
        let counterparty = movement.counterparty_account_id.clone();
        let moved = MoneyMoved {
            amount,
            transfer: counterparty.map(|counterparty_account_id| TransferLeg {
                transfer_id,
                counterparty_account_id,
            }),
            hold: None,
            reversal: Some(Reversal {
                command_id: action.reversed_command_id,
                reversed,
                reason: action.reason.clone(),
            }),
            effective_at: self.command.effective_at,
            description: self.command.description.clone(),
            metadata: self.command.metadata.clone(),
        };
        let data = if movement.came_in {
            EventData::MoneyWithdrawn(moved)
        } else {
            EventData::MoneyDeposited(moved)
        };
        self.record(account_id, data)
    }
}

/// How much is moved back now, and so far.
fn amounts(original: &Original, asked: Option<Decimal>) -> Result<(Money, Money), Rejection> {
    // Every movement of a command that can be reversed is of the same amount.
    let Some(whole) = original.movements.first().map(|first| first.amount) else {
        return Err(Rejection::not_reversible(original.command_id));
    };
    let before = original.reversed.unwrap_or(Money::zero(whole.currency()));
    let rest = whole
        .checked_sub(before)
        .map_err(|error| Rejection::invalid_amount("amount", &error))?;
    if !rest.is_positive() {
        return Err(Rejection::already_reversed(original.command_id, whole));
    }
    let amount = match asked {
        Some(amount) => positive_amount(amount, whole.currency())?,
        None => rest,
    };
    if amount.value() > rest.value() {
        let command_id = original.command_id;
        return Err(Rejection::amount_exceeds_rest(command_id, rest, amount));
    }
    let reversed = before
        .checked_add(amount)
        .map_err(|error| Rejection::invalid_amount("amount", &error))?;
    Ok((amount, reversed))
}
