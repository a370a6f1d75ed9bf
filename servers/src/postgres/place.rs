//! Where the data of a PostgreSQL lie, and who owns them.
//!
//! As a rule in `data/` below the data folder. When root starts it, the server runs as another user, who may not be able
//! to get there (a project below root's home). The data then lie below `/var/lib/chronicle`, and `data.location` in the
//! data folder says where.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::account::Account;
use crate::error::Error;
use crate::folder::Folder;

const POINTER: &str = "data.location";
const ELSEWHERE: [&str; 2] = ["/var/lib/chronicle", "/var/tmp/chronicle"];

/// The place of the cluster (its parent exists, the cluster may not) and the user to run as.
pub(super) fn of_data(
    folder: &Folder,
    account: Option<Account>,
) -> Result<(PathBuf, Option<Account>), Error> {
    let Some(account) = account else {
        return Ok((folder.data(), None));
    };
    if let Some(data) = pointed_to(folder)? {
        return Ok((data, Some(account)));
    }
    let here = folder.data();
    if let Some(owner) = owner(&here).filter(|owner| owner.user_id != account.user_id) {
        // Made by an ordinary user, who can start it again if it stays theirs.
        return Ok((here, Some(owner)));
    }
    if account.can_reach(folder.path()) {
        return Ok((here, Some(account)));
    }
    let data = elsewhere(folder.path(), &account)?;
    let pointer = folder.path().join(POINTER);
    fs::write(&pointer, data.as_os_str().as_encoded_bytes())
        .map_err(Error::io("write", &pointer))?;
    Ok((data, Some(account)))
}

fn pointed_to(folder: &Folder) -> Result<Option<PathBuf>, Error> {
    let pointer = folder.path().join(POINTER);
    let text = match fs::read_to_string(&pointer) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", &pointer)(error)),
    };
    let data = PathBuf::from(text.trim_end_matches('\n'));
    // Gone data are not silently begun anew: the rest of the stack still has what was in them.
    fs::metadata(data.parent().unwrap_or(&data)).map_err(Error::io(
        "find the PostgreSQL data (delete the data folder that they belong to if they are lost for good) at",
        &data,
    ))?;
    Ok(Some(data))
}

/// The ordinary user who owns `data`.
fn owner(data: &Path) -> Option<Account> {
    let owner = fs::metadata(data).ok()?;
    (owner.uid() != 0).then(|| Account {
        name: format!("with id {}", owner.uid()),
        user_id: owner.uid(),
        group_id: owner.gid(),
    })
}

/// Prepares an empty folder that `account` owns and can reach, and returns the place for the cluster in it.
fn elsewhere(folder: &Path, account: &Account) -> Result<PathBuf, Error> {
    let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    let name = hex::encode(&digest[..8]);
    let mut last = None;
    for parent in ELSEWHERE.map(Path::new) {
        match prepare(parent, &name, account) {
            Ok(place) => {
                tracing::info!(
                    data = %place.display(),
                    "PostgreSQL runs as user {}, who cannot reach {}: its data lie elsewhere", account.name, folder.display()
                );
                return Ok(place.join("data"));
            }
            Err(error) => {
                last = Some(Error::io("prepare a folder for PostgreSQL in", parent)(
                    error,
                ));
            }
        }
    }
    Err(last.expect("there is more than one place to try"))
}

fn prepare(parent: &Path, name: &str, account: &Account) -> io::Result<PathBuf> {
    fs::create_dir_all(parent)?;
    if fs::metadata(parent)?.uid() != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the folder does not belong to root",
        ));
    }
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
    if !account.can_reach(parent) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("user {} cannot reach it", account.name),
        ));
    }
    let place = parent.join(name);
    if place.exists() {
        // Its data folder was deleted. What it had must not come back in a new one; the last such data are kept.
        let abandoned = parent.join(format!("{name}.abandoned"));
        if abandoned.exists() {
            fs::remove_dir_all(&abandoned)?;
        }
        fs::rename(&place, &abandoned)?;
        tracing::warn!(path = %abandoned.display(), "data of a deleted data folder put aside");
    }
    fs::create_dir(&place)?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o700))?;
    std::os::unix::fs::chown(&place, Some(account.user_id), Some(account.group_id))?;
    Ok(place)
}
