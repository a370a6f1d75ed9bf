//! What a refusal of the ledger is in HTTP.

use axum::http::StatusCode;
use ledger::RejectionCode;

/// The status of an answer with this code. A code from a later version of the ledger is one that the caller has to look
/// up, too: 422.
pub(super) fn status(code: &str) -> StatusCode {
    RejectionCode::ALL
        .into_iter()
        .find(|known| known.as_str() == code)
        .map_or(StatusCode::UNPROCESSABLE_ENTITY, status_of)
}

fn status_of(code: RejectionCode) -> StatusCode {
    match code {
        // What the command is about is not there.
        RejectionCode::AccountNotFound | RejectionCode::HoldNotFound => StatusCode::NOT_FOUND,
        // What is there is in the way: RFC 9110 §15.5.10.
        RejectionCode::AccountExists
        | RejectionCode::HoldExists
        | RejectionCode::IdempotencyConflict
        | RejectionCode::VersionConflict
        | RejectionCode::AccountFrozen
        | RejectionCode::AccountClosed
        | RejectionCode::NoChange
        | RejectionCode::BalanceNotZero
        | RejectionCode::HoldsOpen
        | RejectionCode::HoldClosed
        | RejectionCode::HoldExpired
        | RejectionCode::HoldNotDue => StatusCode::CONFLICT,
        // A condition that the command itself has set: RFC 9110 §15.5.13.
        RejectionCode::BalanceCondition | RejectionCode::Expired | RejectionCode::TooEarly => {
            StatusCode::PRECONDITION_FAILED
        }
        // The money is not right.
        RejectionCode::InsufficientFunds
        | RejectionCode::OverdraftInUse
        | RejectionCode::AmountExceedsHold
        | RejectionCode::CurrencyMismatch
        | RejectionCode::SameAccount
        | RejectionCode::InvalidAmount
        | RejectionCode::AmountOverflow
        | RejectionCode::UnknownCurrency => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_status_of_their_kind_and_unknown_ones_are_422() {
        for (code, expected) in [
            ("account_not_found", 404),
            ("hold_not_found", 404),
            ("hold_exists", 409),
            ("version_conflict", 409),
            ("account_frozen", 409),
            ("expired", 412),
            ("balance_condition", 412),
            ("insufficient_funds", 422),
            ("account_on_the_moon", 422),
        ] {
            assert_eq!(status(code), expected, "{code}");
        }
    }
}
