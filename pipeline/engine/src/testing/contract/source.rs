//! The contract of a source.
//!
//! | rule | in short |
//! |---|---|
//! | [`delivers_in_order`] | every record once, positions rising, also those that come while it is open |
//! | [`redelivers_what_is_not_settled`] | after a restart it begins behind what is settled, not before and not later |
//! | [`settling_twice_is_harmless`] | the same settlement again changes nothing |
//! | [`bounded_in_flight`] | it hands out so many unsettled records and no more until some are settled |

use std::future::Future;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::timeout;

use crate::component::{Opened, Resume, Source};
use crate::failure::Failure;

/// A source under test and the log that it reads, which outlives it. Each one has a log of its own, empty at first.
pub trait SourceUnderTest {
    /// The source.
    type Source: Source;

    /// Appends `count` records to the log, each different from all others.
    fn append(&self, count: usize) -> impl Future<Output = ()>;

    /// A new source over the same log, as after a restart of the process. The rules open it.
    fn build(&self) -> impl Future<Output = Self::Source>;

    /// What tells the record from all others, and stays the same when it comes again.
    fn identity(&self, item: &<Self::Source as Source>::Item) -> String;

    /// Whether the source remembers what is settled. If not, a sink keeps the offset, and the rules play that sink.
    fn remembers(&self) -> bool {
        true
    }

    /// What a sink that keeps the offset would note with the position of the item.
    fn mark(&self, _item: &<Self::Source as Source>::Item) -> Option<String> {
        None
    }

    /// The most records that it hands out unsettled; `None` if its bound is only the queues behind it.
    fn in_flight_max(&self) -> Option<usize> {
        None
    }

    /// How long to wait for a record that must come. A log that gives records to a new reader only after the old one
    /// has been silent for a while needs more than that while.
    fn patience(&self) -> Duration {
        Duration::from_mins(1)
    }

    /// How long to wait to be sure that no record comes.
    fn quiet(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// Every rule that applies to the source; `new_log` makes a source under test with an empty log.
pub async fn all<U: SourceUnderTest>(new_log: impl AsyncFn() -> U) {
    delivers_in_order(&new_log).await;
    redelivers_what_is_not_settled(&new_log).await;
    settling_twice_is_harmless(&new_log).await;
    if new_log().await.in_flight_max().is_some() {
        bounded_in_flight(&new_log).await;
    }
}

/// Every record comes once, with rising positions, also those that are appended while the source is open.
pub async fn delivers_in_order<U: SourceUnderTest>(new_log: impl AsyncFn() -> U) {
    let log = new_log().await;
    log.append(20).await;
    let mut reader = Reader::open(&log, None).await;
    let mut seen = reader.settle_as_taken(20).await;
    log.append(5).await;
    seen.extend(reader.settle_as_taken(5).await);

    assert!(
        seen.windows(2)
            .all(|pair| pair[0].position < pair[1].position),
        "positions must rise: {seen:?}"
    );
    let mut identities: Vec<_> = seen.iter().map(|record| &record.identity).collect();
    identities.sort();
    identities.dedup();
    assert_eq!(
        identities.len(),
        25,
        "every record must come once: {seen:?}"
    );
}

/// A reader that is dropped with unsettled records is followed by one that begins with the first of them.
pub async fn redelivers_what_is_not_settled<U: SourceUnderTest>(new_log: impl AsyncFn() -> U) {
    let log = new_log().await;
    log.append(10).await;
    let all = Reader::open(&log, None).await.take(10).await;

    let mut reader = Reader::open(&log, None).await;
    assert_eq!(
        reader.take(10).await,
        all,
        "what nobody settled must come again"
    );
    reader.settle(&all[3]).await;
    drop(reader);

    let mut reader = Reader::open(&log, Some(&all[3])).await;
    assert_eq!(
        reader.take(6).await,
        all[4..],
        "a new reader must begin behind the last settled record"
    );
    reader.settle(&all[9]).await;
    drop(reader);

    log.append(1).await;
    let last = Reader::open(&log, Some(&all[9])).await.take(1).await;
    assert!(
        last[0].position > all[9].position,
        "what is settled must not come again: {last:?}"
    );
}

/// The same settlement again, by the same reader or by the next, changes nothing.
pub async fn settling_twice_is_harmless<U: SourceUnderTest>(new_log: impl AsyncFn() -> U) {
    let log = new_log().await;
    log.append(6).await;
    let mut reader = Reader::open(&log, None).await;
    let all = reader.take(6).await;
    reader.settle(&all[1]).await;
    reader.settle(&all[1]).await;
    drop(reader);

    let mut reader = Reader::open(&log, Some(&all[1])).await;
    reader.settle(&all[1]).await;
    assert_eq!(
        reader.take(4).await,
        all[2..],
        "a repeated settlement must neither settle more nor undo anything"
    );
}

/// With nothing settled the source stops at its bound; a settlement lets it go on.
pub async fn bounded_in_flight<U: SourceUnderTest>(new_log: impl AsyncFn() -> U) {
    let log = new_log().await;
    let Some(most) = log.in_flight_max() else {
        panic!("this source has no bound of its own");
    };
    let total = most * 2;
    log.append(total).await;
    let mut reader = Reader::open(&log, None).await;
    let mut seen = reader.take(1).await;
    while let Some(record) = reader.next_within(log.quiet()).await {
        seen.push(record);
        assert!(
            seen.len() <= most,
            "at most {most} records may be out unsettled, got {}",
            seen.len()
        );
    }
    let rest = total - seen.len();
    reader.settle(&seen[seen.len() - 1]).await;
    reader.settle_as_taken(rest).await;
}

/// A record as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    position: u64,
    identity: String,
    mark: Option<String>,
}

/// A source that has been opened, read and settled as the engine would.
struct Reader<'a, U: SourceUnderTest> {
    log: &'a U,
    opened: Opened<<U::Source as Source>::Item>,
}

impl<'a, U: SourceUnderTest> Reader<'a, U> {
    /// Opens a new source; `settled` is the last record that the sink would have applied.
    async fn open(log: &'a U, settled: Option<&Seen>) -> Self {
        let resume = (!log.remembers()).then(|| Resume {
            position: settled.map_or(0, |seen| seen.position),
            mark: settled.and_then(|seen| seen.mark.clone()),
        });
        let opening = log.build().await.open(resume);
        let opened = timeout(log.patience(), opening)
            .await
            .unwrap_or_else(|_| panic!("not open within {:?}", log.patience()));
        Self {
            log,
            opened: must(opened, "open the source"),
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Seen> {
        let mut seen = Vec::with_capacity(count);
        while seen.len() < count {
            let Some(record) = self.next_within(self.log.patience()).await else {
                panic!("record {} of {count} did not come in time", seen.len() + 1);
            };
            seen.push(record);
        }
        seen
    }

    /// Takes `count` records and settles each at once, so that no bound is reached.
    async fn settle_as_taken(&mut self, count: usize) -> Vec<Seen> {
        let mut seen = Vec::with_capacity(count);
        while seen.len() < count {
            let record = self.take(1).await.remove(0);
            self.settle(&record).await;
            seen.push(record);
        }
        seen
    }

    async fn next_within(&mut self, wait: Duration) -> Option<Seen> {
        let next = timeout(wait, self.opened.deliveries.next()).await.ok()?;
        let Some(delivery) = next else {
            panic!("the deliveries of a source must not end while the log is there");
        };
        let delivery = must(delivery, "deliver");
        Some(Seen {
            position: delivery.position,
            identity: self.log.identity(&delivery.item),
            mark: self.log.mark(&delivery.item),
        })
    }

    async fn settle(&mut self, record: &Seen) {
        let settled = self.opened.settler.settle(record.position).await;
        must(settled, "settle");
    }
}

fn must<T>(result: Result<T, Failure>, what: &str) -> T {
    result.unwrap_or_else(|failure| panic!("must be able to {what}: {}", failure.chain()))
}
