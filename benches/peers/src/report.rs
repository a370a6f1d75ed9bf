//! The result, for programs; [`print`](crate::print) has it for people.

use std::process::Command;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::drive::Tally;
use crate::machine::Machine;
use crate::workload::Workload;

/// Which crates were built in.
const LOCK: &str = include_str!("../Cargo.lock");
/// Where the sources are, to ask for their commit.
const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// A latency, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl From<&Histogram<u64>> for Latency {
    fn from(histogram: &Histogram<u64>) -> Self {
        let ms = |microseconds: u64| microseconds as f64 / 1_000.0;
        let at = |quantile| ms(histogram.value_at_quantile(quantile));
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(histogram.max()),
        }
    }
}

/// What came of one workload. Its books were right at the end; else there would be no row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) system: &'static str,
    pub(crate) workload: String,
    pub(crate) accounts: u64,
    /// How many commands were on their way at a time, at most.
    pub(crate) at_once: u64,
    pub(crate) commands: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Until the last answer; for the ledger until its balances showed all.
    pub(crate) elapsed_seconds: f64,
    /// By that time.
    pub(crate) commands_per_second: f64,
    /// The ledger's alone: by the time until the last outcome.
    pub(crate) outcomes_per_second: Option<f64>,
    /// From the call, or when it was sent, to the answer.
    pub(crate) latency_ms: Latency,
    /// Tries that ended in a conflict; none where that is not known.
    pub(crate) retries: Option<u64>,
    /// Rows of the read model that were not what the events come to at the end; none where there is no read model.
    pub(crate) wrong_views: Option<u64>,
}

impl Row {
    pub(crate) fn new(
        system: &'static str,
        name: String,
        workload: &Workload,
        at_once: usize,
        tally: &Tally,
    ) -> Self {
        let commands = tally.accepted + tally.refused;
        let elapsed_seconds = tally.elapsed.as_secs_f64();
        Self {
            system,
            workload: name,
            accounts: workload.accounts().len() as u64,
            at_once: at_once as u64,
            commands,
            accepted: tally.accepted,
            refused: tally.refused,
            elapsed_seconds,
            commands_per_second: commands as f64 / elapsed_seconds.max(1e-6),
            outcomes_per_second: None,
            latency_ms: Latency::from(&tally.latencies),
            retries: Some(tally.retries),
            wrong_views: None,
        }
    }
}

/// On what it was measured, and of what.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Place {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    pub(crate) load_before: String,
    pub(crate) compiler: String,
    pub(crate) build: &'static str,
    pub(crate) commit: String,
    pub(crate) cqrs_es: String,
    pub(crate) postgres_es: String,
    pub(crate) sqlx: String,
    pub(crate) database: String,
    /// Whether it was started for this, and commits by its settings wait for the disk.
    pub(crate) own_database: bool,
    /// The ledger, if it was measured, too.
    pub(crate) chronicle: Option<String>,
}

impl Place {
    /// As it is before anything is measured.
    pub(crate) fn look(database: String, own_database: bool) -> Self {
        let machine = Machine::look();
        Self {
            cores: machine.cores,
            processor: machine.processor,
            memory: machine.memory,
            kernel: machine.kernel,
            load_before: machine.load_before,
            compiler: told("rustc", &["--version"]),
            build: if cfg!(debug_assertions) {
                "debug"
            } else {
                "release"
            },
            commit: commit(),
            cqrs_es: locked("cqrs-es"),
            postgres_es: locked("postgres-es"),
            sqlx: locked("sqlx"),
            database,
            own_database,
            chronicle: None,
        }
    }
}

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) seconds: u32,
    pub(crate) seed: u64,
    pub(crate) place: Place,
    pub(crate) rows: Vec<Row>,
}

/// Of what is measured; what else lies about changed does not matter.
fn commit() -> String {
    let head = told("git", &["-C", SOURCES, "rev-parse", "--short", "HEAD"]);
    let paths = [":/benches/peers", ":/servers"];
    let changed = told(
        "git",
        &[&["-C", SOURCES, "status", "--porcelain"], &paths[..]].concat(),
    );
    if changed.is_empty() {
        head
    } else {
        format!("{head}, and changes that are not committed")
    }
}

fn told(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".to_owned())
}

/// The version of a crate that was built in.
fn locked(name: &str) -> String {
    let version = LOCK
        .split("[[package]]")
        .find(|package| package.contains(&format!("\nname = \"{name}\"\n")))
        .and_then(|package| {
            package
                .lines()
                .find_map(|line| line.strip_prefix("version = "))
        });
    version.map_or_else(
        || "unknown".to_owned(),
        |it| it.trim_matches('"').to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_that_were_built_in_are_known() {
        assert!(locked("cqrs-es").starts_with("0.5."));
        assert!(locked("sqlx").starts_with("0.8."));
        assert_eq!(locked("no-such-crate"), "unknown");
    }
}
