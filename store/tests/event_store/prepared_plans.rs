//! Prepared statements on PostgreSQL: a plan that was made while the tables were small is used when they are large.
//!
//! Measured on the store's own connections, by what the server counts: the blocks that the tables and their indexes are
//! asked for, and reads from end to end.

use ledger::{AccountId, EventReference, Timestamp, Version};
use sqlx::{Executor, PgConnection, Row};
use std::time::Duration;
use store::EventStore;
use uuid::Uuid;

use crate::support::build::{create, dated, deposit, hold, new_account_id, withdraw};
use crate::support::clock::{self, wait_until};
use crate::support::crowd::{add_accounts, add_history};
use crate::support::database::{Database, connect, connect_with};
use crate::support::outcomes::{process, verdicts, writer};

const CALLS: i64 = 100;
const HOLD_ID: Uuid = Uuid::from_u128(7);

#[derive(Debug, Clone, Copy)]
enum Call {
    Load,
    AccountAt,
    BalanceByDate,
    AccountAtVersion,
    History,
    HistoryBack,
    BookAt,
    Holds,
    Events,
    Outcomes,
    Heads,
    Reject,
    Accept,
}

impl Call {
    const ALL: [Self; 13] = [
        Self::Load,
        Self::AccountAt,
        Self::BalanceByDate,
        Self::AccountAtVersion,
        Self::History,
        Self::HistoryBack,
        Self::BookAt,
        Self::Holds,
        Self::Events,
        Self::Outcomes,
        Self::Heads,
        Self::Reject,
        Self::Accept,
    ];

    async fn make(self, store: &EventStore, account_id: &AccountId, middle: &EventReference) {
        let id = account_id;
        match self {
            Self::Load => drop(store.account(id).await.unwrap().unwrap()),
            Self::AccountAt => {
                let at: Timestamp = "2026-01-01T00:00:02.500000Z".parse().unwrap();
                store.account_at(id, at).await.unwrap().what.unwrap();
            }
            Self::BalanceByDate => {
                let at: Timestamp = "2026-01-01T00:00:02.500000Z".parse().unwrap();
                let then = store.balance_by_date(id, at, at).await;
                then.unwrap().what.unwrap();
            }
            Self::AccountAtVersion => {
                let found = store.account_at_version(id, middle.version).await;
                found.unwrap().unwrap();
            }
            Self::History => {
                let page = store.history(id, middle.version, 3).await.unwrap();
                assert_eq!(page.len(), 3);
            }
            Self::HistoryBack => {
                let page = store.history_back(id, Some(middle.version), 3).await;
                assert_eq!(page.unwrap().len(), 3);
            }
            Self::BookAt => {
                let page = store.book_at(Timestamp::MAX, Some(id), 2).await.unwrap();
                assert_eq!(page.what.len(), 2);
            }
            Self::Holds => {
                let held = store.holds(&[(id.clone(), HOLD_ID.into())]).await.unwrap();
                assert_eq!(held.len(), 1);
            }
            Self::Events => {
                store.events(std::slice::from_ref(middle)).await.unwrap();
            }
            Self::Outcomes => {
                let ids = [Uuid::new_v4().into(), Uuid::new_v4().into()];
                store.outcomes(&ids).await.unwrap();
            }
            Self::Heads => {
                let page = store.heads(Some(id), 2).await.unwrap();
                assert_eq!(page.len(), 2);
            }
            Self::Reject => {
                let told = process(&mut writer(store), &[withdraw(id, "1000000")]).await;
                assert_eq!(verdicts(&told), ["insufficient_funds"]);
            }
            Self::Accept => {
                let told = process(&mut writer(store), &[deposit(id, "1")]).await;
                assert_eq!(verdicts(&told), ["accepted"]);
            }
        }
    }

    /// Blocks per call, at most: a few steps down each index that is concerned, and the rows. With room for what other
    /// connections did before, which may be counted meanwhile; reading the long history takes hundreds.
    fn blocks_max(self) -> i64 {
        match self {
            Self::Reject | Self::Accept => 80,
            _ => 40,
        }
    }
}

/// A database with an account of ten events, and some that lie behind it in order.
async fn small_database() -> (Database, AccountId) {
    let database = Database::fresh_on_postgres("plans").await;
    // Statistics are collected when the test says so.
    database
        .execute("ALTER TABLE events SET (autovacuum_enabled = false)")
        .await;
    database
        .execute("ALTER TABLE commands SET (autovacuum_enabled = false)")
        .await;
    let account_id = new_account_id("long");
    add_history(&database, &account_id, 1..=10).await;
    let store = database.store();
    let behind = ["m", "n", "o"].map(|name| create(&new_account_id(name), "1"));
    process(&mut writer(&store), &behind).await;
    process(
        &mut writer(&store),
        &[
            hold(&account_id, HOLD_ID.into(), "1"),
            // The planner remembers how high an index is, unless nothing is in it: then it looks again for every branch.
            dated(deposit(&account_id, "1"), clock::now()),
        ],
    )
    .await;
    store.close().await;
    (database, account_id)
}

async fn grow(database: &Database, account_id: &AccountId) {
    let account = connect(&database.owner_url)
        .account(account_id)
        .await
        .unwrap()
        .unwrap();
    let next = usize::try_from(account.version.get()).unwrap() + 1;
    add_history(database, account_id, next..=20_000).await;
    // Most accounts have one event, which is when PostgreSQL likes the wrong index.
    add_accounts(database, "other", 60_000).await;
}

/// Blocks and reads from end to end that the server has counted so far.
async fn counted(owner: &mut PgConnection) -> (i64, i64) {
    let counters = "SELECT
        (SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read) FROM pg_statio_user_tables
            WHERE relname IN ('events', 'commands'))::bigint,
        (SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname IN ('events', 'commands'))::bigint";
    let row = owner.fetch_one(counters).await.unwrap();
    (row.get(0), row.get(1))
}

/// Waits until there are so many connections besides this one. What a connection did is counted when it is gone, at the
/// latest.
async fn wait_for_sessions(owner: &mut PgConnection, expected: usize) {
    let sessions = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let expected = i64::try_from(expected).unwrap();
    wait_until("sessions are gone", async || {
        owner.fetch_one(sessions).await.unwrap().get::<i64, _>(0) == expected
    })
    .await;
}

/// Makes calls on connections that were set up while the tables were small, now that the tables are large.
async fn assert_cheap(plan_cache_mode: &str, measured_when_small: bool, measured_when_large: bool) {
    let (database, account_id) = small_database().await;
    let mut owner = database.owner().await;
    let middle = connect(&database.owner_url)
        .history(&account_id, Version::new(4), 1)
        .await
        .unwrap();
    let middle = EventReference::from(&middle[0]);
    if measured_when_small {
        database.execute("ANALYZE events, commands").await;
    }
    let url = format!(
        "{}?options[plan_cache_mode]={plan_cache_mode}",
        database.application_url()
    );
    let stores = Call::ALL.map(|call| (call, connect_with(&url, 1, Duration::from_secs(30))));
    for (call, store) in &stores {
        // From the sixth on, a plan may be kept.
        for _ in 0..8 {
            call.make(store, &account_id, &middle).await;
        }
    }
    grow(&database, &account_id).await;
    if measured_when_large {
        database.execute("ANALYZE events, commands").await;
    }

    wait_for_sessions(&mut owner, stores.len()).await;
    for (index, (call, store)) in stores.iter().enumerate() {
        let before = counted(&mut owner).await;
        for _ in 0..CALLS {
            call.make(store, &account_id, &middle).await;
        }
        store.close().await;
        wait_for_sessions(&mut owner, stores.len() - index - 1).await;
        let after = counted(&mut owner).await;
        let blocks = (after.0 - before.0) / CALLS;
        let case = format!(
            "{call:?} ({plan_cache_mode}, measured: small {measured_when_small}, large {measured_when_large})"
        );
        println!("{case}: {blocks} blocks, {} full reads", after.1 - before.1);
        assert!(
            blocks <= call.blocks_max(),
            "{case}: {blocks} blocks a call"
        );
        assert_eq!(after.1, before.1, "{case}: reads a table from end to end");
    }
}

#[tokio::test]
async fn plans_of_small_tables_that_were_measured_serve_large_ones() {
    assert_cheap("auto", true, false).await;
}

#[tokio::test]
async fn plans_of_tables_that_were_never_measured_serve_large_ones() {
    assert_cheap("auto", false, false).await;
}

#[tokio::test]
async fn plans_without_regard_to_values_serve_large_tables() {
    assert_cheap("force_generic_plan", true, false).await;
    assert_cheap("force_generic_plan", false, true).await;
}

#[tokio::test]
async fn plans_for_each_execution_serve_large_tables() {
    assert_cheap("force_custom_plan", true, false).await;
}
