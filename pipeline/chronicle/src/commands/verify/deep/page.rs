//! One page of the feed: what its messages say, and whether the event store says the same.

use std::collections::{HashMap, HashSet};

use engine::{Failure, Message};
use ledger::{AccountId, Hash};
use operators::{NoEvent, event_in};
use store::EventStore;
use transport::stored::StoredMessages;
use transport::{Nats, streams, subjects};

use super::accounts::InFeed;
use super::{Share, violation};
use crate::commands::verify::report::{Invariant, Report};

/// What a message of the feed says.
#[derive(Debug, Clone)]
pub(in crate::commands::verify) struct Read {
    pub(in crate::commands::verify) sequence: u64,
    pub(in crate::commands::verify) account_id: AccountId,
    pub(in crate::commands::verify) version: u64,
    pub(in crate::commands::verify) hash: Hash,
}

impl Read {
    /// As a row of the event store names it.
    pub(in crate::commands::verify) fn place(&self) -> (&str, i64) {
        let version = i64::try_from(self.version).unwrap_or(i64::MAX);
        (self.account_id.as_str(), version)
    }
}

/// Messages that were read and not compared yet.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) messages: Vec<Read>,
    /// Whether the feed has dropped nothing yet.
    pub(super) is_whole: bool,
}

/// Why a message cannot be compared.
pub(in crate::commands::verify) enum Unread {
    /// It is an event, for a newer program.
    TooNew(String),
    /// It is no event of its account.
    Wrong(String),
}

/// Reads a message, or says why not.
pub(in crate::commands::verify) fn read(message: &Message) -> Result<Read, Unread> {
    let event = event_in(message).map_err(|reason| match reason {
        NoEvent::TooNew(reason) => Unread::TooNew(reason),
        other => Unread::Wrong(other.to_string()),
    })?;
    let expected = subjects::event(&event.account_id);
    if message.subject != expected {
        return Err(Unread::Wrong(format!(
            "an event of account {} stands under {}",
            event.account_id, message.subject
        )));
    }
    Ok(Read {
        sequence: message.position,
        account_id: event.account_id,
        version: event.version.get(),
        hash: event.hash,
    })
}

/// The newest message that the feed has of an account; `None` when it has none, or one that cannot be read.
pub(in crate::commands::verify) async fn newest_of(
    nats: &Nats,
    account_id: &AccountId,
) -> Result<Option<Read>, Failure> {
    let filter = format!("{}.*", subjects::EVENTS);
    let stored = StoredMessages::new(nats.jetstream.clone(), streams::EVENTS, &filter, 1);
    let found = stored.last_of(&subjects::event(account_id)).await?;
    Ok(found.and_then(|found| read(&found.message).ok()))
}

impl Page {
    /// Takes a message of the share.
    pub(super) fn take(&mut self, message: &Message, share: Share, report: &mut Report) {
        let named = subjects::account_of(&message.subject);
        if !share.has(named) {
            return;
        }
        match read(message) {
            Ok(read) => self.messages.push(read),
            Err(Unread::TooNew(reason)) => {
                let reason = format!("sequence {} was not compared: {reason}", message.position);
                report.mend_nothing(reason.clone());
                if report.is_checked(Invariant::Convergence) {
                    report.not_checked(Invariant::Convergence, reason);
                }
            }
            Err(Unread::Wrong(reason)) => {
                let violation = violation(format!(
                    "sequence {} is no event that can be compared: {reason}",
                    message.position
                ));
                report.violated(Invariant::Convergence, violation.account(named));
                report.checked(Invariant::Convergence, "feed messages", 1);
            }
        }
    }

    /// Looks the messages up in the event store, and remembers what accounts have.
    pub(super) async fn compare(
        &mut self,
        store: &EventStore,
        known: &mut HashMap<AccountId, InFeed>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let messages = std::mem::take(&mut self.messages);
        let mut places: Vec<(&str, i64)> = messages.iter().map(Read::place).collect();
        places.sort_unstable();
        places.dedup();
        if places.is_empty() {
            return Ok(());
        }
        let found = store.hashes(&places).await?;
        let hashes: HashMap<(&str, i64), &[u8]> = found
            .iter()
            .map(|(account_id, version, hash)| ((account_id.as_str(), *version), hash.as_slice()))
            .collect();
        let mut lost: HashSet<u64> = HashSet::new();
        for message in &messages {
            let stored = hashes.get(&message.place()).copied();
            if stored.is_none() {
                lost.insert(message.sequence);
            }
            check(message, stored, report);
        }
        report.checked(
            Invariant::Convergence,
            "feed messages",
            messages.len() as u64,
        );
        // What the event store does not have was reported, and is not remembered: there may be any number of such accounts.
        for message in messages
            .into_iter()
            .filter(|one| !lost.contains(&one.sequence))
        {
            if let Some(in_feed) = known.get_mut(&message.account_id) {
                in_feed.take(&message, self.is_whole);
            } else {
                let in_feed = InFeed::begun(&message);
                known.insert(message.account_id, in_feed);
            }
        }
        Ok(())
    }
}

/// Compares a message with the row of the event store that has its place.
pub(in crate::commands::verify) fn check(
    message: &Read,
    stored: Option<&[u8]>,
    report: &mut Report,
) {
    let (account_id, version) = message.place();
    let sequence = message.sequence;
    let Some(stored) = stored else {
        report.mend_nothing(format!(
            "the feed has version {version} of account {account_id}, and the event store does not: the event store has lost \
             events"
        ));
        let violation = violation(format!(
            "sequence {sequence} is an event that the event store does not have"
        ));
        report.violated(Invariant::Convergence, violation.at(account_id, version));
        return;
    };
    if stored == message.hash.as_bytes().as_slice() {
        return;
    }
    report.mend_nothing(format!(
        "the feed has another version {version} of account {account_id} than the event store: one of them was changed"
    ));
    let shown =
        Hash::try_from(stored).map_or_else(|_| "no hash".to_owned(), |hash| hash.to_string());
    let violation = violation(format!(
        "sequence {sequence} is another event than the event store has"
    ));
    report.violated(
        Invariant::Convergence,
        violation
            .at(account_id, version)
            .values(shown, message.hash),
    );
}
