//! Enough of PostgreSQL's wire protocol (version 3) to ask a server a few questions: start-up without or with a
//! cleartext password, and the simple query. PostgreSQL and CockroachDB in insecure mode both speak it.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

const PROTOCOL: i32 = 196_608;
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Network(#[from] io::Error),
    /// The server's own words and its SQLSTATE.
    #[error("{message} (SQLSTATE {state})")]
    Server { state: String, message: String },
    #[error("the server asks for a password")]
    PasswordNeeded,
    #[error("the server breaks the protocol: {0}")]
    Protocol(&'static str),
}

/// Whom to ask, as whom.
#[derive(Debug, Clone)]
pub(crate) struct Address<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) user: &'a str,
    pub(crate) database: &'a str,
}

/// A session on a server.
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Connects; each wait for the server is at most `limit`.
    pub(crate) fn open(address: &Address<'_>, limit: Duration) -> Result<Self, Error> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for socket in (address.host, address.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&socket, limit) {
                Ok(stream) => return Self::start(stream, address, limit),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    fn start(stream: TcpStream, address: &Address<'_>, limit: Duration) -> Result<Self, Error> {
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        stream.set_nodelay(true)?;
        let mut connection = Self { stream };
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for word in [
            "user",
            address.user,
            "database",
            address.database,
            "application_name",
            "chronicle",
        ] {
            body.extend_from_slice(word.as_bytes());
            body.push(0);
        }
        body.push(0);
        connection.send(None, &body)?;
        connection.until_ready()?;
        Ok(connection)
    }

    /// Runs one statement and returns its rows as text.
    pub(crate) fn query(&mut self, statement: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut body = statement.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        self.until_ready()
    }

    /// Reads up to ReadyForQuery. An error of the server is returned then too, so that the session stays usable;
    /// during start-up the server closes instead.
    fn until_ready(&mut self) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut rows = Vec::new();
        let mut refusal = None;
        loop {
            let (kind, body) = match self.receive() {
                Ok(message) => message,
                Err(error) => return Err(refusal.unwrap_or(error)),
            };
            match kind {
                b'R' if !is_authenticated(&body) => return Err(Error::PasswordNeeded),
                b'D' => rows.push(row(&body).ok_or(Error::Protocol("a row of the wrong length"))?),
                b'E' => refusal = Some(server_error(&body)),
                b'Z' => return refusal.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), Error> {
        let length = i32::try_from(body.len() + 4)
            .map_err(|_| Error::Protocol("a statement too long to send"))?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        Ok(self.stream.write_all(&message)?)
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>), Error> {
        let mut head = [0; 5];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(Error::Protocol(
                "a message of impossible length; is this a SQL server?",
            ));
        }
        let mut body = vec![0; length - 4];
        self.stream.read_exact(&mut body)?;
        Ok((head[0], body))
    }
}

/// Quotes a name for use in a statement.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn is_authenticated(body: &[u8]) -> bool {
    body.starts_with(&0_i32.to_be_bytes())
}

fn row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_at_checked(2)?;
    let count = u16::from_be_bytes(count.try_into().ok()?);
    let mut fields = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_at_checked(4)?;
        let length = i32::from_be_bytes(length.try_into().ok()?);
        rest = after;
        // A negative length is NULL.
        let Ok(length) = usize::try_from(length) else {
            fields.push(None);
            continue;
        };
        let (value, after) = rest.split_at_checked(length)?;
        fields.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    Some(fields)
}

fn server_error(body: &[u8]) -> Error {
    let field = |code: u8| {
        body.split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&code))
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
            .unwrap_or_default()
    };
    Error::Server {
        state: field(b'C'),
        message: field(b'M'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_values_empty_values_and_nulls() {
        let body = [0, 3, 0, 0, 0, 1, b'7', 0, 0, 0, 0, 255, 255, 255, 255];
        assert_eq!(
            row(&body),
            Some(vec![Some("7".to_owned()), Some(String::new()), None])
        );
        assert_eq!(row(&body[..8]), None);
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted(r#"a"b"#), r#""a""b""#);
    }
}
