//! The hash chain: every event names the one before, and nothing in a history can be changed unnoticed.
#![allow(
    clippy::unwrap_used,
    reason = "clippy takes the helpers of a test for no test"
)]

mod support;

use std::collections::BTreeSet;

use ledger::{
    Account, AccountClosed, AccountUpdated, BrokenChain, CommandId, Currency, Event, EventData,
    FreezeChanged, Hash, Money, OverdraftLimitSet, Scope, Timestamp, Version, parse_decimal,
};
use support::{
    account_id, close, deposit, describe, freeze, given, open, rename, rules, set_overdraft_limit,
    texts, timestamp, transfer, unfreeze, withdraw,
};

/// A's history: opened, a deposit, a withdrawal, the debit of a transfer.
fn history() -> Vec<Event> {
    let after = given([
        open("A", "100")
            .because("first")
            .by("teller-3")
            .noting("branch", "Oslo"),
        open("B", "100"),
        deposit("A", "30").because("wages").noting("invoice", "77"),
        withdraw("A", "10"),
        transfer("A", "B", "5"),
    ]);
    let of_a = |event: &Event| event.account_id == account_id("A");
    after.events.into_iter().filter(of_a).collect()
}

fn folded(events: &[Event]) -> Account {
    let state = events
        .iter()
        .try_fold(None, |state, event| Account::fold(state, event).map(Some));
    state.unwrap().unwrap()
}

fn money(text: &str, code: &str) -> Money {
    let currency = Currency::lookup(code.parse().unwrap()).unwrap();
    Money::new(parse_decimal(text).unwrap(), currency).unwrap()
}

fn moved(event: &mut Event) -> &mut ledger::MoneyMoved {
    match &mut event.data {
        EventData::MoneyDeposited(moved) | EventData::MoneyWithdrawn(moved) => moved,
        other => panic!("no money moved by {other:?}"),
    }
}

/// The third event, changed, cannot follow upon the second, and the state stays as it was.
#[track_caller]
fn refused(change: impl FnOnce(&mut Event)) -> String {
    let events = history();
    let mut changed = events[2].clone();
    change(&mut changed);
    let before = folded(&events[..2]);
    let mut account = before.clone();
    let error = account.apply(&changed).unwrap_err();
    assert_eq!(account, before);
    error.to_string()
}

#[test]
fn every_event_names_the_one_before() {
    let events = history();
    assert_eq!(events.len(), 4);
    assert_eq!(events[0].prev_hash, Hash::ZERO);
    for (version, event) in (1..).zip(&events) {
        assert_eq!(event.version, Version::new(version));
        event.check_hash().unwrap();
    }
    for pair in events.windows(2) {
        assert_eq!(pair[1].prev_hash, pair[0].hash);
    }
    assert_eq!(folded(&events).last_hash, events[3].hash);
}

#[test]
fn two_events_never_share_a_hash() {
    let mut hashes: Vec<_> = history()
        .iter()
        .map(|event| *event.hash.as_bytes())
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 4);
}

#[test]
fn no_field_can_be_changed_unnoticed() {
    type Change = fn(&mut Event);
    let other_command = "00000000-0000-4000-8000-000000000001"
        .parse::<CommandId>()
        .unwrap();
    let any_change: [(&str, Change); 10] = [
        ("held_after", |event| event.held_after = money("1", "USD")),
        ("account_id", |event| event.account_id = account_id("B")),
        ("version", |event| event.version = event.version.next()),
        ("balance_after", |event| {
            event.balance_after = money("1", "USD");
        }),
        ("currency", |event| {
            event.balance_after = money("120", "EUR");
        }),
        ("actor", |event| {
            event.actor = Some("somebody else".to_owned());
        }),
        ("recorded_at", |event| {
            event.recorded_at = event.recorded_at.next_microsecond();
        }),
        ("prev_hash", |event| event.prev_hash = Hash::from([1; 32])),
        ("hash", |event| event.hash = Hash::from([1; 32])),
        ("type", |event| {
            event.data = match event.data.clone() {
                EventData::MoneyDeposited(moved) => EventData::MoneyWithdrawn(moved),
                EventData::MoneyWithdrawn(moved) => EventData::MoneyDeposited(moved),
                other => other,
            };
        }),
    ];
    let change_of_a_movement: [(&str, Change); 7] = [
        ("amount", |event| moved(event).amount = money("9.99", "USD")),
        ("description", |event| {
            moved(event).description = Some("x".to_owned());
        }),
        ("no description", |event| moved(event).description = None),
        ("metadata", |event| {
            moved(event)
                .metadata
                .insert("invoice".to_owned(), "78".to_owned());
        }),
        ("effective_at", |event| {
            moved(event).effective_at = Some(event.recorded_at);
        }),
        ("no metadata", |event| moved(event).metadata.clear()),
        ("transfer", |event| {
            moved(event).transfer = Some(ledger::TransferLeg {
                transfer_id: event.command_id.transfer_id(9),
                counterparty_account_id: account_id("B"),
            });
        }),
    ];
    let deposited = history().remove(1);
    for (name, change) in any_change.into_iter().chain(change_of_a_movement) {
        let mut changed = deposited.clone();
        change(&mut changed);
        assert_ne!(changed, deposited, "{name}");
        assert!(changed.check_hash().is_err(), "{name}");
    }
    for change in [
        |event: &mut Event, id: CommandId| event.command_id = id,
        |event: &mut Event, id: CommandId| event.event_id = id.event_id(0),
    ] {
        let mut changed = deposited.clone();
        change(&mut changed, other_command);
        assert!(changed.check_hash().is_err());
    }
    let mut opened = history().remove(0);
    let EventData::AccountCreated(created) = &mut opened.data else {
        panic!("the first event opens the account");
    };
    created.overdraft_limit = money("1000000", "USD");
    assert_eq!(
        opened.check_hash().unwrap_err().to_string(),
        "account A version 1: the event's content does not have the hash that it names"
    );
}

#[test]
fn a_changed_event_with_a_new_hash_breaks_the_next_link() {
    let mut events = history();
    events[1].actor = Some("somebody else".to_owned());
    events[1].hash = events[1].compute_hash();
    events[1].check_hash().unwrap();
    let mut account = folded(&events[..2]);
    assert_eq!(
        account.apply(&events[2]).unwrap_err().to_string(),
        "account A version 3: prev_hash is not the hash of the version before"
    );
}

#[test]
fn a_missing_or_repeated_event_is_noticed() {
    let events = history();
    let mut account = folded(&events[..2]);
    for (event, message) in [
        (&events[3], "account A: version 4 follows upon version 2"),
        (&events[1], "account A: version 2 follows upon version 2"),
        (&events[0], "account A: version 1 follows upon version 2"),
    ] {
        assert_eq!(account.apply(event).unwrap_err().to_string(), message);
    }
    assert_eq!(account, folded(&events[..2]));
}

#[test]
fn a_history_begins_with_the_opening() {
    let events = history();
    assert_eq!(
        Account::open(&events[1]).unwrap_err().to_string(),
        "account A: version 2 follows upon version 0"
    );
    let mut deposit_first = events[1].clone();
    deposit_first.version = Version::FIRST;
    assert_eq!(
        Account::open(&deposit_first).unwrap_err().to_string(),
        "account A version 1: MoneyDeposited cannot stand here"
    );
    let mut linked = events[0].clone();
    linked.prev_hash = events[0].hash;
    assert!(matches!(
        Account::open(&linked),
        Err(BrokenChain::PreviousHash { .. })
    ));
    let mut unequal = events[0].clone();
    unequal.balance_after = money("99", "USD");
    assert!(matches!(
        Account::open(&unequal),
        Err(BrokenChain::Balance { .. })
    ));
    let mut two_currencies = events[0].clone();
    two_currencies.balance_after = money("100", "EUR");
    assert!(matches!(
        Account::open(&two_currencies),
        Err(BrokenChain::Currency { .. })
    ));
}

#[test]
fn an_account_opens_only_once_in_a_history() {
    let opening = history().remove(0).data;
    assert_eq!(
        refused(|event| event.data = opening),
        "account A version 3: AccountCreated cannot stand here"
    );
}

#[test]
fn another_accounts_event_is_refused() {
    assert_eq!(
        refused(|event| event.account_id = account_id("B")),
        "account A: version 3 of account B cannot follow here"
    );
}

#[test]
fn a_balance_that_does_not_follow_is_refused() {
    assert_eq!(
        refused(|event| event.balance_after = money("119.99", "USD")),
        "account A version 3: the balance is 120.00 by the events and 119.99 by balance_after"
    );
}

#[test]
fn money_of_another_currency_is_refused() {
    let message = "account A version 3: the account is kept in USD, and the event is in EUR";
    assert_eq!(
        refused(|event| event.balance_after = money("120", "EUR")),
        message
    );
    assert_eq!(
        refused(|event| moved(event).amount = money("10", "EUR")),
        message
    );
}

#[test]
fn an_amount_that_overflows_is_refused() {
    let largest = format!("{}.99", "9".repeat(25));
    let events = history();
    let mut changed = events[1].clone();
    moved(&mut changed).amount = money(&largest, "USD");
    assert_eq!(
        folded(&events[..1])
            .apply(&changed)
            .unwrap_err()
            .to_string(),
        "account A version 2: more than 27 digits, the currency's decimals included; the ledger keeps no more"
    );
}

#[test]
fn time_that_falls_is_refused() {
    assert_eq!(
        refused(|event| event.recorded_at = timestamp("2026-01-31T08:00:01.999999Z")),
        "account A version 3: recorded_at 2026-01-31T08:00:01.999999Z lies before that of the version before, 2026-01-31T08:00:02.000000Z"
    );
    // Equal is allowed: events of one command on one account share an instant.
    let events = history();
    let mut account = folded(&events[..2]);
    let mut simultaneous = events[2].clone();
    simultaneous.recorded_at = account.last_recorded_at;
    account.apply(&simultaneous).unwrap();
}

#[test]
fn the_largest_version_and_the_last_instant_do_not_panic() {
    assert_eq!(Version::new(u64::MAX).next(), Version::new(u64::MAX));
    assert_eq!(Timestamp::MAX.next_microsecond(), Timestamp::MAX);
}

#[test]
fn the_newest_event_and_the_profile_are_the_state() {
    let events = history();
    let (account, newest) = (folded(&events), &events[3]);
    assert_eq!(account.version, newest.version);
    assert_eq!(account.balance, newest.balance_after);
    assert_eq!(account.last_recorded_at, newest.recorded_at);
    assert_eq!(account.last_hash, newest.hash);
}

/// L's life: opened, frozen, unfrozen, limited, renamed, described, ruled, closed.
fn life() -> Vec<Event> {
    let after = given([
        open("L", "0"),
        freeze("L", Scope::Debits).because("by letter"),
        unfreeze("L", Scope::All).reasoning("over"),
        set_overdraft_limit("L", "50"),
        rename("L", "Grace").noting("ticket", "5"),
        describe("L", [("colour", "red")]),
        rules("L").minimum("5").daily_count(3).only_with(["M"]),
        close("L"),
    ]);
    after.events
}

/// Every field of the event's data, each changed by itself.
fn changes(data: &EventData) -> Vec<EventData> {
    let mut changed = Vec::new();
    match data {
        EventData::AccountFrozen(freeze) | EventData::AccountUnfrozen(freeze) => {
            for (scope, reason) in [
                (Scope::Credits, freeze.reason.clone()),
                (freeze.scope, None),
                (freeze.scope, Some("another".to_owned())),
            ] {
                let one = FreezeChanged {
                    scope,
                    reason,
                    ..freeze.clone()
                };
                changed.push(EventData::AccountFrozen(one.clone()));
                changed.push(EventData::AccountUnfrozen(one));
            }
        }
        EventData::OverdraftLimitSet(set) => {
            let overdraft_limit = money("50.01", "USD");
            changed.push(EventData::OverdraftLimitSet(OverdraftLimitSet {
                overdraft_limit,
                ..set.clone()
            }));
        }
        EventData::AccountUpdated(updated) => {
            for (owner_name, account_metadata) in [
                (Some("Ada".to_owned()), updated.account_metadata.clone()),
                (Some(String::new()), updated.account_metadata.clone()),
                (updated.owner_name.clone(), Some(texts([]))),
                (
                    updated.owner_name.clone(),
                    Some(texts([("colour", "blue")])),
                ),
                (None, None),
            ] {
                changed.push(EventData::AccountUpdated(AccountUpdated {
                    owner_name,
                    account_metadata,
                    ..updated.clone()
                }));
            }
        }
        EventData::AccountRulesSet(set) => {
            let others: [fn(&mut ledger::Rules<Money>); 6] = [
                |rules| rules.minimum_balance = None,
                |rules| rules.minimum_balance = Some(money("5.01", "USD")),
                |rules| rules.maximum_balance = Some(money("5", "USD")),
                |rules| rules.daily_debit_amount_max = Some(money("5", "USD")),
                |rules| rules.daily_debit_count_max = Some(4),
                |rules| rules.allowed_counterparties = Some(BTreeSet::new()),
            ];
            for change in others {
                let mut one = set.clone();
                change(&mut one.rules);
                changed.push(EventData::AccountRulesSet(one));
            }
        }
        EventData::AccountClosed(closed) => {
            for (description, metadata) in [
                (Some(String::new()), closed.metadata.clone()),
                (closed.description.clone(), texts([("k", "")])),
            ] {
                changed.push(EventData::AccountClosed(AccountClosed {
                    description,
                    metadata,
                }));
            }
        }
        other => panic!("{other:?} is not about an account's life"),
    }
    changed
}

#[test]
fn no_field_of_an_accounts_life_can_be_changed_unnoticed() {
    for event in &life()[1..] {
        for data in changes(&event.data) {
            assert_ne!(data, event.data);
            let changed = Event {
                data,
                ..event.clone()
            };
            assert!(changed.check_hash().is_err(), "{changed:?}");
        }
    }
}

/// The profile is what the events of a life make of it, whichever event it is read after.
#[test]
fn the_profile_follows_from_the_events() {
    let events = life();
    let profile_versions: Vec<u64> = (1..=events.len())
        .map(|length| folded(&events[..length]).profile_version.get())
        .collect();
    assert_eq!(profile_versions, [1, 2, 3, 4, 5, 6, 7, 8]);
    let statuses: Vec<&str> = (1..=events.len())
        .map(|length| folded(&events[..length]).status.as_str())
        .collect();
    let active = "active";
    assert_eq!(
        statuses,
        [
            active,
            "debits_frozen",
            active,
            active,
            active,
            active,
            active,
            "closed"
        ]
    );
    let account = folded(&events);
    let profile = serde_json::to_value(account.profile()).unwrap();
    let expected = serde_json::json!({
        "owner_name": "Grace", "currency": "USD", "overdraft_limit": "50.00", "status": "closed",
        "metadata": {"colour": "red"},
        "rules": {
            "minimum_balance": "5.00", "daily_debit_count_max": 3, "allowed_counterparties": ["M"]
        }
    });
    assert_eq!(profile, expected);
    let read: ledger::Profile = serde_json::from_value(profile).unwrap();
    assert_eq!(read, account.profile());
}

#[test]
fn an_event_of_a_life_changes_no_money() {
    let events = life();
    for index in 1..events.len() {
        let mut changed = events[index].clone();
        changed.balance_after = money("1", "USD");
        let error = folded(&events[..index]).apply(&changed).unwrap_err();
        assert!(matches!(error, BrokenChain::Balance { .. }), "{error}");
        let mut changed = events[index].clone();
        changed.held_after = money("1", "USD");
        let error = folded(&events[..index]).apply(&changed).unwrap_err();
        assert!(matches!(error, BrokenChain::Held { .. }), "{error}");
    }
    let mut limit = events[3].clone();
    let EventData::OverdraftLimitSet(set) = &mut limit.data else {
        panic!("{limit:?}");
    };
    set.overdraft_limit = money("50", "EUR");
    let error = folded(&events[..3]).apply(&limit).unwrap_err();
    assert!(matches!(error, BrokenChain::Currency { .. }), "{error}");
    for rule in [
        "minimum_balance",
        "maximum_balance",
        "daily_debit_amount_max",
    ] {
        let mut ruled = events[6].clone();
        let EventData::AccountRulesSet(set) = &mut ruled.data else {
            panic!("{ruled:?}");
        };
        let euros = Some(money("5", "EUR"));
        match rule {
            "minimum_balance" => set.rules.minimum_balance = euros,
            "maximum_balance" => set.rules.maximum_balance = euros,
            _ => set.rules.daily_debit_amount_max = euros,
        }
        let error = folded(&events[..6]).apply(&ruled).unwrap_err();
        assert!(
            matches!(error, BrokenChain::Currency { .. }),
            "{rule}: {error}"
        );
    }
}
