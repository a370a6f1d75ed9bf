//! A publisher that writes to the server's socket itself: it can send what no client library would.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{DEADLINE, Ledger, text};

/// The one inbox of a connection.
const INBOX: &str = "raw.inbox";

/// A connection to NATS without a library.
pub struct RawPublisher {
    connection: BufReader<TcpStream>,
}

impl RawPublisher {
    pub async fn connect(ledger: &Ledger) -> Self {
        let url = ledger.nats.url();
        let address = url
            .strip_prefix("nats://")
            .expect("the URL of NATS begins so");
        let connection = TcpStream::connect(address).await.expect("NATS listens");
        connection.set_nodelay(true).expect("it is a socket");
        let mut publisher = Self {
            connection: BufReader::new(connection),
        };
        publisher.line().await;
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true}}\r\nSUB {INBOX} 1\r\nPING\r\n"
        );
        publisher.write(hello.as_bytes()).await;
        assert_eq!(publisher.line().await, "PONG");
        publisher
    }

    /// Publishes a message whose headers are these bytes, whatever they are, and waits until a stream has stored it;
    /// answers with its sequence.
    pub async fn store(&mut self, subject: &[u8], headers: &[u8], payload: &[u8]) -> u64 {
        let mut message = b"HPUB ".to_vec();
        message.extend_from_slice(subject);
        let lengths = format!(
            " {INBOX} {} {}\r\n",
            headers.len(),
            headers.len() + payload.len()
        );
        message.extend_from_slice(lengths.as_bytes());
        message.extend_from_slice(headers);
        message.extend_from_slice(payload);
        message.extend_from_slice(b"\r\n");
        self.write(&message).await;
        let answer: Value =
            serde_json::from_slice(&self.message().await).expect("JetStream answers with JSON");
        answer["seq"]
            .as_u64()
            .filter(|sequence| *sequence > 0)
            .unwrap_or_else(|| panic!("not stored: {answer}"))
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.connection
            .get_mut()
            .write_all(bytes)
            .await
            .expect("NATS reads");
    }

    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        let read = tokio::time::timeout(DEADLINE, self.connection.read_until(b'\n', &mut line));
        read.await.expect("NATS answers").expect("NATS is there");
        text(&line).trim_end().to_owned()
    }

    /// The body of the next message.
    async fn message(&mut self) -> Vec<u8> {
        loop {
            let line = self.line().await;
            let mut words = line.split(' ');
            match words.next() {
                Some("PING") => self.write(b"PONG\r\n").await,
                Some("MSG") => {
                    let length: usize = words
                        .next_back()
                        .and_then(|word| word.parse().ok())
                        .expect("a message has a length");
                    let mut body = vec![0; length + 2];
                    self.connection
                        .read_exact(&mut body)
                        .await
                        .expect("NATS is there");
                    body.truncate(length);
                    return body;
                }
                _ => panic!("NATS says {line:?}"),
            }
        }
    }
}
