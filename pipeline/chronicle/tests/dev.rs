//! `chronicle dev`: a whole stack in a folder, which cleans up after itself however it ends.

mod support;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use servers::testing;
use support::{DEADLINE, eventually, text};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// A folder to run a stack in.
struct Place {
    folder: tempfile::TempDir,
    /// Where the event store is, when it is not to be the stack's own.
    event_store: Option<String>,
}

impl Place {
    /// The event store is where `CHRONICLE_TEST_EVENT_STORE_URL` says, if it says so.
    async fn new() -> Self {
        let event_store = match std::env::var(testing::EVENT_STORE_VARIABLE) {
            Ok(url) if !url.is_empty() => Some(testing::event_store_url("dev").await),
            _ => None,
        };
        Self {
            folder: tempfile::tempdir().expect("a folder can be made"),
            event_store,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A `chronicle` in this folder that knows nothing but the folder.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chronicle"));
        command
            .current_dir(self.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CHRONICLE_")) {
            command.env_remove(name);
        }
        command
    }

    /// Starts a stack and does not wait.
    fn start(&self, flags: &[&str]) -> Dev {
        let log = self.path().join("dev.log");
        let file = std::fs::File::create(&log).expect("the log can be made");
        let mut command = self.command();
        command
            .arg("dev")
            .args(flags)
            .stdout(Stdio::null())
            .stderr(file);
        if let Some(url) = &self.event_store {
            command.args(["--event-store-url", url]);
        }
        let child = command.spawn().expect("chronicle can be started");
        Dev { child, log }
    }

    /// Starts a stack and waits until it is ready.
    async fn running(&self) -> Dev {
        let mut dev = self.start(&[]);
        self.until_ready(&mut dev).await;
        dev
    }

    async fn until_ready(&self, dev: &mut Dev) {
        let started = Instant::now();
        while !self.chronicle(&["status"]).await.status.success() {
            let ended = dev.child.try_wait().expect("it can be asked");
            assert!(
                ended.is_none() && started.elapsed() < DEADLINE,
                "not ready ({ended:?})\n{}",
                dev.log()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs a subcommand to its end.
    async fn chronicle(&self, arguments: &[&str]) -> Output {
        let run = self.command().args(arguments).output();
        tokio::time::timeout(DEADLINE, run)
            .await
            .expect("it ends")
            .expect("chronicle can be started")
    }

    /// Runs a subcommand that must succeed, and reads what it answers as JSON.
    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.chronicle(&[&["-o", "json"], arguments].concat()).await;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(
            output.status.success(),
            "chronicle {arguments:?}\n{out}\n{err}"
        );
        serde_json::from_str(&out)
            .unwrap_or_else(|error| panic!("chronicle {arguments:?}: {error}\n{out}\n{err}"))
    }

    /// Opens ALICE with 100.00.
    async fn open_alice(&self) {
        let flags = [
            "--owner-name",
            "Alice",
            "--currency",
            "USD",
            "--initial-balance",
            "100",
        ];
        let opened = self
            .json(&[&["send", "create-account", "ALICE"], &flags[..]].concat())
            .await;
        assert_eq!(opened["status"], "accepted", "{opened}");
    }

    async fn balance_of_alice(&self) -> Value {
        self.json(&["account", "ALICE"]).await["balance"].clone()
    }
}

/// A `chronicle dev` that was started.
struct Dev {
    child: Child,
    log: PathBuf,
}

impl Dev {
    fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn signal(&self, name: &str) {
        signal(self.id(), name);
    }

    async fn ended(&mut self) -> Option<i32> {
        tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("it does not end\n{}", self.log()))
            .expect("it can be waited for")
            .code()
    }

    /// Its servers with all their processes, by id and name.
    fn servers(&self) -> Vec<(u32, String)> {
        descendants(self.id())
    }

    /// One of them by name.
    fn server(&self, name: &str) -> u32 {
        let servers = self.servers();
        let found = servers.iter().find(|(_, found)| found == name);
        found
            .unwrap_or_else(|| panic!("no {name} runs: {servers:?}"))
            .0
    }
}

fn signal(pid: u32, name: &str) {
    let told = std::process::Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status();
    assert!(told.expect("kill is there").success());
}

/// The parent and the name of a process; `None` when it is gone or only waits to be buried.
fn process(pid: u32) -> Option<(u32, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // "pid (name) state parent …", and a name may hold anything.
    let (head, tail) = stat.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z" && state != "X").then_some((parent, name))
}

fn descendants(of: u32) -> Vec<(u32, String)> {
    let pids = std::fs::read_dir("/proc")
        .expect("there is a /proc")
        .flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: Vec<(u32, u32, String)> = pids
        .filter_map(|pid| process(pid).map(|(parent, name)| (pid, parent, name)))
        .collect();
    let mut found: Vec<(u32, String)> = Vec::new();
    let mut parents = vec![of];
    while let Some(parent) = parents.pop() {
        for (pid, _, name) in all
            .iter()
            .filter(|(_, its_parent, _)| *its_parent == parent)
        {
            parents.push(*pid);
            found.push((*pid, name.clone()));
        }
    }
    found
}

/// Waits until all of these processes are gone.
async fn until_gone(servers: &[(u32, String)]) {
    assert!(
        servers.len() >= 2,
        "a stack has at least a nats-server and a postgres: {servers:?}"
    );
    eventually(&format!("{servers:?} to be gone"), || async {
        servers
            .iter()
            .all(|(pid, name)| process(*pid).is_none_or(|(_, found)| found != *name))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_everything_is_and_other_calls_find_it_without_flags() {
    let place = Place::new().await;
    let mut dev = place.running().await;
    let status = place.json(&["status"]).await;
    assert_eq!(status["pid"], dev.id(), "{status}");
    assert_eq!(status["ready"], true, "{status}");
    for (name, scheme) in [
        ("nats", "nats://127.0.0.1:"),
        ("event_store", "postgres"),
        ("read_model", "postgres"),
        ("http", "http://127.0.0.1:"),
    ] {
        assert!(
            status[name]
                .as_str()
                .is_some_and(|url| url.starts_with(scheme)),
            "{name}: {status}"
        );
    }
    let folder = place
        .path()
        .canonicalize()
        .expect("it is there")
        .join(".chronicle");
    assert_eq!(status["data_dir"].as_str(), folder.to_str(), "{status}");

    place.open_alice().await;
    let withdrawn = place.json(&["send", "withdraw", "ALICE", "30"]).await;
    assert_eq!(withdrawn["status"], "accepted", "{withdrawn}");
    assert_eq!(place.balance_of_alice().await, "70.00");
    let verified = place.chronicle(&["verify"]).await;
    assert!(
        verified.status.success(),
        "{}\n{}",
        text(&verified.stdout),
        text(&verified.stderr)
    );

    // One stack per folder.
    let second = place.chronicle(&["dev"]).await;
    assert_eq!(second.status.code(), Some(2), "{}", text(&second.stderr));
    assert!(
        text(&second.stderr).contains("a stack runs in"),
        "{}",
        text(&second.stderr)
    );
    assert_eq!(place.balance_of_alice().await, "70.00");

    dev.signal("TERM");
    assert_eq!(dev.ended().await, Some(0), "{}", dev.log());
    let none = place.chronicle(&["status"]).await;
    assert_eq!(none.status.code(), Some(1), "{}", text(&none.stderr));
    assert!(
        text(&none.stderr).contains("no stack runs in"),
        "{}",
        text(&none.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_leaves_no_process_and_a_second_start_has_the_data() {
    let place = Place::new().await;
    for (round, how) in ["TERM", "INT"].into_iter().enumerate() {
        let mut dev = place.running().await;
        if round == 0 {
            place.open_alice().await;
        } else {
            assert_eq!(place.balance_of_alice().await, "100.00");
        }
        let servers = dev.servers();
        dev.signal(how);
        assert_eq!(dev.ended().await, Some(0), "{}", dev.log());
        until_gone(&servers).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_it_leaves_no_process_and_starts_again_with_the_data() {
    let place = Place::new().await;
    let mut dev = place.running().await;
    place.open_alice().await;
    let servers = dev.servers();
    dev.signal("KILL");
    assert_eq!(dev.ended().await, None);
    until_gone(&servers).await;
    let none = place.chronicle(&["status"]).await;
    assert_eq!(none.status.code(), Some(1), "{}", text(&none.stderr));

    let mut dev = place.running().await;
    assert_eq!(place.balance_of_alice().await, "100.00");
    let deposited = place.json(&["send", "deposit", "ALICE", "1"]).await;
    assert_eq!(deposited["status"], "accepted", "{deposited}");
    let verified = place.chronicle(&["verify"]).await;
    assert!(
        verified.status.success(),
        "{}\n{}",
        text(&verified.stdout),
        text(&verified.stderr)
    );
    dev.signal("TERM");
    assert_eq!(dev.ended().await, Some(0), "{}", dev.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_while_it_starts_it_leaves_no_process() {
    let place = Place::new().await;
    for name in ["nats-server", "postgres"] {
        let mut dev = place.start(&[]);
        eventually(&format!("{name} to be started"), || async {
            dev.servers().iter().any(|(_, found)| found == name)
        })
        .await;
        let servers = dev.servers();
        dev.signal("TERM");
        assert_eq!(dev.ended().await, Some(0), "{}", dev.log());
        eventually("all to be gone", || async {
            servers.iter().all(|(pid, _)| process(*pid).is_none())
        })
        .await;
    }
    // And it was no harm to the folder.
    let mut dev = place.running().await;
    place.open_alice().await;
    dev.signal("TERM");
    assert_eq!(dev.ended().await, Some(0), "{}", dev.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_in_use_is_a_clear_error() {
    let place = Place::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    for flag in ["--nats-port", "--postgres-port", "--http-port"] {
        let mut dev = place.start(&[flag, &port]);
        assert_eq!(dev.ended().await, Some(3), "{flag}\n{}", dev.log());
        let log = dev.log();
        let said = log.lines().last().unwrap_or_default();
        assert!(
            said.starts_with("chronicle: ") && said.contains(&port),
            "{flag}: {log}"
        );
        eventually("its servers to be gone", || async {
            left_in(place.path()).is_empty()
        })
        .await;
    }
}

/// Processes that work in a folder.
fn left_in(folder: &Path) -> Vec<u32> {
    let folder = folder.canonicalize().expect("it is there");
    let pids = std::fs::read_dir("/proc")
        .expect("there is a /proc")
        .flatten();
    pids.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let works_in = std::fs::read_link(entry.path().join("cwd")).ok()?;
        works_in.starts_with(&folder).then_some(pid)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_is_started_again() {
    let place = Place::new().await;
    let mut dev = place.running().await;
    place.open_alice().await;
    for (round, name) in (1..).zip(["nats-server", "postgres", "nats-server"]) {
        let before = dev.server(name);
        signal(before, "KILL");
        eventually(&format!("{name} to be started again"), || async {
            dev.servers()
                .iter()
                .any(|(pid, found)| found == name && *pid != before)
                && process(before).is_none()
        })
        .await;
        place.until_ready(&mut dev).await;
        let deposited = place.json(&["send", "deposit", "ALICE", "1"]).await;
        assert_eq!(deposited["status"], "accepted", "{deposited}");
        assert_eq!(
            place.balance_of_alice().await,
            format!("{}.00", 100 + round)
        );
    }
    let verified = place.chronicle(&["verify"]).await;
    assert!(
        verified.status.success(),
        "{}\n{}",
        text(&verified.stdout),
        text(&verified.stderr)
    );
    let servers = dev.servers();
    dev.signal("TERM");
    assert_eq!(dev.ended().await, Some(0), "{}", dev.log());
    until_gone(&servers).await;
}
