//! The contract of sources: a log in memory keeps it, and each rule catches a source that breaks it.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::testing::contract::source::{self, SourceUnderTest};
use engine::testing::{MemoryLog, MemorySource};
use engine::{Failure, NothingToSettle, Opened, Resume, Source};
use futures::StreamExt;

/// How a source breaks the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lapse {
    /// Loses what was not settled.
    Forgets,
    /// Delivers what is settled again.
    Repeats,
    /// Delivers each record twice.
    Doubles,
}

struct Place {
    log: MemoryLog<u64>,
    next: AtomicU64,
    remembers: bool,
    in_flight_max: Option<usize>,
    lapse: Option<Lapse>,
}

impl Place {
    fn new(remembers: bool, lapse: Option<Lapse>) -> Self {
        Self {
            log: MemoryLog::of([]),
            next: AtomicU64::new(0),
            remembers,
            in_flight_max: None,
            lapse,
        }
    }
}

impl SourceUnderTest for Place {
    type Source = Lapsing;

    async fn append(&self, count: usize) {
        for _ in 0..count {
            self.log.push(self.next.fetch_add(1, Ordering::SeqCst));
        }
    }

    async fn build(&self) -> Lapsing {
        Lapsing {
            source: self.log.source(),
            log: self.log.clone(),
            remembers: self.remembers,
            lapse: self.lapse,
        }
    }

    fn identity(&self, item: &u64) -> String {
        item.to_string()
    }

    fn remembers(&self) -> bool {
        self.remembers
    }

    fn in_flight_max(&self) -> Option<usize> {
        self.in_flight_max
    }
}

struct Lapsing {
    source: MemorySource<u64>,
    log: MemoryLog<u64>,
    remembers: bool,
    lapse: Option<Lapse>,
}

impl Source for Lapsing {
    type Item = u64;

    async fn open(self, resume: Option<Resume>) -> Result<Opened<u64>, Failure> {
        let at = |position| {
            Some(Resume {
                position,
                mark: None,
            })
        };
        let resume = match self.lapse {
            Some(Lapse::Forgets) => at(self.log.delivered()),
            Some(Lapse::Repeats) => at(0),
            _ => resume,
        };
        let mut opened = self.source.open(resume).await?;
        if self.lapse == Some(Lapse::Doubles) {
            let twice = opened.deliveries.flat_map(|delivery| {
                let delivery = delivery.unwrap();
                futures::stream::iter([Ok(delivery.clone()), Ok(delivery)])
            });
            opened.deliveries = twice.boxed();
        }
        if !self.remembers {
            opened.settler = Box::new(NothingToSettle);
        }
        Ok(opened)
    }

    fn describe(&self) -> String {
        "a log with a lapse".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_in_memory_passes() {
    source::all(async || Place::new(true, None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_log_in_memory_whose_sink_keeps_the_offset_passes() {
    source::all(async || Place::new(false, None)).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "what nobody settled must come again")]
async fn a_source_that_forgets_is_caught() {
    source::redelivers_what_is_not_settled(async || {
        let place = Place::new(true, Some(Lapse::Forgets));
        // So that what it wrongly begins with is there.
        place.append(10).await;
        place
    })
    .await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a new reader must begin behind the last settled record")]
async fn a_source_that_repeats_is_caught() {
    source::redelivers_what_is_not_settled(async || Place::new(true, Some(Lapse::Repeats))).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "positions must rise")]
async fn a_source_that_doubles_is_caught() {
    source::delivers_in_order(async || Place::new(true, Some(Lapse::Doubles))).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "at most 8 records may be out unsettled")]
async fn a_source_without_a_bound_is_caught() {
    source::bounded_in_flight(async || Place {
        in_flight_max: Some(8),
        ..Place::new(true, None)
    })
    .await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "record 1 of 1 did not come in time")]
async fn a_source_that_falls_silent_is_caught() {
    source::delivers_in_order(async || Silent).await;
}

struct Silent;

impl SourceUnderTest for Silent {
    type Source = MemorySource<u64>;

    async fn append(&self, _count: usize) {}

    async fn build(&self) -> MemorySource<u64> {
        MemoryLog::of([]).source()
    }

    fn identity(&self, item: &u64) -> String {
        item.to_string()
    }
}
