//! Readers during swaps: no errors, no empty tables, no half-built ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sinks::projection::{Definition, Transactions, swap};
use sqlx::Row;

use crate::place::{ORDER, Place};

/// As the HTTP API asks: unqualified names, prepared statements, rows and offset in one statement.
const QUERIES: [&str; 3] = [
    "SELECT count(*) AS rows, (SELECT last_sequence FROM projection_offsets WHERE projection = 'transactions') AS sequence
     FROM transactions",
    "SELECT (SELECT count(*) FROM transactions) AS rows, sum(version)::bigint AS sequence FROM projection_versions
     WHERE projection = 'transactions'",
    "SELECT count(*) AS rows, max(version) AS sequence FROM (SELECT * FROM transactions ORDER BY account_id, timestamp, version) AS page",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_never_sees_an_error_or_an_empty_or_a_half_built_table() {
    let place = Arc::new(Place::with_commands(400).await);
    place.live::<Transactions>().await;
    let rows = place.number("SELECT count(*) FROM transactions").await;
    let (stop, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let readers: Vec<_> = (0..6_usize)
        .map(|number| {
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
            let pool = sinks::read_model::connect_lazy(&place.url, 1).expect("the URL is right");
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let query = QUERIES[number % QUERIES.len()];
                    let row = sqlx::query(query).fetch_one(&pool).await;
                    let row = row.unwrap_or_else(|error| panic!("{query}: {error}"));
                    assert_eq!(row.get::<i64, _>("rows"), rows, "{query}");
                    assert!(row.get::<Option<i64>, _>("sequence").is_some());
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for _ in 0..4 {
        place.build::<Transactions>(|_| {}).await.unwrap();
        place.swap::<Transactions>().await;
        for _ in 0..6 {
            let before = asked.load(Ordering::SeqCst);
            let definition = Definition::of::<Transactions>();
            swap::roll_back(&place.pool, definition, &ORDER)
                .await
                .unwrap();
            while asked.load(Ordering::SeqCst) < before + 20 {
                assert!(
                    !readers.iter().any(tokio::task::JoinHandle::is_finished),
                    "a reader has failed"
                );
                tokio::task::yield_now().await;
            }
        }
    }
    stop.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.expect("it has seen nothing wrong");
    }
}
