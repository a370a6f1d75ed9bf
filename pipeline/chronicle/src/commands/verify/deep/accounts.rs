//! What accounts have in the feed: their first version, their last one, and what is wrong in between.

use std::collections::HashMap;

use async_nats::jetstream::stream::Stream;
use ledger::AccountId;
use store::Head;

use super::page::Read;
use super::violation;
use crate::commands::verify::report::{Invariant, Report};

/// How many missing versions of an account are remembered one by one: as many as two partitions can have out of order, and
/// more. A larger hole is one, whatever comes behind it.
const MISSING_MAX: u64 = 64;

/// What the feed has of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InFeed {
    /// The first version that was seen.
    first: u64,
    /// The highest one.
    pub(super) last: u64,
    /// Versions that were missing when a higher one came and have not come since.
    missing: Vec<u64>,
    /// The first version that was missing in a larger hole, the last one that was, and the sequence of the higher.
    hole: Option<(u64, u64, u64)>,
    /// How many events came behind higher versions: of two partitions that publish for one account, or of a writer that
    /// was held up. The order guard of projections is there for them.
    late: u64,
}

impl InFeed {
    /// With its first message.
    pub(super) fn begun(message: &Read) -> Self {
        Self {
            first: message.version,
            last: message.version,
            missing: Vec::new(),
            hole: None,
            late: 0,
        }
    }

    /// With one more. A version below the first one is late if the feed has had all of its messages until now; else what
    /// comes again may have been dropped where it came first.
    pub(super) fn take(&mut self, message: &Read, is_whole: bool) {
        let version = message.version;
        if version > self.last {
            let (from, through) = (self.last + 1, version - 1);
            let count = version - from;
            if self.missing.len() as u64 + count <= MISSING_MAX {
                self.missing.extend(from..=through);
            } else if self.hole.is_none() {
                self.hole = Some((from, through, message.sequence));
            }
            self.last = version;
            return;
        }
        if let Some(index) = self.missing.iter().position(|one| *one == version) {
            self.missing.remove(index);
            self.late += 1;
        } else if is_whole && version < self.first {
            self.first = version;
            self.late += 1;
        }
        // What has been seen before may come again.
    }
}

/// Says of each account what is wrong between its first and its last version.
pub(super) fn judge(known: &HashMap<AccountId, InFeed>, report: &mut Report) {
    let mut wrong: Vec<(&AccountId, &InFeed)> = known
        .iter()
        .filter(|(_, in_feed)| in_feed.hole.is_some() || !in_feed.missing.is_empty())
        .collect();
    wrong.sort_unstable_by_key(|(account_id, _)| *account_id);
    for (account_id, in_feed) in wrong {
        let small = in_feed.missing.iter().min().copied();
        let (version, words) = match (small, in_feed.hole) {
            (Some(small), hole) if hole.is_none_or(|(from, ..)| small < from) => {
                (small, format!("version {small} is missing"))
            }
            (_, Some((from, through, sequence))) => (
                from,
                format!("versions {from} to {through} are missing before sequence {sequence}"),
            ),
            _ => continue,
        };
        let violation = violation(format!("the feed has a hole: {words}"));
        let version = i64::try_from(version).unwrap_or(i64::MAX);
        report.violated(
            Invariant::Convergence,
            violation.at(account_id.as_str(), version),
        );
    }
    let late: u64 = known.values().map(|in_feed| in_feed.late).sum();
    if late > 0 {
        report.note(
            Invariant::Convergence,
            format!(
                "{late} events stand in the feed behind higher versions of their accounts; readers must go by the version"
            ),
        );
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

    /// The account's newest version was not there when the feed was walked. `newest` is what the feed has of it by now.
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
        if self.looked_up > LOOKED_UP_MAX {
            note(format!(
                "{} accounts have newer events than the walk has met, and were not looked up once more",
                self.looked_up - LOOKED_UP_MAX
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
        let wrong = |versions: &[u64]| {
            let in_feed = after(versions);
            (in_feed.missing, in_feed.hole.is_some(), in_feed.late)
        };
        assert_eq!(wrong(&[1, 2, 3, 2, 3, 4]), (vec![], false, 0));
        assert_eq!(after(&[3, 4, 5]).first, 3);
        assert_eq!(wrong(&[1, 2, 5, 6]), (vec![3, 4], false, 0));
        // Out of order is legal, and repeated out of order, too.
        assert_eq!(wrong(&[1, 3, 2, 2]), (vec![], false, 1));
        assert_eq!(wrong(&[2, 3, 1]), (vec![], false, 1));
        assert_eq!(wrong(&[1, 5, 3, 2]), (vec![4], false, 2));
        assert_eq!(wrong(&[1, 100, 2]), (vec![], true, 0));
    }
}
