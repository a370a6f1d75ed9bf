//! A program of one's own that must not outlive its starter, as the servers must not.

use std::io;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::Process;
use crate::server::off_thread;

/// A child process that gets SIGTERM when this process ends, by whatever cause, and when it is dropped. It has a process
/// group of its own: a Ctrl-C in the terminal does not reach it.
#[derive(Debug)]
pub struct Child {
    process: Arc<Process>,
}

/// How long a child that was told to stop may take until it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(20);

impl Child {
    /// Starts `command`, whose standard streams are as it says.
    pub async fn start(command: Command) -> io::Result<Self> {
        let process = off_thread(move || Process::start(command, Signal::TERM)).await?;
        Ok(Self {
            process: Arc::new(process),
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Waits until it has ended, for whatever reason.
    pub async fn exited(&self) -> ExitStatus {
        self.process.exited().await
    }

    /// Tells it to stop (SIGTERM), waits for that, and kills it with all that it has started when it takes too long.
    pub async fn stop(&self) -> ExitStatus {
        let process = Arc::clone(&self.process);
        off_thread(move || process.stop(Signal::TERM, STOP_LIMIT)).await
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.process.ended().is_none() {
            self.process.stop(Signal::TERM, STOP_LIMIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_is_stopped_in_order_and_ends_with_its_handle() {
        let mut command = Command::new("sleep");
        command.arg("60");
        let child = Child::start(command).await.unwrap();
        assert_eq!(child.ended(), None);
        let status = child.stop().await;
        assert!(!status.success());
        assert_eq!(child.exited().await, status);

        let mut command = Command::new("sleep");
        command.arg("60");
        let child = Child::start(command).await.unwrap();
        let process = Arc::clone(&child.process);
        drop(child);
        assert!(process.ended().is_some());
    }
}
