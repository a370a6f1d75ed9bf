//! The runs, one after the other: each is a `chronicle bench` of its own, and its report.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::options::Options;

/// The workloads, as fast as they go. The first one is what the others are held against.
pub(crate) const WORKLOADS: [&str; 6] = [
    "transfer-uniform",
    "transfer-zipf",
    "hot-account",
    "deposit",
    "mixed",
    "batch",
];
/// How many runs go as fast as they can: those, and one with one read model.
pub(crate) const FAST: usize = WORKLOADS.len() + 1;
/// How many commands a second are sent when each is to find the ledger idle.
pub(crate) const LONE_RATE: u64 = 20;
/// How many events a command of the workload `batch` makes.
pub(crate) const LEGS_IN_A_BATCH: f64 = 64.0;

/// All of them: those of [`WORKLOADS`], the first one with one read model, half of the first one's rate, lone commands.
pub(crate) fn all(options: &Options) -> anyhow::Result<Vec<Value>> {
    let mut runs = Vec::new();
    for workload in WORKLOADS {
        runs.push(run(options, &["--workload", workload])?);
    }
    runs.push(run(options, &["--one-read-model"])?);
    let reached = number(&runs[0], "commands_per_second")?;
    // Whole numbers of commands.
    let half = format!("{:.0}", (reached / 2.0).max(1.0));
    runs.push(run(options, &["--rate", &half, "--no-ceiling"])?);
    let lone = LONE_RATE.to_string();
    runs.push(run(options, &["--rate", &lone, "--no-ceiling"])?);
    Ok(runs)
}

fn run(options: &Options, flags: &[&str]) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_chronicle"));
    command
        .args(["-o", "json", "bench", "--seconds"])
        .arg(options.seconds.to_string())
        .args(flags)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    // What is set outside must not change what is published.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHRONICLE_")) {
        if name != "CHRONICLE_CACHE_DIR" {
            command.env_remove(name);
        }
    }
    let output = command.output().context("chronicle cannot be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "chronicle bench {} has failed: {}\n{text}",
            flags.join(" "),
            output.status
        );
    }
    serde_json::from_str(&text).context("the report of chronicle bench cannot be read")
}

/// A number of a report; `commands_per_second`, or with a point between, `outcome_ms.p50`.
pub(crate) fn number(run: &Value, name: &str) -> anyhow::Result<f64> {
    let path = format!("/{}", name.replace('.', "/"));
    let found = run.pointer(&path).and_then(Value::as_f64);
    found.with_context(|| format!("the report has no number {name}"))
}
