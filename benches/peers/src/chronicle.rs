//! The ledger itself, by its own `chronicle bench`, in the same session on the same machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;
use servers::Child;

use crate::report::{Latency, Row};

/// As many as the plain statements have at most, so that there is one row whose latencies can be held against theirs.
const FEW_IN_FLIGHT: &str = "20";
/// What is run, with more arguments.
const RUNS: [(&str, &[&str]); 3] = [
    ("transfer-uniform", &[]),
    ("transfer-uniform", &["--in-flight", FEW_IN_FLIGHT]),
    ("hot-account", &[]),
];

/// Which ledger to run, and how.
pub(crate) struct Chronicle {
    pub(crate) program: PathBuf,
    pub(crate) data_dir: PathBuf,
    pub(crate) seconds: u32,
    pub(crate) seed: u64,
    pub(crate) accounts: usize,
}

/// What of its report is used here.
#[derive(Debug, Deserialize)]
struct Report {
    workload: String,
    accounts: u64,
    in_flight_max: u64,
    commands: u64,
    accepted: u64,
    refused: u64,
    without_outcome: u64,
    elapsed_seconds: f64,
    commands_per_second: f64,
    outcomes_per_second: f64,
    outcome_ms: Latency,
    place: Place,
}

#[derive(Debug, Deserialize)]
struct Place {
    chronicle: String,
    commit: String,
    build: String,
    nats_server: String,
    event_store: String,
    read_model: String,
    own_stack: bool,
}

impl Chronicle {
    /// Runs it; answers with the rows, and what was run.
    pub(crate) async fn measure(&self) -> anyhow::Result<(Vec<Row>, String)> {
        let mut rows = Vec::new();
        let mut described = String::new();
        for (workload, more) in RUNS {
            eprintln!("measuring Chronicle Ledger: {workload} {}", more.join(" "));
            let report = self.bench(workload, more).await?;
            ensure!(
                report.place.own_stack,
                "this bench has measured a ledger that runs elsewhere: unset CHRONICLE_NATS_URL and the like"
            );
            ensure!(
                report.without_outcome == 0,
                "{} commands have no outcome",
                report.without_outcome
            );
            described = report.place.describe();
            rows.push(report.row());
        }
        Ok((rows, described))
    }

    async fn bench(&self, workload: &str, more: &[&str]) -> anyhow::Result<Report> {
        std::fs::create_dir_all(&self.data_dir)?;
        let folder = tempfile::Builder::new()
            .prefix("peers-")
            .tempdir_in(&self.data_dir)?;
        let output = folder.path().join("report.json");
        let mut command = Command::new(&self.program);
        command
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args([
                "-o",
                "json",
                "bench",
                "--no-ceiling",
                "--workload",
                workload,
            ])
            .args(["--seconds", &self.seconds.to_string()])
            .args(["--seed", &self.seed.to_string()])
            .args(["--accounts", &self.accounts.to_string()])
            .args(more)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?);
        let child = Child::start(command)
            .await
            .with_context(|| format!("{} cannot be started", self.program.display()))?;
        // Dropped with this future, it is told to stop and takes its own servers with it.
        let status = child.exited().await;
        ensure!(
            status.success(),
            "`{} bench --workload {workload}` ended with {status}: what it measured does not count",
            self.program.display()
        );
        read(&output)
    }
}

fn read(path: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(path)?;
    serde_json::from_str(&text)
        .context("this chronicle's report has another form: build it from the same commit")
}

impl Report {
    fn row(self) -> Row {
        Row {
            system: "Chronicle Ledger",
            workload: match self.workload.as_str() {
                "hot-account" => "transfer, all from one account".to_owned(),
                _ => "transfer".to_owned(),
            },
            accounts: self.accounts,
            at_once: self.in_flight_max,
            commands: self.commands,
            accepted: self.accepted,
            refused: self.refused,
            elapsed_seconds: self.elapsed_seconds,
            commands_per_second: self.commands_per_second,
            outcomes_per_second: Some(self.outcomes_per_second),
            latency_ms: self.outcome_ms,
            retries: None,
            wrong_views: Some(0),
        }
    }
}

impl Place {
    fn describe(&self) -> String {
        format!(
            "{}, commit {}, {} build; NATS {}; event store: {}; read model: {}",
            self.chronicle,
            self.commit,
            self.build,
            self.nats_server,
            self.event_store,
            self.read_model
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_fails_is_no_measurement() {
        let folder = tempfile::tempdir().unwrap();
        let chronicle = Chronicle {
            program: "false".into(),
            data_dir: folder.path().to_owned(),
            seconds: 1,
            seed: 1,
            accounts: 10,
        };
        let error = chronicle.measure().await.unwrap_err();
        assert!(error.to_string().contains("does not count"), "{error}");
    }

    #[tokio::test]
    async fn its_figures_are_read_from_its_report() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("chronicle");
        let script = r#"#!/bin/sh
echo '{"workload":"hot-account","through":"nats","accounts":10,"in_flight_max":16384,"commands":7,"accepted":6,"refused":1,
"without_outcome":0,"elapsed_seconds":2.0,"commands_per_second":3.5,"outcomes_per_second":4.0,
"outcome_ms":{"p50":1,"p90":2,"p99":3,"p999":4,"max":5,"samples":7},
"place":{"chronicle":"0.1.0","commit":"abc","build":"release","nats_server":"2","event_store":"a","read_model":"b","own_stack":true}}'
"#;
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let chronicle = Chronicle {
            program,
            data_dir: folder.path().join("data"),
            seconds: 1,
            seed: 1,
            accounts: 10,
        };
        let (rows, described) = chronicle.measure().await.unwrap();
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].commands, rows[0].latency_ms.p999), (7, 4.0));
        assert_eq!(rows[0].workload, "transfer, all from one account");
        assert!(described.contains("commit abc, release build"));
    }
}
