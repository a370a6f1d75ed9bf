//! How far a rebuild, or a restoration of the feed, has come: a bar on a terminal, JSON lines on a stderr that is none, the log within a pipeline.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;

use crate::output;

/// How often a line is written.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// How often it is logged.
const LOG_EVERY: Duration = Duration::from_secs(10);

enum Shown {
    Bar(ProgressBar),
    Lines,
    Log,
}

/// What is shown of one piece of work.
pub(crate) struct Progress {
    /// The projection, or `feed`.
    of: &'static str,
    shown: Shown,
    stage: &'static str,
    total: Option<u64>,
    /// Where this stage was begun, now or by a run before.
    from: u64,
    done: u64,
    began: Instant,
    told: Option<Instant>,
}

/// One line for programs.
#[derive(Serialize)]
struct Line {
    /// The projection, or `feed`.
    of: &'static str,
    stage: &'static str,
    done: u64,
    total: Option<u64>,
    percent: Option<f64>,
    /// Events a second, in this stage of this run.
    rate: f64,
    eta_seconds: Option<f64>,
}

impl Progress {
    /// For whoever sits at a terminal, or for a program that reads stderr.
    pub(crate) fn shown(of: &'static str) -> Self {
        let shown = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            Shown::Bar(bar)
        } else {
            Shown::Lines
        };
        Self::new(of, shown)
    }

    /// For the log of a pipeline.
    pub(crate) fn logged(of: &'static str) -> Self {
        Self::new(of, Shown::Log)
    }

    fn new(of: &'static str, shown: Shown) -> Self {
        Self {
            of,
            shown,
            stage: "start",
            total: None,
            from: 0,
            done: 0,
            began: Instant::now(),
            told: None,
        }
    }

    /// The next stage begins, or the same with another end.
    pub(crate) fn stage(&mut self, stage: &'static str, total: Option<u64>, from: u64) {
        let is_new = self.stage != stage;
        self.total = total;
        if is_new {
            (self.stage, self.from, self.began, self.told) = (stage, from, Instant::now(), None);
        }
        if let Shown::Bar(bar) = &self.shown {
            let template = match total {
                Some(_) => "{prefix} {bar:30} {percent:>3}%  {msg}",
                None => "{prefix} {spinner} {msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            match total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
            bar.set_prefix(format!("{} {stage}", self.of));
        }
        self.reached(from);
    }

    /// So much of the stage is done.
    pub(crate) fn reached(&mut self, done: u64) {
        self.done = done;
        let line = self.line();
        let is_due = |every: Duration| self.told.is_none_or(|told| told.elapsed() >= every);
        match &self.shown {
            Shown::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(words(&line));
                bar.tick();
            }
            Shown::Lines if is_due(LINE_EVERY) => {
                self.told = Some(Instant::now());
                if let Ok(text) = serde_json::to_string(&line) {
                    output::say(text);
                }
            }
            Shown::Log if is_due(LOG_EVERY) => {
                self.told = Some(Instant::now());
                tracing::info!(projection = self.of, stage = self.stage, "{}", words(&line));
            }
            Shown::Lines | Shown::Log => {}
        }
    }

    /// Something worth knowing.
    pub(crate) fn say(&self, text: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| output::say(text)),
            Shown::Lines => output::say(text),
            Shown::Log => tracing::warn!(projection = self.of, "{text}"),
        }
    }

    /// Takes it away.
    pub(crate) fn end(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    fn line(&self) -> Line {
        let (done, took) = (self.done, self.began.elapsed().as_secs_f64());
        let rate = done.saturating_sub(self.from) as f64 / took.max(0.001);
        let percent = self.total.filter(|total| *total > 0).map(|total| {
            // More may have come than was counted.
            (done as f64 * 1_000.0 / total as f64).round().min(1_000.0) / 10.0
        });
        let eta_seconds = self
            .total
            .filter(|_| rate > 0.0)
            .map(|total| (total.saturating_sub(done) as f64 / rate).round());
        Line {
            of: self.of,
            stage: self.stage,
            done,
            total: self.total,
            percent,
            rate: rate.round(),
            eta_seconds,
        }
    }
}

fn words(line: &Line) -> String {
    let done = match line.total {
        Some(total) => format!("{} of {total}", line.done),
        None => line.done.to_string(),
    };
    let rate = (line.rate > 0.0).then(|| format!("{:.0} a second", line.rate));
    let to_go = line.eta_seconds.filter(|seconds| *seconds > 0.0);
    let to_go = to_go.map(|seconds| format!("{seconds:.0} s to go"));
    let words: Vec<String> = [Some(done), rate, to_go].into_iter().flatten().collect();
    words.join(", ")
}
