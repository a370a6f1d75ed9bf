//! A feed that never rests: what it has lost is found, and what is on its way is not taken for lost.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use engine::{Batch, Delivery, Message, Sink};
use ledger::Event;
use operators::FeedEvent;
use sinks::projection::Transactions;

use crate::place::Place;

/// Longer than between two steps of the comparison while events flow.
const STEP: Duration = Duration::from_secs(11);

const ROWS: &str = "SELECT count(*) FROM transactions";

/// A batch with an event that is applied already, stored at this time.
fn known(event: &Event, position: u64, stored_at: SystemTime) -> Batch<FeedEvent> {
    let message = Message {
        position,
        subject: format!("ledger.events.{}", event.account_id),
        headers: Vec::new(),
        payload: Vec::new().into(),
        stored_at,
    };
    Batch {
        deliveries: vec![Delivery {
            position,
            origin: Some(Arc::new(message)),
            item: FeedEvent::Event(Arc::new(event.clone())),
        }],
        last_position: position,
    }
}

/// The clock of the timers, not that of the machine.
async fn pass(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

#[tokio::test]
async fn what_a_feed_that_never_rests_has_lost_is_found_and_what_is_under_way_is_left_to_it() {
    let mut place = Place::with_commands(50).await;
    let mut sink = place.live::<Transactions>().await;
    let applied = place.number(ROWS).await;
    let events = place.store.events_after(None, 1, u64::MAX).await;
    let event = events.expect("it answers").remove(0);

    // More is committed, and the feed brings none of it.
    place.decide(20).await;
    let began = SystemTime::now();
    for position in 1..=3 {
        pass(STEP).await;
        let batch = known(&event, position, began);
        sink.write(&batch).await.expect("it can be written");
        let rows = place.number(ROWS).await;
        assert_eq!(rows, applied, "the feed has not come so far: {position}");
    }

    // The feed brings what was stored long after: so it never will.
    pass(STEP).await;
    let batch = known(&event, 4, began + Duration::from_mins(1));
    sink.write(&batch).await.expect("it can be written");
    let rows = place.number(ROWS).await;
    assert!(rows >= applied + 20, "{rows} of {applied} and more");
}
