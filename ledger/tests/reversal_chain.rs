//! Reversals in a history: when they are recorded, what a book knows of them, and that nothing of them can be changed
//! unnoticed.

mod support;

use ledger::RejectionCode::{AlreadyReversed, CommandNotFound, Expired};
use ledger::{Accounts, Event, EventData};
use support::{
    Given, NOON, account_id, command_id, deposit, given, open, reverse, transfer, withdraw,
};

/// Command 3 transfers 30.00 from A to B, which have 70.00 and 35.00 then.
fn transferred() -> Given {
    given([open("A", "100"), open("B", "5"), transfer("A", "B", "30")])
}

/// Command 3 withdraws 30.00 from A, which has 70.00 then.
fn withdrawn() -> Given {
    given([open("A", "100"), open("B", "5"), withdraw("A", "30")])
}

/// What came of the newest command.
fn newest<const N: usize>(given: &Given) -> [&Event; N] {
    let events: Vec<&Event> = given.events.iter().rev().take(N).rev().collect();
    events.try_into().expect("so many events there are")
}

/// Its times are compared with what would be recorded, which is after the newest event of both accounts.
#[test]
fn a_clock_that_is_behind_either_account_is_not_believed() {
    let touched = |account: &'static str| {
        transferred()
            .when(deposit(account, "1").at(NOON))
            .then_accepted()
    };
    let (early, after_noon) = ("2026-01-31T11:00:00Z", "2026-01-31T12:00:00.000001Z");
    for account in ["A", "B"] {
        touched(account)
            .when(reverse("A", 3).expiring_at(after_noon).at(early))
            .then_rejected(
                Expired,
                &format!("the command expired at {after_noon}, and it is {after_noon}"),
                [("expires_at", after_noon), ("recorded_at", after_noon)],
            );
        touched(account)
            .when(reverse("A", 3).not_before(after_noon).at(early))
            .then_accepted();
    }
    // What another account's command touched does not matter, even to a refusal.
    let before = || {
        given([
            open("A", "100"),
            open("B", "100"),
            open("C", "0"),
            transfer("B", "C", "1"),
            deposit("C", "1").at(NOON),
        ])
    };
    before()
        .when(reverse("A", 4).expiring_at(after_noon).at(early))
        .then_code(CommandNotFound);
    before()
        .when(reverse("B", 4).expiring_at(after_noon).at(early))
        .then_code(Expired);
}

/// A book that knows the newest reversal goes on as the one that saw all of them; see `Original::of` and `take`.
#[test]
fn an_original_loaded_from_its_events_and_the_newest_reversal_is_the_one_that_was_kept() {
    let after = transferred()
        .when(reverse("A", 3).only("10"))
        .then_accepted()
        .when(reverse("A", 3).only("5"))
        .then_accepted();
    let mut loaded = ledger::Original::of(&after.events[2..4]).expect("there are events");
    assert_eq!(loaded.reversed, None);
    for event in &after.events[4..] {
        let mut one = loaded.clone();
        one.take(event);
        // What the other account says of it is not looked at.
        let is_its_own = event.account_id == account_id("A");
        assert_eq!(one.reversed.is_some(), is_its_own);
    }
    // Nor is what was moved back of another command.
    let others = withdrawn()
        .when(withdraw("A", "1").number(60))
        .then_accepted()
        .when(reverse("A", 60))
        .then_accepted();
    let [other] = newest(&others);
    loaded.take(other);
    assert_eq!(loaded.reversed, None);
    loaded.take(after.events.last().expect("an event"));
    assert_eq!(after.book.original(command_id(3)), Some(&loaded));
    assert_eq!(
        loaded.account_ids().collect::<Vec<_>>(),
        [&account_id("A"), &account_id("B")]
    );
    assert_eq!(ledger::Original::of(&[]), None);
}

/// The events of a batch are applied to one book before the next command is decided.
#[test]
fn several_reversals_in_one_batch_know_of_each_other() {
    let batch = (0..3).map(|_| reverse("A", 3).only("10").at(NOON));
    let history = [open("A", "100"), open("B", "5"), transfer("A", "B", "30")];
    let after = given(history.into_iter().chain(batch));
    let times: Vec<String> = after.events[4..]
        .iter()
        .map(|event| event.recorded_at.to_string())
        .collect();
    assert_eq!(
        times[..4],
        [
            NOON,
            NOON,
            "2026-01-31T12:00:00.000001Z",
            "2026-01-31T12:00:00.000001Z"
        ]
    );
    after
        .when(reverse("A", 3).only("0.01"))
        .then_code(AlreadyReversed);
}

/// What a reversal is made of is in the hash: nothing of it can be changed unnoticed.
#[test]
fn no_field_of_a_reversal_can_be_changed_without_another_hash() {
    let after = transferred()
        .when(reverse("A", 3).only("10"))
        .then_accepted();
    let others: [fn(&mut ledger::Reversal); 3] = [
        |reversal| reversal.command_id = command_id(4),
        |reversal| reversal.reversed = reversal.reversed.negated(),
        |reversal| reversal.reason = "another".to_owned(),
    ];
    let moved = |event: &Event| match &event.data {
        EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) => moved.clone(),
        other => panic!("{other:?}"),
    };
    for event in newest::<2>(&after) {
        let mut variants = Vec::new();
        for change in others {
            let mut one = moved(event);
            change(one.reversal.as_mut().expect("a reversal"));
            variants.push(one);
        }
        let mut without = moved(event);
        without.reversal = None;
        variants.push(without);
        for variant in variants {
            let data = match &event.data {
                EventData::MoneyDeposited(_) => EventData::MoneyDeposited(variant),
                _ => EventData::MoneyWithdrawn(variant),
            };
            let changed = Event {
                data,
                ..event.clone()
            };
            assert!(changed.check_hash().is_err(), "{changed:?}");
        }
    }
    // Each account's chain goes on over it.
    let [debit, credit] = newest(&after);
    assert_eq!(credit.prev_hash, after.events[2].hash);
    assert_eq!(debit.prev_hash, after.events[3].hash);
}

/// Money of another currency in it is refused, and does not panic.
#[test]
fn a_reversal_in_another_currency_does_not_follow() {
    let after = withdrawn().when(reverse("A", 3)).then_accepted();
    let [event] = newest(&after);
    let mut changed = event.clone();
    let EventData::MoneyDeposited(moved) = &mut changed.data else {
        panic!("{changed:?}");
    };
    let euros = given([open("E", "30").in_currency("EUR")]);
    let euros = euros.account("E").balance;
    moved.reversal.as_mut().expect("a reversal").reversed = euros;
    let mut before = withdrawn();
    let known = before.book.original(command_id(3)).cloned();
    let error = before.book.apply(&changed).expect_err("it cannot follow");
    assert_eq!(
        error.to_string(),
        "account A version 3: the account is kept in USD, and the event is in EUR"
    );
    assert_eq!(before.book.original(command_id(3)), known.as_ref());
}
