//! The codes of rejections, and what each means: the reference page is made of this.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The stable word for a rejection. Programs match on it; it never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionCode {
    /// There is no such account.
    AccountNotFound,
    /// The account to be opened is there already, open or closed.
    AccountExists,
    /// Debits or credits of the account are frozen, or it is to be closed while anything is.
    AccountFrozen,
    /// The account was closed, for ever.
    AccountClosed,
    /// Balance and overdraft limit, without what is held, do not cover the amount.
    InsufficientFunds,
    /// `currency` is not the account's, or the two accounts of a transfer differ.
    CurrencyMismatch,
    /// Money from an account to itself.
    SameAccount,
    /// An amount is zero or below, or has more decimals than the currency.
    InvalidAmount,
    /// The amount, or the balance with the overdraft limit, would have more than 27 digits.
    AmountOverflow,
    /// ISO 4217 does not have the code, or has it without decimals (XAU), and it is not declared.
    UnknownCurrency,
    /// The account is not at `expected_version`.
    VersionConflict,
    /// The balance is less than `if_balance_at_least`.
    BalanceCondition,
    /// The command was decided at or after its `expires_at`.
    Expired,
    /// The command was decided before its `not_before`.
    TooEarly,
    /// The business date is too long ago, or too far ahead.
    EffectiveAtOutOfWindow,
    /// The account is as the command wants it already.
    NoChange,
    /// An account that is to be closed has a balance.
    BalanceNotZero,
    /// An account that is to be closed has money held.
    HoldsOpen,
    /// The new overdraft limit is less than what is used of the old one.
    OverdraftInUse,
    /// The account has, or had, a hold with that id.
    HoldExists,
    /// The account never had a hold with that id.
    HoldNotFound,
    /// Nothing is held any more: all of it was captured, released, or expired.
    HoldClosed,
    /// The hold's time is over (or would be over at once).
    HoldExpired,
    /// The hold's time is not over, or it has none.
    HoldNotDue,
    /// The amount is more than what is still held.
    AmountExceedsHold,
    /// No accepted command with that id was sent to that account.
    CommandNotFound,
    /// The earlier command did something else than move money, or is a reversal itself.
    NotReversible,
    /// All of the earlier command has been moved back.
    AlreadyReversed,
    /// The amount is more than what of the earlier command has not been moved back yet.
    AmountExceedsRest,
    /// The account that got the money has no longer enough of it.
    ReversalUncovered,
    /// The entries of a posting do not balance.
    Unbalanced,
    /// Money is to be exchanged between accounts of one currency.
    SameCurrency,
    /// The balance, without what is held, would fall below the account's minimum.
    BelowMinimumBalance,
    /// The balance would rise above the account's maximum.
    AboveMaximumBalance,
    /// More would leave the account in one day than its rules allow.
    DailyAmountExceeded,
    /// Something would leave the account more often in one day than its rules allow.
    DailyCountExceeded,
    /// The rules of one of the accounts do not allow movements with the other.
    CounterpartyNotAllowed,
    /// What the command would write is too much for one transaction.
    TooMuchWritten,
    /// The command's id was used before, for a command with another body.
    IdempotencyConflict,
}

/// One line of the reference: what a code means and what to do about it.
struct Meaning {
    code: &'static str,
    cause: &'static str,
    remedy: &'static str,
    data: &'static [&'static str],
}

impl RejectionCode {
    /// Every code there is.
    pub const ALL: [Self; 39] = [
        Self::AccountNotFound,
        Self::AccountExists,
        Self::AccountFrozen,
        Self::AccountClosed,
        Self::InsufficientFunds,
        Self::CurrencyMismatch,
        Self::SameAccount,
        Self::InvalidAmount,
        Self::AmountOverflow,
        Self::UnknownCurrency,
        Self::VersionConflict,
        Self::BalanceCondition,
        Self::Expired,
        Self::TooEarly,
        Self::EffectiveAtOutOfWindow,
        Self::NoChange,
        Self::BalanceNotZero,
        Self::HoldsOpen,
        Self::OverdraftInUse,
        Self::HoldExists,
        Self::HoldNotFound,
        Self::HoldClosed,
        Self::HoldExpired,
        Self::HoldNotDue,
        Self::AmountExceedsHold,
        Self::CommandNotFound,
        Self::NotReversible,
        Self::AlreadyReversed,
        Self::AmountExceedsRest,
        Self::ReversalUncovered,
        Self::Unbalanced,
        Self::SameCurrency,
        Self::BelowMinimumBalance,
        Self::AboveMaximumBalance,
        Self::DailyAmountExceeded,
        Self::DailyCountExceeded,
        Self::CounterpartyNotAllowed,
        Self::TooMuchWritten,
        Self::IdempotencyConflict,
    ];

    #[expect(clippy::too_many_lines, reason = "one entry per code")]
    fn meaning(self) -> Meaning {
        let (code, cause, remedy, data): (_, _, _, &'static [&'static str]) = match self {
            Self::AccountNotFound => (
                "account_not_found",
                "There is no such account.",
                "open it with `create_account` first, or correct the id",
                &["account_id"],
            ),
            Self::AccountExists => (
                "account_exists",
                "The account to be opened is there already, open or closed.",
                "choose another id",
                &["account_id"],
            ),
            Self::AccountFrozen => (
                "account_frozen",
                "Debits or credits of the account are frozen, or it is to be closed while anything is.",
                "`unfreeze_account` first, or another account",
                &["account_id", "status", "forbidden"],
            ),
            Self::AccountClosed => (
                "account_closed",
                "The account was closed, for ever.",
                "another account",
                &["account_id"],
            ),
            Self::InsufficientFunds => (
                "insufficient_funds",
                "Balance and overdraft limit, without what is held, do not cover the amount.",
                "a smaller amount, or a deposit first",
                &["account_id", "available", "held", "required", "currency"],
            ),
            Self::CurrencyMismatch => (
                "currency_mismatch",
                "`currency` is not the account's, or the two accounts of a transfer differ.",
                "name the account's currency; `exchange` moves money to another one",
                &["account_id", "account_currency", "currency"],
            ),
            Self::SameAccount => (
                "same_account",
                "Money from an account to itself.",
                "name two accounts",
                &["account_id"],
            ),
            Self::InvalidAmount => (
                "invalid_amount",
                "An amount is zero or below, or has more decimals than the currency.",
                "more than zero, and rounded before it is sent",
                &["field", "amount", "currency"],
            ),
            Self::AmountOverflow => (
                "amount_overflow",
                "The amount, or the balance with the overdraft limit, would have more than 27 digits.",
                "a smaller amount",
                &["field", "account_id"],
            ),
            Self::UnknownCurrency => (
                "unknown_currency",
                "ISO 4217 does not have the code, or has it without decimals (XAU), and it is not declared.",
                "a code such as USD, or `--declare-currency CODE:DECIMALS` where the ledger is run",
                &["currency"],
            ),
            Self::VersionConflict => (
                "version_conflict",
                "The account is not at `expected_version`.",
                "read the account again and decide anew",
                &["account_id", "expected", "actual"],
            ),
            Self::BalanceCondition => (
                "balance_condition",
                "The balance is less than `if_balance_at_least`.",
                "read the account again and decide anew",
                &["account_id", "balance", "required", "currency"],
            ),
            Self::Expired => (
                "expired",
                "The command was decided at or after its `expires_at`.",
                "a new command, if it is still wanted",
                &["expires_at", "recorded_at"],
            ),
            Self::TooEarly => (
                "too_early",
                "The command was decided before its `not_before`.",
                "send a new command when it is time; the ledger keeps none back",
                &["not_before", "recorded_at"],
            ),
            Self::EffectiveAtOutOfWindow => (
                "effective_at_out_of_window",
                "The business date is further from the time of recording than this ledger allows (366 days each way, unless configured otherwise).",
                "a business date from `earliest` to `latest`, or none",
                &["effective_at", "earliest", "latest"],
            ),
            Self::NoChange => (
                "no_change",
                "The account is as the command wants it already.",
                "nothing is to be done",
                &["account_id", "state"],
            ),
            Self::BalanceNotZero => (
                "balance_not_zero",
                "An account that is to be closed has a balance.",
                "`sweep_to_account_id`, or a withdrawal or deposit first",
                &["account_id", "balance", "currency"],
            ),
            Self::HoldsOpen => (
                "holds_open",
                "An account that is to be closed has money held.",
                "capture or release the holds first",
                &["account_id", "held", "currency"],
            ),
            Self::OverdraftInUse => (
                "overdraft_in_use",
                "The new overdraft limit is less than what is used of the old one.",
                "a higher limit, or a deposit first",
                &[
                    "account_id",
                    "balance",
                    "held",
                    "overdraft_limit",
                    "currency",
                ],
            ),
            Self::HoldExists => (
                "hold_exists",
                "The account has, or had, a hold with that id.",
                "choose another id",
                &["account_id", "hold_id"],
            ),
            Self::HoldNotFound => (
                "hold_not_found",
                "The account never had a hold with that id.",
                "correct the id or the account",
                &["account_id", "hold_id"],
            ),
            Self::HoldClosed => (
                "hold_closed",
                "Nothing is held any more: all of it was captured, released, or expired.",
                "a new hold",
                &["account_id", "hold_id", "captured", "amount", "currency"],
            ),
            Self::HoldExpired => (
                "hold_expired",
                "The hold's time is over (or would be over at once).",
                "a new hold, with a later `hold_expires_at`",
                &["account_id", "hold_id", "hold_expires_at"],
            ),
            Self::HoldNotDue => (
                "hold_not_due",
                "The hold's time is not over, or it has none.",
                "`release` ends a hold at any time",
                &["account_id", "hold_id", "hold_expires_at", "recorded_at"],
            ),
            Self::AmountExceedsHold => (
                "amount_exceeds_hold",
                "The amount is more than what is still held.",
                "a smaller amount, or a withdrawal beside it",
                &["account_id", "hold_id", "remaining", "required", "currency"],
            ),
            Self::CommandNotFound => (
                "command_not_found",
                "No accepted command with that id was sent to that account.",
                "correct the id or the account: the one that the earlier command was sent to",
                &["account_id", "reversed_command_id"],
            ),
            Self::NotReversible => (
                "not_reversible",
                "The earlier command did something else than move money, or is a reversal itself; or it moved several amounts, and a part of them is asked for.",
                "a new command that does the opposite; several amounts are moved back whole, without `amount`",
                &["reversed_command_id"],
            ),
            Self::AlreadyReversed => (
                "already_reversed",
                "All of the earlier command has been moved back.",
                "nothing is to be done",
                &["reversed_command_id", "amount", "currency"],
            ),
            Self::AmountExceedsRest => (
                "amount_exceeds_rest",
                "The amount is more than what of the earlier command has not been moved back yet.",
                "a smaller amount, or none for all of the rest",
                &["reversed_command_id", "remaining", "required", "currency"],
            ),
            Self::ReversalUncovered => (
                "reversal_uncovered",
                "The account that got the money has no longer enough of it.",
                "a deposit first, or a smaller amount",
                &[
                    "account_id",
                    "available",
                    "held",
                    "required",
                    "currency",
                    "reversed_command_id",
                ],
            ),
            Self::Unbalanced => (
                "unbalanced",
                "The debits of a posting are not as much as its credits, in one of its currencies.",
                "add what is missing, or correct the amounts",
                &["debits", "credits", "currency"],
            ),
            Self::SameCurrency => (
                "same_currency",
                "Money is to be exchanged between accounts of one currency.",
                "`transfer`, or an account of another currency",
                &["account_id", "currency"],
            ),
            Self::BelowMinimumBalance => (
                "below_minimum_balance",
                "The balance, without what is held, would fall below the account's minimum.",
                "a smaller amount, or other rules (`set_account_rules`)",
                &["account_id", "remaining", "minimum_balance", "currency"],
            ),
            Self::AboveMaximumBalance => (
                "above_maximum_balance",
                "The balance would rise above the account's maximum.",
                "a smaller amount, or other rules (`set_account_rules`)",
                &["account_id", "balance", "maximum_balance", "currency"],
            ),
            Self::DailyAmountExceeded => (
                "daily_amount_exceeded",
                "More would leave the account, or be held on it, in one day of UTC than its rules allow.",
                "a smaller amount, the next day, or other rules (`set_account_rules`)",
                &[
                    "account_id",
                    "day",
                    "amount",
                    "required",
                    "daily_debit_amount_max",
                    "currency",
                ],
            ),
            Self::DailyCountExceeded => (
                "daily_count_exceeded",
                "As much as the account's rules allow has left it, or was held on it, in this day of UTC.",
                "the next day, or other rules (`set_account_rules`)",
                &["account_id", "day", "daily_debit_count_max"],
            ),
            Self::CounterpartyNotAllowed => (
                "counterparty_not_allowed",
                "The rules of one of the accounts do not allow movements with the other.",
                "another account, or other rules (`set_account_rules`)",
                &["account_id", "counterparty_account_id"],
            ),
            Self::TooMuchWritten => (
                "too_much_written",
                "What the command would write is more than 4 MiB: the description and the metadata stand with each event, and what is known about an account with each change of it.",
                "several commands, or shorter texts",
                &["bytes_max"],
            ),
            Self::IdempotencyConflict => (
                "idempotency_conflict",
                "The command's id was used before, for a command with another body.",
                "a new id for a new command; the first outcome stands",
                &["command_id", "fields"],
            ),
        };
        Meaning {
            code,
            cause,
            remedy,
            data,
        }
    }

    /// The code as on the wire.
    pub fn as_str(self) -> &'static str {
        self.meaning().code
    }

    /// When it is given, in one sentence.
    pub fn cause(self) -> &'static str {
        self.meaning().cause
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        self.meaning().remedy
    }

    /// The names that [`Rejection::data`] can have; beside these, `command` and `entry` for a command of a batch and an
    /// entry of a posting.
    pub fn data_names(self) -> &'static [&'static str] {
        self.meaning().data
    }
}

impl fmt::Display for RejectionCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
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
