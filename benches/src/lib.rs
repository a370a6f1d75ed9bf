//! Benchmarks. What is measured lies in `benches/benches/`; run it with `cargo bench -p benches`. Here is what they have in
//! common: on what machine, of which commit, and how durations become figures; [`ceiling`], the bare loop that
//! `chronicle bench` holds the ledger against; and [`simulation`], which foretells conflicts between partitions.
//!
//! This library uses nothing of the ledger, so that `chronicle` can use it; the benchmarks themselves do.

// Results go to stdout, to be kept.
#![allow(clippy::print_stdout)]

pub mod ceiling;
pub mod machine;
pub mod simulation;

use std::process::Command as Process;
use std::time::Duration;

use self::machine::Machine;

/// Prints the rows that say on what it was measured; `measured` are the folders that count as changed, e.g. `:/store`.
pub fn print_machine(measured: &[&str]) {
    print!("{}", machine_rows(&Machine::look(), measured));
}

/// The rows that say on what it was measured, as a table to which others may be added.
pub fn machine_rows(machine: &Machine, measured: &[&str]) -> String {
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!(
        "| | |\n|---|---|\n| processor | {} cores, {} |\n| memory | {} |\n| load before (1, 5, 15 minutes) | {} |\n\
         | compiler | {}, {build} |\n| commit | {} |\n",
        machine.cores,
        machine.processor,
        machine.memory,
        machine.load_before,
        told("rustc", &["--version"]),
        commit(measured)
    )
}

/// Of what is measured; what else lies about changed does not matter.
fn commit(measured: &[&str]) -> String {
    let head = told("git", &["rev-parse", "--short", "HEAD"]);
    let status = [&["status", "--porcelain"], measured].concat();
    let changed = told("git", &status);
    if changed.is_empty() {
        head
    } else {
        format!("{head}, and changes that are not committed")
    }
}

/// What a program prints.
pub fn told(program: &str, arguments: &[&str]) -> String {
    let output = Process::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// The duration that so many in a thousand do not exceed, in microseconds.
///
/// # Panics
/// If there are none.
pub fn micros(sorted: &[Duration], per_mille: usize) -> u128 {
    let index = (sorted.len() * per_mille).div_ceil(1_000).max(1) - 1;
    sorted[index].as_micros()
}
