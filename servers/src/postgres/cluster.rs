//! A database cluster, as PostgreSQL calls its data folder: created by initdb, complete or not at all.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::OWNER;
use crate::account::Account;
use crate::error::Error;
use crate::process;

const INITIALIZE_LIMIT: Duration = Duration::from_mins(3);

/// Whether data must survive a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    Full,
    None,
}

/// The major version of the PostgreSQL that made the cluster; None when there is none.
pub(crate) fn major_version(data: &Path) -> Option<u32> {
    fs::read_to_string(data.join("PG_VERSION"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Creates a cluster at `data`, whose parent exists, owned and created by `account` if given.
pub(crate) fn initialize(
    programs: &Path,
    data: &Path,
    account: Option<&Account>,
    durability: Durability,
) -> Result<(), Error> {
    // Created beside it and renamed, so that a half-made one is never taken for a cluster.
    let unfinished = data.with_extension("unfinished");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &unfinished)(error));
        }
        _ => fs::create_dir(&unfinished).map_err(Error::io("create", &unfinished))?,
    }
    if let Some(account) = account {
        account.take_over(&unfinished)?;
    }
    let mut command = Command::new(programs.join("initdb"));
    command
        .arg("-D")
        .arg(&unfinished)
        .args(["--encoding=UTF8", "--locale=C", "--auth=trust"])
        .arg(format!("--username={OWNER}"));
    if durability == Durability::None {
        command.arg("--no-sync");
    }
    clean_environment(&mut command);
    let failed = |output: String| Error::InitializeDatabase {
        folder: data.to_owned(),
        output,
    };
    let finished = process::run(command, account, INITIALIZE_LIMIT)
        .map_err(|error| failed(error.to_string()))?;
    if !finished.success {
        let _ = fs::remove_dir_all(&unfinished);
        return Err(failed(finished.output));
    }
    match fs::remove_dir(data) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("replace", data)(error))
        }
        _ => fs::rename(&unfinished, data).map_err(Error::io("create", data)),
    }
}

/// Removes the variables by which a user's own PostgreSQL would change this one.
pub(crate) fn clean_environment(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
}
