//! The data folder of one server: who holds it, what runs in it, which ports it had, where it logs.
//!
//! ```text
//! server.lock   held (flock) by the process that runs the server, as long as it lives; its pid inside
//! server.pid    pid and start time of the server itself, to find one that outlived its starter
//! server.ports  the ports of the last start, to get the same ones again
//! server.log    what the server says; server.log.old when it grew too long
//! data/         what the server stores
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::Error;
use crate::process_table::{self, parse_pid};
use crate::{poll, process};

/// A log that is longer than this at a start is put aside.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
const LEFTOVER_STOP_LIMIT: Duration = Duration::from_secs(10);
const LEFTOVER_KILL_LIMIT: Duration = Duration::from_secs(5);

/// A data folder that this process holds.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Unlocked by the kernel when this process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Creates the folder if needed and takes it, unless another live process holds it.
    pub(crate) fn hold(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&path)
            .map_err(Error::io("create", &path))?;
        let path = fs::canonicalize(&path).map_err(Error::io("find", &path))?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// Opens the log at its end; also tells where that is.
    pub(crate) fn open_log(&self) -> Result<(File, u64), Error> {
        let path = self.log();
        let open = || {
            if fs::metadata(&path).is_ok_and(|data| data.len() > LOG_BYTES_MAX) {
                fs::rename(&path, self.path.join("server.log.old"))?;
            }
            let log = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o644)
                .open(&path)?;
            let length = log.metadata()?.len();
            Ok((log, length))
        };
        open().map_err(Error::io("open the log", &path))
    }

    /// The ports of the last start.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let text = fs::read_to_string(self.path.join("server.ports")).unwrap_or_default();
        text.split_whitespace()
            .filter_map(|port| port.parse().ok())
            .collect()
    }

    pub(crate) fn remember_ports(&self, ports: &[u16]) -> Result<(), Error> {
        let text: Vec<String> = ports.iter().map(u16::to_string).collect();
        self.write("server.ports", &text.join("\n"))
    }

    pub(crate) fn remember_process(&self, pid: Pid) -> Result<(), Error> {
        let started = process_table::start_time(pid).unwrap_or_default();
        self.write("server.pid", &format!("{pid}\n{started}"))
    }

    pub(crate) fn forget_process(&self) {
        let _ = fs::remove_file(self.path.join("server.pid"));
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        fs::write(&path, format!("{text}\n")).map_err(Error::io("write", &path))
    }

    /// The server that outlived the process that started it here, if one did.
    pub(crate) fn leftover(&self) -> Option<Pid> {
        leftover(&self.path)
    }

    /// Stops such a server, by force if `signal` does not do.
    pub(crate) fn stop_leftover(
        &self,
        program: &'static str,
        pid: Pid,
        signal: Signal,
    ) -> Result<(), Error> {
        tracing::warn!(%pid, program, folder = %self.path.display(), "stopping what a killed process left running");
        if stop(pid, signal) {
            Ok(())
        } else {
            Err(Error::Leftover {
                program,
                pid: pid.as_raw_nonzero().get(),
                folder: self.path.clone(),
            })
        }
    }
}

/// Ends the server that a dead process left in the throwaway folder `path`. False when the folder is in use after all or
/// belongs to another user.
pub(crate) fn stop_leftover_throwaway(path: &Path) -> bool {
    let Ok(lock) = lock(path) else {
        return false;
    };
    if let Some(pid) = leftover(path) {
        // What PostgreSQL calls an immediate shutdown also frees its shared memory; the others dump and end.
        stop(pid, Signal::QUIT);
    }
    drop(lock);
    true
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("server.lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {
            let mut note = || {
                file.set_len(0)?;
                file.rewind()?;
                writeln!(file, "{}", std::process::id())
            };
            note().map_err(Error::io("write", &path))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            Err(Error::FolderInUse {
                folder: folder.to_owned(),
                holder: holder.trim().to_owned(),
            })
        }
        Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
    }
}

fn leftover(folder: &Path) -> Option<Pid> {
    let text = fs::read_to_string(folder.join("server.pid")).ok()?;
    let mut lines = text.lines();
    let pid = parse_pid(lines.next()?)?;
    let started = lines.next()?;
    (process_table::start_time(pid)? == started).then_some(pid)
}

fn stop(pid: Pid, signal: Signal) -> bool {
    let Some(started) = process_table::start_time(pid) else {
        return true;
    };
    let is_gone = || process_table::start_time(pid).is_none_or(|now| now != started);
    let _ = kill_process(pid, signal);
    process::signal_tree(pid, Signal::CONT);
    if poll::until(Instant::now() + LEFTOVER_STOP_LIMIT, is_gone) {
        return true;
    }
    process::signal_tree(pid, Signal::KILL);
    poll::until(Instant::now() + LEFTOVER_KILL_LIMIT, is_gone)
}
