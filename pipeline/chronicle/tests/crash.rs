//! A process that dies, at the worst moments that we know and at any other: after a restart nothing is lost, nothing is
//! there twice, and every command has the outcome that it always had.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use ledger::EventId;
use servers::testing;
use support::books::Books;
use support::random::Random;
use support::workload::{Waiting, Workload, until_settled};
use support::{Ledger, Process, eventually};
use tokio::time::Instant;
use transport::streams;

/// Small batches, so that there are many moments to die in.
const SMALL_BATCHES: [&str; 2] = ["--batch-max", "16"];

/// Starts a process that kills itself when it passes the fault point for the nth time.
async fn start_with_fault(ledger: &Ledger, point: &str, nth: u64) -> Process {
    let fault = format!("{point}:{nth}");
    let mut flags = SMALL_BATCHES.to_vec();
    if point == "before_settle" {
        // The projections pass this point, too.
        flags.extend(["--only", "intake"]);
    }
    ledger.start(&flags, &[("CHRONICLE_FAULT", &fault)]).await
}

/// Waits until the process has killed itself at the fault point.
async fn until_dead(mut process: Process, point: &str) {
    assert_eq!(
        process.ended().await,
        None,
        "it was to kill itself\n{}",
        process.log()
    );
    assert!(
        process.log().contains(&format!("fault=\"{point}\"")),
        "it died of something else\n{}",
        process.log()
    );
}

/// The ids of the events that the event store has and the feed lacks.
async fn unpublished(ledger: &Ledger) -> BTreeSet<EventId> {
    let published: BTreeSet<EventId> = ledger
        .feed()
        .await
        .iter()
        .map(|event| event.event_id)
        .collect();
    let stored = ledger.stored_events().await;
    stored
        .iter()
        .map(|event| event.event_id)
        .filter(|id| !published.contains(id))
        .collect()
}

/// Kills the process at the nth pass of a fault point under load, looks at what it left behind, starts it again, and
/// checks everything; for each n.
async fn dies_at(
    point: &str,
    nths: &[u64],
    looks_as_expected: impl AsyncFn(&Ledger, &[Waiting]) -> bool,
) {
    let ledger = Ledger::new().await;
    let mut workload = Workload::new(&ledger, Random::seeded(point)).await;
    for nth in nths {
        let process = start_with_fault(&ledger, point, *nth).await;
        // The streams are made by the process.
        until_streams(&ledger).await;
        workload.publish(300).await;
        until_dead(process, point).await;
        let waiting = workload.waiting(&ledger).await;
        assert!(
            looks_as_expected(&ledger, &waiting).await,
            "it left something else behind"
        );
        let process = ledger.run(&SMALL_BATCHES, &[]).await;
        let started = Instant::now();
        workload.check(&ledger).await;
        ledger.check_feed_is_in_order().await;
        println!(
            "{point}:{nth}: everything is right {:?} after the restart",
            started.elapsed()
        );
        assert_eq!(process.stop().await, Some(0));
    }
}

async fn until_streams(ledger: &Ledger) {
    let nats = ledger.connect().await;
    eventually("the stream of commands", || async {
        streams::existing(&nats.jetstream, streams::COMMANDS)
            .await
            .is_ok_and(|found| found.is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_commit_and_publishing() {
    dies_at("after_commit", &[1, 7], async |ledger, _| {
        !unpublished(ledger).await.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_publishing_and_the_answer() {
    let decided_only = |waiting: &Waiting| waiting.is_decided && !waiting.is_answered;
    dies_at("after_publish", &[1, 5], async |_, waiting| {
        waiting.iter().any(decided_only)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn between_the_answer_and_settlement() {
    dies_at("before_settle", &[1, 4], async |_, waiting| {
        waiting.iter().any(|waiting| waiting.is_answered)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_a_projections_transaction() {
    dies_at(
        "in_projection_transaction",
        &[1, 3, 8],
        async |ledger, _| {
            let pool = ledger.read_model().await;
            Books::read(&pool).await != Books::fold(&ledger.stored_events().await)
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn again_and_again_before_the_work_is_done() {
    let ledger = Ledger::new().await;
    let mut random = Random::seeded("again and again");
    let points: Vec<(&str, u64)> = [
        "after_commit",
        "in_projection_transaction",
        "after_publish",
        "before_settle",
    ]
    .into_iter()
    .map(|point| (point, random.below(4) + 1))
    .collect();
    let mut workload = Workload::new(&ledger, random).await;
    let warm = ledger.run(&SMALL_BATCHES, &[]).await;
    assert_eq!(warm.stop().await, Some(0));
    workload.publish(800).await;
    for (point, nth) in points {
        until_dead(start_with_fault(&ledger, point, nth).await, point).await;
    }
    let process = ledger.run(&SMALL_BATCHES, &[]).await;
    workload.check(&ledger).await;
    ledger.check_feed_is_in_order().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment() {
    let ledger = Ledger::new().await;
    let mut random = Random::seeded("killed at any moment");
    let moments: Vec<u64> = (0..5).map(|_| random.below(400)).collect();
    let mut workload = Workload::new(&ledger, random).await;
    let mut process = ledger.run(&SMALL_BATCHES, &[]).await;
    for moment in moments {
        let answers = workload.answers();
        let answered = answers.count();
        let killing = async {
            // From the first answer on, so that it is at work.
            answers.until(answered + 1).await;
            tokio::time::sleep(Duration::from_millis(moment)).await;
            process.kill().await;
        };
        tokio::join!(killing, workload.publish(400));
        println!(
            "killed after {moment} ms with {} of {} answered",
            answers.count(),
            workload.len()
        );
        process = ledger.run(&SMALL_BATCHES, &[]).await;
    }
    workload.check(&ledger).await;
    ledger.check_feed_is_in_order().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_under_load_it_drains_and_nothing_that_was_settled_comes_again() {
    let ledger = Ledger::new().await;
    let mut workload = Workload::new(&ledger, Random::seeded("told to stop")).await;
    for _ in 0..3 {
        let process = ledger.run(&SMALL_BATCHES, &[]).await;
        let answers = workload.answers();
        let answered = answers.count();
        let stopping = async {
            answers.until(answered + 100).await;
            process.stop().await
        };
        let (code, ()) = tokio::join!(stopping, workload.publish(2_000));
        assert_eq!(code, Some(0));
        // What it had taken it has finished; what it had not finished it had not taken.
        let waiting = workload.waiting(&ledger).await;
        let again = waiting
            .iter()
            .filter(|waiting| waiting.is_decided || waiting.is_answered)
            .count();
        assert_eq!(
            again,
            0,
            "of {} commands that wait so many have an outcome and will come again",
            waiting.len()
        );
        let unpublished = unpublished(&ledger).await;
        assert!(
            unpublished.is_empty(),
            "{} events are not published",
            unpublished.len()
        );
    }
    let process = ledger.run(&[], &[]).await;
    workload.check(&ledger).await;
    ledger.check_feed_is_in_order().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_twice_it_ends_at_once() {
    let postgres = testing::Postgres::start().await;
    let ledger = Ledger::on(postgres.fresh_database("event_store").await).await;
    let mut process = ledger.run(&[], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("told to stop twice")).await;
    workload.publish(20).await;
    until_settled(&ledger).await;

    // With a commit under way that does not come back, it cannot drain.
    postgres.pause();
    let account = workload.account_name(0);
    let deposit = workload.movement_of("deposit", &account);
    workload.publish_these(&[deposit]).await;
    eventually("a command in flight", || async {
        let readiness = process.readyz().await;
        readiness.is_some_and(|(_, readiness)| readiness["pipelines"][0]["in_flight_records"] == 1)
    })
    .await;
    process.signal("TERM");
    process
        .until_logged("stopping: finishing what is in flight")
        .await;
    let told = Instant::now();
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(130));
    assert!(
        told.elapsed() < Duration::from_secs(3),
        "it took {:?}",
        told.elapsed()
    );

    postgres.resume();
    let process = ledger.run(&[], &[]).await;
    workload.check(&ledger).await;
    assert_eq!(process.stop().await, Some(0));
}
