//! A ledger to be measured from outside: servers of its own, an event store that the writer has filled, the feed made
//! from it, and `chronicle run`.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

pub(crate) mod book;
pub(crate) mod http;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use servers::testing::{Nats, Postgres};
use sinks::projection::NAMES;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection as _, Executor};
use store::EventStore;
use store::migrate::APPLICATION_ROLE;
use tokio::process::{Child, Command};

use self::http::Connection;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_mins(10);
/// With more events, `chronicle verify` would take longer than what is measured.
const EVENTS_VERIFIED_MAX: u64 = 100_000;

/// Servers with tables, and the program that is measured.
pub(crate) struct Stack {
    pub(crate) postgres: Postgres,
    pub(crate) nats: Nats,
    /// The event store, as its owner.
    event_store_owner: String,
    /// The event store, as the application's role.
    event_store: String,
    pub(crate) read_model: PgPool,
    read_model_url: String,
    folder: tempfile::TempDir,
    chronicle: PathBuf,
}

/// A `chronicle run` that is ready.
pub(crate) struct Run {
    child: Child,
    /// Where its API is.
    pub(crate) address: String,
    /// How long it took from its start until `/readyz` said so.
    pub(crate) ready_after: Duration,
}

impl Stack {
    /// Servers with empty tables, for this program.
    pub(crate) async fn start(chronicle: PathBuf) -> Self {
        let (postgres, nats) = (Postgres::start().await, Nats::start().await);
        let owner = postgres.fresh_database("event_store").await;
        store::migrate::migrate(&owner)
            .await
            .expect("the tables can be made");
        let read_model_url = postgres.fresh_database("read_model").await;
        sinks::read_model::migrate(&read_model_url)
            .await
            .expect("the tables can be made");
        let (_, place) = owner.split_once('@').expect("the owner has a name");
        Self {
            event_store: format!("postgres://{APPLICATION_ROLE}@{place}"),
            read_model: sinks::read_model::connect_lazy(&read_model_url, 2).expect("it is a URL"),
            read_model_url,
            event_store_owner: owner,
            folder: tempfile::tempdir().expect("a folder can be made"),
            postgres,
            nats,
            chronicle,
        }
    }

    /// The event store, as intake sees it.
    pub(crate) fn store(&self) -> EventStore {
        EventStore::connect_lazy(&self.event_store, &store::Options::default())
            .expect("it is a URL")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.chronicle);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("CHRONICLE_NATS_URL", self.nats.url())
            .env("CHRONICLE_EVENT_STORE_URL", &self.event_store)
            .env("CHRONICLE_READ_MODEL_URL", &self.read_model_url)
            // One client asks for all there is.
            .env("CHRONICLE_HTTP_RATE_MAX", "1000000")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a subcommand to its end, which must be a good one.
    pub(crate) async fn chronicle(&self, arguments: &[&str]) {
        let status = self.command(arguments).status().await;
        let status = status.expect("chronicle can be started");
        assert!(status.success(), "chronicle {arguments:?}: {status}");
    }

    /// Everything that is measured is a ledger in order; where it takes seconds to know, it is looked at.
    pub(crate) async fn verify_if_small(&self, events: u64) {
        if events <= EVENTS_VERIFIED_MAX {
            self.chronicle(&["verify"]).await;
            println!("\n`chronicle verify` was clean afterwards.");
        }
    }

    /// Makes the feed from the event store, and has the read models apply it. Both databases are left as they would be by
    /// the next autovacuum.
    pub(crate) async fn bring_in_step(&self, events: u64) {
        self.vacuum(&self.event_store_owner).await;
        self.chronicle(&["feed", "restore", "--replace"]).await;
        // What compares in the background would only slow it down.
        let run = self.run_with(&["--compare-rate", "0"]).await;
        let began = Instant::now();
        let last = i64::try_from(events).expect("there are fewer than 2^63");
        loop {
            let there: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM projection_offsets WHERE last_sequence >= $1",
            )
            .bind(last)
            .fetch_one(&self.read_model)
            .await
            .expect("the read model answers");
            if usize::try_from(there) == Ok(NAMES.len()) {
                break;
            }
            assert!(
                began.elapsed() < DEADLINE,
                "the read models do not catch up"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        run.stop().await;
        self.vacuum(&self.read_model_url).await;
    }

    async fn vacuum(&self, url: &str) {
        let mut connection = PgConnection::connect(url).await.expect("it is there");
        connection
            .execute("VACUUM (ANALYZE)")
            .await
            .expect("its owner may do it");
        connection.close().await.expect("it can be closed");
    }

    /// Starts `chronicle run` with all pipelines and the API, and waits until it is ready.
    pub(crate) async fn run(&self) -> Run {
        self.run_with(&[]).await
    }

    async fn run_with(&self, flags: &[&str]) -> Run {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
            listener.local_addr().expect("it is bound").port()
        };
        let address = format!("127.0.0.1:{port}");
        let began = Instant::now();
        let mut child = self
            .command(&["run", "--http", &address])
            .args(flags)
            .env("RUST_LOG", "error")
            .spawn()
            .expect("chronicle can be started");
        loop {
            if let Some(mut connection) = Connection::try_open(&address).await
                && connection.ask("GET", "/readyz", "").await.0 == 200
            {
                break;
            }
            let ended = child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "chronicle run has ended: {ended:?}");
            assert!(began.elapsed() < DEADLINE, "it does not become ready");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Run {
            child,
            address,
            ready_after: began.elapsed(),
        }
    }
}

impl Run {
    /// Asks it to end, and waits for it.
    pub(crate) async fn stop(mut self) {
        let pid = self.pid().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(told.expect("kill is there").success());
        let ended = self.child.wait().await.expect("it ends");
        assert!(ended.success(), "chronicle run: {ended}");
    }

    fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// How much memory it has now.
    pub(crate) fn resident_kb(&self) -> u64 {
        resident_kb(&self.pid().to_string())
    }
}

/// The release build of the program beside this benchmark.
pub(crate) fn release_build() -> PathBuf {
    let own = std::env::current_exe().expect("this program has a path");
    let release = own.parent().and_then(|deps| deps.parent());
    let binary = release
        .expect("it lies in target/release/deps")
        .join("chronicle");
    assert!(binary.exists(), "build it first: cargo build --release");
    binary
}

/// How much memory a process has, `self` being this one.
pub(crate) fn resident_kb(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.expect("there is a /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let number = number.expect("a process has memory").parse();
    number.expect("it is a number")
}
