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
        RejectionCode::AccountNotFound
        | RejectionCode::HoldNotFound
        | RejectionCode::CommandNotFound => StatusCode::NOT_FOUND,
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
        | RejectionCode::HoldNotDue
        | RejectionCode::NotReversible
        | RejectionCode::AlreadyReversed => StatusCode::CONFLICT,
        // A condition that the command itself has set: RFC 9110 §15.5.13.
        RejectionCode::BalanceCondition | RejectionCode::Expired | RejectionCode::TooEarly => {
            StatusCode::PRECONDITION_FAILED
        }
        // The money is not right, or its date.
        RejectionCode::InsufficientFunds
        | RejectionCode::OverdraftInUse
        | RejectionCode::EffectiveAtOutOfWindow
        | RejectionCode::AmountExceedsHold
        | RejectionCode::AmountExceedsRest
        | RejectionCode::ReversalUncovered
        | RejectionCode::CurrencyMismatch
        | RejectionCode::SameAccount
        | RejectionCode::InvalidAmount
        | RejectionCode::AmountOverflow
        | RejectionCode::UnknownCurrency
        | RejectionCode::Unbalanced
        | RejectionCode::SameCurrency
        | RejectionCode::BelowMinimumBalance
        | RejectionCode::AboveMaximumBalance
        | RejectionCode::DailyAmountExceeded
        | RejectionCode::DailyCountExceeded
        | RejectionCode::CounterpartyNotAllowed
        | RejectionCode::TooMuchWritten => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in docs/http.md: the statuses, each with its codes.
    fn documented() -> Vec<(u16, String)> {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/http.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (_, table) = page
            .split_once("| status | what is wrong | codes |")
            .unwrap();
        let rows = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
        let of_row = |cells: Vec<&str>| {
            let status: u16 = cells[1].parse().unwrap();
            let codes = cells[3].split('`').skip(1).step_by(2);
            codes
                .map(|code| (status, code.to_owned()))
                .collect::<Vec<_>>()
        };
        cells.flat_map(of_row).collect()
    }

    #[test]
    fn the_page_tells_the_status_of_every_code() {
        let documented = documented();
        assert_eq!(documented.len(), RejectionCode::ALL.len());
        for code in RejectionCode::ALL {
            let told = (status(code.as_str()).as_u16(), code.to_string());
            assert!(
                documented.contains(&told),
                "docs/http.md does not say {told:?}"
            );
        }
    }

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
