//! Rejections: why the ledger did not do what a command asked for. Values, not errors.

mod batches;
mod code;
mod holds;
mod reversals;
mod rules;
mod state;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use code::RejectionCode;

use crate::account::Account;
use crate::codec::json;
use crate::command::Command;
use crate::ids::{AccountId, Version};
use crate::money::{CurrencyCode, InvalidAmount, InvalidCurrency, Money};

/// Why the ledger did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Rejection {
    /// For programs.
    pub code: RejectionCode,
    /// For people: what is wrong, and with which figures.
    pub message: String,
    /// The figures, for programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
}

impl Rejection {
    fn new<const N: usize>(
        code: RejectionCode,
        message: String,
        data: [(&str, &dyn fmt::Display); N],
    ) -> Self {
        let data = data
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .collect();
        Self {
            code,
            message,
            data,
        }
    }

    /// There is no such account.
    pub fn account_not_found(account_id: &AccountId) -> Self {
        Self::new(
            RejectionCode::AccountNotFound,
            format!("there is no account {account_id}; open it with create_account first"),
            [("account_id", account_id)],
        )
    }

    /// The account to be opened is there already.
    pub fn account_exists(account_id: &AccountId) -> Self {
        Self::new(
            RejectionCode::AccountExists,
            format!("account {account_id} exists already; choose another id"),
            [("account_id", account_id)],
        )
    }

    /// The available balance does not cover it.
    pub(crate) fn insufficient_funds(account: &Account, available: Money, required: Money) -> Self {
        let account_id = &account.account_id;
        let currency = required.currency();
        let mut rejection = Self::new(
            RejectionCode::InsufficientFunds,
            format!(
                "account {account_id} has {available} {currency} available, and {required} {currency} is required"
            ),
            [
                ("account_id", account_id),
                ("available", &available),
                ("required", &required),
                ("currency", &currency),
            ],
        );
        if account.held.is_positive() {
            let held = account.held;
            rejection.message = format!("{}; {held} {currency} is held", rejection.message);
            rejection.data.insert("held".to_owned(), held.to_string());
        }
        rejection
    }

    /// The command names another currency than the account's, or the two accounts differ.
    pub fn currency_mismatch(
        account_id: &AccountId,
        account_currency: CurrencyCode,
        other: CurrencyCode,
    ) -> Self {
        Self::new(
            RejectionCode::CurrencyMismatch,
            format!("account {account_id} is kept in {account_currency}, not in {other}"),
            [
                ("account_id", account_id),
                ("account_currency", &account_currency),
                ("currency", &other),
            ],
        )
    }

    /// A transfer from an account to itself.
    pub fn same_account(account_id: &AccountId) -> Self {
        Self::new(
            RejectionCode::SameAccount,
            format!("a transfer needs two accounts, and both are {account_id}"),
            [("account_id", account_id)],
        )
    }

    /// An amount that must be above zero (or not below it, for what an account is opened with) is not.
    pub fn amount_out_of_range(field: &str, amount: impl fmt::Display, must_be: &str) -> Self {
        Self::new(
            RejectionCode::InvalidAmount,
            format!("{field} must be {must_be}, and it is {amount}"),
            [("field", &field), ("amount", &amount)],
        )
    }

    /// The balance, with the overdraft limit, would have more digits than the ledger keeps.
    pub fn balance_overflow(account_id: &AccountId) -> Self {
        Self::new(
            RejectionCode::AmountOverflow,
            format!(
                "the balance of account {account_id} and its overdraft limit would add up to more than {} digits, decimals included",
                Money::DIGITS_MAX
            ),
            [("account_id", account_id)],
        )
    }

    /// An amount that the currency does not have, or that has too many digits.
    pub fn invalid_amount(field: &str, error: &InvalidAmount) -> Self {
        let code = match error {
            InvalidAmount::Overflow => RejectionCode::AmountOverflow,
            InvalidAmount::NotDecimal { .. }
            | InvalidAmount::TooManyDigits { .. }
            | InvalidAmount::TooManyDecimals { .. } => RejectionCode::InvalidAmount,
        };
        let message = format!("{field}: {error}");
        match error {
            InvalidAmount::TooManyDecimals { amount, currency } => Self::new(
                code,
                message,
                [
                    ("field", &field),
                    ("amount", amount),
                    ("currency", currency),
                ],
            ),
            _ => Self::new(code, message, [("field", &field)]),
        }
    }

    /// The ledger does not keep accounts in that currency.
    pub fn unknown_currency(code: CurrencyCode, error: &InvalidCurrency) -> Self {
        Self::new(
            RejectionCode::UnknownCurrency,
            error.to_string(),
            [("currency", &code)],
        )
    }

    /// The account has another version than the command expects.
    pub fn version_conflict(account_id: &AccountId, expected: Version, actual: Version) -> Self {
        Self::new(
            RejectionCode::VersionConflict,
            if actual == Version::NONE {
                format!(
                    "account {account_id} does not exist yet, and the command expects version {expected}"
                )
            } else {
                format!(
                    "account {account_id} is at version {actual}, and the command expects {expected}; read it again"
                )
            },
            [
                ("account_id", account_id),
                ("expected", &expected),
                ("actual", &actual),
            ],
        )
    }

    /// The command's id was used before, for another command; `first` is that one, if it is known.
    pub fn idempotency_conflict(command: &Command, first: Option<&Command>) -> Self {
        let command_id = command.command_id;
        let fields = first.map(|first| json::differing_fields(first, command).join(" "));
        let which = match &fields {
            Some(fields) if !fields.is_empty() => format!(" (they differ in: {fields})"),
            _ => String::new(),
        };
        let mut rejection = Self::new(
            RejectionCode::IdempotencyConflict,
            format!(
                "command id {command_id} was used before, for a command with another body{which}; its first outcome stands. Use a new id for a new command"
            ),
            [("command_id", &command_id)],
        );
        if let Some(fields) = fields {
            rejection.data.insert("fields".to_owned(), fields);
        }
        rejection
    }
}
