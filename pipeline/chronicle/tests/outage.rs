//! Servers go away and come back: nothing is lost, nothing goes round in circles, and everybody is told what is wrong.

// How long it takes is worth seeing.
#![allow(clippy::print_stdout)]

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use servers::testing;
use support::random::Random;
use support::workload::{Workload, until_settled};
use support::{Ledger, Process, eventually};
use tokio::time::Instant;

/// What `/readyz` says about a server: `None` when it is well.
async fn trouble_with(process: &Process, server: &str) -> Option<String> {
    let (code, readiness) = process.readyz().await?;
    let servers = readiness["servers"].as_array()?;
    let found = servers.iter().find(|found| found["name"] == server)?;
    (found["ready"] == false).then(|| {
        assert_eq!(code, 503, "{readiness}");
        found["reason"].as_str().unwrap_or_default().to_owned()
    })
}

/// Waits until `/readyz` says that a server is away, and why.
async fn until_missed(process: &Process, server: &str) {
    eventually(&format!("{server} to be missed"), || async {
        trouble_with(process, server)
            .await
            .is_some_and(|reason| !reason.is_empty())
    })
    .await;
}

/// The snapshot of a pipeline.
async fn pipeline(process: &Process, name: &str) -> Value {
    let (_, readiness) = process.readyz().await.expect("it answers");
    let pipelines = readiness["pipelines"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let found = pipelines
        .into_iter()
        .find(|pipeline| pipeline["pipeline"] == name);
    found.unwrap_or_else(|| panic!("there is no pipeline {name}: {readiness}"))
}

/// Waits until a pipeline has tried again so many times since its trouble began.
async fn until_attempts(process: &Process, name: &str, attempts: u64) {
    eventually(&format!("{attempts} attempts of {name}"), || async {
        pipeline(process, name).await["attempt"]
            .as_u64()
            .is_some_and(|attempt| attempt >= attempts)
    })
    .await;
}

/// How much memory the process occupies, in KiB.
fn memory_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id()))
        .expect("the process runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("it has memory");
    line.split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("it is a number")
}

/// A process in trouble stays within limits: no more than so many lines in the log, no growing memory.
fn check_modesty(process: &Process, lines_max: usize, memory_before_kib: u64) {
    let log = process.log();
    let lines = log.lines().count();
    println!(
        "{lines} lines of log, {} MiB more memory",
        memory_kib(process).saturating_sub(memory_before_kib) / 1024
    );
    assert!(lines <= lines_max, "{lines} lines of log\n{log}");
    assert!(
        memory_kib(process) < memory_before_kib + 64 * 1024,
        "it has grown from {memory_before_kib} KiB to {} KiB",
        memory_kib(process)
    );
}

/// A PostgreSQL that keeps what it has committed when it is killed.
async fn reliable_postgres() -> testing::Postgres {
    testing::Postgres::start_with(|options| {
        let setting = ("synchronous_commit".to_owned(), "on".to_owned());
        options.settings.push(setting);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_goes_away_and_comes_back_under_load() {
    let ledger = Ledger::new().await;
    let mut process = ledger.run(&["--batch-max", "32"], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("nats away")).await;
    workload.publish(50).await;
    let answers = workload.answers();
    answers.until(50).await;
    let outages = async {
        for orderly in [true, false, false] {
            let answered = answers.count();
            eventually("more answers", || async { answers.count() > answered + 50 }).await;
            if orderly {
                ledger.nats.stop().await;
            } else {
                ledger.nats.kill().await;
            }
            until_missed(&process, "nats").await;
            ledger.nats.restart().await.expect("it starts");
        }
    };
    tokio::join!(outages, workload.publish_stubbornly(1_500));
    let back = Instant::now();
    process.until_ready().await;
    workload.check_what_was_heard(&ledger).await;
    ledger.check_feed_is_complete().await;
    ledger.until_converged().await;
    println!(
        "everything is done {:?} after NATS came back for good",
        back.elapsed()
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_stands_still_for_a_while() {
    let ledger = Ledger::new().await;
    let process = ledger.run(&["--batch-max", "32"], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("nats frozen")).await;
    workload.publish(300).await;
    ledger.nats.pause();
    // Longer than any request waits for its answer: something fails and is tried again.
    until_attempts(&process, "intake", 1).await;
    ledger.nats.resume();
    workload.publish_stubbornly(100).await;
    workload.check_what_was_heard(&ledger).await;
    ledger.check_feed_is_complete().await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_model_is_away_and_intake_goes_on() {
    let postgres = testing::Postgres::start().await;
    let event_store = testing::event_store_url("event_store").await;
    let ledger = Ledger::over(event_store, postgres.fresh_database("read_model").await).await;
    let mut process = ledger.run(&[], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("read model away")).await;
    workload.publish(100).await;
    until_settled(&ledger).await;
    for orderly in [true, false] {
        if orderly {
            postgres.stop().await;
        } else {
            postgres.kill().await;
        }
        until_missed(&process, "read_model").await;
        let began = Instant::now();
        workload.publish(300).await;
        workload.answers().until(workload.len()).await;
        println!("300 commands without a read model: {:?}", began.elapsed());
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "intake was held up for {:?}",
            began.elapsed()
        );
        assert_eq!(pipeline(&process, "intake").await["state"], "running");
        postgres.restart().await.expect("it starts");
        let back = Instant::now();
        ledger.until_converged().await;
        println!("read models caught up after {:?}", back.elapsed());
        process.until_ready().await;
    }
    workload.check(&ledger).await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_model_stands_still_for_a_while() {
    let postgres = testing::Postgres::start().await;
    let event_store = testing::event_store_url("event_store").await;
    let ledger = Ledger::over(event_store, postgres.fresh_database("read_model").await).await;
    let mut process = ledger.run(&[], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("read model frozen")).await;
    workload.publish(100).await;
    until_settled(&ledger).await;
    postgres.pause();
    workload.publish(300).await;
    workload.answers().until(400).await;
    until_missed(&process, "read_model").await;
    postgres.resume();
    process.until_ready().await;
    workload.check(&ledger).await;
    assert_eq!(process.stop().await, Some(0));
}

/// As after a failover to a replica that lacked the newest commits: an old copy of the data is put in their place.
#[tokio::test(flavor = "multi_thread")]
async fn the_read_model_comes_back_without_its_newest_commits() {
    let postgres = testing::Postgres::start().await;
    let event_store = testing::event_store_url("event_store").await;
    let ledger = Ledger::over(event_store, postgres.fresh_database("read_model").await).await;
    let mut process = ledger.run(&[], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("read model set back")).await;
    workload.publish(100).await;
    until_settled(&ledger).await;
    ledger.until_converged().await;
    let (data, old) = (
        postgres.folder().join("data"),
        postgres.folder().join("old"),
    );
    postgres.stop().await;
    copy(&data, &old);
    for new_commands in [0, 20] {
        postgres.restart().await.expect("it starts");
        process.until_ready().await;
        workload.publish(200).await;
        until_settled(&ledger).await;
        ledger.until_converged().await;

        postgres.kill().await;
        std::fs::remove_dir_all(&data).expect("it can be removed");
        copy(&old, &data);
        postgres.restart().await.expect("it starts");
        let back = Instant::now();
        // Without a new command, too, nobody has to act.
        workload.publish(new_commands).await;
        until_settled(&ledger).await;
        ledger.until_converged().await;
        println!(
            "read models right {:?} after they came back",
            back.elapsed()
        );
        process.until_ready().await;
        postgres.stop().await;
    }
    postgres.restart().await.expect("it starts");
    process.until_ready().await;
    workload.check(&ledger).await;
    assert_eq!(process.stop().await, Some(0));
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status();
    assert!(copied.expect("cp is there").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_store_is_away_and_commands_wait() {
    let postgres = reliable_postgres().await;
    let ledger = Ledger::on(postgres.fresh_database("event_store").await).await;
    let mut process = ledger.run(&["--batch-max", "32"], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("event store away")).await;
    workload.publish(100).await;
    until_settled(&ledger).await;
    for (orderly, attempts) in [(true, 2), (false, 1)] {
        let memory_kib = memory_kib(&process);
        let lines = process.log().lines().count();
        if orderly {
            postgres.stop().await;
        } else {
            postgres.kill().await;
        }
        until_missed(&process, "event_store").await;
        workload.publish(200).await;
        until_attempts(&process, "intake", attempts).await;
        let intake = pipeline(&process, "intake").await;
        let reason = intake["last_failure"]["reason"]
            .as_str()
            .unwrap_or_default();
        assert!(reason.contains("event store"), "{intake}");
        check_modesty(&process, lines + 40, memory_kib);
        postgres.restart().await.expect("it starts");
        let back = Instant::now();
        workload.answers().until(workload.len()).await;
        println!(
            "all commands answered {:?} after the event store came back",
            back.elapsed()
        );
        process.until_ready().await;
    }
    workload.check(&ledger).await;
    ledger.check_feed_is_in_order().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_store_dies_under_load_again_and_again() {
    let postgres = reliable_postgres().await;
    let ledger = Ledger::on(postgres.fresh_database("event_store").await).await;
    let process = ledger.run(&["--batch-max", "16"], &[]).await;
    let mut workload = Workload::new(&ledger, Random::seeded("event store dies")).await;
    workload.publish(20).await;
    let answers = workload.answers();
    let outages = async {
        for _ in 0..3 {
            let answered = answers.count();
            eventually("more answers", || async {
                answers.count() > answered + 100
            })
            .await;
            postgres.kill().await;
            postgres.restart().await.expect("it starts");
        }
    };
    tokio::join!(outages, workload.publish(2_000));
    workload.check(&ledger).await;
    ledger.check_feed_is_in_order().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_servers_are_away_when_it_starts() {
    let (event_store, read_model) =
        tokio::join!(testing::Postgres::start(), testing::Postgres::start());
    let ledger = Ledger::over(
        event_store.fresh_database("event_store").await,
        read_model.fresh_database("read_model").await,
    )
    .await;
    tokio::join!(ledger.nats.stop(), event_store.stop(), read_model.stop());
    let mut process = ledger.start(&[], &[]).await;
    for server in ["nats", "event_store", "read_model"] {
        until_missed(&process, server).await;
    }
    until_attempts(&process, "intake", 3).await;
    let memory_kib = memory_kib(&process);
    check_modesty(&process, 60, memory_kib);
    ledger.nats.restart().await.expect("it starts");
    eventually("NATS to be found", || async {
        trouble_with(&process, "nats").await.is_none()
    })
    .await;
    until_missed(&process, "event_store").await;
    event_store.restart().await.expect("it starts");
    eventually("the event store to be found", || async {
        trouble_with(&process, "event_store").await.is_none()
    })
    .await;
    until_missed(&process, "read_model").await;
    read_model.restart().await.expect("it starts");
    let back = Instant::now();
    process.until_ready().await;
    println!("ready {:?} after the last server came", back.elapsed());
    let mut workload = Workload::new(&ledger, Random::seeded("all away")).await;
    workload.publish(100).await;
    workload.check(&ledger).await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_while_everything_is_away_it_ends() {
    let (event_store, read_model) =
        tokio::join!(testing::Postgres::start(), testing::Postgres::start());
    let ledger = Ledger::over(
        event_store.fresh_database("event_store").await,
        read_model.fresh_database("read_model").await,
    )
    .await;
    let process = ledger.run(&[], &[]).await;
    tokio::join!(ledger.nats.kill(), event_store.kill(), read_model.kill());
    for server in ["nats", "event_store", "read_model"] {
        until_missed(&process, server).await;
    }
    let told = Instant::now();
    assert_eq!(process.stop().await, Some(0));
    println!("ended {:?} after it was told", told.elapsed());
    assert!(
        told.elapsed() < Duration::from_secs(15),
        "it took {:?}",
        told.elapsed()
    );
}
