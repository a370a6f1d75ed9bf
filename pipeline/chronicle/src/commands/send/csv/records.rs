//! The records of a CSV file, each with the line that it begins in. Keeps one record, and no more of it than a line may
//! have.

use std::collections::VecDeque;
use std::io::{self, BufRead};

use super::parser::{Parser, Progress};
use crate::commands::send::lines::{LINE_BYTES_MAX, read_line};

/// What Windows programs put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A record, or why there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Its first line.
    pub(super) number: u64,
    /// Where it ends, in bytes from the beginning.
    pub(super) end: u64,
    /// Without the white space around them.
    pub(super) fields: Result<Vec<String>, String>,
}

/// A line as it stands in the file.
#[derive(Debug)]
struct Raw {
    number: u64,
    end: u64,
    /// With its end; only the beginning when it is too long.
    text: Vec<u8>,
    length: u64,
}

/// A file that is being read.
pub(super) struct Records {
    reader: Box<dyn BufRead + Send>,
    delimiter: u8,
    number: u64,
    end: u64,
    /// Lines that were read and did not become part of a record.
    again: VecDeque<Raw>,
}

impl Records {
    pub(super) fn new(reader: Box<dyn BufRead + Send>, delimiter: u8) -> Self {
        Self {
            reader,
            delimiter,
            number: 0,
            end: 0,
            again: VecDeque::new(),
        }
    }

    /// Passes lines over.
    pub(super) fn skip(&mut self, lines: u32) -> io::Result<()> {
        for _ in 0..lines {
            self.line()?;
        }
        Ok(())
    }

    /// The next record; lines without anything in them are none, nor are those of empty cells that spreadsheets leave.
    /// `columns` is how many it must have, if that is known.
    pub(super) fn next(&mut self, columns: Option<usize>) -> io::Result<Option<Reading>> {
        loop {
            let Some(first) = self.line()? else {
                return Ok(None);
            };
            if first.text.trim_ascii().is_empty() && first.length == first.text.len() as u64 {
                continue;
            }
            let reading = self.record(&first, columns)?;
            let is_blank = |fields: &Vec<String>| fields.iter().all(String::is_empty);
            if !reading.fields.as_ref().is_ok_and(is_blank) {
                return Ok(Some(reading));
            }
        }
    }

    fn record(&mut self, first: &Raw, columns: Option<usize>) -> io::Result<Reading> {
        let (number, mut end, mut bytes) = (first.number, first.end, first.length);
        let mut parser = Parser::new(self.delimiter);
        let mut progress = parser.line(&first.text);
        let mut more = Vec::new();
        while progress == Progress::Open && bytes <= LINE_BYTES_MAX as u64 {
            let Some(next) = self.line()? else { break };
            bytes += next.length;
            end = next.end;
            if bytes <= LINE_BYTES_MAX as u64 {
                progress = parser.line(&next.text);
            }
            more.push(next);
        }
        let fields = if bytes > LINE_BYTES_MAX as u64 && more.is_empty() {
            let most = LINE_BYTES_MAX;
            Err(format!(
                "a row has at most {most} bytes, and this has {bytes}"
            ))
        } else {
            whole(parser, &progress, columns)
        };
        if fields.is_err() && !more.is_empty() {
            // The quote that was not closed has swallowed the lines behind it. They are rows of their own.
            end = first.end;
            more.into_iter()
                .rev()
                .for_each(|line| self.again.push_front(line));
        }
        Ok(Reading {
            number,
            end,
            fields: fields.and_then(texts),
        })
    }

    fn line(&mut self) -> io::Result<Option<Raw>> {
        if let Some(line) = self.again.pop_front() {
            return Ok(Some(line));
        }
        let mut text = Vec::new();
        let length = read_line(&mut self.reader, &mut text)?;
        if length == 0 {
            return Ok(None);
        }
        if self.number == 0 && text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len());
        }
        self.number += 1;
        self.end += length;
        Ok(Some(Raw {
            number: self.number,
            end: self.end,
            text,
            length,
        }))
    }
}

/// The fields of a record that has ended as it should.
fn whole(
    parser: Parser,
    progress: &Progress,
    columns: Option<usize>,
) -> Result<Vec<Vec<u8>>, String> {
    match progress {
        Progress::Open => Err("a quote is opened and not closed".to_owned()),
        Progress::Broken => Err(
            "there is text behind a closing quote; a quote within quotes is written twice"
                .to_owned(),
        ),
        Progress::Complete => {
            let fields = parser.into_fields();
            match columns.filter(|columns| *columns != fields.len()) {
                None => Ok(fields),
                Some(columns) => Err(format!(
                    "a row has {columns} columns here, and this has {}",
                    fields.len()
                )),
            }
        }
    }
}

fn texts(fields: Vec<Vec<u8>>) -> Result<Vec<String>, String> {
    let text = |(index, field): (usize, Vec<u8>)| {
        String::from_utf8(field)
            .map(|text| text.trim().to_owned())
            .map_err(|_| {
                format!(
                    "column {} is not UTF-8; convert the file first, as in `iconv -f ISO-8859-1 -t UTF-8`",
                    index + 1
                )
            })
    };
    fields.into_iter().enumerate().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Vec<(u64, Result<Vec<String>, String>)> {
        let mut records = Records::new(Box::new(io::Cursor::new(input.to_vec())), b',');
        let mut found = Vec::new();
        while let Some(reading) = records.next(Some(2)).unwrap() {
            found.push((reading.number, reading.fields));
        }
        assert_eq!(records.end, input.len() as u64);
        found
    }

    fn good(number: u64, fields: [&str; 2]) -> (u64, Result<Vec<String>, String>) {
        (number, Ok(fields.map(str::to_owned).to_vec()))
    }

    #[track_caller]
    fn bad(found: &(u64, Result<Vec<String>, String>), number: u64, words: &str) {
        assert_eq!(found.0, number);
        let reason = found.1.as_ref().unwrap_err();
        assert!(reason.contains(words), "{reason}");
    }

    #[test]
    fn records_have_the_numbers_of_their_first_lines() {
        assert_eq!(
            read("\u{feff}a,b\r\n\r\n\"c\nc\", d \n\ne,f".as_bytes()),
            [
                good(1, ["a", "b"]),
                good(3, ["c\nc", "d"]),
                good(6, ["e", "f"])
            ]
        );
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\n  \n,\n\"\",\n"), []);
    }

    #[test]
    fn a_bad_record_leaves_its_neighbours_alone() {
        let found = read(b"a,b\nc\nd,e,f\n\"g\"x,h\n\xff,i\nj,k\n");
        assert_eq!(found.len(), 6);
        assert_eq!(found[0], good(1, ["a", "b"]));
        bad(&found[1], 2, "has 2 columns here, and this has 1");
        bad(&found[2], 3, "and this has 3");
        bad(&found[3], 4, "behind a closing quote");
        bad(&found[4], 5, "column 1 is not UTF-8");
        assert_eq!(found[5], good(6, ["j", "k"]));
    }

    #[test]
    fn a_quote_without_end_costs_one_row() {
        let found = read(b"a,\"b\nc,d\ne,f\n");
        bad(&found[0], 1, "not closed");
        assert_eq!(found[1..], [good(2, ["c", "d"]), good(3, ["e", "f"])]);
        // It is closed by another row's.
        let found = read(b"a,\"b\nc,d\n\"e\",f\ng,h\n");
        bad(&found[0], 1, "behind a closing quote");
        assert_eq!(
            found[1..],
            [
                good(2, ["c", "d"]),
                good(3, ["e", "f"]),
                good(4, ["g", "h"])
            ]
        );
    }

    #[test]
    fn what_is_far_too_long_is_not_kept() {
        let mut input = b"a,".to_vec();
        input.resize(LINE_BYTES_MAX + 10, b'x');
        input.extend_from_slice(b"\nb,c\nd,\"");
        for _ in 0..LINE_BYTES_MAX {
            input.extend_from_slice(b"\n");
        }
        input.extend_from_slice(b"e,f\n");
        let found = read(&input);
        bad(&found[0], 1, "a row has at most");
        assert_eq!(found[1], good(2, ["b", "c"]));
        bad(&found[2], 3, "not closed");
        assert_eq!(found.len(), 4);
        assert_eq!(found[3].1, Ok(vec!["e".to_owned(), "f".to_owned()]));
    }
}
