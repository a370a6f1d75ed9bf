//! Everything that can go wrong with a server, each with what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a server could not be found, fetched, started, asked or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No usable program, wherever it was looked for.
    #[error("no usable {program} found. Tried:{}\n{hint}", Listed(.tried))]
    NotFound {
        /// The program's name.
        program: &'static str,
        /// Each place with the reason why it did not do.
        tried: Vec<String>,
        /// What to do.
        hint: String,
    },
    /// The program that the user named does not do.
    #[error("{setting} names {}, which cannot be used: {reason}. Correct it, or unset it to have {program} found or fetched", path.display())]
    NamedProgram {
        /// The program's name.
        program: &'static str,
        /// The option or environment variable.
        setting: &'static str,
        /// What it names.
        path: PathBuf,
        /// Why it does not do.
        reason: String,
    },
    /// A file or folder could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Root has no user to run PostgreSQL as.
    #[error(
        "PostgreSQL refuses to run as root and this machine has neither a user postgres nor a user nobody. \
         Run as an ordinary user, or create one: useradd --system postgres"
    )]
    NoAccount,
    /// Another live process runs the server of this data folder.
    #[error("the data folder {} is in use by process {holder}. Stop that one, or use another data folder", folder.display())]
    FolderInUse {
        /// The data folder.
        folder: PathBuf,
        /// The pid of the other process, as it wrote it down.
        holder: String,
    },
    /// A port that was asked for is taken.
    #[error(
        "{program} cannot listen on 127.0.0.1:{port}: the port is in use by {holder}. Stop that, or ask for another port (0 picks a free one)"
    )]
    PortInUse {
        /// The program's name.
        program: &'static str,
        /// The port that was asked for.
        port: u16,
        /// Who listens there, as far as this user may see.
        holder: String,
    },
    /// The server ended, or gave no answer, while it was being started.
    #[error("{program} did not start in {}: {reason}. The end of its log {}:\n{log_tail}", folder.display(), log.display())]
    Start {
        /// The program's name.
        program: &'static str,
        /// Its data folder.
        folder: PathBuf,
        /// What was seen.
        reason: String,
        /// Its whole log.
        log: PathBuf,
        /// The last lines of the log.
        log_tail: String,
    },
    /// The database cluster could not be created.
    #[error("initdb could not create a PostgreSQL data folder at {}. It said:\n{output}", folder.display())]
    InitializeDatabase {
        /// Where.
        folder: PathBuf,
        /// All that initdb said.
        output: String,
    },
    /// A server left over from a killed process does not go away.
    #[error("process {pid}, a {program} left over in {} by a process that was killed, does not stop. Stop it by hand: kill -9 {pid}", folder.display())]
    Leftover {
        /// The program's name.
        program: &'static str,
        /// Its pid.
        pid: i32,
        /// Its data folder.
        folder: PathBuf,
    },
    /// A statement could not be run on a SQL server.
    #[error("{url}: {action} failed: {reason}")]
    Sql {
        /// The server, without a password.
        url: String,
        /// What was to be done.
        action: String,
        /// The server's reason, or the network's, and what to do.
        reason: String,
    },
    /// A URL that was given cannot be used.
    #[error("{setting} is not usable: {reason}")]
    Url {
        /// The option or environment variable.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// Whether the server ended because somebody else had a port of its own at that moment, be it only for that moment.
    /// In such words NATS, PostgreSQL and CockroachDB log what the operating system calls `EADDRINUSE`.
    pub(crate) fn tells_of_a_taken_port(&self) -> bool {
        matches!(self, Self::Start { log_tail, .. } if log_tail.to_lowercase().contains("address already in use"))
    }

    /// For `map_err`: adds to an error of the operating system what was tried on what.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Whether the same call may work a moment later without anyone mending anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::Sql { .. })
    }
}

/// A list of places, one a line.
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(formatter, " nothing");
        }
        self.0
            .iter()
            .try_for_each(|place| write!(formatter, "\n  - {place}"))
    }
}
