//! A fixed history for tests: three accounts and everything that can happen to them, the same each time.

use std::collections::BTreeMap;

use ledger::{
    AccountId, Action, Book, Capture, Command, Conditions, CreateAccount, Deposit, Event,
    ExpireHold, FreezeAccount, HoldId, PlaceHold, Policy, Release, Rules, Scope, SetAccountRules,
    SetOverdraftLimit, Timestamp, Transfer, UnfreezeAccount, UpdateAccount, Withdraw, decide,
};
use uuid::Uuid;

const NAMES: [&str; 3] = ["ACC-1", "ACC-2", "ACC-3"];
const BEGINS_AT_MICROSECONDS: i64 = 1_800_000_000_000_000;
/// How many commands the history consists of, again and again.
const CYCLE: u64 = 16;

/// The first `count` events.
pub(crate) fn history(count: usize) -> Vec<Event> {
    let mut book = Book::default();
    let mut events = Vec::new();
    for number in 0.. {
        if events.len() >= count {
            break;
        }
        let command = command(number);
        let decided = decide(&book, &command, instant(number), &Policy::default());
        for event in decided.expect("the history is without refusals") {
            book.apply(&event).expect("decide makes events that follow");
            events.push(event);
        }
    }
    events.truncate(count);
    events
}

/// The history's command with that number.
pub(crate) fn command(number: u64) -> Command {
    Command {
        command_id: Uuid::from_u64_pair(number, 99).into(),
        action: action(number),
        description: number.is_multiple_of(3).then(|| format!("step {number}")),
        actor: number.is_multiple_of(5).then(|| "teller-3".to_owned()),
        metadata: BTreeMap::new(),
        conditions: Conditions::default(),
        effective_at: None,
    }
}

fn instant(number: u64) -> Timestamp {
    let since = i64::try_from(number).expect("it is small");
    Timestamp::from_unix_microseconds(BEGINS_AT_MICROSECONDS + since)
}

fn account(number: u64) -> AccountId {
    let index = usize::try_from(number % 3).expect("it is below 3");
    NAMES[index].parse().expect("a valid id")
}

fn action(number: u64) -> Action {
    if number < 3 {
        return Action::CreateAccount(CreateAccount {
            account_id: account(number),
            owner_name: format!("Owner {number}"),
            currency: "USD".parse().expect("a valid code"),
            initial_balance: 100.into(),
            overdraft_limit: 1_000_000.into(),
        });
    }
    let (round, step) = ((number - 3) / CYCLE, (number - 3) % CYCLE);
    // One account goes through all of a round.
    let (account_id, other) = (account(round), account(round + 1));
    let hold = |index: u64| -> HoldId { Uuid::from_u64_pair(round, index).into() };
    match step {
        0 => Action::Deposit(Deposit {
            account_id,
            amount: (number + 1).into(),
            currency: None,
        }),
        1 => Action::Withdraw(Withdraw {
            account_id,
            amount: number.into(),
            currency: None,
        }),
        2 | 9 => Action::Transfer(Transfer {
            from_account_id: account_id,
            to_account_id: other,
            amount: number.into(),
            currency: None,
        }),
        3..=5 => Action::Hold(PlaceHold {
            account_id,
            hold_id: hold(step),
            amount: 10.into(),
            currency: None,
            hold_expires_at: (step == 5).then(|| instant(number + 4)),
        }),
        6 | 8 => Action::Capture(Capture {
            account_id,
            hold_id: hold(3),
            amount: Some(3.into()),
            is_final: step == 8,
            to_account_id: (step == 6).then_some(other),
        }),
        7 => Action::Release(Release {
            account_id,
            hold_id: hold(4),
            amount: Some((1 + round % 10).into()),
        }),
        10 => Action::ExpireHold(ExpireHold {
            account_id,
            hold_id: hold(5),
        }),
        11 => Action::FreezeAccount(FreezeAccount {
            account_id,
            scope: Scope::Debits,
            reason: format!("case {number}"),
        }),
        12 => Action::FreezeAccount(FreezeAccount {
            account_id,
            scope: Scope::Credits,
            reason: format!("case {number}"),
        }),
        13 => Action::UnfreezeAccount(UnfreezeAccount {
            account_id,
            scope: Scope::All,
            reason: None,
        }),
        14 => Action::SetOverdraftLimit(SetOverdraftLimit {
            account_id,
            overdraft_limit: (1_000_000 + number).into(),
        }),
        _ if round % 3 == 1 => Action::SetAccountRules(SetAccountRules {
            account_id,
            rules: Rules {
                maximum_balance: Some((1_000_000_000 + number).into()),
                allowed_counterparties: None,
                ..Rules::default()
            },
        }),
        _ => Action::UpdateAccount(UpdateAccount {
            account_id,
            owner_name: round.is_multiple_of(2).then(|| format!("Owner {number}")),
            account_metadata: Some(BTreeMap::from([("round".to_owned(), round.to_string())])),
        }),
    }
}
