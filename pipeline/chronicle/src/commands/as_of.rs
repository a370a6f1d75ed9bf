//! Answers about the past: what instant they are about, and whether they are final.

use ledger::{Account, AccountId, Timestamp, Version};
use serde::Serialize;
use store::EventStore;

use super::{account, reach};
use crate::exit;
use crate::servers_at::ServerArguments;

/// What an answer is about.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct AsOf {
    /// The instant.
    pub(super) timestamp: Timestamp,
    /// The version that the account had then; no book has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<Version>,
    /// The business date, if the answer is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) effective: Option<Timestamp>,
}

/// What an answer is about, and whether it can still change.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Standing {
    pub(super) as_of: AsOf,
    /// A writer may still commit something that belongs to it.
    pub(super) provisional: bool,
}

impl Standing {
    /// Of an answer about an instant.
    pub(super) fn at(at: Timestamp, is_final: bool) -> Self {
        Self {
            as_of: AsOf {
                timestamp: at,
                version: None,
                effective: None,
            },
            provisional: !is_final,
        }
    }

    /// Of an account after one of its events: that never changes.
    pub(super) fn after_version(account: &Account) -> Self {
        Self {
            as_of: AsOf {
                timestamp: account.last_recorded_at,
                version: Some(account.version),
                effective: None,
            },
            provisional: false,
        }
    }

    /// The same for an account's version.
    pub(super) fn with_version(mut self, version: Version) -> Self {
        self.as_of.version = Some(version);
        self
    }

    /// The same by business date.
    pub(super) fn effective(mut self, effective: Timestamp) -> Self {
        self.as_of.effective = Some(effective);
        self
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        let finality = if self.provisional {
            "provisional: a writer may still commit at or before it"
        } else {
            "final"
        };
        format!("{} ({finality})", self.as_of.timestamp)
    }
}

/// Nobody knows the future: asking about it is a mistake in the call. `now` is what the event store's clock says.
pub(super) fn check_past(flag: &str, at: Timestamp, now: Timestamp) -> anyhow::Result<()> {
    if at > now {
        return Err(exit::usage(format!(
            "{flag} {at} lies in the future: the event store's clock says {now}"
        )));
    }
    Ok(())
}

/// An account as it was, or why there is nothing to tell.
pub(super) async fn account_at(
    servers: &ServerArguments,
    store: &EventStore,
    account_id: &AccountId,
    at: Timestamp,
) -> anyhow::Result<(Account, Standing)> {
    let failed = |error| reach::event_store_failed(servers, &error);
    let then = store.account_at(account_id, at).await.map_err(failed)?;
    check_past("--at", at, then.asked_at)?;
    let standing = Standing::at(at, then.is_final);
    if let Some(account) = then.what {
        let standing = standing.with_version(account.version);
        return Ok((account, standing));
    }
    Err(not_open_yet(servers, store, account_id, at).await)
}

/// Why there was no such account at that instant.
pub(super) async fn not_open_yet(
    servers: &ServerArguments,
    store: &EventStore,
    account_id: &AccountId,
    at: Timestamp,
) -> anyhow::Error {
    let first = match store.history(account_id, Version::NONE, 1).await {
        Ok(first) => first,
        Err(error) => return reach::event_store_failed(servers, &error),
    };
    match first.first() {
        None => account::unknown(servers, account_id),
        Some(opening) => exit::no(format!(
            "account {account_id} was not open yet at {at}: it was opened at {}",
            opening.recorded_at
        )),
    }
}

/// An account after one of its events, or why there is nothing to tell.
pub(super) async fn account_at_version(
    servers: &ServerArguments,
    store: &EventStore,
    account_id: &AccountId,
    version: Version,
) -> anyhow::Result<(Account, Standing)> {
    let failed = |error| reach::event_store_failed(servers, &error);
    let found = store
        .account_at_version(account_id, version)
        .await
        .map_err(failed)?;
    if let Some(account) = found {
        let standing = Standing::after_version(&account);
        return Ok((account, standing));
    }
    let Some(now) = store.account(account_id).await.map_err(failed)? else {
        return Err(account::unknown(servers, account_id));
    };
    Err(exit::no(format!(
        "account {account_id} has no version {version}; its newest is {}",
        now.version
    )))
}
