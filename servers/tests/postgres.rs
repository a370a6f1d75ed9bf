//! PostgreSQL: starting, stopping, failing, databases.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::process::Command;

use servers::postgres::{Options, Postgres};
use servers::testing;

/// Runs a statement by psql and returns what it prints.
fn query(server: &Postgres, url: &str, statement: &str) -> String {
    let output = Command::new(server.programs().join("psql"))
        .args([
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--command",
            statement,
            url,
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn rows_and_the_port_survive_a_restart_and_a_crash() {
    let postgres = testing::Postgres::start_with(|options| options.durable = true).await;
    postgres.create_database("ledger").await.unwrap();
    postgres
        .create_database("ledger")
        .await
        .expect("creating it again does nothing");
    let url = postgres.database_url("ledger");
    query(&postgres, &url, "CREATE TABLE kept AS SELECT 7 AS number");

    postgres.restart().await.unwrap();
    assert_eq!(postgres.database_url("ledger"), url);
    assert_eq!(query(&postgres, &url, "SELECT number FROM kept"), "7");

    assert!(!postgres.kill().await.success());
    assert!(
        postgres.data_folder().join("postmaster.pid").exists(),
        "a crash leaves its pid file"
    );
    postgres.restart().await.unwrap();
    assert_eq!(query(&postgres, &url, "SELECT number FROM kept"), "7");
}

#[tokio::test]
async fn the_server_is_set_up_for_development_on_this_machine() {
    let postgres = testing::Postgres::start_with(|options| options.durable = true).await;
    let show = |name: &str| query(&postgres, &postgres.url(), &format!("SHOW {name}"));
    assert_eq!(show("listen_addresses"), "127.0.0.1");
    assert_eq!(show("server_encoding"), "UTF8");
    assert_eq!(show("fsync"), "on");
    assert_eq!(
        query(&postgres, &postgres.url(), "SELECT current_user"),
        "chronicle_owner"
    );
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_does_not_prevent_a_start() {
    let folder = testing::Postgres::start().await;
    folder.kill().await;
    let path = folder.data_folder().join("postmaster.pid");
    let lines = std::fs::read_to_string(&path).unwrap();
    let (_, rest) = lines.split_once('\n').unwrap();
    let stranger = Command::new("sleep").arg("60").spawn().unwrap();
    std::fs::write(&path, format!("{}\n{rest}", stranger.id())).unwrap();

    let started = folder.restart().await;

    let mut stranger = stranger;
    assert_eq!(
        stranger.try_wait().unwrap(),
        None,
        "the stranger was left alone"
    );
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    started.unwrap();
}

#[tokio::test]
async fn a_server_that_dies_at_its_start_leaves_its_last_words_in_the_error() {
    let folder = testing::Postgres::start().await;
    folder.stop().await;
    let data = folder.folder().to_owned();
    drop(folder);
    let mut options = Options::new(&data);
    options
        .settings
        .push(("shared_buffers".to_owned(), "banana".to_owned()));

    let text = Postgres::start(options).await.unwrap_err().to_string();
    std::fs::remove_dir_all(&data).unwrap();

    assert!(
        text.contains("it ended at once") && text.contains("banana"),
        "{text}"
    );
}

#[test]
fn tests_with_runtimes_of_their_own_share_one_server() {
    let databases: Vec<String> = (0..2)
        .map(|_| {
            std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async { testing::postgres().await.fresh_database("shared").await })
            })
        })
        .map(|thread| thread.join().unwrap())
        .collect();
    let [first, second] = databases.as_slice() else {
        panic!("two databases")
    };
    assert_ne!(first, second);
    let server = |url: &str| url.rsplit_once('/').unwrap().0.to_owned();
    assert_eq!(server(first), server(second));
}

#[tokio::test]
async fn databases_are_created_while_others_are_being_created() {
    let postgres = testing::postgres().await;
    let urls = futures::future::join_all((0..8).map(|_| postgres.fresh_database("at_once"))).await;
    let distinct: std::collections::BTreeSet<&String> = urls.iter().collect();
    assert_eq!(distinct.len(), 8);
}

#[tokio::test]
async fn a_paused_server_can_be_dropped() {
    let postgres = testing::Postgres::start().await;
    let folder = postgres.folder().to_owned();
    postgres.pause();
    drop(postgres);
    assert!(!folder.exists());
}
