//! Projections that have not come as far as the snapshot: a violation only when the feed is idle, else a delay.

use anyhow::Context;
use engine::Failure;
use sqlx::Row;
use sqlx::postgres::PgPool;
use transport::Nats;
use transport::streams;

use super::{ALL, UNREADABLE};
use crate::commands::verify::report::{Invariant, Report, Violation};

/// How many accounts are named per projection.
const NAMED_MAX: usize = 3;

/// What a projection lacks.
#[derive(Debug, Default)]
pub(super) struct Behind {
    accounts: u64,
    events: u64,
    /// The first few: account, applied, newest.
    named: Vec<(String, i64, i64)>,
}

impl Behind {
    /// Adds an account if it is behind.
    pub(super) fn add(&mut self, account_id: &str, applied: i64, newest: i64) {
        if applied >= newest {
            return;
        }
        self.accounts += 1;
        self.events += newest.abs_diff(applied);
        if self.named.len() < NAMED_MAX {
            self.named.push((account_id.to_owned(), applied, newest));
        }
    }
}

/// The feed at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeedState {
    /// Which life of the stream it is.
    pub(crate) stream_id: String,
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
}

impl FeedState {
    /// The feed as it is now; `None` if there is none.
    pub(crate) async fn look(nats: &Nats) -> Result<Option<Self>, Failure> {
        let stream = streams::existing(&nats.jetstream, streams::EVENTS).await?;
        Ok(stream.map(|stream| {
            let state = &stream.cached_info().state;
            Self {
                stream_id: streams::identity(&stream),
                first_sequence: state.first_sequence,
                last_sequence: state.last_sequence,
            }
        }))
    }
}

/// Says of each projection that is behind whether it should not be. `feed` is the feed before and after.
pub(super) async fn judge(
    pool: &PgPool,
    behind: &[Behind; ALL.len()],
    feed: (Option<&FeedState>, Option<&FeedState>),
    report: &mut Report,
) -> anyhow::Result<()> {
    let end_of = |feed: Option<&FeedState>| feed.map_or(0, |feed| feed.last_sequence);
    let (before, end) = (end_of(feed.0), end_of(feed.1));
    let is_idle = before == end;
    for (read_model, behind) in ALL.into_iter().zip(behind) {
        if behind.accounts == 0 {
            continue;
        }
        let projection = read_model.name();
        let row = sqlx::query(
            "SELECT last_sequence, paused_at IS NOT NULL AS is_paused, COALESCE(paused_by, '') AS paused_by,
                COALESCE(pause_reason, '') AS pause_reason
             FROM projection_offsets WHERE projection = $1",
        )
            .bind(projection)
            .fetch_optional(pool)
            .await
            .context(UNREADABLE)?;
        let offset = row
            .as_ref()
            .map(|row| row.try_get::<i64, _>("last_sequence"))
            .transpose()?;
        let is_paused = match &row {
            Some(row) => row.try_get("is_paused")?,
            None => false,
        };
        let lacks = format!(
            "{projection} lacks {} events of {} accounts",
            behind.events, behind.accounts
        );
        let why = match offset {
            Some(offset) if is_paused => {
                let text = |name| {
                    row.as_ref()
                        .map_or(Ok(""), |row| row.try_get::<&str, _>(name))
                };
                format!(
                    "it is paused at offset {offset} by {}: {}; to go on: chronicle projection resume {projection}",
                    text("paused_by")?,
                    text("pause_reason")?
                )
            }
            None => format!(
                "it has never run; start it with `chronicle run --only projection.{projection}`"
            ),
            Some(offset) if offset.unsigned_abs() < end => {
                format!(
                    "its offset is {offset}, and the feed ends at {end}: does `chronicle run` run, and is it ready?"
                )
            }
            Some(offset) => format!(
                "its offset is {offset}, and the feed ends at {end}: what is missing is not in the feed; a projection that \
                 runs finds it in the event store within a minute or two of idleness (--wait-seconds waits for it)"
            ),
        };
        if !is_idle {
            let reason = format!("{lacks}: it lags behind a feed that moves; {why}");
            report.not_checked(Invariant::Convergence, reason);
            continue;
        }
        report.note(
            Invariant::Convergence,
            format!("{lacks}, and the feed is idle: {why}"),
        );
        for (account_id, applied, newest) in &behind.named {
            let violation = Violation::new("it is behind")
                .of(projection)
                .account(account_id)
                .values(format!("version {newest}"), format!("version {applied}"));
            report.violated(Invariant::Convergence, violation);
        }
        report.violated_too(
            Invariant::Convergence,
            behind.accounts - behind.named.len() as u64,
        );
    }
    Ok(())
}
