//! One read model against the event store: every row, by the same comparison as for all of them.

use std::time::Duration;

use sqlx::postgres::PgPool;
use store::EventStore;
use tokio::time::Instant;
use transport::Nats;

use super::events;
use super::read_models::{FeedState, ReadModels};
use super::report::{Finding, Invariant, Report};

/// What the comparison of one read model has found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checked {
    /// Events compared with its rows.
    pub(crate) events: u64,
    /// How many rows are not what they must be.
    pub(crate) violations: u64,
    /// The first of them, in words.
    pub(crate) named: Vec<String>,
    /// What could not be compared, because it lagged behind.
    pub(crate) open: Vec<String>,
}

/// Compares one read model, over connections that see its tables, with a fold of the event store. It may go on changing
/// meanwhile; what it lacks is waited for.
pub(crate) async fn check_one(
    store: &EventStore,
    nats: &Nats,
    pool: &PgPool,
    projection: &str,
    wait: Duration,
) -> anyhow::Result<Checked> {
    let deadline = Instant::now() + wait;
    let mut read_models = ReadModels::new(pool.clone(), store.clone(), deadline).only(projection);
    let mut report = Report::default();
    let before = FeedState::look(nats).await?;
    read_models.begin().await?;
    let mut snapshot = store.snapshot().await?;
    let seen = events::walk(&mut snapshot, &mut read_models, &mut report).await?;
    snapshot.close().await?;
    let after = FeedState::look(nats).await?;
    let feed = (before.as_ref(), after.as_ref());
    read_models.conclude(&seen, feed, &mut report).await?;
    let mut checked = Checked {
        events: seen.events,
        ..Checked::default()
    };
    // What else may be wrong with the event store's rows is no fault of the read model.
    for invariant in [Invariant::ExactlyOnce, Invariant::Convergence] {
        checked.take(&report.findings[invariant as usize]);
    }
    Ok(checked)
}

impl Checked {
    fn take(&mut self, finding: &Finding) {
        const NAMED_MAX: usize = 3;
        self.violations += finding.violations_total;
        self.open.extend(finding.open.iter().cloned());
        for violation in &finding.violations {
            if self.named.len() < NAMED_MAX {
                self.named.push(format!(
                    "{} version {}: {}",
                    violation.account_id.as_deref().unwrap_or("-"),
                    violation
                        .version
                        .map_or_else(|| "-".to_owned(), |version| version.to_string()),
                    violation.message
                ));
            }
        }
    }
}
