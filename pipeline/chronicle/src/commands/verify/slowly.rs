//! The comparison of everything with the event store, some accounts at a time and at a pace: what goes on in the
//! background ([`comparison`](crate::comparison)).
//!
//! It is the comparison that `chronicle verify` makes, over pages that are read one by one: events never change, so no
//! snapshot has to be held for as long as a slow walk takes. Nothing is waited for; what a projection has not applied is
//! not looked at, and met by the next walk.
//!
//! State: one page of events, and what is remembered of the account that it ends in.

use std::collections::{HashMap, HashSet};

use ledger::AccountId;
use sinks::divergences::{Divergence, PLACE_EVENT_STORE};
use sinks::projection::Pace;
use sqlx::postgres::PgPool;
use store::{EventRow, EventStore};
use tokio::time::Instant;
use transport::Nats;

use super::conservation::Conservation;
use super::feed_heads::{self, StoreHead};
use super::history::{History, Walked};
use super::read_models::ReadModels;
use super::report::{NAMES, Report};

/// How many events are read at a time.
const PAGE: u32 = 1_000;

/// What is compared, and at what pace.
pub(crate) struct Slowly {
    pub(crate) store: EventStore,
    pub(crate) nats: Nats,
    pub(crate) read_model: PgPool,
    /// In events a second.
    pub(crate) pace: Pace,
}

/// What a part of the comparison has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// How many events were compared.
    pub(crate) events: u64,
    /// What is not as it must be.
    pub(crate) divergences: Vec<Divergence>,
}

impl Slowly {
    /// Compares these accounts, which follow one another behind `after` in the database's order: their chains, what each
    /// read model has of them, and how far the feed has come with them.
    pub(crate) async fn accounts(
        &mut self,
        after: Option<&AccountId>,
        accounts: &[AccountId],
    ) -> anyhow::Result<Found> {
        let oldest_command = feed_heads::oldest_waiting(&self.nats).await?;
        let mut walk = Walk::new(accounts);
        let mut report = Report::default();
        let mut read_models = self.read_models();
        let mut place = (after.map_or("", AccountId::as_str).to_owned(), i64::MAX);
        let mut events = 0;
        loop {
            let limit = self.pace.at_a_time(PAGE);
            let page = self
                .store
                .event_rows(Some((&place.0, place.1)), limit)
                .await?;
            self.pace.wait(page.len().max(1)).await;
            let Some(last) = page.last() else {
                break;
            };
            place = (last.account_id.clone(), last.version);
            let is_last = page.len() < limit as usize;
            let (page, is_over) = walk.take(page, &mut report);
            let is_over = is_over || is_last;
            if is_over {
                walk.end(&mut report);
            }
            let walked = std::mem::take(&mut walk.walked);
            events += page.len() as u64;
            read_models.compare(&page, &walked, &mut report).await?;
            let heads: Vec<StoreHead> = walk.heads(&walked);
            feed_heads::compare(&self.nats, &self.store, &heads, oldest_command, &mut report)
                .await?;
            if is_over {
                break;
            }
        }
        Ok(Found {
            events,
            divergences: divergences(report)
                .into_iter()
                .filter(|one| one.account_id.is_some())
                .collect(),
        })
    }

    /// Looks for what belongs to no account of the event store, and compares what is kept of no single account.
    pub(crate) async fn remainder(&mut self) -> anyhow::Result<Found> {
        let mut report = Report::default();
        let read_models = self.read_models();
        read_models.remainder(&mut self.pace, &mut report).await?;
        Ok(Found {
            events: 0,
            divergences: divergences(report),
        })
    }

    /// Nothing that a read model lacks is waited for.
    fn read_models(&self) -> ReadModels {
        let deadline = Instant::now();
        ReadModels::new(self.read_model.clone(), self.store.clone(), deadline)
    }
}

/// The walk over some accounts.
struct Walk<'a> {
    /// Those that have not been met.
    ahead: HashSet<&'a str>,
    current: Option<History>,
    /// The newest event of the current account.
    newest: HashMap<String, StoreHead>,
    /// Those that were walked to their end, and not compared yet.
    walked: Vec<Walked>,
}

impl<'a> Walk<'a> {
    fn new(accounts: &'a [AccountId]) -> Self {
        Self {
            ahead: accounts.iter().map(AccountId::as_str).collect(),
            current: None,
            newest: HashMap::new(),
            walked: Vec::new(),
        }
    }

    /// Checks the histories in a page. Answers with the rows that belong to the accounts, and whether there are no more.
    fn take(&mut self, page: Vec<EventRow>, report: &mut Report) -> (Vec<EventRow>, bool) {
        let mut taken = Vec::with_capacity(page.len());
        for row in page {
            let is_current = self
                .current
                .as_ref()
                .is_some_and(|history| history.account_id() == row.account_id);
            if !is_current {
                self.end(report);
                if self.ahead.remove(row.account_id.as_str()) {
                    self.current = Some(History::of(&row.account_id));
                } else if self.ahead.is_empty() {
                    return (taken, true);
                } else {
                    // Opened since the accounts were listed: the next walk has it.
                    continue;
                }
            }
            if let Some(history) = &mut self.current {
                history.take(&row, report);
                if let Ok(event) = &row.event {
                    self.newest
                        .insert(row.account_id.clone(), StoreHead::of(event));
                }
                taken.push(row);
            }
        }
        // A page without any of them: they are not there any more, which the feed and the read models will say.
        let is_over = taken.is_empty();
        (taken, is_over)
    }

    /// The current account has no more events.
    fn end(&mut self, report: &mut Report) {
        // The sums of a few accounts say nothing.
        let mut sums = Conservation::default();
        self.walked.extend(
            self.current
                .take()
                .map(|history| history.finish(&mut sums, report)),
        );
    }

    /// The heads of the accounts that were walked to their end.
    fn heads(&mut self, walked: &[Walked]) -> Vec<StoreHead> {
        walked
            .iter()
            .filter_map(|account| self.newest.remove(&account.account_id))
            .collect()
    }
}

/// What a report has found, for each place, invariant and account the first.
fn divergences(report: Report) -> Vec<Divergence> {
    let mut known = HashSet::new();
    let mut divergences = Vec::new();
    for (invariant, finding) in NAMES.into_iter().zip(report.findings) {
        for violation in finding.violations {
            let place = violation.projection.as_deref().unwrap_or(PLACE_EVENT_STORE);
            let is_new = violation.account_id.is_none()
                || known.insert((invariant, place.to_owned(), violation.account_id.clone()));
            if is_new {
                divergences.push(Divergence {
                    place: place.to_owned(),
                    invariant: invariant.to_owned(),
                    account_id: violation.account_id,
                    version: violation.version,
                    message: violation.message,
                    expected: violation.expected,
                    found: violation.found,
                });
            }
        }
    }
    divergences
}
