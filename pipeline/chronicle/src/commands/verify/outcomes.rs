//! The walk over all commands: each has its one outcome, and exactly the events that its outcome names.
//!
//! State: one page of commands, and the events of some of them.

use std::collections::{HashMap, HashSet};

use ledger::{Action, Command, Event, EventReference, Hash, Reverse};
use store::{CommandRow, EventRow, Place, Snapshot};

use super::conservation;
use super::demand;
use super::history;
use super::orphans;
use super::print::Totals;
use super::report::{Invariant, Report, Violation};
use super::reversals;

/// How many commands are looked at at a time.
const PAGE: u32 = 1_000;
/// How many events are looked up at a time; one command alone can have more.
const EVENTS_LOOKED_UP_MAX: usize = 2_000;

/// Walks over all commands of the snapshot, in which there are `events` events. Adds to the totals.
pub(super) async fn walk(
    snapshot: &mut Snapshot,
    events: u64,
    totals: &mut Totals,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut named = 0;
    let mut after = None;
    loop {
        let page = snapshot.command_rows(after, PAGE).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = Some(last.command_id);
        totals.commands += page.len() as u64;
        for command in &page {
            check_stored(command, report);
            match &command.outcome {
                Ok(outcome) if outcome.is_accepted() => totals.accepted += 1,
                Ok(_) => totals.rejected += 1,
                Err(_) => {}
            }
        }
        let mut rest = page.as_slice();
        while !rest.is_empty() {
            let (some, others) = rest.split_at(up_to_events_max(rest));
            named += check_events(snapshot, some, totals, report).await?;
            rest = others;
        }
    }
    if named != events {
        orphans::name(snapshot, report).await?;
    }
    report.checked(Invariant::OneOutcome, "commands", totals.commands);
    report.checked(Invariant::AtomicCommand, "commands", totals.accepted);
    report.checked(Invariant::AtomicCommand, "events", events);
    report.checked(Invariant::Conservation, "transfers", totals.transfers);
    report.checked(Invariant::Conservation, "postings", totals.postings);
    Ok(())
}

/// How many of the commands to look at together: at least one.
fn up_to_events_max(commands: &[CommandRow]) -> usize {
    let mut events = 0;
    let fit = commands.iter().take_while(|command| {
        events += references(command).len();
        events <= EVENTS_LOOKED_UP_MAX
    });
    fit.count().max(1)
}

pub(super) fn references(command: &CommandRow) -> &[EventReference] {
    command
        .outcome
        .as_ref()
        .map_or(&[], |outcome| outcome.events())
}

pub(super) fn place(reference: &EventReference) -> Place<'_> {
    (
        reference.account_id.as_str(),
        i64::try_from(reference.version.get()).unwrap_or(i64::MAX),
    )
}

fn violation(command: &CommandRow, message: impl Into<String>) -> Violation {
    Violation::new(message)
        .account(&command.account_id)
        .command(command.command_id)
}

/// What the row says by itself.
fn check_stored(command: &CommandRow, report: &mut Report) {
    let invariant = Invariant::OneOutcome;
    if let Err(message) = &command.outcome {
        report.violated(
            invariant,
            violation(command, format!("the outcome cannot be read: {message}")),
        );
    }
    if let Err(message) = &command.recorded_at {
        let violation = violation(command, format!("the row cannot be read: {message}"));
        report.violated(invariant, violation);
    }
    let body = match &command.body {
        Ok(body) => body,
        Err(message) => {
            report.violated(
                invariant,
                violation(command, format!("the body cannot be read: {message}")),
            );
            return;
        }
    };
    let computed = body.fingerprint();
    if computed.as_bytes() != command.fingerprint.as_slice() {
        let stored = Hash::try_from(command.fingerprint.as_slice())
            .map_or_else(|_| "no hash".to_owned(), |hash| hash.to_string());
        let violation = violation(
            command,
            "the body does not have the fingerprint that is stored with it",
        );
        report.violated(invariant, violation.values(computed, stored));
    }
    let said = (
        body.command_id,
        body.account_id().as_str(),
        body.type_name(),
    );
    if said
        != (
            command.command_id,
            &command.account_id,
            &command.command_type,
        )
    {
        let violation = violation(command, "the row does not say what its body says").values(
            format!("{} {} {}", said.0, said.1, said.2),
            format!(
                "{} {} {}",
                command.command_id, command.account_id, command.command_type
            ),
        );
        report.violated(invariant, violation);
    }
}

/// Checks some commands against the events that their outcomes name. Answers with the number of events that are as
/// named.
async fn check_events(
    snapshot: &mut Snapshot,
    commands: &[CommandRow],
    totals: &mut Totals,
    report: &mut Report,
) -> anyhow::Result<u64> {
    let places: Vec<Place<'_>> = commands.iter().flat_map(references).map(place).collect();
    let rows = snapshot.event_rows_at(&places).await?;
    let rows: HashMap<Place<'_>, &EventRow> = rows
        .iter()
        .map(|row| ((row.account_id.as_str(), row.version), row))
        .collect();
    let mut named = 0;
    let mut reversals: Vec<(&Reverse, Vec<&Event>)> = Vec::new();
    for command in commands {
        let Ok(outcome) = &command.outcome else {
            continue;
        };
        if outcome.is_accepted() && outcome.events().is_empty() {
            report.violated(
                Invariant::AtomicCommand,
                violation(command, "it is accepted and has no events"),
            );
        }
        let found = check_references(command, &rows, &mut named, report);
        if let Some(events) = found {
            if outcome.is_accepted() && events.len() == outcome.events().len() {
                check_together(command, &events, report);
            }
            totals.transfers += conservation::check_transfers(&events, report);
            totals.postings += conservation::check_postings(&events, report);
            if let Ok(body) = &command.body {
                reversals.extend(reversals_of(body, events));
            }
        }
    }
    reversals::check(snapshot, &reversals, report).await?;
    Ok(named)
}

/// The reversals that a command is or has, with their events.
fn reversals_of<'a>(
    body: &'a Command,
    events: Vec<&'a Event>,
) -> impl Iterator<Item = (&'a Reverse, Vec<&'a Event>)> {
    let of = |command: &'a Command| match &command.action {
        Action::Reverse(reverse) => Some(reverse),
        _ => None,
    };
    let whole = of(body).map(|reverse| (reverse, events.clone()));
    let mut by_part: HashMap<u32, Vec<&Event>> = HashMap::new();
    for event in events {
        if let Some(part) = event.part {
            by_part.entry(part).or_default().push(event);
        }
    }
    let part = move |(part, command)| Some((of(command)?, by_part.remove(&part)?));
    let parts = (0..).zip(body.parts()).filter_map(part);
    whole
        .into_iter()
        .chain(parts)
        .filter(|(_, events)| !events.is_empty())
}

/// The events that a command's outcome names, as far as they are there; `None` if one of them cannot be read.
fn check_references<'a>(
    command: &CommandRow,
    rows: &HashMap<Place<'_>, &'a EventRow>,
    named: &mut u64,
    report: &mut Report,
) -> Option<Vec<&'a Event>> {
    let mut events = Vec::new();
    let mut places = HashSet::new();
    let mut readable = true;
    for reference in references(command) {
        let (account_id, version) = place(reference);
        let at = |message: &str| {
            Violation::new(message)
                .at(account_id, version)
                .command(command.command_id)
        };
        let Some(row) = rows.get(&(account_id, version)) else {
            let violation = at("the command's outcome names an event that is not there");
            report.violated(
                Invariant::AtomicCommand,
                violation.values(reference.event_id, "nothing"),
            );
            continue;
        };
        if !places.insert((account_id, version)) {
            report.violated(
                Invariant::AtomicCommand,
                at("the command's outcome names the event twice"),
            );
            continue;
        }
        if row.command_id != command.command_id {
            let violation = at("the command's outcome names an event of another command");
            report.violated(
                Invariant::AtomicCommand,
                violation.values(command.command_id, row.command_id),
            );
            continue;
        }
        let Ok(event) = &row.event else {
            // That is append_only's.
            *named += 1;
            readable = false;
            continue;
        };
        if event.event_id != reference.event_id {
            let violation = at("the command's outcome names another event");
            report.violated(
                Invariant::AtomicCommand,
                violation.values(reference.event_id, event.event_id),
            );
            continue;
        }
        if event.part != reference.part {
            let shown = |part: Option<u32>| {
                part.map_or_else(|| "none".to_owned(), |part| format!("commands[{part}]"))
            };
            let violation = at("the command's outcome names another command of the batch");
            report.violated(
                Invariant::AtomicCommand,
                violation.values(shown(reference.part), shown(event.part)),
            );
        }
        *named += 1;
        events.push(event);
    }
    readable.then_some(events)
}

/// What all events of a command have in common.
fn check_together(command: &CommandRow, events: &[&Event], report: &mut Report) {
    if let Ok(recorded_at) = command.recorded_at {
        for event in events
            .iter()
            .filter(|event| event.recorded_at != recorded_at)
        {
            let message = "the event and its command do not share their recorded_at";
            let violation = history::violation(event, message);
            let violation = violation.values(recorded_at, event.recorded_at);
            report.violated(Invariant::MonotonicTime, violation);
        }
    }
    if let Ok(body) = &command.body
        && let Some((expected, found)) = demand::difference(body, events)
    {
        let violation = violation(command, "the events are not what the command asks for");
        report.violated(Invariant::AtomicCommand, violation.values(expected, found));
    }
}
