//! What became of a file of commands, in numbers.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use crate::exit;
use crate::output::{self, Format};
use crate::submission::answer::Meaning;

/// The numbers. `commands` is the sum of all the others that count commands.
#[derive(Debug, Default, Clone, PartialEq, Serialize)]
pub(super) struct Summary {
    /// Lines that were not blank, as far as the file was read.
    pub(super) commands: u64,
    /// What the ledger did, now or when it first saw the command.
    pub(super) accepted: u64,
    /// What the ledger refused, by code.
    pub(super) rejected: BTreeMap<String, u64>,
    /// What became a dead letter, by code.
    pub(super) dead_letters: BTreeMap<String, u64>,
    /// Lines that are no commands and were not sent.
    pub(super) malformed: u64,
    /// What was sent, or may have been, and has no outcome yet.
    pub(super) unanswered: u64,
    /// How long it took.
    pub(super) seconds: f64,
    /// How many commands got their answer in a second.
    pub(super) commands_per_second: f64,
    /// The first line that was not sent, or may not have been; missing when the whole file was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resume_from_line: Option<u64>,
}

impl Summary {
    /// Counts an answer.
    pub(super) fn count(&mut self, meaning: Meaning<'_>) {
        match meaning {
            Meaning::Accepted => self.accepted += 1,
            Meaning::Rejected { code, .. } => {
                *self.rejected.entry(code.to_owned()).or_default() += 1;
            }
            Meaning::DeadLetter { code, .. } => {
                *self.dead_letters.entry(code.to_owned()).or_default() += 1;
            }
        }
    }

    /// How many commands have an answer.
    pub(super) fn answered(&self) -> u64 {
        self.accepted
            + self
                .rejected
                .values()
                .chain(self.dead_letters.values())
                .sum::<u64>()
    }

    /// The end: rates are known now.
    pub(super) fn finish(&mut self, elapsed: Duration) {
        let thousandths = |value: f64| (value * 1_000.0).round() / 1_000.0;
        let seconds = elapsed.as_secs_f64();
        self.seconds = thousandths(seconds);
        self.commands_per_second = if seconds > 0.0 {
            thousandths(self.answered() as f64 / seconds)
        } else {
            0.0
        };
    }

    /// 0 when every command was accepted, 3 when some have no outcome, else 1.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.unanswered > 0 || self.resume_from_line.is_some() {
            ExitCode::from(exit::SERVER)
        } else if self.accepted < self.commands {
            ExitCode::from(exit::NO)
        } else {
            ExitCode::SUCCESS
        }
    }

    /// Prints it.
    pub(super) fn print(&self, output: Format) -> anyhow::Result<()> {
        if output == Format::Json {
            return output::json(self);
        }
        let mut table = output::table(&["outcome", "commands"], &["commands"]);
        table.add_row(["accepted".to_owned(), self.accepted.to_string()]);
        let by_code = |kind: &str, counts: &BTreeMap<String, u64>| {
            counts
                .iter()
                .map(|(code, count)| [format!("{kind}: {code}"), count.to_string()])
                .collect::<Vec<_>>()
        };
        table.add_rows(by_code("rejected", &self.rejected));
        table.add_rows(by_code("dead letter", &self.dead_letters));
        for (name, count) in [
            ("malformed", self.malformed),
            ("unanswered", self.unanswered),
        ] {
            if count > 0 {
                table.add_row([name.to_owned(), count.to_string()]);
            }
        }
        table.add_row(["all".to_owned(), self.commands.to_string()]);
        output::line(table)?;
        output::line(format!(
            "{:.2} s, {:.0} commands a second",
            self.seconds, self.commands_per_second
        ))
    }
}
