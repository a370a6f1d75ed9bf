//! The contract of sinks: a table in memory keeps it, and each rule catches a sink that breaks it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use engine::testing::contract::sink::{self, SinkUnderTest};
use engine::testing::{MemorySink, MemoryTable};
use engine::{Batch, Failure, Resume, Sink};

/// How a sink breaks the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    /// Writes each batch as often as it comes.
    Appends,
    /// Takes its offset as far as the first batch and forgets to move it.
    ForgetsOffset,
    /// Has an offset and no fence.
    Unfenced,
    /// Gives up for good when its server is slow.
    Impatient,
    /// Says that a batch is written before it is.
    WritesLater,
    /// Has no effect at all.
    Discards,
}

/// A table in memory with perhaps a flaw in what writes it.
struct Place {
    table: MemoryTable<String>,
    appended: Arc<Mutex<Vec<String>>>,
    keeps_offset: bool,
    flaw: Option<Flaw>,
    slow: AtomicBool,
}

impl Place {
    fn new(keeps_offset: bool, flaw: Option<Flaw>) -> Self {
        Self {
            table: MemoryTable::new(),
            appended: Arc::default(),
            keeps_offset,
            flaw,
            slow: AtomicBool::new(false),
        }
    }
}

impl SinkUnderTest for Place {
    type Sink = Flawed;

    async fn build(&self) -> Flawed {
        let mut sink = self.table.sink();
        if self.keeps_offset {
            sink = sink.keeping_offset();
        }
        Flawed {
            sink,
            table: self.table.clone(),
            appended: Arc::clone(&self.appended),
            flaw: self.flaw,
            slow: self.slow.load(Ordering::SeqCst),
            late: None,
        }
    }

    fn items(&self, count: usize) -> Vec<String> {
        (0..count).map(|number| format!("item {number}")).collect()
    }

    async fn effect(&self) -> String {
        let appended = self.appended.lock().unwrap();
        format!("{:?} {appended:?}", self.table.rows())
    }

    async fn slow_down(&self) -> bool {
        self.slow.store(true, Ordering::SeqCst);
        true
    }

    async fn speed_up(&self) {
        self.slow.store(false, Ordering::SeqCst);
    }
}

struct Flawed {
    sink: MemorySink<String>,
    table: MemoryTable<String>,
    appended: Arc<Mutex<Vec<String>>>,
    flaw: Option<Flaw>,
    slow: bool,
    late: Option<Batch<String>>,
}

impl Sink for Flawed {
    type Item = String;

    async fn open(&mut self) -> Result<Option<Resume>, Failure> {
        let resume = self.sink.open().await?;
        Ok(match self.flaw {
            Some(Flaw::ForgetsOffset) => resume.map(|_| Resume {
                position: 0,
                mark: None,
            }),
            _ => resume,
        })
    }

    async fn write(&mut self, batch: &Batch<String>) -> Result<(), Failure> {
        if self.slow && self.flaw == Some(Flaw::Impatient) {
            return Err(Failure::fatal("the server is slow"));
        }
        match self.flaw {
            Some(Flaw::Appends) => {
                self.appended.lock().unwrap().extend(batch.items().cloned());
            }
            Some(Flaw::Unfenced) => {
                // A sink of the moment has the newest fence.
                let mut newest = self.table.sink().keeping_offset();
                newest.open().await?;
                return newest.write(batch).await;
            }
            Some(Flaw::WritesLater) => {
                // The write of this batch happens when the next one comes, if ever.
                let Some(late) = self.late.replace(batch.clone()) else {
                    return Ok(());
                };
                return self.sink.write(&late).await;
            }
            Some(Flaw::Discards) => return Ok(()),
            _ => {}
        }
        self.sink.write(batch).await
    }

    fn describe(&self) -> String {
        "a table with a flaw".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_in_memory_passes() {
    sink::all(async || Place::new(false, None)).await;
}

#[tokio::test(start_paused = true)]
async fn a_table_in_memory_with_an_offset_passes() {
    sink::all(async || Place::new(true, None)).await;
    // `all` leaves it out for sinks without an offset; here it must not.
    sink::fenced_twin(async || Place::new(true, None)).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the same batch twice must have the effect of once")]
async fn a_sink_that_appends_is_caught() {
    sink::duplicate_batch(async || Place::new(false, Some(Flaw::Appends))).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a batch must have an effect")]
async fn a_sink_without_effect_is_caught() {
    sink::duplicate_batch(async || Place::new(false, Some(Flaw::Discards))).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "must stand where its last batch ended")]
async fn a_sink_that_forgets_its_offset_is_caught() {
    sink::crash_after_commit_before_settle(async || Place::new(true, Some(Flaw::ForgetsOffset)))
        .await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a sink must be refused once its twin has taken the fence")]
async fn a_sink_without_a_fence_is_caught() {
    sink::fenced_twin(async || Place::new(true, Some(Flaw::Unfenced))).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a slow peer is nothing that needs a person")]
async fn a_sink_that_gives_up_for_good_is_caught() {
    sink::slow_peer(async || Place::new(false, Some(Flaw::Impatient))).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "shutdown and restart must not change the effect")]
async fn a_sink_that_writes_later_is_caught() {
    // The reference must be whole, so only the place of the second call is flawed.
    let places = AtomicU64::new(0);
    sink::shutdown_with_work_in_flight(async || {
        let flawed = places.fetch_add(1, Ordering::SeqCst) > 0;
        Place::new(false, flawed.then_some(Flaw::WritesLater))
    })
    .await;
}
