//! A swap while others hold locks on its tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use servers::testing;
use sinks::projection::digest::Which;
use sinks::projection::swap::{Swap, Swapped};
use sinks::projection::{Definition, Error, Holds, Projection, Transactions, shadow};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor};

use crate::place::{ORDER, Place};

/// No reader may wait for longer: the longest try, and what a busy machine adds.
const READERS_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a condition may take to come true.
const DEADLINE: Duration = Duration::from_secs(90);

async fn try_to_swap<P: Projection>(place: &Place) -> Result<Swapped, Error> {
    let swap = Swap::begin(&place.pool, Definition::of::<P>()).await?;
    swap.take_shadow(&ORDER, false).await
}

/// Waits until a query counts something.
async fn until_there_is(place: &Place, what: &str, query: &str) {
    let began = Instant::now();
    while place.number(query).await == 0 {
        assert!(began.elapsed() < DEADLINE, "there is no {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autovacuum_of_the_live_table_gives_way_to_a_swap() {
    const AT_WORK: &str = "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
         WHERE backend_type = 'autovacuum worker' AND relation = 'transactions'::regclass AND granted
            AND mode = 'ShareUpdateExclusiveLock'";
    let server = testing::Postgres::start().await;
    let mut place = Place::at(server.fresh_database("rebuild").await).await;
    place.decide(400).await;
    place.live::<Transactions>().await;
    let live = place.digest::<Transactions>(Which::Live).await;
    place.build::<Transactions>(|_| {}).await.unwrap();
    // An autovacuum that comes at once and takes minutes: it rests after each page.
    let another = PgPool::connect(&place.url).await.unwrap();
    for sql in [
        "ALTER TABLE transactions SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,
            autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, fillfactor = 90)",
        "UPDATE transactions SET version = version",
        "UPDATE transactions SET version = version",
        "UPDATE transactions SET version = version",
        "UPDATE transactions SET version = version",
        "UPDATE transactions SET version = version",
        "ALTER SYSTEM SET autovacuum_naptime = '1s'",
        "SELECT pg_reload_conf()",
    ] {
        another.execute(sql).await.unwrap();
    }
    // With the connection its statistics come to where autovacuum sees them.
    another.close().await;
    until_there_is(&place, "autovacuum", AT_WORK).await;

    let swapped = try_to_swap::<Transactions>(&place)
        .await
        .expect("the autovacuum is cancelled");
    assert!(swapped.is_kept);
    assert_eq!(place.digest::<Transactions>(Which::Live).await, live);
    // What was set for the live table holds for the new one, and autovacuum looks after it.
    let settings: Option<Vec<String>> =
        sqlx::query_scalar("SELECT reloptions FROM pg_class WHERE oid = 'transactions'::regclass")
            .fetch_one(&place.pool)
            .await
            .unwrap();
    let settings = settings.expect("there are some");
    assert!(
        settings.contains(&"fillfactor=90".to_owned()),
        "{settings:?}"
    );
    assert!(
        !settings
            .iter()
            .any(|setting| setting.starts_with("autovacuum_enabled")),
        "{settings:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn autovacuum_leaves_a_copy_alone_that_is_vacuumed_before_the_swap() {
    let place = Place::with_commands(100).await;
    place.live::<Transactions>().await;
    place.build::<Transactions>(|_| {}).await.unwrap();
    let of_the_copy = "FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public_shadow_transactions'::regnamespace";
    let with_autovacuum = format!(
        "SELECT count(*) {of_the_copy} AND NOT COALESCE('autovacuum_enabled=false' = ANY (reloptions), false)"
    );
    assert_eq!(place.number(&with_autovacuum).await, 0);
    // Only VACUUM finds out which pages everybody sees, and only of commits that are on disk, which takes a moment here.
    let began = Instant::now();
    let visible = format!(
        "SELECT count(*) {of_the_copy} AND relname IN ('transactions', 'projection_versions') AND relallvisible > 0"
    );
    while place.number(&visible).await < 2 {
        assert!(began.elapsed() < DEADLINE, "it is not vacuumed");
        let definition = Definition::of::<Transactions>();
        shadow::finish_tables(&place.pool, definition)
            .await
            .unwrap();
    }
    place.swap::<Transactions>().await;
    for schema in ["public", "public_retired_transactions"] {
        let without = format!(
            "SELECT count(*) FROM pg_class WHERE relname = 'transactions' AND relnamespace = '{schema}'::regnamespace
                AND reloptions IS NOT NULL"
        );
        assert_eq!(place.number(&without).await, 0, "{schema}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_session_that_holds_a_table_is_named_and_the_copy_is_kept() {
    let place = Arc::new(Place::with_commands(60).await);
    place.live::<Holds>().await;
    let live = place.digest::<Holds>(Which::Live).await;
    place.build::<Holds>(|_| {}).await.unwrap();
    let another = PgPool::connect(&place.url).await.unwrap();
    let mut holding = another.begin().await.unwrap();
    holding
        .execute("LOCK TABLE holds IN SHARE UPDATE EXCLUSIVE MODE")
        .await
        .unwrap();
    let holder: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(&mut *holding)
        .await
        .unwrap();

    // Readers are held up by no try for long.
    let stop = Arc::new(AtomicBool::new(false));
    let reader = {
        let (place, stop) = (Arc::clone(&place), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::SeqCst) {
                let began = Instant::now();
                place.number("SELECT count(*) FROM holds").await;
                longest = longest.max(began.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            longest
        })
    };
    let error = try_to_swap::<Holds>(&place).await.unwrap_err();
    stop.store(true, Ordering::SeqCst);
    assert!(matches!(error, Error::InUse(_)), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&format!("process {holder} (")), "{said}");
    assert!(said.contains("pg_terminate_backend"), "{said}");
    assert!(said.contains("give the command again"), "{said}");
    let longest = reader.await.expect("it has read");
    assert!(
        longest < READERS_WAIT_MAX,
        "a reader waited for {longest:?}"
    );
    assert_eq!(place.digest::<Holds>(Which::Live).await, live);

    holding.rollback().await.unwrap();
    assert!(place.prepare::<Holds>().await.walked.is_complete);
    try_to_swap::<Holds>(&place).await.expect("nobody holds it");
    assert_eq!(place.digest::<Holds>(Which::Live).await, live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_reads_the_model_which_is_to_be_removed_is_named_and_waited_for_by_short_tries()
 {
    let place = Place::with_commands(60).await;
    place.live::<Holds>().await;
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    place.build::<Holds>(|_| {}).await.unwrap();
    let another = PgPool::connect(&place.url).await.unwrap();
    let mut reading = another.begin().await.unwrap();
    let rows =
        "SELECT pg_backend_pid() FROM (SELECT count(*) FROM public_retired_holds.holds) AS rows";
    let reader: i32 = sqlx::query_scalar(rows)
        .fetch_one(&mut *reading)
        .await
        .unwrap();
    let try_to_swap = async || {
        let swap = Swap::begin(&place.pool, Definition::of::<Holds>()).await?;
        swap.take_shadow(&ORDER, true).await
    };
    let error = try_to_swap().await.unwrap_err();
    assert!(matches!(error, Error::InUse(_)), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&format!("process {reader} (")), "{said}");
    reading.rollback().await.unwrap();
    try_to_swap().await.expect("nobody reads it");
    assert!(place.digest::<Holds>(Which::Retired).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_faster_than_the_locks_is_noticed_under_them() {
    const WAITS: &str =
        "SELECT count(*) FROM pg_locks WHERE relation = 'holds'::regclass AND NOT granted
         AND mode = 'AccessExclusiveLock'";
    let place = Arc::new(Place::with_commands(60).await);
    place.live::<Holds>().await;
    place.build::<Holds>(|_| {}).await.unwrap();
    let another = PgPool::connect(&place.url).await.unwrap();
    let mut migrating = another.begin().await.unwrap();
    migrating
        .execute("LOCK TABLE holds IN SHARE UPDATE EXCLUSIVE MODE")
        .await
        .unwrap();
    let swapping = {
        let place = Arc::clone(&place);
        tokio::spawn(async move { try_to_swap::<Holds>(&place).await })
    };
    until_there_is(&place, "swap", WAITS).await;
    let migration = "ALTER TABLE holds ADD COLUMN late TEXT";
    migrating.execute(AssertSqlSafe(migration)).await.unwrap();
    migrating.commit().await.unwrap();
    let refused = swapping.await.expect("it ends").unwrap_err().to_string();
    assert!(refused.contains("column late (text)"), "{refused}");
}
