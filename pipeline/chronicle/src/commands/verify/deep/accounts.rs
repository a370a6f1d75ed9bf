//! What accounts have in the feed: their first version, their last one, and what is wrong in between.

use std::collections::HashMap;

use async_nats::jetstream::stream::Stream;
use ledger::AccountId;
use store::Head;

use super::page::Read;
use super::violation;
use crate::commands::verify::report::{Invariant, Report};

/// What the feed has of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InFeed {
    /// The first version that was seen.
    first: u64,
    /// The highest one.
    pub(super) last: u64,
    /// The first version that was missing when a higher one came, the last one that was, and the sequence of the higher.
    hole: Option<(u64, u64, u64)>,
    /// A version below the first one, or of a hole, that came behind higher ones, and its sequence.
    late: Option<(u64, u64)>,
}

impl InFeed {
    /// With its first message.
    pub(super) fn begun(message: &Read) -> Self {
        Self {
            first: message.version,
            last: message.version,
            hole: None,
            late: None,
        }
    }

    /// With one more. A version below the first one is late if the feed has had all of its messages until now; else what
    /// comes again may have been dropped where it came first.
    pub(super) fn take(&mut self, message: &Read, is_whole: bool) {
        let version = message.version;
        if version > self.last {
            if version > self.last + 1 && self.hole.is_none() {
                self.hole = Some((self.last + 1, version - 1, message.sequence));
            }
            self.last = version;
            return;
        }
        // What has been seen before may come again.
        let was_missing = self
            .hole
            .is_some_and(|(from, through, _)| (from..=through).contains(&version));
        if (is_whole && version < self.first || was_missing) && self.late.is_none() {
            self.late = Some((version, message.sequence));
        }
    }
}

/// Says of each account what is wrong between its first and its last version.
pub(super) fn judge(known: &HashMap<AccountId, InFeed>, report: &mut Report) {
    let mut wrong: Vec<(&AccountId, &InFeed)> = known
        .iter()
        .filter(|(_, in_feed)| in_feed.hole.is_some() || in_feed.late.is_some())
        .collect();
    wrong.sort_unstable_by_key(|(account_id, _)| *account_id);
    let signed = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
    for (account_id, in_feed) in wrong {
        let name = account_id.as_str();
        match (in_feed.hole, in_feed.late) {
            (_, Some((version, sequence))) => {
                let violation = violation(format!(
                    "sequence {sequence} comes behind events of higher versions of its account"
                ));
                report.violated(Invariant::Convergence, violation.at(name, signed(version)));
            }
            (Some((from, through, sequence)), None) => {
                let missing = if from == through {
                    format!("version {from} is missing")
                } else {
                    format!("versions {from} to {through} are missing")
                };
                let violation = violation(format!(
                    "the feed has a hole before sequence {sequence}: {missing}"
                ));
                report.violated(Invariant::Convergence, violation.at(name, signed(from)));
            }
            (None, None) => {}
        }
    }
}

/// How many accounts are looked up once more whose newest events were not there when the feed was walked.
const LOOKED_UP_MAX: u64 = 1_000;

/// What the feed lacks at the beginnings and ends of accounts.
#[derive(Debug, Default)]
pub(super) struct Ends {
    looked_up: u64,
    /// How many accounts begin later, and the first of them with the version that it begins with.
    later: u64,
    first_later: Option<(AccountId, u64)>,
    /// How many accounts end earlier, and the first of them with the first version that is missing.
    earlier: u64,
    first_earlier: Option<(AccountId, u64)>,
    /// How many accounts are not there at all, and the first of them.
    absent: u64,
    first_absent: Option<AccountId>,
}

impl Ends {
    /// Whether one more account may be looked up.
    pub(super) fn looks_up(&mut self) -> bool {
        self.looked_up += 1;
        self.looked_up <= LOOKED_UP_MAX
    }

    pub(super) fn begins(&mut self, head: &Head, in_feed: Option<&InFeed>) {
        if let Some(in_feed) = in_feed.filter(|in_feed| in_feed.first > 1) {
            self.later += 1;
            self.first_later
                .get_or_insert_with(|| (head.account_id.clone(), in_feed.first));
        }
    }

    /// The account's newest version was not there; `newest` is what the feed has of it by now.
    pub(super) fn ends(&mut self, head: &Head, in_feed: Option<&InFeed>, newest: Option<&Read>) {
        let last = in_feed.map_or(0, |in_feed| in_feed.last);
        let last = newest.map_or(last, |newest| last.max(newest.version));
        if last >= head.version.get() {
            return;
        }
        if last == 0 {
            self.absent += 1;
            self.first_absent
                .get_or_insert_with(|| head.account_id.clone());
        } else {
            self.earlier += 1;
            self.first_earlier
                .get_or_insert_with(|| (head.account_id.clone(), last + 1));
        }
    }

    /// Less than the event store has is no violation.
    pub(super) fn note(&self, stream: &Stream, report: &mut Report) {
        let mut note = |text: String| report.note(Invariant::Convergence, text);
        let first_sequence = stream.cached_info().state.first_sequence;
        if first_sequence > 1 {
            note(format!("the feed begins at sequence {first_sequence}"));
        }
        if let Some((account_id, version)) = &self.first_later {
            note(format!(
                "the feed lacks the beginnings of {} accounts; that of account {account_id} begins at version {version}",
                self.later
            ));
        }
        if let Some((account_id, version)) = &self.first_earlier {
            note(format!(
                "the feed lacks the newest events of {} accounts; of account {account_id} from version {version} on. \
                 Projections take them from the event store; other readers need `chronicle feed restore --replace`",
                self.earlier
            ));
        }
        if let Some(account_id) = &self.first_absent {
            note(format!(
                "the feed has nothing of {} accounts, e.g. of {account_id}",
                self.absent
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(versions: &[u64]) -> InFeed {
        let read = |(sequence, version): (u64, &u64)| Read {
            sequence,
            account_id: "A".parse().unwrap(),
            version: *version,
            hash: ledger::Hash::ZERO,
        };
        let mut all = (1..).zip(versions).map(read);
        let mut in_feed = InFeed::begun(&all.next().unwrap());
        all.for_each(|message| in_feed.take(&message, true));
        in_feed
    }

    #[test]
    fn repeated_messages_are_legal_and_holes_are_not() {
        let repeated = after(&[1, 2, 3, 2, 3, 4]);
        assert_eq!((repeated.hole, repeated.late), (None, None));
        assert_eq!(after(&[3, 4, 5]).first, 3);
        let holed = after(&[1, 2, 5, 6]);
        assert_eq!((holed.hole, holed.late), (Some((3, 4, 3)), None));
        assert_eq!(after(&[1, 3, 2]).late, Some((2, 3)));
        assert_eq!(after(&[2, 3, 1]).late, Some((1, 3)));
    }
}
