//! Balances by business date: what was in an account by the books at one instant, as it was known at another.
//!
//! An event counts by the books from its `effective_at` on, and by the clock from its `recorded_at` on; from the later of
//! the two on, both agree about it. So the balance by the books is the balance by the clock, corrected by those events
//! that have a business date and whose later instant is yet to come: one range of one index, whichever way they were
//! dated. That costs as much as the account has dated events from the date on, and nothing for all others: the same at
//! any length of history.

use ledger::{Account, AccountId, Sum, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};

use crate::append::signed;
use crate::past::{account_at, state_then};
use crate::rows;
use crate::{Error, EventStore, Then};

/// What was in an account by the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalanceByDate {
    /// The account by the clock: as it was known at the time.
    pub known: Account,
    /// Its balance by the books. May be below the overdraft limit, which the order of recording alone decides, and have
    /// more digits than an amount.
    pub balance: Sum,
}

/// Of the account `$1`, as it was known at `$2`, at the business date `$3`; `$4` is the earlier of the two.
///
/// What was recorded until `$4` is in the balance of that instant, and is taken out if it is effective later; what was
/// recorded after it, and until `$2`, is put in if it is effective already.
const AT_THE_TIME: &str = "(
        SELECT balance_after FROM events WHERE timed_account_id = $1 AND recorded_at <= $4
        ORDER BY recorded_at DESC, version DESC LIMIT 1
     )::text AS balance_by_clock, (
        SELECT sum(CASE WHEN (event_type = 'MoneyDeposited') = (recorded_at > $4) THEN (data->>'amount')::numeric
            ELSE -(data->>'amount')::numeric END)
        FROM events
        WHERE dated_account_id = $1 AND dated_until > $3 AND recorded_at <= $2
            AND (recorded_at <= $4) = (effective_at > $3)
     )::text AS correction,";

impl EventStore {
    /// What was in an account at the business date `effective`, as it was known at `known`: all that was recorded at or
    /// before `known` and is effective at or before `effective`. `None` when the account was not known yet.
    ///
    /// Final when nothing can be recorded any more at or before `known`. What is recorded later can be dated back: it
    /// belongs to what is known later.
    pub async fn balance_by_date(
        &self,
        account_id: &AccountId,
        effective: Timestamp,
        known: Timestamp,
    ) -> Result<Then<Option<BalanceByDate>>, Error> {
        let statement = sqlx::query(AssertSqlSafe(account_at(AT_THE_TIME)))
            .bind(account_id.as_str())
            .bind(known.to_date_time())
            .bind(effective.to_date_time())
            .bind(effective.min(known).to_date_time());
        let row = self.fetch_one(statement).await?;
        let then = state_then(&row, known)?;
        Ok(Then {
            what: then.what.map(|known| by_date(&row, known)).transpose()?,
            asked_at: then.asked_at,
            is_final: then.is_final,
        })
    }
}

fn by_date(row: &PgRow, known: Account) -> Result<BalanceByDate, Error> {
    let sum = |name: &str| {
        let text: Option<&str> = row.try_get(name)?;
        let sum = text.map_or(Some(Sum::zero(known.currency())), |text| {
            Sum::from_database(text, known.currency())
        });
        sum.ok_or_else(|| Error::Unreadable {
            account_id: known.account_id.to_string(),
            version: signed(known.version),
            message: format!("{name}: {text:?} is no sum of its currency"),
        })
    };
    // The account may have been opened after the date.
    let by_clock = rows::optional::<&str>(row, "balance_by_clock")?;
    let balance = match by_clock {
        Some(text) => sum("correction")?.plus(rows::balance_of(row, text, known.currency())?),
        None => sum("correction")?,
    };
    Ok(BalanceByDate { known, balance })
}
