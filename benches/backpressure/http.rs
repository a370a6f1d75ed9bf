//! The two HTTP requests that are needed.

use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(10);

/// The status and the body of an answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// GET.
pub(crate) async fn get(address: &str, path: &str) -> anyhow::Result<Answer> {
    ask(address, format!("GET {path} HTTP/1.0\r\n\r\n")).await
}

/// POST of a JSON document that nobody waits for to be done.
pub(crate) async fn post(address: &str, path: &str, document: &str) -> anyhow::Result<Answer> {
    let length = document.len();
    let question = format!(
        "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nPrefer: respond-async\r\nContent-Length: \
         {length}\r\n\r\n{document}"
    );
    ask(address, question).await
}

async fn ask(address: &str, question: String) -> anyhow::Result<Answer> {
    let asking = async {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(question.as_bytes()).await?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(WITHIN, asking).await??;
    let (head, body) = answer.split_once("\r\n\r\n").context("it is no answer")?;
    let status = head.split(' ').nth(1).context("it has no status")?;
    Ok(Answer {
        status: status.parse()?,
        body: body.to_owned(),
    })
}
