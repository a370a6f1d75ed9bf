//! A `chronicle run` of the benchmark's own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use servers::Child;
use tokio::time::Instant;

use crate::http;

/// How long it may take until it is ready.
const READY_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// What stands in the log when it has an address.
const SERVING: &str = "serving the HTTP API";
const LINES_TOLD: usize = 20;

/// Where its servers are.
pub(crate) struct Urls {
    pub(crate) nats: String,
    pub(crate) event_store: String,
    pub(crate) read_model: String,
}

/// The program with its servers in its environment, and nothing else of ours.
pub(crate) fn command(urls: &Urls, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chronicle"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHRONICLE_")) {
        command.env_remove(name);
    }
    command
        .current_dir(folder)
        .env("CHRONICLE_NATS_URL", &urls.nats)
        .env("CHRONICLE_EVENT_STORE_URL", &urls.event_store)
        .env("CHRONICLE_READ_MODEL_URL", &urls.read_model)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// A process that runs.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// What it is called.
    pub(crate) name: &'static str,
    /// Where it serves HTTP.
    pub(crate) address: String,
}

impl Process {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(
        urls: &Urls,
        folder: &Path,
        name: &'static str,
        flags: &[String],
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let mut command = command(urls, folder);
        command
            .args(["--log-json", "run", "--http", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = Child::start(command).await?;
        let mut process = Self {
            child,
            log,
            name,
            address: String::new(),
        };
        let until = Instant::now() + READY_WITHIN;
        while !process.is_ready().await {
            if let Some(status) = process.child.ended() {
                bail!(
                    "chronicle run has ended at once ({status}):\n{}",
                    process.tail()
                );
            }
            if Instant::now() >= until {
                bail!("chronicle run was not ready in time:\n{}", process.tail());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// An error if it has ended.
    pub(crate) fn must_run(&self) -> anyhow::Result<()> {
        match self.child.ended() {
            None => Ok(()),
            Some(status) => bail!("chronicle run has ended ({status}):\n{}", self.tail()),
        }
    }

    /// Stops it; it must end in order.
    pub(crate) async fn stop(&self) -> anyhow::Result<()> {
        let status = self.child.stop().await;
        if status.success() {
            return Ok(());
        }
        bail!(
            "chronicle run did not end in order ({status}):\n{}",
            self.tail()
        )
    }

    async fn is_ready(&mut self) -> bool {
        if self.address.is_empty() {
            match address_in(&self.log) {
                Ok(address) => self.address = address,
                Err(_) => return false,
            }
        }
        let answer = http::get(&self.address, "/readyz").await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LINES_TOLD)..].join("\n")
    }
}

/// The address that it says it serves.
fn address_in(log: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(log)?;
    let line = text.lines().find(|line| line.contains(SERVING));
    let line: Value = serde_json::from_str(line.context("it does not serve yet")?)?;
    let address = line["fields"]["address"].as_str();
    Ok(address.context("it has no address")?.to_owned())
}
