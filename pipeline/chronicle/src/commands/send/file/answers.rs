//! Out of the ledger: answers as they come, and outcomes from the event store where an answer did not come.

use std::time::Duration;

use futures::FutureExt;
use ledger::RejectionCode;
use tokio::time::Instant;

use super::Sending;
use crate::commands::reach;
use crate::commands::rows::plain;
use crate::commands::send::flight::Identity;
use crate::submission::answer::{Answer, Meaning};
use crate::submission::lookup::{Answers, Found};

/// An answer that has not come for so long may have been lost: the event store is asked, so often.
const LOOK_UP_AFTER: Duration = Duration::from_secs(2);
const LOOK_UP_MAX: usize = 5_000;
/// How many rejections are told one by one.
const REJECTIONS_TOLD_MAX: u64 = 20;

impl Sending<'_> {
    /// An answer has come.
    pub(super) fn answered(&mut self, subject: &str, payload: &[u8]) {
        let Some(line) = subject
            .rsplit('.')
            .next()
            .and_then(|token| token.parse().ok())
        else {
            return;
        };
        match Answer::read(payload) {
            Ok(answer) => self.settle(line, answer.meaning()),
            // It stays unanswered, and is looked up.
            Err(error) => self.progress.say(format!(
                "{}:{line}: the ledger's answer cannot be understood: {error}",
                self.name
            )),
        }
    }

    /// A command has its outcome. A second answer (to a message that was sent again) counts for nothing.
    fn settle(&mut self, line: u64, meaning: Meaning<'_>) {
        if !self.flight.done(line) {
            return;
        }
        self.waiting_since = (!self.flight.is_empty()).then(Instant::now);
        self.summary.count(meaning);
        let (kind, code, message) = match meaning {
            Meaning::Accepted => return,
            Meaning::Rejected { code, message } => ("rejected".to_owned(), code, message),
            Meaning::DeadLetter { id, code, message } => {
                (format!("dead letter {}", plain(id)), code, message)
            }
        };
        self.rejections_told += 1;
        if self.rejections_told <= REJECTIONS_TOLD_MAX {
            self.progress.say(format!(
                "{}:{line}: {kind}: {}: {}",
                self.name,
                plain(code),
                plain(message)
            ));
        } else if self.rejections_told == REJECTIONS_TOLD_MAX + 1 {
            self.progress.say("further rejections are only counted");
        }
    }

    /// A command has been waited for long enough.
    pub(super) fn unanswered(&mut self, line: u64) {
        if self.flight.done(line) {
            self.summary.unanswered += 1;
        }
    }

    /// Asks the event store for what waits long, or gives it up where no event store is known.
    pub(super) fn look_up(&mut self, now: Instant) {
        let Some(store) = &self.store else {
            for (line, _) in self.flight.stored_for(self.wait, now, usize::MAX) {
                self.unanswered(line);
            }
            return;
        };
        if !self.look_ups.is_empty() || now.duration_since(self.looked_up_at) < LOOK_UP_AFTER {
            return;
        }
        let asked = self
            .flight
            .stored_for(LOOK_UP_AFTER.min(self.wait), now, LOOK_UP_MAX);
        if asked.is_empty() {
            return;
        }
        let store = store.clone();
        let look_up = async move {
            let ids: Vec<_> = asked
                .iter()
                .map(|(_, identity)| identity.command_id)
                .collect();
            let answers = Answers::of(&store, &ids).await;
            (asked, answers)
        };
        self.look_ups.push(look_up.boxed());
    }

    /// The event store has answered.
    pub(super) fn looked_up(
        &mut self,
        asked: &[(u64, Identity)],
        answers: Result<Answers, store::Error>,
    ) {
        let now = Instant::now();
        self.looked_up_at = now;
        let unknown = self.settle_found(asked, answers);
        let expired = self.flight.stored_for(self.wait, now, usize::MAX);
        for (line, _) in expired {
            if unknown.binary_search(&line).is_ok() {
                self.unanswered(line);
            }
        }
    }

    /// Settles what was found; answers with the lines of the others, in order.
    fn settle_found(
        &mut self,
        asked: &[(u64, Identity)],
        answers: Result<Answers, store::Error>,
    ) -> Vec<u64> {
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                if !self.store_told {
                    self.store_told = true;
                    let failed = reach::event_store_failed(self.servers, &error);
                    self.progress.say(format!(
                        "answers that did not come cannot be looked up: {failed}"
                    ));
                }
                return asked.iter().map(|(line, _)| *line).collect();
            }
        };
        let mut unknown = Vec::new();
        for (line, identity) in asked {
            match answers.find(identity.command_id, identity.fingerprint) {
                Found::Outcome(outcome) => self.settle(*line, Answer::from(&outcome).meaning()),
                Found::AnotherCommand => {
                    let code = RejectionCode::IdempotencyConflict.as_str();
                    let message = format!(
                        "the id {} was used before, for another command",
                        identity.command_id
                    );
                    self.settle(
                        *line,
                        Meaning::DeadLetter {
                            id: "to come",
                            code,
                            message: &message,
                        },
                    );
                }
                Found::Nothing => unknown.push(*line),
            }
        }
        unknown
    }

    /// At the end: what is still on its way is looked up once more, and the rest is unanswered.
    pub(super) async fn look_up_the_rest(&mut self) {
        if let Some(store) = self.store.clone() {
            for asked in self.flight.all().chunks(LOOK_UP_MAX) {
                let ids: Vec<_> = asked
                    .iter()
                    .map(|(_, identity)| identity.command_id)
                    .collect();
                let answers = Answers::of(&store, &ids).await;
                self.settle_found(asked, answers);
            }
        }
        let next_line = (!self.read.ended).then_some(self.read.line + 1);
        self.summary.resume_from_line = self.flight.first_leaving().or(next_line);
        for (line, _) in self.flight.all() {
            self.unanswered(line);
        }
    }
}
