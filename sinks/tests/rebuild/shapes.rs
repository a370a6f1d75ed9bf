//! Migrations between a rebuild and its swap, and between a swap and its rollback.

use sinks::projection::swap::{self, Swap};
use sinks::projection::{Definition, Holds, shadow};

use crate::place::{ORDER, Place};

async fn refused_swap(place: &Place) -> String {
    let swap = Swap::begin(&place.pool, Definition::of::<Holds>()).await;
    let swap = swap.expect("the offset can be locked");
    let refused = swap.take_shadow(&ORDER, true).await;
    refused.expect_err("the shapes differ").to_string()
}

async fn refused_preparation(place: &Place) -> String {
    let definition = Definition::of::<Holds>();
    let stream_id = place.stream_id().await;
    shadow::prepare(&place.pool, definition, &stream_id, 0, &ORDER)
        .await
        .expect_err("the shapes differ")
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_came_after_the_copy_is_noticed_by_its_swap_and_before_it_is_gone_on_with() {
    let place = Place::with_commands(60).await;
    place.live::<Holds>().await;
    place.build::<Holds>(|_| {}).await.unwrap();
    place
        .execute("ALTER TABLE holds ADD COLUMN note VARCHAR(20) NOT NULL DEFAULT 'none'")
        .await;
    let column = "table holds: column note (character varying(20) NOT NULL DEFAULT 'none'::character varying) is in the live \
                  table and not in the copy";
    for refused in [
        refused_swap(&place).await,
        refused_preparation(&place).await,
    ] {
        assert!(refused.contains(column), "{refused}");
        assert!(
            refused.contains("chronicle projection rebuild holds --discard"),
            "{refused}"
        );
    }
    assert!(shadow::discard(&place.pool, "holds", &ORDER).await.unwrap());
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    let notes = "SELECT count(*) FROM holds WHERE note = 'none'";
    assert!(place.number(notes).await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_came_after_the_copy_is_made_when_the_command_is_given_again() {
    let place = Place::with_commands(60).await;
    place.live::<Holds>().await;
    place.build::<Holds>(|_| {}).await.unwrap();
    place
        .execute("CREATE INDEX holds_by_amount ON holds (amount) WHERE remaining > 0")
        .await;
    let refused = refused_swap(&place).await;
    assert!(
        refused.contains("table holds: index holds_by_amount (btree (amount) WHERE"),
        "{refused}"
    );
    assert!(refused.contains("Give the command again"), "{refused}");
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    // One that has gone is no index that is missing.
    place.build::<Holds>(|_| {}).await.unwrap();
    place.execute("DROP INDEX holds_by_amount").await;
    let refused = refused_swap(&place).await;
    assert!(
        refused.contains("is in the copy and not in the live table"),
        "{refused}"
    );
    assert!(refused.contains("--discard"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_over_a_migration_is_refused_until_the_earlier_model_has_it_too() {
    let place = Place::with_commands(60).await;
    place.live::<Holds>().await;
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    for change in [
        "ALTER COLUMN currency SET DEFAULT 'EUR'",
        "ADD CONSTRAINT some_amount CHECK (amount >= 0)",
    ] {
        place.execute(&format!("ALTER TABLE holds {change}")).await;
    }
    let back = || swap::roll_back(&place.pool, Definition::of::<Holds>(), &ORDER);
    let refused = back().await.unwrap_err().to_string();
    for said in [
        "table holds: column currency is text NOT NULL DEFAULT 'EUR'::text in the live table and text NOT NULL in the copy",
        "constraint some_amount (CHECK ((amount >= (0)::numeric))) is in the live table",
        "the schema public_retired_holds",
        "chronicle projection rebuild holds --prune-older",
    ] {
        assert!(refused.contains(said), "{said}\n{refused}");
    }
    for change in [
        "ALTER COLUMN currency SET DEFAULT 'EUR'",
        "ADD CONSTRAINT some_amount CHECK (amount >= 0)",
    ] {
        place
            .execute(&format!("ALTER TABLE public_retired_holds.holds {change}"))
            .await;
    }
    back().await.expect("they are alike");
    back().await.expect("they are alike");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_would_not_have_is_refused_before_anything_is_built() {
    let place = Place::with_commands(30).await;
    place.live::<Holds>().await;
    place
        .execute("ALTER TABLE holds ADD CONSTRAINT known FOREIGN KEY (account_id) REFERENCES account_balance NOT VALID")
        .await;
    let refused = refused_preparation(&place).await;
    assert!(
        refused.contains("constraint known (FOREIGN KEY"),
        "{refused}"
    );
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%shadow%'";
    assert_eq!(place.number(schemas).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_over_a_new_index_is_done_and_tells_how_to_make_it() {
    let place = Place::with_commands(60).await;
    place.live::<Holds>().await;
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    place
        .execute("CREATE INDEX holds_by_amount ON holds (amount) WHERE remaining > 0")
        .await;
    let back = || swap::roll_back(&place.pool, Definition::of::<Holds>(), &ORDER);
    let lacking = back().await.expect("only readers need it").lacking_indexes;
    assert_eq!(lacking.len(), 1, "{lacking:?}");
    assert!(
        lacking[0].starts_with(
            "CREATE INDEX \"holds_by_amount\" ON \"public\".\"holds\" USING btree (amount) WHERE"
        ),
        "{lacking:?}"
    );
    place.execute(&lacking[0]).await;
    assert!(
        back()
            .await
            .expect("they are alike")
            .lacking_indexes
            .is_empty()
    );

    // What is written relies on a unique one.
    place
        .execute("CREATE UNIQUE INDEX holds_once ON holds (hold_id, account_id)")
        .await;
    let refused = back().await.unwrap_err().to_string();
    assert!(
        refused.contains("index holds_once (UNIQUE btree (hold_id, account_id))"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_could_not_be_finished_is_none() {
    let place = Place::with_commands(60).await;
    place.live::<Holds>().await;
    let broken = "CREATE UNIQUE INDEX CONCURRENTLY broken ON holds (currency)";
    let made = sqlx::raw_sql(broken).execute(&place.pool).await;
    made.expect_err("several holds have the same currency");
    let invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";
    assert_eq!(place.number(invalid).await, 1);
    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    swap::roll_back(&place.pool, Definition::of::<Holds>(), &ORDER)
        .await
        .expect("it is no unique index");
}
