//! What has become of the commands of a run so far: counts, and latencies in HDR histograms.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::tickets::Ticket;

/// Latencies are kept from a microsecond to an hour, to three digits.
const LATENCY_MAX_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// An empty histogram of microseconds.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, DIGITS).expect("these bounds are allowed")
}

/// What a command was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered<'a> {
    Accepted,
    /// With the code.
    Refused(&'a str),
}

/// The counts.
pub(super) struct Tally {
    pub(super) latencies: Histogram<u64>,
    pub(super) accepted: u64,
    pub(super) refusals: BTreeMap<String, u64>,
    /// How many answers were lost on the way, and were looked up in the event store.
    pub(super) looked_up: u64,
    /// When the last outcome was known.
    pub(super) last_at: u64,
    /// A bit for each command that has its answer.
    answered: Vec<u64>,
    answered_total: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            latencies: histogram(),
            accepted: 0,
            refusals: BTreeMap::new(),
            looked_up: 0,
            last_at: 0,
            answered: Vec::new(),
            answered_total: 0,
        }
    }

    /// Counts an answer; false when the command had one before.
    pub(super) fn add(&mut self, ticket: Ticket, answered: Answered<'_>, now: u64) -> bool {
        if !self.mark(ticket.number) {
            return false;
        }
        self.latencies
            .saturating_record(now.saturating_sub(ticket.at).max(1));
        self.last_at = self.last_at.max(now);
        match answered {
            Answered::Accepted => self.accepted += 1,
            Answered::Refused(code) => match self.refusals.get_mut(code) {
                Some(count) => *count += 1,
                None => drop(self.refusals.insert(code.to_owned(), 1)),
            },
        }
        true
    }

    /// How many commands have an answer.
    pub(super) fn answered(&self) -> u64 {
        self.answered_total
    }

    pub(super) fn refused(&self) -> u64 {
        self.refusals.values().sum()
    }

    /// The first `limit` of the first `count` commands that have no answer.
    pub(super) fn missing(&self, count: u64, limit: usize) -> Vec<u64> {
        let is_missing = |number: &u64| {
            let (word, bit) = place(*number);
            self.answered.get(word).is_none_or(|word| word & bit == 0)
        };
        (0..count).filter(is_missing).take(limit).collect()
    }

    fn mark(&mut self, number: u64) -> bool {
        let (word, bit) = place(number);
        if self.answered.len() <= word {
            self.answered.resize(word + 1, 0);
        }
        let is_new = self.answered[word] & bit == 0;
        self.answered[word] |= bit;
        self.answered_total += u64::from(is_new);
        is_new
    }
}

fn place(number: u64) -> (usize, u64) {
    let word = usize::try_from(number / 64).expect("a run has fewer commands than memory has bits");
    (word, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_counts_once_and_those_without_an_answer_are_known() {
        let mut tally = Tally::new();
        let ticket = |number| Ticket { number, at: 10 };
        assert!(tally.add(ticket(0), Answered::Accepted, 1_010));
        assert!(tally.add(ticket(130), Answered::Refused("no"), 2_010));
        assert!(!tally.add(ticket(130), Answered::Accepted, 9_010));
        assert_eq!(
            (tally.accepted, tally.refused(), tally.answered()),
            (1, 1, 2)
        );
        assert_eq!((tally.latencies.len(), tally.last_at), (2, 2_010));
        assert_eq!(tally.missing(131, 1_000).len(), 129);
        assert_eq!(tally.missing(131, 2), [1, 2]);
        assert_eq!(tally.missing(1, 2), Vec::<u64>::new());
    }

    #[test]
    fn a_latency_beyond_the_largest_is_kept_as_the_largest() {
        let mut tally = Tally::new();
        let ticket = Ticket { number: 0, at: 0 };
        tally.add(ticket, Answered::Accepted, u64::MAX);
        assert!(tally.latencies.max() >= LATENCY_MAX_US);
    }
}
