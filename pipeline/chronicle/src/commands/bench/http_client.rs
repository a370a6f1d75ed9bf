//! A plain HTTP/1.1 client: one request after the other on a connection that is kept.

use std::fmt;
use std::io;
use std::str::FromStr;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::exit;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Where an HTTP API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Host and port.
    authority: String,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "http://{}", self.authority)
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(url: &str) -> anyhow::Result<Self> {
        let authority = url
            .strip_prefix("http://")
            .map(|it| it.trim_end_matches('/'));
        let has_port = |it: &&str| {
            !it.contains(['/', '@', '?'])
                && it
                    .rsplit_once(':')
                    .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        match authority.filter(has_port) {
            Some(authority) => Ok(Self {
                authority: authority.to_owned(),
            }),
            None => Err(exit::usage(format!(
                "--http-url is http://HOST:PORT, such as http://127.0.0.1:8080, and this is not: {url:?}"
            ))),
        }
    }
}

/// A connection to an API.
pub(super) struct Connection {
    address: Address,
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) async fn open(address: &Address) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(&address.authority)
            .await
            .with_context(|| format!("the HTTP API at {address} cannot be reached"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address: address.clone(),
            stream: BufReader::new(stream),
        })
    }

    /// Posts a JSON document; the status and the body of the answer.
    pub(super) async fn post(&mut self, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address.authority,
            body.len()
        )
        .into_bytes();
        // In one piece: two would be two packets.
        request.extend_from_slice(body);
        self.exchange(&request).await
    }

    pub(super) async fn get(&mut self, path: &str) -> io::Result<(u16, Vec<u8>)> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.address.authority
        );
        self.exchange(request.as_bytes()).await
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.stream.get_mut().write_all(request).await?;
        let status = self.line().await?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| strange("it does not begin with a status"))?;
        let mut length = None;
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().ok();
            }
        }
        let length = length
            .filter(|length| *length <= ANSWER_BYTES_MAX)
            .ok_or_else(|| strange("it does not say its length, or is too long"))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok((status, body))
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

fn strange(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("an answer cannot be read: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn only_plain_http_with_a_port_is_an_address() {
        let address: Address = "http://127.0.0.1:8080/".parse().unwrap();
        assert_eq!(address.to_string(), "http://127.0.0.1:8080");
        for url in [
            "https://127.0.0.1:8080",
            "127.0.0.1:8080",
            "http://127.0.0.1",
            "http://:8080",
            "http://a:80/x",
        ] {
            assert!(url.parse::<Address>().is_err(), "{url}");
        }
    }
}
