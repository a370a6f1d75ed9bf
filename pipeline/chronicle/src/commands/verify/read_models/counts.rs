//! Counting rows tells whether there can be any that belong to no event; only then they are looked for.

use anyhow::Context;
use sqlx::{AssertSqlSafe, Row};

use super::strays::Hunt;
use super::{ReadModel, UNREADABLE};
use crate::commands::verify::events::Seen;
use crate::commands::verify::report::{Invariant, Report, Violation};

/// Looks for rows without an event, if there can be any, or `thoroughly`.
pub(super) async fn hunt(
    mut hunt: Hunt<'_>,
    seen: &Seen,
    thoroughly: bool,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (pool, among) = (hunt.pool, hunt.among);
    let rows_of = |read_model: ReadModel| {
        if among.contains(&read_model) {
            format!("(SELECT count(*) FROM {})", read_model.name())
        } else {
            "0::bigint".to_owned()
        }
    };
    // One statement, and so one instant: rows and versions change together.
    let sql = format!(
        "SELECT {} AS transactions,
            (SELECT COALESCE(sum(version), 0)::text FROM projection_versions WHERE projection = 'transactions') AS applied,
            {} AS balances,
            (SELECT count(*) FROM projection_versions WHERE projection = 'account_balance') AS accounts,
            {} AS transfers, {} AS holds,
            (SELECT count(*) FROM projection_versions) AS versions,
            (SELECT count(*) FROM projection_skips) AS skips",
        rows_of(ReadModel::Transactions),
        rows_of(ReadModel::AccountBalance),
        rows_of(ReadModel::Transfers),
        rows_of(ReadModel::Holds),
    );
    let counts = sqlx::query(AssertSqlSafe(sql))
        .fetch_one(pool)
        .await
        .context(UNREADABLE)?;
    let count = |name: &str| counts.try_get::<i64, _>(name);
    let (transactions, balances) = (count("transactions")?, count("balances")?);
    let (transfers, holds) = (count("transfers")?, count("holds")?);
    let applied: &str = counts.try_get("applied")?;
    report.checked(
        Invariant::ExactlyOnce,
        "rows",
        (transactions + balances + transfers + holds).unsigned_abs(),
    );

    // A row of the event store that is gone does not show in the read models' counts.
    let damaged = thoroughly
        || [
            Invariant::ExactlyOnce,
            Invariant::GaplessVersions,
            Invariant::AtomicCommand,
        ]
        .into_iter()
        .any(|invariant| report.violations(invariant) > 0);
    let versions_fit =
        count("versions")? <= i64::try_from(seen.accounts)? * i64::try_from(among.len())?;
    if damaged || !versions_fit {
        hunt.stray_versions(report).await?;
    }
    let transactions_fit = transactions.to_string() == applied;
    if hunt.compares(ReadModel::Transactions) && (damaged || !transactions_fit) {
        hunt.stray_transactions(report).await?;
    }
    let balances_fit = balances == count("accounts")?;
    if hunt.compares(ReadModel::AccountBalance) && (damaged || !balances_fit) {
        hunt.stray_balances(report).await?;
    }
    let transfers_fit = u64::try_from(transfers)? == seen.transfer_debits;
    if hunt.compares(ReadModel::Transfers) && (damaged || !transfers_fit) {
        hunt.stray_transfers(report).await?;
    }
    let holds_fit = u64::try_from(holds)? == seen.holds;
    if hunt.compares(ReadModel::Holds) && (damaged || !holds_fit) {
        hunt.stray_holds(report).await?;
    }
    if report.violations(Invariant::ExactlyOnce) == 0 && !(transactions_fit && balances_fit) {
        let violation = Violation::new(format!(
            "transactions has {transactions} rows, and its versions add up to {applied}; account_balance has {balances} \
             rows, and versions of {} accounts",
            count("accounts")?
        ));
        report.violated(Invariant::ExactlyOnce, violation);
    }
    let skips = count("skips")?;
    if skips > 0 {
        let note = format!(
            "{skips} messages of the feed were skipped by order (see the table projection_skips)"
        );
        report.note(Invariant::Convergence, note);
    }
    Ok(())
}
