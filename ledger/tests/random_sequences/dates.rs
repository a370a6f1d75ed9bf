//! Business dates: what was in an account by the books at one instant, as it was known at another.

use ledger::{Event, Timestamp};

use crate::ask::{Ask, Step};
use crate::model::{EFFECTIVE_MAX, Line, Model};
use crate::names::name_of;
use crate::same::equal;
use crate::sequence::ACCOUNTS;
use crate::tally::Tally;

/// Cases that [`count_business_dates`] counts.
pub(crate) const EDGES: [&str; 7] = [
    "a movement was dated back",
    "a movement was dated ahead",
    "a movement was dated as early as may be",
    "a movement was dated as late as may be",
    "a transfer with a business date",
    "a final capture with a business date released the rest",
    "a reversal with a business date",
];

/// At every pair of instants at which anything changes by one order or the other, three ways to the balance agree: the
/// sum over the events that count, the same of the model, and the way that does not read the history, which begins with
/// `balance_after`.
///
/// Only recorded order decides an overdraft: by business date the balance may be below the limit, and nothing here says
/// that it is not.
pub(crate) fn check_business_dates(
    events: &[Event],
    model: &Model,
    close: bool,
) -> Result<(), String> {
    for number in 0..ACCOUNTS {
        let of_account = |event: &&Event| event.account_id == *name_of(number);
        let events: Vec<&Event> = events.iter().filter(of_account).collect();
        if !close
            && events
                .iter()
                .all(|event| event.data.effective_at().is_none())
        {
            continue;
        }
        let recorded = instants(events.iter().map(|event| event.recorded_at));
        let effective = instants(events.iter().map(|event| event.effective_at()));
        // All pairs on a close look; else those that are most likely to be wrong, and the newest knowledge.
        let recorded = if close {
            &recorded[..]
        } else {
            &recorded[recorded.len().saturating_sub(3)..]
        };
        for &known in recorded {
            for &date in &effective {
                let expected = model.balance_by_date(
                    number,
                    date.unix_microseconds(),
                    known.unix_microseconds(),
                );
                equal("balance by date", by_sum(&events, date, known), expected)?;
                equal(
                    "balance by date, the short way",
                    by_head(&events, date, known),
                    expected,
                )?;
            }
        }
    }
    Ok(())
}

/// Each instant, and the microsecond before: in order, each once.
fn instants(all: impl Iterator<Item = Timestamp>) -> Vec<Timestamp> {
    let mut all: Vec<Timestamp> = all
        .flat_map(|at| {
            let before = at.unix_microseconds() - 1;
            [Timestamp::from_unix_microseconds(before), at]
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn change(event: &Event) -> i128 {
    let change = event.data.balance_change();
    change.map_or(0, |change| change.value().mantissa())
}

fn by_sum(events: &[&Event], date: Timestamp, known: Timestamp) -> i128 {
    events
        .iter()
        .filter(|event| event.recorded_at <= known && event.effective_at() <= date)
        .map(|event| change(event))
        .sum()
}

/// The balance by the clock at the earlier of the two, without what counts later, and with what was recorded since and
/// counts already. Everything without a business date is in the first term.
fn by_head(events: &[&Event], date: Timestamp, known: Timestamp) -> i128 {
    let head = date.min(known);
    let dated = || {
        events
            .iter()
            .filter(|event| event.data.effective_at().is_some())
    };
    let newest = events.iter().rfind(|event| event.recorded_at <= head);
    let later = dated().filter(|event| event.recorded_at <= head && event.effective_at() > date);
    let since = dated().filter(|event| {
        event.recorded_at > head && event.recorded_at <= known && event.effective_at() <= date
    });
    newest.map_or(0, |event| event.balance_after.value().mantissa())
        - later.map(|event| change(event)).sum::<i128>()
        + since.map(|event| change(event)).sum::<i128>()
}

/// What an accepted step with a business date was.
pub(crate) fn count_business_dates(step: &Step, lines: &[Line], tally: &mut Tally) {
    let (Some(first), Some(effective_at)) = (lines.first(), step.terms.effective_at) else {
        return;
    };
    let at = first.recorded_at;
    tally.meet(if effective_at < at {
        "a movement was dated back"
    } else {
        "a movement was dated ahead"
    });
    if effective_at == at - EFFECTIVE_MAX {
        tally.meet("a movement was dated as early as may be");
    }
    if effective_at == at + EFFECTIVE_MAX {
        tally.meet("a movement was dated as late as may be");
    }
    let is_rest = |line: &Line| line.what == "HoldReleased" && line.effective_at.is_none();
    match step.ask {
        Ask::Transfer { .. } => tally.meet("a transfer with a business date"),
        Ask::Reverse { .. } => tally.meet("a reversal with a business date"),
        Ask::Capture { .. } if lines.iter().any(is_rest) => {
            tally.meet("a final capture with a business date released the rest");
        }
        _ => {}
    }
}
