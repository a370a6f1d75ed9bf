//! Tables that are printed while their rows come in: memory stays flat however many there are.
//!
//! The first rows are held back to find out how wide the columns are; a later cell that is wider pushes its line out.

use ledger::{Event, EventData, Money};

use super::asked_for;
use crate::output;

/// How many rows say how wide the columns are.
const HELD_MAX: usize = 200;

/// A column: its name, and on which side its cells stand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// Text.
    Left(&'static str),
    /// Figures.
    Right(&'static str),
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Left(name) | Self::Right(name) => name,
        }
    }
}

/// A table of `N` columns.
pub(super) struct Rows<const N: usize> {
    columns: [Column; N],
    widths: [usize; N],
    held: Vec<[String; N]>,
    begun: bool,
}

impl<const N: usize> Rows<N> {
    /// A table without rows.
    pub(super) fn new(columns: [Column; N]) -> Self {
        Self {
            columns,
            widths: columns.map(|column| column.name().chars().count()),
            held: Vec::new(),
            begun: false,
        }
    }

    /// Adds a row, which may be printed later.
    pub(super) fn push(&mut self, cells: [String; N]) -> anyhow::Result<()> {
        let cells = cells.map(|cell| plain(&cell));
        if self.begun {
            return self.print(&cells);
        }
        for (width, cell) in self.widths.iter_mut().zip(&cells) {
            *width = (*width).max(cell.chars().count());
        }
        self.held.push(cells);
        if self.held.len() < HELD_MAX {
            Ok(())
        } else {
            self.flush()
        }
    }

    /// Prints what is held back: at the end, or when nothing more comes for a while.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        let held = std::mem::take(&mut self.held);
        if !self.begun && !held.is_empty() {
            self.begun = true;
            self.print(&self.columns.map(|column| column.name().to_uppercase()))?;
        }
        held.iter().try_for_each(|cells| self.print(cells))
    }

    fn print(&self, cells: &[String; N]) -> anyhow::Result<()> {
        let padded: [String; N] = std::array::from_fn(|index| {
            let (cell, width) = (&cells[index], self.widths[index]);
            match self.columns[index] {
                Column::Left(_) => format!("{cell:<width$}"),
                Column::Right(_) => format!("{cell:>width$}"),
            }
        });
        output::line(format!(" {}", padded.join("  ").trim_end()))
    }
}

/// Text that cannot move the cursor, ring or break a line: it came from outside, and it is for a terminal.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// What an event adds to the balance, with its sign; for one that only changes what is held, that.
pub(super) fn signed_amount(event: &Event) -> String {
    match (event.data.balance_change(), event.data.held_change()) {
        (Some(change), _) => signed(change),
        (None, Some(change)) => format!("held {}", signed(change)),
        (None, None) => String::new(),
    }
}

/// What is said of an event: its description, the posting that it is an entry of, what it moved back, if it did, and its
/// business date, if it was given one.
pub(super) fn description(event: &Event) -> String {
    let reversed = event.data.reversal().map(|reversal| {
        format!(
            "back from command {}: {}",
            reversal.command_id, reversal.reason
        )
    });
    let description = event.data.description().map(str::to_owned);
    let effective = event.data.effective_at();
    let effective = effective.map(|effective_at| format!("effective {effective_at}"));
    let posting = event.data.posting_id();
    let posting = posting.map(|posting_id| format!("in posting {posting_id}"));
    let rules = match &event.data {
        EventData::AccountRulesSet(set) => Some(format!("rules: {}", asked_for::rules(&set.rules))),
        _ => None,
    };
    let said: Vec<String> = description
        .into_iter()
        .chain(rules)
        .chain(posting)
        .chain(reversed)
        .chain(effective)
        .collect();
    said.join("; ")
}

fn signed(amount: Money) -> String {
    if amount.is_positive() {
        format!("+{amount}")
    } else {
        amount.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(plain("rent\u{1b}[2J\r\nü"), "rent\\u{1b}[2J\\r\\nü");
    }
}
