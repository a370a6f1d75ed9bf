//! What is refused before a copy is built, and not when it is done.

use sinks::projection::obstacles::foresee;
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
