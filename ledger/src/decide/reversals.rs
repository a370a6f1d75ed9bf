//! Money that is moved back.
//!
//! A reversal mirrors every movement of an accepted command, all of it or the same part of each, in one transaction. The
//! parts never add up to more than the command moved. What moved several amounts is moved back whole. It obeys what every
//! movement obeys: funds, freezes, closings.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::batches::Written;
use super::{Decision, check_funds, original_of, positive_amount};
use crate::command::{Direction, Reverse};
use crate::event::{EventData, MoneyMoved, Reversal, TransferLeg};
use crate::ids::{AccountId, PostingId, TransferId};
use crate::money::Money;
use crate::original::{Movement, Original};
use crate::rejection::Rejection;

impl Decision<'_> {
    pub(super) fn reverse(&mut self, action: &Reverse) -> Result<(), Rejection> {
        let command_id = action.reversed_command_id;
        self.open(&action.account_id)?;
        let original = original_of(self.before, &action.account_id, command_id)
            .ok_or_else(|| Rejection::command_not_found(&action.account_id, command_id))?;
        if original.is_final || original.movements.is_empty() {
            return Err(Rejection::not_reversible(command_id));
        }
        // The last movement first: money that went from one account to another is taken from the latter.
        for movement in original.movements.iter().rev() {
            if movement.came_in {
                self.debitable(&movement.account_id)?;
            } else {
                self.creditable(&movement.account_id)?;
            }
        }
        let share = Share::of(original, action.amount)?;
        self.check_postings_back(original)?;
        if original.movements.len() > 2 {
            self.keep_accounts();
        }
        let mut back = Back {
            action,
            reversed: HashMap::new(),
            transfer: None,
            posting: None,
        };
        let mut written = Written::default();
        for movement in original.movements.iter().rev() {
            let (amount, before) = match &share {
                Share::Whole => (movement.amount, None),
                Share::Part { amount, before } => (*amount, Some(*before)),
            };
            self.move_back(&mut back, movement, amount, before)?;
            if let Some(event) = self.events.last() {
                written.add(event, &*self.existing(&movement.account_id)?)?;
            }
        }
        Ok(())
    }

    /// The entries of a posting stand side by side.
    fn check_postings_back(&self, original: &Original) -> Result<(), Rejection> {
        let same = |one: &Movement, next: &Movement| one.posting_id == next.posting_id;
        for entries in original.movements.chunk_by(same) {
            if entries.iter().all(|entry| entry.posting_id.is_none()) {
                continue;
            }
            let back = |entry: &Movement| {
                if entry.came_in {
                    Direction::Debit
                } else {
                    Direction::Credit
                }
            };
            let sides: Vec<_> = entries
                .iter()
                .map(|entry| (&entry.account_id, back(entry)))
                .collect();
            self.check_sides(&sides).map_err(|(_, refusal)| refusal)?;
        }
        Ok(())
    }

    fn move_back<'a>(
        &mut self,
        back: &mut Back<'a>,
        movement: &'a Movement,
        amount: Money,
        before: Option<Money>,
    ) -> Result<(), Rejection> {
        let account_id = &movement.account_id;
        let command_id = back.action.reversed_command_id;
        if movement.came_in {
            let account = self.existing(account_id)?;
            check_funds(&account, amount).map_err(|refusal| refusal.of_reversal(command_id))?;
        }
        let reversed = back
            .reversed
            .get(account_id)
            .copied()
            .or(before)
            .unwrap_or(Money::zero(amount.currency()))
            .checked_add(amount)
            .map_err(|error| Rejection::invalid_amount("amount", &error))?;
        back.reversed.insert(account_id, reversed);
        let (index, own_id) = (self.next_index(), self.command.command_id);
        let moved = MoneyMoved {
            amount,
            transfer: movement.transfer.as_ref().map(|(old, counterparty)| {
                let new = || own_id.transfer_id(index);
                TransferLeg {
                    transfer_id: mirrored(&mut back.transfer, *old, new),
                    counterparty_account_id: counterparty.clone(),
                }
            }),
            posting_id: movement
                .posting_id
                .map(|old| mirrored(&mut back.posting, old, || own_id.posting_id(index))),
            hold: None,
            reversal: Some(Reversal {
                command_id,
                reversed,
                reason: back.action.reason.clone(),
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

/// A reversal on its way through the movements.
struct Back<'a> {
    action: &'a Reverse,
    /// How much has been moved back on each account.
    reversed: HashMap<&'a AccountId, Money>,
    /// The transfer that the last movement was a half of, and its own of the reversal. Both halves stand side by side.
    transfer: Option<(TransferId, TransferId)>,
    /// The same of a posting, whose entries stand side by side, too.
    posting: Option<(PostingId, PostingId)>,
}

/// What the reversal has for `old`: the same as for the movement before, if that one had `old`, too.
fn mirrored<T: Copy + PartialEq>(last: &mut Option<(T, T)>, old: T, new: impl Fn() -> T) -> T {
    match *last {
        Some((same, mirror)) if same == old => mirror,
        _ => {
            let mirror = new();
            *last = Some((old, mirror));
            mirror
        }
    }
}

/// How much is moved back now.
enum Share {
    /// All of each movement; nothing has been moved back before.
    Whole,
    /// So much of each movement, after so much before.
    Part { amount: Money, before: Money },
}

impl Share {
    fn of(original: &Original, asked: Option<Decimal>) -> Result<Self, Rejection> {
        let command_id = original.command_id;
        let Some(whole) = original.movements.first().map(|first| first.amount) else {
            return Err(Rejection::not_reversible(command_id));
        };
        if !moved_one_amount(original) {
            return match (original.reversed, asked) {
                (Some(reversed), _) => Err(Rejection::already_reversed(command_id, reversed)),
                (None, Some(_)) => Err(Rejection::only_whole(command_id)),
                (None, None) => Ok(Self::Whole),
            };
        }
        let before = original.reversed.unwrap_or(Money::zero(whole.currency()));
        let rest = whole
            .checked_sub(before)
            .map_err(|error| Rejection::invalid_amount("amount", &error))?;
        if !rest.is_positive() {
            return Err(Rejection::already_reversed(command_id, whole));
        }
        let amount = match asked {
            Some(amount) => positive_amount(amount, whole.currency())?,
            None => rest,
        };
        if amount.value() > rest.value() {
            return Err(Rejection::amount_exceeds_rest(command_id, rest, amount));
        }
        Ok(Self::Part { amount, before })
    }
}

/// Whether the command moved one amount, once: from or to outside, or from one account to another. Two movements that only
/// have the same amount are two.
fn moved_one_amount(original: &Original) -> bool {
    match original.movements.as_slice() {
        [_] => true,
        [first, second] => first.account_id != second.account_id && are_halves(first, second),
        _ => false,
    }
}

fn are_halves(first: &Movement, second: &Movement) -> bool {
    let transfer_id = |movement: &Movement| movement.transfer.as_ref().map(|(id, _)| *id);
    (transfer_id(first), first.posting_id) == (transfer_id(second), second.posting_id)
        && (transfer_id(first).is_some() || first.posting_id.is_some())
}
