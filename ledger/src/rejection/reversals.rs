//! Refusals about reversals.

use super::{Rejection, RejectionCode};
use crate::ids::{AccountId, CommandId};
use crate::money::Money;

impl Rejection {
    /// No accepted command of that id was sent to that account.
    pub(crate) fn command_not_found(account_id: &AccountId, command_id: CommandId) -> Self {
        Self::new(
            RejectionCode::CommandNotFound,
            format!(
                "no command {command_id} was accepted that had been sent to account {account_id}"
            ),
            [
                ("account_id", account_id),
                ("reversed_command_id", &command_id),
            ],
        )
    }

    /// The command did not only move money, or is a reversal itself.
    pub(crate) fn not_reversible(command_id: CommandId) -> Self {
        Self::new(
            RejectionCode::NotReversible,
            format!(
                "command {command_id} cannot be reversed: it did something else than move money, or is a reversal itself"
            ),
            [("reversed_command_id", &command_id)],
        )
    }

    /// The command moved several amounts, and a part is asked for.
    pub(crate) fn only_whole(command_id: CommandId) -> Self {
        Self::new(
            RejectionCode::NotReversible,
            format!(
                "command {command_id} moved several amounts, so only all of it can be moved back; leave the amount out"
            ),
            [("reversed_command_id", &command_id)],
        )
    }

    /// All of it has been moved back.
    pub(crate) fn already_reversed(command_id: CommandId, amount: Money) -> Self {
        let currency = amount.currency();
        Self::new(
            RejectionCode::AlreadyReversed,
            format!("all of the {amount} {currency} of command {command_id} has been moved back"),
            [
                ("reversed_command_id", &command_id),
                ("amount", &amount),
                ("currency", &currency),
            ],
        )
    }

    /// The amount is more than what has not been moved back yet.
    pub(crate) fn amount_exceeds_rest(command_id: CommandId, rest: Money, required: Money) -> Self {
        let currency = rest.currency();
        Self::new(
            RejectionCode::AmountExceedsRest,
            format!(
                "{rest} {currency} of command {command_id} can still be moved back, and {required} {currency} is required"
            ),
            [
                ("reversed_command_id", &command_id),
                ("remaining", &rest),
                ("required", &required),
                ("currency", &currency),
            ],
        )
    }

    /// A refusal for want of funds, of a reversal: whoever got the money has spent it.
    pub(crate) fn of_reversal(mut self, command_id: CommandId) -> Self {
        if self.code == RejectionCode::InsufficientFunds {
            self.code = RejectionCode::ReversalUncovered;
            self.message = format!(
                "command {command_id} cannot be moved back from where its money went: {}",
                self.message
            );
            let name = "reversed_command_id".to_owned();
            self.data.insert(name, command_id.to_string());
        }
        self
    }
}
