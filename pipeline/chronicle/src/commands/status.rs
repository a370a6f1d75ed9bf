//! `chronicle status`: the stack that runs in this folder.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::exit;
use crate::output::{self, Format};
use crate::servers_at::{ServerArguments, Stack};

/// What is printed as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    stack: &'a Stack,
    ready: bool,
    /// What `/readyz` answers; null when it does not.
    readiness: Option<serde_json::Value>,
}

pub(crate) async fn execute(servers: &ServerArguments, output: Format) -> anyhow::Result<ExitCode> {
    let Some(stack) = Stack::running_in(&servers.data_dir) else {
        return Err(exit::no(format!(
            "no stack runs in {}; start one with `chronicle dev`",
            servers.data_dir.display()
        )));
    };
    let readiness = readiness(&stack.http).await;
    let ready = readiness
        .as_ref()
        .is_ok_and(|readiness| readiness["ready"] == true);
    match output {
        Format::Json => output::json(&Answer {
            stack: &stack,
            ready,
            readiness: readiness.ok(),
        })?,
        Format::Table => print(&stack, readiness)?,
    }
    Ok(if ready {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(exit::NO)
    })
}

fn print(stack: &Stack, readiness: anyhow::Result<serde_json::Value>) -> anyhow::Result<()> {
    let mut urls = output::table(&["what", "where"], &[]);
    urls.add_row(["nats", &stack.nats]);
    urls.add_row(["event_store", &stack.event_store]);
    urls.add_row(["read_model", &stack.read_model]);
    urls.add_row(["http", &stack.http]);
    urls.add_row(["data", &stack.data_dir.display().to_string()]);
    urls.add_row(["pid", &stack.pid.to_string()]);
    output::line(urls)?;
    let readiness = match readiness {
        Ok(readiness) => readiness,
        Err(error) => return output::line(format!("not ready: {error:#}")),
    };
    let mut states = output::table(&["part", "state", "why"], &[]);
    for server in readiness["servers"].as_array().into_iter().flatten() {
        let state = if server["ready"] == true {
            "ready"
        } else {
            "not ready"
        };
        states.add_row([text(&server["name"]), state, text(&server["reason"])]);
    }
    for pipeline in readiness["pipelines"].as_array().into_iter().flatten() {
        states.add_row([
            text(&pipeline["pipeline"]),
            text(&pipeline["state"]),
            text(&pipeline["reason"]),
        ]);
    }
    output::line(states)?;
    output::line(if readiness["ready"] == true {
        "ready"
    } else {
        "not ready"
    })
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Asks `/readyz`.
async fn readiness(http: &str) -> anyhow::Result<serde_json::Value> {
    const ANSWER_WITHIN: Duration = Duration::from_secs(5);
    const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;
    let address = http.trim_start_matches("http://").trim_end_matches('/');
    let ask = async {
        let mut connection = TcpStream::connect(address).await?;
        // HTTP/1.0: one answer, not chunked, then the end.
        let request = format!("GET /readyz HTTP/1.0\r\nHost: {address}\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        connection
            .take(ANSWER_BYTES_MAX)
            .read_to_end(&mut answer)
            .await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(ANSWER_WITHIN, ask)
        .await
        .context("its process does not answer")?
        .context("its process does not answer")?;
    let body = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| &answer[at + 4..]);
    serde_json::from_slice(body.unwrap_or_default()).context("its process answers something else")
}
