//! Against a real PostgreSQL.

use super::*;
use crate::drive::{Until, drive};
use crate::workload::Kind;

async fn pool() -> PgPool {
    let url = servers::testing::postgres()
        .await
        .fresh_database("cqrs_es")
        .await;
    postgres_es::default_postgress_pool(&url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_are_right_however_many_conflicts_there_are() {
    let history = History {
        events: 1,
        snapshot_every: None,
    };
    let mut workload = Workload::new(Kind::DepositOrWithdraw, 3, 7);
    workload.funds_cents = 5_000;
    let workload = Arc::new(workload);
    let peer = CqrsEs::open(pool().await, &workload, history, 2)
        .await
        .unwrap();
    let tally = drive(&peer, &workload, 8, Until::Commands(400))
        .await
        .unwrap();
    assert_eq!(tally.accepted + tally.refused, 400);
    assert!(tally.refused > 0 && tally.retries > 0);
    let checked = peer.check(&workload, &tally).await.unwrap();
    assert_eq!(checked.events, tally.accepted);
}

#[tokio::test]
async fn a_history_that_was_not_written_by_the_library_is_read_by_it() {
    for snapshot_every in [None, Some(10)] {
        let history = History {
            events: 100,
            snapshot_every,
        };
        let workload = Arc::new(Workload::new(Kind::DepositOrWithdraw, 1, 7));
        let pool = pool().await;
        let peer = CqrsEs::open(pool.clone(), &workload, history, 1)
            .await
            .unwrap();
        let tally = drive(&peer, &workload, 1, Until::Commands(25))
            .await
            .unwrap();
        assert_eq!((tally.accepted, tally.retries), (25, 0));
        let checked = peer.check(&workload, &tally).await.unwrap();
        let expected = Checked {
            events: 25,
            wrong_views: 0,
        };
        assert_eq!(checked, expected);
        let snapshot: Option<i64> = sqlx::query_scalar("SELECT max(last_sequence) FROM snapshots")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(snapshot, snapshot_every.map(|_| 120));
    }
}

#[tokio::test]
async fn books_that_are_wrong_are_noticed() {
    let history = History {
        events: 2,
        snapshot_every: None,
    };
    let workload = Arc::new(Workload::new(Kind::DepositOrWithdraw, 2, 7));
    let pool = pool().await;
    let peer = CqrsEs::open(pool.clone(), &workload, history, 1)
        .await
        .unwrap();
    let tally = drive(&peer, &workload, 1, Until::Commands(10))
        .await
        .unwrap();
    peer.check(&workload, &tally).await.unwrap();
    for (harm, told) in [
        (
            "UPDATE account_view SET payload = '{}' WHERE view_id LIKE '%0'",
            "1 views are wrong after 0 conflicts",
        ),
        (
            "UPDATE events SET payload = '{\"Deposited\": {\"cents\": 2, \"balance_cents\": 1}}' WHERE sequence = 2 AND \
             aggregate_id LIKE '%1'",
            "not conserved",
        ),
        ("DELETE FROM events WHERE sequence = 2", "12 events"),
    ] {
        sqlx::query(harm).execute(&pool).await.unwrap();
        let error = peer.check(&workload, &tally).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}
