//! The one HTTP request that readiness needs.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Succeeds when `GET path` on this machine is answered with 200; otherwise tells what came instead.
pub(crate) fn expect_ok(port: u16, path: &str) -> Result<(), String> {
    let answer =
        get(port, path).map_err(|error| format!("GET http://127.0.0.1:{port}{path}: {error}"))?;
    let status = answer.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) == Some("200") {
        Ok(())
    } else {
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Err(format!(
            "GET http://127.0.0.1:{port}{path}: {status} {body}"
        ))
    }
}

fn get(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    write!(
        stream,
        "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
