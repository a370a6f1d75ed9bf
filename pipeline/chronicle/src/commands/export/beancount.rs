//! The book as a journal of Beancount: <https://beancount.github.io/docs/beancount_language_syntax.html>.
//!
//! An account becomes `Assets:NAME`, see [`names`]. Beancount sorts a file by date, and checks a balance before all that
//! happened on its day: the end of a day is the beginning of the next. Balances have to be exact (`~ 0`): without that,
//! Beancount lets them be off by one in the last digit.

use std::io::{self, Write};

use ledger::{Event, Timestamp};
use time::Date;

use super::book::Entry;
use super::days::{self, DayEnd};
use super::names;
use super::text::encoded;
use super::transaction::{Place, Posting, Transaction, opening, transaction};
use super::{Counts, Form};

/// A journal that is being written.
#[derive(Default)]
pub(super) struct Journal {
    /// When the first account was opened.
    begin: Option<Date>,
    has_balances: bool,
}

impl Form for Journal {
    fn is_journal(&self) -> bool {
        true
    }

    fn begin(&mut self, at: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "; Chronicle Ledger: the book as of {at}")?;
        writeln!(out, "; Control characters in texts are percent-encoded.")?;
        writeln!(out, "\noption \"title\" \"Chronicle Ledger\"")
    }

    fn entry(&mut self, entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
        self.open(&entry.event, out)?;
        match transaction(entry) {
            Some(transaction) => write(&transaction, out),
            None => Ok(()),
        }
    }

    fn day_end(&mut self, day: &DayEnd, out: &mut dyn Write) -> io::Result<()> {
        if !self.has_balances {
            self.has_balances = true;
            writeln!(
                out,
                "\n; What each account had at the end of each day on which it had events."
            )?;
        }
        // The last day of all has no next one.
        let Some(date) = day.date.next_day() else {
            return Ok(());
        };
        let (account, currency) = (names::component(&day.account_id), day.balance.currency());
        writeln!(
            out,
            "{date} balance Assets:{account}  {} ~ 0 {currency}",
            day.balance
        )
    }

    fn end(&mut self, counts: Counts, out: &mut dyn Write) -> io::Result<()> {
        if let Some(begin) = self.begin {
            writeln!(out, "\n{begin} open Equity:External")?;
            writeln!(out, "{begin} open Equity:Opening")?;
        }
        writeln!(
            out,
            "\n; end of the book: {} events of {} accounts",
            counts.events, counts.accounts
        )
    }
}

impl Journal {
    /// Opens the account that an event opens.
    fn open(&mut self, event: &Event, out: &mut dyn Write) -> io::Result<()> {
        let Some(created) = opening(event) else {
            return Ok(());
        };
        let date = days::date(event);
        self.begin = Some(self.begin.map_or(date, |begin| begin.min(date)));
        let account = names::component(&event.account_id);
        writeln!(out, "\n{date} open Assets:{account} {}", event.currency())?;
        metadata("  ", "account_id", event.account_id.as_str(), out)?;
        metadata("  ", "owner", &created.owner_name, out)?;
        let limit = created.overdraft_limit;
        writeln!(out, "  overdraft_limit: {limit} {}", limit.currency())
    }
}

fn write(transaction: &Transaction<'_>, out: &mut dyn Write) -> io::Result<()> {
    let event = transaction.event;
    writeln!(
        out,
        "\n{} * {}",
        days::date(event),
        quoted(description(transaction))
    )?;
    metadata("  ", "recorded_at", &event.recorded_at.to_string(), out)?;
    if let Some(effective_at) = event.data.effective_at() {
        metadata("  ", "effective_at", &effective_at.to_string(), out)?;
    }
    metadata("  ", "command_id", &event.command_id.to_string(), out)?;
    if let Some(part) = event.part {
        writeln!(out, "  part: {part}")?;
    }
    if let Some(leg) = event.data.transfer() {
        metadata("  ", "transfer_id", &leg.transfer_id.to_string(), out)?;
    }
    if let Some(posting_id) = event.data.posting_id() {
        metadata("  ", "posting_id", &posting_id.to_string(), out)?;
    }
    if let Some(reversal) = event.data.reversal() {
        let command_id = reversal.command_id.to_string();
        metadata("  ", "reversed_command_id", &command_id, out)?;
        metadata("  ", "reason", &reversal.reason, out)?;
    }
    if let Some(actor) = &event.actor {
        metadata("  ", "actor", actor, out)?;
    }
    for (key, value) in event.data.metadata() {
        metadata("  ", &names::key(key), value, out)?;
    }
    transaction
        .postings
        .iter()
        .try_for_each(|posting| write_posting(posting, out))
}

fn description<'a>(transaction: &Transaction<'a>) -> &'a str {
    match transaction.event.data.description() {
        Some(text) if !text.is_empty() => text,
        _ => transaction.kind,
    }
}

fn metadata(indent: &str, key: &str, value: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{indent}{key}: {}", quoted(value))
}

/// A text as a string.
fn quoted(text: &str) -> String {
    let escaped = encoded(text, &[])
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!("\"{escaped}\"")
}

fn write_posting(posting: &Posting<'_>, out: &mut dyn Write) -> io::Result<()> {
    let amount = &posting.amount;
    match &posting.place {
        Place::Account(event) => {
            let account = names::component(&event.account_id);
            writeln!(out, "  Assets:{account}  {amount}")?;
            metadata("    ", "event_id", &event.event_id.to_string(), out)?;
            writeln!(out, "    version: {}", event.version)
        }
        Place::External => writeln!(out, "  Equity:External  {amount}"),
        Place::Opening => writeln!(out, "  Equity:Opening  {amount}"),
    }
}
