//! The source `accounts`, over a real event store: every account once in a pass, and on from where a pass was.

use std::collections::BTreeMap;

use engine::{Delivery, Opened, Resume, Source};
use futures::StreamExt;
use ledger::{AccountId, Action, Command, Conditions, CreateAccount, Timestamp};
use servers::testing;
use sources::{Accounts, Part, Walk};
use store::{EventStore, Writer, WriterOptions};
use uuid::Uuid;

async fn event_store() -> EventStore {
    let url = testing::event_store_url("event_store").await;
    store::migrate::migrate(&url)
        .await
        .expect("the tables can be made");
    EventStore::connect_lazy(&url, &store::Options::default()).expect("the URL is right")
}

fn account(number: u32) -> AccountId {
    format!("ACC-{number:04}").parse().expect("an id")
}

async fn open_accounts(store: &EventStore, numbers: impl Iterator<Item = u32>) {
    let commands: Vec<Command> = numbers
        .map(|number| Command {
            command_id: Uuid::from_u64_pair(7, number.into()).into(),
            action: Action::CreateAccount(CreateAccount {
                account_id: account(number),
                owner_name: "Ann".to_owned(),
                currency: "USD".parse().expect("a currency"),
                initial_balance: "0".parse().expect("a decimal"),
                overdraft_limit: "0".parse().expect("a decimal"),
            }),
            description: None,
            actor: None,
            metadata: BTreeMap::new(),
            conditions: Conditions::default(),
            effective_at: None,
        })
        .collect();
    let mut writer = Writer::new(store.clone(), WriterOptions::default());
    let clock = || Timestamp::from_unix_microseconds(1_800_000_000_000_000);
    writer
        .process(&commands, &clock)
        .await
        .expect("the event store runs");
}

async fn opened(store: &EventStore, resume: Option<Resume>) -> Opened<Walk> {
    let source = Accounts::new(store.clone());
    source.open(resume).await.expect("it opens")
}

async fn next(opened: &mut Opened<Walk>) -> Delivery<Walk> {
    let next = opened.deliveries.next().await.expect("it never ends");
    next.expect("the event store runs")
}

fn accounts(walk: &Walk) -> Vec<AccountId> {
    match walk {
        Walk::Accounts { heads, .. } => heads.iter().map(|head| head.account_id.clone()).collect(),
        Walk::Remainder(_) => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_account_comes_once_in_a_pass_and_then_the_remainder_and_then_all_again() {
    let store = event_store().await;
    open_accounts(&store, 0..250).await;
    let mut source = opened(&store, None).await;
    let mut met = Vec::new();
    for (position, count) in [(1, 100), (2, 100), (3, 50), (4, 0)] {
        let delivery = next(&mut source).await;
        assert_eq!(delivery.position, position);
        assert_eq!(accounts(&delivery.item).len(), count, "{position}");
        met.extend(accounts(&delivery.item));
    }
    assert_eq!(met, (0..250).map(account).collect::<Vec<_>>());
    for part in &Part::ALL[1..] {
        assert_eq!(next(&mut source).await.item, Walk::Remainder(*part));
    }
    // One that is opened later is met by the next pass.
    open_accounts(&store, 250..251).await;
    let mut again = Vec::new();
    for _ in 0..3 {
        again.extend(accounts(&next(&mut source).await.item));
    }
    assert_eq!(again.len(), 251);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_goes_on_behind_what_the_sink_has_kept() {
    let store = event_store().await;
    open_accounts(&store, 0..150).await;
    let mut source = opened(&store, None).await;
    let (first, second) = (next(&mut source).await, next(&mut source).await);
    let behind = |delivery: &Delivery<Walk>| Resume {
        position: delivery.position,
        mark: Some(delivery.item.place().to_string()),
    };
    let again = next(&mut opened(&store, Some(behind(&first))).await).await;
    assert_eq!((again.position, again.item), (2, second.item.clone()));
    // All accounts are done, what belongs to none of them is not.
    let rest = next(&mut opened(&store, Some(behind(&second))).await).await;
    assert_eq!(
        (rest.position, &rest.item),
        (3, &Walk::Remainder(Part::ALL[0]))
    );
    let mut end = rest;
    for part in &Part::ALL[1..] {
        end = next(&mut opened(&store, Some(behind(&end))).await).await;
        assert_eq!(end.item, Walk::Remainder(*part));
    }
    let anew = next(&mut opened(&store, Some(behind(&end))).await).await;
    assert_eq!((anew.position, anew.item), (8, first.item));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_without_accounts_has_a_remainder_only() {
    let store = event_store().await;
    let first = next(&mut opened(&store, None).await).await;
    assert_eq!(first.item, Walk::Remainder(Part::ALL[0]));
}
