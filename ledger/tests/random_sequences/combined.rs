//! What can be said of postings by the events alone, and which edges of postings and batches a sequence has met.

use std::collections::{BTreeMap, HashMap, HashSet};

use ledger::{Event, PostingId, RejectionCode};

use crate::ask::{Ask, Part, Step};
use crate::model::{Line, Model, Moved};
use crate::same::equal;
use crate::tally::Tally;

/// Cases on an edge, which [`Tally::met`] counts besides those of [`crate::tally::EDGES`].
pub(crate) const EDGES: [&str; 34] = [
    "a posting of more than two entries",
    "a posting of two currencies",
    "a posting took from an account what it had given it",
    "a posting began with a credit",
    "a posting took all that was available",
    "a posting of one account",
    "a posting was moved back whole",
    "a posting was moved back in part",
    "a posting was refused by its second entry or a later one",
    "a posting was refused for want of funds though it balances",
    "a batch of several commands",
    "a batch used an account that it opened",
    "a batch captured a hold that it placed",
    "a batch closed an account with a sweep",
    "a batch closed an account that it had moved money on",
    "a batch moved money several times on one account",
    "a batch moved one command back twice",
    "a batch with a posting",
    "a batch had a command that expected the version after an earlier one",
    "a batch was pushed by an account of a later command",
    "a batch was refused by its own terms",
    "a batch was refused by its first command",
    "a batch was refused by its second command or a later one",
    "a batch was refused by an entry of a posting",
    "a batch was refused after its commands had changed something",
    "a batch was refused for it moves one command back too often",
    "a batch was refused for a stale version",
    "a batch of several movements was moved back",
    "a batch of one movement was moved back in part",
    "a batch that did more than move money was not moved back",
    "a part of several amounts was not moved back",
    "a part of the same amount on two accounts was not moved back",
    "several amounts were not moved back a second time",
    "several amounts were not moved back for want of funds",
];

/// The entries of a posting stand side by side, are of one command, and make up for each other.
pub(crate) fn check_postings(events: &[Event]) -> Result<(), String> {
    let mut seen: HashSet<PostingId> = HashSet::new();
    let mut entries = events.iter().peekable();
    while let Some(first) = entries.next() {
        let Some(posting_id) = first.data.posting_id() else {
            continue;
        };
        equal("one posting", seen.insert(posting_id), true)?;
        let mut sums: BTreeMap<String, i128> = BTreeMap::new();
        let mut next = Some(first);
        while let Some(entry) = next {
            equal("command", entry.command_id, first.command_id)?;
            equal("part", entry.part, first.part)?;
            equal("half of a transfer", entry.data.transfer(), None)?;
            let change = entry.data.balance_change().ok_or("an entry moves money")?;
            let sum = sums.entry(entry.currency().to_string()).or_default();
            *sum += change.value().mantissa();
            next = entries.next_if(|entry| entry.data.posting_id() == Some(posting_id));
        }
        equal("balance", sums.values().all(|sum| *sum == 0), true)?;
    }
    Ok(())
}

/// What an accepted posting, batch or reversal of one was that is worth to have been met; the model is as it was before.
pub(crate) fn count_combined(step: &Step, lines: &[Line], before: &Model, tally: &mut Tally) {
    match &step.ask {
        Ask::Post { .. } => count_posting(lines, before, tally),
        Ask::Batch { parts } => {
            count_batch(parts, lines, tally);
            let account = before.known(step.ask.account());
            let own = account.map_or(0, |book| book.last_recorded_at + 1);
            if lines[0].recorded_at > own.max(step.now) {
                tally.meet("a batch was pushed by an account of a later command");
            }
        }
        Ask::Reverse {
            account, command, ..
        } => {
            let moved = before.moved_by(*account, *command);
            count_back(moved.expect("it was moved back"), lines, tally);
        }
        _ => {}
    }
}

fn count_posting(lines: &[Line], before: &Model, tally: &mut Tally) {
    if lines.len() > 2 {
        tally.meet("a posting of more than two entries");
    }
    let currency = |line: &Line| before.known(line.account).map(|book| book.currency);
    if lines
        .iter()
        .any(|line| currency(line) != currency(&lines[0]))
    {
        tally.meet("a posting of two currencies");
    }
    if lines.iter().all(|line| line.account == lines[0].account) {
        tally.meet("a posting of one account");
    }
    if lines[0].what == "MoneyDeposited" {
        tally.meet("a posting began with a credit");
    }
    for line in lines.iter().filter(|line| line.what == "MoneyWithdrawn") {
        let book = before.known(line.account).expect("it is there");
        if line.balance + book.overdraft == line.held {
            tally.meet("a posting took all that was available");
        }
        let available = book.balance + book.overdraft - book.held();
        if line.amount.is_some_and(|amount| amount > available) {
            tally.meet("a posting took from an account what it had given it");
        }
    }
}

fn count_batch(parts: &[Part], lines: &[Line], tally: &mut Tally) {
    if parts.len() > 1 {
        tally.meet("a batch of several commands");
    }
    if parts
        .iter()
        .any(|part| matches!(part.ask, Ask::Post { .. }))
    {
        tally.meet("a batch with a posting");
    }
    let mut versions: HashMap<usize, u32> = HashMap::new();
    for line in lines {
        let part = line.part.expect("it is of a batch");
        let first = *versions.entry(line.account).or_insert(part);
        let own = &parts[usize::try_from(part).expect("a small number")];
        let is_later = first < part && own.ask.account() == line.account;
        if is_later && own.terms.expected_version.is_some() {
            tally.meet("a batch had a command that expected the version after an earlier one");
        }
    }
    let before = |line: &Line, what: &str| {
        let same = |other: &&Line| other.account == line.account && other.part < line.part;
        lines.iter().filter(same).any(|other| other.what == what)
    };
    for line in lines {
        if before(line, "AccountCreated") {
            tally.meet("a batch used an account that it opened");
        }
        let is_capture = line.what == "MoneyWithdrawn" && line.hold.is_some();
        if is_capture && before(line, "HoldPlaced") {
            let (hold, _) = line.hold.expect("it is a capture");
            let is_placing = |other: &Line| {
                let of_hold = other.hold.is_some_and(|(placed, _)| placed == hold);
                other.what == "HoldPlaced" && other.account == line.account && of_hold
            };
            if lines.iter().any(is_placing) {
                tally.meet("a batch captured a hold that it placed");
            }
        }
        if line.what == "AccountClosed" {
            let is_swept = lines.iter().any(|other| {
                (other.account, other.part) == (line.account, line.part)
                    && other.what == "MoneyWithdrawn"
            });
            if is_swept {
                tally.meet("a batch closed an account with a sweep");
            }
            if before(line, "MoneyWithdrawn") || before(line, "MoneyDeposited") {
                tally.meet("a batch closed an account that it had moved money on");
            }
        }
        let is_movement = line.what.starts_with("Money");
        if is_movement && (before(line, "MoneyWithdrawn") || before(line, "MoneyDeposited")) {
            tally.meet("a batch moved money several times on one account");
        }
        let is_again = |other: &Line| {
            let command = |line: &Line| line.undone.map(|undone| undone.command);
            other.part < line.part && command(other).is_some() && command(other) == command(line)
        };
        if lines.iter().any(is_again) {
            tally.meet("a batch moved one command back twice");
        }
    }
}

fn count_back(moved: &Moved, lines: &[Line], tally: &mut Tally) {
    let is_part = lines[0].amount < Some(moved.movements[moved.movements.len() - 1].units);
    match (&moved.ask, is_part) {
        (Ask::Post { .. }, true) => tally.meet("a posting was moved back in part"),
        (Ask::Post { .. }, false) => tally.meet("a posting was moved back whole"),
        (Ask::Batch { .. }, true) => {
            tally.meet("a batch of one movement was moved back in part");
        }
        (Ask::Batch { .. }, false) if !moved.is_divisible() => {
            tally.meet("a batch of several movements was moved back");
        }
        _ => {}
    }
}

/// What a refused posting, batch or reversal of one was that is worth to have been met.
pub(crate) fn count_refused_combined(
    step: &Step,
    code: RejectionCode,
    model: &Model,
    tally: &mut Tally,
) {
    let refused = model.refused;
    match &step.ask {
        Ask::Post { .. } => {
            if refused.entry.is_some_and(|entry| entry > 0) {
                tally.meet("a posting was refused by its second entry or a later one");
            }
            if code == RejectionCode::InsufficientFunds {
                tally.meet("a posting was refused for want of funds though it balances");
            }
        }
        Ask::Batch { parts } => match refused.part {
            None => tally.meet("a batch was refused by its own terms"),
            Some(0) => tally.meet("a batch was refused by its first command"),
            Some(part) => {
                tally.meet("a batch was refused by its second command or a later one");
                count_refused_part(parts, part, code, model, tally);
                if refused.entry.is_some() {
                    tally.meet("a batch was refused by an entry of a posting");
                }
            }
        },
        Ask::Reverse {
            account, command, ..
        } => {
            let moved = model.moved_by(*account, *command);
            if let Some(moved) = moved {
                count_refused_back(moved, code, tally);
            }
        }
        _ => {}
    }
}

fn count_refused_part(
    parts: &[Part],
    part: usize,
    code: RejectionCode,
    model: &Model,
    tally: &mut Tally,
) {
    // All of these are done before the one that is refused.
    tally.meet("a batch was refused after its commands had changed something");
    if code == RejectionCode::VersionConflict {
        tally.meet("a batch was refused for a stale version");
    }
    let Ask::Reverse {
        account, command, ..
    } = parts[part].ask
    else {
        return;
    };
    let had_a_rest = model
        .moved_by(account, command)
        .is_some_and(|moved| moved.rest() > 0);
    if code == RejectionCode::AlreadyReversed && had_a_rest {
        tally.meet("a batch was refused for it moves one command back too often");
    }
}

fn count_refused_back(moved: &Moved, code: RejectionCode, tally: &mut Tally) {
    let is_several = moved.is_reversible() && !moved.is_divisible();
    match (code, is_several) {
        (RejectionCode::NotReversible, true) => {
            tally.meet("a part of several amounts was not moved back");
            if let [one, two] = moved.movements[..]
                && one.units == two.units
                && one.account != two.account
            {
                tally.meet("a part of the same amount on two accounts was not moved back");
            }
        }
        (RejectionCode::AlreadyReversed, true) => {
            tally.meet("several amounts were not moved back a second time");
        }
        (RejectionCode::ReversalUncovered, true) => {
            tally.meet("several amounts were not moved back for want of funds");
        }
        (RejectionCode::NotReversible, false) if matches!(moved.ask, Ask::Batch { .. }) => {
            tally.meet("a batch that did more than move money was not moved back");
        }
        _ => {}
    }
}
