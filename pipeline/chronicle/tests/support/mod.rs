//! A ledger for one test: its own NATS, its own databases, and `chronicle` processes that the test can start, kill and
//! ask. Everything is gone with it.

// Each test file uses its own part of this.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::missing_panics_doc,
    clippy::print_stdout
)]

pub mod books;
pub mod http;
pub mod publisher;
pub mod random;
pub mod raw;
pub mod state;
pub mod workload;

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use servers::testing;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use transport::Nats;

/// How long anything may take before the test fails.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// The servers of one test.
pub struct Ledger {
    pub nats: testing::Nats,
    /// The event store, as its owner.
    pub event_store_owner: String,
    /// The event store, as the application's role.
    pub event_store: String,
    pub read_model: String,
    pub folder: tempfile::TempDir,
    /// What every process finds in its environment, besides where the servers are.
    pub environment: Vec<(&'static str, &'static str)>,
}

impl Ledger {
    /// Servers with tables, and no process yet.
    pub async fn new() -> Self {
        Self::on(testing::event_store_url("event_store").await).await
    }

    /// The same with this event store.
    pub async fn on(event_store_owner: String) -> Self {
        let read_model = testing::postgres().await.fresh_database("read_model").await;
        Self::over(event_store_owner, read_model).await
    }

    /// The same with these databases.
    pub async fn over(event_store_owner: String, read_model: String) -> Self {
        let nats = testing::Nats::start().await;
        let ledger = Self {
            event_store: as_application(&event_store_owner),
            nats,
            event_store_owner,
            read_model,
            folder: tempfile::tempdir().expect("a folder can be made"),
            environment: Vec::new(),
        };
        let migrated = ledger
            .chronicle(&[
                "migrate",
                "--event-store-owner-url",
                &ledger.event_store_owner,
            ])
            .await;
        assert!(migrated.status.success(), "{}", text(&migrated.stderr));
        ledger
    }

    /// Servers, and one process with all pipelines, ready.
    pub async fn running() -> (Self, Process) {
        let ledger = Self::new().await;
        let process = ledger.run(&[], &[]).await;
        (ledger, process)
    }

    /// A `chronicle` that knows this ledger's servers.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chronicle"));
        command
            .current_dir(self.folder.path())
            .env("CHRONICLE_NATS_URL", self.nats.url())
            .env("CHRONICLE_EVENT_STORE_URL", &self.event_store)
            .env("CHRONICLE_READ_MODEL_URL", &self.read_model)
            .env_remove("CHRONICLE_FAULT")
            .env_remove("RUST_LOG")
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a subcommand to its end.
    pub async fn chronicle(&self, arguments: &[&str]) -> Output {
        let run = self.command().args(arguments).output();
        tokio::time::timeout(DEADLINE, run)
            .await
            .unwrap_or_else(|_| panic!("chronicle {arguments:?} did not end"))
            .expect("chronicle can be started")
    }

    /// Runs a subcommand with `-o json` and reads its one document; the exit code must be `code`.
    pub async fn json(&self, arguments: &[&str], code: i32) -> Value {
        let output = self.chronicle(&[&["-o", "json"], arguments].concat()).await;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(code),
            "chronicle {arguments:?}\n{out}\n{err}"
        );
        serde_json::from_str(&out)
            .unwrap_or_else(|error| panic!("chronicle {arguments:?}: {error}\n{out}\n{err}"))
    }

    /// Starts `chronicle run` with these flags and environment variables and waits until it is ready.
    pub async fn run(&self, flags: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut process = self.start(flags, environment).await;
        process.until_ready().await;
        process
    }

    /// Starts `chronicle run` and does not wait.
    #[allow(clippy::unused_async)] // like `run`
    pub async fn start(&self, flags: &[&str], environment: &[(&str, &str)]) -> Process {
        // The port is free now; if somebody takes it in between, the process says so and the test fails.
        let port = {
            let listener =
                std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
            listener.local_addr().expect("it is bound").port()
        };
        let address = format!("127.0.0.1:{port}");
        let log = self.folder.path().join(format!("run-{port}.log"));
        let file = std::fs::File::create(&log).expect("the log can be made");
        let child = self
            .command()
            .args(["run", "--http", &address])
            .args(flags)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("chronicle can be started");
        Process {
            child,
            address,
            log,
        }
    }

    /// Checks every invariant; the test fails with what is violated.
    pub async fn verify(&self) {
        let output = self.chronicle(&["verify"]).await;
        assert!(
            output.status.success(),
            "chronicle verify\n{}\n{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }

    /// A NATS connection of the test's own.
    pub async fn connect(&self) -> Nats {
        Nats::connect(&self.nats.url()).await.expect("NATS runs")
    }

    /// The read model, to look into.
    pub async fn read_model(&self) -> PgPool {
        pool(&self.read_model).await
    }

    /// The event store, as its owner.
    pub async fn event_store(&self) -> PgPool {
        pool(&self.event_store_owner).await
    }
}

async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(2)
        .connect(url)
        .await
        .expect("the database runs")
}

/// A running `chronicle`.
pub struct Process {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Process {
    /// Waits until `/readyz` says yes.
    pub async fn until_ready(&mut self) {
        let started = Instant::now();
        loop {
            if let Some((200, _)) = self.readyz().await {
                return;
            }
            let ended = self.child.try_wait().expect("the process can be asked");
            assert!(
                ended.is_none() && started.elapsed() < DEADLINE,
                "chronicle run did not become ready ({ended:?})\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The status code and the document of `/readyz`; `None` when nobody answers.
    pub async fn readyz(&self) -> Option<(u16, Value)> {
        let (head, body) = self.get("/readyz").await?;
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, serde_json::from_str(&body).ok()?))
    }

    /// The head and the body of the answer to a GET; `None` when nobody answers.
    pub async fn get(&self, path: &str) -> Option<(String, String)> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut connection = tokio::net::TcpStream::connect(&self.address).await.ok()?;
        let question = format!("GET {path} HTTP/1.0\r\n\r\n");
        connection.write_all(question.as_bytes()).await.ok()?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.to_owned(), body.to_owned()))
    }

    /// Where it serves its HTTP API.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A client of its HTTP API.
    pub fn http(&self) -> http::Client {
        http::Client::new(&self.address)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the log contains `words`.
    pub async fn until_logged(&self, words: &str) {
        eventually(&format!("the log to say {words:?}"), || async {
            self.log().contains(words)
        })
        .await;
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("the process runs")
    }

    /// Sends a signal, e.g. `STOP`.
    pub fn signal(&self, name: &str) {
        let told = std::process::Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.id().to_string())
            .status();
        assert!(told.expect("kill is there").success());
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the process can be killed");
    }

    /// SIGTERM, and waits for the end; answers with the exit code.
    pub async fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.ended().await
    }

    /// Waits until the process ends by itself; answers with the exit code (`None` = killed by a signal).
    pub async fn ended(&mut self) -> Option<i32> {
        tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("the process did not end\n{}", self.log()))
            .expect("the process can be waited for")
            .code()
    }
}

/// Waits until `condition` holds; the test fails when it does not within the deadline.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < DEADLINE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of the folder `examples/`.
pub fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
}

/// The owner's URL with the application's role in it.
fn as_application(owner_url: &str) -> String {
    let (scheme, rest) = owner_url.split_once("://").expect("a URL has a scheme");
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    format!("{scheme}://{}@{host}", store::migrate::APPLICATION_ROLE)
}
