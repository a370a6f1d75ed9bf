//! Outcomes and rejections as their readers see them.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod support;

use ledger::{CommandId, Outcome, Rejection, RejectionCode};
use support::{Request, batch, credit, debit, deposit, given, open, post, transfer, withdraw};

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

/// Whatever is different within them.
#[test]
fn entries_and_commands_are_named_as_a_whole() {
    let fields = |first: Request, second: Request| {
        let (first, second) = (first.named(COMMAND).command, second.named(COMMAND).command);
        let rejection = Rejection::idempotency_conflict(&second, Some(&first));
        assert_ne!(first.fingerprint(), second.fingerprint());
        rejection.data["fields"].clone()
    };
    let posted = |amount| post([debit("A", amount), credit("B", "1")]);
    assert_eq!(
        fields(posted("1"), posted("2").because("x")),
        "description entries"
    );
    let sent = |amount| batch([deposit("A", "1"), withdraw("A", amount)]);
    assert_eq!(fields(sent("1"), sent("2")), "commands");
    assert_eq!(fields(sent("1"), posted("1")), "commands entries type");
    let swapped = batch([withdraw("A", "1"), deposit("A", "1")]);
    assert_eq!(fields(sent("1"), swapped.by("teller-3")), "actor commands");
    // The same amounts spelt otherwise are the same.
    assert_eq!(
        sent("1").command.fingerprint(),
        sent("1.00").command.fingerprint()
    );
    assert_eq!(
        posted("1").command.fingerprint(),
        posted("1.0").command.fingerprint()
    );
}

#[test]
fn an_accepted_batch_says_which_command_made_each_event() {
    let decision = given([open("A", "10"), open("B", "0")])
        .when(batch([deposit("B", "2"), transfer("A", "B", "1")]).named(COMMAND));
    let outcome = Outcome::of(command_id(), decision.result.as_deref());
    let written = serde_json::to_value(&outcome).unwrap();
    let id = command_id();
    let event = |account, version, index, part| {
        let event_id = id.event_id(index);
        serde_json::json!({"account_id": account, "version": version, "event_id": event_id, "part": part})
    };
    let expected = serde_json::json!({
        "command_id": COMMAND,
        "status": "accepted",
        "events": [event("B", 2, 0, 0), event("A", 2, 1, 1), event("B", 3, 2, 1)],
    });
    assert_eq!(written, expected);
    assert_eq!(serde_json::from_value::<Outcome>(written).unwrap(), outcome);
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
            "unbalanced",
            "same_currency",
            "below_minimum_balance",
            "above_maximum_balance",
            "daily_amount_exceeded",
            "daily_count_exceeded",
            "counterparty_not_allowed",
            "too_much_written",
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
