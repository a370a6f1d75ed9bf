//! What an earlier command did: the movements that another command can move back.

use crate::event::{Event, EventData, MoneyMoved};
use crate::ids::{AccountId, CommandId, PostingId, TransferId};
use crate::money::Money;

/// An accepted command, as far as a reversal has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// The command.
    pub command_id: CommandId,
    /// The account that it was sent to.
    pub account_id: AccountId,
    /// What it moved, in order. Empty for one that moved nothing.
    pub movements: Vec<Movement>,
    /// Whether something else came of it that cannot be taken back.
    pub is_final: bool,
    /// How much of its movements on that account has been moved back; `None` when nothing has.
    pub reversed: Option<Money>,
}

/// One movement on one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// The account.
    pub account_id: AccountId,
    /// Whether the money came in.
    pub came_in: bool,
    /// How much; more than zero.
    pub amount: Money,
    /// The transfer that it was a half of, if it was, and the account of the other half.
    pub transfer: Option<(TransferId, AccountId)>,
    /// The posting that it was an entry of, if it was.
    pub posting_id: Option<PostingId>,
}

impl Original {
    /// What the events of an accepted command did; `None` without events. How much of it has been moved back is told by
    /// the newest [`Reversal`](crate::Reversal) on the account: see [`Self::take`].
    pub fn of(events: &[Event]) -> Option<Self> {
        let first = events.first()?;
        let first_command = || events.iter().filter(|event| event.part == first.part);
        // A command's first event is on the account that it was sent to. A reversal goes through the movements from the
        // last to the first, so there it is the last event.
        let addressed = match first.data.reversal() {
            Some(_) => first_command().next_back()?,
            None => first,
        };
        let is_final = events.iter().any(|event| match &event.data {
            EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) => {
                moved.reversal.is_some()
            }
            // What was released from a hold with its last capture is not held again.
            EventData::HoldReleased(_) => !is_captured_with(event, events),
            _ => true,
        });
        Some(Self {
            command_id: first.command_id,
            account_id: addressed.account_id.clone(),
            movements: events.iter().filter_map(Movement::of).collect(),
            is_final,
            reversed: None,
        })
    }

    /// How much all of its movements on an account are, added up; `None` when there are none, or more than a balance has.
    pub fn whole(&self, account_id: &AccountId) -> Option<Money> {
        let mut amounts = self
            .movements
            .iter()
            .filter(|movement| movement.account_id == *account_id)
            .map(|movement| movement.amount);
        let first = amounts.next()?;
        amounts.try_fold(first, |sum, amount| sum.checked_add(amount).ok())
    }

    /// Takes in a movement that moves a part of this one back.
    pub fn take(&mut self, event: &Event) {
        if let Some(reversal) = event.data.reversal()
            && reversal.command_id == self.command_id
            && event.account_id == self.account_id
        {
            self.reversed = Some(reversal.reversed);
        }
    }

    /// The accounts of its movements.
    pub fn account_ids(&self) -> impl Iterator<Item = &AccountId> {
        self.movements.iter().map(|movement| &movement.account_id)
    }
}

/// Whether the same command took money from the hold that this event releases the rest of.
fn is_captured_with(released: &Event, events: &[Event]) -> bool {
    let hold_id = released.data.hold().map(|hold| hold.hold_id);
    events.iter().any(|event| {
        matches!(event.data, EventData::MoneyWithdrawn(_))
            && (event.part, &event.account_id) == (released.part, &released.account_id)
            && event.data.hold().map(|hold| hold.hold_id) == hold_id
    })
}

impl Movement {
    fn of(event: &Event) -> Option<Self> {
        let of = |moved: &MoneyMoved, came_in| Self {
            account_id: event.account_id.clone(),
            came_in,
            amount: moved.amount,
            transfer: moved
                .transfer
                .as_ref()
                .map(|leg| (leg.transfer_id, leg.counterparty_account_id.clone())),
            posting_id: moved.posting_id,
        };
        match &event.data {
            EventData::MoneyDeposited(moved) => Some(of(moved, true)),
            EventData::MoneyWithdrawn(moved) => Some(of(moved, false)),
            _ => None,
        }
    }
}
