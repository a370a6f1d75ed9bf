//! What a run is at: on stderr, a line that moves when that is a terminal, and one line a phase when it is not.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::task::AbortOnDropHandle;

use super::run::Run;
use crate::output;

const MOVE_EVERY: Duration = Duration::from_millis(200);

/// A phase, until this is dropped.
pub(super) struct Phase {
    bar: ProgressBar,
    _moving: Option<AbortOnDropHandle<()>>,
}

impl Phase {
    /// Says what begins, and shows how far the run has come, if it is one.
    pub(super) fn begin(what: &str, run: Option<&Arc<Run>>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if bar.is_hidden() {
            output::say(format_args!("{what} …"));
            return Self { bar, _moving: None };
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(MOVE_EVERY);
        let moving = run
            .map(|run| AbortOnDropHandle::new(tokio::spawn(follow(bar.clone(), Arc::clone(run)))));
        Self {
            bar,
            _moving: moving,
        }
    }
}

async fn follow(bar: ProgressBar, run: Arc<Run>) {
    loop {
        let outcomes = run.tally().answered();
        bar.set_message(format!("{} sent, {outcomes} outcomes", run.sent()));
        tokio::time::sleep(MOVE_EVERY).await;
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
