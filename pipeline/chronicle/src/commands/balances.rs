//! `chronicle balances`: the whole book at an instant, every account and what they have together.

use std::process::ExitCode;

use ledger::{Account, Sum, Timestamp};
use serde::Serialize;
use store::{CurrencyTotal, Snapshot, Totals};

use super::account::Answer;
use super::as_of::{self, Standing};
use super::reach;
use super::rows::{Column, Rows};
use crate::arguments::BalancesArguments;
use crate::output::{self, Format};
use crate::servers_at::ServerArguments;

/// How many accounts are read at a time.
const PAGE: u32 = 500;

/// What is printed as JSON about a currency. It has no `account_id`, and every account's line has.
#[derive(Serialize)]
struct Total {
    currency: String,
    accounts: u64,
    balance: Sum,
    #[serde(flatten)]
    standing: Standing,
}

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &BalancesArguments,
    output: Format,
) -> anyhow::Result<ExitCode> {
    let store = servers.event_store()?;
    let failed = |error| reach::event_store_failed(servers, &error);
    // One look at all of it: a transfer that is under way is in the book with both halves or not at all.
    let mut snapshot = store.snapshot().await.map_err(failed)?;
    let asked_at = snapshot.asked_at().await.map_err(failed)?;
    let at = arguments.at.unwrap_or(asked_at);
    as_of::check_past("--at", at, asked_at)?;
    let standing = Standing::at(at, store::is_final(at, asked_at));

    let limit = arguments.limit.unwrap_or(u64::MAX);
    let mut book = Book::new(output, standing);
    loop {
        let page = next_page(&mut snapshot, at, &book).await.map_err(failed)?;
        for account in &page {
            book.add(account, limit)?;
        }
        if page.len() < PAGE as usize {
            break;
        }
    }
    snapshot.close().await.map_err(failed)?;
    book.finish()?;
    Ok(ExitCode::SUCCESS)
}

async fn next_page(
    snapshot: &mut Snapshot,
    at: Timestamp,
    book: &Book,
) -> Result<Vec<Account>, store::Error> {
    let after = book.last.as_ref().map(|account| &account.account_id);
    snapshot.book_at(at, after, PAGE).await
}

/// The book as it is printed.
struct Book {
    output: Format,
    standing: Standing,
    rows: Rows<9>,
    totals: Totals,
    last: Option<Account>,
    accounts: u64,
    shown: u64,
}

impl Book {
    fn new(output: Format, standing: Standing) -> Self {
        Self {
            output,
            standing,
            rows: Rows::new([
                Column::Left("account"),
                Column::Right("balance"),
                Column::Right("held"),
                Column::Right("available"),
                Column::Left("currency"),
                Column::Left("status"),
                Column::Right("version"),
                Column::Left("last change"),
                Column::Left("owner"),
            ]),
            totals: Totals::default(),
            last: None,
            accounts: 0,
            shown: 0,
        }
    }

    /// Counts an account, and prints it unless enough of them are.
    fn add(&mut self, account: &Account, limit: u64) -> anyhow::Result<()> {
        self.totals.add(account);
        self.accounts += 1;
        self.last = Some(account.clone());
        if self.shown == limit {
            return Ok(());
        }
        self.shown += 1;
        match self.output {
            Format::Json => {
                let standing = self.standing.with_version(account.version);
                output::json(&Answer::of(account, Some(standing))?)
            }
            Format::Table => self.rows.push([
                account.account_id.to_string(),
                account.balance.to_string(),
                account.held.to_string(),
                account.available()?.to_string(),
                account.currency().to_string(),
                account.status.as_str().to_owned(),
                account.version.to_string(),
                account.last_recorded_at.to_string(),
                account.owner_name.clone(),
            ]),
        }
    }

    /// Prints what all accounts have together, those that are not shown included.
    fn finish(mut self) -> anyhow::Result<()> {
        self.rows.flush()?;
        let totals = self.totals.into_vec();
        match self.output {
            Format::Json => {
                let total = |total: &CurrencyTotal| Total {
                    currency: total.currency.to_string(),
                    accounts: total.accounts,
                    balance: total.balance,
                    standing: self.standing,
                };
                totals.iter().try_for_each(|it| output::json(&total(it)))?;
            }
            Format::Table => {
                let mut sums = Rows::new([
                    Column::Left("total"),
                    Column::Right("balance"),
                    Column::Right("accounts"),
                ]);
                for total in &totals {
                    sums.push([
                        total.currency.to_string(),
                        total.balance.to_string(),
                        total.accounts.to_string(),
                    ])?;
                }
                if self.shown > 0 {
                    output::line("")?;
                }
                sums.flush()?;
                output::line(format!(" as of {}", self.standing.told()))?;
            }
        }
        if self.accounts == 0 {
            output::say(format!(
                "no account was open at {}",
                self.standing.as_of.timestamp
            ));
        } else if self.shown < self.accounts {
            output::say(format!(
                "{} of {} accounts are shown; the totals are those of all",
                self.shown, self.accounts
            ));
        }
        Ok(())
    }
}
