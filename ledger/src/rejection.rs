//! Rejections: why the ledger did not do what a command asked for. Values, not errors.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, CommandId, Version};
use crate::money::{CurrencyCode, InvalidAmount, InvalidCurrency, Money};

/// The stable word for a rejection. Programs match on it; it never changes its meaning.
///
/// `account_frozen` and `account_closed` have their place here when the commands that freeze and close exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionCode {
    /// There is no such account.
    AccountNotFound,
    /// The account to be opened is there already.
    AccountExists,
    /// The available balance does not cover it.
    InsufficientFunds,
    /// The command names another currency than the account's, or the two accounts differ.
    CurrencyMismatch,
    /// A transfer from an account to itself.
    SameAccount,
    /// Zero, below zero, or more decimals than the currency has.
    InvalidAmount,
    /// The amount, or a balance with it, would have more digits than the ledger keeps.
    AmountOverflow,
    /// The ledger does not keep accounts in that currency.
    UnknownCurrency,
    /// The account has another version than the command expects.
    VersionConflict,
    /// The command's id was used before, for another command.
    IdempotencyConflict,
}

impl RejectionCode {
    /// Every code there is.
    pub const ALL: [Self; 10] = [
        Self::AccountNotFound,
        Self::AccountExists,
        Self::InsufficientFunds,
        Self::CurrencyMismatch,
        Self::SameAccount,
        Self::InvalidAmount,
        Self::AmountOverflow,
        Self::UnknownCurrency,
        Self::VersionConflict,
        Self::IdempotencyConflict,
    ];

    /// The code as on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountNotFound => "account_not_found",
            Self::AccountExists => "account_exists",
            Self::InsufficientFunds => "insufficient_funds",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::SameAccount => "same_account",
            Self::InvalidAmount => "invalid_amount",
            Self::AmountOverflow => "amount_overflow",
            Self::UnknownCurrency => "unknown_currency",
            Self::VersionConflict => "version_conflict",
            Self::IdempotencyConflict => "idempotency_conflict",
        }
    }
}

impl fmt::Display for RejectionCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

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
    pub fn insufficient_funds(account_id: &AccountId, available: Money, required: Money) -> Self {
        let currency = required.currency();
        Self::new(
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
        )
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

    /// The command's id was used before, for another command.
    pub fn idempotency_conflict(command_id: CommandId) -> Self {
        Self::new(
            RejectionCode::IdempotencyConflict,
            format!(
                "command id {command_id} was used before, for a command with another body; its first outcome stands. Use a new id for a new command"
            ),
            [("command_id", &command_id)],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_they_are_called() {
        for code in RejectionCode::ALL {
            assert_eq!(
                serde_json::to_string(&code).unwrap(),
                format!("{:?}", code.as_str())
            );
        }
    }
}
