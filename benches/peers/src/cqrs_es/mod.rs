//! cqrs-es with postgres-es: an aggregate for each account, its events in PostgreSQL, and a view that is brought up to date
//! after each command, before it is answered, in a transaction of its own: as the library's user guide has it.

mod account;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use cqrs_es::persist::{GenericQuery, PersistenceError};
use cqrs_es::{AggregateError, Query};
use postgres_es::{PostgresCqrs, PostgresViewRepository, postgres_cqrs, postgres_snapshot_cqrs};
use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio::task::JoinSet;

use self::account::{Account, AccountCommand, AccountView};
use crate::drive::{Answer, Peer, Tally};
use crate::workload::{ACTOR, DESCRIPTION, Order, Workload};

const SCHEMA: &str = include_str!("schema.sql");
const HISTORY: &str = include_str!("history.sql");
const CHECK: &str = include_str!("check.sql");
/// The name of the view's table.
const VIEW: &str = "account_view";
/// After so many conflicts with others a command counts as failed. None comes near.
const TRIES_MAX: u64 = 100_000;

type AccountQuery =
    GenericQuery<PostgresViewRepository<AccountView, Account>, AccountView, Account>;

/// What there is before the first command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct History {
    /// Of each account, its opening included.
    pub(crate) events: u32,
    /// After how many events a snapshot is written; None: without.
    pub(crate) snapshot_every: Option<u32>,
}

/// An application of the library.
pub(crate) struct CqrsEs {
    framework: PostgresCqrs<Account>,
    pool: PgPool,
    accounts: Vec<String>,
    history: History,
    missed: Arc<Missed>,
}

/// How often the view could not be brought up to date.
#[derive(Debug, Default)]
struct Missed {
    /// Somebody else was doing it at that moment.
    conflicts: AtomicU64,
    failures: AtomicU64,
}

/// What the check has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Those of the commands, without what was there before.
    pub(crate) events: u64,
    /// Accounts whose view is not what its events come to.
    pub(crate) wrong_views: u64,
}

impl CqrsEs {
    /// Makes the tables, opens the accounts with money in them, by so many tasks, and lengthens their history.
    pub(crate) async fn open(
        pool: PgPool,
        workload: &Workload,
        history: History,
        tasks: usize,
    ) -> anyhow::Result<Arc<Self>> {
        sqlx::raw_sql(SCHEMA)
            .execute(&pool)
            .await
            .context("the tables cannot be made")?;
        let missed = Arc::new(Missed::default());
        let peer = Arc::new(Self {
            framework: framework(&pool, history, &missed)?,
            pool,
            accounts: workload.accounts().to_vec(),
            history,
            missed,
        });
        let mut opening = JoinSet::new();
        for first in 0..tasks {
            let (peer, funds_cents) = (Arc::clone(&peer), workload.funds_cents);
            opening.spawn(async move { peer.open_each(first, tasks, funds_cents).await });
        }
        while let Some(opened) = opening.join_next().await {
            opened?.context("the accounts cannot be opened")?;
        }
        if history.events > 1 {
            peer.lengthen(workload.funds_cents).await?;
        }
        sqlx::raw_sql("ANALYZE").execute(&peer.pool).await?;
        Ok(peer)
    }

    /// Opens every `step`th account.
    async fn open_each(&self, first: usize, step: usize, initial_cents: i64) -> anyhow::Result<()> {
        for (index, account) in self.accounts.iter().enumerate().skip(first).step_by(step) {
            let command = AccountCommand::Open {
                owner_name: format!("Owner {index}"),
                initial_cents,
            };
            self.framework
                .execute_with_metadata(account, command, metadata())
                .await?;
        }
        Ok(())
    }

    async fn lengthen(&self, funds_cents: i64) -> anyhow::Result<()> {
        let events = self.history.events;
        let snapshots = self
            .history
            .snapshot_every
            .map_or(0, |every| events / every);
        sqlx::query(HISTORY)
            .bind(funds_cents)
            .bind(i64::from(events))
            .bind(sqlx::types::Json(metadata()))
            .bind(i64::from(snapshots))
            .execute(&self.pool)
            .await
            .context("the history cannot be written")?;
        Ok(())
    }

    /// Whether the books are right after `tally`. Views that are not are counted, and no error: the library does not promise
    /// them.
    pub(crate) async fn check(
        &self,
        workload: &Workload,
        tally: &Tally,
    ) -> anyhow::Result<Checked> {
        let row = sqlx::query(CHECK).fetch_one(&self.pool).await?;
        let count = |name| u64::try_from(row.get::<i64, _>(name));
        let accounts = self.accounts.len() as u64;
        ensure!(
            count("accounts")? == accounts,
            "{} accounts of {accounts}",
            count("accounts")?
        );
        let (events, before) = (count("events")?, accounts * u64::from(self.history.events));
        ensure!(
            events == before + tally.accepted,
            "{events} events, not {before} and one for each of {} accepted commands",
            tally.accepted
        );
        // Each deposit of the history is one cent.
        let total: i64 = row.get("total_cents");
        let expected =
            workload.total_cents() + i64::try_from(before - accounts)? + tally.deposited_cents
                - tally.withdrawn_cents;
        ensure!(
            total == expected,
            "not conserved: {total} cents in all accounts, not {expected}"
        );
        for (name, what) in [
            ("negative", "balances were below zero"),
            ("with_holes", "accounts have holes in their sequence"),
            ("wrong_balances", "events have a balance that is not theirs"),
        ] {
            ensure!(count(name)? == 0, "{} {what}", count(name)?);
        }
        let failures = self.missed.failures.load(Ordering::Relaxed);
        ensure!(failures == 0, "the view failed {failures} times");
        let (wrong_views, conflicts) = (
            count("wrong_views")?,
            self.missed.conflicts.load(Ordering::Relaxed),
        );
        ensure!(
            (wrong_views == 0) == (conflicts == 0),
            "{wrong_views} views are wrong after {conflicts} conflicts"
        );
        Ok(Checked {
            events: events - before,
            wrong_views,
        })
    }

    /// Ends its connections.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

fn framework(
    pool: &PgPool,
    history: History,
    missed: &Arc<Missed>,
) -> anyhow::Result<PostgresCqrs<Account>> {
    let repository = PostgresViewRepository::new(VIEW, pool.clone());
    let mut query = AccountQuery::new(Arc::new(repository));
    let missed = Arc::clone(missed);
    query.use_error_handler(Box::new(move |error| missed.count(&error)));
    let queries: Vec<Box<dyn Query<Account>>> = vec![Box::new(query)];
    Ok(match history.snapshot_every {
        None => postgres_cqrs(pool.clone(), queries, ()),
        Some(every) => postgres_snapshot_cqrs(pool.clone(), queries, usize::try_from(every)?, ()),
    })
}

impl Missed {
    fn count(&self, error: &PersistenceError) {
        let counter = if matches!(error, PersistenceError::OptimisticLockError) {
            &self.conflicts
        } else {
            eprintln!("the view: {error}");
            &self.failures
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What goes with each event, as in the user guide.
fn metadata() -> HashMap<String, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let entries = [
        ("time_us", now.unwrap_or_default().as_micros().to_string()),
        ("description", DESCRIPTION.to_owned()),
        ("actor", ACTOR.to_owned()),
    ];
    entries.map(|(key, value)| (key.to_owned(), value)).into()
}

impl Peer for CqrsEs {
    type Session = ();

    async fn session(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// A conflict is for the caller to try again, says the library; it is done at once.
    async fn execute(&self, (): &mut (), order: Order) -> anyhow::Result<Answer> {
        let (account, command) = match order {
            Order::Deposit { to, cents } => (to, AccountCommand::Deposit { cents }),
            Order::Withdraw { from, cents } => (from, AccountCommand::Withdraw { cents }),
            Order::Transfer { .. } => {
                bail!("a command of cqrs-es is about one aggregate, a transfer about two")
            }
        };
        for retries in 0..TRIES_MAX {
            let executed = self.framework.execute_with_metadata(
                &self.accounts[account],
                command.clone(),
                metadata(),
            );
            let is_accepted = match executed.await {
                Ok(()) => true,
                Err(AggregateError::UserError(_)) => false,
                Err(AggregateError::AggregateConflict) => continue,
                Err(error) => return Err(error).with_context(|| format!("{order:?}")),
            };
            return Ok(Answer {
                is_accepted,
                retries,
            });
        }
        bail!("{order:?} met {TRIES_MAX} conflicts")
    }
}

#[cfg(test)]
mod tests;
