//! The comparison in small steps, for whoever makes it all the time beside the ledger's work: some accounts at a time, at a
//! given pace, with what diverges as values. Nothing is changed, and no transaction stays open from one step to the next.
//!
//! [`Comparer::accounts`] compares event store, feed and read models account by account; what belongs to no account is
//! left to [`Comparer::totals`] and [`Comparer::strays`], which walk over everything at the same pace. Events are read as
//! they are, and what a read model has not applied yet is no divergence, so all of it may go on while commands flow.
//!
//! State: a page of events, and of each place the first few divergences.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use ledger::AccountId;
use serde::Serialize;
use sinks::projection::{DailyTotals, Pace, Projection};
use sqlx::Row;
use sqlx::postgres::PgPool;
use store::EventStore;
use tokio::time::Instant;
use transport::{Nats, restoring, streams};

use super::deep;
use super::events::{Seen, Walk};
use super::history::Walked;
use super::read_models::ReadModels;
use super::report::{FEED, Report};

/// How many events are read at a time.
const PAGE: u32 = 1_000;
/// How many accounts the feed is asked about at a time.
const ASKED_AT_A_TIME: usize = 8;
/// What stands in the place of a projection when the event store itself is meant.
pub(crate) const EVENT_STORE: &str = "event_store";

/// Something that is not what the event store says, or the event store itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Divergence {
    /// A projection, `feed`, or `event_store`.
    pub(crate) place: String,
    pub(crate) account_id: Option<String>,
    pub(crate) version: Option<i64>,
    pub(crate) expected: Option<String>,
    pub(crate) found: Option<String>,
    pub(crate) message: String,
}

/// What one step has found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    /// The last account that was compared: the next step begins behind it. `None` when there are no more.
    pub(crate) last: Option<String>,
    pub(crate) accounts: u64,
    pub(crate) events: u64,
    /// The first ten of each kind and place.
    pub(crate) divergences: Vec<Divergence>,
    /// All of them.
    pub(crate) divergences_total: u64,
    /// What could not be compared this time, and why.
    pub(crate) not_compared: Vec<String>,
}

/// What is compared.
#[derive(Clone)]
pub(crate) struct Comparer {
    pub(crate) store: EventStore,
    pub(crate) nats: Nats,
    pub(crate) pool: PgPool,
}

impl Comparer {
    /// Compares at most `limit` accounts behind `after`, in the event store's order, at most so many events a second.
    pub(crate) async fn accounts(
        &self,
        after: Option<&str>,
        limit: u32,
        mut pace: Option<&mut Pace>,
    ) -> anyhow::Result<Step> {
        let mut report = Report::default();
        let mut step = Step::default();
        let mut seen = Seen::default();
        let mut walk = Walk::default();
        // All versions lie behind the lowest and before the highest one.
        let mut reached = after.map(|account_id| (account_id.to_owned(), i64::MAX));
        let mut begun: Option<(String, u32)> = None;
        let generations = self.generations().await?;
        let mut read_models = self.read_models().without(DailyTotals::NAME);
        let feed = self.open_feed(&mut step.not_compared).await?;
        let mut is_last = false;
        while !is_last {
            let size = pace.as_ref().map_or(PAGE, |pace| pace.at_a_time(PAGE));
            let from = reached
                .as_ref()
                .map(|(name, version)| (name.as_str(), *version));
            let mut rows = self.store.event_rows(from, size).await?;
            if let Some(pace) = &mut pace {
                pace.wait(rows.len()).await;
            }
            is_last = rows.len() < size as usize;
            let mut fits = rows.len();
            for (index, row) in rows.iter().enumerate() {
                let number = match &begun {
                    Some((name, number)) if *name == row.account_id => *number,
                    Some((_, number)) => number + 1,
                    None => 1,
                };
                if number > limit {
                    fits = index;
                    step.last = begun.as_ref().map(|(name, _)| name.clone());
                    is_last = true;
                    break;
                }
                begun = Some((row.account_id.clone(), number));
            }
            rows.truncate(fits);
            reached = rows
                .last()
                .map(|row| (row.account_id.clone(), row.version))
                .or(reached);
            let walked = walk.take(&rows, is_last, &mut seen, &mut report);
            read_models.compare(&rows, &walked, &mut report).await?;
            if feed.is_some() {
                self.compare_feed(&walked, &mut report).await?;
            }
        }
        if self.open_feed(&mut Vec::new()).await? != feed {
            let reason = "the feed was made anew while it was compared".to_owned();
            step.not_compared.push(reason);
            forget(&mut report, |projection| projection == FEED);
        }
        if self.generations().await? != generations {
            // A swap in between: rows of one life, versions of another.
            let reason = "a read model was swapped or moved by order while it was compared";
            step.not_compared.push(reason.to_owned());
            forget(&mut report, |projection| projection != FEED);
        }
        step.accounts = seen.accounts;
        step.events = seen.events;
        Ok(step.with(report))
    }

    /// Compares `daily_totals`, whose rows belong to all accounts.
    pub(crate) async fn totals(&self, mut pace: Option<&mut Pace>) -> anyhow::Result<Step> {
        let mut report = Report::default();
        let mut step = Step::default();
        let mut read_models = self.read_models().only(DailyTotals::NAME);
        read_models.begin().await?;
        let mut reached: Option<(String, i64)> = None;
        loop {
            let size = pace.as_ref().map_or(PAGE, |pace| pace.at_a_time(PAGE));
            let from = reached
                .as_ref()
                .map(|(name, version)| (name.as_str(), *version));
            let rows = self.store.event_rows(from, size).await?;
            let Some(last) = rows.last() else {
                break;
            };
            if let Some(pace) = &mut pace {
                pace.wait(rows.len()).await;
            }
            reached = Some((last.account_id.clone(), last.version));
            read_models.compare(&rows, &[], &mut report).await?;
            step.events += rows.len() as u64;
        }
        read_models.conclude_totals(&mut report).await?;
        Ok(step.with(report))
    }

    /// Looks for rows that belong to no event, in all read models, at most so many rows a second.
    pub(crate) async fn strays(&self, pace: Option<&mut Pace>) -> anyhow::Result<Step> {
        let mut report = Report::default();
        self.read_models().hunt_strays(pace, &mut report).await?;
        Ok(Step::default().with(report))
    }

    /// What a read model has not applied yet is not waited for.
    fn read_models(&self) -> ReadModels {
        let deadline = Instant::now();
        ReadModels::new(self.pool.clone(), self.store.clone(), deadline)
    }

    /// Which life of the feed can be compared; why not, otherwise.
    async fn open_feed(&self, reasons: &mut Vec<String>) -> anyhow::Result<Option<String>> {
        let Some(stream) = streams::existing(&self.nats.jetstream, streams::EVENTS).await? else {
            reasons.push(format!("there is no feed {}", streams::EVENTS));
            return Ok(None);
        };
        if let Some(restoration) = restoring::restoration(&stream) {
            reasons.push(format!("the feed is being restored ({})", restoration.id));
            return Ok(None);
        }
        Ok(Some(streams::identity(&stream)))
    }

    /// How often each projection was moved or swapped by order.
    async fn generations(&self) -> anyhow::Result<Vec<(String, i64)>> {
        let sql = "SELECT projection, generation FROM projection_offsets ORDER BY projection";
        let rows = sqlx::query(sql).fetch_all(&self.pool).await?;
        let of = |row: &sqlx::postgres::PgRow| {
            Ok((row.try_get("projection")?, row.try_get("generation")?))
        };
        rows.iter().map(of).collect()
    }

    /// The newest message that the feed has of each account is an event of the event store.
    async fn compare_feed(&self, walked: &[Walked], report: &mut Report) -> anyhow::Result<()> {
        let ids = walked
            .iter()
            .filter_map(|account| account.account_id.parse::<AccountId>().ok());
        let newest: Vec<deep::Read> = stream::iter(ids)
            .map(|account_id| async move { deep::newest_of(&self.nats, &account_id).await })
            .buffered(ASKED_AT_A_TIME)
            .try_filter_map(|read| async move { Ok(read) })
            .try_collect()
            .await?;
        if newest.is_empty() {
            return Ok(());
        }
        let places: Vec<_> = newest.iter().map(deep::Read::place).collect();
        let found = self.store.hashes(&places).await?;
        let hashes: HashMap<(&str, i64), &[u8]> = found
            .iter()
            .map(|(account_id, version, hash)| ((account_id.as_str(), *version), hash.as_slice()))
            .collect();
        for read in &newest {
            deep::check(read, hashes.get(&read.place()).copied(), report);
        }
        Ok(())
    }
}

/// Leaves out what was found of some projections.
fn forget(report: &mut Report, which: impl Fn(&str) -> bool) {
    for finding in &mut report.findings {
        let before = finding.violations.len();
        finding
            .violations
            .retain(|violation| !violation.projection.as_deref().is_some_and(&which));
        finding.violations_total -= (before - finding.violations.len()) as u64;
    }
}

impl Step {
    fn with(mut self, report: Report) -> Self {
        for finding in report.findings {
            self.divergences_total += finding.violations_total;
            self.not_compared.extend(finding.open);
            let divergences = finding.violations.into_iter().map(|violation| Divergence {
                place: violation
                    .projection
                    .unwrap_or_else(|| EVENT_STORE.to_owned()),
                account_id: violation.account_id,
                version: violation.version,
                expected: violation.expected,
                found: violation.found,
                message: violation.message,
            });
            self.divergences.extend(divergences);
        }
        self
    }
}

#[cfg(test)]
mod tests;
