//! Events that no outcome names. Counting tells whether there are any; only then they are looked for.
//!
//! State: one page of events and their commands.

use std::collections::{HashMap, HashSet};

use ledger::EventReference;
use store::Snapshot;

use super::outcomes::{place, references};
use super::report::{Invariant, Report, Violation};

/// How many events are looked at at a time.
const PAGE: u32 = 1_000;

/// Looks for events that no outcome names.
pub(super) async fn name(snapshot: &mut Snapshot, report: &mut Report) -> anyhow::Result<()> {
    let mut page = snapshot.event_rows(None, PAGE).await?;
    while let Some(last) = page.last() {
        let ids: HashSet<_> = page.iter().map(|row| row.command_id).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let commands = snapshot.command_rows_of(&ids).await?;
        let commands: HashMap<_, _> = commands
            .iter()
            .map(|command| (command.command_id, command))
            .collect();
        for row in &page {
            let at = |message: &str| {
                Violation::new(message)
                    .at(&row.account_id, row.version)
                    .command(row.command_id)
            };
            let Some(command) = commands.get(&row.command_id) else {
                report.violated(
                    Invariant::AtomicCommand,
                    at("the event's command has no outcome"),
                );
                continue;
            };
            let names = |reference: &EventReference| {
                place(reference) == (row.account_id.as_str(), row.version)
            };
            // An outcome that cannot be read has been reported.
            if command.outcome.is_ok() && !references(command).iter().any(names) {
                report.violated(
                    Invariant::AtomicCommand,
                    at("the outcome of the event's command does not name it"),
                );
            }
        }
        let after = (last.account_id.clone(), last.version);
        page = snapshot.event_rows(Some((&after.0, after.1)), PAGE).await?;
    }
    Ok(())
}
