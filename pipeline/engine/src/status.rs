//! What a running pipeline shows of itself: its state, its progress and the counters of its nodes.
//!
//! Owns the one handle through which readiness checks, metrics and the dashboard look at a pipeline. The handle
//! outlives runs: it is made once, and each run of the pipeline writes to it. Reading it never holds the pipeline up.
//! Decides nothing: who reads `Retrying` may call it unready or not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde::{Serialize, Serializer};
use tokio::sync::watch;

use crate::counters::{BatchSizeCounters, BatchSizes, NodeCounters, NodeSnapshot, lock, unix_ms};

/// What a pipeline is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Opening its sinks and its source for the first time.
    Starting,
    /// Open; records flow as they come.
    Running,
    /// A run has failed; the next one begins after a pause, or is opening right now.
    Retrying {
        /// When the trouble began: the first failure since the pipeline was last well.
        #[serde(rename = "since_unix_ms", serialize_with = "as_unix_ms")]
        since: SystemTime,
        /// How many runs have failed since then.
        attempt: u32,
        /// Why the last one failed.
        reason: String,
        /// When the next run begins.
        #[serde(rename = "next_try_unix_ms", serialize_with = "as_unix_ms")]
        next_try: SystemTime,
    },
    /// Told to rest; it goes on by itself when the order is taken back.
    Paused {
        /// Whose order it is, and why.
        reason: String,
    },
    /// At its end, with work undone: what was not settled is delivered again at the next start.
    Stopped {
        /// Why.
        reason: String,
        /// A person has to act before a new start can help.
        fatal: bool,
    },
    /// At its end, and everything that it took from its source is settled.
    Drained,
}

/// The last failure of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastFailure {
    /// The node that failed.
    pub node: String,
    /// The failure with its causes.
    pub reason: String,
    /// When.
    #[serde(rename = "at_unix_ms", serialize_with = "as_unix_ms")]
    pub at: SystemTime,
}

/// How far a pipeline has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Records settled since the process began, over all runs, those skipped or buried included.
    pub settled_records: u64,
    /// The position settled last; `None` before the first.
    pub settled_position: Option<u64>,
    /// How long the last batch took from its first record's arrival to its settlement, in microseconds.
    pub batch_us: u64,
}

/// Everything about a pipeline at about one instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PipelineSnapshot {
    /// The pipeline's name.
    pub pipeline: String,
    /// What it is doing.
    #[serde(flatten)]
    pub state: State,
    /// How many runs have begun.
    pub runs: u64,
    /// How many of them have failed.
    pub failed_runs: u64,
    /// How far it has got.
    #[serde(flatten)]
    pub progress: Progress,
    /// Records taken from the source in this run and not settled yet.
    pub in_flight_records: u64,
    /// How large the batches were that came from the source, over all runs.
    #[serde(skip)]
    pub batch_sizes: BatchSizes,
    /// The last failure, also when it is long over.
    pub last_failure: Option<LastFailure>,
    /// Its nodes, in the order of the topology.
    pub nodes: Vec<NodeSnapshot>,
}

/// The handle of one pipeline's status; clones show the same pipeline.
#[derive(Debug, Clone)]
pub struct PipelineStatus {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pipeline: String,
    state: watch::Sender<State>,
    progress: watch::Sender<Progress>,
    runs: AtomicU64,
    failed_runs: AtomicU64,
    in_flight_records: AtomicU64,
    batch_sizes: BatchSizeCounters,
    last_failure: Mutex<Option<LastFailure>>,
    nodes: Mutex<Vec<(String, Arc<NodeCounters>)>>,
}

impl PipelineStatus {
    /// The status of the pipeline called `pipeline`, which has not begun yet.
    pub fn new(pipeline: impl Into<String>) -> Self {
        Self {
            shared: Arc::new(Shared {
                pipeline: pipeline.into(),
                state: watch::Sender::new(State::Starting),
                progress: watch::Sender::new(Progress::default()),
                runs: AtomicU64::new(0),
                failed_runs: AtomicU64::new(0),
                in_flight_records: AtomicU64::new(0),
                batch_sizes: BatchSizeCounters::default(),
                last_failure: Mutex::new(None),
                nodes: Mutex::new(Vec::new()),
            }),
        }
    }

    /// What the pipeline is doing.
    pub fn state(&self) -> State {
        self.shared.state.borrow().clone()
    }

    /// A receiver that is told of each change of state.
    pub fn watch_state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// How far the pipeline has got.
    pub fn progress(&self) -> Progress {
        *self.shared.progress.borrow()
    }

    /// A receiver that is told of each settled batch.
    pub fn watch_progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// Everything there is to see.
    pub fn snapshot(&self) -> PipelineSnapshot {
        let nodes = lock(&self.shared.nodes);
        PipelineSnapshot {
            pipeline: self.shared.pipeline.clone(),
            state: self.state(),
            runs: self.shared.runs.load(Ordering::Relaxed),
            failed_runs: self.shared.failed_runs.load(Ordering::Relaxed),
            progress: self.progress(),
            in_flight_records: self.shared.in_flight_records.load(Ordering::Relaxed),
            batch_sizes: self.shared.batch_sizes.snapshot(),
            last_failure: lock(&self.shared.last_failure).clone(),
            nodes: nodes
                .iter()
                .map(|(name, counters)| counters.snapshot(name))
                .collect(),
        }
    }

    /// A run with these nodes begins: the nodes keep what they have counted, the gauges start anew.
    pub(crate) fn begin_run<'a>(&self, names: impl Iterator<Item = &'a str>) {
        self.shared.runs.fetch_add(1, Ordering::Relaxed);
        self.shared.in_flight_records.store(0, Ordering::Relaxed);
        for name in names {
            self.node(name).begin_run();
        }
    }

    /// The counters of the node called `name`.
    pub(crate) fn node(&self, name: &str) -> Arc<NodeCounters> {
        let mut nodes = lock(&self.shared.nodes);
        if let Some((_, counters)) = nodes.iter().find(|(known, _)| known == name) {
            return Arc::clone(counters);
        }
        let counters = Arc::new(NodeCounters::default());
        nodes.push((name.to_owned(), Arc::clone(&counters)));
        counters
    }

    pub(crate) fn set_state(&self, state: State) {
        self.shared.state.send_replace(state);
    }

    /// A run has failed at `node`.
    pub(crate) fn set_last_failure(&self, node: &str, reason: String) {
        self.shared.failed_runs.fetch_add(1, Ordering::Relaxed);
        *lock(&self.shared.last_failure) = Some(LastFailure {
            node: node.to_owned(),
            reason,
            at: SystemTime::now(),
        });
    }

    pub(crate) fn last_failure(&self) -> Option<LastFailure> {
        lock(&self.shared.last_failure).clone()
    }

    /// A batch of `records` has been taken from the source.
    pub(crate) fn taken(&self, records: u64) {
        self.shared.batch_sizes.gathered(records);
        self.shared
            .in_flight_records
            .fetch_add(records, Ordering::Relaxed);
    }

    /// `records` more are settled, the last of them at `position`.
    pub(crate) fn settled(&self, records: u64, position: u64, batch_us: u64) {
        self.shared
            .in_flight_records
            .fetch_sub(records, Ordering::Relaxed);
        self.shared.progress.send_modify(|progress| {
            progress.settled_records += records;
            progress.settled_position = Some(position);
            progress.batch_us = batch_us;
        });
    }
}

fn as_unix_ms<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(unix_ms(*time))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;

    use super::{PipelineStatus, State};

    #[test]
    fn a_snapshot_is_flat_json_with_unix_milliseconds() {
        let status = PipelineStatus::new("intake");
        status.begin_run(["commands"].into_iter());
        status.taken(5);
        status.settled(3, 42, 1_700);
        status.set_state(State::Retrying {
            since: UNIX_EPOCH + Duration::from_millis(1_500),
            attempt: 4,
            reason: "no server".to_owned(),
            next_try: UNIX_EPOCH + Duration::from_millis(2_500),
        });
        let expected = json!({
            "pipeline": "intake",
            "state": "retrying",
            "since_unix_ms": 1_500,
            "attempt": 4,
            "reason": "no server",
            "next_try_unix_ms": 2_500,
            "runs": 1,
            "failed_runs": 0,
            "settled_records": 3,
            "settled_position": 42,
            "batch_us": 1_700,
            "in_flight_records": 2,
            "last_failure": null,
            "nodes": [{
                "name": "commands",
                "records_in": 0,
                "records_out": 0,
                "skipped": {},
                "dead_lettered": 0,
                "dead_letter_codes": {},
                "batches": 0,
                "busy_us": 0,
                "blocked_us": 0,
                "queue_batches": 0,
                "queue_batches_max": 0,
                "busy_since_unix_ms": null,
            }],
        });
        assert_eq!(serde_json::to_value(status.snapshot()).unwrap(), expected);
    }

    #[test]
    fn a_new_run_leaves_nothing_in_flight_and_keeps_what_was_settled() {
        let status = PipelineStatus::new("intake");
        status.begin_run(["commands"].into_iter());
        status.taken(5);
        status.settled(3, 42, 1_700);
        status.begin_run(["commands"].into_iter());
        let snapshot = status.snapshot();
        assert_eq!(snapshot.in_flight_records, 0);
        assert_eq!(snapshot.batch_sizes.records, 5);
        assert_eq!(snapshot.progress.settled_records, 3);
        assert_eq!(snapshot.runs, 2);
        assert_eq!(snapshot.nodes.len(), 1);
    }
}
