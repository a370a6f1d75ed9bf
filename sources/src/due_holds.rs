//! Holds whose time is over: the timer of the ledger.
//!
//! Looks into the read model `holds` at intervals, by the database's clock, and delivers what is due and still open. What
//! is settled is noted in `hold_expiry_requests`, so it does not come again, after a restart or in another process, until
//! [`AGAIN_AFTER`]: by then the hold has expired and is gone from here, or the request came to nothing.
//!
//! The read model may be behind, and two timers may run: both only lead to requests that the ledger refuses. Whether a
//! hold is over is decided there.
//!
//! No log lies behind it: positions count within one run.
//!
//! State: the holds that were delivered and not settled, at most [`IN_FLIGHT_MAX`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{Delivery, Failure, Opened, Resume, Settler, Source};
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use ledger::{AccountId, HoldId};
use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};
use tokio::time::Instant;
use uuid::Uuid;

/// How often to look. Nobody relies on the instant at which a hold ends: it cannot be captured from then on in any case.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After how many seconds to ask again for a hold that is still there.
const AGAIN_AFTER_SECONDS: f64 = 60.0;
/// How many may be delivered and not settled.
const IN_FLIGHT_MAX: usize = 500;
/// How often to forget requests for holds that are gone.
const FORGET_EVERY: Duration = Duration::from_mins(10);

/// One walk along the index of open holds by their end. `now()` and not the clock: it is fixed within a statement, so the
/// walk can stop at it.
const DUE: &str = "
SELECT held.account_id, held.hold_id, COALESCE(asked.attempts, 0) AS attempts
FROM holds AS held
LEFT JOIN hold_expiry_requests AS asked ON asked.account_id = held.account_id AND asked.hold_id = held.hold_id
WHERE held.remaining > 0 AND held.expires_at <= now()
    AND (asked.requested_at IS NULL OR asked.requested_at < now() - make_interval(secs => $1))
ORDER BY held.expires_at, held.account_id, held.hold_id LIMIT $2";

/// The attempt only rises: two timers that ask at the same time ask by the same one.
const NOTE: &str = "
INSERT INTO hold_expiry_requests AS known (account_id, hold_id, attempts, requested_at)
SELECT account_id, hold_id, attempts, clock_timestamp()
FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS asked(account_id, hold_id, attempts)
ON CONFLICT (account_id, hold_id) DO UPDATE SET
    attempts = GREATEST(known.attempts, excluded.attempts), requested_at = excluded.requested_at";

const FORGET: &str = "
DELETE FROM hold_expiry_requests AS asked
WHERE asked.requested_at < clock_timestamp() - make_interval(secs => $1) AND NOT EXISTS (
    SELECT 1 FROM holds AS held
    WHERE held.account_id = asked.account_id AND held.hold_id = asked.hold_id AND held.remaining > 0)";

/// A hold that is over and still open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueHold {
    /// The account.
    pub account_id: AccountId,
    /// The hold.
    pub hold_id: HoldId,
    /// How often it has been asked for, this time included.
    pub attempt: u64,
}

/// The source.
pub struct DueHolds {
    read_model: PgPool,
}

impl DueHolds {
    /// A source over the read model's database.
    pub fn new(read_model: &PgPool) -> Self {
        Self {
            read_model: read_model.clone(),
        }
    }
}

impl Source for DueHolds {
    type Item = DueHold;

    async fn open(self, _: Option<Resume>) -> Result<Opened<DueHold>, Failure> {
        let in_flight = InFlight::default();
        let timer = Timer {
            read_model: self.read_model.clone(),
            in_flight: in_flight.clone(),
            found: VecDeque::new(),
            position: 0,
            forget_at: Instant::now(),
        };
        let deliveries = stream::unfold(Some(timer), |timer| async {
            let mut timer = timer?;
            let next = timer.next().await;
            let go_on = next.is_ok().then_some(timer);
            Some((next, go_on))
        });
        Ok(Opened {
            deliveries: deliveries.boxed(),
            settler: Box::new(Requests {
                read_model: self.read_model,
                in_flight,
            }),
        })
    }

    fn describe(&self) -> String {
        format!(
            "PostgreSQL holds that are over and open, every {} s",
            LOOK_EVERY.as_secs()
        )
    }
}

/// What was delivered and is not settled, by position.
#[derive(Clone, Default)]
struct InFlight(Arc<Mutex<BTreeMap<u64, DueHold>>>);

impl InFlight {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<u64, DueHold>) -> T) -> T {
        // Whatever a panic left there is still a map.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Timer {
    read_model: PgPool,
    in_flight: InFlight,
    found: VecDeque<DueHold>,
    position: u64,
    forget_at: Instant,
}

impl Timer {
    /// Waits for the next hold that is over.
    async fn next(&mut self) -> Result<Delivery<DueHold>, Failure> {
        loop {
            if let Some(item) = self.found.pop_front() {
                self.position += 1;
                let (position, noted) = (self.position, item.clone());
                self.in_flight
                    .with(|in_flight| in_flight.insert(position, noted));
                return Ok(Delivery {
                    position,
                    origin: None,
                    item,
                });
            }
            self.look().await?;
            if self.found.is_empty() {
                self.forget().await?;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let rows = sqlx::query(DUE)
            .bind(AGAIN_AFTER_SECONDS)
            .bind(i64::try_from(IN_FLIGHT_MAX).expect("a small number"))
            .fetch_all(&self.read_model)
            .await
            .map_err(|error| {
                failure(
                    "the read model cannot be asked for holds that are over",
                    error,
                )
            })?;
        let found: Vec<DueHold> = rows.iter().map(due_hold).collect::<Result<_, _>>()?;
        self.found = self.in_flight.with(|in_flight| {
            let is_new = |hold: &DueHold| {
                !in_flight.values().any(|known| {
                    (&known.account_id, known.hold_id) == (&hold.account_id, hold.hold_id)
                })
            };
            let room = IN_FLIGHT_MAX.saturating_sub(in_flight.len());
            found.into_iter().filter(is_new).take(room).collect()
        });
        Ok(())
    }

    async fn forget(&mut self) -> Result<(), Failure> {
        if Instant::now() < self.forget_at {
            return Ok(());
        }
        self.forget_at = Instant::now() + FORGET_EVERY;
        sqlx::query(FORGET)
            .bind(AGAIN_AFTER_SECONDS)
            .execute(&self.read_model)
            .await
            .map(drop)
            .map_err(|error| failure("old requests cannot be removed from the read model", error))
    }
}

fn due_hold(row: &PgRow) -> Result<DueHold, Failure> {
    let unreadable =
        |message: String| Failure::fatal(format!("a row of holds cannot be read: {message}"));
    let text = |error: sqlx::Error| unreadable(error.to_string());
    let account_id: &str = row.try_get("account_id").map_err(text)?;
    let hold_id: Uuid = row.try_get("hold_id").map_err(text)?;
    let attempts: i64 = row.try_get("attempts").map_err(text)?;
    Ok(DueHold {
        account_id: account_id
            .parse()
            .map_err(|error: ledger::InvalidId| unreadable(error.to_string()))?,
        hold_id: hold_id.into(),
        attempt: attempts.unsigned_abs() + 1,
    })
}

/// Notes what was asked for.
struct Requests {
    read_model: PgPool,
    in_flight: InFlight,
}

impl Settler for Requests {
    fn settle(&mut self, position: u64) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let settled: Vec<DueHold> = self.in_flight.with(|in_flight| {
                in_flight
                    .range(..=position)
                    .map(|(_, hold)| hold.clone())
                    .collect()
            });
            if settled.is_empty() {
                return Ok(());
            }
            let account_id: Vec<&str> = settled
                .iter()
                .map(|hold| hold.account_id.as_str())
                .collect();
            let hold_id: Vec<Uuid> = settled.iter().map(|hold| hold.hold_id.as_uuid()).collect();
            let attempt: Vec<i64> = settled
                .iter()
                .map(|hold| i64::try_from(hold.attempt).unwrap_or(i64::MAX))
                .collect();
            sqlx::query(NOTE)
                .bind(account_id)
                .bind(hold_id)
                .bind(attempt)
                .execute(&self.read_model)
                .await
                .map_err(|error| failure("requests cannot be noted in the read model", error))?;
            // Only now: a hold that is in neither place would be delivered again.
            self.in_flight
                .with(|in_flight| in_flight.retain(|delivered, _| *delivered > position));
            Ok(())
        })
    }
}

fn failure(message: &str, error: sqlx::Error) -> Failure {
    Failure::retry(message).because(error)
}
