//! How far it has come, on stderr: a bar on a terminal, else a line of JSON now and then.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;

use crate::output;

/// How often a line of JSON is written.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// How often the bar is told: more often than anybody can see costs time.
const BAR_EVERY: Duration = Duration::from_millis(50);

/// Shows how far it has come.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    /// How many units there are, if that is known.
    total: Option<u64>,
    /// What is counted, e.g. `events`.
    what: &'static str,
    begun: Instant,
    next: Instant,
}

/// How far it has come, for programs.
#[derive(Serialize)]
struct Line {
    done: u64,
    percent: Option<f64>,
    per_second: f64,
    eta_seconds: Option<f64>,
}

impl Progress {
    /// For so many units of work. `is_shared`: the data goes to the same terminal, where a bar would tear it.
    pub(super) fn new(total: Option<u64>, what: &'static str, is_shared: bool) -> Self {
        let total = total.filter(|total| *total > 0);
        let is_terminal = io::stderr().is_terminal();
        let bar = (is_terminal && !is_shared).then(|| bar(total));
        let now = Instant::now();
        Self {
            bar,
            total,
            what,
            begun: now,
            next: now + if is_terminal { BAR_EVERY } else { LINE_EVERY },
        }
    }

    /// `done` events have gone into the target, and `units` of the work are done.
    pub(super) fn show(&mut self, done: u64, units: u64) {
        let now = Instant::now();
        if now < self.next {
            return;
        }
        let per_second = done as f64 / now.duration_since(self.begun).as_secs_f64().max(0.001);
        if let Some(bar) = &self.bar {
            self.next = now + BAR_EVERY;
            bar.set_position(units);
            bar.set_message(format!("{done} {}, {per_second:.0} a second", self.what));
            bar.tick();
        } else if !io::stderr().is_terminal() {
            self.next = now + LINE_EVERY;
            let line = self.line(done, units, per_second, now);
            output::say(serde_json::to_string(&line).expect("numbers become JSON"));
        }
    }

    fn line(&self, done: u64, units: u64, per_second: f64, now: Instant) -> Line {
        let elapsed = now.duration_since(self.begun).as_secs_f64();
        let tenths = |value: f64| (value * 10.0).round() / 10.0;
        let share = self.total.map(|total| units as f64 / total as f64);
        Line {
            done,
            percent: share.map(|share| tenths(share * 100.0)),
            per_second: tenths(per_second),
            eta_seconds: share
                .filter(|share| *share > 0.0)
                .map(|share| tenths((elapsed * (1.0 - share) / share).max(0.0))),
        }
    }

    /// Says something without tearing the bar.
    pub(super) fn say(&self, text: impl std::fmt::Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::say(text)),
            None => output::say(text),
        }
    }

    /// Takes it away; answers with how long it took.
    pub(super) fn end(&self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.begun.elapsed()
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    let template = match total {
        Some(_) => "{bar:30} {percent:>3}%  {msg}  {elapsed}, {eta} left",
        None => "{spinner} {msg}  {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
