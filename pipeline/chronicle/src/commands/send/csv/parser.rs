//! CSV as of RFC 4180, one line at a time. A quote within a field that has none at its beginning is part of it.

/// Where a record has come to at the end of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It has ended.
    Complete,
    /// It goes on in the next line: a quote is not closed.
    Open,
    /// It is none.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Begin,
    Plain,
    Quoted,
    /// Behind a quote in a quoted field: its end, or the first half of a quote that is meant.
    Quote,
}

/// One record that is being read.
#[derive(Debug)]
pub(super) struct Parser {
    delimiter: u8,
    place: Place,
    fields: Vec<Vec<u8>>,
    field: Vec<u8>,
}

impl Parser {
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            place: Place::Begin,
            fields: Vec::new(),
            field: Vec::new(),
        }
    }

    /// Reads a line, with its end.
    pub(super) fn line(&mut self, line: &[u8]) -> Progress {
        let text = without_end(line);
        for byte in text {
            match (self.place, *byte) {
                (Place::Begin, b'"') => self.place = Place::Quoted,
                (Place::Quoted, b'"') => self.place = Place::Quote,
                (Place::Quote, b'"') => {
                    self.field.push(b'"');
                    self.place = Place::Quoted;
                }
                (Place::Begin | Place::Plain | Place::Quote, byte) if byte == self.delimiter => {
                    self.end_field();
                }
                (Place::Quote, _) => return Progress::Broken,
                (Place::Begin | Place::Plain, byte) => {
                    self.field.push(byte);
                    self.place = Place::Plain;
                }
                (Place::Quoted, byte) => self.field.push(byte),
            }
        }
        if self.place == Place::Quoted {
            self.field.extend_from_slice(&line[text.len()..]);
            return Progress::Open;
        }
        self.end_field();
        Progress::Complete
    }

    fn end_field(&mut self) {
        self.fields.push(std::mem::take(&mut self.field));
        self.place = Place::Begin;
    }

    pub(super) fn into_fields(self) -> Vec<Vec<u8>> {
        self.fields
    }
}

fn without_end(line: &[u8]) -> &[u8] {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    text.strip_suffix(b"\r").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (Progress, Vec<String>) {
        let mut parser = Parser::new(b',');
        let mut progress = Progress::Open;
        for line in lines {
            assert_eq!(progress, Progress::Open, "{lines:?}");
            progress = parser.line(line.as_bytes());
        }
        let text = |field| String::from_utf8(field).unwrap();
        (
            progress,
            parser.into_fields().into_iter().map(text).collect(),
        )
    }

    #[test]
    fn fields_are_read_as_rfc_4180_writes_them() {
        for (lines, fields) in [
            (&["a,b\r\n"][..], &["a", "b"][..]),
            (&["a,b"], &["a", "b"]),
            (&[",,\n"], &["", "", ""]),
            (&["\"a,b\",\"\"\n"], &["a,b", ""]),
            (&["\"he said \"\"no\"\"\",x\n"], &["he said \"no\"", "x"]),
            (&["\"two\r\n", "lines\",x\n"], &["two\r\nlines", "x"]),
            (&["\"\n", "\n", "\"\n"], &["\n\n"]),
            (&["5\" disc,a \"b\" c\n"], &["5\" disc", "a \"b\" c"]),
            (&[" \"a\" ,b\n"], &[" \"a\" ", "b"]),
        ] {
            let (progress, found) = read(lines);
            assert_eq!(progress, Progress::Complete, "{lines:?}");
            assert_eq!(found, fields, "{lines:?}");
        }
    }

    #[test]
    fn text_behind_a_closing_quote_is_an_error_and_a_quote_without_end_goes_on() {
        assert_eq!(read(&["\"a\"b,c\n"]).0, Progress::Broken);
        assert_eq!(read(&["a,\"b\n"]).0, Progress::Open);
        assert_eq!(read(&["a,\"b\n", "c,\"d\"\n"]).0, Progress::Broken);
    }
}
