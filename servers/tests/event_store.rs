//! The database for tests of the event store: of the shared PostgreSQL, or of the server that the environment names.
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod actor;

use actor::{everything, say};
use servers::testing;

#[tokio::test]
#[ignore = "played by the other tests, as a process of its own"]
async fn actor() {
    if actor::part().is_some() {
        say(testing::event_store_url("prefix").await);
    }
}

#[test]
fn without_a_name_it_is_on_the_shared_postgres() {
    let mut command = actor::playing("event store");
    command.env_remove(testing::EVENT_STORE_VARIABLE);
    let url = actor::run(command).remove(0);
    assert!(
        url.starts_with("postgres://chronicle_owner@127.0.0.1:") && url.contains("/prefix_"),
        "{url}"
    );
}

#[tokio::test]
async fn a_server_that_is_named_gets_a_new_database_each_time() {
    let server = testing::Postgres::start().await;
    let mut urls = Vec::new();
    for _ in 0..2 {
        let mut command = actor::playing("event store");
        command.env(
            testing::EVENT_STORE_VARIABLE,
            format!("{}?sslmode=disable", server.url()),
        );
        urls.extend(actor::run(command));
    }
    let own = server.url().strip_suffix("/postgres").unwrap().to_owned();
    assert!(
        urls.iter()
            .all(|url| url.starts_with(&format!("{own}/prefix_"))
                && url.ends_with("?sslmode=disable"))
    );
    assert_ne!(urls[0], urls[1]);
}

#[tokio::test]
async fn a_server_that_wants_a_password_gets_it() {
    let server = testing::Postgres::start().await;
    let psql = std::process::Command::new(server.programs().join("psql"))
        .args([
            "--no-psqlrc",
            "-c",
            "CREATE ROLE tester SUPERUSER LOGIN PASSWORD 'open sesame'",
            &server.url(),
        ])
        .output()
        .unwrap();
    assert!(psql.status.success(), "{}", everything(&psql));
    let access = server.data_folder().join("pg_hba.conf");
    std::fs::write(access, "host all all 127.0.0.1/32 scram-sha-256\n").unwrap();
    // The handle's own question at the start has no password either, so the file is read by a signal.
    let pid = server.pid().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );

    let play = |credentials: &str| {
        let mut command = actor::playing("event store");
        let url = format!(
            "postgres://{credentials}@127.0.0.1:{}/postgres",
            server.port()
        );
        command
            .env(testing::EVENT_STORE_VARIABLE, url)
            .stderr(std::process::Stdio::piped());
        command.output().unwrap()
    };
    actor::eventually("the new rule holds", || !play("tester").status.success());
    let refused = play("tester:wrong");
    assert!(
        everything(&refused).contains("password authentication failed"),
        "{}",
        everything(&refused)
    );
    assert!(
        !everything(&refused).contains("tester:wrong"),
        "a password in an error message"
    );
    let accepted = play("tester:open%20sesame");
    assert!(accepted.status.success(), "{}", everything(&accepted));
}
