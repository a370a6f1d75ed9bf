//! What the engine itself costs per record: reading from a source that has everything at once, gathering batches of
//! different sizes, a queue, an operator that does nothing, another queue, a sink that does nothing, settling. On one
//! thread, so that it is the work that counts and not the waking of threads.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use engine::testing::run_to_end;
use engine::{
    Batch, Batching, Delivery, Failure, NothingToSettle, Opened, Operator, Resume, Sink, Source,
    Step, Topology,
};
use futures::{StreamExt, stream};

/// How many records one run takes from its source.
const RECORDS: u64 = 16_384;

fn main() {
    divan::main();
}

/// By the most records of a batch.
#[divan::bench(args = [1, 8, 64, 512, 2_048], sample_count = 20)]
fn gather(bencher: Bencher, records_max: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime can be made");
    bencher
        .counter(ItemsCount::new(RECORDS))
        .with_inputs(|| topology(records_max))
        .bench_values(|topology| {
            let finished = runtime.block_on(run_to_end(topology));
            assert_eq!(finished.expect("nothing fails").settled, RECORDS);
        });
}

fn topology(records_max: usize) -> Topology {
    let batching = Batching {
        records_max,
        ..Batching::default()
    };
    Topology::named("numbers")
        .source("numbers", Numbers)
        .batching(batching)
        .then("pass", Pass)
        .into("nowhere", Nowhere)
        .build()
}

/// 1, 2, 3 …
struct Numbers;

impl Source for Numbers {
    type Item = u64;

    async fn open(self, _resume: Option<Resume>) -> Result<Opened<u64>, Failure> {
        let delivery = |number| {
            Ok(Delivery {
                position: number,
                origin: None,
                item: number,
            })
        };
        Ok(Opened {
            deliveries: stream::iter((1..=RECORDS).map(delivery)).boxed(),
            settler: Box::new(NothingToSettle),
        })
    }

    fn describe(&self) -> String {
        "numbers".to_owned()
    }
}

struct Pass;

impl Operator for Pass {
    type Input = u64;
    type Output = u64;

    async fn apply(&mut self, batch: Vec<u64>) -> Result<Vec<Step<u64>>, Failure> {
        Ok(batch.into_iter().map(Step::Emit).collect())
    }

    fn describe(&self) -> String {
        "lets everything pass".to_owned()
    }
}

struct Nowhere;

impl Sink for Nowhere {
    type Item = u64;

    async fn write(&mut self, batch: &Batch<u64>) -> Result<(), Failure> {
        black_box(batch);
        Ok(())
    }

    fn describe(&self) -> String {
        "nowhere".to_owned()
    }
}
