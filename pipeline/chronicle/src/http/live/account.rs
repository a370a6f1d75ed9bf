//! One account for one reader: read from the event store, which has lost nothing, when the feed says that there is
//! something, and now and then even if it does not.

use std::time::Duration;

use axum::response::sse::Event as Sent;
use futures::StreamExt;
use ledger::{Account, AccountId, Event, Version};
use transport::subjects;

use super::reader::{Ended, Outlet};
use crate::http::Api;
use crate::http::past::Step;
use crate::http::problem::Problem;

/// How many events are read at a time.
const PAGE: u32 = 100;
/// How often to look without having been told.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where a reader stands.
pub(super) struct Position {
    /// The account after the last event that the reader has seen.
    account: Option<Account>,
}

impl Position {
    /// Behind this version, or at the newest one.
    pub(super) async fn find(
        api: &Api,
        account_id: &AccountId,
        after: Option<u64>,
    ) -> Result<Self, Problem> {
        let newest = api.store.account(account_id).await?.ok_or_else(|| {
            Problem::not_found(
                "account_not_found",
                format!("there is no account {account_id}"),
            )
        })?;
        let account = match after {
            Some(after) if after < newest.version.get() => {
                api.store
                    .account_at_version(account_id, Version::new(after))
                    .await?
            }
            Some(after) if after > newest.version.get() => {
                return Err(Problem::unprocessable(
                    "version_not_found",
                    format!(
                        "account {account_id} has come to version {}, and not yet to {after}",
                        newest.version
                    ),
                ));
            }
            _ => Some(newest),
        };
        Ok(Self { account })
    }

    fn version(&self) -> Version {
        self.account
            .as_ref()
            .map_or(Version::NONE, |account| account.version)
    }

    /// The reader has seen this event, too.
    fn step(&mut self, event: &Event) -> Result<Sent, Ended> {
        let account = Account::fold(self.account.take(), event).map_err(|error| {
            tracing::error!(%error, "a history cannot be followed; see `chronicle verify`");
            Ended::Unreadable
        })?;
        let step = Step::of(event, account.clone()).map_err(|_| Ended::Unreadable)?;
        self.account = Some(account);
        Sent::default()
            .event("ledger")
            .id(event.version.to_string())
            .json_data(step)
            .map_err(|_| Ended::Unreadable)
    }
}

/// Sends what comes behind `position`, until the reader goes away or is too slow.
pub(super) async fn follow(
    api: Api,
    account_id: AccountId,
    mut position: Position,
    outlet: Outlet,
) -> Ended {
    // Told of before it is looked for, so nothing falls in between. Without NATS, looking now and then has to do.
    let subject = subjects::event(&account_id);
    let mut told = api.nats.client.subscribe(subject).await.ok();
    loop {
        let history = api
            .store
            .history(&account_id, position.version(), PAGE)
            .await;
        let events = history.unwrap_or_default();
        for event in &events {
            let sent = match position.step(event) {
                Ok(event) => outlet.send(event).await,
                Err(ended) => Err(ended),
            };
            if let Err(ended) = sent {
                return ended;
            }
        }
        if events.len() == PAGE as usize {
            continue;
        }
        let something = async {
            match &mut told {
                Some(told) => {
                    told.next().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = something => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = outlet.closed() => return Ended::Gone,
        }
    }
}
