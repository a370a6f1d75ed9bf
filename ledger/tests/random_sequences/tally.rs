//! What the sequences have met, so that a case that is never reached is noticed.

use std::collections::BTreeMap;

use ledger::{Action, EventData, RejectionCode};

use crate::{combined, dates, reversals, rules};

/// What the sequences have met.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) commands: u64,
    pub(crate) accepted: BTreeMap<&'static str, u64>,
    pub(crate) rejected: BTreeMap<RejectionCode, u64>,
    pub(crate) sent_again: u64,
    pub(crate) events: BTreeMap<&'static str, u64>,
    /// What is worth to have been met, besides.
    pub(crate) met: BTreeMap<&'static str, u64>,
}

/// Cases on an edge, which [`Tally::met`] counts; see `history.rs`.
pub(crate) const EDGES: [&str; 24] = [
    "a final capture released the rest",
    "a final capture had no rest",
    "a capture of a part",
    "a capture went to another account",
    "a capture overdrew the account",
    "a capture in the hold's last microsecond",
    "a hold was captured, released and expired",
    "a hold expired exactly when it was over",
    "all that was available was held",
    "a hold on an account whose credits are frozen",
    "an account was closed with a sweep",
    "an account was closed empty",
    "a movement on an account with money held",
    "the overdraft limit was set to what is used",
    "a hold of more than 25 digits",
    "the clock was behind",
    "a command was decided just when it might be",
    "a command was decided in its last microsecond",
    "a command expired in that microsecond",
    "a command was a microsecond too early",
    "a capture came in the microsecond when the hold was over",
    "an expiry came a microsecond too early",
    "a capture came after the expiry",
    "an expiry came after the capture",
];

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.sent_again += other.sent_again;
        for (mine, others) in [
            (&mut self.accepted, &other.accepted),
            (&mut self.events, &other.events),
            (&mut self.met, &other.met),
        ] {
            for (name, count) in others {
                *mine.entry(name).or_default() += count;
            }
        }
        for (code, count) in &other.rejected {
            *self.rejected.entry(*code).or_default() += count;
        }
    }

    pub(crate) fn meet(&mut self, edge: &'static str) {
        *self.met.entry(edge).or_default() += 1;
    }

    /// A sequence test that never reaches a case does not test it.
    pub(crate) fn check_nothing_was_missed(&self) {
        let count = |counts: &BTreeMap<&str, u64>, name| counts.get(name).copied().unwrap_or(0);
        for name in Action::TYPE_NAMES {
            let count = count(&self.accepted, name);
            assert!(count > 1_000, "only {count} accepted {name}");
        }
        for name in EventData::TYPE_NAMES {
            let count = count(&self.events, name);
            assert!(count > 1_000, "only {count} of the event {name}");
        }
        // No sequence writes as much.
        let codes = RejectionCode::ALL.into_iter();
        for code in codes.filter(|code| *code != RejectionCode::TooMuchWritten) {
            let count = self.rejected.get(&code).copied().unwrap_or(0);
            assert!(count > 500, "only {count} rejected {code}");
        }
        for edge in EDGES
            .into_iter()
            .chain(reversals::EDGES)
            .chain(dates::EDGES)
            .chain(combined::EDGES)
            .chain(rules::EDGES)
        {
            let count = count(&self.met, edge);
            assert!(count > 20, "only {count} times: {edge}");
        }
        let accepted: u64 = self.accepted.values().sum();
        assert!(accepted * 3 > self.commands, "most commands were refused");
        assert!(self.sent_again > 1_000);
    }
}
