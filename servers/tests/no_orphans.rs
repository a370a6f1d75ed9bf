//! However a process ends, the servers that it started end too, and their folders start again.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod actor;

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use actor::{Actor, eventually, is_alive, say};
use servers::{NatsServer, Postgres, nats, postgres, testing};

const FOLDER: &str = "CHRONICLE_TEST_ACTOR_FOLDER";

#[tokio::test]
#[ignore = "played by the other tests, as a process of its own"]
async fn actor() {
    match actor::part().as_deref() {
        Some("own servers") => own_servers().await,
        Some("servers of a test") => servers_of_a_test().await,
        _ => {}
    }
}

/// Starts both servers in a folder and waits to be killed.
async fn own_servers() {
    let folder = std::path::PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let nats = NatsServer::start(nats::Options::new(folder.join("nats")))
        .await
        .unwrap();
    let postgres = Postgres::start(postgres::Options::new(folder.join("postgres")))
        .await
        .unwrap();
    postgres.create_database("kept").await.unwrap();
    say(nats.pid());
    say(postgres.pid());
    std::future::pending::<()>().await;
}

async fn servers_of_a_test() {
    let nats = testing::Nats::start().await;
    let postgres = testing::Postgres::start().await;
    say(nats.pid());
    say(postgres.pid());
    say(postgres.folder().display());
    std::future::pending::<()>().await;
}

fn owner_of(folder: &Path) -> Command {
    let mut command = actor::playing("own servers");
    command.env(FOLDER, folder);
    command
}

fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    // Root's PostgreSQL runs as another user, who must get here.
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    folder
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn servers_die_with_a_killed_process_and_their_folders_start_again() {
    let folder = open_folder();
    let mut owner = Actor::start(owner_of(folder.path()));
    let servers = [owner.hear_number(), owner.hear_number()];
    assert!(servers.iter().all(|pid| is_alive(*pid)));

    owner.kill();

    eventually("the servers are gone", || {
        !servers.iter().any(|pid| is_alive(*pid))
    });
    let mut next = Actor::start(owner_of(folder.path()));
    let new_servers = [next.hear_number(), next.hear_number()];
    assert!(new_servers.iter().all(|pid| is_alive(*pid)));
    next.kill();
    eventually("the new ones are gone", || {
        !new_servers.iter().any(|pid| is_alive(*pid))
    });
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn servers_of_a_killed_test_are_gone_and_the_next_test_process_removes_their_folder() {
    let mut owner = Actor::start(actor::playing("servers of a test"));
    let servers = [owner.hear_number(), owner.hear_number()];
    let folder = std::path::PathBuf::from(owner.hear());
    assert!(folder.exists());

    owner.kill();

    eventually("the servers are gone", || {
        !servers.iter().any(|pid| is_alive(*pid))
    });
    assert!(folder.exists(), "nobody was left to remove it");
    let mut next = Actor::start(actor::playing("servers of a test"));
    next.hear_number();
    eventually("the folder is removed", || !folder.exists());
}

/// What happens where no signal comes with the death of a parent.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_nats_server_that_outlived_its_starter_is_stopped_by_the_next_start() {
    let folder = open_folder();
    let nats = NatsServer::start(nats::Options::new(folder.path()))
        .await
        .unwrap();
    nats.stop().await;
    drop(nats);
    let binary = servers::locate::nats_server(None).unwrap().path;
    let mut command = Command::new(binary);
    command.arg("--config").arg(folder.path().join("nats.conf"));
    let mut outlived = command.stderr(Stdio::null()).spawn().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", outlived.id())).unwrap();
    let started = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(19)
        .unwrap();
    std::fs::write(
        folder.path().join("server.pid"),
        format!("{}\n{started}\n", outlived.id()),
    )
    .unwrap();

    let next = NatsServer::start(nats::Options::new(folder.path()))
        .await
        .unwrap();

    assert!(
        outlived.try_wait().unwrap().is_some(),
        "two servers on one store"
    );
    assert_eq!(next.ended(), None);
}

/// As above; PostgreSQL's own pid file tells of it.
#[tokio::test]
async fn a_postgres_that_outlived_its_starter_is_stopped_by_the_next_start() {
    let folder = open_folder();
    let postgres = Postgres::start(postgres::Options::new(folder.path()))
        .await
        .unwrap();
    postgres.stop().await;
    let (programs, data) = (
        postgres.programs().to_owned(),
        postgres.data_folder().to_owned(),
    );
    drop(postgres);
    let owner = std::fs::metadata(&data).unwrap();
    let mut command = Command::new(programs.join("postgres"));
    command.arg("-D").arg(&data).args([
        "-c",
        "listen_addresses=",
        "-c",
        "unix_socket_directories=",
    ]);
    command.uid(owner.uid()).gid(owner.gid()).current_dir("/");
    let mut outlived = command.stderr(Stdio::null()).spawn().unwrap();
    eventually("it has started", || data.join("postmaster.pid").exists());

    let next = Postgres::start(postgres::Options::new(folder.path()))
        .await
        .unwrap();

    assert!(
        outlived.try_wait().unwrap().is_some(),
        "two servers on one store"
    );
    assert_eq!(next.ended(), None);
}
