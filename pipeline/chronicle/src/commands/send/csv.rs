//! Commands from a CSV file: a mapping says which column is which field, and each row becomes a command's JSON, which
//! then goes the way of every other line.
//!
//! A row that is wrong is told with its line, and its neighbours go on, even where a quote is not closed: the next line
//! is then taken for the next row.

mod identity;
mod mapping;
mod number;
mod parser;
mod records;
mod row;

use std::io;
use std::path::Path;

use tokio::sync::mpsc;

use self::records::{Reading, Records};
use self::row::Converter;
use super::lines::{self, Input, Line};
use crate::exit;

/// A CSV file whose header has been read.
pub(super) struct Table {
    records: Records,
    converter: Converter,
}

impl Table {
    /// Reads the mapping and the file's header: what is wrong with either is told before anything is sent.
    pub(super) fn open(input: Input, mapping: &Path) -> anyhow::Result<Self> {
        let mapping = mapping::read(mapping)?;
        let name = input.name.clone();
        let mut records = Records::new(input.buffered(), mapping.delimiter);
        let cannot = |error| exit::usage(format!("{name} cannot be read: {error}"));
        records.skip(mapping.skip_lines).map_err(cannot)?;
        let header = if mapping.header {
            let header = records.next(None).map_err(cannot)?;
            let header = header.ok_or_else(|| exit::usage(format!("{name} has no header")))?;
            let wrong =
                |reason| exit::usage(format!("{name}:{}: the header: {reason}", header.number));
            Some(header.fields.map_err(wrong)?)
        } else {
            None
        };
        let converter = Converter::of(mapping, header.as_deref(), &name)?;
        Ok(Self { records, converter })
    }

    /// Begins to read. The lines end with the file, or with an error.
    pub(super) fn lines(mut self) -> mpsc::Receiver<io::Result<Line>> {
        lines::ahead(move || {
            let Some(Reading {
                number,
                end,
                fields,
            }) = self.records.next(self.converter.columns())?
            else {
                return Ok(None);
            };
            let text = fields.and_then(|fields| self.converter.command(&fields));
            Ok(Some(Line { number, end, text }))
        })
    }
}
