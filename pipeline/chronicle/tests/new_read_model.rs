//! A read model that is newer than the ledger: it builds itself from what happened before it was there, and then follows.

mod support;

use support::books::Books;
use support::random::Random;
use support::workload::{Workload, until_settled};
use support::{Ledger, eventually};
use transport::streams;

/// A ledger with history, in which `daily_totals` has never run: what an older program leaves behind, after `migrate`.
async fn an_older_ledger(seed: &str) -> (Ledger, Workload) {
    let (ledger, process) = Ledger::running().await;
    let mut workload = Workload::new(&ledger, Random::seeded(seed)).await;
    workload.publish(300).await;
    workload.check(&ledger).await;
    ledger.until_converged().await;
    assert_eq!(process.stop().await, Some(0));
    let pool = ledger.read_model().await;
    for statement in [
        "DELETE FROM projection_offsets WHERE projection = 'daily_totals'",
        "DELETE FROM projection_versions WHERE projection = 'daily_totals'",
        "DELETE FROM daily_totals",
    ] {
        let deleted = sqlx::query(statement).execute(&pool).await;
        let deleted = deleted.expect("the read model can be changed");
        assert!(deleted.rows_affected() > 0, "{statement}");
    }
    (ledger, workload)
}

/// Starts everything: the new read model is right by itself, and stays right.
async fn builds_itself_and_follows(ledger: &Ledger, workload: &mut Workload) {
    let report = ledger.json(&["verify", "--wait-seconds", "0"], 1).await;
    assert!(
        report.to_string().contains("daily_totals lacks"),
        "{report:#}"
    );
    let pool = ledger.read_model().await;
    assert_eq!(Books::read(&pool).await.daily_totals, Vec::<String>::new());

    let process = ledger.run(&[], &[]).await;
    ledger.until_converged().await;
    let built = Books::read(&pool).await.daily_totals;
    assert!(!built.is_empty());
    ledger.verify().await;

    workload.publish(100).await;
    until_settled(ledger).await;
    eventually("the new read model to follow", || async {
        Books::read(&pool).await.daily_totals != built
    })
    .await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_builds_itself_from_the_feed_and_then_follows() {
    let (ledger, mut workload) = an_older_ledger("an older ledger").await;
    builds_itself_and_follows(&ledger, &mut workload).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_builds_itself_from_the_event_store_when_the_feed_has_forgotten() {
    let (ledger, mut workload) = an_older_ledger("a forgetful feed").await;
    let nats = ledger.connect().await;
    let feed = streams::existing(&nats.jetstream, streams::EVENTS).await;
    let feed = feed.expect("NATS answers").expect("there is a feed");
    feed.purge().await.expect("it can be purged");
    assert_eq!(ledger.messages_in(streams::EVENTS).await, 0);
    builds_itself_and_follows(&ledger, &mut workload).await;
}
