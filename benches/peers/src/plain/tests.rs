//! Against a real PostgreSQL, many at once on few accounts with little money, where every second command or so is refused.

use std::sync::Arc;

use super::*;
use crate::drive::{Until, drive};

const TASKS: usize = 16;

async fn pool() -> PgPool {
    let url = servers::testing::postgres()
        .await
        .fresh_database("plain")
        .await;
    sqlx::postgres::PgPoolOptions::new()
        // One besides those of the tasks, to look on.
        .max_connections(17)
        .connect(&url)
        .await
        .unwrap()
}

/// Transfers, deposits and withdrawals at once, and what came of the first and of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_overdrawn_lost_or_made_and_nobody_deadlocks() {
    let pool = pool().await;
    for (kind, funds_cents) in [(Kind::Transfer, 10_000), (Kind::DepositOrWithdraw, 5_000)] {
        sqlx::raw_sql("DROP TABLE IF EXISTS accounts, lines")
            .execute(&pool)
            .await
            .unwrap();
        let mut workload = Workload::new(kind, 3, 7);
        workload.funds_cents = funds_cents;
        let plain = Arc::new(Plain::open(pool.clone(), &workload).await.unwrap());
        let workload = Arc::new(workload);
        let tally = drive(&plain, &workload, TASKS, Until::Commands(6_000))
            .await
            .unwrap();
        assert_eq!(tally.accepted + tally.refused, 6_000);
        assert!(tally.accepted > 100 && tally.refused > 100, "{kind:?}");
        let lines = plain.check(&workload, &tally).await.unwrap();
        assert!(lines >= tally.accepted);
        assert_each_line_starts_from_the_one_before(&pool, funds_cents).await;
    }
}

/// Of each account, in the order in which its lines were written: while its row was locked.
async fn assert_each_line_starts_from_the_one_before(pool: &PgPool, funds_cents: i64) {
    let broken: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (
            SELECT balance_after_cents - cents AS before,
                lag(balance_after_cents, 1, $1) OVER (PARTITION BY account_id ORDER BY line_id) AS expected
            FROM lines
        ) AS line WHERE before <> expected",
    )
    .bind(funds_cents)
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(broken, 0);
}

#[tokio::test]
async fn an_account_that_is_missing_refuses_a_transfer() {
    let pool = pool().await;
    let workload = Workload::new(Kind::Transfer, 2, 7);
    let plain = Plain::open(pool.clone(), &workload).await.unwrap();
    sqlx::query("DELETE FROM accounts WHERE account_id = $1")
        .bind(&workload.accounts()[1])
        .execute(&pool)
        .await
        .unwrap();
    let mut session = plain.session().await.unwrap();
    for (from, to) in [(0, 1), (1, 0)] {
        let order = Order::Transfer { from, to, cents: 1 };
        let answer = plain.execute(&mut session, order).await.unwrap();
        assert!(!answer.is_accepted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn books_that_are_wrong_are_noticed() {
    let pool = pool().await;
    let workload = Arc::new(Workload::new(Kind::Transfer, 10, 7));
    let plain = Arc::new(Plain::open(pool.clone(), &workload).await.unwrap());
    let tally = drive(&plain, &workload, 2, Until::Commands(50))
        .await
        .unwrap();
    assert_eq!(plain.check(&workload, &tally).await.unwrap(), 100);
    for (harm, told) in [
        (
            "UPDATE accounts SET balance_cents = balance_cents + 1 WHERE account_id LIKE '%0'",
            "not conserved",
        ),
        (
            "UPDATE accounts SET balance_cents = balance_cents - 1 WHERE account_id LIKE '%1'",
            "not what their lines come to",
        ),
        (
            "DELETE FROM lines WHERE line_id = (SELECT max(line_id) FROM lines)",
            "99 lines of 50",
        ),
    ] {
        sqlx::query(harm).execute(&pool).await.unwrap();
        let error = plain.check(&workload, &tally).await.unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
    }
}
