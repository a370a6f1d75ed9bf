//! What is refused before a copy is built, and not when it is done.

use sinks::projection::obstacles::foresee;
use sinks::projection::swap::Swap;
use sinks::projection::{Definition, Holds, retired};

use crate::place::{ORDER, Place};

async fn refused(place: &Place, prune_older: bool) -> String {
    foresee(&place.pool, Definition::of::<Holds>(), prune_older)
        .await
        .expect_err("something is in the way")
        .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_swap_would_refuse_is_known_before_the_walk() {
    let place = Place::with_commands(30).await;
    let definition = Definition::of::<Holds>();
    foresee(&place.pool, definition, false)
        .await
        .expect("nothing is in the way");
    place.live::<Holds>().await;
    place
        .execute("CREATE VIEW open_holds AS SELECT * FROM holds WHERE status = 'open'")
        .await;
    let said = refused(&place, true).await;
    assert!(said.contains("open_holds"), "{said}");
    place.execute("DROP VIEW open_holds").await;

    place.build::<Holds>(|_| {}).await.unwrap();
    place.swap::<Holds>().await;
    let said = refused(&place, false).await;
    assert!(said.contains("--prune-older"), "{said}");
    foresee(&place.pool, definition, true)
        .await
        .expect("it is to be removed");
    place
        .execute("CREATE VIEW old_holds AS SELECT * FROM public_retired_holds.holds")
        .await;
    let said = refused(&place, true).await;
    assert!(said.contains("old_holds"), "{said}");
    place.execute("DROP VIEW old_holds").await;
    retired::prune(&place.pool, definition, &ORDER)
        .await
        .unwrap();
    foresee(&place.pool, definition, false)
        .await
        .expect("nothing is in the way");
    place.execute("DROP TABLE holds").await;
    let said = refused(&place, false).await;
    assert!(said.contains("chronicle migrate"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_and_a_foreign_key_of_another_table_stand_in_the_way() {
    let place = Place::with_commands(30).await;
    let definition = Definition::of::<Holds>();
    place.live::<Holds>().await;
    place.build::<Holds>(|_| {}).await.unwrap();
    let obstacles = |schema: &'static str, other: &'static str| {
        [
            (
                format!("CREATE PUBLICATION some_holds FOR TABLE {schema}.holds"),
                format!(
                    "publication some_holds (ALTER PUBLICATION some_holds DROP TABLE {other}holds)"
                ),
                "DROP PUBLICATION some_holds",
            ),
            (
                format!(
                    "CREATE TABLE notes (account_id TEXT, hold_id UUID,
                        CONSTRAINT of_hold FOREIGN KEY (account_id, hold_id) REFERENCES {schema}.holds (account_id, hold_id))"
                ),
                "foreign key of_hold of notes (ALTER TABLE notes DROP CONSTRAINT of_hold)".to_owned(),
                "DROP TABLE notes",
            ),
        ]
    };
    for (make, said, undo) in obstacles("public", "") {
        place.execute(&make).await;
        let swap = Swap::begin(&place.pool, definition).await.unwrap();
        let by_swap = swap
            .take_shadow(&ORDER, true)
            .await
            .unwrap_err()
            .to_string();
        for refused in [refused(&place, true).await, by_swap] {
            assert!(refused.contains(&said), "{refused}");
            assert!(refused.contains("bound to the table holds"), "{refused}");
        }
        place.execute(undo).await;
    }
    place.swap::<Holds>().await;
    for (make, said, undo) in obstacles("public_retired_holds", "public_retired_holds.") {
        place.execute(&make).await;
        let pruned = retired::prune(&place.pool, definition, &ORDER).await;
        for refused in [refused(&place, true).await, pruned.unwrap_err().to_string()] {
            assert!(refused.contains(&said), "{refused}");
            assert!(refused.contains("of the earlier model"), "{refused}");
        }
        place.execute(undo).await;
    }
    assert!(
        retired::prune(&place.pool, definition, &ORDER)
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_would_lack_or_lacks_is_known_before_the_walk() {
    let place = Place::with_commands(30).await;
    place.live::<Holds>().await;
    place
        .execute("ALTER TABLE holds ADD CONSTRAINT known FOREIGN KEY (account_id) REFERENCES account_balance NOT VALID")
        .await;
    let said = refused(&place, false).await;
    assert!(
        said.contains("table holds: constraint known (FOREIGN KEY"),
        "{said}"
    );
    place
        .execute("ALTER TABLE holds DROP CONSTRAINT known")
        .await;
    place.prepare::<Holds>().await;
    let definition = Definition::of::<Holds>();
    foresee(&place.pool, definition, false)
        .await
        .expect("nothing is in the way");
    place
        .execute("ALTER TABLE holds ADD COLUMN note TEXT")
        .await;
    let said = refused(&place, false).await;
    assert!(said.contains("column note (text)"), "{said}");
    assert!(said.contains("--discard"), "{said}");
}
