//! A running server of any kind, to be asked, stopped, killed, paused, restarted.
//!
//! All of it works by blocking calls on threads of its own. A server therefore belongs to no async runtime and may be
//! shared by tests that each have one.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::oneshot;

use crate::error::Error;
use crate::folder::Folder;
use crate::port;
use crate::process::Process;
use crate::program::{Ports, Program, Terms};
use crate::start;

/// How long the drop of a handle waits before it kills.
pub(crate) const DROP_LIMIT: Duration = Duration::from_secs(10);

/// A server that was started and is stopped when the last clone of this handle is dropped.
#[derive(Debug)]
pub struct Server<P: Program> {
    inner: Arc<Inner<P>>,
}

impl<P: Program> Clone for Server<P> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

#[derive(Debug)]
struct Inner<P: Program> {
    program: P,
    terms: Terms,
    folder: Folder,
    ports: Ports,
    /// Replaced by a restart.
    process: Mutex<Arc<Process>>,
    /// Held during stop and restart: one at a time.
    control: Mutex<()>,
}

impl<P: Program> Server<P> {
    /// Blocks until the server answers. `program` is made once the folder is held.
    pub(crate) fn start_blocking(
        terms: Terms,
        program: impl FnOnce(&Folder) -> Result<P, Error>,
    ) -> Result<Self, Error> {
        let started = start::start(&terms, program)?;
        let inner = Inner {
            program: started.program,
            terms,
            folder: started.folder,
            ports: started.ports,
            process: Mutex::new(Arc::new(started.process)),
            control: Mutex::new(()),
        };
        // Made first: its drop stops the server when this fails.
        inner
            .folder
            .remember_ports(&[inner.ports.main, inner.ports.http])?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The port that clients connect to, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.inner.ports.main
    }

    /// The process id of the server; another one after a restart.
    pub fn pid(&self) -> u32 {
        self.process().pid().as_raw_nonzero().get().unsigned_abs()
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.inner.folder.path()
    }

    /// The file that the server logs to.
    pub fn log(&self) -> PathBuf {
        self.inner.folder.log()
    }

    /// How the server ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process().ended()
    }

    /// Waits until the server has ended, for whatever reason. A restart meanwhile counts as an end.
    pub async fn exited(&self) -> ExitStatus {
        let process = self.process();
        process.exited().await
    }

    /// Stops the server in order, by force when that takes too long. Stopping a stopped one does nothing.
    pub async fn stop(&self) -> ExitStatus {
        let inner = Arc::clone(&self.inner);
        off_thread(move || inner.stop()).await
    }

    /// Ends the server and all its processes at once, as a crash of the machine would (SIGKILL), and returns when it
    /// is gone.
    pub async fn kill(&self) -> ExitStatus {
        let process = self.process();
        process.signal_tree(Signal::KILL);
        process.exited().await
    }

    /// Stops the clock of the server and all its processes (SIGSTOP): it keeps its connections and answers nothing.
    pub fn pause(&self) {
        self.process().signal_tree(Signal::STOP);
    }

    /// Undoes [`pause`](Self::pause).
    pub fn resume(&self) {
        self.process().signal_tree(Signal::CONT);
    }

    /// Stops the server if it runs and starts it on the same ports and data; returns when it answers.
    pub async fn restart(&self) -> Result<(), Error> {
        let inner = Arc::clone(&self.inner);
        off_thread(move || inner.restart()).await
    }

    pub(crate) fn program(&self) -> &P {
        &self.inner.program
    }

    pub(crate) fn ports(&self) -> Ports {
        self.inner.ports
    }

    fn process(&self) -> Arc<Process> {
        self.inner.process()
    }
}

impl<P: Program> Inner<P> {
    fn process(&self) -> Arc<Process> {
        Arc::clone(&self.process.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stop(&self) -> ExitStatus {
        let _alone = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        self.stop_process()
    }

    fn stop_process(&self) -> ExitStatus {
        let status = self.process().stop(P::STOP, self.terms.stop_limit);
        self.folder.forget_process();
        status
    }

    fn restart(&self) -> Result<(), Error> {
        let _alone = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        self.stop_process();
        for port in [self.ports.main, self.ports.http] {
            if port != 0 && !port::is_free(port) {
                return Err(port::in_use(P::NAME, port));
            }
        }
        let process = start::run(&self.program, &self.terms, &self.folder, self.ports)?;
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(process);
        Ok(())
    }
}

impl<P: Program> Drop for Inner<P> {
    fn drop(&mut self) {
        let process = self.process();
        if process.ended().is_none() {
            let signal = if self.terms.throwaway {
                P::ABANDON
            } else {
                P::STOP
            };
            process.stop(signal, DROP_LIMIT);
        }
        if self.terms.throwaway {
            self.program.discard();
        }
        self.folder.forget_process();
    }
}

/// Runs blocking work on a thread of its own. When the future is dropped, the work goes on and its result is dropped.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("server-control".to_owned())
        .spawn(move || drop(sender.send(work())))
        .expect("the machine can start one more thread");
    receiver
        .await
        .expect("the work answers, unless it panicked, which is a defect of this crate")
}
