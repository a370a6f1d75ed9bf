//! `chronicle verify`: checks, from outside, everything that DESIGN §3 promises.
//!
//! The event store is read from one snapshot, in pages; read models and streams are read as they are, and go on
//! changing meanwhile. Memory does not grow with the events: each part says what it keeps. Nothing is changed anywhere,
//! but for short-lived consumers that read `LEDGER_DEAD_LETTERS` and, with `--deep`, `LEDGER_EVENTS`; `--repair` mends
//! read models, and them alone.

mod applier;
mod conservation;
mod damages;
mod dead_letters;
mod deep;
mod demand;
mod events;
mod feed_heads;
mod fold;
mod history;
mod intake;
mod limits;
mod one;
mod orphans;
mod outcomes;
mod print;
mod read_models;
mod repair;
mod report;
mod reversals;
mod rights;
mod slowly;

use std::process::ExitCode;
use std::time::Duration;

use sqlx::postgres::PgPool;
use store::EventStore;
use tokio::time::Instant;
use transport::Nats;

use self::deep::Deep;
use self::print::Totals;
use self::read_models::{FeedState, ReadModels};
use self::repair::{Given, Repair};
use self::report::{Invariant, Report};
use crate::arguments::VerifyArguments;
use crate::exit;
use crate::output::Format;
use crate::servers_at::ServerArguments;

pub(crate) use self::one::check_one;
pub(crate) use self::slowly::{Found, Slowly};

/// What is compared.
struct Verification {
    nats: Nats,
    store: EventStore,
    pool: PgPool,
    /// How long projections that are behind are waited for.
    wait: Duration,
    /// Whether each message of the feed is compared, too.
    is_deep: bool,
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
        self.report.print(&self.totals, None, output)
    }

    /// The document that `chronicle -o json verify` prints.
    pub(crate) fn document(&self) -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::to_value(
            self.report.document(&self.totals, None),
        )?)
    }
}

/// Looks at everything, as `chronicle verify` does. Waits at most `wait` for projections that are behind.
pub(crate) async fn check(
    nats: &Nats,
    store: &EventStore,
    pool: &PgPool,
    wait: Duration,
) -> anyhow::Result<Checked> {
    let verification = Verification {
        nats: nats.clone(),
        store: store.clone(),
        pool: pool.clone(),
        wait,
        is_deep: false,
    };
    let (report, totals) = Box::pin(verification.compare()).await?;
    Ok(Checked { report, totals })
}

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &VerifyArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let verification = Verification {
        nats: servers.nats().await?,
        store: servers.event_store()?,
        pool: servers.read_model()?,
        wait: Duration::from_secs(arguments.wait_seconds),
        is_deep: arguments.deep || arguments.repair,
    };
    let (report, totals) = Box::pin(verification.compare()).await?;
    if !arguments.repair {
        report.print(&totals, None, output)?;
        return Ok(answer(&report));
    }
    let given = Given {
        servers,
        store: &verification.store,
        pool: &verification.pool,
        reason: arguments.reason.as_deref(),
    };
    let mut repair = Repair::plan(&given, &report).await?;
    if output == Format::Table {
        report.print(&totals, None, output)?;
        repair.print_plan()?;
    }
    if arguments.dry_run || !repair.is_due() {
        repair.dry_run = arguments.dry_run;
        if output == Format::Json {
            report.print(&totals, Some((&repair, &report)), output)?;
        }
        return Ok(answer(&report));
    }
    Box::pin(repair.carry_out(&given)).await;
    if output == Format::Table {
        repair.print_done()?;
    }
    // Whatever was mended or not: what counts is what is there now.
    let (after, totals) = Box::pin(verification.compare()).await?;
    after.print(&totals, Some((&repair, &report)), output)?;
    Ok(answer(&after))
}

fn answer(report: &Report) -> ExitCode {
    if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::NO)
    }
}

impl Verification {
    /// Compares everything with everything.
    async fn compare(&self) -> anyhow::Result<(Report, Totals)> {
        let started = Instant::now();
        let (nats, store, pool) = (&self.nats, &self.store, &self.pool);
        let deadline = started + self.wait;
        let mut read_models =
            ReadModels::new(pool.clone(), store.clone(), deadline).thoroughly(self.is_deep);
        store.ping().await?;
        read_models.reach().await?;

        let mut report = Report::default();
        let mut totals = Totals::default();
        rights::check(store, &mut report).await?;
        let rights = about_event_store(&report);
        let feed_before = FeedState::look(nats).await?;
        read_models.begin().await?;
        let mut snapshot = store.snapshot().await?;
        let seen = events::walk(&mut snapshot, &mut read_models, &mut report).await?;
        outcomes::walk(&mut snapshot, seen.events, &mut totals, &mut report).await?;
        snapshot.close().await?;
        if about_event_store(&report) > rights {
            report.mend_nothing(
                "the event store itself is damaged, and nothing else knows what was in it; see runbooks/divergence.md",
            );
        }
        let feed_after = FeedState::look(nats).await?;
        read_models
            .conclude(
                &seen,
                (feed_before.as_ref(), feed_after.as_ref()),
                &mut report,
            )
            .await?;
        if self.is_deep {
            let deep = Deep {
                nats,
                store,
                accounts: seen.accounts,
            };
            Box::pin(deep.compare(&mut report)).await?;
        }
        applier::check(pool, nats, &mut report).await?;
        let (partitions, without_outcome) = intake::check(nats, store, &mut report).await?;
        dead_letters::check(nats, without_outcome, &mut report).await?;
        limits::check(nats, partitions.as_ref(), &mut report).await?;
        remarks(&mut report);

        totals.accounts = seen.accounts;
        totals.events = seen.events;
        totals.currencies = seen.conservation.totals();
        totals.elapsed_ms = u64::try_from(started.elapsed().as_millis())?;
        Ok((report, totals))
    }
}

/// How much is wrong with the event store itself.
fn about_event_store(report: &Report) -> u64 {
    let invariants = [
        Invariant::AppendOnly,
        Invariant::GaplessVersions,
        Invariant::OneOutcome,
        Invariant::AtomicCommand,
        Invariant::NoOverdraft,
        Invariant::Conservation,
        Invariant::MonotonicTime,
    ];
    let each = invariants.map(|invariant| report.violations(invariant));
    each.into_iter().sum()
}

/// What cannot be seen from outside, and where it is proved instead.
fn remarks(report: &mut Report) {
    report.note(
        Invariant::OneOutcome,
        "that a repeated command gets its first outcome is proved by the store's tests",
    );
}
