//! nats-server: starting, stopping, failing.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::net::TcpListener;
use std::time::Duration;

use async_nats::jetstream;
use futures::FutureExt as _;
use servers::nats::{NatsServer, Options, SyncInterval};
use servers::testing;

async fn stored_messages(server: &NatsServer) -> u64 {
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = jetstream::new(client).get_stream("TEST").await.unwrap();
    stream.cached_info().state.messages
}

async fn store_a_message(server: &NatsServer) {
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let config = jetstream::stream::Config {
        name: "TEST".to_owned(),
        subjects: vec!["test".to_owned()],
        ..Default::default()
    };
    context.get_or_create_stream(config).await.unwrap();
    context
        .publish("test", "one".into())
        .await
        .unwrap()
        .await
        .unwrap();
}

#[tokio::test]
async fn stored_messages_and_the_ports_survive_a_restart() {
    let nats = testing::Nats::start().await;
    store_a_message(&nats).await;
    let (url, monitoring_url, pid) = (nats.url(), nats.monitoring_url(), nats.pid());

    nats.restart().await.unwrap();

    assert_eq!((nats.url(), nats.monitoring_url()), (url, monitoring_url));
    assert_ne!(nats.pid(), pid);
    assert_eq!(stored_messages(&nats).await, 1);
}

#[tokio::test]
async fn a_stopped_folder_starts_again_with_its_data_on_its_port() {
    let folder = tempfile::tempdir().unwrap();
    let first = NatsServer::start(Options::new(folder.path()))
        .await
        .unwrap();
    store_a_message(&first).await;
    let port = first.port();
    assert!(first.stop().await.success() || first.ended().is_some());
    drop(first);

    let second = NatsServer::start(Options::new(folder.path()))
        .await
        .unwrap();
    assert_eq!(second.port(), port);
    assert_eq!(stored_messages(&second).await, 1);
    second.stop().await;
    drop(second);

    // Somebody else took the port: the folder moves to another one.
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let third = NatsServer::start(Options::new(folder.path()))
        .await
        .unwrap();
    assert_ne!(third.port(), port);
    assert_eq!(stored_messages(&third).await, 1);
}

#[tokio::test]
async fn what_a_kill_during_the_start_left_behind_hinders_no_later_start() {
    let folder = tempfile::tempdir().unwrap();
    // The server tries in a folder of this name whether it can write.
    let trial = folder.path().join("data/jetstream/_test_419087321");
    std::fs::create_dir_all(&trial).unwrap();

    let server = NatsServer::start(Options::new(folder.path()))
        .await
        .unwrap();
    store_a_message(&server).await;
    assert!(!trial.exists());
}

#[tokio::test]
async fn a_port_that_was_asked_for_and_is_taken_is_an_error_that_says_so() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();

    let error = NatsServer::start(Options {
        port,
        ..Options::new(folder.path())
    })
    .await
    .unwrap_err();

    assert!(matches!(error, servers::Error::PortInUse { .. }), "{error}");
    assert!(error.to_string().contains(&port.to_string()), "{error}");
}

#[tokio::test]
async fn a_port_that_is_taken_for_a_moment_only_hinders_no_start() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        configuration: format!(
            "leafnodes {{ listen: \"{}\" }}",
            taken.local_addr().unwrap()
        ),
        ..Options::new(folder.path())
    };
    let starting = tokio::spawn(NatsServer::start(options));
    let log = folder.path().join("server.log");
    let has_met_it = async {
        while !std::fs::read_to_string(&log).is_ok_and(|log| log.contains("address already in use"))
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), has_met_it)
        .await
        .unwrap();

    drop(taken);

    starting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_folder_has_one_server_at_a_time() {
    let nats = testing::Nats::start().await;

    let error = NatsServer::start(Options::new(nats.folder()))
        .await
        .unwrap_err();

    assert!(
        matches!(error, servers::Error::FolderInUse { .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
}

#[tokio::test]
async fn the_death_of_the_server_is_noticed_and_a_restart_mends_it() {
    let nats =
        testing::Nats::start_with(|options| options.sync_interval = Some(SyncInterval::Always))
            .await;
    store_a_message(&nats).await;
    assert_eq!(nats.ended(), None);
    assert!(nats.exited().now_or_never().is_none());

    nats.kill().await;

    assert!(!nats.exited().await.success());
    assert!(nats.ended().is_some());
    nats.restart().await.unwrap();
    assert_eq!(nats.ended(), None);
    assert_eq!(stored_messages(&nats).await, 1);
}

#[tokio::test]
async fn a_paused_server_answers_nothing_until_it_is_resumed() {
    let nats = testing::Nats::start().await;
    let client = async_nats::connect(nats.url()).await.unwrap();

    nats.pause();
    let question = client.request("$JS.API.INFO", "".into());
    let answer = tokio::time::timeout(Duration::from_millis(200), question).await;
    assert!(answer.is_err(), "a paused server answered");

    nats.resume();
    client.request("$JS.API.INFO", "".into()).await.unwrap();
}

#[tokio::test]
async fn a_paused_server_can_be_stopped() {
    let nats = testing::Nats::start().await;
    nats.pause();
    nats.stop().await;
    assert!(nats.ended().is_some());
}

#[tokio::test]
async fn a_server_that_dies_at_its_start_leaves_its_last_words_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("data"),
        "a file where the store should be",
    )
    .unwrap();

    let error = NatsServer::start(Options::new(folder.path()))
        .await
        .unwrap_err();

    let text = error.to_string();
    assert!(
        text.contains("it ended at once") && text.contains("Can't start JetStream"),
        "{text}"
    );
}

#[tokio::test]
async fn a_dropped_server_is_gone_with_its_folder() {
    let nats = testing::Nats::start().await;
    let (folder, port) = (nats.folder().to_owned(), nats.port());
    drop(nats);
    assert!(!folder.exists());
    TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
}
