//! Reading the past: accounts and the whole book as they were at an instant. Costs the same at any length of history, as
//! does the reading of the present in `read`, and by the same means.
//!
//! Whether an answer is final (see [`FINAL_AFTER`](crate::FINAL_AFTER)) is judged by `transaction_timestamp()`, which no
//! statement may have that is not alone in its transaction or in a [`Snapshot`]. What a statement sees is fixed after
//! that instant, so it sees whatever was committed before it. `statement_timestamp()` would not do: PostgreSQL fixes
//! what a statement sees when it gets the values, and sets that clock once more when it is told to execute.

use std::collections::{BTreeMap, HashMap};

use ledger::{Account, AccountId, Currency, CurrencyCode, Sum, Timestamp, Version};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;

use crate::append::signed;
use crate::read::{ACCOUNTS_PER_STATEMENT, HEAD_COLUMNS, OPENED, accounts_from, events_at_places};
use crate::rows;
use crate::{Error, EventStore, Snapshot, Then};

/// What all accounts of one currency have together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CurrencyTotal {
    /// The currency.
    pub currency: Currency,
    /// How many accounts are kept in it.
    pub accounts: u64,
    /// The sum of their balances.
    pub balance: Sum,
}

/// Adds accounts up, by currency.
#[derive(Debug, Default)]
pub struct Totals(BTreeMap<CurrencyCode, CurrencyTotal>);

impl Totals {
    /// Adds an account's balance.
    pub fn add(&mut self, account: &Account) {
        let currency = account.currency();
        let total = self.0.entry(currency.code()).or_insert(CurrencyTotal {
            currency,
            accounts: 0,
            balance: Sum::zero(currency),
        });
        total.accounts += 1;
        total.balance = total.balance.plus(account.balance);
    }

    /// The sums, by the currencies' codes.
    pub fn into_vec(self) -> Vec<CurrencyTotal> {
        self.0.into_values().collect()
    }
}

/// How many accounts a walk over the book reads at a time.
const BOOK_PAGE: u32 = 1_024;

/// The state at `$2` of the account `$1`, in a row that is there in any case and says when it was asked for and whether
/// the account has moved on since; and `more`, each expression with a comma behind it.
pub(crate) fn account_at(more: &str) -> String {
    let head = at("$1", "$2");
    let account = accounts_from(&head);
    format!(
        "SELECT transaction_timestamp()::timestamptz AS asked_at, (
            SELECT true FROM events WHERE timed_account_id = $1 AND recorded_at > $2
            ORDER BY recorded_at, version LIMIT 1
         ) AS has_moved_on, {more} account.*
         FROM (SELECT 1) AS always LEFT JOIN ({account}) AS account ON true"
    )
}

/// The head of an account at an instant: its newest row that is not younger.
fn at(account_id: &str, instant: &str) -> String {
    format!(
        "SELECT {HEAD_COLUMNS} FROM events WHERE timed_account_id = {account_id} AND recorded_at <= {instant}
         ORDER BY recorded_at DESC, version DESC LIMIT 1"
    )
}

/// The states at `$2` of the first `count` accounts in the array `$1`; there may be fewer.
fn accounts_at(count: usize) -> String {
    let branches: Vec<String> = (1..=count)
        .map(|index| format!("({})", at(&format!("($1::text[])[{index}]"), "$2")))
        .collect();
    accounts_from(&branches.join(" UNION ALL "))
}

/// What a row of [`account_at`] says of the account at `at`.
pub(crate) fn state_then(row: &PgRow, at: Timestamp) -> Result<Then<Option<Account>>, Error> {
    let account = rows::optional::<&str>(row, "account_id")?
        .map(|_| rows::account(row))
        .transpose()?;
    let has_moved_on = rows::optional::<bool>(row, "has_moved_on")?.is_some();
    let mut then = Then::new(account, at, rows::clock(row, "asked_at")?);
    then.is_final |= has_moved_on;
    Ok(then)
}

impl EventStore {
    /// The database's clock.
    pub async fn now(&self) -> Result<Timestamp, Error> {
        let statement = sqlx::query("SELECT clock_timestamp()::timestamptz AS now");
        let row = self.fetch_one(statement).await?;
        rows::clock(&row, "now")
    }

    /// The state of an account at an instant: after the last event recorded at or before it. `None` when the account did
    /// not exist yet (or does not exist at all: [`account`](Self::account) tells).
    ///
    /// Final, too, as soon as the account has a later event: time rises within an account, so nothing can come before it.
    pub async fn account_at(
        &self,
        account_id: &AccountId,
        at: Timestamp,
    ) -> Result<Then<Option<Account>>, Error> {
        let statement = sqlx::query(AssertSqlSafe(account_at("")))
            .bind(account_id.as_str())
            .bind(at.to_date_time());
        let row = self.fetch_one(statement).await?;
        state_then(&row, at)
    }

    /// The state of an account after the event of that version. `None` when it has no such version.
    pub async fn account_at_version(
        &self,
        account_id: &AccountId,
        version: Version,
    ) -> Result<Option<Account>, Error> {
        let head =
            format!("SELECT {HEAD_COLUMNS} FROM events WHERE account_id = $1 AND version = $2");
        let statement = sqlx::query(AssertSqlSafe(accounts_from(&head)))
            .bind(account_id.as_str())
            .bind(signed(version));
        self.fetch_optional(statement)
            .await?
            .as_ref()
            .map(rows::account)
            .transpose()
    }

    /// A page of the whole book: at most `limit` of the accounts that were open at `at`, behind `after` in the database's
    /// order of ids, each with its state at that instant. Fewer than `limit`, and it is the last page.
    ///
    /// All of one page is seen at one instant, so that a transfer within it is there with both its halves or not at all;
    /// over several pages that holds when they are final, or come from one [`Snapshot`].
    pub async fn book_at(
        &self,
        at: Timestamp,
        after: Option<&AccountId>,
        limit: u32,
    ) -> Result<Then<Vec<Account>>, Error> {
        let mut snapshot = self.snapshot().await?;
        let asked_at = snapshot.asked_at().await?;
        let book = snapshot.book_at(at, after, limit).await?;
        snapshot.close().await?;
        Ok(Then::new(book, at, asked_at))
    }

    /// What all accounts had together at an instant, by the currencies' codes. Reads the whole book, in pages and in one
    /// [`Snapshot`]: transfers add nothing, final or not.
    pub async fn totals_at(&self, at: Timestamp) -> Result<Then<Vec<CurrencyTotal>>, Error> {
        let mut snapshot = self.snapshot().await?;
        let asked_at = snapshot.asked_at().await?;
        let mut totals = Totals::default();
        let mut after = None;
        loop {
            let page = snapshot.book_at(at, after.as_ref(), BOOK_PAGE).await?;
            for account in &page {
                totals.add(account);
            }
            match page.last() {
                Some(last) if page.len() == BOOK_PAGE as usize => {
                    after = Some(last.account_id.clone());
                }
                _ => break,
            }
        }
        snapshot.close().await?;
        Ok(Then::new(totals.into_vec(), at, asked_at))
    }
}

impl Snapshot {
    /// The database's clock when the snapshot began, or before: everything that was committed until then is in it.
    pub async fn asked_at(&mut self) -> Result<Timestamp, Error> {
        let statement = sqlx::query("SELECT transaction_timestamp()::timestamptz AS asked_at");
        let row = self.lease.fetch_one(statement).await?;
        rows::clock(&row, "asked_at")
    }

    /// As [`EventStore::book_at`], of what is in this snapshot.
    pub async fn book_at(
        &mut self,
        at: Timestamp,
        after: Option<&AccountId>,
        limit: u32,
    ) -> Result<Vec<Account>, Error> {
        let limit = limit as usize;
        let mut book = Vec::new();
        let mut after = after.cloned();
        // Grows while it meets accounts that were opened later: most of them may have been.
        let mut page = limit.min(BOOK_PAGE as usize);
        while book.len() < limit {
            let ids = self.opened(at, after.as_ref(), page).await?;
            let open: Vec<&AccountId> = ids
                .iter()
                .filter(|(_, is_open)| *is_open)
                .map(|(account_id, _)| account_id)
                .take(limit - book.len())
                .collect();
            for part in open.chunks(ACCOUNTS_PER_STATEMENT) {
                book.extend(self.states(at, part).await?);
            }
            if ids.len() < page {
                break;
            }
            after = ids.into_iter().last().map(|(account_id, _)| account_id);
            page = (2 * page).min(BOOK_PAGE as usize);
        }
        Ok(book)
    }

    /// At most `limit` accounts behind `after`, and whether each was open at `at`.
    ///
    /// In two statements: with the time in the first, CockroachDB reads all of a table that was small when it was measured
    /// last, for the index does not have it.
    async fn opened(
        &mut self,
        at: Timestamp,
        after: Option<&AccountId>,
        limit: usize,
    ) -> Result<Vec<(AccountId, bool)>, Error> {
        let statement = sqlx::query(OPENED)
            .bind(after.map_or("", AccountId::as_str))
            .bind(i64::try_from(limit).expect("a page is small"));
        let found = self.lease.fetch_all(statement).await?;
        let ids: Vec<AccountId> = found
            .iter()
            .map(rows::account_id)
            .collect::<Result<_, _>>()?;

        let names: Vec<&str> = ids.iter().map(AccountId::as_str).collect();
        let versions = vec![signed(Version::FIRST); ids.len()];
        let openings = events_at_places("account_id, version, recorded_at");
        let statement = sqlx::query(AssertSqlSafe(openings))
            .bind(names)
            .bind(versions);
        let openings: HashMap<AccountId, Timestamp> = self
            .lease
            .fetch_all(statement)
            .await?
            .iter()
            .map(|row| Ok((rows::account_id(row)?, rows::recorded_at(row)?)))
            .collect::<Result<_, Error>>()?;
        let opened = |account_id: AccountId| {
            let is_open = openings
                .get(&account_id)
                .is_some_and(|opened_at| *opened_at <= at);
            (account_id, is_open)
        };
        Ok(ids.into_iter().map(opened).collect())
    }

    /// The states of these accounts, all of which were open at `at`, in the same order.
    async fn states(
        &mut self,
        at: Timestamp,
        account_ids: &[&AccountId],
    ) -> Result<Vec<Account>, Error> {
        let names: Vec<&str> = account_ids.iter().map(|id| id.as_str()).collect();
        let count = if names.len() == 1 {
            1
        } else {
            ACCOUNTS_PER_STATEMENT
        };
        let statement = sqlx::query(AssertSqlSafe(accounts_at(count)))
            .bind(names)
            .bind(at.to_date_time());
        let mut found: HashMap<AccountId, Account> = self
            .lease
            .fetch_all(statement)
            .await?
            .iter()
            .map(|row| rows::account(row).map(|account| (account.account_id.clone(), account)))
            .collect::<Result<_, _>>()?;
        Ok(account_ids
            .iter()
            .filter_map(|account_id| found.remove(*account_id))
            .collect())
    }
}
