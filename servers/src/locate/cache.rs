//! The folder that fetched programs are kept in.
//!
//! Only a folder that nobody else can write to is used: what lies in it is run.

use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{CACHE_VARIABLE, path_variable};
use crate::account::Account;

/// The first cache folder that can be used; `account`, if given, must be able to run what lies in it.
/// The error lists each with the reason why not.
pub(super) fn folder(account: Option<&Account>) -> Result<PathBuf, String> {
    let mut reasons = Vec::new();
    for (candidate, named) in candidates(account.is_some()) {
        match usable(&candidate, named, account) {
            Ok(()) => return Ok(candidate),
            Err(reason) => {
                tracing::debug!(path = %candidate.display(), reason, "cache folder passed over");
                reasons.push(format!("{}: {reason}", candidate.display()));
            }
        }
    }
    Err(format!(
        "no folder to keep fetched programs in (name one by {CACHE_VARIABLE}): {}",
        reasons.join("; ")
    ))
}

/// Folders in order of preference, each with whether the user named it.
fn candidates(for_other_user: bool) -> Vec<(PathBuf, bool)> {
    let named = path_variable(CACHE_VARIABLE)
        .map(|path| (std::path::absolute(&path).unwrap_or(path), true));
    // Below root's home nobody but root could run anything.
    let shared = ["/var/cache/chronicle", "/var/tmp/chronicle-cache"]
        .map(|path| (PathBuf::from(path), false));
    let is_root = rustix::process::geteuid().is_root();
    match named {
        Some(named) if for_other_user => std::iter::once(named).chain(shared).collect(),
        Some(named) => vec![named],
        None if is_root => shared.into(),
        None => of_this_user()
            .into_iter()
            .map(|path| (path, false))
            .collect(),
    }
}

fn of_this_user() -> Vec<PathBuf> {
    let absolute = |name: &str| path_variable(name).filter(|folder| folder.is_absolute());
    let below_home = if cfg!(target_os = "macos") {
        "Library/Caches"
    } else {
        ".cache"
    };
    let user = rustix::process::geteuid().as_raw();
    [
        absolute("XDG_CACHE_HOME").map(|folder| folder.join("chronicle")),
        absolute("HOME").map(|home| home.join(below_home).join("chronicle")),
        // Some users have no home that can be written to.
        Some(env::temp_dir().join(format!("chronicle-cache-{user}"))),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn usable(folder: &Path, named: bool, account: Option<&Account>) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("cannot create it: {error}"))?;
    let data = fs::metadata(folder).map_err(|error| format!("cannot look at it: {error}"))?;
    let own = rustix::process::geteuid().as_raw();
    if !named && data.uid() != own {
        return Err(format!(
            "it belongs to user {}, who could put anything there",
            data.uid()
        ));
    }
    if data.mode() & 0o002 != 0 {
        return Err("everyone may write to it".to_owned());
    }
    let Some(account) = account else {
        return Ok(());
    };
    if data.uid() == own && data.mode() & 0o055 != 0o055 && !named {
        // Created under a strict umask.
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
    }
    if account.can_reach(folder) {
        Ok(())
    } else {
        Err(format!(
            "user {}, who runs PostgreSQL for root, cannot reach it",
            account.name
        ))
    }
}
