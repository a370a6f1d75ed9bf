//! How answers are printed: tables for people, JSON for programs.

use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs: one JSON document, or one per line where there are many.
    Json,
}

/// Nobody reads the output any more, as in `chronicle events | head`: the end, and no failure.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output any more")]
pub(crate) struct Closed;

/// A value as one JSON document on a line of its own.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = serde_json::to_writer(&mut stdout, value).map_err(io::Error::from);
    closed_or(written.and_then(|()| writeln!(stdout)))
}

/// A line of text.
pub(crate) fn line(text: impl std::fmt::Display) -> anyhow::Result<()> {
    closed_or(writeln!(io::stdout().lock(), "{text}"))
}

/// What was written, unless nobody reads it.
pub(crate) fn closed_or(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        other => Ok(other?),
    }
}

/// Talk: goes to stderr, so that it never mixes with data.
pub(crate) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A table with these columns; `right` names those whose cells are aligned to the right.
pub(crate) fn table(columns: &[&str], right: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(columns.iter().map(|name| name.to_uppercase()));
    for (index, name) in columns.iter().enumerate() {
        if right.contains(name)
            && let Some(column) = table.column_mut(index)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
