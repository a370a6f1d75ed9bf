//! nats-server with JetStream.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::http;
use crate::locate;
use crate::program::{Ports, Program, Terms};
use crate::server::{Server, off_thread};

const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// Where JetStream keeps its files, in the data folder.
const STORE: &str = "data";
/// More than the streams may take together: their own limits bound them. Without this line the server takes three quarters
/// of what is free on the disk at its start, and on a fairly full one refuses streams that would never grow to their limits.
const FILE_STORE_MAX: &str = "64GB";

/// How to start nats-server. `Options { port: 4222, ..Options::new(folder) }`
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder, created when missing.
    pub folder: PathBuf,
    /// The program; None: see [`locate::nats_server`].
    pub binary: Option<PathBuf>,
    /// The clients' port; 0: the one of the last start if it is free, else any free one.
    pub port: u16,
    /// The HTTP monitoring port; 0 as for `port`.
    pub monitoring_port: u16,
    /// The longest message, in bytes.
    pub payload_bytes_max: u32,
    /// How often JetStream syncs its files to disk; None: the server's own default (every two minutes).
    pub sync_interval: Option<SyncInterval>,
    /// More lines for the configuration file.
    pub configuration: String,
    /// The data will be thrown away: the drop of the handle kills the server.
    pub throwaway: bool,
}

/// How often JetStream syncs its files to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncInterval {
    /// Before each acknowledgement.
    Always,
    /// After this time.
    Every(Duration),
}

impl Options {
    /// The defaults, with the data in `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            binary: None,
            port: 0,
            monitoring_port: 0,
            payload_bytes_max: 1024 * 1024,
            sync_interval: None,
            configuration: String::new(),
            throwaway: false,
        }
    }
}

/// A running nats-server. See [`Server`] for what it can do besides.
pub type NatsServer = Server<Nats>;

/// What is particular to nats-server.
#[derive(Debug)]
pub struct Nats {
    binary: PathBuf,
    options: Options,
}

impl Server<Nats> {
    /// Finds or fetches nats-server, starts it, and returns when JetStream is ready.
    pub async fn start(options: Options) -> Result<Self, Error> {
        off_thread(move || Self::start_here(options)).await
    }

    pub(crate) fn start_here(options: Options) -> Result<Self, Error> {
        let terms = Terms {
            folder: options.folder.clone(),
            port: options.port,
            http_port: options.monitoring_port,
            throwaway: options.throwaway,
            start_limit: Duration::from_mins(1),
            stop_limit: Duration::from_secs(15),
        };
        Self::start_blocking(terms, |_| {
            let binary = locate::nats_server(options.binary.as_deref())?.path;
            Ok(Nats { binary, options })
        })
    }

    /// For clients.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port())
    }

    /// The server's own pages about itself.
    pub fn monitoring_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports().http)
    }
}

impl Program for Nats {
    const NAME: &'static str = "nats-server";
    const HAS_HTTP: bool = true;
    const STOP: Signal = Signal::TERM;
    const ABANDON: Signal = Signal::KILL;

    fn command(&self, folder: &Path, ports: Ports) -> Result<Command, Error> {
        remove_leftovers(&folder.join(STORE).join("jetstream"))?;
        let path = folder.join("nats.conf");
        fs::write(&path, self.configuration(folder, ports)).map_err(Error::io("write", &path))?;
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&path).current_dir(folder);
        Ok(command)
    }

    fn probe(&self, folder: &Path, ports: Ports) -> Result<(), String> {
        let greeting = greeting(ports.main)
            .map_err(|error| format!("no greeting on port {}: {error}", ports.main))?;
        if !greeting.starts_with("INFO ")
            || !greeting.contains(&format!("\"{}\"", server_name(folder)))
        {
            return Err(format!(
                "another server answers on port {}: {greeting}",
                ports.main
            ));
        }
        if !greeting.contains("\"jetstream\":true") {
            return Err("JetStream is not enabled yet".to_owned());
        }
        http::expect_ok(ports.http, "/healthz")
    }
}

impl Nats {
    fn configuration(&self, folder: &Path, ports: Ports) -> String {
        let sync_interval = match self.options.sync_interval {
            None => String::new(),
            Some(SyncInterval::Always) => "\n  sync_interval: \"always\"".to_owned(),
            Some(SyncInterval::Every(interval)) => {
                format!("\n  sync_interval: \"{}ms\"", interval.as_millis())
            }
        };
        format!(
            r#"# Written at each start; changes are lost.
server_name: {name}
host: "127.0.0.1"
port: {port}
http: "127.0.0.1:{http}"
max_payload: {payload_bytes_max}
jetstream {{
  store_dir: {store}
  max_file_store: {FILE_STORE_MAX}{sync_interval}
}}
{more}"#,
            name = in_quotes(&server_name(folder)),
            port = ports.main,
            http = ports.http,
            payload_bytes_max = self.options.payload_bytes_max,
            store = in_quotes(&folder.join(STORE).to_string_lossy()),
            more = self.options.configuration,
        )
    }
}

/// At its start the server tries whether it can write, in a folder `_test_…` of its own, and takes every folder that it finds
/// for an account: one that was killed during that trial would never become healthy again.
fn remove_leftovers(accounts: &Path) -> Result<(), Error> {
    // What else is wrong with the folder, the server itself says best.
    let Ok(entries) = fs::read_dir(accounts) else {
        return Ok(());
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("read", accounts))?;
        if entry.file_name().as_encoded_bytes().starts_with(b"_test_") {
            let path = entry.path();
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// The same for each start of one folder and different from folder to folder: tells that the right server answers.
fn server_name(folder: &Path) -> String {
    let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    format!("chronicle-{}", hex::encode(&digest[..4]))
}

/// The first line that a server sends.
fn greeting(port: u16) -> std::io::Result<String> {
    let stream =
        TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PROBE_LIMIT)?;
    stream.set_read_timeout(Some(PROBE_LIMIT))?;
    let mut line = String::new();
    BufReader::new(std::io::Read::take(stream, 64 * 1024)).read_line(&mut line)?;
    Ok(line)
}

/// A string of the configuration file, which knows the escapes of JSON.
fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
