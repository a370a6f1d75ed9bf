//! A projection whose definition has changed.

use std::sync::Arc;

use engine::{RetryClass, Sink};
use ledger::Event;
use sinks::projection::digest::Which;
use sinks::projection::{Projection, Renew};
use sqlx::PgConnection;

use crate::place::{Place, empty_batch};

/// How many events each account has; the second definition counts by tens.
#[derive(Debug, Default)]
struct Counted<const DEFINITION: i32>;

impl<const DEFINITION: i32> Projection for Counted<DEFINITION> {
    const NAME: &'static str = "counted";
    const TABLES: &'static [&'static str] = &["counted"];
    const DEFINITION: i32 = DEFINITION;

    async fn apply(
        &self,
        transaction: &mut PgConnection,
        events: &[&Event],
    ) -> Result<(), sqlx::Error> {
        let step = if DEFINITION == 1 { 1_i64 } else { 10 };
        for event in events {
            sqlx::query(
                "INSERT INTO counted AS known (account_id, events) VALUES ($1, $2)
                 ON CONFLICT (account_id) DO UPDATE SET events = known.events + excluded.events",
            )
            .bind(event.account_id.as_str())
            .bind(step)
            .execute(&mut *transaction)
            .await?;
        }
        Ok(())
    }
}

const TABLE: &str = "CREATE TABLE counted (account_id TEXT PRIMARY KEY, events BIGINT NOT NULL)";
const SUM: &str = "SELECT sum(events)::bigint FROM counted";
const DEFINITION: &str = "SELECT definition::bigint FROM projection_offsets";

#[tokio::test(flavor = "multi_thread")]
async fn new_rows_are_built_beside_the_old_ones_and_an_older_program_stops() {
    let place = Arc::new(Place::with_commands(100).await);
    place.execute(TABLE).await;
    let mut old = place.live::<Counted<1>>().await;
    let events = place.number(SUM).await;
    assert!(events > 50);

    // Told to stop, the new program stops, and the old one runs on.
    let failure = place
        .sink_on::<Counted<2>>(&place.pool)
        .open()
        .await
        .unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal);
    assert!(
        failure
            .to_string()
            .contains("chronicle projection rebuild counted"),
        "{failure}"
    );
    old.write(&empty_batch(1)).await.expect("it is not fenced");

    // Told to rebuild, readers have the old rows until the new ones are there.
    let renew: Renew = {
        let place = Arc::clone(&place);
        Arc::new(move || {
            let place = Arc::clone(&place);
            Box::pin(async move {
                place.build::<Counted<2>>(|_| {}).await?;
                assert_eq!(
                    place.number(SUM).await,
                    events,
                    "the old rows are still there"
                );
                place.swap::<Counted<2>>().await;
                Ok(())
            })
        })
    };
    let mut new = place
        .sink_on::<Counted<2>>(&place.pool)
        .renewed_by(Some(renew));
    new.open().await.expect("it has built its rows");
    assert_eq!(place.number(SUM).await, events * 10);
    assert_eq!(place.number(DEFINITION).await, 2);

    // The old program is told to read its offset again, and then that it is too old.
    let failure = old.write(&empty_batch(2)).await.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Retry, "{failure}");
    let failure = place
        .sink_on::<Counted<1>>(&place.pool)
        .open()
        .await
        .unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal);
    assert!(failure.to_string().contains("newer program"), "{failure}");
    new.write(&empty_batch(3)).await.expect("it runs on");

    // Going back to the old rows takes the program that made them.
    let back = async |definition| {
        sinks::projection::swap::roll_back(&place.pool, definition, &crate::place::ORDER).await
    };
    let refused = back(sinks::projection::Definition::of::<Counted<2>>())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("definition 1"), "{refused}");
    back(sinks::projection::Definition::of::<Counted<1>>())
        .await
        .expect("this is the program that made them");
    assert_eq!(place.number(SUM).await, events);
    let mut old = place.sink_on::<Counted<1>>(&place.pool);
    old.open().await.expect("it is the right one again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_an_older_definition_is_begun_anew() {
    let place = Place::with_commands(50).await;
    place.execute(TABLE).await;
    place.live::<Counted<1>>().await;
    let events = place.number(SUM).await;
    place.build::<Counted<1>>(|_| {}).await.unwrap();
    let shadow = place.build::<Counted<2>>(|_| {}).await.unwrap();
    assert!(!shadow.is_resumed);
    let live = place.digest::<Counted<2>>(Which::Live).await;
    assert_ne!(place.digest::<Counted<2>>(Which::Shadow).await, live);
    place.swap::<Counted<2>>().await;
    assert_eq!(place.number(SUM).await, events * 10);
}
