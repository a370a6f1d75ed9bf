//! The order guard: each event once, each account in order.

use std::borrow::Borrow;
use std::collections::HashMap;

use ledger::{AccountId, Event, Version};

/// Accounts and the version up to which each is applied.
pub type Applied = HashMap<AccountId, Version>;

/// What the guard makes of a run of events.
#[derive(Debug, PartialEq, Eq)]
pub struct Guarded<E> {
    /// To be applied, in order.
    pub events: Vec<E>,
    /// Where the run has a hole: the account, and the first version that is known to come behind the hole.
    pub gap: Option<(AccountId, Version)>,
    /// How many events had been applied before.
    pub skipped: usize,
}

/// Takes events as long as they follow upon what is applied: version ≤ applied is skipped, applied + 1 is taken, and a
/// greater one is a gap, at which the guard stops. `applied` moves with what is taken. Answers with the rest, too.
pub fn guard<E: Borrow<Event>>(applied: &mut Applied, events: Vec<E>) -> (Guarded<E>, Vec<E>) {
    let mut guarded = Guarded {
        events: Vec::with_capacity(events.len()),
        gap: None,
        skipped: 0,
    };
    let mut remaining = events.into_iter();
    while let Some(next) = remaining.next() {
        let event: &Event = next.borrow();
        let last = applied.get_mut(&event.account_id);
        let version = last.as_deref().copied().unwrap_or(Version::NONE);
        if event.version <= version {
            guarded.skipped += 1;
        } else if event.version == version.next() {
            match last {
                Some(last) => *last = event.version,
                None => drop(applied.insert(event.account_id.clone(), event.version)),
            }
            guarded.events.push(next);
        } else {
            guarded.gap = Some((event.account_id.clone(), event.version));
            return (guarded, std::iter::once(next).chain(remaining).collect());
        }
    }
    (guarded, Vec::new())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ledger::{Action, Command, Conditions, CreateAccount, Deposit, Policy, Timestamp, decide};

    use super::*;

    /// An account's first `count` events.
    fn history(name: &str, count: u64) -> Vec<Event> {
        let account_id: AccountId = name.parse().unwrap();
        let mut accounts = BTreeMap::new();
        (0..count)
            .map(|index| {
                let action = if index == 0 {
                    Action::CreateAccount(CreateAccount {
                        account_id: account_id.clone(),
                        owner_name: name.to_owned(),
                        currency: "USD".parse().unwrap(),
                        initial_balance: 0.into(),
                        overdraft_limit: 0.into(),
                    })
                } else {
                    Action::Deposit(Deposit {
                        account_id: account_id.clone(),
                        amount: 1.into(),
                        currency: None,
                    })
                };
                let command = Command {
                    command_id: uuid::Uuid::from_u64_pair(index, 7).into(),
                    action,
                    description: None,
                    actor: None,
                    metadata: BTreeMap::new(),
                    conditions: Conditions::default(),
                    effective_at: None,
                };
                let event = decide(
                    &accounts,
                    &command,
                    Timestamp::from_unix_microseconds(0),
                    &Policy::default(),
                )
                .unwrap()
                .remove(0);
                let state = ledger::Account::fold(accounts.remove(&account_id), &event).unwrap();
                accounts.insert(account_id.clone(), state);
                event
            })
            .collect()
    }

    #[test]
    fn duplicates_are_skipped_and_the_next_version_is_taken() {
        let events = history("A", 3);
        let mut applied = Applied::from([("A".parse().unwrap(), Version::new(1))]);
        let run = vec![
            events[0].clone(),
            events[1].clone(),
            events[1].clone(),
            events[2].clone(),
        ];
        let (guarded, rest) = guard(&mut applied, run);
        assert_eq!(guarded.events, events[1..]);
        assert_eq!(guarded.skipped, 2);
        assert_eq!((guarded.gap, rest), (None, Vec::new()));
    }

    #[test]
    fn a_hole_stops_the_guard_before_it() {
        let (a, b) = (history("A", 4), history("B", 1));
        let mut applied = Applied::new();
        let run = vec![a[0].clone(), b[0].clone(), a[2].clone(), a[3].clone()];
        let (guarded, rest) = guard(&mut applied, run);
        assert_eq!(guarded.events, [a[0].clone(), b[0].clone()]);
        assert_eq!(guarded.gap, Some(("A".parse().unwrap(), Version::new(3))));
        assert_eq!(rest, a[2..]);
    }
}
