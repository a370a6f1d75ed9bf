//! PostgreSQL, set up for development: on loopback only and without passwords.

pub(crate) mod cluster;
mod place;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::account::Account;
use crate::error::Error;
use crate::folder::Folder;
use crate::process_table::{self, parse_pid};
use crate::program::{Ports, Program, Terms};
use crate::server::{Server, off_thread};
use crate::wire::{Address, Connection};
use crate::{locate, process, sql};
pub(crate) use cluster::Durability;

/// The role that owns everything: a superuser.
pub const OWNER: &str = "chronicle_owner";
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// How to start PostgreSQL. `Options { port: 5432, ..Options::new(folder) }`
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder, created when missing. Root's data may lie elsewhere, see [`Server::data_folder`].
    pub folder: PathBuf,
    /// The folder of PostgreSQL's programs; None: see [`locate::postgres`].
    pub programs: Option<PathBuf>,
    /// The port; 0: the one of the last start if it is free, else any free one.
    pub port: u16,
    /// Whether a commit waits for the disk. Without, a crash of the machine may destroy the data.
    pub durable: bool,
    /// The most sessions at once.
    pub connections_max: u32,
    /// More settings, as in postgresql.conf.
    pub settings: Vec<(String, String)>,
    /// The data will be thrown away: the drop of the handle ends the server at once.
    pub throwaway: bool,
}

impl Options {
    /// The defaults, with the data in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            programs: None,
            port: 0,
            durable: true,
            connections_max: 200,
            settings: Vec::new(),
            throwaway: false,
        }
    }
}

/// A running PostgreSQL. See [`Server`] for what it can do besides.
pub type Postgres = Server<DatabaseServer>;

/// What is particular to PostgreSQL.
#[derive(Debug)]
pub struct DatabaseServer {
    programs: PathBuf,
    account: Option<Account>,
    data: PathBuf,
    options: Options,
}

impl Server<DatabaseServer> {
    /// Finds or fetches PostgreSQL, creates its data folder if there is none, starts it, and returns when it answers.
    pub async fn start(options: Options) -> Result<Self, Error> {
        off_thread(move || Self::start_here(options)).await
    }

    pub(crate) fn start_here(options: Options) -> Result<Self, Error> {
        let terms = Terms {
            folder: options.folder.clone(),
            port: options.port,
            http_port: 0,
            throwaway: options.throwaway,
            start_limit: Duration::from_mins(2),
            stop_limit: Duration::from_mins(1),
        };
        Self::start_blocking(terms, |folder| DatabaseServer::prepare(folder, options))
    }

    /// For clients of the database that always exists, as [`OWNER`].
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// For clients of `database`, as [`OWNER`].
    pub fn database_url(&self, database: &str) -> String {
        format!("postgres://{OWNER}@127.0.0.1:{}/{database}", self.port())
    }

    /// Creates a database unless it exists.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        let (url, name) = (self.url(), name.to_owned());
        off_thread(move || sql::create_database(&url, &name)).await
    }

    /// Where the data really lie: below the data folder unless root's other user cannot get there.
    pub fn data_folder(&self) -> &Path {
        &self.program().data
    }

    /// The folder of the programs in use: `psql`, `pg_dump` and so on.
    pub fn programs(&self) -> &Path {
        &self.program().programs
    }
}

impl DatabaseServer {
    fn prepare(folder: &Folder, options: Options) -> Result<Self, Error> {
        let (data, account) = place::of_data(folder, Account::for_postgres()?)?;
        let major = cluster::major_version(&data);
        let programs =
            locate::postgres_for(options.programs.as_deref(), major, account.as_ref())?.path;
        Ok(Self {
            programs,
            account,
            data,
            options,
        })
    }

    fn durability(&self) -> Durability {
        if self.options.durable {
            Durability::Full
        } else {
            Durability::None
        }
    }

    /// The pid in postmaster.pid, when there is such a file.
    fn recorded_pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        parse_pid(text.lines().next()?)
    }

    /// Whether `pid` is a postgres on this data folder, by its command line.
    fn is_ours(&self, pid: Pid) -> bool {
        let words = process_table::command_line(pid).unwrap_or_default();
        let is_postgres = words
            .first()
            .is_some_and(|word| Path::new(word).file_name() == Some("postgres".as_ref()));
        is_postgres && words.iter().any(|word| Path::new(word) == self.data)
    }
}

impl Program for DatabaseServer {
    const NAME: &'static str = "PostgreSQL";
    const HAS_HTTP: bool = false;
    /// "Fast shutdown": ends the sessions, writes a checkpoint.
    const STOP: Signal = Signal::INT;
    /// "Immediate shutdown": unlike SIGKILL it frees the shared memory.
    const ABANDON: Signal = Signal::QUIT;

    fn command(&self, _folder: &Path, ports: Ports) -> Result<Command, Error> {
        if cluster::major_version(&self.data).is_none() {
            cluster::initialize(
                &self.programs,
                &self.data,
                self.account.as_ref(),
                self.durability(),
            )?;
        }
        let mut command = Command::new(self.programs.join("postgres"));
        command.arg("-D").arg(&self.data);
        let port = ports.main.to_string();
        let connections_max = self.options.connections_max.to_string();
        let mut settings = vec![
            ("port", port.as_str()),
            ("listen_addresses", "127.0.0.1"),
            // A socket's path may have 107 bytes only; everything goes through TCP.
            ("unix_socket_directories", ""),
            ("max_connections", &connections_max),
            ("shared_buffers", "256MB"),
            ("max_wal_size", "2GB"),
            ("checkpoint_timeout", "15min"),
            ("wal_compression", "on"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
        ];
        if !self.options.durable {
            settings.extend([
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("full_page_writes", "off"),
            ]);
        }
        settings.extend(
            self.options
                .settings
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        for (name, value) in settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        cluster::clean_environment(&mut command);
        process::run_as(&mut command, self.account.as_ref());
        Ok(command)
    }

    fn probe(&self, _folder: &Path, ports: Ports) -> Result<(), String> {
        let address = Address {
            host: "127.0.0.1",
            port: ports.main,
            user: OWNER,
            database: "postgres",
        };
        let rows = Connection::open(&address, PROBE_LIMIT)
            .and_then(|mut connection| connection.query("SHOW data_directory"))
            .map_err(|error| format!("no answer on port {}: {error}", ports.main))?;
        let folder = rows
            .into_iter()
            .flatten()
            .next()
            .flatten()
            .unwrap_or_default();
        if Path::new(&folder) == self.data {
            Ok(())
        } else {
            Err(format!(
                "another server answers on port {}, on the data folder {folder}",
                ports.main
            ))
        }
    }

    fn unrecorded_leftover(&self, _folder: &Path) -> Result<Option<Pid>, Error> {
        let Some(pid) = self.recorded_pid() else {
            return Ok(None);
        };
        if self.is_ours(pid) {
            return Ok(Some(pid));
        }
        // The pid was given to somebody else, at whose sight PostgreSQL would refuse to start. The folder's lock is
        // held, and PostgreSQL has a second guard (its shared memory) against two servers on the same data.
        if process_table::is_alive(pid) || process_table::command_line(pid).is_some() {
            let path = self.data.join("postmaster.pid");
            fs::remove_file(&path).map_err(Error::io("remove the stale", &path))?;
        }
        Ok(None)
    }

    /// A killed PostgreSQL leaves a small piece of shared memory behind, which its next start would free.
    fn discard(&self) {
        let lines = fs::read_to_string(self.data.join("postmaster.pid")).unwrap_or_default();
        // The seventh line holds its key and its id.
        let segment = lines
            .lines()
            .nth(6)
            .and_then(|line| line.split_whitespace().nth(1));
        if let Some(segment) = segment {
            let mut command = Command::new("ipcrm");
            command.args(["-m", segment]);
            let _ = process::run(command, None, PROBE_LIMIT);
        }
    }
}
