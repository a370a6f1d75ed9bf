//! A walk keeps two pages in memory, however many events there are.

use sinks::projection::{Page, Transactions};

use crate::place::Place;

/// More than this process may grow by, and far less than what is walked over.
const GROWTH_MAX_KIB: u64 = 48 * 1024;

/// The physical memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number
        .and_then(|number| number.parse().ok())
        .expect("it is a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_events() {
    const COPIES: i64 = 2_500;
    let place = Place::with_commands(300).await;
    let events = place.multiply(COPIES).await;
    assert!(events > 200_000, "{events}");
    let shadow = place.prepare::<Transactions>().await;
    let mut sink = place.sink_on::<Transactions>(&shadow.pool);
    let page = Page::default();
    let (mut first, mut most, mut walked) = (0, 0, 0);
    let told = |reached: &sinks::projection::shadow::Walked| {
        walked = reached.events;
        let resident = resident_kib();
        // Connections, buffers and the cache of versions are there after a few pages.
        if reached.events <= 20_000 {
            first = resident;
        }
        most = resident.max(most);
    };
    sink.walk(shadow.walked.clone(), page, None, told)
        .await
        .expect("it can be built");
    assert_eq!(walked, events);
    assert_eq!(
        place
            .number("SELECT count(*) FROM public_shadow_transactions.transactions")
            .await,
        i64::try_from(events).expect("it is small")
    );
    assert!(
        most < first + GROWTH_MAX_KIB,
        "it grew from {first} KiB to {most} KiB over {events} events"
    );
}
