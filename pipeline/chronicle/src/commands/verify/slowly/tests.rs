//! Against real servers: chunk by chunk everything is found, and a step that finds nothing says so.

use std::num::NonZeroU32;

use engine::{Batch, Delivery, Sink};
use ledger::{Command, Event, Timestamp, codec};
use operators::{Decided, FeedEvent};
use servers::testing;
use sinks::EventFeed;
use sinks::projection::{AccountBalance, Holds, ProjectionSink, Transactions, Transfers};
use sqlx::AssertSqlSafe;
use store::{Processed, Writer, WriterOptions};
use transport::streams::Limits;
use uuid::Uuid;

use super::*;

/// A ledger of the accounts A to E, opened with 10.00 each, with two deposits of 1.00 and one transfer of 2.00 to the next.
struct Book {
    comparer: Comparer,
    _nats: testing::Nats,
}

fn batch<T>(items: Vec<T>) -> Batch<T> {
    let last_position = items.len() as u64;
    let delivery = |(position, item)| Delivery {
        position,
        origin: None,
        item,
    };
    Batch {
        deliveries: (1..).zip(items).map(delivery).collect(),
        last_position,
    }
}

fn commands() -> Vec<Command> {
    let mut bodies: Vec<String> = Vec::new();
    for name in ["A", "B", "C", "D", "E"] {
        bodies.push(format!(
            r#""type":"create_account","account_id":"{name}","owner_name":"O","currency":"USD","initial_balance":"10""#
        ));
    }
    for name in ["A", "B", "C", "D", "E"] {
        let deposit = format!(r#""type":"deposit","account_id":"{name}","amount":"1""#);
        bodies.extend([deposit.clone(), deposit]);
    }
    for (from, to) in [("A", "B"), ("B", "C"), ("C", "D"), ("D", "E"), ("E", "A")] {
        bodies.push(format!(
            r#""type":"transfer","from_account_id":"{from}","to_account_id":"{to}","amount":"2""#
        ));
    }
    (1..)
        .zip(bodies)
        .map(|(number, body)| {
            let id = Uuid::from_u128(0x0123_4567_89ab_4cde_8f01_0000_0000_0000 + number);
            let json = format!(r#"{{"command_id":"{id}",{body}}}"#);
            codec::json::decode_command(json.as_bytes()).unwrap()
        })
        .collect()
}

impl Book {
    async fn written() -> Self {
        let event_store = testing::event_store_url("event_store").await;
        let read_model = testing::postgres().await.fresh_database("read_model").await;
        store::migrate::migrate(&event_store).await.unwrap();
        sinks::read_model::migrate(&read_model).await.unwrap();
        let nats = testing::Nats::start().await;
        let comparer = Comparer {
            store: EventStore::connect_lazy(&event_store, &store::Options::default()).unwrap(),
            nats: Nats::connect(&nats.url()).await.unwrap(),
            pool: sinks::read_model::connect_lazy(&read_model, 4).unwrap(),
        };
        let book = Self {
            comparer,
            _nats: nats,
        };
        let events = book.decide().await;
        book.project(AccountBalance, &events).await;
        book.project(Transactions, &events).await;
        book.project(Transfers, &events).await;
        book.project(Holds, &events).await;
        book.project(DailyTotals, &events).await;
        book
    }

    /// Events in the event store and in the feed.
    async fn decide(&self) -> Vec<Event> {
        let mut writer = Writer::new(self.comparer.store.clone(), WriterOptions::default());
        let now = || Timestamp::from_date_time(time::OffsetDateTime::now_utc());
        let processed = writer.process(&commands(), &now).await.unwrap();
        let mut feed = EventFeed::new(self.comparer.nats.clone(), Limits::default());
        feed.open().await.unwrap();
        let mut all = Vec::new();
        for processed in processed {
            let Processed::Committed { outcome, events } = processed else {
                panic!("{processed:?}");
            };
            let decided = Decided {
                outcome,
                events: events.clone(),
                reply_to: None,
            };
            feed.write(&batch(vec![decided])).await.unwrap();
            all.extend(events);
        }
        all
    }

    async fn project<P: Projection>(&self, projection: P, events: &[Event]) {
        let Comparer { store, nats, pool } = self.comparer.clone();
        let mut sink = ProjectionSink::new(projection, nats, Limits::default(), &pool, store);
        sink.open().await.unwrap();
        let items = events.iter().cloned().map(Box::new).map(FeedEvent::Event);
        sink.write(&batch(items.collect())).await.unwrap();
    }

    async fn tamper(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        let changed = sqlx::query(sql).execute(&self.comparer.pool).await.unwrap();
        assert!(changed.rows_affected() > 0);
    }

    /// What all steps have found, two accounts at a time.
    async fn walked(&self) -> Vec<Divergence> {
        let mut found = Vec::new();
        let (mut after, mut accounts, mut events) = (None, 0, 0);
        let mut pace = Pace::new(NonZeroU32::new(100_000).unwrap());
        loop {
            let step = self.comparer.accounts(after.as_deref(), 2, Some(&mut pace));
            let step = step.await.unwrap();
            assert_eq!(step.not_compared, Vec::<String>::new());
            assert!(step.accounts <= 2);
            accounts += step.accounts;
            events += step.events;
            found.extend(step.divergences);
            after = step.last;
            if after.is_none() {
                assert_eq!((accounts, events), (5, 25));
                return found;
            }
        }
    }
}

fn places(found: &[Divergence]) -> Vec<(&str, Option<&str>, Option<i64>)> {
    found
        .iter()
        .map(|found| {
            (
                found.place.as_str(),
                found.account_id.as_deref(),
                found.version,
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn step_by_step_what_diverges_is_found_where_it_is() {
    let book = Book::written().await;
    let comparer = &book.comparer;
    assert_eq!(book.walked().await, []);
    assert_eq!(comparer.totals(None).await.unwrap().divergences, []);
    assert_eq!(comparer.strays(None).await.unwrap().divergences, []);

    book.tamper("UPDATE transactions SET amount = 9 WHERE account_id = 'D' AND version = 2")
        .await;
    book.tamper("DELETE FROM account_balance WHERE account_id = 'E'")
        .await;
    let found = book.walked().await;
    assert_eq!(
        places(&found),
        [
            ("transactions", Some("D"), Some(2)),
            ("account_balance", Some("E"), Some(5))
        ]
    );

    book.tamper("UPDATE daily_totals SET count = count + 1 WHERE type = 'opening'")
        .await;
    let totals = comparer.totals(None).await.unwrap();
    assert_eq!(places(&totals.divergences), [("daily_totals", None, None)]);
    assert_eq!(totals.events, 25);

    book.tamper(
        "INSERT INTO transactions (transaction_id, account_id, version, type, amount, currency, balance_after, command_id,
            timestamp)
         SELECT gen_random_uuid(), account_id, 77, type, amount, currency, balance_after, command_id, timestamp
         FROM transactions WHERE account_id = 'B' AND version = 2",
    )
    .await;
    let strays = comparer.strays(None).await.unwrap();
    assert_eq!(
        places(&strays.divergences),
        [("transactions", Some("B"), Some(77))]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_and_the_event_store_are_compared_too() {
    let book = Book::written().await;
    let Comparer { store, nats, .. } = &book.comparer;
    let account_id = "C".parse().unwrap();
    let mut event = store
        .history(&account_id, ledger::Version::new(4), 1)
        .await
        .unwrap()
        .remove(0);
    event.version = event.version.next();
    event.hash = event.compute_hash();
    let payload = codec::json::encode_event(&event);
    let published = nats
        .jetstream
        .publish("ledger.events.C", payload.into())
        .await;
    published.unwrap().await.unwrap();
    let found = book.walked().await;
    assert_eq!(places(&found), [(FEED, Some("C"), Some(6))]);

    nats.jetstream.delete_stream(streams::EVENTS).await.unwrap();
    let step = book.comparer.accounts(None, 10, None).await.unwrap();
    assert_eq!(step.divergences, []);
    assert!(
        step.not_compared[0].contains("there is no feed"),
        "{step:?}"
    );
}
