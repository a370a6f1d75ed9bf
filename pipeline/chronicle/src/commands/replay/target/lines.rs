//! One event a line, to stdout or into a file that is only ever added to.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use ledger::EventId;
use ledger::codec::json;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::commands::history::document;
use crate::commands::replay::event::{Place, Replayed};
use crate::{exit, output};

const BUFFER_BYTES: usize = 1 << 16;
/// A line is never longer: far more than an event may have.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// An event with its place in the feed: as `chronicle events -o json` prints it.
#[derive(Serialize, Deserialize)]
struct Line {
    /// None for an event of the event store.
    sequence: Option<u64>,
    event: Box<RawValue>,
}

/// Lines that are being written, whatever they hold.
pub(in crate::commands::replay) struct Out {
    writer: BufWriter<Box<dyn Write + Send>>,
    /// Of the file; nothing for stdout.
    name: Option<String>,
    /// Whether somebody may be waiting for each line.
    is_flushed: bool,
}

impl Out {
    /// To stdout, or to the end of a file in which nothing is kept behind the last complete line. `is_flushed`: each line
    /// is written at once.
    pub(in crate::commands::replay) fn open(
        file: Option<(&Path, &Tail)>,
        is_flushed: bool,
    ) -> anyhow::Result<Self> {
        let (out, name): (Box<dyn Write + Send>, _) = match file {
            Some((path, tail)) => (
                Box::new(append(path, tail)?),
                Some(path.display().to_string()),
            ),
            None => (Box::new(io::stdout()), None),
        };
        Ok(Self {
            writer: BufWriter::with_capacity(BUFFER_BYTES, out),
            name,
            is_flushed,
        })
    }

    /// Writes one.
    pub(in crate::commands::replay) fn line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        let written = self
            .writer
            .write_all(line)
            .and_then(|()| self.writer.write_all(b"\n"));
        self.checked(written)?;
        if self.is_flushed {
            self.finish()?;
        }
        Ok(())
    }

    pub(in crate::commands::replay) fn finish(&mut self) -> anyhow::Result<()> {
        let flushed = self.writer.flush();
        self.checked(flushed)
    }

    fn checked(&self, written: io::Result<()>) -> anyhow::Result<()> {
        match &self.name {
            Some(name) => {
                written.map_err(|error| exit::usage(format!("{name} cannot be written: {error}")))
            }
            None => output::closed_or(written),
        }
    }
}

/// Events, one a line.
pub(in crate::commands::replay) struct Lines {
    out: Out,
    done: Option<Place>,
}

impl Lines {
    /// Of nothing so far.
    pub(in crate::commands::replay) fn new(out: Out) -> Self {
        Self { out, done: None }
    }

    /// Whether it goes into a file.
    pub(in crate::commands::replay) fn is_file(&self) -> bool {
        self.out.name.is_some()
    }

    pub(super) fn write(&mut self, replayed: &Replayed) -> anyhow::Result<()> {
        let line = Line {
            sequence: replayed.place.sequence(),
            event: document(&replayed.event)?,
        };
        self.out.line(&serde_json::to_vec(&line)?)?;
        self.done = Some(replayed.place.clone());
        Ok(())
    }

    pub(super) fn finish(&mut self) -> anyhow::Result<()> {
        self.out.finish()
    }

    /// The last event of which everything is written, once it is finished.
    pub(super) fn done(&self) -> Option<&Place> {
        self.done.as_ref()
    }
}

/// A file at its end, to be written on. What stands behind its last complete line is taken away.
fn append(path: &Path, tail: &Tail) -> anyhow::Result<File> {
    let name = path.display();
    let cannot = |error: io::Error| exit::usage(format!("{name} cannot be written: {error}"));
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    let file = options.open(path).map_err(cannot)?;
    if tail.unfinished > 0 {
        output::say(format!(
            "{name}: {} bytes of an unfinished line at its end are taken away",
            tail.unfinished
        ));
        file.set_len(tail.complete).map_err(cannot)?;
    }
    Ok(file)
}

/// The last event that a file has.
#[derive(Debug)]
pub(in crate::commands::replay) struct Found {
    pub(in crate::commands::replay) place: Place,
    pub(in crate::commands::replay) event_id: EventId,
}

impl Found {
    /// Reads a line.
    pub(in crate::commands::replay) fn read(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let event = json::decode_event(line.event.get().as_bytes()).ok()?;
        let place = match line.sequence {
            Some(sequence) => Place::Sequence(sequence),
            None => Place::Version(event.account_id, event.version),
        };
        Some(Self {
            place,
            event_id: event.event_id,
        })
    }
}

/// The end of a file of lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::commands::replay) struct Tail {
    /// The last complete line, without its end.
    pub(in crate::commands::replay) line: Option<Vec<u8>>,
    /// Where it ends, in bytes.
    complete: u64,
    /// How many bytes stand behind it.
    unfinished: u64,
}

impl Tail {
    /// Of the file `path`, which may not be there yet. One that has anything in it is not touched unless it is to be
    /// resumed.
    pub(in crate::commands::replay) fn of(path: &Path, is_resumed: bool) -> anyhow::Result<Self> {
        let name = path.display();
        let cannot = |error: io::Error| exit::usage(format!("{name} cannot be read: {error}"));
        let metadata = match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(cannot)?,
        };
        if metadata.is_dir() {
            return Err(exit::usage(format!(
                "{name} is a folder; give the name of a file"
            )));
        }
        // A pipe or a device is written to from its beginning, whatever that means there.
        if !metadata.is_file() || metadata.len() == 0 {
            return Ok(Self::default());
        }
        if !is_resumed {
            return Err(exit::usage(format!(
                "{name} is there already; to go on behind its last line, give --resume, else another name"
            )));
        }
        let mut file = File::open(path).map_err(cannot)?;
        Self::read(&mut file, metadata.len()).map_err(cannot)
    }

    fn read(file: &mut (impl Read + Seek), length: u64) -> io::Result<Self> {
        let begin = length.saturating_sub(2 * LINE_BYTES_MAX);
        let mut size = 1 << 16;
        loop {
            let from = length.saturating_sub(size).max(begin);
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.by_ref().take(length - from).read_to_end(&mut bytes)?;
            let end = bytes.iter().rposition(|byte| *byte == b'\n');
            let start = end.and_then(|end| bytes[..end].iter().rposition(|byte| *byte == b'\n'));
            let Some(end) = end.filter(|_| start.is_some() || from == begin) else {
                if from > begin {
                    size *= 4;
                    continue;
                }
                return Ok(Self {
                    line: None,
                    complete: 0,
                    unfinished: length,
                });
            };
            let complete = from + end as u64 + 1;
            return Ok(Self {
                line: Some(bytes[start.map_or(0, |start| start + 1)..end].to_vec()),
                complete,
                unfinished: length - complete,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn tail(text: &[u8]) -> Tail {
        Tail::read(&mut Cursor::new(text), text.len() as u64).unwrap()
    }

    fn expected(line: Option<&[u8]>, complete: u64, unfinished: u64) -> Tail {
        Tail {
            line: line.map(<[u8]>::to_vec),
            complete,
            unfinished,
        }
    }

    #[test]
    fn the_last_complete_line_is_found() {
        assert_eq!(tail(b"one\ntwo\nth"), expected(Some(b"two"), 8, 2));
        assert_eq!(tail(b"one\n"), expected(Some(b"one"), 4, 0));
        assert_eq!(tail(b"on"), expected(None, 0, 2));
    }

    #[test]
    fn a_line_may_be_longer_than_what_is_read_at_first() {
        let long = vec![b'x'; 300_000];
        let text = [b"one\n".as_slice(), &long, b"\n", &long].concat();
        assert_eq!(tail(&text), expected(Some(&long), 300_005, 300_000));
    }
}
