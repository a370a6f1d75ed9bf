//! Money that was moved back: each reversal mirrors the movements of its command, and all of them together move no more
//! back than was moved.
//!
//! That the parts add up is checked account by account, with the histories ([`Reversed`]); that they belong to the command
//! that they name is checked here, with the commands.

use std::collections::HashMap;

use ledger::{AccountId, CommandId, Event, Money, Movement, Original, Reverse};
use store::{CommandRow, Place, Snapshot};

use super::history;
use super::outcomes::{place, references};
use super::report::{Invariant, Report};

/// How much of each command has been moved back on one account.
#[derive(Debug, Default)]
pub(super) struct Reversed(HashMap<CommandId, Money>);

impl Reversed {
    /// Takes in the account's next event.
    pub(super) fn take(&mut self, event: &Event, report: &mut Report) {
        let (Some(reversal), Some(amount)) = (event.data.reversal(), event.data.amount()) else {
            return;
        };
        let before = self
            .0
            .insert(reversal.command_id, reversal.reversed)
            .unwrap_or(Money::zero(amount.currency()));
        if before.currency() != amount.currency() {
            return;
        }
        let expected = before.checked_add(amount);
        if expected != Ok(reversal.reversed) {
            let expected = expected.map_or_else(|error| error.to_string(), |sum| sum.to_string());
            let violation = history::violation(
                event,
                format!(
                    "what has been moved back of command {} does not add up",
                    reversal.command_id
                ),
            );
            report.violated(
                Invariant::Conservation,
                violation.values(expected, reversal.reversed),
            );
        }
    }
}

/// Holds the events of reversals against those of the commands that they reverse.
pub(super) async fn check(
    snapshot: &mut Snapshot,
    reversals: &[(&Reverse, Vec<&Event>)],
    report: &mut Report,
) -> anyhow::Result<()> {
    if reversals.is_empty() {
        return Ok(());
    }
    let ids: Vec<CommandId> = reversals
        .iter()
        .map(|(asked, _)| asked.reversed_command_id)
        .collect();
    let commands = snapshot.command_rows_of(&ids).await?;
    let places: Vec<Place<'_>> = commands.iter().flat_map(references).map(place).collect();
    let rows = snapshot.event_rows_at(&places).await?;
    let events: HashMap<Place<'_>, &Event> = rows
        .iter()
        .filter_map(|row| {
            let event = row.event.as_ref().ok()?;
            Some(((row.account_id.as_str(), row.version), event))
        })
        .collect();
    let originals: HashMap<CommandId, Original> = commands
        .iter()
        .filter_map(|command| Some((command.command_id, original(command, &events)?)))
        .collect();
    for (asked, done) in reversals {
        let command_id = asked.reversed_command_id;
        let problem = match originals.get(&command_id) {
            None => Some("no command was accepted that it could reverse"),
            Some(original) => problem(asked, original, done),
        };
        if let (Some(problem), Some(first)) = (problem, done.first()) {
            let message = format!("it reverses command {command_id}: {problem}");
            report.violated(Invariant::Conservation, history::violation(first, message));
        }
    }
    report.checked(Invariant::Conservation, "reversals", reversals.len() as u64);
    Ok(())
}

fn original(command: &CommandRow, events: &HashMap<Place<'_>, &Event>) -> Option<Original> {
    let own: Vec<Event> = references(command)
        .iter()
        .filter_map(|reference| events.get(&place(reference)).copied().cloned())
        .collect();
    Original::of(&own)
}

/// What is wrong with the events of a reversal.
fn problem(asked: &Reverse, original: &Original, events: &[&Event]) -> Option<&'static str> {
    if original.is_final {
        return Some("that one cannot be reversed");
    }
    if events.len() != original.movements.len() {
        return Some("that one has another number of movements");
    }
    let whole = |movement: &Movement| original.whole(&movement.account_id);
    let movements = original.movements.iter().rev();
    for (movement, event) in movements.zip(events) {
        let counterparty = event
            .data
            .transfer()
            .map(|leg| &leg.counterparty_account_id);
        let goes_back = event
            .data
            .balance_change()
            .is_some_and(|change| change.is_negative() == movement.came_in);
        let is_mirrored = event.account_id == movement.account_id
            && counterparty == movement.transfer.as_ref().map(|(_, account_id)| account_id)
            && event.data.posting_id().is_some() == movement.posting_id.is_some()
            && goes_back;
        if !is_mirrored {
            return Some("its movements are not those in the other direction");
        }
        let is_within = event.data.reversal().is_some_and(|reversal| {
            reversal.reversed.currency() == movement.amount.currency()
                && whole(movement).is_some_and(|whole| reversal.reversed.value() <= whole.value())
        });
        if !is_within {
            return Some("more was moved back than it moved");
        }
    }
    // The last event on an account says how much of all that was moved there has been moved back.
    let mut reversed: HashMap<&AccountId, Money> = HashMap::new();
    for event in events {
        if let Some(reversal) = event.data.reversal() {
            reversed.insert(&event.account_id, reversal.reversed);
        }
    }
    let is_whole = |(account_id, reversed): (&&AccountId, &Money)| {
        original.whole(account_id).as_ref() == Some(reversed)
    };
    if asked.amount.is_none() && !reversed.iter().all(is_whole) {
        return Some("all of the rest was asked for, and not all of it was moved back");
    }
    (original.account_id != asked.account_id).then_some("that one was sent to another account")
}
