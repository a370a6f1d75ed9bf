//! Starts child processes so that none outlives this process, whatever ends it.
//!
//! On Linux the kernel sends a child its `death_signal` when the **thread** that started it ends. All children
//! are therefore started by one thread that never ends. Where the kernel has no such signal (macOS), the next start
//! of the same folder stops what was left (`folder::stop_leftover`).
//!
//! Children get their own process group, so that a Ctrl-C in the terminal reaches this process alone and the
//! servers are stopped in order.
#![allow(
    unsafe_code,
    reason = "pre_exec is the only way to set the parent-death signal between fork and exec"
)]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::{OnceLock, mpsc};
use std::thread;

use rustix::process::Signal;

struct Job {
    command: Command,
    answer: mpsc::Sender<io::Result<Child>>,
}

/// Starts `command`, which gets `death_signal` when this process dies.
pub(crate) fn spawn(mut command: Command, death_signal: Signal) -> io::Result<Child> {
    command.process_group(0);
    die_with_parent(&mut command, death_signal);
    let (answer, answered) = mpsc::channel();
    spawning_thread()?
        .send(Job { command, answer })
        .expect("the spawning thread never ends");
    answered
        .recv()
        .expect("the spawning thread answers every job")
}

fn spawning_thread() -> io::Result<mpsc::Sender<Job>> {
    static JOBS: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    if let Some(jobs) = JOBS.get() {
        return Ok(jobs.clone());
    }
    let (jobs, queue) = mpsc::channel::<Job>();
    thread::Builder::new()
        .name("server-spawner".to_owned())
        .spawn(move || {
            for mut job in queue {
                // An asker that is gone cannot stop its child any more.
                if let Err(mpsc::SendError(Ok(mut child))) = job.answer.send(job.command.spawn()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        })?;
    // Two first callers may both get here: the loser's thread ends when its sender is dropped, unused.
    Ok(JOBS.get_or_init(|| jobs).clone())
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command, death_signal: Signal) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let arm = move || {
        set_parent_process_death_signal(Some(death_signal))?;
        if getppid() == Some(parent) {
            Ok(())
        } else {
            // The parent died between fork and the call above: no signal will come, so do not start at all.
            Err(io::Error::from(rustix::io::Errno::SRCH))
        }
    };
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls are allowed: it makes two
    // system calls, takes no lock and allocates nothing. std runs it after the change of user, which would
    // otherwise reset the signal.
    unsafe {
        command.pre_exec(arm);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command, _death_signal: Signal) {}
