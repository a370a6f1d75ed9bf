//! All events are walked over in pages that are bounded in events and in bytes.

use ledger::{Event, codec::json};

use crate::support::build::{create, deposit, new_account_id};
use crate::support::database::Database;
use crate::support::outcomes::{process, writer};

#[tokio::test]
async fn a_walk_meets_every_event_once_and_each_account_in_order() {
    let store = Database::fresh("walking").await.store();
    assert_eq!(store.events_after(None, 10, 1_000).await.unwrap(), []);
    assert_eq!(store.events_total().await.unwrap(), 0);
    let mut commands = Vec::new();
    for number in 0..12 {
        let account_id = new_account_id(["a", "B", "-", "_", "0", "zz"][number % 6]);
        commands.push(create(&account_id, "0"));
        commands.extend((0..number).map(|_| deposit(&account_id, "1")));
    }
    process(&mut writer(&store), &commands).await;
    let mut snapshot = store.snapshot().await.unwrap();
    let expected = snapshot.events(None, 1_000).await.unwrap();
    snapshot.close().await.unwrap();
    assert_eq!(expected.len(), commands.len());
    assert_eq!(store.events_total().await.unwrap(), expected.len() as u64);

    let bytes = |event: &Event| json::encode_event(event).len() as u64;
    let largest = expected.iter().map(bytes).max().unwrap();
    for (limit, bytes_max) in [(1, u64::MAX), (7, 1_000_000), (1_000, 1_000), (1_000, 0)] {
        let mut found: Vec<Event> = Vec::new();
        loop {
            let after = found.last().map(|event| (&event.account_id, event.version));
            let page = store.events_after(after, limit, bytes_max).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= usize::try_from(limit).unwrap());
            // One event is always given, however large it is.
            let data = page.len() as u64 - 1;
            assert!(
                data == 0 || data * 10 <= bytes_max + largest,
                "{} events at {bytes_max} bytes",
                page.len()
            );
            found.extend(page);
        }
        assert_eq!(found, expected, "in pages of {limit} and {bytes_max} bytes");
    }
    // Bytes bound a page before events do.
    assert_eq!(store.events_after(None, 1_000, 0).await.unwrap().len(), 1);
    let page = store.events_after(None, 1_000, 500).await.unwrap();
    assert!(page.len() > 1 && page.len() < 20, "{}", page.len());
}

#[tokio::test]
async fn what_is_measured_in_pages_is_the_same_in_pages_of_any_size() {
    let store = Database::fresh("measuring").await.store();
    assert_eq!(store.measure_behind(None, 10, None).await.unwrap(), None);
    let mut writer = writer(&store);
    let account_ids = ["a", "B", "-"].map(new_account_id);
    for account_id in &account_ids {
        let deposits = (0..5).map(|_| deposit(account_id, "1"));
        let commands: Vec<_> = std::iter::once(create(account_id, "0"))
            .chain(deposits)
            .collect();
        process(&mut writer, &commands).await;
    }
    let mut snapshot = store.snapshot().await.unwrap();
    let events = snapshot.events(None, 1_000).await.unwrap();
    snapshot.close().await.unwrap();
    let latest = events.iter().map(|event| event.recorded_at).max();
    let since_latest = events
        .iter()
        .filter(|event| Some(event.recorded_at) == latest)
        .count();
    let mut measured = Vec::new();
    for (limit, since) in [(1, None), (4, None), (1_000, None), (4, latest)] {
        let (mut count, mut bytes, mut last) = (0, 0, None);
        loop {
            let after = last
                .as_ref()
                .map(|(account_id, version)| (account_id, *version));
            let Some(page) = store.measure_behind(after, limit, since).await.unwrap() else {
                break;
            };
            assert!(page.events <= u64::from(limit));
            count += page.events;
            bytes += page.bytes;
            last = Some(page.last);
        }
        measured.push((count, bytes));
    }
    let (count, bytes) = measured[0];
    assert_eq!(count, events.len() as u64);
    // Less than what is written, which has the names of its fields, too, and not by much.
    let written = events
        .iter()
        .map(|event| json::encode_event(event).len() as u64);
    let written: u64 = written.sum();
    assert!(
        bytes < written && bytes > count * 60,
        "{bytes} of {written}"
    );
    assert_eq!(measured[1..3], [(count, bytes); 2]);
    assert_eq!(measured[3].0, since_latest as u64);
}
