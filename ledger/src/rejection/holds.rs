//! Refusals about holds.

use super::{Rejection, RejectionCode};
use crate::event::Hold;
use crate::ids::{AccountId, HoldId};
use crate::money::Money;
use crate::timestamp::Timestamp;

impl Rejection {
    /// The account has, or had, a hold with that id.
    pub(crate) fn hold_exists(account_id: &AccountId, hold_id: HoldId) -> Self {
        Self::new(
            RejectionCode::HoldExists,
            format!("account {account_id} has had a hold {hold_id} already; choose another id"),
            [("account_id", account_id), ("hold_id", &hold_id)],
        )
    }

    /// The account never had a hold with that id.
    pub(crate) fn hold_not_found(account_id: &AccountId, hold_id: HoldId) -> Self {
        Self::new(
            RejectionCode::HoldNotFound,
            format!("account {account_id} has no hold {hold_id}"),
            [("account_id", account_id), ("hold_id", &hold_id)],
        )
    }

    /// Nothing is held any more.
    pub(crate) fn hold_closed(account_id: &AccountId, hold: &Hold) -> Self {
        let (hold_id, amount, captured) = (hold.hold_id, hold.amount, hold.captured);
        let currency = amount.currency();
        Self::new(
            RejectionCode::HoldClosed,
            format!(
                "nothing is held any more by hold {hold_id} on account {account_id}: of {amount} {currency}, {captured} {currency} was captured, and the rest is available again"
            ),
            [
                ("account_id", account_id),
                ("hold_id", &hold_id),
                ("amount", &amount),
                ("captured", &captured),
                ("currency", &currency),
            ],
        )
    }

    /// The hold's time is over.
    pub(crate) fn hold_expired(
        account_id: &AccountId,
        hold_id: HoldId,
        expires_at: Timestamp,
    ) -> Self {
        Self::new(
            RejectionCode::HoldExpired,
            format!("the time of hold {hold_id} on account {account_id} was over at {expires_at}"),
            [
                ("account_id", account_id),
                ("hold_id", &hold_id),
                ("hold_expires_at", &expires_at),
            ],
        )
    }

    /// The hold's time is not over.
    pub(crate) fn hold_not_due(
        account_id: &AccountId,
        hold: &Hold,
        recorded_at: Timestamp,
    ) -> Self {
        let hold_id = hold.hold_id;
        let (until, message) = match hold.expires_at {
            Some(expires_at) => (
                expires_at.to_string(),
                format!(
                    "hold {hold_id} on account {account_id} expires at {expires_at}, and it is {recorded_at}"
                ),
            ),
            None => (
                "never".to_owned(),
                format!("hold {hold_id} on account {account_id} never expires; release it instead"),
            ),
        };
        Self::new(
            RejectionCode::HoldNotDue,
            message,
            [
                ("account_id", account_id),
                ("hold_id", &hold_id),
                ("hold_expires_at", &until),
                ("recorded_at", &recorded_at),
            ],
        )
    }

    /// The amount is more than what is still held.
    pub(crate) fn amount_exceeds_hold(
        account_id: &AccountId,
        hold: &Hold,
        required: Money,
    ) -> Self {
        let (hold_id, remaining) = (hold.hold_id, hold.remaining);
        let currency = remaining.currency();
        Self::new(
            RejectionCode::AmountExceedsHold,
            format!(
                "hold {hold_id} on account {account_id} still holds {remaining} {currency}, and {required} {currency} is required"
            ),
            [
                ("account_id", account_id),
                ("hold_id", &hold_id),
                ("remaining", &remaining),
                ("required", &required),
                ("currency", &currency),
            ],
        )
    }
}
