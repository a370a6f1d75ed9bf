//! `--deep`: every message of the feed against the event store.
//!
//! The feed is walked in pages, and the events of a page are looked up in the event store by account and version, where
//! their hashes are compared. What an account has in the feed is remembered until the end of the walk: its first and its
//! last version, and where the first hole is. Then it is compared with the account's newest version in the event store.
//!
//! A feed that has less than the event store at an account's beginning (retention, a restoration of newer events) or at
//! its end (NATS lost its newest messages, or they are just being published) is noted, with the first account; a version
//! that is missing between two that are there is a violation. Repeated messages are legal.
//!
//! State: one page, and what is remembered of at most about [`ACCOUNTS_AT_A_TIME`] accounts, some 200 bytes each. With
//! more accounts than that the feed is walked several times, each time for another share of them.

mod accounts;
mod page;

use std::collections::HashMap;

use async_nats::jetstream::stream::Stream;
use engine::Failure;
use ledger::AccountId;
use store::EventStore;
use transport::{Nats, restoring, streams, subjects};

use self::accounts::{Ends, InFeed};
use self::page::Page;
use super::report::{FEED, Invariant, Report, Violation};
use crate::commands::replay::feed::Messages;

use self::page::newest_of;

/// About how many accounts are remembered in one walk.
const ACCOUNTS_AT_A_TIME: u64 = 250_000;
/// How many messages are looked up at a time.
const MESSAGES_AT_A_TIME: usize = 1_000;

/// What the comparison rests on.
#[derive(Clone, Copy)]
pub(super) struct Deep<'a> {
    pub(super) nats: &'a Nats,
    pub(super) store: &'a EventStore,
    /// How many accounts the event store has.
    pub(super) accounts: u64,
}

/// One share of the accounts.
#[derive(Debug, Clone, Copy)]
struct Share {
    number: u64,
    of: u64,
}

impl Share {
    /// FNV-1a: the same in every process, and even enough.
    fn has(self, account_id: &str) -> bool {
        if self.of <= 1 {
            return true;
        }
        let hash = account_id
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        (hash >> 16) % self.of == self.number
    }
}

impl Deep<'_> {
    /// Compares all of the feed.
    pub(super) async fn compare(self, report: &mut Report) -> anyhow::Result<()> {
        let Some(stream) = self.feed().await? else {
            nothing(report, format!("there is no feed {}", streams::EVENTS));
            return Ok(());
        };
        if let Some(restoration) = restoring::restoration(&stream) {
            let reason = format!(
                "the feed is being restored ({}), and was not compared; when that is over, verify again",
                restoration.id
            );
            nothing(report, reason);
            return Ok(());
        }
        if stream.cached_info().state.messages == 0 && self.accounts > 0 {
            let reason =
                "the feed has no messages; to make it anew: chronicle feed restore --replace";
            nothing(report, reason.to_owned());
            return Ok(());
        }
        // Findings about a feed that goes away meanwhile are about nothing.
        let mut own = Report::default();
        let of = self.accounts.div_ceil(ACCOUNTS_AT_A_TIME).max(1);
        let mut ends = Ends::default();
        for number in 0..of {
            let share = Share { number, of };
            let walked = Box::pin(self.walk(&stream, share, &mut ends, &mut own)).await;
            if let Err(error) = walked {
                if self.is_still_there(&stream).await? {
                    return Err(error);
                }
                break;
            }
        }
        if !self.is_still_there(&stream).await? {
            let reason = "the feed was made anew, or its restoration was begun, while it was compared; verify again";
            nothing(report, reason.to_owned());
            return Ok(());
        }
        ends.note(&stream, &mut own);
        report.take(own, Invariant::Convergence);
        Ok(())
    }

    async fn feed(self) -> Result<Option<Stream>, Failure> {
        streams::existing(&self.nats.jetstream, streams::EVENTS).await
    }

    async fn is_still_there(self, stream: &Stream) -> Result<bool, Failure> {
        let now = self.feed().await?;
        Ok(now.is_some_and(|now| {
            streams::identity(&now) == streams::identity(stream)
                && restoring::restoration(&now).is_none()
        }))
    }

    /// Walks over the feed, for one share of the accounts.
    async fn walk(
        self,
        stream: &Stream,
        share: Share,
        ends: &mut Ends,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut known: HashMap<AccountId, InFeed> = HashMap::new();
        let Some(now) = self.feed().await? else {
            return Ok(());
        };
        let state = &now.cached_info().state;
        let (first, through) = (state.first_sequence, state.last_sequence);
        let filter = format!("{}.*", subjects::EVENTS);
        let mut messages =
            Messages::open(self.nats, stream.clone(), filter, (first, through), false).await?;
        let mut page = Page {
            messages: Vec::new(),
            is_whole: first <= 1,
        };
        let mut expected = first;
        while let Some(message) = messages.next().await? {
            if message.position > expected && self.dropped_up_to(message.position).await? {
                // The feed drops its oldest messages faster than they are read: it begins here now.
                known.clear();
                page.messages.clear();
                page.is_whole = false;
            }
            expected = message.position + 1;
            page.take(&message, share, report);
            if page.messages.len() >= MESSAGES_AT_A_TIME {
                page.compare(self.store, &mut known, report).await?;
            }
        }
        page.compare(self.store, &mut known, report).await?;
        accounts::judge(&known, report);
        self.compare_ends(share, &known, ends).await
    }

    /// Whether the feed does not have what lies before this sequence any more.
    async fn dropped_up_to(self, sequence: u64) -> Result<bool, Failure> {
        let now = self.feed().await?;
        Ok(now.is_none_or(|now| now.cached_info().state.first_sequence >= sequence))
    }

    /// Compares what accounts have in the feed with what they have in the event store.
    async fn compare_ends(
        self,
        share: Share,
        known: &HashMap<AccountId, InFeed>,
        ends: &mut Ends,
    ) -> anyhow::Result<()> {
        const HEADS_AT_A_TIME: u32 = 1_000;
        let mut after: Option<AccountId> = None;
        loop {
            let heads = self.store.heads(after.as_ref(), HEADS_AT_A_TIME).await?;
            let Some(last) = heads.last() else {
                return Ok(());
            };
            after = Some(last.account_id.clone());
            for head in heads
                .iter()
                .filter(|head| share.has(head.account_id.as_str()))
            {
                let in_feed = known.get(&head.account_id);
                let last = in_feed.map_or(0, |in_feed| in_feed.last);
                ends.begins(head, in_feed);
                if last < head.version.get() {
                    // It may have come while the feed was walked.
                    if !ends.looks_up() {
                        continue;
                    }
                    let newest = newest_of(self.nats, &head.account_id).await?;
                    ends.ends(head, in_feed, newest.as_ref());
                }
            }
        }
    }
}

/// Nothing was compared, and so nothing may be mended.
fn nothing(report: &mut Report, reason: String) {
    report.mend_nothing(reason.clone());
    report.not_checked(Invariant::Convergence, reason);
}

/// A violation of the feed's.
fn violation(message: impl Into<String>) -> Violation {
    Violation::new(message).of(FEED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_account_belongs_to_one_share_and_shares_are_about_even() {
        let of = 4;
        let mut sizes = [0_u32; 4];
        for index in 0..4_000 {
            let name = format!("ACC-{index}");
            let shares: Vec<u64> = (0..of)
                .filter(|number| {
                    Share {
                        number: *number,
                        of,
                    }
                    .has(&name)
                })
                .collect();
            assert_eq!(shares.len(), 1, "{name}");
            sizes[usize::try_from(shares[0]).unwrap()] += 1;
        }
        assert!(
            sizes.iter().all(|size| (800..1_200).contains(size)),
            "{sizes:?}"
        );
        assert!(Share { number: 0, of: 1 }.has("ACC-1"));
    }
}
