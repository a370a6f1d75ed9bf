//! Refusals by the rules of an account.

use super::{Rejection, RejectionCode};
use crate::ids::AccountId;
use crate::money::Money;
use crate::rules::DayDebits;
use crate::timestamp::Day;

impl Rejection {
    /// Less would be left than the account's minimum.
    pub(crate) fn below_minimum_balance(
        account_id: &AccountId,
        remaining: Money,
        minimum_balance: Money,
    ) -> Self {
        let currency = remaining.currency();
        Self::new(
            RejectionCode::BelowMinimumBalance,
            format!(
                "the balance of account {account_id}, without what is held, would be {remaining} {currency}, and its minimum is {minimum_balance} {currency}"
            ),
            [
                ("account_id", account_id),
                ("remaining", &remaining),
                ("minimum_balance", &minimum_balance),
                ("currency", &currency),
            ],
        )
    }

    /// The balance would rise above the account's maximum.
    pub(crate) fn above_maximum_balance(
        account_id: &AccountId,
        balance: Money,
        maximum_balance: Money,
    ) -> Self {
        let currency = balance.currency();
        Self::new(
            RejectionCode::AboveMaximumBalance,
            format!(
                "the balance of account {account_id} would be {balance} {currency}, and its maximum is {maximum_balance} {currency}"
            ),
            [
                ("account_id", account_id),
                ("balance", &balance),
                ("maximum_balance", &maximum_balance),
                ("currency", &currency),
            ],
        )
    }

    /// More would leave the account in one day than it may; `debits` are the day's with this one.
    pub(crate) fn daily_amount_exceeded(
        account_id: &AccountId,
        debits: &DayDebits<Money>,
        maximum: Money,
        required: Money,
    ) -> Self {
        let (currency, day, amount) = (maximum.currency(), debits.day, debits.amount);
        Self::new(
            RejectionCode::DailyAmountExceeded,
            format!(
                "the debits of account {account_id} on {day} (UTC) would be {amount} {currency} with these {required} {currency}, and {maximum} {currency} a day is the most"
            ),
            [
                ("account_id", account_id),
                ("day", &day),
                ("amount", &amount),
                ("required", &required),
                ("daily_debit_amount_max", &maximum),
                ("currency", &currency),
            ],
        )
    }

    /// There were as many debits on that day as there may be.
    pub(crate) fn daily_count_exceeded(account_id: &AccountId, day: Day, maximum: u32) -> Self {
        Self::new(
            RejectionCode::DailyCountExceeded,
            format!(
                "account {account_id} may have {maximum} debits a day, and has had as many on {day} (UTC)"
            ),
            [
                ("account_id", account_id),
                ("day", &day),
                ("daily_debit_count_max", &maximum),
            ],
        )
    }

    /// The account's rules do not allow movements with that other account.
    pub(crate) fn counterparty_not_allowed(
        account_id: &AccountId,
        counterparty_account_id: &AccountId,
    ) -> Self {
        Self::new(
            RejectionCode::CounterpartyNotAllowed,
            format!(
                "account {account_id} may not send money to account {counterparty_account_id}, nor get money from it, by its rules"
            ),
            [
                ("account_id", account_id),
                ("counterparty_account_id", counterparty_account_id),
            ],
        )
    }
}
