//! Histories are read in pages, and events by the references that outcomes hold.

use ledger::{AccountId, Event, EventReference, Version};
use store::{Error, EventStore};
use uuid::Uuid;

use crate::support::build::{create, deposit, new_account_id, transfer};
use crate::support::database;
use crate::support::outcomes::{events, outcome, process, writer};

async fn account_with(store: &EventStore, count: usize) -> (AccountId, Vec<Event>) {
    let account_id = new_account_id("history");
    let mut commands = vec![create(&account_id, "0")];
    commands.extend((1..count).map(|_| deposit(&account_id, "1")));
    let processed = process(&mut writer(store), &commands).await;
    let made = processed.iter().flat_map(events).cloned().collect();
    (account_id, made)
}

#[tokio::test]
async fn a_history_is_read_in_pages() {
    let store = database::store().await;
    let (account_id, made) = account_with(&store, 10).await;
    for size in [1, 3, 5, 10, 11] {
        let mut read: Vec<Event> = Vec::new();
        let mut pages = 0;
        loop {
            let after = read.last().map_or(Version::NONE, |event| event.version);
            let page = store.history(&account_id, after, size).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= usize::try_from(size).unwrap());
            pages += 1;
            read.extend(page);
        }
        assert_eq!(read, made);
        assert_eq!(pages, 10_u32.div_ceil(size));
    }
    let behind_all = Version::new(u64::MAX);
    assert_eq!(store.history(&account_id, behind_all, 5).await.unwrap(), []);
    assert_eq!(
        store.history(&account_id, Version::NONE, 0).await.unwrap(),
        []
    );
    let missing = new_account_id("missing");
    assert_eq!(store.history(&missing, Version::NONE, 5).await.unwrap(), []);
}

#[tokio::test]
async fn events_come_in_the_order_of_their_references() {
    let store = database::store().await;
    let (first, made) = account_with(&store, 5).await;
    let (second, more) = account_with(&store, 3).await;
    let processed = process(&mut writer(&store), &[transfer(&first, &second, "2")]).await;
    let wanted = [&made[4], &more[0], &made[0], &more[2], &made[4], &made[1]];

    let references = wanted.map(EventReference::from);
    let read = store.events(&references).await.unwrap();
    assert_eq!(read.iter().collect::<Vec<_>>(), wanted);

    let both_halves = store.events(outcome(&processed[0]).events()).await.unwrap();
    assert_eq!(both_halves, events(&processed[0]));
    assert_eq!(store.events(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_reference_to_an_event_that_is_not_there_is_an_error_that_names_it() {
    let store = database::store().await;
    let (account_id, made) = account_with(&store, 3).await;
    let there = EventReference::from(&made[1]);
    for missing in [
        EventReference {
            version: Version::new(4),
            ..there.clone()
        },
        EventReference {
            version: Version::new(u64::MAX),
            ..there.clone()
        },
        EventReference {
            version: Version::new(1),
            ..there.clone()
        },
        EventReference {
            event_id: Uuid::new_v4().into(),
            ..there.clone()
        },
        EventReference {
            account_id: new_account_id("missing"),
            ..there.clone()
        },
    ] {
        let error = store
            .events(&[there.clone(), missing.clone()])
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Unreadable { .. }), "{text}");
        assert!(text.contains(&missing.event_id.to_string()), "{text}");
        assert!(text.contains(missing.account_id.as_str()), "{text}");
        assert!(!error.is_transient());
    }
    assert_eq!(
        store.account(&account_id).await.unwrap().unwrap().version,
        Version::new(3)
    );
}
