//! What the feed never brought (NATS can lose its newest messages with a machine) or does not have any more: found by
//! comparing accounts with the event store, and applied from there.
//!
//! All accounts are compared at the first start and when the feed has lost something; in small steps, ever again, while
//! nothing else is to do, and every ten seconds while events flow.

use std::time::{Duration, SystemTime};

use engine::{Failure, RetryClass};
use ledger::{AccountId, Event, Version};
use tokio::time::Instant;

use super::committing::borrowed;
use super::guard::{Applied, guard};
use super::offset::Target;
use super::{Projection, ProjectionSink};

/// How many accounts are compared with the event store at a time.
const ACCOUNTS_COMPARED_AT_A_TIME: u32 = 1_000;
/// How many events are read from the event store, and applied in one transaction, when there is something to make up for.
const EVENTS_MADE_UP_AT_A_TIME: u32 = 2_000;
/// How many events are gathered for one transaction when many accounts lack something.
const MADE_UP_AT_A_TIME: usize = EVENTS_MADE_UP_AT_A_TIME as usize;
/// How long to rest, when idle, after all accounts have been compared.
const COMPARE_EVERY: Duration = Duration::from_mins(1);

/// What the feed does while accounts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feed {
    /// Nothing has come for a while: what is in the event store and not here was lost.
    Rests,
    /// Events come, and many are committed that are still on their way here. So what is missing is lost if it is still
    /// missing when the feed has come to what was stored later.
    Flows,
}

/// By how much clocks may differ, and how long an event may take from its commit into the feed.
const ON_THE_WAY_MAX: Duration = Duration::from_secs(5);

/// What accounts lacked at one moment, while events were flowing.
#[derive(Default)]
pub(super) struct Suspects {
    missing: Vec<Missing>,
    /// When that was; `None` if nothing was missing.
    since: Option<SystemTime>,
}

impl Suspects {
    fn of(missing: Vec<Missing>) -> Self {
        Self {
            since: (!missing.is_empty()).then(SystemTime::now),
            missing,
        }
    }

    /// Whether they may still come, from a feed that has brought what was stored up to `brought`.
    fn may_come(&self, brought: Option<SystemTime>) -> bool {
        self.since
            .is_some_and(|since| brought.is_none_or(|brought| brought < since + ON_THE_WAY_MAX))
    }
}

/// What an account lacks.
#[derive(Clone)]
pub(super) struct Missing {
    pub(super) account_id: AccountId,
    pub(super) from: Version,
    /// The first version that it does not lack.
    pub(super) before: Version,
}

/// The walk over all accounts, in small steps: it finds what the feed never brought.
pub(super) enum Comparison {
    /// The next step begins behind this account.
    Walking { after: Option<AccountId> },
    /// All accounts have been compared, or the event store could not be asked.
    Resting {
        until: Instant,
        /// Where it goes on then.
        after: Option<AccountId>,
    },
}

impl Comparison {
    /// The account behind which the next step begins.
    fn place(&self) -> Option<AccountId> {
        match self {
            Self::Walking { after } | Self::Resting { after, .. } => after.clone(),
        }
    }
}

impl<P: Projection> ProjectionSink<P> {
    /// Applies what accounts lack, from the event store, many accounts in one transaction. Answers with the number of
    /// events applied.
    pub(super) async fn make_up(&mut self, missing: Vec<Missing>) -> Result<usize, Failure> {
        let mut made_up = 0;
        let mut pending: Vec<Event> = Vec::new();
        for Missing {
            account_id,
            mut from,
            before,
        } in missing
        {
            while from < before {
                let wanted = u32::try_from(before.get() - from.get()).unwrap_or(u32::MAX);
                let after = Version::new(from.get() - 1);
                let limit = wanted.min(EVENTS_MADE_UP_AT_A_TIME);
                let events = self.store.history(&account_id, after, limit).await;
                let events = events.map_err(store_failure)?;
                let Some(last) = events.last() else {
                    break;
                };
                from = last.version.next();
                pending.extend(events);
                if pending.len() >= MADE_UP_AT_A_TIME {
                    made_up += self.apply_made_up(std::mem::take(&mut pending)).await?;
                }
            }
        }
        Ok(made_up + self.apply_made_up(pending).await?)
    }

    async fn apply_made_up(&mut self, events: Vec<Event>) -> Result<usize, Failure> {
        let mut applied = self
            .applied(events.iter().map(|event| &event.account_id))
            .await?;
        let (guarded, _) = guard(&mut applied, events);
        if let Some((account_id, version)) = guarded.gap {
            return Err(Failure::fatal(format!(
                "the event store has version {version} of account {account_id} and not the one before it; run \
                 `chronicle verify`"
            )));
        }
        let here = self.here();
        self.commit(&borrowed(&guarded.events), &applied, here)
            .await?;
        Ok(guarded.events.len())
    }

    /// Compares all accounts, and makes up for what is missing.
    pub(super) async fn compare_all(&mut self) -> Result<(), Failure> {
        let mut after = None;
        while let Some(last) = self.compare(after, Feed::Rests).await? {
            after = Some(last);
        }
        Ok(())
    }

    /// Compares the next accounts with the event store, and makes up for what is missing; while events flow it is only kept
    /// in mind. Answers with the last of the accounts; `None` when there are no more.
    async fn compare(
        &mut self,
        after: Option<AccountId>,
        feed: Feed,
    ) -> Result<Option<AccountId>, Failure> {
        let heads = self
            .store
            .heads(after.as_ref(), ACCOUNTS_COMPARED_AT_A_TIME)
            .await
            .map_err(store_failure)?;
        let last = heads.last().map(|head| head.account_id.clone());
        let found = heads
            .into_iter()
            .map(|head| Missing {
                account_id: head.account_id,
                from: Version::NONE.next(),
                before: head.version.next(),
            })
            .collect();
        let found = self.not_applied(found).await?;
        match feed {
            Feed::Rests => self.make_up_for_losses(found).await?,
            Feed::Flows => self.suspects = Suspects::of(found),
        }
        Ok(last)
    }

    async fn make_up_for_losses(&mut self, missing: Vec<Missing>) -> Result<(), Failure> {
        if missing.is_empty() {
            return Ok(());
        }
        let accounts = missing.len();
        let events = self.make_up(missing).await?;
        tracing::info!(
            projection = P::NAME,
            accounts,
            events,
            "applied events from the event store that the feed had not brought yet"
        );
        Ok(())
    }

    /// Those of which something is not applied, and from where on.
    async fn not_applied(&mut self, mut missing: Vec<Missing>) -> Result<Vec<Missing>, Failure> {
        let applied = self
            .applied(missing.iter().map(|missing| &missing.account_id))
            .await?;
        missing.retain_mut(|missing| {
            let last = applied.get(&missing.account_id).copied();
            missing.from = last.unwrap_or(Version::NONE).next();
            missing.from < missing.before
        });
        Ok(missing)
    }

    /// Looks again at what was missing at the last step, and makes the next step of the walk over all accounts, unless it
    /// rests. A step that fails is made again.
    async fn compare_some(&mut self, feed: Feed) -> Result<(), Failure> {
        if feed == Feed::Flows && self.suspects.may_come(self.brought) {
            return Ok(());
        }
        let missing = self.not_applied(self.suspects.missing.clone()).await?;
        self.make_up_for_losses(missing).await?;
        self.suspects = Suspects::default();
        if let Comparison::Resting { until, .. } = &self.comparison
            && Instant::now() < *until
        {
            return Ok(());
        }
        let after = self.comparison.place();
        self.comparison = match self.compare(after, feed).await? {
            Some(last) => Comparison::Walking { after: Some(last) },
            None => Comparison::Resting {
                until: Instant::now() + COMPARE_EVERY,
                after: None,
            },
        };
        Ok(())
    }

    /// The feed does not have everything (any more): makes up for it from the event store, all accounts, and then moves
    /// the offset to `position`. Interrupted at any point, it begins anew and skips what is applied.
    pub(super) async fn make_up_everything(
        &mut self,
        position: u64,
        why: &str,
    ) -> Result<(), Failure> {
        tracing::warn!(
            projection = P::NAME,
            "{why}; catching up from the event store"
        );
        self.compare_all().await?;
        let target = Target {
            sequence: position,
            event_id: None,
        };
        self.commit(&[], &Applied::new(), target).await
    }

    /// Looks whether the projection is still ours, and compares some accounts with the event store: what was committed
    /// and never reached the feed (NATS can lose its newest messages with a machine) is found here.
    pub(super) async fn look_around(&mut self, feed: Feed) -> Result<(), Failure> {
        self.compared_at = Instant::now();
        self.fence().clone().check(&self.pool).await?;
        match self.compare_some(feed).await {
            // The feed is fine: an event store that is away for a while is no reason to stop reading it.
            Err(failure) if failure.class() == RetryClass::Retry => {
                tracing::warn!(
                    projection = P::NAME,
                    "the comparison with the event store rests: {}",
                    failure.chain()
                );
                let after = self.comparison.place();
                self.comparison = Comparison::Resting {
                    until: Instant::now() + COMPARE_EVERY,
                    after,
                };
                Ok(())
            }
            done => done,
        }
    }
}

pub(super) fn store_failure(error: store::Error) -> Failure {
    let failure = if error.is_transient() {
        Failure::retry
    } else {
        Failure::fatal
    };
    failure("the event store cannot be read".to_owned()).because(error)
}
