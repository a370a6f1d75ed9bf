//! The walk over all events, account by account: each history is checked, and each page compared with the read models.
//!
//! State: one page of rows, the account being walked, the sums per currency.

use store::Snapshot;
use tokio::try_join;

use super::conservation::Conservation;
use super::history::{History, Walked};
use super::read_models::ReadModels;
use super::report::{Invariant, Report};

/// How many rows are looked at at a time.
const PAGE: u32 = 1_000;

/// What the walk has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) events: u64,
    pub(super) accounts: u64,
    /// Debits and credits of transfers.
    pub(super) transfer_debits: u64,
    pub(super) holds: u64,
    pub(super) conservation: Conservation,
}

/// Walks over all events of the snapshot.
pub(super) async fn walk(
    snapshot: &mut Snapshot,
    read_models: &mut ReadModels,
    report: &mut Report,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut current: Option<History> = None;
    let mut page = snapshot.event_rows(None, PAGE).await?;
    loop {
        let mut walked: Vec<Walked> = Vec::new();
        for row in &page {
            if current
                .as_ref()
                .is_none_or(|history| history.account_id() != row.account_id)
            {
                let next = History::of(&row.account_id);
                walked.extend(
                    current
                        .replace(next)
                        .map(|done| done.finish(&mut seen.conservation, report)),
                );
            }
            if let Some(history) = &mut current {
                history.take(row, report);
            }
        }
        let last = page.last().map(|row| (row.account_id.clone(), row.version));
        let next = last.filter(|_| page.len() == PAGE as usize);
        if next.is_none() {
            walked.extend(
                current
                    .take()
                    .map(|done| done.finish(&mut seen.conservation, report)),
            );
        }
        seen.events += page.len() as u64;
        seen.accounts += walked.len() as u64;
        seen.transfer_debits += page.iter().filter(|row| is_debit(row)).count() as u64;
        seen.holds += page.iter().filter(|row| is_placing(row)).count() as u64;
        let comparison = read_models.compare(&page, &walked, report);
        let Some((account_id, version)) = next else {
            comparison.await?;
            break;
        };
        let next_page = async {
            Ok(snapshot
                .event_rows(Some((&account_id, version)), PAGE)
                .await?)
        };
        ((), page) = try_join!(comparison, next_page)?;
    }
    for invariant in [
        Invariant::AppendOnly,
        Invariant::GaplessVersions,
        Invariant::NoOverdraft,
        Invariant::Conservation,
        Invariant::MonotonicTime,
    ] {
        report.checked(invariant, "events", seen.events);
    }
    report.checked(Invariant::GaplessVersions, "accounts", seen.accounts);
    seen.conservation.judge(report);
    Ok(seen)
}

fn is_placing(row: &store::EventRow) -> bool {
    row.event
        .as_ref()
        .is_ok_and(|event| matches!(event.data, ledger::EventData::HoldPlaced(_)))
}

fn is_debit(row: &store::EventRow) -> bool {
    row.event.as_ref().is_ok_and(|event| {
        matches!(event.data, ledger::EventData::MoneyWithdrawn(_))
            && event.data.transfer().is_some()
    })
}
