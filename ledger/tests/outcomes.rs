//! Outcomes and rejections as their readers see them.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod support;

use ledger::{CommandId, Outcome, Rejection, RejectionCode};
use support::{given, open, transfer, withdraw};

const COMMAND: &str = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";

fn command_id() -> CommandId {
    COMMAND.parse().unwrap()
}

#[test]
fn an_accepted_transfer_refers_to_both_events() {
    let decision =
        given([open("A", "10"), open("B", "0")]).when(transfer("A", "B", "1").named(COMMAND));
    let outcome = Outcome::of(command_id(), decision.result.as_deref());
    assert!(outcome.is_accepted());
    assert_eq!(outcome.rejection(), None);
    let references: Vec<_> = outcome
        .events()
        .iter()
        .map(|event| {
            (
                event.account_id.as_str(),
                event.version.get(),
                event.event_id,
            )
        })
        .collect();
    let id = command_id();
    assert_eq!(
        references,
        [("A", 2, id.event_id(0)), ("B", 2, id.event_id(1))]
    );
}

#[test]
fn a_refused_withdrawal_says_why_with_the_figures() {
    let decision = given([open("A", "10")]).when(withdraw("A", "10.01").named(COMMAND));
    let outcome = Outcome::of(command_id(), decision.result.as_deref());
    assert!(!outcome.is_accepted());
    assert!(outcome.events().is_empty());
    let written = serde_json::to_value(&outcome).unwrap();
    let expected = serde_json::json!({
        "command_id": COMMAND,
        "status": "rejected",
        "events": [],
        "rejection": {
            "code": "insufficient_funds",
            "message": "account A has 10.00 USD available, and 10.01 USD is required",
            "data": {"account_id": "A", "available": "10.00", "required": "10.01", "currency": "USD"},
        },
    });
    assert_eq!(written, expected);
    assert_eq!(serde_json::from_value::<Outcome>(written).unwrap(), outcome);
}

#[test]
fn a_command_id_used_for_another_command_is_told_so() {
    let first = withdraw("A", "1").named(COMMAND).command;
    let second = withdraw("A", "2").by("teller-3").named(COMMAND).command;
    // The first command is not always at hand.
    let rejection = Rejection::idempotency_conflict(&second, None);
    assert_eq!(rejection.code, RejectionCode::IdempotencyConflict);
    assert_eq!(
        rejection.message,
        format!(
            "command id {COMMAND} was used before, for a command with another body; its first outcome stands. Use a new id for a new command"
        )
    );
    assert_eq!(rejection.data["command_id"], COMMAND);
    assert_eq!(rejection.data.len(), 1);
    let rejection = Rejection::idempotency_conflict(&second, Some(&first));
    assert_eq!(rejection.code, RejectionCode::IdempotencyConflict);
    assert_eq!(
        rejection.message,
        format!(
            "command id {COMMAND} was used before, for a command with another body (they differ in: actor amount); its first outcome stands. Use a new id for a new command"
        )
    );
    assert_eq!(rejection.data["command_id"], COMMAND);
    assert_eq!(rejection.data["fields"], "actor amount");
}

/// Programs match on these words: none may change.
#[test]
fn the_codes_are_these() {
    let codes: Vec<_> = RejectionCode::ALL
        .iter()
        .map(|code| code.as_str())
        .collect();
    assert_eq!(
        codes,
        [
            "account_not_found",
            "account_exists",
            "account_frozen",
            "account_closed",
            "insufficient_funds",
            "currency_mismatch",
            "same_account",
            "invalid_amount",
            "amount_overflow",
            "unknown_currency",
            "version_conflict",
            "balance_condition",
            "expired",
            "too_early",
            "effective_at_out_of_window",
            "no_change",
            "balance_not_zero",
            "holds_open",
            "overdraft_in_use",
            "hold_exists",
            "hold_not_found",
            "hold_closed",
            "hold_expired",
            "hold_not_due",
            "amount_exceeds_hold",
            "command_not_found",
            "not_reversible",
            "already_reversed",
            "amount_exceeds_rest",
            "reversal_uncovered",
            "idempotency_conflict",
        ]
    );
}

#[test]
fn an_outcome_without_figures_can_be_read() {
    let text = format!(
        r#"{{"command_id":"{COMMAND}","status":"rejected","rejection":{{"code":"same_account","message":"…"}}}}"#
    );
    let outcome: Outcome = serde_json::from_str(&text).unwrap();
    assert_eq!(
        outcome.rejection().unwrap().code,
        RejectionCode::SameAccount
    );
}
