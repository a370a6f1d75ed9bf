//! Plain PostgreSQL: tables for balances and lines, and one statement for each command, on a connection of its own for each
//! task. The least that keeps money right.

use anyhow::{Context, ensure};
use sqlx::Row;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, Postgres};

use crate::drive::{Answer, Peer, Tally};
use crate::workload::{ACTOR, DESCRIPTION, Kind, Order, Workload};

const SCHEMA: &str = include_str!("schema.sql");
const DEPOSIT_OR_WITHDRAW: &str = include_str!("deposit_or_withdraw.sql");
const TRANSFER: &str = include_str!("transfer.sql");
const CHECK: &str = include_str!("check.sql");

/// The tables, with accounts in them.
pub(crate) struct Plain {
    pool: PgPool,
    accounts: Vec<String>,
}

impl Plain {
    /// Makes the tables, and opens the accounts with money in them.
    pub(crate) async fn open(pool: PgPool, workload: &Workload) -> anyhow::Result<Self> {
        sqlx::raw_sql(SCHEMA)
            .execute(&pool)
            .await
            .context("the tables cannot be made")?;
        sqlx::query(
            "INSERT INTO accounts (account_id, owner_name, balance_cents)
             SELECT account_id, 'Owner ' || number, $2
             FROM unnest($1::text[]) WITH ORDINALITY AS account (account_id, number)",
        )
        .bind(workload.accounts())
        .bind(workload.funds_cents)
        .execute(&pool)
        .await
        .context("the accounts cannot be opened")?;
        // Without, the first statements would be planned for an empty table.
        sqlx::query("ANALYZE accounts").execute(&pool).await?;
        Ok(Self {
            pool,
            accounts: workload.accounts().to_vec(),
        })
    }

    /// Whether the books are right after `tally`; answers with how many lines there are.
    pub(crate) async fn check(&self, workload: &Workload, tally: &Tally) -> anyhow::Result<u64> {
        let row = sqlx::query(CHECK)
            .bind(workload.funds_cents)
            .fetch_one(&self.pool)
            .await?;
        let accounts: i64 = row.get("accounts");
        ensure!(
            usize::try_from(accounts)? == self.accounts.len(),
            "{accounts} accounts of {}",
            self.accounts.len()
        );
        let total: i64 = row.get("total_cents");
        let expected = workload.total_cents() + tally.deposited_cents - tally.withdrawn_cents;
        ensure!(
            total == expected,
            "not conserved: {total} cents in all accounts, not {expected}"
        );
        let negative: i64 = row.get("negative");
        ensure!(negative == 0, "{negative} balances are below zero");
        let lines = u64::try_from(row.get::<i64, _>("lines"))?;
        let of_each = match workload.kind {
            Kind::DepositOrWithdraw => 1,
            Kind::Transfer => 2,
        };
        ensure!(
            lines == tally.accepted * of_each,
            "{lines} lines of {} accepted commands",
            tally.accepted
        );
        let other: i64 = row.get("other_than_lines");
        ensure!(
            other == 0,
            "{other} balances are not what their lines come to"
        );
        Ok(lines)
    }

    /// Ends its connections.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

impl Peer for Plain {
    type Session = PoolConnection<Postgres>;

    async fn session(&self) -> anyhow::Result<Self::Session> {
        Ok(self.pool.acquire().await?)
    }

    async fn execute(&self, session: &mut Self::Session, order: Order) -> anyhow::Result<Answer> {
        let account = |index: usize| self.accounts[index].as_str();
        let (query, lines) = match order {
            Order::Deposit { to, cents } => {
                let query = sqlx::query(DEPOSIT_OR_WITHDRAW).bind(account(to));
                (query.bind(cents), 1)
            }
            Order::Withdraw { from, cents } => {
                let query = sqlx::query(DEPOSIT_OR_WITHDRAW).bind(account(from));
                (query.bind(-cents), 1)
            }
            Order::Transfer { from, to, cents } => {
                let query = sqlx::query(TRANSFER).bind(account(from)).bind(account(to));
                (query.bind(cents), 2)
            }
        };
        let done = query
            .bind(DESCRIPTION)
            .bind(ACTOR)
            .execute(&mut **session)
            .await
            .with_context(|| format!("{order:?}"))?
            .rows_affected();
        ensure!(done == 0 || done == lines, "{done} lines of {order:?}");
        Ok(Answer {
            is_accepted: done == lines,
            retries: 0,
        })
    }
}

#[cfg(test)]
mod tests;
