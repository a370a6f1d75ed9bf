//! The read models against the event store, page by page, while both go on changing.
//!
//! The events of a page are fixed (they come from a snapshot) and the read models only move forward, so: first it is
//! read up to where each account is applied, and waited for those that are behind; then the rows are read. An event at
//! or below the version applied must have its row by then. A row that has moved on beyond the snapshot is compared with
//! the event store's state at the row's own version, which never changes.
//!
//! `daily_totals` has sums, of which no row belongs to one event: see `totals.rs`.
//!
//! State: one page, and what `daily_totals` has as a whole.

mod balances;
mod counts;
mod holds;
mod lag;
mod strays;
mod totals;
mod transactions;
mod transfers;

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use sinks::projection::{NAMES, Pace};
use sources::Part;
use sqlx::Row;
use sqlx::postgres::PgPool;
use store::{EventRow, EventStore};
use tokio::time::Instant;

use self::lag::Behind;
use self::strays::Hunt;
pub(super) use self::totals::Totals;
use super::history::Walked;
use super::report::{Invariant, Report, Violation};

pub(super) use lag::FeedState;

/// How long to wait before a projection that is behind is looked at again.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The read models, by their place in [`NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadModel {
    AccountBalance,
    Transactions,
    Transfers,
    Holds,
    DailyTotals,
}

const ALL: [ReadModel; NAMES.len()] = [
    ReadModel::AccountBalance,
    ReadModel::Transactions,
    ReadModel::Transfers,
    ReadModel::Holds,
    ReadModel::DailyTotals,
];

impl ReadModel {
    fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|read_model| read_model.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::AccountBalance => "account_balance",
            Self::Transactions => "transactions",
            Self::Transfers => "transfers",
            Self::Holds => "holds",
            Self::DailyTotals => "daily_totals",
        }
    }
}

/// Up to where the accounts of a page are applied; 0 = not at all.
#[derive(Debug, Default)]
struct Applied(HashMap<String, [i64; ALL.len()]>);

impl Applied {
    fn version(&self, read_model: ReadModel, account_id: &str) -> i64 {
        self.0
            .get(account_id)
            .map_or(0, |versions| versions[read_model as usize])
    }
}

/// The comparison of all read models, or of one.
pub(super) struct ReadModels {
    /// Those that are compared.
    among: Vec<ReadModel>,
    pool: PgPool,
    store: EventStore,
    /// Until when to wait for projections that are behind.
    deadline: Instant,
    behind: [Behind; ALL.len()],
    /// The sums of `daily_totals`, once they are begun.
    totals: Option<Totals>,
    /// Whether rows without an event are looked for even if counting says that there are none.
    thoroughly: bool,
}

impl ReadModels {
    pub(super) fn new(pool: PgPool, store: EventStore, deadline: Instant) -> Self {
        Self {
            among: ALL.to_vec(),
            pool,
            store,
            deadline,
            behind: Default::default(),
            totals: None,
            thoroughly: false,
        }
    }

    /// Looks for rows without an event in any case.
    pub(super) fn thoroughly(mut self, thoroughly: bool) -> Self {
        self.thoroughly = thoroughly;
        self
    }

    /// Only this one: the connections may see its tables and no others.
    pub(super) fn only(mut self, projection: &str) -> Self {
        self.among
            .retain(|read_model| read_model.name() == projection);
        self
    }

    fn compares(&self, read_model: ReadModel) -> bool {
        self.among.contains(&read_model)
    }

    /// Fails unless the read model answers and its tables are there.
    pub(super) async fn reach(&self) -> anyhow::Result<()> {
        let tables = sqlx::query(
            "SELECT (SELECT 1 FROM projection_offsets LIMIT 1), (SELECT 1 FROM projection_versions LIMIT 1),
                (SELECT 1 FROM account_balance LIMIT 1), (SELECT 1 FROM transactions LIMIT 1),
                (SELECT 1 FROM transfers LIMIT 1), (SELECT 1 FROM holds LIMIT 1),
                (SELECT 1 FROM daily_totals LIMIT 1), (SELECT 1 FROM projection_skips LIMIT 1)",
        );
        tables.fetch_one(&self.pool).await.context(
            "the read model cannot be read; check that PostgreSQL runs and that `chronicle migrate` has made its tables",
        )?;
        Ok(())
    }

    /// Fixes what is compared as a whole: to be called before the event store's snapshot is begun, so that the snapshot
    /// has every event that is in it.
    pub(super) async fn begin(&mut self) -> anyhow::Result<()> {
        if self.compares(ReadModel::DailyTotals) {
            self.totals = Some(Totals::begin(&self.pool).await.context(UNREADABLE)?);
        }
        Ok(())
    }

    /// Compares a page of events, and the accounts that end in it.
    pub(super) async fn compare(
        &mut self,
        page: &[EventRow],
        walked: &[Walked],
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut wanted: HashMap<&str, i64> = HashMap::new();
        let events = page
            .iter()
            .map(|row| (row.account_id.as_str(), row.version));
        for (account_id, version) in events.chain(
            walked
                .iter()
                .map(|account| (account.account_id.as_str(), account.version)),
        ) {
            let newest = wanted.entry(account_id).or_default();
            *newest = version.max(*newest);
        }
        let applied = self.wait_for(wanted).await?;
        let readable: Vec<_> = page
            .iter()
            .filter_map(|row| row.event.as_ref().ok())
            .collect();
        if self.compares(ReadModel::Transactions) {
            transactions::compare(&self.pool, &readable, &applied, report).await?;
        }
        if self.compares(ReadModel::Transfers) {
            transfers::compare(&self.pool, &readable, &applied, report).await?;
        }
        if self.compares(ReadModel::Holds) {
            holds::compare(&self.pool, &readable, &applied, report).await?;
        }
        if self.compares(ReadModel::AccountBalance) {
            balances::compare(&self.pool, &self.store, walked, report).await?;
        }
        if let Some(totals) = &mut self.totals {
            totals.add(page).await.context(UNREADABLE)?;
        }
        self.look_ahead(walked, &applied, report).await?;
        for account in walked {
            for read_model in self.among.iter().copied() {
                let version = applied.version(read_model, &account.account_id);
                self.behind[read_model as usize].add(&account.account_id, version, account.version);
            }
        }
        report.checked(Invariant::Convergence, "events", page.len() as u64);
        report.checked(Invariant::Convergence, "accounts", walked.len() as u64);
        Ok(())
    }

    /// Up to where the accounts are applied, after waiting for the versions that are wanted.
    async fn wait_for(&self, mut wanted: HashMap<&str, i64>) -> anyhow::Result<Applied> {
        let mut applied = Applied::default();
        loop {
            let names: Vec<&str> = wanted.keys().copied().collect();
            let rows = sqlx::query(
                "SELECT projection, account_id, known.version
                 FROM unnest($1::text[]) AS of_projection(projection), unnest($2::text[]) AS wanted(account_id),
                    LATERAL (SELECT version FROM projection_versions AS one
                        WHERE one.projection = of_projection.projection AND one.account_id = wanted.account_id LIMIT 1) AS known",
            )
            .bind(
                self.among
                    .iter()
                    .map(|read_model| read_model.name())
                    .collect::<Vec<&str>>(),
            )
            .bind(names)
            .fetch_all(&self.pool)
            .await
            .context(UNREADABLE)?;
            for row in rows {
                let (projection, account_id): (&str, String) =
                    (row.try_get("projection")?, row.try_get("account_id")?);
                if let Some(read_model) = ReadModel::named(projection) {
                    applied.0.entry(account_id).or_default()[read_model as usize] =
                        row.try_get("version")?;
                }
            }
            wanted.retain(|account_id, version| {
                self.among
                    .iter()
                    .any(|read_model| applied.version(*read_model, account_id) < *version)
            });
            if wanted.is_empty() || Instant::now() >= self.deadline {
                return Ok(applied);
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
    }

    /// A projection may be ahead of the snapshot, but not of the event store.
    async fn look_ahead(
        &self,
        walked: &[Walked],
        applied: &Applied,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let ahead: Vec<(ReadModel, &str, i64)> = walked
            .iter()
            .flat_map(|account| {
                self.among
                    .iter()
                    .map(move |read_model| (*read_model, account))
            })
            .map(|(read_model, account)| {
                (
                    read_model,
                    account,
                    applied.version(read_model, &account.account_id),
                )
            })
            .filter(|(_, account, version)| *version > account.version)
            .map(|(read_model, account, version)| {
                (read_model, account.account_id.as_str(), version)
            })
            .collect();
        if ahead.is_empty() {
            return Ok(());
        }
        let places: Vec<_> = ahead
            .iter()
            .map(|(_, account_id, version)| (*account_id, *version))
            .collect();
        let existing = self.store.existing(&places).await?;
        for (read_model, account_id, version) in ahead {
            if !existing
                .iter()
                .any(|(name, number)| (name.as_str(), *number) == (account_id, version))
            {
                never_happened(read_model.name(), account_id, version, report);
            }
        }
        Ok(())
    }

    /// After the walk: rows that belong to no event, and projections that were not waited for any longer.
    pub(super) async fn conclude(
        &mut self,
        seen: &super::events::Seen,
        feed: (Option<&FeedState>, Option<&FeedState>),
        report: &mut Report,
    ) -> anyhow::Result<()> {
        self.conclude_totals(report).await?;
        let hunt = Hunt {
            pool: &self.pool,
            store: &self.store,
            among: &self.among,
            pace: None,
        };
        counts::hunt(hunt, seen, self.thoroughly, report).await?;
        lag::judge(&self.pool, &self.behind, feed, report).await
    }

    /// After the walk: the rows of `daily_totals`.
    pub(super) async fn conclude_totals(&mut self, report: &mut Report) -> anyhow::Result<()> {
        match self.totals.take() {
            Some(totals) => totals.compare(report).await.context(UNREADABLE),
            None => Ok(()),
        }
    }

    /// Looks for rows that belong to no event, in all rows of a part, whatever counting says; at most so many rows a second.
    pub(super) async fn hunt_strays(
        &self,
        part: Part,
        pace: &mut Pace,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut hunt = Hunt {
            pool: &self.pool,
            store: &self.store,
            among: &self.among,
            pace: Some(pace),
        };
        match part {
            Part::Totals => Ok(()),
            Part::Accounts => {
                hunt.stray_versions(report).await?;
                hunt.stray_balances(report).await
            }
            Part::Transactions => hunt.stray_transactions(report).await,
            Part::Transfers => hunt.stray_transfers(report).await,
            Part::Holds => hunt.stray_holds(report).await,
        }
    }
}

const UNREADABLE: &str = "the read model cannot be read";

/// A version counts as applied that the event store does not have: it may have lost events, and is no source for mending.
fn never_happened(projection: &str, account_id: &str, version: i64, report: &mut Report) {
    let message = "it counts a version as applied that the event store does not have";
    report.mend_nothing(format!(
        "{projection} counts version {version} of account {account_id} as applied, and the event store does not have it"
    ));
    let violation = Violation::new(message)
        .of(projection)
        .at(account_id, version);
    report.violated(Invariant::ExactlyOnce, violation);
}

/// SQL for what differs between the rows `wanted` and `found`, as the columns `expected` and `actual`.
fn differences(columns: &[&str]) -> String {
    let side = |side: &str| {
        let cases: Vec<String> = columns
            .iter()
            .map(|column| {
                format!(
                    "CASE WHEN found.{column} IS DISTINCT FROM wanted.{column} \
                     THEN '{column} ' || COALESCE({side}.{column}::text, 'none') END"
                )
            })
            .collect();
        format!("concat_ws(', ', {})", cases.join(", "))
    };
    format!(
        "{} AS expected, {} AS actual",
        side("wanted"),
        side("found")
    )
}

/// SQL for whether the rows `wanted` and `found` differ in one of the columns.
fn differ(columns: &[&str]) -> String {
    let side = |side: &str| {
        columns
            .iter()
            .map(|column| format!("{side}.{column}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    format!("({}) IS DISTINCT FROM ({})", side("found"), side("wanted"))
}
