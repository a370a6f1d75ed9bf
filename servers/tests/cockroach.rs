//! CockroachDB as this crate sees it: its command line, its health page, its SQL port.
//!
//! The real one is used where it is installed. Elsewhere a stand-in takes its place, which shows that this crate asks the
//! right questions, not how CockroachDB answers them.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use servers::cockroach::{Cockroach, Options};
use servers::locate;

const STAND_IN: &str = include_str!("cockroach_stand_in.py");

fn binary(folder: &std::path::Path) -> PathBuf {
    if let Ok(found) = locate::cockroach(None) {
        return found.path;
    }
    let path = folder.join("cockroach");
    fs::write(&path, STAND_IN).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn it_starts_creates_databases_restarts_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let binary = binary(folder.path());
    let options = Options {
        binary: Some(binary),
        throwaway: true,
        ..Options::new(folder.path().join("cockroach-data"))
    };
    let cockroach = Cockroach::start(options.clone()).await.unwrap();
    cockroach.create_database("event_store").await.unwrap();
    cockroach
        .create_database("event_store")
        .await
        .expect("creating it again does nothing");
    let (url, pid) = (cockroach.database_url("event_store"), cockroach.pid());

    cockroach.restart().await.unwrap();
    assert_eq!(cockroach.database_url("event_store"), url);
    assert_ne!(cockroach.pid(), pid);

    cockroach.stop().await;
    assert!(cockroach.ended().is_some());
}
