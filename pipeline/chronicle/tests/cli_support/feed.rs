//! A feed that the test fills.

use std::collections::BTreeMap;

use ledger::codec::json;
use ledger::{
    Account, AccountId, Action, Command, CommandId, Conditions, CreateAccount, Deposit, Event,
    Policy, Timestamp, decide,
};
use transport::subjects;
use uuid::Uuid;

use super::Place;

/// Fills the feed with the histories of these accounts, `count` events each, one account after the other.
pub async fn fill(place: &Place, names: &[&str], count: i64) {
    for name in names {
        let mut accounts: BTreeMap<AccountId, Account> = BTreeMap::new();
        for number in 0..count {
            let event = next(
                &accounts,
                name.parse().expect("it is an account id"),
                number,
            );
            let published = place.nats.jetstream.publish(
                subjects::event(&event.account_id),
                json::encode_event(&event).into(),
            );
            published
                .await
                .expect("NATS runs")
                .await
                .expect("the feed takes it");
            match accounts.get_mut(&event.account_id) {
                Some(account) => account.apply(&event).expect("it follows"),
                None => {
                    accounts.insert(
                        event.account_id.clone(),
                        Account::open(&event).expect("it opens"),
                    );
                }
            }
        }
    }
}

/// The event that opens an account, and the same with another actor than its hash is of.
pub fn genuine_and_damaged(account: &str) -> (Event, Vec<u8>) {
    let account_id = account.parse().expect("it is an account id");
    let event = next(&BTreeMap::new(), account_id, 0);
    let damaged = Event {
        actor: Some("somebody else".to_owned()),
        ..event.clone()
    };
    (event, json::encode_event(&damaged))
}

/// An account is opened with 100.00, and every later event puts 5.00 in.
fn next(accounts: &BTreeMap<AccountId, Account>, account_id: AccountId, number: i64) -> Event {
    let action = if number == 0 {
        Action::CreateAccount(CreateAccount {
            account_id,
            owner_name: "Owner".to_owned(),
            currency: "USD".parse().expect("it is a currency code"),
            initial_balance: 100.into(),
            overdraft_limit: 0.into(),
        })
    } else {
        Action::Deposit(Deposit {
            account_id,
            amount: 5.into(),
            currency: None,
        })
    };
    let command = Command {
        command_id: CommandId::from(Uuid::new_v4()),
        action,
        description: None,
        actor: None,
        metadata: BTreeMap::new(),
        conditions: Conditions::default(),
        effective_at: None,
    };
    let at = Timestamp::from_unix_microseconds(1_700_000_000_000_000 + number);
    decide(accounts, &command, at, &Policy::default())
        .expect("it is accepted")
        .remove(0)
}
