//! Root lends PostgreSQL another user; an ordinary user runs it as themselves.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod actor;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use actor::say;
use servers::{NatsServer, Postgres, locate, nats, postgres};

const FOLDER: &str = "CHRONICLE_TEST_ACTOR_FOLDER";
const ORDINARY_USER: u32 = 65_534;

/// Starts both servers twice, the second time on the data of the first.
#[tokio::test]
#[ignore = "played by the other tests, as a process of its own"]
async fn actor() {
    if actor::part().is_none() {
        return;
    }
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    for _ in 0..2 {
        let nats = NatsServer::start(nats::Options::new(folder.join("nats")))
            .await
            .unwrap();
        let postgres = Postgres::start(postgres::Options::new(folder.join("postgres")))
            .await
            .unwrap();
        postgres.create_database("kept").await.unwrap();
        nats.stop().await;
        postgres.stop().await;
        say(postgres.data_folder().display());
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn an_ordinary_user_starts_both_servers() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("test-binary");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    if is_root() {
        chown(folder.path(), Some(ORDINARY_USER), Some(ORDINARY_USER)).unwrap();
    }
    // Nothing is fetched again: what root has fetched can be run by everybody.
    let nats_server = locate::nats_server(None).unwrap().path;
    let programs = locate::postgres(None).unwrap().path;

    let mut command = actor::command_of(&binary, "twice");
    command
        .env(FOLDER, folder.path().join("stack"))
        .env("HOME", folder.path())
        .env_remove("XDG_CACHE_HOME")
        .env_remove(locate::CACHE_VARIABLE)
        .env(locate::NATS_SERVER_VARIABLE, nats_server)
        .env(locate::POSTGRES_VARIABLE, programs)
        .current_dir(folder.path());
    let user = if is_root() {
        command.uid(ORDINARY_USER).gid(ORDINARY_USER);
        ORDINARY_USER
    } else {
        fs::metadata(folder.path()).unwrap().uid()
    };
    let data = actor::run(command);

    assert_eq!(
        data[0],
        folder.path().join("stack/postgres/data").to_str().unwrap()
    );
    assert_eq!(fs::metadata(&data[0]).unwrap().uid(), user);
    assert!(
        folder.path().join(".cache/chronicle").is_dir(),
        "the cache is below the user's home"
    );
}

#[test]
fn data_of_a_project_that_only_root_can_enter_lie_elsewhere() {
    // Open to its owner alone, as root's home is.
    let project = tempfile::tempdir().unwrap();
    fs::set_permissions(project.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let play = || {
        let mut command = actor::playing("twice");
        command.env(FOLDER, project.path());
        actor::run(command)
    };
    let data = play();
    assert_eq!(data[0], data[1]);
    if !is_root() {
        // Nobody else is involved.
        assert!(
            PathBuf::from(&data[0]).starts_with(project.path()),
            "{}",
            data[0]
        );
        return;
    }
    assert!(
        !PathBuf::from(&data[0]).starts_with(project.path()),
        "{}",
        data[0]
    );
    let pointer = fs::read_to_string(project.path().join("postgres/data.location")).unwrap();
    assert_eq!(pointer, data[0]);
    let place = PathBuf::from(&data[0]).parent().unwrap().to_owned();
    assert_eq!(fs::metadata(&place).unwrap().mode() & 0o777, 0o700);

    // The project's data folder is deleted: its data do not come back.
    let marker = place.join("data/marker");
    fs::write(&marker, "of the first life").unwrap();
    fs::remove_dir_all(project.path().join("postgres")).unwrap();
    let again = play();
    assert_eq!(again[0], data[0]);
    assert!(!marker.exists());

    let abandoned = place.with_extension("abandoned");
    assert!(abandoned.join("data/marker").exists());
    fs::remove_dir_all(abandoned).unwrap();
    fs::remove_dir_all(place).unwrap();
}
