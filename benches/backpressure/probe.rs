//! A client of the HTTP API: one deposit at a time, four times a second, and what it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use crate::commands::{self, THROUGH_HTTP};
use crate::http;
use crate::phase::Phase;
use crate::verdicts::{Verdict, Verdicts};

const EVERY: Duration = Duration::from_millis(250);

/// What was answered in a phase, and how often.
pub(crate) type Answers = BTreeMap<(Phase, String), u64>;

/// Asks until it is stopped.
pub(crate) struct Probe {
    answers: Arc<Mutex<Answers>>,
    stop: watch::Sender<bool>,
    task: AbortOnDropHandle<()>,
}

impl Probe {
    pub(crate) fn start(
        address: &str,
        phase: watch::Receiver<Phase>,
        verdicts: &Arc<Verdicts>,
    ) -> Self {
        let answers = Arc::default();
        let (stop, stopped) = watch::channel(false);
        let asking = ask(
            address.to_owned(),
            phase,
            Arc::clone(verdicts),
            Arc::clone(&answers),
            stopped,
        );
        Self {
            answers,
            stop,
            task: AbortOnDropHandle::new(tokio::spawn(asking)),
        }
    }

    /// Stops when the last question has its answer; answers with all that was said.
    pub(crate) async fn stop(self) -> anyhow::Result<Answers> {
        self.stop.send_replace(true);
        self.task.await?;
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(answers.clone())
    }
}

async fn ask(
    address: String,
    phase: watch::Receiver<Phase>,
    verdicts: Arc<Verdicts>,
    answers: Arc<Mutex<Answers>>,
    stopped: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in THROUGH_HTTP.. {
        ticks.tick().await;
        if *stopped.borrow() {
            return;
        }
        let document = commands::made(number).document.to_string();
        // Of when it was asked.
        let phase = *phase.borrow();
        let (verdict, text) = match http::post(&address, "/commands", &document).await {
            Ok(answer) => told(answer.status, &answer.body),
            Err(error) => (Verdict::Unknown, format!("no answer: {error}")),
        };
        let is_taken = verdict == Verdict::Taken;
        let noted = format!("HTTP {text}");
        verdicts.note(number, verdict, (!is_taken).then_some(noted.as_str()));
        let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry((phase, text)).or_default() += 1;
    }
}

/// What an answer means (docs/http.md), and its words.
fn told(status: u16, body: &str) -> (Verdict, String) {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let code = body["code"].as_str();
    let text = code.map_or_else(|| status.to_string(), |code| format!("{status} {code}"));
    let verdict = match (status, code) {
        (200..=299, _) => Verdict::Taken,
        (429, Some("too_many_commands")) | (503, Some("nats_unavailable" | "too_busy")) => {
            Verdict::Refused
        }
        _ => Verdict::Unknown,
    };
    (verdict, text)
}
