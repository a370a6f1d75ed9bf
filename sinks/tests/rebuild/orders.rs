//! What operators can tell a projection that runs.

use engine::{RetryClass, Sink};
use sinks::projection::orders::{Done, Rewind, pause, resume, rewind};
use sinks::projection::{AccountBalance, standings};

use crate::place::{ORDER, Place, empty_batch};

const OFFSET: &str = "SELECT last_sequence FROM projection_offsets";

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_until_it_is_taken_back() {
    let place = Place::with_commands(20).await;
    assert_eq!(
        pause(&place.pool, "account_balance", &ORDER).await.unwrap(),
        Done::Unknown
    );
    let mut running = place.live::<AccountBalance>().await;
    running.write(&empty_batch(3)).await.unwrap();
    let order = || pause(&place.pool, "account_balance", &ORDER);
    assert_eq!(order().await.unwrap(), Done::Changed);
    assert_eq!(order().await.unwrap(), Done::Already);
    for failure in [
        running.write(&empty_batch(4)).await.unwrap_err(),
        running.idle().await.unwrap_err(),
        // A restart keeps it paused, and raises no epoch.
        place
            .sink_on::<AccountBalance>(&place.pool)
            .open()
            .await
            .unwrap_err(),
    ] {
        assert_eq!(failure.class(), RetryClass::Rest, "{failure}");
        assert!(failure.to_string().contains("paused by tester: a test"));
    }
    assert_eq!(place.number(OFFSET).await, 3);
    let standing = standings(&place.pool).await.unwrap().remove(0);
    assert_eq!(
        (standing.epoch, standing.pause.unwrap().by.as_str()),
        (1, "tester")
    );
    let order = || resume(&place.pool, "account_balance", &ORDER);
    assert_eq!(order().await.unwrap(), Done::Changed);
    assert_eq!(order().await.unwrap(), Done::Already);
    // Nobody has taken its place meanwhile.
    running
        .write(&empty_batch(4))
        .await
        .expect("it goes on where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_is_moved_only_from_where_the_plan_says() {
    let place = Place::with_commands(20).await;
    let mut running = place.live::<AccountBalance>().await;
    running.write(&empty_batch(9)).await.unwrap();
    let stream_id = place.stream_id().await;
    let order = async |from, to| {
        let wish = Rewind {
            stream_id: &stream_id,
            from,
            to,
        };
        rewind(&place.pool, "account_balance", &wish, &ORDER)
            .await
            .unwrap()
    };
    assert_eq!(order(8, 2).await, Done::Already);
    assert_eq!(place.number(OFFSET).await, 9);
    assert_eq!(order(9, 2).await, Done::Changed);
    assert_eq!(place.number(OFFSET).await, 2);
    let failure = running.write(&empty_batch(10)).await.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Retry, "{failure}");
    let mut next = place.sink_on::<AccountBalance>(&place.pool);
    let position = next.open().await.unwrap().unwrap().position;
    assert_eq!(position, 2);
    // Another copy's start is no operator's order.
    let mut twin = place.live::<AccountBalance>().await;
    let failure = next.write(&empty_batch(3)).await.unwrap_err();
    assert_eq!(failure.class(), RetryClass::Fatal, "{failure}");
    twin.write(&empty_batch(3)).await.unwrap();
}
