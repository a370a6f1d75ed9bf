//! CockroachDB as one insecure node, for development and tests on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::error::Error;
use crate::http;
use crate::locate;
use crate::program::{Ports, Program, Terms};
use crate::server::{Server, off_thread};
use crate::sql;
use crate::wire::{Address, Connection};

const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// How to start CockroachDB. `Options { port: 26257, ..Options::new(folder) }`
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder, created when missing.
    pub folder: PathBuf,
    /// The program; None: see [`locate::cockroach`].
    pub binary: Option<PathBuf>,
    /// The SQL port; 0: the one of the last start if it is free, else any free one.
    pub port: u16,
    /// The port of the console and of the health check; 0 as for `port`.
    pub http_port: u16,
    /// The data will be thrown away: the drop of the handle kills the server.
    pub throwaway: bool,
}

impl Options {
    /// The defaults, with the data in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            binary: None,
            port: 0,
            http_port: 0,
            throwaway: false,
        }
    }
}

/// A running CockroachDB. See [`Server`] for what it can do besides.
pub type Cockroach = Server<SingleNode>;

/// What is particular to CockroachDB.
#[derive(Debug)]
pub struct SingleNode {
    binary: PathBuf,
}

impl Server<SingleNode> {
    /// Finds cockroach, starts it, and returns when it answers queries.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let terms = Terms {
            folder: options.folder,
            port: options.port,
            http_port: options.http_port,
            throwaway: options.throwaway,
            start_limit: Duration::from_mins(2),
            stop_limit: Duration::from_mins(1),
        };
        off_thread(move || {
            Self::start_blocking(terms, |_| {
                Ok(SingleNode {
                    binary: locate::cockroach(options.binary.as_deref())?.path,
                })
            })
        })
        .await
    }

    /// For clients of the database that always exists.
    pub fn url(&self) -> String {
        self.database_url("defaultdb")
    }

    /// For clients of `database`.
    pub fn database_url(&self, database: &str) -> String {
        format!(
            "postgres://root@127.0.0.1:{}/{database}?sslmode=disable",
            self.port()
        )
    }

    /// The console.
    pub fn console_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports().http)
    }

    /// Creates a database unless it exists.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        let (url, name) = (self.url(), name.to_owned());
        off_thread(move || sql::create_database(&url, &name)).await
    }
}

impl Program for SingleNode {
    const NAME: &'static str = "cockroach";
    const HAS_HTTP: bool = true;
    const STOP: Signal = Signal::TERM;
    const ABANDON: Signal = Signal::KILL;

    fn command(&self, folder: &Path, ports: Ports) -> Result<Command, Error> {
        let mut store = std::ffi::OsString::from("--store=");
        store.push(folder.join("data"));
        let mut command = Command::new(&self.binary);
        command
            .args(["start-single-node", "--insecure"])
            .arg(format!("--listen-addr=127.0.0.1:{}", ports.main))
            .arg(format!("--http-addr=127.0.0.1:{}", ports.http))
            .arg(store)
            .args(["--cache=256MiB", "--max-sql-memory=256MiB"])
            .env("COCKROACH_SKIP_ENABLING_DIAGNOSTIC_REPORTING", "true")
            .current_dir(folder);
        Ok(command)
    }

    fn probe(&self, _folder: &Path, ports: Ports) -> Result<(), String> {
        http::expect_ok(ports.http, "/health?ready=1")?;
        let address = Address {
            host: "127.0.0.1",
            port: ports.main,
            user: "root",
            database: "defaultdb",
        };
        Connection::open(&address, PROBE_LIMIT)
            .and_then(|mut connection| connection.query("SELECT 1"))
            .map(|_| ())
            .map_err(|error| format!("no answer on the SQL port: {error}"))
    }
}
