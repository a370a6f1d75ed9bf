//! What the operating system tells about processes that this process did not start: is it alive, what is it, whose
//! child is it. From `/proc` where there is one, else from `ps`.

use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, test_kill_process};

/// When a process started, as an opaque text. Together with its pid it names a process for good: a pid alone is
/// given out again. None when no such process is alive (a zombie is not).
pub(crate) fn start_time(pid: Pid) -> Option<String> {
    if let Some(stat) = Stat::read(pid) {
        return (!stat.is_zombie()).then_some(stat.start_time);
    }
    let started = ps(pid, "lstart=")?;
    let digits_and_letters: String = started
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    (!digits_and_letters.is_empty()).then_some(digits_and_letters)
}

/// Whether a process with this pid is there and is no zombie.
pub(crate) fn is_alive(pid: Pid) -> bool {
    match Stat::read(pid) {
        Some(stat) => !stat.is_zombie(),
        // No permission to signal it also means that it is there.
        None if has_proc() => false,
        None => test_kill_process(pid) != Err(rustix::io::Errno::SRCH),
    }
}

/// The arguments of a process, its program first. Empty for a zombie, None when it is gone.
pub(crate) fn command_line(pid: Pid) -> Option<Vec<String>> {
    if has_proc() {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = bytes
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty());
        return Some(
            words
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect(),
        );
    }
    Some(
        ps(pid, "command=")?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    )
}

/// All processes that `pid` has started, and theirs, parents before children.
pub(crate) fn descendants(pid: Pid) -> Vec<Pid> {
    let parents = parents();
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(child, _)| *child),
        );
        next += 1;
    }
    found.split_off(1)
}

/// Every process with its parent.
fn parents() -> Vec<(Pid, Pid)> {
    if has_proc() {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        return entries
            .filter_map(|entry| parse_pid(entry.ok()?.file_name().to_str()?))
            .filter_map(|pid| Some((pid, Stat::read(pid)?.parent?)))
            .collect();
    }
    let Ok(listing) = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output() else {
        return Vec::new();
    };
    String::from_utf8_lossy(&listing.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((parse_pid(words.next()?)?, parse_pid(words.next()?)?))
        })
        .collect()
}

/// A pid written as text.
pub(crate) fn parse_pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.trim().parse().ok()?)
}

fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

fn ps(pid: Pid, column: &str) -> Option<String> {
    let output = Command::new("ps")
        .args(["-o", column, "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The fields of `/proc/<pid>/stat` that are used here.
struct Stat {
    state: String,
    parent: Option<Pid>,
    start_time: String,
}

impl Stat {
    fn read(pid: Pid) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in parentheses and may hold anything, parentheses included.
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        Some(Self {
            state: (*fields.first()?).to_owned(),
            parent: parse_pid(fields.get(1)?),
            start_time: (*fields.get(19)?).to_owned(),
        })
    }

    fn is_zombie(&self) -> bool {
        self.state == "Z" || self.state == "X"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_has_a_start_time_and_a_command_line() {
        let own = rustix::process::getpid();
        assert!(is_alive(own));
        assert_eq!(start_time(own), start_time(own));
        assert!(start_time(own).is_some());
        assert!(!command_line(own).unwrap().is_empty());
    }

    #[test]
    fn a_reaped_child_is_neither_alive_nor_a_descendant() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(is_alive(pid));
        assert!(descendants(rustix::process::getpid()).contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(pid));
        assert_eq!(start_time(pid), None);
    }
}
