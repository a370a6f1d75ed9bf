//! A fixed history for tests: three accounts, deposits, withdrawals and transfers, the same each time.

use std::collections::{BTreeMap, HashMap};

use ledger::{
    Account, AccountId, Action, Command, Conditions, CreateAccount, Deposit, Event, Timestamp,
    Transfer, Withdraw, decide,
};

const NAMES: [&str; 3] = ["ACC-1", "ACC-2", "ACC-3"];

/// The first `count` events.
pub(crate) fn history(count: usize) -> Vec<Event> {
    let mut accounts: HashMap<AccountId, Account> = HashMap::new();
    let mut events = Vec::new();
    for number in 0.. {
        if events.len() >= count {
            break;
        }
        let command = Command {
            command_id: uuid::Uuid::from_u64_pair(number, 99).into(),
            action: action(number),
            description: (number % 3 == 0).then(|| format!("step {number}")),
            actor: (number % 5 == 0).then(|| "teller-3".to_owned()),
            metadata: BTreeMap::new(),
            conditions: Conditions::default(),
        };
        let now = Timestamp::from_unix_microseconds(
            1_800_000_000_000_000 + i64::try_from(number).expect("it is small"),
        );
        for event in decide(&accounts, &command, now).expect("the history is without refusals") {
            let state = accounts.remove(&event.account_id);
            let account = Account::fold(state, &event).expect("decide makes events that follow");
            accounts.insert(event.account_id.clone(), account);
            events.push(event);
        }
    }
    events.truncate(count);
    events
}

fn action(number: u64) -> Action {
    let name = |offset: u64| -> AccountId {
        let index = usize::try_from((number + offset) % 3).expect("it is below 3");
        NAMES[index].parse().expect("a valid id")
    };
    match number {
        0..=2 => Action::CreateAccount(CreateAccount {
            account_id: name(0),
            owner_name: format!("Owner {number}"),
            currency: "USD".parse().expect("a valid code"),
            initial_balance: 100.into(),
            overdraft_limit: 1_000_000.into(),
        }),
        _ if number.is_multiple_of(4) => Action::Deposit(Deposit {
            account_id: name(0),
            amount: number.into(),
            currency: None,
        }),
        _ if number % 4 == 1 => Action::Withdraw(Withdraw {
            account_id: name(0),
            amount: number.into(),
            currency: None,
        }),
        _ => Action::Transfer(Transfer {
            from_account_id: name(0),
            to_account_id: name(1),
            amount: number.into(),
            currency: None,
        }),
    }
}
