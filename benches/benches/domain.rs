//! What the domain costs per command, without any I/O: deciding, hashing, and the codecs.

use std::collections::{BTreeMap, HashMap};

use divan::{Bencher, black_box};
use ledger::codec::{binary, json};
use ledger::{
    Account, AccountId, Action, Command, Conditions, CreateAccount, Event, Policy, Timestamp,
    Transfer, decide,
};

const NOW: Timestamp = Timestamp::from_unix_microseconds(1_800_000_000_000_000);

fn main() {
    divan::main();
}

fn command(number: u64, action: Action) -> Command {
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

/// Two accounts with money, and a transfer between them.
fn scene() -> (HashMap<AccountId, Account>, Command) {
    let mut accounts = HashMap::new();
    for (number, name) in [(1, "ACC-1"), (2, "ACC-2")] {
        let open = command(
            number,
            Action::CreateAccount(CreateAccount {
                account_id: name.parse().expect("a valid id"),
                owner_name: "Alice".to_owned(),
                currency: "USD".parse().expect("a valid code"),
                initial_balance: 1_000_000.into(),
                overdraft_limit: 0.into(),
            }),
        );
        let event = decide(&accounts, &open, NOW, &Policy::default())
            .expect("it can be opened")
            .remove(0);
        let account = Account::open(&event).expect("it opens the account");
        accounts.insert(account.account_id.clone(), account);
    }
    let transfer = Action::Transfer(Transfer {
        from_account_id: "ACC-1".parse().expect("a valid id"),
        to_account_id: "ACC-2".parse().expect("a valid id"),
        amount: 25.into(),
        currency: None,
    });
    (accounts, command(3, transfer))
}

fn event() -> Event {
    let (accounts, transfer) = scene();
    decide(&accounts, &transfer, NOW, &Policy::default())
        .expect("there is money")
        .remove(0)
}

/// Two events, each with its hash.
#[divan::bench]
fn decide_transfer(bencher: Bencher) {
    let (accounts, transfer) = scene();
    bencher.bench(|| {
        decide(
            black_box(&accounts),
            black_box(&transfer),
            NOW,
            &Policy::default(),
        )
    });
}

#[divan::bench]
fn fingerprint(bencher: Bencher) {
    let (_, transfer) = scene();
    bencher.bench(|| black_box(&transfer).fingerprint());
}

#[divan::bench]
fn decode_command_json(bencher: Bencher) {
    let bytes = json::encode_command(&scene().1);
    bencher.bench(|| json::decode_command(black_box(&bytes)));
}

#[divan::bench]
fn decode_command_bincode(bencher: Bencher) {
    let bytes = binary::encode_command(&scene().1);
    bencher.bench(|| binary::decode_command(black_box(&bytes)));
}

#[divan::bench]
fn encode_event_json(bencher: Bencher) {
    let event = event();
    bencher.bench(|| json::encode_event(black_box(&event)));
}

#[divan::bench]
fn decode_event_json(bencher: Bencher) {
    let bytes = json::encode_event(&event());
    bencher.bench(|| json::decode_event(black_box(&bytes)));
}

#[divan::bench]
fn check_event_hash(bencher: Bencher) {
    let event = event();
    bencher.bench(|| black_box(&event).check_hash());
}
