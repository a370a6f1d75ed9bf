//! One running child process: its exit is noticed as it happens, and a signal never reaches a stranger.
//!
//! A thread per process waits for the exit without reaping (`WNOWAIT`), then reaps under the same lock under which
//! signals are sent. A pid is thus never signalled after the kernel was free to give it to somebody else.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

use crate::account::Account;
use crate::{process_table, spawn};

/// A child process, running or ended.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    shared: Arc<Shared>,
    exit: watch::Receiver<Option<ExitStatus>>,
}

#[derive(Debug, Default)]
struct Shared {
    ended: Mutex<Option<ExitStatus>>,
    changed: Condvar,
}

impl Process {
    /// Starts `command`; see [`spawn::spawn`] for `death_signal`.
    pub(crate) fn start(command: Command, death_signal: Signal) -> io::Result<Self> {
        let child = spawn::spawn(command, death_signal)?;
        let pid = Pid::from_child(&child);
        let shared = Arc::new(Shared::default());
        let (sender, exit) = watch::channel(None);
        let waiter = Arc::clone(&shared);
        thread::Builder::new()
            .name("server-waiter".to_owned())
            .spawn(move || wait_and_reap(child, pid, &waiter, &sender))?;
        Ok(Self { pid, shared, exit })
    }

    /// The process id; it may have ended.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        *self
            .shared
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it has ended.
    pub(crate) async fn exited(&self) -> ExitStatus {
        let mut exit = self.exit.clone();
        loop {
            if let Some(status) = *exit.borrow_and_update() {
                return status;
            }
            if exit.changed().await.is_err() {
                // The waiter ended; it always tells the exit first.
                return self.ended().unwrap_or_default();
            }
        }
    }

    /// Waits at most `limit` for the end.
    pub(crate) fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        let mut ended = self
            .shared
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if ended.is_some() {
                return *ended;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            (ended, _) = self
                .shared
                .changed
                .wait_timeout(ended, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sends `signal` to the process alone. Does nothing when it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        let ended = self
            .shared
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if ended.is_none() {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Sends `signal` to the process and all it has started, itself first: a stopped or killed parent starts no more.
    pub(crate) fn signal_tree(&self, signal: Signal) {
        let ended = self
            .shared
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if ended.is_none() {
            signal_tree(self.pid, signal);
        }
    }

    /// Asks it to stop by `signal`, and kills it with all it has started when it has not ended within `limit`.
    pub(crate) fn stop(&self, signal: Signal, limit: Duration) -> ExitStatus {
        self.signal(signal);
        // A paused process takes no signal but this one.
        self.signal_tree(Signal::CONT);
        loop {
            if let Some(status) = self.wait(limit) {
                return status;
            }
            tracing::warn!(pid = %self.pid, ?limit, "did not stop in time: killed");
            self.signal_tree(Signal::KILL);
        }
    }
}

/// Sends `signal` to `pid` and all it has started.
pub(crate) fn signal_tree(pid: Pid, signal: Signal) {
    if signal == Signal::KILL {
        // Its children are looked for while it can neither start nor lose any.
        let _ = kill_process(pid, Signal::STOP);
    }
    let children = process_table::descendants(pid);
    let _ = kill_process(pid, signal);
    for child in children {
        let _ = kill_process(child, signal);
    }
    if signal == Signal::STOP {
        for child in process_table::descendants(pid) {
            let _ = kill_process(child, signal);
        }
    }
}

fn wait_and_reap(
    mut child: Child,
    pid: Pid,
    shared: &Shared,
    exit: &watch::Sender<Option<ExitStatus>>,
) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
    let mut ended = shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
    let status = child.wait().unwrap_or_default();
    *ended = Some(status);
    shared.changed.notify_all();
    exit.send_replace(Some(status));
}

/// What a short-lived command left behind.
pub(crate) struct Finished {
    pub(crate) success: bool,
    /// Standard output and standard error, in the order of writing, at most the last 64 KiB.
    pub(crate) output: String,
}

/// Runs a command to its end, as `account` if given, and kills it after `limit`.
pub(crate) fn run(
    mut command: Command,
    account: Option<&Account>,
    limit: Duration,
) -> io::Result<Finished> {
    let mut output = tempfile::tempfile()?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?);
    run_as(&mut command, account);
    let process = Process::start(command, Signal::KILL)?;
    let status = process.wait(limit);
    if status.is_none() {
        process.stop(Signal::KILL, Duration::from_secs(5));
    }
    let mut output = tail(&mut output, 0, 64 * 1024)?;
    if status.is_none() {
        let _ = write!(output, "\n(killed: not done within {} s)", limit.as_secs());
    }
    Ok(Finished {
        success: status.is_some_and(|status| status.success()),
        output: output.trim().to_owned(),
    })
}

/// Makes `command` run as `account`, in a folder that everyone can enter.
pub(crate) fn run_as(command: &mut Command, account: Option<&Account>) {
    if let Some(account) = account {
        command
            .uid(account.user_id)
            .gid(account.group_id)
            .current_dir("/");
    }
}

/// The end of a log from byte `from` on: its last 20 lines.
pub(crate) fn log_tail(path: &Path, from: u64) -> String {
    let text = File::open(path)
        .and_then(|mut file| tail(&mut file, from, 8 * 1024))
        .unwrap_or_else(|error| format!("(log not readable: {error})"));
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn tail(file: &mut File, from: u64, bytes_max: u64) -> io::Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(
        from.max(length.saturating_sub(bytes_max)).min(length),
    ))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_a_process_group_of_its_own() {
        // So that the terminal's Ctrl-C does not reach it.
        let mut command = Command::new("sleep");
        command.arg("60");
        let process = Process::start(command, Signal::KILL).unwrap();
        assert_eq!(
            rustix::process::getpgid(Some(process.pid())).unwrap(),
            process.pid()
        );
        process.stop(Signal::KILL, Duration::from_secs(10));
    }

    #[test]
    fn a_process_that_ignores_the_signal_is_killed_with_its_children() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "trap '' TERM; sleep 60 & wait"]);
        let process = Process::start(command, Signal::KILL).unwrap();
        let mut children = Vec::new();
        crate::poll::until(Instant::now() + Duration::from_secs(10), || {
            children = process_table::descendants(process.pid());
            !children.is_empty()
        });
        process.stop(Signal::TERM, Duration::from_millis(50));
        let gone = || !children.iter().any(|pid| process_table::is_alive(*pid));
        assert!(crate::poll::until(
            Instant::now() + Duration::from_secs(10),
            gone
        ));
        assert!(process.ended().is_some());
    }

    #[test]
    fn a_command_that_takes_too_long_is_killed_and_what_it_said_is_kept() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo one; sleep 60"]);
        let finished = run(command, None, Duration::from_millis(500)).unwrap();
        assert!(!finished.success);
        assert!(finished.output.starts_with("one") && finished.output.contains("killed"));
    }
}
