//! How much memory programs occupy, from `/proc`. Where there is none, nothing is known, and the benchmark says so.

use std::fs;

/// The resident memory of one process, in KiB; 0 when it is gone.
pub(crate) fn of_process(pid: u32) -> u64 {
    value(pid, "VmRSS:")
}

/// The resident memory of a process and of all that it has started, in KiB; what they share counts once.
pub(crate) fn with_children(pid: u32) -> u64 {
    let (mut own, mut shared) = (0, 0);
    for pid in std::iter::once(pid).chain(children(pid)) {
        own += value(pid, "RssAnon:");
        // Files and shared memory are most often the same ones in all of them.
        shared = shared.max(value(pid, "RssFile:") + value(pid, "RssShmem:"));
    }
    own + shared
}

/// What a process has started. PostgreSQL's processes have no children of their own.
fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn value(pid: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
