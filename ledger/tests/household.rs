//! Eight years of two real households, 7,130 commands: the balances are those that Beancount computes from the same
//! books.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ledger::codec::{binary, json};
use ledger::{Account, AccountId, Command, Policy, Timestamp, decide};

fn example(name: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let path = examples.join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn balances_after(commands: impl Iterator<Item = Command>) -> BTreeMap<String, String> {
    let mut accounts: HashMap<AccountId, Account> = HashMap::new();
    for command in commands {
        let now = Timestamp::from_unix_microseconds(0);
        let events = decide(&accounts, &command, now, &Policy::default())
            .unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"));
        for event in events {
            event.check_hash().expect("the hash is the event's own");
            let state = accounts.remove(&event.account_id);
            let account = Account::fold(state, &event).expect("a decided event can be applied");
            accounts.insert(event.account_id, account);
        }
    }
    accounts
        .into_values()
        .map(|account| (account.account_id.to_string(), account.balance.to_string()))
        .collect()
}

#[test]
fn the_balances_are_those_of_the_books() {
    let expected: BTreeMap<String, String> =
        serde_json::from_str(&example("household.expected.json")).unwrap();
    let input = example("household.ndjson");
    let commands: Vec<Command> = input
        .lines()
        .map(|line| json::decode_command(line.as_bytes()).unwrap())
        .collect();
    assert_eq!(commands.len(), 7_130);
    assert_eq!(balances_after(commands.iter().cloned()), expected);
    let through_bincode = commands
        .iter()
        .map(|command| binary::decode_command(&binary::encode_command(command)).unwrap());
    assert_eq!(balances_after(through_bincode), expected);
}
