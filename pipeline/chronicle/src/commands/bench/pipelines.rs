//! A `chronicle run` of the bench's own: the same program, in a process of its own as in production.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use servers::Child;
use tokio::time::Instant;

use super::http_client::{Address, Connection};
use crate::commands::dev::servers::Servers;

/// How long it may take until it is ready.
const READY_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What stands in the log when it has an address.
const SERVING: &str = "serving the HTTP API";
/// How much of the log is told when it has failed.
const LINES_TOLD: usize = 10;

/// The pipelines and the HTTP API.
pub(super) struct Pipelines {
    child: Child,
    log: PathBuf,
    pub(super) address: Address,
}

impl Pipelines {
    /// Starts those that `only` names, or all if it names none, and waits until they are ready.
    pub(super) async fn start(
        servers: &Servers,
        folder: &Path,
        only: &[&str],
    ) -> anyhow::Result<Self> {
        let log = folder.join("chronicle.log");
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["run", "--log-json", "--http", "127.0.0.1:0"])
            // The bench is one client that asks for all there is.
            .args([
                "--http-rate-max",
                "1000000",
                "--http-requests-max",
                "100000",
            ])
            .args(only.iter().flat_map(|name| ["--only", name]))
            .env("CHRONICLE_NATS_URL", servers.nats_url())
            .env("CHRONICLE_EVENT_STORE_URL", &servers.event_store)
            .env("CHRONICLE_READ_MODEL_URL", &servers.read_model)
            .env_remove("CHRONICLE_HTTP_TOKENS")
            .env("RUST_LOG", "warn,chronicle=info")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = Child::start(command)
            .await
            .context("chronicle run cannot be started")?;
        let until = Instant::now() + READY_WITHIN;
        let address = loop {
            if let Some(address) = address_in(&log) {
                break address;
            }
            look(&child, &log, until).await?;
        };
        let pipelines = Self {
            child,
            log,
            address,
        };
        while !pipelines.is_ready().await {
            look(&pipelines.child, &pipelines.log, until).await?;
        }
        Ok(pipelines)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Completes when it has ended, with what it has said.
    pub(super) async fn failed(&self) -> anyhow::Error {
        let status = self.child.exited().await;
        anyhow::anyhow!(
            "chronicle run has ended ({status}) while it was measured:\n{}",
            tail(&self.log)
        )
    }

    /// Stops it, in order.
    pub(super) async fn stop(&self) {
        self.child.stop().await;
    }

    async fn is_ready(&self) -> bool {
        let Ok(mut connection) = Connection::open(&self.address).await else {
            return false;
        };
        matches!(connection.get("/readyz").await, Ok((200, _)))
    }
}

/// A moment's rest; an error when there is nothing to wait for any more.
async fn look(child: &Child, log: &Path, until: Instant) -> anyhow::Result<()> {
    if let Some(status) = child.ended() {
        bail!("chronicle run has ended at once ({status}):\n{}", tail(log));
    }
    if Instant::now() >= until {
        bail!(
            "chronicle run was not ready within {} s:\n{}",
            READY_WITHIN.as_secs(),
            tail(log)
        );
    }
    tokio::time::sleep(LOOK_EVERY).await;
    Ok(())
}

/// The address that it says it serves.
fn address_in(log: &Path) -> Option<Address> {
    let text = std::fs::read_to_string(log).ok()?;
    let mut lines = text.lines().filter(|line| line.contains(SERVING));
    let line: Value = serde_json::from_str(lines.next()?).ok()?;
    let address = line["fields"]["address"].as_str()?;
    format!("http://{address}").parse().ok()
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_TOLD)..].join("\n")
}
