//! Refusals about the state of an account, and about a command's own conditions.

use std::fmt;
use std::ops::RangeInclusive;

use super::{Rejection, RejectionCode};
use crate::account::Account;
use crate::ids::AccountId;
use crate::money::Money;
use crate::timestamp::Timestamp;

impl Rejection {
    /// Debits or credits of the account are frozen.
    pub(crate) fn account_frozen(account: &Account, forbidden: &str) -> Self {
        let (account_id, status) = (&account.account_id, account.status.as_str());
        Self::new(
            RejectionCode::AccountFrozen,
            format!("account {account_id} is frozen ({status}), which forbids {forbidden}"),
            [
                ("account_id", account_id),
                ("status", &status),
                ("forbidden", &forbidden),
            ],
        )
    }

    /// The account was closed.
    pub(crate) fn account_closed(account_id: &AccountId) -> Self {
        Self::new(
            RejectionCode::AccountClosed,
            format!("account {account_id} is closed"),
            [("account_id", account_id)],
        )
    }

    /// The account is as the command wants it already.
    pub(crate) fn no_change(account_id: &AccountId, state: impl fmt::Display) -> Self {
        Self::new(
            RejectionCode::NoChange,
            format!("account {account_id} is {state} already"),
            [("account_id", account_id), ("state", &state)],
        )
    }

    /// An account that is to be closed has a balance.
    pub(crate) fn balance_not_zero(account: &Account) -> Self {
        let (account_id, balance) = (&account.account_id, account.balance);
        let currency = balance.currency();
        let remedy = if balance.is_negative() {
            "it must be paid in first"
        } else {
            "name an account to sweep it to, or take it out first"
        };
        Self::new(
            RejectionCode::BalanceNotZero,
            format!("account {account_id} has a balance of {balance} {currency}; {remedy}"),
            [
                ("account_id", account_id),
                ("balance", &balance),
                ("currency", &currency),
            ],
        )
    }

    /// An account that is to be closed has money held.
    pub(crate) fn holds_open(account: &Account) -> Self {
        let (account_id, held) = (&account.account_id, account.held);
        let currency = held.currency();
        Self::new(
            RejectionCode::HoldsOpen,
            format!(
                "{held} {currency} is held on account {account_id}; capture or release its holds first"
            ),
            [
                ("account_id", account_id),
                ("held", &held),
                ("currency", &currency),
            ],
        )
    }

    /// The new overdraft limit is less than what is used of the old one.
    pub(crate) fn overdraft_in_use(account: &Account, overdraft_limit: Money) -> Self {
        let (account_id, balance, held) = (&account.account_id, account.balance, account.held);
        let currency = balance.currency();
        Self::new(
            RejectionCode::OverdraftInUse,
            format!(
                "account {account_id} has a balance of {balance} {currency} with {held} {currency} held, which an overdraft limit of {overdraft_limit} {currency} does not cover"
            ),
            [
                ("account_id", account_id),
                ("balance", &balance),
                ("held", &held),
                ("overdraft_limit", &overdraft_limit),
                ("currency", &currency),
            ],
        )
    }

    /// The command was decided at or after its `expires_at`.
    pub(crate) fn expired(expires_at: Timestamp, recorded_at: Timestamp) -> Self {
        Self::new(
            RejectionCode::Expired,
            format!("the command expired at {expires_at}, and it is {recorded_at}"),
            [("expires_at", &expires_at), ("recorded_at", &recorded_at)],
        )
    }

    /// The command was decided before its `not_before`.
    pub(crate) fn too_early(not_before: Timestamp, recorded_at: Timestamp) -> Self {
        Self::new(
            RejectionCode::TooEarly,
            format!(
                "the command must not be decided before {not_before}, and it is {recorded_at}; send a new one when it is time"
            ),
            [("not_before", &not_before), ("recorded_at", &recorded_at)],
        )
    }

    /// The business date is too long ago, or too far ahead.
    pub(crate) fn effective_at_out_of_window(
        effective_at: Timestamp,
        window: &RangeInclusive<Timestamp>,
    ) -> Self {
        let (earliest, latest) = (window.start(), window.end());
        Self::new(
            RejectionCode::EffectiveAtOutOfWindow,
            format!("effective_at can be {earliest} to {latest}, and it is {effective_at}"),
            [
                ("effective_at", &effective_at),
                ("earliest", earliest),
                ("latest", latest),
            ],
        )
    }

    /// The balance is less than `if_balance_at_least`.
    pub(crate) fn balance_condition(account: &Account, required: Money) -> Self {
        let (account_id, balance) = (&account.account_id, account.balance);
        let currency = balance.currency();
        Self::new(
            RejectionCode::BalanceCondition,
            format!(
                "account {account_id} has a balance of {balance} {currency}, and the command wants {required} {currency} or more"
            ),
            [
                ("account_id", account_id),
                ("balance", &balance),
                ("required", &required),
                ("currency", &currency),
            ],
        )
    }
}
