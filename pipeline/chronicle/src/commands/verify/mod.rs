//! `chronicle verify`: checks, from outside, everything that DESIGN §3 promises.
//!
//! The event store is read from one snapshot, in pages; read models and streams are read as they are, and go on
//! changing meanwhile. Memory does not grow with the events: each part says what it keeps. Nothing is changed anywhere,
//! but for a short-lived consumer that reads `LEDGER_DEAD_LETTERS`.

mod applier;
mod conservation;
mod dead_letters;
mod demand;
mod events;
mod fold;
mod history;
mod intake;
mod limits;
mod one;
mod orphans;
mod outcomes;
mod print;
mod read_models;
mod report;
mod reversals;
mod rights;

use std::process::ExitCode;
use std::time::Duration;

use sqlx::postgres::PgPool;
use store::EventStore;
use tokio::time::Instant;
use transport::Nats;

use self::print::Totals;
use self::read_models::{FeedState, ReadModels};
use self::report::{Invariant, Report};
use crate::arguments::VerifyArguments;
use crate::exit;
use crate::output::Format;
use crate::servers_at::ServerArguments;

pub(crate) use self::one::check_one;

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &VerifyArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let nats = servers.nats().await?;
    let (store, pool) = (servers.event_store()?, servers.read_model()?);
    let wait = Duration::from_secs(arguments.wait_seconds);
    let checked = check(&nats, &store, &pool, wait).await?;
    checked.print(output)?;
    Ok(if checked.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::NO)
    })
}

/// What a look at everything has found.
pub(crate) struct Checked {
    report: Report,
    totals: Totals,
}

impl Checked {
    /// Whether nothing is violated.
    pub(crate) fn is_ok(&self) -> bool {
        self.report.is_ok()
    }

    /// Prints it as `chronicle verify` does.
    pub(crate) fn print(&self, output: Format) -> anyhow::Result<()> {
        self.report.print(&self.totals, output)
    }

    /// The document that `chronicle -o json verify` prints.
    pub(crate) fn document(&self) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::to_value(self.report.document(&self.totals))?)
    }
}

/// Looks at everything. Waits at most `wait` for projections that are behind.
pub(crate) async fn check(
    nats: &Nats,
    store: &EventStore,
    pool: &PgPool,
    wait: Duration,
) -> anyhow::Result<Checked> {
    let started = Instant::now();
    let mut read_models = ReadModels::new(pool.clone(), store.clone(), started + wait);
    store.ping().await?;
    read_models.reach().await?;

    let mut report = Report::default();
    let mut totals = Totals::default();
    rights::check(store, &mut report).await?;
    let feed_before = FeedState::look(nats).await?;
    read_models.begin().await?;
    let mut snapshot = store.snapshot().await?;
    let seen = events::walk(&mut snapshot, &mut read_models, &mut report).await?;
    outcomes::walk(&mut snapshot, seen.events, &mut totals, &mut report).await?;
    snapshot.close().await?;
    let feed_after = FeedState::look(nats).await?;
    read_models
        .conclude(
            &seen,
            (feed_before.as_ref(), feed_after.as_ref()),
            &mut report,
        )
        .await?;
    applier::check(pool, nats, &mut report).await?;
    let (partitions, without_outcome) = intake::check(nats, store, &mut report).await?;
    dead_letters::check(nats, without_outcome, &mut report).await?;
    limits::check(nats, partitions.as_ref(), &mut report).await?;
    remarks(&mut report);

    totals.accounts = seen.accounts;
    totals.events = seen.events;
    totals.currencies = seen.conservation.totals();
    totals.elapsed_ms = u64::try_from(started.elapsed().as_millis())?;
    Ok(Checked { report, totals })
}

/// What cannot be seen from outside, and where it is proved instead.
fn remarks(report: &mut Report) {
    report.note(
        Invariant::OneOutcome,
        "that a repeated command gets its first outcome is proved by the store's tests",
    );
}
