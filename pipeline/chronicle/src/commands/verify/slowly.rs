//! The comparison of everything with the event store, a step at a time and at a pace: what goes on in the background
//! ([`comparison`](crate::comparison)).
//!
//! It is the comparison that `chronicle verify` makes, over pages that are read one by one: events never change, so no
//! snapshot has to be held for as long as a slow walk takes. Nothing is waited for; what a projection has not applied is
//! not looked at, and met by the next walk. What could not be compared is said, for it must not pass for mended.
//!
//! State: one page of events, what is remembered of the account that it ends in, and the sums of `daily_totals`, which
//! are gathered over a whole pass.

use ledger::AccountId;
use sinks::divergences::{Divergence, PLACE_EVENT_STORE, PLACE_FEED};
use sinks::projection::{DailyTotals, Pace, Projection};
use sources::Part;
use sqlx::postgres::PgPool;
use store::{EventRow, EventStore, Head};
use tokio::time::Instant;
use transport::Nats;

use super::conservation::Conservation;
use super::feed_heads::{FeedHeads, StoreHead};
use super::history::{History, Walked};
use super::read_models::{ReadModels, Totals};
use super::report::{Invariant, NAMES, Report, Violation};

/// How many events are read at a time.
const PAGE: u32 = 1_000;

/// What is compared, and at what pace.
pub(crate) struct Slowly {
    store: EventStore,
    nats: Nats,
    read_model: PgPool,
    /// In events or rows a second.
    pace: Pace,
    /// The sums of this pass; `None` when it was not begun here.
    totals: Option<Totals>,
}

/// What a step has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// How many events were compared.
    pub(crate) events: u64,
    /// What is not as it must be: of each place, invariant and account the first.
    pub(crate) divergences: Vec<Divergence>,
    /// The places that were not compared, or not whole.
    pub(crate) not_compared: Vec<String>,
}

impl Slowly {
    pub(crate) fn new(store: EventStore, nats: Nats, read_model: PgPool, pace: Pace) -> Self {
        Self {
            store,
            nats,
            read_model,
            pace,
            totals: None,
        }
    }

    /// A pass begins: what is compared as a whole is fixed now.
    pub(crate) async fn begin(&mut self) -> anyhow::Result<()> {
        self.totals = None;
        self.totals = Some(Totals::begin(&self.read_model).await?);
        Ok(())
    }

    /// Compares these accounts up to these versions, which follow one another behind `after` in the database's order: their
    /// chains, what each read model has of them, and how far the feed has come with them. If `is_first`, their events are
    /// added to what is compared as a whole.
    pub(crate) async fn accounts(
        &mut self,
        after: Option<&AccountId>,
        heads: &[Head],
        is_first: bool,
    ) -> anyhow::Result<Found> {
        self.pace.begin();
        let found = self.compare_accounts(after, heads, is_first).await;
        self.pace.end();
        found
    }

    async fn compare_accounts(
        &mut self,
        after: Option<&AccountId>,
        heads: &[Head],
        is_first: bool,
    ) -> anyhow::Result<Found> {
        let feed = FeedHeads::open(&self.nats, &self.store).await?;
        let through = heads.last().map_or("", |head| head.account_id.as_str());
        let mut walk = Walk::new(heads);
        let mut report = Report::by_account();
        let mut read_models = self.read_models();
        let mut place = (after.map_or("", AccountId::as_str).to_owned(), i64::MAX);
        let mut events = 0;
        loop {
            let limit = self.pace.at_a_time(PAGE);
            let behind = Some((place.0.as_str(), place.1));
            let page = self.store.event_rows(behind, through, limit).await?;
            self.pace.wait(page.len()).await;
            let is_last = page.len() < limit as usize;
            if let Some(last) = page.last() {
                place = (last.account_id.clone(), last.version);
            }
            let page = walk.take(page, &mut report);
            match &walk.passed_over {
                // The rest of an account that is not looked at any further.
                Some(account_id) if *account_id == place.0 => place.1 = i64::MAX,
                _ => {}
            }
            if is_last {
                walk.end(&mut report);
            }
            let (walked, newest) = walk.ended();
            events += page.len() as u64;
            if let Some(totals) = self.totals.as_mut().filter(|_| is_first) {
                totals.add(&page).await?;
            }
            read_models.compare(&page, &walked, &mut report).await?;
            if let Some(feed) = &feed {
                feed.compare(&newest, &mut report).await?;
            }
            if is_last {
                break;
            }
        }
        let mut found = Found::of(report, events);
        if feed.is_none() {
            found.not_compared.push(PLACE_FEED.to_owned());
        }
        Ok(found)
    }

    /// Looks for what belongs to no account of the event store, or compares what is kept of no single account.
    pub(crate) async fn remainder(&mut self, part: Part) -> anyhow::Result<Found> {
        self.pace.begin();
        let found = self.compare_remainder(part).await;
        self.pace.end();
        found
    }

    async fn compare_remainder(&mut self, part: Part) -> anyhow::Result<Found> {
        let mut report = Report::by_account();
        if part == Part::Totals {
            let is_whole = match self.totals.take() {
                Some(totals) => {
                    totals.compare(&mut report).await?;
                    // A swap meanwhile, or events that cannot be read.
                    report.is_checked(Invariant::Convergence)
                }
                None => false,
            };
            let mut found = Found::of(report, 0);
            if !is_whole {
                found.not_compared.push(DailyTotals::NAME.to_owned());
            }
            return Ok(found);
        }
        let read_models = self.read_models();
        read_models
            .hunt_strays(part, &mut self.pace, &mut report)
            .await?;
        Ok(Found::of(report, 0))
    }

    /// Nothing that a read model lacks is waited for.
    fn read_models(&self) -> ReadModels {
        let deadline = Instant::now();
        ReadModels::new(self.read_model.clone(), self.store.clone(), deadline)
    }
}

impl Found {
    fn of(report: Report, events: u64) -> Self {
        let not_compared = report
            .cut_off
            .iter()
            .map(|place| {
                place
                    .clone()
                    .unwrap_or_else(|| PLACE_EVENT_STORE.to_owned())
            })
            .collect();
        let findings = NAMES.into_iter().zip(report.findings);
        let divergences = findings.flat_map(|(invariant, finding)| {
            finding.violations.into_iter().map(|violation| Divergence {
                place: violation
                    .projection
                    .unwrap_or_else(|| PLACE_EVENT_STORE.to_owned()),
                invariant: invariant.to_owned(),
                account_id: violation.account_id,
                version: violation.version,
                message: violation.message,
                expected: violation.expected,
                found: violation.found,
            })
        });
        Self {
            events,
            divergences: divergences.collect(),
            not_compared,
        }
    }
}

/// The walk over some accounts.
struct Walk<'a> {
    /// Those that are walked over, and up to which version.
    heads: &'a [Head],
    current: Option<History>,
    /// The newest event of the current account, if it can be read.
    newest: Option<StoreHead>,
    /// An account of which nothing more is looked at.
    passed_over: Option<String>,
    /// Those that were walked to their end, and not compared yet.
    walked: Vec<Walked>,
    ends: Vec<StoreHead>,
}

impl<'a> Walk<'a> {
    fn new(heads: &'a [Head]) -> Self {
        Self {
            heads,
            current: None,
            newest: None,
            passed_over: None,
            walked: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Up to which version an account is walked over; `None` when it is not one of those.
    fn until(&self, account_id: &str) -> Option<i64> {
        let mut heads = self.heads.iter();
        let head = heads.find(|head| head.account_id.as_str() == account_id)?;
        Some(i64::try_from(head.version.get()).unwrap_or(i64::MAX))
    }

    /// Checks the histories in a page. Answers with the rows that are walked over.
    fn take(&mut self, page: Vec<EventRow>, report: &mut Report) -> Vec<EventRow> {
        let mut taken = Vec::with_capacity(page.len());
        for row in page {
            if self.passed_over.as_ref() == Some(&row.account_id) {
                continue;
            }
            let is_current = self
                .current
                .as_ref()
                .is_some_and(|history| history.account_id() == row.account_id);
            if !is_current {
                self.end(report);
            }
            let Some(until) = self.until(&row.account_id) else {
                lists_itself(&row, report);
                self.passed_over = Some(row.account_id);
                continue;
            };
            if row.version > until {
                // Recorded since; the next pass has it. However fast the account grows, this ends.
                self.end(report);
                self.passed_over = Some(row.account_id);
                continue;
            }
            let history = self
                .current
                .get_or_insert_with(|| History::of(&row.account_id));
            history.take(&row, report);
            self.newest = row.event.as_ref().ok().map(StoreHead::of);
            taken.push(row);
        }
        taken
    }

    /// The current account has no more events.
    fn end(&mut self, report: &mut Report) {
        let Some(history) = self.current.take() else {
            return;
        };
        // The sums of a few accounts say nothing.
        let mut sums = Conservation::default();
        self.walked.push(history.finish(&mut sums, report));
        self.ends.extend(self.newest.take());
    }

    /// The accounts that have come to their end since this was asked last.
    fn ended(&mut self) -> (Vec<Walked>, Vec<StoreHead>) {
        (
            std::mem::take(&mut self.walked),
            std::mem::take(&mut self.ends),
        )
    }
}

/// Accounts are listed by their first event. One that is not listed was opened since, or has lost that.
fn lists_itself(row: &EventRow, report: &mut Report) {
    if row.version > 1 {
        let violation = Violation::new("the account's first event is missing")
            .at(&row.account_id, row.version)
            .values(1, row.version);
        report.violated(Invariant::GaplessVersions, violation);
    }
}
