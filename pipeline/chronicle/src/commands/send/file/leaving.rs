//! Into the stream: reading lines, publishing them, and publishing again what the stream has not acknowledged.

use std::io;
use std::time::Duration;

use futures::FutureExt;
use ledger::codec::{self, CONTENT_TYPE_JSON};
use tokio::time::Instant;
use transport::streams;

use super::{Sending, Trouble};
use crate::commands::reach;
use crate::commands::send::lines::Line;
use crate::submission::publishing::{self, Outgoing, Unacknowledged};

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Trouble that goes on is told so often.
const TELL_EVERY: Duration = Duration::from_secs(10);

impl Sending<'_> {
    /// Sends a line, unless it is no command.
    pub(super) async fn send(&mut self, line: Line) {
        let number = line.number;
        self.read.bytes = line.end;
        self.read.line = number;
        self.summary.commands += 1;
        let text = match line.text {
            Ok(text) => text,
            Err(reason) => return self.malformed(number, &reason),
        };
        match codec::decode_command(Some(CONTENT_TYPE_JSON), &text) {
            Ok(command) => {
                let message =
                    Outgoing::command(&command, text, &format!("{}.{number}", self.inbox));
                self.flight
                    .leave(number, (&command).into(), message.clone());
                self.publish(number, message).await;
            }
            Err(malformed) => self.malformed(number, &malformed.message),
        }
    }

    fn malformed(&mut self, number: u64, reason: &str) {
        self.summary.malformed += 1;
        self.progress
            .say(format!("{}:{number}: {reason}", self.name));
    }

    pub(super) fn unreadable(&mut self, error: &io::Error) {
        self.progress.say(format!(
            "{}:{}: cannot be read further: {error}",
            self.name,
            self.read.line + 1
        ));
        self.read.ended = true;
        self.read.failed = true;
    }

    async fn publish(&mut self, line: u64, message: Outgoing) {
        let acknowledgement = publishing::begin(&self.nats, message).await;
        self.acknowledgements.push(
            acknowledgement
                .map(move |result| (line, result.map(|_| ())))
                .boxed(),
        );
    }

    /// The stream has a message, or not.
    pub(super) fn acknowledged(&mut self, line: u64, result: Result<(), Unacknowledged>) {
        let now = Instant::now();
        match result {
            Ok(()) => {
                self.trouble = Trouble {
                    told_at: self.trouble.told_at,
                    ..Trouble::default()
                };
                // The answer may have overtaken the acknowledgement.
                let waits = self.flight.stored(line, now);
                if waits && self.wait.is_zero() {
                    self.unanswered(line);
                } else if waits {
                    self.waiting_since.get_or_insert(now);
                }
            }
            Err(error) => {
                self.flight.not_stored(line);
                self.troubled(error, now);
            }
        }
    }

    fn troubled(&mut self, error: Unacknowledged, now: Instant) {
        if self
            .trouble
            .told_at
            .is_none_or(|told_at| now.duration_since(told_at) >= TELL_EVERY)
        {
            self.trouble.told_at = Some(now);
            self.progress
                .say(format!("{}: {error}; trying again", streams::COMMANDS));
        }
        self.trouble.since.get_or_insert(now);
        self.trouble.what = Some(error);
        if self.acknowledgements.is_empty() {
            self.trouble.pause = (self.trouble.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
            self.trouble.resend_at = Some(now + self.trouble.pause);
        }
    }

    /// Publishes again what was not acknowledged, in the file's order.
    pub(super) async fn resend(&mut self) {
        for (line, message) in self.flight.take_unsent() {
            self.publish(line, message).await;
        }
    }

    /// Whether there is still trouble, and whether to give up because of it.
    pub(super) fn look_after_trouble(&mut self, now: Instant, give_up: bool) {
        if !self.nats.is_connected() {
            self.trouble.since.get_or_insert(now);
            self.trouble.what.get_or_insert_with(|| {
                Unacknowledged::Unknown("the connection is away".to_owned())
            });
        } else if self.acknowledgements.is_empty() && !self.flight.has_unsent() {
            self.trouble = Trouble {
                told_at: self.trouble.told_at,
                ..Trouble::default()
            };
        }
        if give_up && let Some(what) = &self.trouble.what {
            self.stop(reach::nats_says(self.servers, what).to_string());
        }
    }
}
