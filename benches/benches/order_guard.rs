//! What the order guard of the projections costs per event: the versions of a run against what is applied. No database.

mod scene;

use std::collections::HashMap;

use divan::Bencher;
use divan::counter::ItemsCount;
use ledger::{Account, AccountId, Action, Deposit, Event, Version};
use sinks::projection::{Applied, guard};

use scene::{account_id, command, event_of, opening};

/// How many events a projection is given at a time, at most.
const EVENTS: usize = 2_048;
/// How many accounts they belong to.
const ACCOUNTS: [usize; 4] = [1, 16, 256, 2_048];

fn main() {
    divan::main();
}

/// All of them are the next ones, and are taken.
#[divan::bench(args = ACCOUNTS)]
fn in_order(bencher: Bencher, accounts: usize) {
    let (run, before) = run(accounts);
    measure(bencher, &run, &before, (EVENTS, 0, false));
}

/// All of them were applied before, and are skipped: a batch that is delivered again.
#[divan::bench(args = ACCOUNTS)]
fn duplicates(bencher: Bencher, accounts: usize) {
    let (run, before) = run(accounts);
    let mut after = before;
    guard(&mut after, run.clone());
    measure(bencher, &run, &after, (0, EVENTS, false));
}

/// The last account's first event is missing, so the guard stops where its second one comes, and gives the rest back.
#[divan::bench(args = [16, 256])]
fn hole(bencher: Bencher, accounts: usize) {
    let (mut run, before) = run(accounts);
    run.remove(accounts - 1);
    measure(bencher, &run, &before, (2 * accounts - 2, 0, true));
}

/// Guards the run from that state on; what becomes of it must be as told: taken, skipped, and whether there is a gap.
fn measure(bencher: Bencher, run: &[Event], before: &Applied, expected: (usize, usize, bool)) {
    let (guarded, _) = guard(&mut before.clone(), run.to_vec());
    let found = (guarded.events.len(), guarded.skipped, guarded.gap.is_some());
    assert_eq!(found, expected);
    bencher
        .counter(ItemsCount::new(expected.0 + expected.1))
        .with_inputs(|| (before.clone(), run.to_vec()))
        .bench_values(|(mut applied, run)| {
            let guarded = guard(&mut applied, run);
            // So that dropping what is left is not measured.
            (applied, guarded)
        });
}

/// Events of these accounts in turns, and that each account's opening is applied.
fn run(accounts: usize) -> (Vec<Event>, Applied) {
    let mut states: HashMap<AccountId, Account> = HashMap::new();
    let names: Vec<String> = (0..accounts).map(|index| format!("ACC-{index}")).collect();
    let mut numbers = 1..;
    let mut next = |states: &mut HashMap<AccountId, Account>, name: &str, opens: bool| {
        let number = numbers.next().expect("there are enough");
        let event = if opens {
            event_of(states, &opening(number, name))
        } else {
            let deposit = Action::Deposit(Deposit {
                account_id: account_id(name),
                amount: 25.into(),
                currency: None,
            });
            event_of(states, &command(number, deposit))
        };
        let state = states.remove(&event.account_id);
        let account = Account::fold(state, &event).expect("it follows");
        states.insert(account.account_id.clone(), account);
        event
    };
    for name in &names {
        next(&mut states, name, true);
    }
    let run = (0..EVENTS)
        .map(|index| next(&mut states, &names[index % accounts], false))
        .collect();
    let applied = names
        .iter()
        .map(|name| (account_id(name), Version::new(1)))
        .collect();
    (run, applied)
}
