//! What differs from one kind of server to another.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::error::Error;

/// The ports of one server, all on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Where clients connect.
    pub main: u16,
    /// Where it tells its health over HTTP; 0 for a server that does not.
    pub http: u16,
}

/// What differs from one kind of server to another. Implemented in this crate only.
pub trait Program: fmt::Debug + Send + Sync + 'static {
    /// The program's name, for messages.
    const NAME: &'static str;
    /// Whether it has a second port, for HTTP.
    const HAS_HTTP: bool;
    /// Asks it to stop in order.
    const STOP: Signal;
    /// Makes it end at once, its data being thrown away.
    const ABANDON: Signal;

    /// Prepares the data folder (it can be called again on a prepared one) and returns the command that runs the
    /// server in the foreground.
    fn command(&self, folder: &Path, ports: Ports) -> Result<Command, Error>;

    /// Whether this very server is ready to work; otherwise what is missing.
    fn probe(&self, folder: &Path, ports: Ports) -> Result<(), String>;

    /// A server that runs on the data although `server.pid` does not tell of it.
    fn unrecorded_leftover(&self, _folder: &Path) -> Result<Option<Pid>, Error> {
        Ok(None)
    }

    /// Frees what outlives a killed server besides its data folder, which is thrown away.
    fn discard(&self) {}
}

/// What every kind of server is started with.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    pub(crate) http_port: u16,
    pub(crate) throwaway: bool,
    pub(crate) start_limit: Duration,
    pub(crate) stop_limit: Duration,
}
