//! Read models that do not lie in `public`, and what becomes of versions.

use servers::testing;
use sinks::projection::digest::Which;
use sinks::projection::{AccountBalance, Definition, Holds, Transactions, retired, shadow, swap};

use crate::place::{ORDER, Place};

#[tokio::test(flavor = "multi_thread")]
async fn two_ledgers_in_one_database_have_copies_of_their_own() {
    let url = testing::postgres().await.fresh_database("rebuild").await;
    let first = Place::at(url.clone()).await;
    // With a capital, as names are that must be quoted.
    first.execute("CREATE SCHEMA \"Second\"").await;
    let mut second = Place::at(format!("{url}?options[search_path]=%22Second%22")).await;
    let mut first = first;
    first.decide(120).await;
    second.decide(60).await;
    first.live::<Transactions>().await;
    second.live::<Transactions>().await;
    let (one, other) = (
        first.digest::<Transactions>(Which::Live).await,
        second.digest::<Transactions>(Which::Live).await,
    );
    assert_ne!(one, other);
    // Both at a time.
    assert!(
        !first
            .build::<Transactions>(|_| {})
            .await
            .unwrap()
            .is_resumed
    );
    assert!(
        !second
            .build::<Transactions>(|_| {})
            .await
            .unwrap()
            .is_resumed
    );
    assert_eq!(first.digest::<Transactions>(Which::Shadow).await, one);
    assert_eq!(second.digest::<Transactions>(Which::Shadow).await, other);
    first.swap::<Transactions>().await;
    assert_eq!(second.digest::<Transactions>(Which::Shadow).await, other);
    assert_eq!(second.digest::<Transactions>(Which::Retired).await, None);
    second.swap::<Transactions>().await;
    let definition = Definition::of::<Transactions>();
    for (place, rows) in [(&first, one), (&second, other)] {
        swap::roll_back(&place.pool, definition, &ORDER)
            .await
            .unwrap();
        for which in [Which::Live, Which::Retired] {
            assert_eq!(place.digest::<Transactions>(which).await, rows);
        }
    }
    let kept = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('public_retired_transactions', 'Second_retired_transactions')";
    assert_eq!(first.number(kept).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_tables_need_not_be_in_the_first_schema_of_the_search_path() {
    let mut place = Place::with_commands(60).await;
    place.live::<Holds>().await;
    let live = place.digest::<Holds>(Which::Live).await;
    place.execute("CREATE SCHEMA extra").await;
    let url = format!("{}?options[search_path]=extra,public", place.url);
    place.pool = sinks::read_model::connect_lazy(&url, 8).unwrap();
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    assert_eq!(place.digest::<Holds>(Which::Live).await, live);
    let tables =
        "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename = 'holds'";
    assert_eq!(place.number(tables).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_exchanged_where_they_differ_and_no_table_of_them_is_written_anew() {
    const OF: &str =
        "SELECT oid::bigint FROM pg_class WHERE relname = 'projection_versions' AND relnamespace =";
    let place = Place::with_commands(60).await;
    place.live::<AccountBalance>().await;
    place.live::<Holds>().await;
    place.build::<AccountBalance>(|_| {}).await.unwrap();
    place
        .execute(
            "UPDATE projection_versions SET version = version + 7 WHERE account_id = 'ACC-1';
             INSERT INTO projection_versions VALUES ('account_balance', 'ONLY-LIVE', 3), ('holds', 'OTHERS', 5);
             UPDATE public_shadow_account_balance.projection_versions SET version = version + 1 WHERE account_id = 'ACC-2';
             INSERT INTO public_shadow_account_balance.projection_versions VALUES ('account_balance', 'ONLY-COPY', 4)",
        )
        .await;
    let others = "SELECT sum(version)::bigint FROM projection_versions WHERE projection = 'holds'";
    let of_others = place.number(others).await;
    let live = place.digest::<AccountBalance>(Which::Live).await;
    let copy = place.digest::<AccountBalance>(Which::Shadow).await;
    assert_ne!(live, copy);
    let oid = async |schema: &str| {
        let query = format!("{OF} 'public_{schema}_account_balance'::regnamespace");
        place.number(&query).await
    };
    let table = oid("shadow").await;
    place.swap::<AccountBalance>().await;
    assert_eq!(place.digest::<AccountBalance>(Which::Live).await, copy);
    assert_eq!(place.digest::<AccountBalance>(Which::Retired).await, live);
    assert_eq!(oid("retired").await, table);
    let definition = Definition::of::<AccountBalance>();
    swap::roll_back(&place.pool, definition, &ORDER)
        .await
        .unwrap();
    assert_eq!(place.digest::<AccountBalance>(Which::Live).await, live);
    assert_eq!(place.digest::<AccountBalance>(Which::Retired).await, copy);
    assert_eq!(oid("retired").await, table);
    assert_eq!(place.number(others).await, of_others);
}

/// As they were called before: all copies of this place, and what has renamed them is to be done again.
async fn named_the_old_way(place: &Place) {
    place
        .execute(
            "DO $$ DECLARE found RECORD; BEGIN
                FOR found IN SELECT nspname FROM pg_namespace WHERE nspname ~ '^public_(shadow|retired)_' LOOP
                    EXECUTE format('ALTER SCHEMA %I RENAME TO %I', found.nspname, replace(found.nspname, 'public_', ''));
                END LOOP;
             END $$;
             DELETE FROM _sqlx_migrations WHERE version = 10",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_are_named_the_old_way_are_found_after_a_migration() {
    let place = Place::with_commands(60).await;
    place.live::<Holds>().await;
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    place.prepare::<Holds>().await;
    place.live::<Transactions>().await;
    place.prepare::<Transactions>().await;
    named_the_old_way(&place).await;
    // Somebody else's schema, that only looks like a copy; and one whose new name is taken.
    place
        .execute(
            "CREATE SCHEMA retired_transfers; CREATE TABLE retired_transfers.notes (note TEXT);
             CREATE SCHEMA public_shadow_transactions",
        )
        .await;
    assert_eq!(retired::look(&place.pool, "holds").await.unwrap(), None);
    sinks::read_model::migrate(&place.url)
        .await
        .expect("it can be migrated");
    assert!(retired::look(&place.pool, "holds").await.unwrap().is_some());
    assert!(shadow::look(&place.pool, "holds").await.unwrap().is_some());
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('retired_transfers', 'shadow_transactions')";
    assert_eq!(place.number(left).await, 2);
    swap::roll_back(&place.pool, Definition::of::<Holds>(), &ORDER)
        .await
        .expect("it is found");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_ledgers_the_one_whose_feed_a_copy_has_read_gets_it() {
    let url = testing::postgres().await.fresh_database("rebuild").await;
    let first = Place::at(url.clone()).await;
    first.execute("CREATE SCHEMA second").await;
    first.live::<Holds>().await;
    first.prepare::<Holds>().await;
    named_the_old_way(&first).await;
    let second = Place::at(format!("{url}?options[search_path]=second")).await;
    second.live::<Holds>().await;
    second
        .execute("DELETE FROM _sqlx_migrations WHERE version = 10")
        .await;
    for place in [&second, &first] {
        sinks::read_model::migrate(&place.url)
            .await
            .expect("it can be migrated");
    }
    assert!(shadow::look(&second.pool, "holds").await.unwrap().is_none());
    assert!(shadow::look(&first.pool, "holds").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_goes_away_during_a_look_is_none() {
    let place = Place::with_commands(30).await;
    place.live::<Holds>().await;
    // So it is for a look between whose statements a swap commits: the schema was there, and the tables are not.
    place
        .execute("CREATE SCHEMA public_shadow_holds; CREATE SCHEMA public_retired_holds")
        .await;
    assert_eq!(shadow::look(&place.pool, "holds").await.unwrap(), None);
    assert_eq!(retired::look(&place.pool, "holds").await.unwrap(), None);
}
