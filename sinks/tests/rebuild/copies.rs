//! Building a copy, interrupted and not, swapping it in, and back.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::{RetryClass, Sink};
use sinks::projection::digest::Which;
use sinks::projection::{
    AccountBalance, DailyTotals, Definition, Holds, Projection, Transactions, Transfers, audit,
    retired, shadow, swap,
};
use sqlx::Row;

use crate::place::{ORDER, Place, empty_batch};

async fn is_what_was_live<P: Projection + Default>(place: &Place) {
    place.live::<P>().await;
    let live = place.digest::<P>(Which::Live).await;
    assert!(
        live.iter().flatten().all(|table| table.rows > 0),
        "{live:?}"
    );
    place.build::<P>(|_| {}).await.expect("it can be built");
    assert_eq!(place.digest::<P>(Which::Shadow).await, live, "{}", P::NAME);
    let swapped = place.swap::<P>().await;
    assert!(swapped.is_kept);
    assert_eq!(place.digest::<P>(Which::Live).await, live);
    assert_eq!(place.digest::<P>(Which::Retired).await, live);
    assert_eq!(place.digest::<P>(Which::Shadow).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_the_rows_of_the_live_model_and_takes_its_place() {
    let place = Place::with_commands(200).await;
    is_what_was_live::<AccountBalance>(&place).await;
    is_what_was_live::<Transactions>(&place).await;
    is_what_was_live::<Transfers>(&place).await;
    is_what_was_live::<Holds>(&place).await;
    is_what_was_live::<DailyTotals>(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_rows_are_right_after_a_rebuild_and_wrong_again_after_a_rollback() {
    let place = Place::with_commands(60).await;
    place.live::<AccountBalance>().await;
    let right = place.digest::<AccountBalance>(Which::Live).await;
    place
        .execute("UPDATE account_balance SET balance = 1000000")
        .await;
    let wrong = place.digest::<AccountBalance>(Which::Live).await;
    assert_ne!(wrong, right);
    place.build::<AccountBalance>(|_| {}).await.unwrap();
    place.swap::<AccountBalance>().await;
    assert_eq!(place.digest::<AccountBalance>(Which::Live).await, right);

    let definition = Definition::of::<AccountBalance>();
    let back = || swap::roll_back(&place.pool, definition, &ORDER);
    back().await.expect("it is kept");
    assert_eq!(place.digest::<AccountBalance>(Which::Live).await, wrong);
    assert_eq!(place.digest::<AccountBalance>(Which::Retired).await, right);
    back().await.expect("the other one is kept now");
    assert_eq!(place.digest::<AccountBalance>(Which::Live).await, right);

    assert!(
        retired::prune(&place.pool, definition, &ORDER)
            .await
            .unwrap()
    );
    assert!(
        !retired::prune(&place.pool, definition, &ORDER)
            .await
            .unwrap()
    );
    let refused = back().await.unwrap_err().to_string();
    assert!(refused.contains("no earlier model"), "{refused}");
    let log = audit::log(&place.pool, Some("account_balance"), 100).await;
    let actions: Vec<String> = log.unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(
        actions,
        [
            "rebuild_started",
            "swapped",
            "rolled_back",
            "rolled_back",
            "pruned"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_is_interrupted_again_and_again_goes_on_and_ends_the_same() {
    let place = Place::with_commands(300).await;
    place.live::<Transactions>().await;
    let live = place.digest::<Transactions>(Which::Live).await;
    let (mut starts, mut begun_at) = (0, None);
    loop {
        let shadow = place.prepare::<Transactions>().await;
        assert_eq!(
            *begun_at.get_or_insert(shadow.walked.begun_at),
            shadow.walked.begun_at
        );
        assert_eq!(shadow.is_resumed, starts > 0);
        let (before, pages) = (shadow.walked.events, AtomicU64::new(0));
        let building = place.build::<Transactions>(|_| {
            pages.fetch_add(1, Ordering::SeqCst);
        });
        let enough = async {
            // At another place within the work each time.
            while pages.load(Ordering::SeqCst) < 4 {
                tokio::time::sleep(std::time::Duration::from_micros(700)).await;
            }
        };
        tokio::select! {
            done = building => {
                done.expect("nothing stands in its way");
                break;
            }
            () = enough => {}
        }
        let walked = place.prepare::<Transactions>().await.walked;
        assert!(walked.events > before, "it does not come any further");
        starts += 1;
    }
    assert!(starts > 3, "it was interrupted {starts} times only");
    assert_eq!(place.digest::<Transactions>(Which::Shadow).await, live);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_build_the_same_copy_the_first_stops() {
    let place = Place::with_commands(200).await;
    let shadow = place.prepare::<Transfers>().await;
    let mut first = place.sink_on::<Transfers>(&shadow.pool);
    let pages = AtomicU64::new(0);
    let told = |_: &shadow::Walked| {
        pages.fetch_add(1, Ordering::SeqCst);
        // Long enough for the other one to begin.
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let walking = first.walk(shadow.walked.clone(), crate::place::PAGE, None, told);
    let second = async {
        while pages.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        place.build::<Transfers>(|_| {}).await
    };
    let (first, second) = tokio::join!(walking, second);
    second.expect("whoever comes last goes on");
    let failure = first.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal);
    assert!(failure.to_string().contains("is fenced"), "{failure}");
    place.live::<Transfers>().await;
    assert_eq!(
        place.digest::<Transfers>(Which::Shadow).await,
        place.digest::<Transfers>(Which::Live).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_removed_stops_whoever_builds_it_and_leaves_nothing() {
    let place = Place::with_commands(200).await;
    let shadow = place.prepare::<Holds>().await;
    let mut sink = place.sink_on::<Holds>(&shadow.pool);
    assert!(
        shadow::discard(&place.pool, "holds", &ORDER)
            .await
            .expect("it is there")
    );
    let failure = sink
        .walk(shadow.walked, crate::place::PAGE, None, |_| {})
        .await
        .unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal, "{failure}");
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'shadow%'";
    assert_eq!(place.number(left).await, 0);
    assert_eq!(place.number("SELECT count(*) FROM holds").await, 0);
    assert_eq!(
        place
            .number("SELECT count(*) FROM projection_offsets")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_runs_goes_on_from_where_a_swap_has_put_it() {
    let mut place = Place::with_commands(100).await;
    let mut running = place.live::<AccountBalance>().await;
    running.write(&empty_batch(7)).await.expect("it runs");
    place.build::<AccountBalance>(|_| {}).await.unwrap();
    place.swap::<AccountBalance>().await;
    let failure = running.write(&empty_batch(8)).await.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Retry, "{failure}");
    assert!(failure.to_string().contains("an operator has moved"));
    assert!(running.idle().await.is_err());
    // Its next run.
    place.decide(30).await;
    let mut next = place.live::<AccountBalance>().await;
    next.write(&empty_batch(9)).await.expect("it goes on");
    let offset = "SELECT last_sequence FROM projection_offsets";
    assert_eq!(place.number(offset).await, 9);
    let generation = "SELECT generation FROM projection_offsets";
    assert_eq!(place.number(generation).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_keep_their_indexes_and_the_rights_on_them() {
    const SHAPE: &str = "SELECT string_agg(indexdef, E'\n' ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'public'
            AND tablename IN ('account_balance', 'transactions', 'holds')";
    let place = Place::with_commands(30).await;
    let shape = async || -> String {
        let row = sqlx::query(SHAPE).fetch_one(&place.pool).await;
        row.expect("it can be read").get(0)
    };
    let before = shape().await;
    let role = format!("reader_{}", std::process::id());
    place.execute(&format!("CREATE ROLE {role}")).await;
    place
        .execute(&format!("GRANT SELECT ON holds TO {role}"))
        .await;
    place.live::<AccountBalance>().await;
    place.build::<AccountBalance>(|_| {}).await.unwrap();
    place.build::<Transactions>(|_| {}).await.unwrap();
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<AccountBalance>().await;
    place.swap::<Transactions>().await;
    place.swap::<Holds>().await;
    assert_eq!(shape().await, before);
    let rights = format!("SELECT has_table_privilege('{role}', 'holds', 'SELECT')::int::bigint");
    assert_eq!(place.number(&rights).await, 1);
    let rights = format!("SELECT has_table_privilege('{role}', 'holds', 'INSERT')::int::bigint");
    assert_eq!(place.number(&rights).await, 0);
    // What never ran before has nothing to go back to.
    assert!(place.digest::<Holds>(Which::Retired).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_on_the_table_stands_in_the_way_of_a_swap() {
    let place = Place::with_commands(30).await;
    place.live::<Holds>().await;
    place
        .execute("CREATE VIEW open_holds AS SELECT * FROM holds WHERE status = 'open'")
        .await;
    place.build::<Holds>(|_| {}).await.unwrap();
    let begin = || swap::Swap::begin(&place.pool, Definition::of::<Holds>());
    let swap = begin().await.unwrap();
    let refused = swap.take_shadow(&ORDER, false).await.unwrap_err();
    assert!(refused.to_string().contains("open_holds"), "{refused}");
    place.execute("DROP VIEW open_holds").await;
    place.swap::<Holds>().await;
    // What an earlier swap has kept is not thrown away by accident.
    place.build::<Holds>(|_| {}).await.unwrap();
    let swap = begin().await.unwrap();
    let refused = swap.take_shadow(&ORDER, false).await.unwrap_err();
    assert!(refused.to_string().contains("--prune-older"), "{refused}");
}
