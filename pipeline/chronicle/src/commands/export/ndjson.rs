//! The book as JSON: one event a line, exactly as on the wire.

use std::io::{self, Write};

use ledger::codec::json;

use super::Form;
use super::book::Entry;

/// Lines that are being written.
pub(super) struct Lines;

impl Form for Lines {
    fn is_journal(&self) -> bool {
        false
    }

    fn entry(&mut self, entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&json::encode_event(&entry.event))?;
        out.write_all(b"\n")
    }
}
