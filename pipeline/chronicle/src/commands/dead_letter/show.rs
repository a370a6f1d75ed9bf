//! `chronicle dead-letter show`: one letter, with everything that is known of it.

use std::fmt::Write;

use transport::dead_letter::Letter;

use super::Place;
use super::find::{self, Found};
use crate::commands::rows::plain;
use crate::exit;
use crate::output::{self, Format};

pub(super) async fn execute(place: &Place<'_>, found: &Found) -> anyhow::Result<()> {
    let letter = find::open(place, found)
        .await?
        .map_err(|unreadable| exit::no(unreadable.to_string()))?;
    match place.output {
        Format::Json => output::json(&letter),
        Format::Table => print(&letter),
    }
}

fn print(letter: &Letter) -> anyhow::Result<()> {
    let rows = [
        ("id", letter.id.clone()),
        ("code", letter.code.clone()),
        ("reason", letter.reason.clone()),
        ("node", letter.node.clone()),
        ("subject", letter.subject.clone()),
        ("stored at", letter.stored_at.clone()),
        ("buried at", letter.buried_at.clone()),
        ("bytes", letter.payload.len().to_string()),
    ];
    for (name, value) in rows {
        output::line(format!(" {name:<9}  {}", plain(&value)))?;
    }
    for (name, value) in &letter.headers {
        output::line(format!(" header     {}: {}", plain(name), plain(value)))?;
    }
    match printable(&letter.payload) {
        Some("") => Ok(()),
        Some(text) => output::line(format!(" payload\n{text}")),
        None => {
            output::line(" payload")?;
            hex_lines(&letter.payload).try_for_each(output::line)
        }
    }
}

/// The payload as text, if a terminal can show it as it is.
fn printable(payload: &[u8]) -> Option<&str> {
    let shown =
        |character: char| !character.is_control() || matches!(character, '\n' | '\r' | '\t');
    std::str::from_utf8(payload)
        .ok()
        .filter(|text| text.chars().all(shown))
}

/// Sixteen bytes a line: offset, hexadecimal, ASCII.
fn hex_lines(payload: &[u8]) -> impl Iterator<Item = String> {
    const WIDTH: usize = 16;
    payload.chunks(WIDTH).enumerate().map(|(index, bytes)| {
        let mut hexadecimal = String::with_capacity(3 * WIDTH);
        let mut text = String::with_capacity(WIDTH);
        for byte in bytes {
            // Writing to a String cannot fail.
            let _ = write!(hexadecimal, "{byte:02x} ");
            text.push(if byte.is_ascii_graphic() || *byte == b' ' {
                char::from(*byte)
            } else {
                '.'
            });
        }
        format!("{:08x}  {hexadecimal:<48} |{text}|", index * WIDTH)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_cannot_show_is_dumped() {
        assert_eq!(printable("{\n\t\"ä\"\r}".as_bytes()), Some("{\n\t\"ä\"\r}"));
        assert_eq!(printable(b"\x1b[2J"), None);
        assert_eq!(printable(b"\xff"), None);
        let lines: Vec<String> = hex_lines(b"\x00\xffABCDEFGHIJKLMNop").collect();
        assert_eq!(
            lines,
            [
                "00000000  00 ff 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e  |..ABCDEFGHIJKLMN|",
                "00000010  6f 70                                            |op|",
            ]
        );
    }
}
