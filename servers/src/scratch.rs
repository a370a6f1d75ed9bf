//! Temporary folders for data that is thrown away, named so that what a killed process left is found and removed.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::process::getpid;

use crate::account::Account;
use crate::error::Error;
use crate::folder;
use crate::process_table::{self, parse_pid};

const PREFIX: &str = "chronicle-scratch-";

/// A temporary folder, removed when dropped. When this process is killed, the next process that needs one removes it.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Creates one, below the temporary folder of the system or, if `account` is given and cannot reach that, below
    /// one that it can reach. It belongs to this process's user; others may enter it.
    pub(crate) fn create(account: Option<&Account>) -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let parent = parent(account);
        sweep_once(&parent);
        let own = getpid();
        let started = process_table::start_time(own).unwrap_or_default();
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{PREFIX}{own}-{started}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => {
                    let folder = Self { path };
                    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o755))
                        .map_err(Error::io("set the permissions of", &folder.path))?;
                    if let Some(account) = account {
                        account.take_over(&folder.path)?;
                    }
                    return Ok(folder);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", &path)(error)),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "temporary folder left for the next sweep");
        }
    }
}

fn parent(account: Option<&Account>) -> PathBuf {
    let system = env::temp_dir();
    let Some(account) = account else {
        return system;
    };
    [
        system.clone(),
        PathBuf::from("/tmp"),
        PathBuf::from("/var/tmp"),
    ]
    .into_iter()
    .find(|folder| account.can_reach(folder))
    .unwrap_or(system)
}

fn sweep_once(parent: &Path) {
    static SWEPT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if !swept.iter().any(|folder| folder == parent) {
        sweep(parent);
        swept.push(parent.to_owned());
    }
}

/// Removes what dead processes left in `parent`, after stopping servers that still run there.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        if name.strip_prefix(PREFIX).is_some_and(is_of_dead_process) {
            sweep_one(&entry.path());
        }
    }
}

fn sweep_one(path: &Path) {
    if folder::stop_leftover_throwaway(path) {
        // Another process may be removing it too.
        let _ = fs::remove_dir_all(path);
    }
}

/// `name` is `<pid>-<start time>-<number>`.
fn is_of_dead_process(name: &str) -> bool {
    let mut parts = name.split('-');
    let (Some(pid), Some(started)) = (parts.next().and_then(parse_pid), parts.next()) else {
        return false;
    };
    process_table::start_time(pid).is_none_or(|now| now != started)
}
