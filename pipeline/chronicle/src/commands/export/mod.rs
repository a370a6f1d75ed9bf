//! `chronicle export`: the whole book, now or at an instant, for other programs.
//!
//! One snapshot is read in pages, by account and version, so memory stays flat; the journals read it twice, first for the
//! transactions, then for what each account had at the end of each day. The same book at the same instant gives the same
//! bytes: nothing here asks a clock, and whether the answer is final is said on stderr only.
//!
//! A new type of event that moves no money needs a line in [`transaction`], and one in `csv`; the compiler points at both.

mod beancount;
mod book;
mod csv;
mod days;
mod hledger;
mod names;
mod ndjson;
mod target;
mod text;
mod transaction;

use std::io::{self, Write};
use std::process::ExitCode;

use ledger::Timestamp;

use self::book::{Book, Entry};
use self::days::{DayEnd, Days};
use self::target::Target;
use super::as_of::{self, Standing};
use super::reach;
use crate::arguments::{ExportArguments, ExportFormat};
use crate::output;
use crate::servers_at::ServerArguments;

/// A form in which the book can be written. Gets the entries by account and version.
trait Form: Send {
    /// Whether it wants the other halves of transfers, the other entries of postings, and the ends of days.
    fn is_journal(&self) -> bool;

    /// What stands before all else.
    fn begin(&mut self, _at: Timestamp, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    /// An event.
    fn entry(&mut self, entry: &Entry, out: &mut dyn Write) -> io::Result<()>;

    /// What an account had at the end of a day. Comes when all entries have come, by account and day.
    fn day_end(&mut self, _day: &DayEnd, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    /// What stands behind all else.
    fn end(&mut self, _counts: Counts, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// How much was exported.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    accounts: u64,
    events: u64,
}

pub(crate) async fn execute(
    servers: &ServerArguments,
    arguments: &ExportArguments,
) -> anyhow::Result<ExitCode> {
    let store = servers.event_store()?;
    let failed = |error| reach::event_store_failed(servers, &error);
    let mut snapshot = store.snapshot().await.map_err(failed)?;
    let asked_at = snapshot.asked_at().await.map_err(failed)?;
    let at = arguments.at.unwrap_or(asked_at);
    as_of::check_past("--at", at, asked_at)?;
    let standing = Standing::at(at, store::is_final(at, asked_at));

    let mut target = Target::open(arguments.to.as_deref())?;
    let mut form = form(arguments.format);
    let mut book = Book::of(servers, snapshot, at);
    form.begin(at, &mut target)
        .or_else(|error| target.failed(error))?;
    let counts = entries(&mut book, form.as_mut(), &mut target).await?;
    if form.is_journal() {
        day_ends(&mut book, form.as_mut(), &mut target).await?;
    }
    form.end(counts, &mut target)
        .or_else(|error| target.failed(error))?;
    book.close().await?;
    target.finish()?;
    output::say(format!(
        "exported {} events of {} accounts, as of {}",
        counts.events,
        counts.accounts,
        standing.told()
    ));
    Ok(ExitCode::SUCCESS)
}

fn form(format: ExportFormat) -> Box<dyn Form> {
    match format {
        ExportFormat::Hledger => Box::<hledger::Journal>::default(),
        ExportFormat::Beancount => Box::<beancount::Journal>::default(),
        ExportFormat::Csv => Box::new(csv::Table),
        ExportFormat::Ndjson => Box::new(ndjson::Lines),
    }
}

/// Writes every event.
async fn entries(
    book: &mut Book<'_>,
    form: &mut dyn Form,
    target: &mut Target,
) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    while let Some(events) = book.next_page().await? {
        for events in book::split(events) {
            let entries = if form.is_journal() {
                book.with_others(events).await?
            } else {
                events.into_iter().map(Entry::from).collect()
            };
            for entry in &entries {
                counts.events += 1;
                counts.accounts += u64::from(entry.event.version == ledger::Version::FIRST);
                form.entry(entry, target)
                    .or_else(|error| target.failed(error))?;
            }
        }
    }
    Ok(counts)
}

/// Writes what each account had at the end of each day, in a second walk over the same snapshot: a day's last transfer
/// into an account may stand far behind the account's own events.
async fn day_ends(
    book: &mut Book<'_>,
    form: &mut dyn Form,
    target: &mut Target,
) -> anyhow::Result<()> {
    book.rewind();
    let mut days = Days::default();
    while let Some(events) = book.next_page().await? {
        for day in events.iter().filter_map(|event| days.take(event)) {
            form.day_end(&day, target)
                .or_else(|error| target.failed(error))?;
        }
    }
    if let Some(day) = days.finish() {
        form.day_end(&day, target)
            .or_else(|error| target.failed(error))?;
    }
    Ok(())
}
