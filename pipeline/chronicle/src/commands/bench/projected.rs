//! When the projections have applied everything that the feed holds.

use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio::time::Instant;
use transport::{Nats, streams};

use super::tickets::Clock;

/// Without any progress for so long, something is wrong with a projection.
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The projection whose rows are watched.
const WATCHED: &str = "account_balance";

/// When everything was applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Projected {
    /// By `account_balance`.
    pub(super) balances_at: u64,
    /// By every projection.
    pub(super) all_at: u64,
}

/// Waits until every projection has applied what the feed holds now.
pub(super) async fn wait(nats: &Nats, pool: &PgPool, clock: Clock) -> anyhow::Result<Projected> {
    let Some(feed) = streams::existing(&nats.jetstream, streams::EVENTS).await? else {
        bail!("there is no feed; `chronicle run` makes it");
    };
    let last = i64::try_from(feed.cached_info().state.last_sequence)?;
    let mut balances_at = None;
    let (mut seen, mut moved_at) = (0, Instant::now());
    loop {
        let rows = sqlx::query("SELECT projection, last_sequence FROM projection_offsets")
            .fetch_all(pool)
            .await
            .context("the offsets of the projections cannot be read")?;
        let offsets: Vec<(String, i64)> = rows
            .iter()
            .map(|row| (row.get("projection"), row.get("last_sequence")))
            .filter(|(name, _): &(String, i64)| sinks::projection::NAMES.contains(&name.as_str()))
            .collect();
        let now = clock.now();
        let balances = offsets.iter().find(|(name, _)| name == WATCHED);
        if balances.is_some_and(|(_, offset)| *offset >= last) {
            balances_at.get_or_insert(now);
        }
        let behind = offsets.iter().find(|(_, offset)| *offset < last);
        match (balances_at, behind) {
            (Some(balances_at), None) => {
                return Ok(Projected {
                    balances_at,
                    all_at: now,
                });
            }
            (_, behind) => {
                let sum = offsets.iter().map(|(_, offset)| *offset).sum();
                if sum > seen {
                    (seen, moved_at) = (sum, Instant::now());
                }
                if moved_at.elapsed() >= GIVE_UP_AFTER {
                    bail!(
                        "projection {} does not get on: see `chronicle projection list`",
                        behind.map_or(WATCHED, |(name, _)| name)
                    );
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
