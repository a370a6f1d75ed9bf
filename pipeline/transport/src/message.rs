//! Messages of NATS as messages of the engine.

use std::time::SystemTime;

use async_nats::HeaderMap;
use engine::Message;

/// Headers in the order of their names; the values of one name keep theirs.
pub fn headers_of(headers: Option<&HeaderMap>) -> Vec<(String, String)> {
    let Some(headers) = headers else {
        return Vec::new();
    };
    let mut pairs: Vec<(String, String)> = headers
        .iter()
        .flat_map(|(name, values)| {
            values
                .iter()
                .map(move |value| (name.to_string(), value.as_str().to_owned()))
        })
        .collect();
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    pairs
}

/// A message that a consumer has delivered; `None` if its acknowledgement subject cannot be read (then it is no
/// message of a stream).
pub fn from_jetstream(message: &async_nats::jetstream::Message) -> Option<Message> {
    let info = message.info().ok()?;
    Some(Message {
        position: info.stream_sequence,
        subject: message.subject.to_string(),
        headers: headers_of(message.headers.as_ref()),
        payload: message.payload.clone(),
        stored_at: SystemTime::from(info.published),
    })
}

/// A message as the stream holds it.
pub fn from_stream(message: async_nats::jetstream::message::StreamMessage) -> Message {
    Message {
        position: message.sequence,
        subject: message.subject.to_string(),
        headers: headers_of(Some(&message.headers)),
        payload: message.payload,
        stored_at: SystemTime::from(message.time),
    }
}

/// Reads a block of headers as it goes over the wire: the headers that can be read, and what is wrong with the first
/// line that cannot. What passes here without a complaint passes async-nats' parser, too, and means the same.
pub fn read_headers(block: &[u8]) -> (Vec<(String, String)>, Option<String>) {
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut problem = None;
    let lines = block
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    for (index, line) in lines.enumerate() {
        let read = match std::str::from_utf8(line) {
            Err(_) => Err("it is not UTF-8"),
            Ok(version) if index == 0 => read_version(version, block.is_empty()),
            Ok("") => Ok(()),
            Ok(line) => read_line(line, &mut headers),
        };
        if let Err(reason) = read {
            problem.get_or_insert_with(|| {
                format!("line {} of the headers cannot be read: {reason}", index + 1)
            });
        }
    }
    (headers, problem)
}

fn read_version(line: &str, is_all: bool) -> Result<(), &'static str> {
    match line.strip_prefix("NATS/1.0") {
        Some(rest) if rest.trim().is_empty() => Ok(()),
        Some(_) => Err("it is a status, and only the server sends those"),
        None if is_all => Ok(()),
        None => Err("it is not NATS/1.0"),
    }
}

fn read_line(line: &str, headers: &mut Vec<(String, String)>) -> Result<(), &'static str> {
    if line.contains('\r') {
        return Err("it has a carriage return in it");
    }
    if line.starts_with(char::is_whitespace) {
        let (_, value) = headers
            .last_mut()
            .ok_or("it continues a line that is not there")?;
        value.push_str(line.trim_end());
        return Ok(());
    }
    let (name, value) = line.split_once(':').ok_or("it has no colon")?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("its name is not printable ASCII without spaces");
    }
    headers.push((name.to_owned(), value.trim().to_owned()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::read_headers;

    #[test]
    fn headers_are_read_as_they_were_written() {
        let (headers, problem) =
            read_headers(b"NATS/1.0\r\nA: b\r\nA:c\r\nB:\r\nC: \xc3\xa4: 1\r\n  2\r\n\r\n");
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(problem, None);
        assert_eq!(
            headers,
            [
                header("A", "b"),
                header("A", "c"),
                header("B", ""),
                header("C", "\u{e4}: 1  2")
            ]
        );
        assert_eq!(read_headers(b""), (Vec::new(), None));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_is_read() {
        for (block, reason) in [
            (
                &b"NATS/1.0\r\nBad: \xff\r\nA: b\r\n\r\n"[..],
                "line 2 of the headers cannot be read: it is not UTF-8",
            ),
            (
                b"NATS/1.0\r\nA: b\r\nMy Name: x\r\n\r\n",
                "line 3 of the headers cannot be read: its name is not printable ASCII without spaces",
            ),
            (
                b"NATS/1.0\r\n: x\r\nA: b\r\n\r\n",
                "line 2 of the headers cannot be read: its name is not printable ASCII without spaces",
            ),
            (
                b"NATS/1.0\r\nA: b\r\nnothing\r\n\r\n",
                "line 3 of the headers cannot be read: it has no colon",
            ),
            (
                b"NATS/1.0\r\nX: x\ry\r\nA: b\r\n\r\n",
                "line 2 of the headers cannot be read: it has a carriage return in it",
            ),
            (
                b"NATS/1.0 503\nA: b",
                "line 1 of the headers cannot be read: it is a status, and only the server sends those",
            ),
            (
                b"HTTP/1.1\r\nA: b\r\n\r\n",
                "line 1 of the headers cannot be read: it is not NATS/1.0",
            ),
            (
                b"NATS/1.0\r\n x\r\nA: b\r\n\r\n",
                "line 2 of the headers cannot be read: it continues a line that is not there",
            ),
        ] {
            let (headers, problem) = read_headers(block);
            assert_eq!(problem.as_deref(), Some(reason));
            assert_eq!(headers, [("A".to_owned(), "b".to_owned())], "{reason}");
        }
    }
}
