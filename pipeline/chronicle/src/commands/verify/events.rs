//! The walk over all events, account by account: each history is checked, and each page compared with the read models.
//!
//! State: one page of rows, the account being walked, the sums per currency.

use store::{EventRow, Snapshot};
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

/// The account that is being walked, from page to page.
#[derive(Default)]
pub(super) struct Walk {
    current: Option<History>,
}

impl Walk {
    /// Checks a page of rows. Answers with the accounts that end in it; the last one ends there if `is_last`.
    pub(super) fn take(
        &mut self,
        page: &[EventRow],
        is_last: bool,
        seen: &mut Seen,
        report: &mut Report,
    ) -> Vec<Walked> {
        let mut walked: Vec<Walked> = Vec::new();
        for row in page {
            if self
                .current
                .as_ref()
                .is_none_or(|history| history.account_id() != row.account_id)
            {
                let next = History::of(&row.account_id);
                walked.extend(
                    self.current
                        .replace(next)
                        .map(|done| done.finish(&mut seen.conservation, report)),
                );
            }
            if let Some(history) = &mut self.current {
                history.take(row, report);
            }
        }
        if is_last {
            walked.extend(
                self.current
                    .take()
                    .map(|done| done.finish(&mut seen.conservation, report)),
            );
        }
        seen.events += page.len() as u64;
        seen.accounts += walked.len() as u64;
        seen.transfer_debits += page.iter().filter(|row| is_debit(row)).count() as u64;
        seen.holds += page.iter().filter(|row| is_placing(row)).count() as u64;
        walked
    }
}

/// Walks over all events of the snapshot.
pub(super) async fn walk(
    snapshot: &mut Snapshot,
    read_models: &mut ReadModels,
    report: &mut Report,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut walk = Walk::default();
    let mut page = snapshot.event_rows(None, PAGE).await?;
    loop {
        let last = page.last().map(|row| (row.account_id.clone(), row.version));
        let next = last.filter(|_| page.len() == PAGE as usize);
        let walked = walk.take(&page, next.is_none(), &mut seen, report);
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

fn is_placing(row: &EventRow) -> bool {
    row.event
        .as_ref()
        .is_ok_and(|event| matches!(event.data, ledger::EventData::HoldPlaced(_)))
}

fn is_debit(row: &EventRow) -> bool {
    row.event.as_ref().is_ok_and(|event| {
        matches!(event.data, ledger::EventData::MoneyWithdrawn(_))
            && event.data.transfer().is_some()
    })
}
