//! The comparison in the background, against real servers: what differs is found once, named, and gone when it is mended;
//! what only moves is never taken for it.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::time::Duration;

use async_nats::jetstream::stream::LastRawMessageErrorKind;
use serde_json::Value;
use support::publisher::{Publisher, create, movement, transfer};
use support::random::Random;
use support::workload::Workload;
use support::{Ledger, Process, eventually, text};
use tokio::time::Instant;
use transport::streams;

/// Fast enough that a pass over a test's ledger takes a moment.
const RATE: &str = "100000";

async fn compared() -> (Ledger, Process) {
    let ledger = Ledger::new().await;
    let flags = ["--compare-rate", RATE, "--compare-percent", "100"];
    let process = ledger.run(&flags, &[]).await;
    (ledger, process)
}

/// What is recorded: what is there or, with `--gone`, everything.
async fn divergences(ledger: &Ledger, flags: &[&str]) -> Vec<Value> {
    let output = ledger
        .chronicle(&[&["-o", "json", "divergences"], flags].concat())
        .await;
    let lines: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let is_there = lines.iter().any(|line| line["gone_at"].is_null());
    assert_eq!(
        output.status.code(),
        Some(i32::from(is_there)),
        "{}",
        text(&output.stderr)
    );
    lines
}

async fn passes(ledger: &Ledger) -> i64 {
    let sql = "SELECT COALESCE(sum(passes), 0)::bigint FROM comparison";
    let read_model = ledger.read_model().await;
    let passes = sqlx::query_scalar(sql).fetch_one(&read_model).await;
    read_model.close().await;
    passes.unwrap()
}

/// Waits until everything has been compared from begin to end once more.
async fn until_compared(ledger: &Ledger) {
    let begun = passes(ledger).await;
    // The pass that goes on may have been there already.
    eventually("two passes", || async { passes(ledger).await >= begun + 2 }).await;
}

async fn tamper(ledger: &Ledger, statements: &[&'static str]) {
    let read_model = ledger.read_model().await;
    for statement in statements {
        let changed = sqlx::query(*statement).execute(&read_model).await.unwrap();
        assert_eq!(changed.rows_affected(), 1, "{statement}");
    }
    read_model.close().await;
}

/// Three accounts of known content.
async fn book(ledger: &Ledger) -> Publisher {
    let publisher = Publisher::connect(ledger).await;
    publisher
        .tell_all(&[create("ACC-1", "100.00"), create("ACC-2", "0")])
        .await;
    publisher
        .tell_all(&[
            movement("deposit", "ACC-1", "10.00"),
            transfer("ACC-1", "ACC-2", "5.00"),
            movement("withdraw", "ACC-1", "1.00"),
        ])
        .await;
    ledger.until_converged().await;
    publisher
}

/// The places where something is, sorted.
fn places(lines: &[Value]) -> Vec<&str> {
    let mut places: Vec<&str> = lines
        .iter()
        .map(|line| line["place"].as_str().unwrap())
        .collect();
    places.sort_unstable();
    places
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_recorded_once_and_gone_after_a_repair_while_commands_flow() {
    let (ledger, process) = compared().await;
    let publisher = book(&ledger).await;
    until_compared(&ledger).await;
    assert_eq!(divergences(&ledger, &["--gone"]).await, [] as [Value; 0]);

    tamper(
        &ledger,
        &[
            "UPDATE account_balance SET balance = balance + 0.01 WHERE account_id = 'ACC-2'",
            "DELETE FROM transactions WHERE account_id = 'ACC-1' AND version = 2",
            "INSERT INTO transfers SELECT gen_random_uuid(), from_account_id, to_account_id, amount, currency, status,
                debit_applied, credit_applied, description, command_id, timestamp FROM transfers",
            "UPDATE daily_totals SET amount = amount + 1 WHERE type = 'deposit'",
        ],
    )
    .await;
    eventually("all to be found", || async {
        publisher.tell(&movement("deposit", "ACC-1", "0.01")).await;
        divergences(&ledger, &[]).await.len() >= 4
    })
    .await;
    let first = divergences(&ledger, &[]).await;
    assert_eq!(
        places(&first),
        [
            "account_balance",
            "daily_totals",
            "transactions",
            "transfers"
        ]
    );
    let missing = first
        .iter()
        .find(|line| line["place"] == "transactions")
        .unwrap();
    assert_eq!(
        (&missing["account_id"], &missing["version"]),
        (&"ACC-1".into(), &2.into()),
        "{missing}"
    );
    let scrape = process.get("/metrics").await.unwrap().1;
    eventually("the metric", || async {
        let scrape = process.get("/metrics").await.unwrap().1;
        scrape.contains("chronicle_divergences{place=\"transactions\"} 1\n")
    })
    .await;
    assert!(
        scrape.contains("chronicle_divergences{place=\"holds\"} 0\n"),
        "{scrape}"
    );
    until_compared(&ledger).await;
    let later = divergences(&ledger, &[]).await;
    assert_eq!(later.len(), 4, "each once: {later:?}");
    assert_eq!(later[0]["first_seen_at"], first[0]["first_seen_at"]);

    let repaired = ledger.chronicle(&["verify", "--repair"]).await;
    assert!(
        repaired.status.success(),
        "{}\n{}",
        text(&repaired.stdout),
        text(&repaired.stderr)
    );
    eventually("all to be gone", || async {
        divergences(&ledger, &[]).await.is_empty()
    })
    .await;
    let gone = divergences(&ledger, &["--gone"]).await;
    assert_eq!(gone.len(), 4, "{gone:?}");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_while_commands_flow_and_read_models_are_swapped() {
    let (ledger, process) = compared().await;
    let mut workload = Workload::new(&ledger, Random::seeded("compared meanwhile")).await;
    workload.publish(300).await;
    // An event that stands in the feed once more, behind newer ones of its account, is legal.
    let feed = ledger.connect().await.jetstream;
    let stream = feed.get_stream(streams::EVENTS).await.unwrap();
    eventually("the first event", || async {
        stream.get_raw_message(1).await.is_ok()
    })
    .await;
    let first = stream.get_raw_message(1).await.unwrap();
    let again = feed.publish(first.subject, first.payload).await.unwrap();
    again.await.unwrap();
    let begun = passes(&ledger).await;
    for name in ["transactions", "account_balance", "daily_totals"] {
        let rebuild = async {
            let arguments = ["projection", "rebuild", name, "--batch-max", "50"];
            let rebuilt = ledger.chronicle(&arguments).await;
            assert!(rebuilt.status.success(), "{}", text(&rebuilt.stderr));
        };
        tokio::join!(rebuild, workload.publish(300));
    }
    eventually("some passes", || async {
        passes(&ledger).await >= begun + 3
    })
    .await;
    assert_eq!(
        divergences(&ledger, &["--gone"]).await,
        [] as [Value; 0],
        "{}",
        process.log()
    );
    workload.check(&ledger).await;
    ledger.until_converged().await;
    ledger.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_event_store_and_a_hole_in_the_feed_are_found() {
    let (ledger, process) = compared().await;
    let publisher = book(&ledger).await;
    let event_store = ledger.event_store().await;
    sqlx::query("UPDATE events SET balance_after = balance_after + 1 WHERE account_id = 'ACC-1' AND version = 2")
        .execute(&event_store)
        .await
        .unwrap();
    let feed = publisher
        .nats
        .jetstream
        .get_stream(streams::EVENTS)
        .await
        .unwrap();
    let last = feed
        .get_last_raw_message_by_subject("ledger.events.ACC-2")
        .await
        .unwrap_or_else(|error| panic!("{:?}", error.kind() as LastRawMessageErrorKind));
    feed.delete_message(last.sequence).await.unwrap();
    eventually("both to be found", || async {
        let found = divergences(&ledger, &[]).await;
        let places = places(&found);
        places.contains(&"event_store") && places.contains(&"feed")
    })
    .await;
    let found = divergences(&ledger, &[]).await;
    let of = |place: &str| {
        let mut lines = found.iter().filter(|line| line["place"] == place);
        let line = lines.next().unwrap();
        (
            line["account_id"].as_str().unwrap().to_owned(),
            line["version"].as_i64(),
        )
    };
    assert_eq!(of("event_store"), ("ACC-1".to_owned(), Some(2)));
    assert_eq!(of("feed"), ("ACC-2".to_owned(), Some(2)));
    assert!(
        process.log().contains("differs from the event store"),
        "{}",
        process.log()
    );
}

/// The states of the pipeline in two processes.
async fn states(processes: [&Process; 2]) -> [String; 2] {
    let mut states = [String::new(), String::new()];
    for (process, state) in processes.into_iter().zip(&mut states) {
        if let Some((_, document)) = process.readyz().await {
            document["pipelines"][0]["state"]
                .as_str()
                .unwrap_or_default()
                .clone_into(state);
        }
    }
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_compares_at_a_time_and_another_goes_on_where_it_was_killed() {
    let (ledger, all) = Ledger::running().await;
    let mut workload = Workload::new(&ledger, Random::seeded("two that compare")).await;
    workload.publish(400).await;
    workload.check(&ledger).await;
    ledger.until_converged().await;
    assert_eq!(all.stop().await, Some(0));
    // Slow enough to be killed in the midst of a pass.
    let flags = ["--only", "comparison", "--compare-rate", "50"];
    eventually("the lease of the first process to end", || async {
        let sql = "SELECT count(*) FROM comparison WHERE leased_until > clock_timestamp()";
        let read_model = ledger.read_model().await;
        let held: i64 = sqlx::query_scalar(sql)
            .fetch_one(&read_model)
            .await
            .unwrap();
        read_model.close().await;
        held == 0
    })
    .await;
    let first = ledger.run(&flags, &[]).await;
    eventually("the first to compare", || async {
        states([&first, &first]).await[0] == "running"
    })
    .await;
    let second = ledger.run(&flags, &[]).await;
    eventually("the second to rest", || async {
        states([&first, &second]).await == ["running", "paused"]
    })
    .await;
    first.kill().await;
    let killed_at = Instant::now();
    eventually("the second to go on", || async {
        states([&second, &second]).await[0] == "running"
    })
    .await;
    assert!(
        killed_at.elapsed() < Duration::from_secs(25),
        "after {:?}",
        killed_at.elapsed()
    );
    until_compared(&ledger).await;
    assert_eq!(divergences(&ledger, &["--gone"]).await, [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_step_does_not_hold_up_the_end_of_the_process() {
    let ledger = Ledger::new().await;
    let mut process = ledger.run(&["--compare-rate", "1"], &[]).await;
    book(&ledger).await;
    // One event a second: it is in the midst of a step now, or will be.
    eventually("a step to begin", || async {
        let scrape = process.get("/metrics").await.unwrap().1;
        let working = "chronicle_node_working_seconds{pipeline=\"comparison\",node=\"compare\"} ";
        scrape.lines().any(|line| {
            line.strip_prefix(working)
                .is_some_and(|value| value.parse::<f64>().unwrap() > 0.5)
        })
    })
    .await;
    let told = Instant::now();
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    let (took, log) = (told.elapsed(), process.log());
    // Not as long as a step, which takes five seconds, nor after the deadline for what is in flight.
    assert!(took < Duration::from_secs(4), "{took:?}\n{log}");
    assert!(!log.contains("abandoned=true"), "{log}");
}
