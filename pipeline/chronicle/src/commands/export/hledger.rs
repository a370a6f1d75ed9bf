//! The book as a journal of hledger: <https://hledger.org/hledger.html#journal>.
//!
//! An account keeps its id: `assets:ID`. hledger checks balance assertions by date, and within a date by their place in
//! the file, so those of the ends of days stand behind all transactions.

use std::collections::BTreeSet;
use std::io::{self, Write};

use ledger::{Currency, Event, Timestamp};

use super::book::Entry;
use super::days::{self, DayEnd};
use super::text::encoded;
use super::transaction::{Place, Posting, Transaction, opening, transaction};
use super::{Counts, Form};

/// Would begin a comment.
const IN_DESCRIPTIONS: &[char] = &[';'];
/// Would end a tag's value.
const IN_VALUES: &[char] = &[','];
/// Would end a tag's name, or its value.
const IN_NAMES: &[char] = &[':', ','];

/// A journal that is being written.
#[derive(Default)]
pub(super) struct Journal {
    /// Those whose form was said.
    currencies: BTreeSet<Currency>,
    has_balances: bool,
}

impl Form for Journal {
    fn is_journal(&self) -> bool {
        true
    }

    fn begin(&mut self, at: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "; Chronicle Ledger: the book as of {at}")?;
        writeln!(
            out,
            "; Texts are percent-encoded where hledger would read more into them."
        )?;
        writeln!(out, "\ndecimal-mark .\n")?;
        writeln!(out, "account equity:external")?;
        writeln!(out, "account equity:opening")
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
        let zero = ledger::Money::zero(day.balance.currency());
        let currency = symbol(day.balance.currency());
        writeln!(out, "\n{} * balance", day.date)?;
        writeln!(
            out,
            "    assets:{}  {zero} {currency} == {} {currency}",
            day.account_id, day.balance
        )
    }

    fn end(&mut self, counts: Counts, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "\n; end of the book: {} events of {} accounts",
            counts.events, counts.accounts
        )
    }
}

impl Journal {
    /// Declares the account that an event opens, and its currency if that is new.
    fn open(&mut self, event: &Event, out: &mut dyn Write) -> io::Result<()> {
        let Some(created) = opening(event) else {
            return Ok(());
        };
        let currency = event.currency();
        if self.currencies.insert(currency) {
            // The point stands there also where no decimals follow: it says that it is the decimal mark.
            let decimals = "0".repeat(currency.exponent() as usize);
            writeln!(out, "\ncommodity 1000.{decimals} {}", symbol(currency))?;
        }
        writeln!(out, "\naccount assets:{}", event.account_id)?;
        tag("owner", &created.owner_name, out)?;
        tag("overdraft_limit", &created.overdraft_limit.to_string(), out)
    }
}

fn write(transaction: &Transaction<'_>, out: &mut dyn Write) -> io::Result<()> {
    let event = transaction.event;
    // With a code of our own, no description can be taken for one.
    writeln!(
        out,
        "\n{} * ({}/{}) {}",
        days::date(event),
        event.account_id,
        event.version,
        description(transaction)
    )?;
    tag("recorded_at", &event.recorded_at.to_string(), out)?;
    // Not as a second date: balance assertions are about the day of the recording, and no option must move them.
    if let Some(effective_at) = event.data.effective_at() {
        tag("effective_at", &effective_at.to_string(), out)?;
    }
    tag("command_id", &event.command_id.to_string(), out)?;
    if let Some(part) = event.part {
        tag("part", &part.to_string(), out)?;
    }
    if let Some(leg) = event.data.transfer() {
        tag("transfer_id", &leg.transfer_id.to_string(), out)?;
    }
    if let Some(posting_id) = event.data.posting_id() {
        tag("posting_id", &posting_id.to_string(), out)?;
    }
    if let Some(reversal) = event.data.reversal() {
        let command_id = reversal.command_id.to_string();
        tag("reversed_command_id", &command_id, out)?;
        tag("reason", &reversal.reason, out)?;
    }
    if let Some(actor) = &event.actor {
        tag("actor", actor, out)?;
    }
    for (key, value) in event.data.metadata() {
        tag(&format!("metadata.{}", encoded(key, IN_NAMES)), value, out)?;
    }
    transaction
        .postings
        .iter()
        .try_for_each(|posting| write_posting(posting, out))
}

/// A currency as hledger reads it: a symbol with a digit in it stands in quotes.
fn symbol(currency: Currency) -> String {
    let code = currency.to_string();
    if code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        code
    } else {
        format!("\"{code}\"")
    }
}

fn description(transaction: &Transaction<'_>) -> String {
    match transaction.event.data.description() {
        Some(text) if !text.is_empty() => encoded(text, IN_DESCRIPTIONS),
        _ => transaction.kind.to_owned(),
    }
}

/// On a line of its own, so that it cannot become part of anything else.
fn tag(name: &str, value: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "    ; {name}: {}", encoded(value, IN_VALUES))
}

/// A posting's comment could move it to another date, so no text of a publisher goes there.
fn write_posting(posting: &Posting<'_>, out: &mut dyn Write) -> io::Result<()> {
    let amount = format!(
        "{} {}",
        posting.amount.number(),
        symbol(posting.amount.currency())
    );
    match &posting.place {
        Place::Account(event) => writeln!(
            out,
            "    assets:{}  {amount}  ; event_id: {}, version: {}",
            event.account_id, event.event_id, event.version
        ),
        Place::External => writeln!(out, "    equity:external  {amount}"),
        Place::Opening => writeln!(out, "    equity:opening  {amount}"),
    }
}
