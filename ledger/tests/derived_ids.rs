//! Ids are derived from the command's, so that deciding anew, on another machine, gives the same ones.

mod support;

use support::{Given, Request, deposit, given, open, transfer};

const COMMAND: &str = "6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11";

fn before() -> Given {
    given([open("A", "100"), open("B", "100")])
}

fn event_ids(before: Given, request: Request) -> Vec<String> {
    let known = before.events.len();
    let after = before.when(request).then_accepted();
    let new = &after.events[known..];
    new.iter().map(|event| event.event_id.to_string()).collect()
}

#[test]
fn the_same_command_has_the_same_event_ids_whatever_the_state_and_the_time() {
    let request = || deposit("A", "1").named(COMMAND);
    let later = before().when(deposit("A", "7")).then_accepted();
    assert_eq!(
        event_ids(before(), request()),
        event_ids(later, request().at("2030-01-01T00:00:00Z"))
    );
}

#[test]
fn two_commands_have_no_event_id_in_common() {
    let other = "00000000-0000-4000-8000-000000000001";
    let first = event_ids(before(), transfer("A", "B", "1").named(COMMAND));
    let second = event_ids(before(), transfer("A", "B", "1").named(other));
    assert_eq!(first.len(), 2);
    assert!(first.iter().all(|id| !second.contains(id)));
}

/// The ids are stored for ever and are the message ids of the feed: a change of the rule would publish events twice.
#[test]
fn the_rule_by_which_ids_are_derived_is_fixed() {
    let command_id: ledger::CommandId = COMMAND.parse().unwrap();
    // python3: h = bytearray(hashlib.sha256(b"event" + uuid.UUID(COMMAND).bytes + (0).to_bytes(4, "big")).digest()[:16]);
    // h[6] = h[6] & 0x0f | 0x80; h[8] = h[8] & 0x3f | 0x80; uuid.UUID(bytes=bytes(h))
    for (actual, expected) in [
        (
            command_id.event_id(0).to_string(),
            "d6832497-a4f1-8eb1-85a8-20669de80405",
        ),
        (
            command_id.event_id(1).to_string(),
            "f43437ed-75ed-856b-903b-d4d5b6a8eb27",
        ),
        (
            command_id.transfer_id(0).to_string(),
            "c92b2b30-06f1-898f-a203-d80141730d5f",
        ),
    ] {
        assert_eq!(actual, expected);
    }
}
