//! One run of a pipeline: its tasks, and how they end.
//!
//! Owns the set of tasks. Guarantees that the first failure ends the run, that no task outlives it, and that what was
//! not settled then is abandoned: its source delivers it again to the next run. Also that shutdown is bounded. Does
//! not try again; that is [`supervise`](crate::supervise).

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::batching::Batching;
use crate::component::{Resume, Settler};
use crate::counters::NodeCounters;
use crate::failure::{Failure, RetryClass};
use crate::operate::DeadLetterNode;
use crate::status::{PipelineStatus, State};

/// How long aborted tasks have to let go when the process wants to end. They are aborted at their next await, so
/// only one that computes without a pause needs longer.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// How a run ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Records settled, those skipped or buried included.
    pub settled: u64,
    /// Whether the drain deadline passed with work in flight, which is delivered again at the next start.
    pub abandoned: bool,
}

/// A failure and the node where it happened.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) node: Arc<str>,
    pub(crate) failure: Failure,
}

impl Broken {
    pub(crate) fn at(node: &Arc<str>, failure: Failure) -> Self {
        Self {
            node: Arc::clone(node),
            failure,
        }
    }
}

/// A pipeline whose item types have been forgotten, ready to be started once.
pub(crate) trait Launch: Send {
    /// Opens the dead letters, the sinks and the source and spawns all stages on `line`.
    fn launch(self: Box<Self>, line: &mut Line) -> BoxFuture<'_, Result<(), Broken>>;
}

/// Settles with the settler of the source, until everything is settled.
pub(crate) type Settlement =
    Box<dyn FnOnce(Box<dyn Settler>) -> BoxFuture<'static, Result<(), Failure>> + Send>;

/// The assembly line of one run: what its stages share, and their tasks.
pub(crate) struct Line {
    pub(crate) pipeline: Arc<str>,
    pub(crate) batching: Batching,
    pub(crate) dead_letters: Option<DeadLetterNode>,
    pub(crate) status: PipelineStatus,
    pub(crate) shutdown: CancellationToken,
    /// Where the sink that keeps the offset stands; known once the sinks are open.
    pub(crate) resume: Option<Resume>,
    /// What settles behind the last sink; waits for the source to be open.
    pub(crate) settlement: Option<Settlement>,
    /// Cancelled when the settlement has ended: nothing is in flight any more.
    pub(crate) over: CancellationToken,
    tasks: JoinSet<Result<(), Broken>>,
}

impl Line {
    pub(crate) fn new(
        pipeline: &str,
        batching: Batching,
        dead_letters: Option<DeadLetterNode>,
        status: PipelineStatus,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            pipeline: Arc::from(pipeline),
            batching,
            dead_letters,
            status,
            shutdown,
            resume: None,
            settlement: None,
            over: CancellationToken::new(),
            tasks: JoinSet::new(),
        }
    }

    /// The counters of the node called `name`.
    pub(crate) fn counters(&self, name: &str) -> Arc<NodeCounters> {
        self.status.node(name)
    }

    /// Runs a stage as a task of its own.
    pub(crate) fn spawn<F, E>(&mut self, node: &Arc<str>, stage: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: IntoBroken + Send + 'static,
    {
        let stage = guarded(Arc::clone(&self.pipeline), Arc::clone(node), stage);
        self.tasks.spawn(stage);
    }

    /// Starts the pipeline and stays with it to its end.
    pub(crate) async fn operate(
        mut self,
        launch: Box<dyn Launch>,
        drain_within: Duration,
    ) -> Result<Finished, Failure> {
        let settled_before = self.status.progress().settled_records;
        let shutdown = self.shutdown.clone();
        let launched = tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            launched = launch.launch(&mut self) => Some(launched),
        };
        let ended = match launched {
            // Nothing has been taken from the source yet, so nothing is abandoned.
            None => {
                self.abort().await;
                Ok(false)
            }
            Some(Err(broken)) => Err(broken),
            Some(Ok(())) => {
                self.status.set_state(State::Running);
                self.join(drain_within).await
            }
        };
        match ended {
            Ok(abandoned) => Ok(Finished {
                settled: self.status.progress().settled_records - settled_before,
                abandoned,
            }),
            Err(broken) => {
                // The next run must not meet tasks of this one, however long they take to let go.
                self.tasks.shutdown().await;
                // An order to rest is no failure.
                if broken.failure.class() != RetryClass::Rest {
                    let reason = broken.failure.chain();
                    self.status.set_last_failure(&broken.node, reason);
                }
                Err(broken.failure)
            }
        }
    }

    /// Waits for all tasks, for the first failure, or for the drain deadline; says whether work was abandoned.
    async fn join(&mut self, drain_within: Duration) -> Result<bool, Broken> {
        let shutdown = self.shutdown.clone();
        let deadline = async move {
            shutdown.cancelled().await;
            tokio::time::sleep(drain_within).await;
        };
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                biased;
                joined = self.tasks.join_next() => match joined {
                    None => return Ok(false),
                    Some(joined) => joined.unwrap_or_else(lost)?,
                },
                () = &mut deadline => {
                    self.abort().await;
                    return Ok(true);
                }
            }
        }
    }

    /// Aborts all tasks when the process wants to end, and does not wait for ever.
    async fn abort(&mut self) {
        let _ = timeout(ABORT_GRACE, self.tasks.shutdown()).await;
    }
}

/// A task that ended without an answer. Panics are caught inside of the tasks, so only the runtime can have done it.
fn lost(error: JoinError) -> Result<(), Broken> {
    let failure = Failure::retry("a task was cancelled by the runtime").because(error);
    Err(Broken::at(&Arc::from("(unknown)"), failure))
}

/// What a stage may fail with: a failure of its own node, or one that names another.
pub(crate) trait IntoBroken {
    fn at(self, node: &Arc<str>) -> Broken;
}

impl IntoBroken for Broken {
    fn at(self, _node: &Arc<str>) -> Broken {
        self
    }
}

impl IntoBroken for Failure {
    fn at(self, node: &Arc<str>) -> Broken {
        Broken::at(node, self)
    }
}

/// Runs what belongs to `node`, and makes a failure of a panic.
///
/// A panic is a bug, and a bug may well come again with the same input. Still it is a failure to be retried: it says
/// nothing about the input (a poison message is something that an operator *decides*), what caused it is often a
/// passing state of memory or of a peer, and the run is thrown away with all of its state anyway, so a new run is as
/// sound as a new process. The pause between runs keeps a panic that does come again cheap, and the log names it as
/// the error that it is.
pub(crate) async fn guarded<T, E: IntoBroken>(
    pipeline: Arc<str>,
    node: Arc<str>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Broken> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => done.map_err(|error| error.at(&node)),
        Err(panic) => {
            let message = panic_message(panic.as_ref());
            tracing::error!(%pipeline, %node, "panicked: {message}");
            let failure = Failure::retry(format!(
                "node \"{node}\" of pipeline \"{pipeline}\" panicked, which is a bug: {message}"
            ));
            Err(Broken { node, failure })
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no message)")
}
