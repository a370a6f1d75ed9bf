//! The lines of a file, read in the background and never more than a few ahead.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use bytes::Bytes;
use ledger::limits;
use tokio::sync::mpsc;

use crate::exit;

/// How many lines are read ahead.
const AHEAD_MAX: usize = 256;
/// A line keeps no more than so many bytes; white space around a command is no part of it.
pub(super) const LINE_BYTES_MAX: usize = 2 * limits::BODY_BYTES_MAX;

/// A line that is not blank.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The first line has number 1.
    pub(super) number: u64,
    /// Where it ends, in bytes from the beginning.
    pub(super) end: u64,
    /// The command's JSON, without white space around it; or why there is none.
    pub(super) text: Result<Bytes, String>,
}

/// Where lines come from.
pub(super) struct Input {
    reader: Box<dyn Read + Send>,
    /// What it is called in messages.
    pub(super) name: String,
    /// How long it is, if that is known.
    pub(super) bytes: Option<u64>,
}

impl Input {
    /// Opens a file; `-` is standard input.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self {
                reader: Box::new(io::stdin()),
                name: "stdin".to_owned(),
                bytes: None,
            });
        }
        let name = path.display().to_string();
        let cannot = |error: io::Error| exit::usage(format!("{name} cannot be read: {error}"));
        let file = File::open(path).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
        if metadata.is_dir() {
            return Err(exit::usage(format!(
                "{name} is a folder; give a file with one command a line"
            )));
        }
        let bytes = metadata.is_file().then_some(metadata.len());
        Ok(Self {
            reader: Box::new(file),
            name,
            bytes,
        })
    }

    /// Begins to read. The lines end with the file, or with an error.
    pub(super) fn lines(self) -> mpsc::Receiver<io::Result<Line>> {
        let mut lines = self.here();
        ahead(move || lines.next().transpose())
    }

    /// The same lines, read when they are asked for.
    pub(super) fn here(self) -> impl Iterator<Item = io::Result<Line>> + Send {
        let mut reader = self.buffered();
        let mut place = Place::default();
        std::iter::from_fn(move || next(&mut reader, &mut place).transpose())
    }

    /// As bytes.
    pub(super) fn buffered(self) -> Box<dyn BufRead + Send> {
        Box::new(BufReader::with_capacity(1 << 16, self.reader))
    }
}

/// What `next` gives, read in the background until it gives nothing more, or an error.
pub(super) fn ahead(
    mut next: impl FnMut() -> io::Result<Option<Line>> + Send + 'static,
) -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(AHEAD_MAX);
    tokio::task::spawn_blocking(move || {
        while let Some(line) = next().transpose() {
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                break;
            }
        }
    });
    receiver
}

/// How far the reading has come.
#[derive(Default)]
struct Place {
    number: u64,
    end: u64,
}

/// The next line that is not blank.
fn next(reader: &mut (impl BufRead + ?Sized), place: &mut Place) -> io::Result<Option<Line>> {
    loop {
        let mut text = Vec::new();
        let length = read_line(reader, &mut text)?;
        if length == 0 {
            return Ok(None);
        }
        place.number += 1;
        place.end += length;
        if length > text.len() as u64 {
            return Ok(Some(Line {
                number: place.number,
                end: place.end,
                text: Err(format!(
                    "a command has at most {} bytes, and this has {length}",
                    limits::BODY_BYTES_MAX
                )),
            }));
        }
        let trimmed = text.trim_ascii();
        if !trimmed.is_empty() {
            let text = Ok(Bytes::copy_from_slice(trimmed));
            return Ok(Some(Line {
                number: place.number,
                end: place.end,
                text,
            }));
        }
    }
}

/// Reads to the end of the line, and answers with its length; keeps only its beginning when it is too long.
pub(super) fn read_line(
    reader: &mut (impl BufRead + ?Sized),
    text: &mut Vec<u8>,
) -> io::Result<u64> {
    let mut length = 0;
    loop {
        let available = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        if available.is_empty() {
            return Ok(length);
        }
        let end = available
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| at + 1);
        let taken = end.unwrap_or(available.len());
        let room = LINE_BYTES_MAX.saturating_sub(text.len());
        text.extend_from_slice(&available[..taken.min(room)]);
        reader.consume(taken);
        length += taken as u64;
        if end.is_some() {
            return Ok(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut input: &[u8]) -> Vec<Line> {
        let mut place = Place::default();
        std::iter::from_fn(|| next(&mut input, &mut place).unwrap()).collect()
    }

    fn line(number: u64, end: u64, text: &'static str) -> Line {
        Line {
            number,
            end,
            text: Ok(Bytes::from_static(text.as_bytes())),
        }
    }

    #[test]
    fn blank_lines_count_and_do_not_come() {
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\n \n"), []);
        assert_eq!(
            read(b"{}\r\n\n  {1}\t\n{2}"),
            [line(1, 4, "{}"), line(3, 12, "{1}"), line(4, 15, "{2}")]
        );
    }

    #[test]
    fn a_line_without_end_is_not_kept_whole() {
        let mut input = vec![b'x'; LINE_BYTES_MAX + 10];
        input.extend_from_slice(b"\n{}\n");
        let lines = read(&input);
        let reason = lines[0].text.as_ref().unwrap_err();
        assert!(reason.ends_with(&format!("this has {}", LINE_BYTES_MAX + 11)));
        assert_eq!(lines[1].text, Ok(Bytes::from_static(b"{}")));
        assert_eq!(lines[1].number, 2);
    }
}
