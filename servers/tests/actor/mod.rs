//! Plays a part of a test in a process of its own, which can be killed or be given another environment or user.
//!
//! The process is this very test binary, running its one ignored test `actor` with the part's name in the environment.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "these are tests, and their actors speak by standard output"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) const PART: &str = "CHRONICLE_TEST_ACTOR_PART";
const SAYS: &str = "actor: ";

/// The command that plays `part`.
pub(crate) fn playing(part: &str) -> Command {
    command_of(&std::env::current_exe().unwrap(), part)
}

/// As [`playing`], with the test binary at another place.
pub(crate) fn command_of(binary: &Path, part: &str) -> Command {
    let mut command = Command::new(binary);
    command
        .args([
            "actor",
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(PART, part)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// In the actor: tells the test something.
pub(crate) fn say(text: impl std::fmt::Display) {
    // libtest's own words do not end in a line feed.
    println!("\n{SAYS}{text}");
}

/// In the actor: its part, none in an ordinary run.
pub(crate) fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// A running actor, killed when dropped.
pub(crate) struct Actor {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Actor {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// What it says next.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            if let Some(said) = line.strip_prefix(SAYS) {
                return said.trim_end().to_owned();
            }
            line.clear();
        }
        panic!("the actor ended without a word; its standard error tells why");
    }

    /// Hears a number.
    pub(crate) fn hear_number(&mut self) -> u32 {
        self.hear().parse().unwrap()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs an actor to its end; it must succeed. Returns what it said.
pub(crate) fn run(mut command: Command) -> Vec<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", everything(&output));
    said(&output)
}

pub(crate) fn said(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.strip_prefix(SAYS))
        .map(str::to_owned)
        .collect()
}

pub(crate) fn everything(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not in 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process with this pid is there (a zombie is not).
pub(crate) fn is_alive(pid: u32) -> bool {
    let listed = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output();
    if let Ok(listed) = listed {
        let state = String::from_utf8_lossy(&listed.stdout).trim().to_owned();
        return !state.is_empty() && !state.starts_with('Z');
    }
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with('Z'))
    })
}
