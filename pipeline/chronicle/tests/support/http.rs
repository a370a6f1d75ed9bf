//! A plain HTTP client: one request a connection, nothing hidden.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of a problem document, whose status must be this one.
    pub fn problem(&self, status: u16) -> String {
        let problem = self.json();
        assert_eq!(
            (self.status, &problem["status"]),
            (status, &Value::from(status)),
            "{problem}"
        );
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["error"], problem["detail"], "{problem}");
        problem["code"].as_str().expect("it has a code").to_owned()
    }

    /// The JSON of an answer with this status.
    pub fn ok(&self, status: u16) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        self.json()
    }
}

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Client {
    pub address: String,
    pub headers: Vec<(String, String)>,
}

impl Client {
    /// A client that says nothing of itself.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            headers: Vec::new(),
        }
    }

    /// The same with one more header on every request.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, b"").await
    }

    /// Posts a JSON document.
    pub async fn post(&self, path: &str, document: &Value) -> Answer {
        let text = document.to_string();
        self.with("Content-Type", "application/json")
            .send("POST", path, text.as_bytes())
            .await
    }

    pub async fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let head = self.head(method, path);
        let mut request = format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend_from_slice(body);
        self.raw(&request)
            .await
            .unwrap_or_else(|| panic!("{method} {path} was not answered"))
    }

    /// HTTP/1.0, so that an answer ends with its connection.
    fn head(&self, method: &str, path: &str) -> String {
        let headers: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\n{}",
            self.address,
            headers.concat()
        )
    }

    /// Sends these bytes; `None` when no whole answer comes.
    pub async fn raw(&self, request: &[u8]) -> Option<Answer> {
        let exchange = async {
            let mut connection = TcpStream::connect(&self.address).await.ok()?;
            // A server may answer and close before it has read everything.
            let _ = connection.write_all(request).await;
            let mut answer = Vec::new();
            let _ = connection.read_to_end(&mut answer).await;
            parse(&answer)
        };
        tokio::time::timeout(super::DEADLINE, exchange)
            .await
            .expect("an answer comes in time")
    }

    /// Follows a stream of server-sent events.
    pub async fn follow(&self, path: &str) -> Events {
        let connection = TcpStream::connect(&self.address).await.expect("it listens");
        self.follow_over(connection, path).await
    }

    /// The same over a connection that takes little at a time, so that a reader who does not read is noticed soon.
    pub async fn follow_slowly(&self, path: &str) -> Events {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        socket.set_recv_buffer_size(4_096).expect("it can be set");
        let address = self.address.parse().expect("it is an address");
        let connection = socket.connect(address).await.expect("it listens");
        self.follow_over(connection, path).await
    }

    async fn follow_over(&self, mut connection: TcpStream, path: &str) -> Events {
        let head = self.head("GET", path) + "\r\n";
        connection
            .write_all(head.as_bytes())
            .await
            .expect("it can be written to");
        let mut lines = BufReader::new(connection);
        let mut line = String::new();
        let mut status = String::new();
        loop {
            line.clear();
            lines.read_line(&mut line).await.expect("it answers");
            if status.is_empty() {
                status.clone_from(&line);
            }
            if line.trim().is_empty() {
                break;
            }
        }
        assert!(status.contains(" 200 "), "{status}");
        Events { lines }
    }
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Some(Answer {
        status,
        headers,
        body: answer[end + 4..].to_vec(),
    })
}

/// Server-sent events as they come.
pub struct Events {
    lines: BufReader<TcpStream>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub event: String,
    pub id: String,
    pub data: String,
}

impl Sent {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Events {
    /// The next event; `None` at the end, however it ends.
    pub async fn next(&mut self) -> Option<Sent> {
        tokio::time::timeout(super::DEADLINE, self.read())
            .await
            .expect("an event comes in time")
    }

    async fn read(&mut self) -> Option<Sent> {
        let mut sent = Sent {
            event: String::new(),
            id: String::new(),
            data: String::new(),
        };
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() && !sent.data.is_empty() {
                return Some(sent);
            }
            match line.split_once(": ") {
                Some(("event", value)) => value.clone_into(&mut sent.event),
                Some(("id", value)) => value.clone_into(&mut sent.id),
                Some(("data", value)) => sent.data.push_str(value),
                _ => {} // a heartbeat
            }
        }
    }
}
