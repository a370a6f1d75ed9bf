//! What the benchmarks of the domain work on: two accounts with money, and a transfer between them.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::collections::{BTreeMap, HashMap};

use ledger::{
    Account, AccountId, Action, Command, Conditions, CreateAccount, Event, Policy, Timestamp,
    Transfer, decide,
};

pub(crate) const NOW: Timestamp = Timestamp::from_unix_microseconds(1_800_000_000_000_000);

pub(crate) fn command(number: u64, action: Action) -> Command {
    Command {
        command_id: uuid::Uuid::from_u64_pair(number, 1).into(),
        action,
        description: Some("Riverbank Properties, paying the rent".to_owned()),
        actor: Some("teller-3".to_owned()),
        metadata: BTreeMap::from([("invoice".to_owned(), "77".to_owned())]),
        conditions: Conditions::default(),
        effective_at: None,
    }
}

/// Opens an account with a million in it.
pub(crate) fn opening(number: u64, name: &str) -> Command {
    command(
        number,
        Action::CreateAccount(CreateAccount {
            account_id: account_id(name),
            owner_name: "Alice".to_owned(),
            currency: "USD".parse().expect("a valid code"),
            initial_balance: 1_000_000.into(),
            overdraft_limit: 0.into(),
        }),
    )
}

pub(crate) fn account_id(name: &str) -> AccountId {
    name.parse().expect("a valid id")
}

/// Two accounts with money, and a transfer between them.
pub(crate) fn accounts_and_transfer() -> (HashMap<AccountId, Account>, Command) {
    let mut accounts = HashMap::new();
    for (number, name) in [(1, "ACC-1"), (2, "ACC-2")] {
        let event = decide(&accounts, &opening(number, name), NOW, &Policy::default())
            .expect("it can be opened")
            .remove(0);
        let account = Account::open(&event).expect("it opens the account");
        accounts.insert(account.account_id.clone(), account);
    }
    let transfer = Action::Transfer(Transfer {
        from_account_id: account_id("ACC-1"),
        to_account_id: account_id("ACC-2"),
        amount: 25.into(),
        currency: None,
    });
    (accounts, command(3, transfer))
}

/// The first event of that transfer.
pub(crate) fn event() -> Event {
    let (accounts, transfer) = accounts_and_transfer();
    event_of(&accounts, &transfer)
}

/// The first event of a command that is accepted.
pub(crate) fn event_of(accounts: &HashMap<AccountId, Account>, command: &Command) -> Event {
    decide(accounts, command, NOW, &Policy::default())
        .expect("there is money")
        .remove(0)
}
