//! A stage that stands still stops the source at a known bound.

use std::time::Duration;

use engine::testing::{MemoryLog, MemorySource, MemoryTable};
use engine::{Failure, Opened, PipelineStatus, Resume, Settler, Source, Step, Topology};
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::operators::{batches_of, each};

const FOR_EVER: Duration = Duration::from_hours(24);

/// Runs it for an hour, and says how many records are in flight then.
async fn in_flight_after_an_hour(topology: Topology) -> u64 {
    let status = PipelineStatus::new("stuck");
    let run = topology.run(status.clone(), CancellationToken::new());
    let hour = tokio::time::timeout(Duration::from_hours(1), run).await;
    assert!(hour.is_err(), "the run ended by itself");
    status.snapshot().in_flight_records
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_stands_still_stops_the_source() {
    let log = MemoryLog::of(1..=10_000);
    let table = MemoryTable::<u64>::new();
    let topology = Topology::named("stuck")
        .source("log", log.source())
        .batching(batches_of(10))
        .then("copy", each(Step::Emit))
        .into("table", table.sink().slow(FOR_EVER))
        .build();
    let in_flight = in_flight_after_an_hour(topology).await;
    // In hand: one in the sink, one in the operator. Waiting: two in front of each.
    assert_eq!(in_flight, 60);
    assert_eq!(
        log.delivered(),
        60,
        "the source was read ahead of the queues"
    );
}

#[tokio::test(start_paused = true)]
async fn the_bound_of_records_in_flight_is_exact() {
    let log = MemoryLog::of(1..=10_000);
    let table = MemoryTable::<u64>::new();
    let topology = Topology::named("stuck")
        .source("log", NeverSettles(log.source()))
        .batching(batches_of(10))
        .then("copy", each(Step::Emit))
        .into("table", table.sink())
        .build();
    let bound = topology.in_flight_records_max();
    // Operator, sink and settlement: one batch in hand and two waiting each.
    assert_eq!(bound, 90);
    assert_eq!(in_flight_after_an_hour(topology).await, 90);
    assert_eq!(log.delivered(), 90);
}

#[tokio::test(start_paused = true)]
async fn what_arrives_while_a_queue_is_full_makes_larger_batches() {
    let log = MemoryLog::of([]);
    let table = MemoryTable::<u64>::new();
    let topology = Topology::named("adaptive")
        .source("log", log.source())
        .batching(batches_of(1_000))
        .into("table", table.sink().slow(Duration::from_millis(100)))
        .build();
    let trickle = async {
        for number in 0..1_000 {
            log.push(number);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        log.until_settled(1_000).await;
    };
    tokio::select! {
        ended = topology.run(PipelineStatus::new("adaptive"), CancellationToken::new()) => panic!("{ended:?}"),
        () = trickle => {}
    }
    let sizes: Vec<usize> = table.writes().iter().map(Vec::len).collect();
    // One a millisecond with a linger of 2 ms: a few in a batch while the sink keeps up, about as many as arrive
    // during one write when it does not.
    assert!(sizes[0] <= 3, "{sizes:?}");
    assert!(
        sizes.iter().skip(4).take(4).all(|size| *size >= 90),
        "{sizes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_queue_shows_how_full_it_is() {
    let log = MemoryLog::of(1..=100);
    let table = MemoryTable::<u64>::new();
    let topology = Topology::named("stuck")
        .source("log", log.source())
        .batching(batches_of(1))
        .into("table", table.sink().slow(FOR_EVER))
        .build();
    let status = PipelineStatus::new("stuck");
    let run = topology.run(status.clone(), CancellationToken::new());
    assert!(
        tokio::time::timeout(Duration::from_secs(1), run)
            .await
            .is_err()
    );
    let snapshot = status.snapshot();
    assert_eq!(snapshot.nodes[1].queue_batches, 2);
    assert_eq!(snapshot.nodes[1].queue_batches_max, 2);
    assert_eq!(snapshot.nodes[1].records_in, 1);
}

/// A source whose server never answers a settlement.
struct NeverSettles(MemorySource<u64>);

struct Silence;

impl Settler for Silence {
    fn settle(&mut self, _position: u64) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(std::future::pending())
    }
}

impl Source for NeverSettles {
    type Item = u64;

    async fn open(self, resume: Option<Resume>) -> Result<Opened<u64>, Failure> {
        let Opened { deliveries, .. } = self.0.open(resume).await?;
        Ok(Opened {
            deliveries,
            settler: Box::new(Silence),
        })
    }

    fn describe(&self) -> String {
        "a log that forgets to answer".to_owned()
    }
}
