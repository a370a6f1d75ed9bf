//! Benchmarks. What is measured lies in `benches/benches/`; run it with `cargo bench -p benches`. Here is what they have in
//! common: on what machine, of which commit, and how durations become figures.

// Results go to stdout, to be kept.
#![allow(clippy::print_stdout)]

use std::fs;
use std::process::Command as Process;
use std::time::Duration;

/// Prints the rows that say on what it was measured; `measured` are the folders that count as changed, e.g. `:/store`.
pub fn print_machine(measured: &[&str]) {
    let load = first_line("/proc/loadavg", "");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = first_line("/proc/meminfo", "MemTotal:");
    let processor = first_line("/proc/cpuinfo", "model name");
    println!("| | |\n|---|---|");
    println!("| processor | {cores} cores, {processor} |");
    println!("| memory | {memory} |");
    println!("| load before (1, 5, 15 minutes) | {load} |");
    println!("| compiler | {}, release |", told("rustc", &["--version"]));
    println!("| commit | {} |", commit(measured));
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

fn first_line(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.map(|line| line.trim_start_matches([' ', '\t', ':']).to_owned());
    value.unwrap_or_else(|| "unknown".to_owned())
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
