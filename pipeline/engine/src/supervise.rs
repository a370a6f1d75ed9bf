//! How a pipeline is kept running.
//!
//! Owns the decision what follows a run. A failure that time may heal is followed by a pause and a new run, built
//! anew and for ever; one that needs a person stops the pipeline and is handed to the caller. Keeps nothing of a
//! failed run, and touches no other pipeline.

use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, RetryClass};
use crate::pause::Pause;
use crate::run::Finished;
use crate::status::{PipelineStatus, State};
use crate::topology::Topology;

/// How often a pipeline that was told to rest looks whether it may go on.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A run that has been open for so long counts as well, even if nothing came to be settled.
pub(crate) const WELL_AFTER: Duration = Duration::from_secs(30);

/// Runs the pipeline that `build` makes until its source ends, `shutdown` is cancelled or a failure is fatal.
///
/// After a failure that time may heal it pauses (100 ms, growing to 10 s, with jitter) and builds and runs the
/// pipeline anew. The pauses begin anew once a run has settled something or has been open for 30 s. A shutdown ends a
/// pause at once.
///
/// A run that was told to rest is no failure: the pipeline is `Paused`, and tries once a second whether it may go on.
///
/// `settled` of the answer counts all runs.
///
/// # Errors
///
/// The fatal failure that stopped the pipeline.
pub async fn supervise<F>(
    name: &str,
    build: F,
    status: PipelineStatus,
    shutdown: CancellationToken,
) -> Result<Finished, Failure>
where
    F: Fn() -> Topology,
{
    let settled_before = status.progress().settled_records;
    let finished = |status: &PipelineStatus, abandoned| Finished {
        settled: status.progress().settled_records - settled_before,
        abandoned,
    };
    let mut trouble: Option<Trouble> = None;
    status.set_state(State::Starting);
    loop {
        let failure = match run_once(name, build(), &status, &shutdown, &mut trouble).await {
            Ok(run) => {
                status.set_state(final_state(&run));
                tracing::info!(pipeline = name, abandoned = run.abandoned, "ended");
                return Ok(finished(&status, run.abandoned));
            }
            Err(failure) => failure,
        };
        let reason = failure.chain();
        if failure.class() == RetryClass::Fatal {
            let node = failed_node(&status);
            tracing::error!(
                pipeline = name,
                node,
                "stopped, a person has to act: {reason}"
            );
            let fatal = true;
            status.set_state(State::Stopped { reason, fatal });
            return Err(failure);
        }
        let pause = if failure.class() == RetryClass::Rest {
            trouble = None;
            rest(name, &reason, &status)
        } else {
            let trouble = trouble.get_or_insert_with(Trouble::new);
            trouble.another(name, reason.clone(), &status)
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {
                tracing::warn!(pipeline = name, "ended without running: {reason}");
                let fatal = false;
                status.set_state(State::Stopped { reason, fatal });
                return Ok(finished(&status, true));
            }
            () = sleep(pause) => {}
        }
    }
}

/// One run. Trouble is over as soon as the run proves well, not only when it ends.
async fn run_once(
    name: &str,
    topology: Topology,
    status: &PipelineStatus,
    shutdown: &CancellationToken,
    trouble: &mut Option<Trouble>,
) -> Result<Finished, Failure> {
    let settled_before = status.progress().settled_records;
    let well = proven_well(status);
    let run = topology.run(status.clone(), shutdown.clone());
    tokio::pin!(run, well);
    let ended = tokio::select! {
        biased;
        () = &mut well => None,
        ended = &mut run => Some(ended),
    };
    let proven = ended.is_none() || status.progress().settled_records > settled_before;
    if proven && let Some(over) = trouble.take() {
        tracing::info!(pipeline = name, failed_runs = over.attempt, "well again");
    }
    match ended {
        Some(ended) => ended,
        None => run.await,
    }
}

/// Waits until something is settled, or the pipeline has been open for [`WELL_AFTER`].
async fn proven_well(status: &PipelineStatus) {
    let mut progress = status.watch_progress();
    let mut state = status.watch_state();
    let settled = async { progress.changed().await.is_ok() };
    let open_for_long = async {
        // The state still tells of the last run; what counts is the change that this one makes.
        while state.changed().await.is_ok() && *state.borrow_and_update() != State::Running {}
        sleep(WELL_AFTER).await;
    };
    tokio::select! {
        _ = settled => {}
        () = open_for_long => {}
    }
}

/// The pipeline rests: says so once, and says when to look again.
fn rest(name: &str, reason: &str, status: &PipelineStatus) -> Duration {
    let paused = State::Paused {
        reason: reason.to_owned(),
    };
    if status.state() != paused {
        tracing::info!(pipeline = name, "{reason}");
        status.set_state(paused);
    }
    LOOK_AGAIN_AFTER
}

fn final_state(run: &Finished) -> State {
    if run.abandoned {
        State::Stopped {
            reason: "the drain deadline passed with work in flight; it is delivered again at the next start"
                .to_owned(),
            fatal: false,
        }
    } else {
        State::Drained
    }
}

fn failed_node(status: &PipelineStatus) -> String {
    status
        .last_failure()
        .map_or_else(String::new, |failure| failure.node)
}

/// A row of failed runs.
struct Trouble {
    since: SystemTime,
    attempt: u32,
    reason: String,
    pause: Pause,
}

impl Trouble {
    fn new() -> Self {
        Self {
            since: SystemTime::now(),
            attempt: 0,
            reason: String::new(),
            pause: Pause::new(),
        }
    }

    /// Another run has failed: says so, and says how long to wait.
    fn another(&mut self, name: &str, reason: String, status: &PipelineStatus) -> Duration {
        self.attempt = self.attempt.saturating_add(1);
        let pause = self.pause.next();
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let node = failed_node(status);
        let attempt = self.attempt;
        // An outage of hours is one line when it begins, one for each new reason, and ever fewer reminders.
        if self.reason != reason || attempt.is_power_of_two() {
            tracing::warn!(
                pipeline = name,
                node,
                attempt,
                pause_ms,
                "run failed: {reason}"
            );
        } else {
            tracing::debug!(
                pipeline = name,
                node,
                attempt,
                pause_ms,
                "run failed: {reason}"
            );
        }
        self.reason.clone_from(&reason);
        status.set_state(State::Retrying {
            since: self.since,
            attempt,
            reason,
            next_try: SystemTime::now() + pause,
        });
        pause
    }
}
