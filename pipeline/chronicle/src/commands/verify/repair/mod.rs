//! `--repair`: makes the rows anew that were found to be wrong, from the event store, and says what became of each.
//!
//! The event store is what everything is mended from, so it must be beyond doubt: [`Report::mend_nothing`] has the reason
//! when it is not, and then nothing is changed anywhere.
//!
//! Transfers come first, for their rows belong to two accounts; `daily_totals`, whose rows belong to all, is built anew
//! beside the live rows. What cannot be mended keeps the rest from nothing.

mod print;

use clap::Parser;
use engine::RetryClass;
use serde::Serialize;
use sinks::projection::audit::{self, Order};
use sinks::projection::repair::{self, Repaired, TransferPlace};
use sinks::projection::{DailyTotals, Projection, retired};
use sqlx::postgres::PgPool;
use store::EventStore;
use uuid::Uuid;

use super::damages::{Extent, First};
use super::report::Report;
use crate::arguments::Tuning;
use crate::commands::reach;
use crate::rebuild::{Progress, Settings, rebuild};
use crate::run::{self, Urls};
use crate::servers_at::ServerArguments;

/// How often a rebuild is tried that fails for a reason that may pass, such as a reader who holds the table for long.
const REBUILDS_MAX: u32 = 3;

/// What is mended, and what became of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Item {
    projection: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_id: Option<Uuid>,
    /// Where it was found first.
    #[serde(flatten)]
    first: First,
    /// Null while it has not been tried.
    mended: Option<bool>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    rows_removed: u64,
    events: u64,
    #[serde(skip)]
    extent: Extent,
}

/// A repair, planned or carried out.
#[derive(Debug, Serialize)]
pub(super) struct Repair {
    pub(super) dry_run: bool,
    /// Why nothing may be mended.
    refused: Option<String>,
    items: Vec<Item>,
    /// How many findings are about rows that this run does not come to.
    more: u64,
}

/// Who orders it, and why.
pub(super) struct Given<'a> {
    pub(super) servers: &'a ServerArguments,
    pub(super) store: &'a EventStore,
    pub(super) pool: &'a PgPool,
    pub(super) reason: Option<&'a str>,
}

/// Numbers of pipelines as the environment has them.
#[derive(Debug, Parser)]
struct Usual {
    #[command(flatten)]
    tuning: Tuning,
}

impl Repair {
    /// What would be done about a report. Changes nothing.
    pub(super) async fn plan(given: &Given<'_>, report: &Report) -> anyhow::Result<Self> {
        let mut items = Vec::new();
        let mut more = 0;
        for (projection, damaged) in report.damages.in_order() {
            more += damaged.more;
            for (extent, first) in &damaged.extents {
                items.push(Item {
                    projection,
                    transfer_id: match extent {
                        Extent::Transfer(transfer_id) => Some(*transfer_id),
                        _ => None,
                    },
                    first: first.clone(),
                    mended: None,
                    why: None,
                    rows_removed: 0,
                    events: 0,
                    extent: extent.clone(),
                });
            }
        }
        let mut plan = Self {
            dry_run: true,
            refused: report.mend_nothing.clone().filter(|_| !items.is_empty()),
            items,
            more,
        };
        for item in &mut plan.items {
            if item.extent == Extent::Everything {
                item.why = blocked(given, item.projection).await?;
            }
        }
        Ok(plan)
    }

    /// Whether anything is to be done.
    pub(super) fn is_due(&self) -> bool {
        self.refused.is_none() && !self.items.is_empty()
    }

    /// Carries the plan out.
    pub(super) async fn carry_out(&mut self, given: &Given<'_>) {
        self.dry_run = false;
        let by = reach::operator();
        let order = Order {
            by: &by,
            reason: given.reason,
        };
        for item in &mut self.items {
            if item.why.is_some() {
                item.mended = Some(false);
                continue;
            }
            match mend(given, item, &order).await {
                Ok(repaired) => {
                    item.mended = Some(true);
                    item.rows_removed = repaired.rows_removed;
                    item.events = repaired.events;
                }
                Err(error) => {
                    item.mended = Some(false);
                    item.why = Some(format!("{error:#}"));
                }
            }
        }
    }
}

async fn mend(given: &Given<'_>, item: &Item, order: &Order<'_>) -> anyhow::Result<Repaired> {
    let projection = item.projection;
    match &item.extent {
        Extent::Account(account_id) => {
            let (pool, store) = (given.pool, given.store);
            Ok(repair::account(pool, store, projection, account_id, order).await?)
        }
        Extent::Transfer(transfer_id) => {
            let account_id = item
                .first
                .account_id
                .as_ref()
                .and_then(|id| id.parse().ok());
            let version = item.first.version.map(i64::unsigned_abs);
            let place = TransferPlace {
                transfer_id: *transfer_id,
                event: account_id.zip(version.map(ledger::Version::new)),
            };
            Ok(repair::transfer(given.pool, given.store, &place, order).await?)
        }
        Extent::Everything if projection == DailyTotals::NAME => build_anew(given, order).await,
        Extent::Everything => anyhow::bail!(
            "its rows are not those of single accounts; build it anew: chronicle projection rebuild {projection}"
        ),
    }
}

/// What keeps a rebuilt model from being swapped in.
async fn blocked(given: &Given<'_>, projection: &str) -> anyhow::Result<Option<String>> {
    let kept = retired::look(given.pool, projection).await?;
    Ok(kept.map(|_| {
        format!(
            "{projection} is mended by building it anew, and that could not be swapped in: the model from before the last swap \
             is still kept. Go back to it (chronicle projection rollback {projection}) or remove it (chronicle projection \
             prune {projection}), and repair again"
        )
    }))
}

/// Rows that belong to all accounts are built anew beside the live ones, compared, and swapped in.
async fn build_anew(given: &Given<'_>, order: &Order<'_>) -> anyhow::Result<Repaired> {
    let (nats, event_store, read_model) = (
        given.servers.nats_url()?,
        given.servers.event_store_url()?,
        given.servers.read_model_url()?,
    );
    let urls = Urls {
        nats: &nats,
        event_store: &event_store,
        read_model: &read_model,
    };
    let tuning = Usual::try_parse_from(["chronicle"])?.tuning;
    let parts = run::parts(&urls, &tuning).await?;
    let settings = Settings {
        by: order.by.to_owned(),
        reason: order.reason.map(str::to_owned),
        rate: None,
        prune_older: false,
    };
    let name = DailyTotals::NAME;
    let mut attempt = 1;
    let rebuilt = loop {
        let failure =
            match rebuild::<DailyTotals>(&parts, &settings, &mut Progress::shown(name)).await {
                Ok(rebuilt) => break rebuilt,
                Err(failure) => failure,
            };
        // What was built is kept, and the next one goes on from there.
        if failure.class() != RetryClass::Retry || attempt == REBUILDS_MAX {
            anyhow::bail!("{}", failure.chain());
        }
        attempt += 1;
    };
    let details = serde_json::json!({"rebuilt": true, "events": rebuilt.walked});
    audit::repaired(given.pool, name, order, details).await?;
    Ok(Repaired {
        events: rebuilt.walked,
        ..Repaired::default()
    })
}
