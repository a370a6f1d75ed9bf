//! The book as a table: one event a line, RFC 4180.

use std::io::{self, Write};

use ledger::{Event, EventData, FreezeChanged, Money, Timestamp};

use super::Form;
use super::book::Entry;

/// The names of the columns; what they hold is in [`cells`].
const COLUMNS: [&str; 28] = [
    "account_id",
    "version",
    "type",
    "recorded_at",
    "amount",
    "currency",
    "balance_after",
    "counterparty_account_id",
    "transfer_id",
    "description",
    "actor",
    "owner_name",
    "overdraft_limit",
    "metadata",
    "event_id",
    "command_id",
    "prev_hash",
    "hash",
    "held",
    "held_after",
    "hold_id",
    "scope",
    "reason",
    "reversed_command_id",
    "posting_id",
    "part",
    "effective_at",
    "rules",
];

/// A table that is being written.
pub(super) struct Table;

impl Form for Table {
    fn is_journal(&self) -> bool {
        false
    }

    fn begin(&mut self, _at: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        row(&COLUMNS.map(str::to_owned), out)
    }

    fn entry(&mut self, entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
        row(&cells(&entry.event), out)
    }
}

fn cells(event: &Event) -> [String; COLUMNS.len()] {
    let data = &event.data;
    let freeze = freeze(data);
    let transfer = data.transfer();
    let reversal = data.reversal();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let metadata = if data.metadata().is_empty() {
        String::new()
    } else {
        serde_json::to_string(data.metadata()).expect("a map of strings always becomes JSON")
    };
    [
        event.account_id.to_string(),
        event.version.to_string(),
        data.type_name().to_owned(),
        event.recorded_at.to_string(),
        amount(event),
        event.currency().to_string(),
        event.balance_after.to_string(),
        transfer.map_or_else(String::new, |leg| leg.counterparty_account_id.to_string()),
        transfer.map_or_else(String::new, |leg| leg.transfer_id.to_string()),
        text(data.description()),
        text(event.actor.as_deref()),
        text(owner_name(data)),
        overdraft_limit(data).map_or_else(String::new, |limit| limit.to_string()),
        metadata,
        event.event_id.to_string(),
        event.command_id.to_string(),
        event.prev_hash.to_string(),
        event.hash.to_string(),
        data.held_change()
            .map_or_else(String::new, |held| held.to_string()),
        event.held_after.to_string(),
        data.hold()
            .map_or_else(String::new, |hold| hold.hold_id.to_string()),
        text(freeze.map(|freeze| freeze.scope.as_str())),
        text(reason(data)),
        reversal.map_or_else(String::new, |reversal| reversal.command_id.to_string()),
        data.posting_id()
            .map_or_else(String::new, |posting_id| posting_id.to_string()),
        event.part.map_or_else(String::new, |part| part.to_string()),
        data.effective_at()
            .map_or_else(String::new, |effective_at| effective_at.to_string()),
        rules(data),
    ]
}

/// What an event adds to the balance, so that the amounts of an account add up to it.
fn amount(event: &Event) -> String {
    event
        .data
        .balance_change()
        .unwrap_or(Money::zero(event.currency()))
        .to_string()
}

/// Whose the account is, where the event says it.
fn owner_name(data: &EventData) -> Option<&str> {
    match data {
        EventData::AccountCreated(created) => Some(&created.owner_name),
        EventData::AccountUpdated(updated) => updated.owner_name.as_deref(),
        _ => None,
    }
}

/// How far the balance may fall below zero, where the event says it.
fn overdraft_limit(data: &EventData) -> Option<Money> {
    match data {
        EventData::AccountCreated(created) => Some(created.overdraft_limit),
        EventData::OverdraftLimitSet(set) => Some(set.overdraft_limit),
        _ => None,
    }
}

/// Why, where the command had to say it.
fn reason(data: &EventData) -> Option<&str> {
    let freeze = freeze(data).and_then(|freeze| freeze.reason.as_deref());
    freeze.or_else(|| Some(data.reversal()?.reason.as_str()))
}

/// What the account's movements must obey, where the event says it: all of its rules.
fn rules(data: &EventData) -> String {
    match data {
        EventData::AccountRulesSet(set) => {
            serde_json::to_string(&set.rules).expect("rules always become JSON")
        }
        _ => String::new(),
    }
}

fn freeze(data: &EventData) -> Option<&FreezeChanged> {
    match data {
        EventData::AccountFrozen(changed) | EventData::AccountUnfrozen(changed) => Some(changed),
        _ => None,
    }
}

fn row(cells: &[String], out: &mut dyn Write) -> io::Result<()> {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        if cell.contains(['"', ',', '\r', '\n']) {
            write!(out, "\"{}\"", cell.replace('"', "\"\""))?;
        } else {
            out.write_all(cell.as_bytes())?;
        }
    }
    out.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let mut out = Vec::new();
        let cells = ["a", "", "b c", "d,e", "f \"g\"", "h\ni", "j\rk", " l "];
        row(&cells.map(str::to_owned), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "a,,b c,\"d,e\",\"f \"\"g\"\"\",\"h\ni\",\"j\rk\", l \r\n"
        );
    }
}
