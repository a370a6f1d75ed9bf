//! `GET /metrics` of a real process: the numbers are exact, the form is right, and no server that is away holds it up.

// Values of counters are whole numbers, and compared as such.
#![allow(clippy::float_cmp, reason = "these are tests")]

mod documentation;
mod exposition;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::HeaderMap;
use servers::testing;
use tokio::time::Instant;
use transport::streams;

use exposition::Scrape;
use support::publisher::{Publisher, create, movement, transfer};
use support::raw::RawPublisher;
use support::{Ledger, Process, eventually};

/// How long a scrape may take, whatever is away.
const SCRAPE_WITHIN: Duration = Duration::from_secs(2);

const PROJECTIONS: [&str; 5] = [
    "account_balance",
    "daily_totals",
    "holds",
    "transactions",
    "transfers",
];

/// One scrape, in time and well formed.
async fn scrape(process: &Process) -> Scrape {
    let began = Instant::now();
    let (head, body) = process.get("/metrics").await.expect("it answers");
    assert!(
        began.elapsed() < SCRAPE_WITHIN,
        "a scrape took {:?}",
        began.elapsed()
    );
    let head = head.to_lowercase();
    assert!(head.starts_with("http/1.0 200"), "{head}");
    assert!(
        head.contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    Scrape::parse(&body)
}

/// Scrapes until it shows what it should.
async fn until(process: &Process, what: &str, shows: impl Fn(&Scrape) -> bool) -> Scrape {
    eventually(what, || async { shows(&scrape(process).await) }).await;
    scrape(process).await
}

/// Whether these servers are up, and no others.
fn are_up(scrape: &Scrape, servers: &[&str]) -> bool {
    let by_server = scrape.by("chronicle_server_up", "server");
    let up = by_server.iter().filter(|(_, up)| **up == 1.0);
    by_server.len() == 3
        && up
            .map(|(server, _)| server.as_str())
            .eq(servers.iter().copied())
}

/// Whether the lag of every projection is known, and its value if it is.
fn lags(scrape: &Scrape, name: &str) -> Option<Vec<f64>> {
    let value = |projection| scrape.value(name, &[("projection", projection)]);
    PROJECTIONS.into_iter().map(value).collect()
}

/// The state that a pipeline is in.
fn state(scrape: &Scrape, pipeline: &str) -> String {
    let states = &scrape.families["chronicle_pipeline_state"].samples;
    let mut present = states
        .iter()
        .filter(|sample| sample.labels["pipeline"] == pipeline && sample.value == 1.0);
    let state = present.next().expect("it is in a state").labels["state"].clone();
    assert!(present.next().is_none(), "{pipeline} is in two states");
    state
}

/// 55 messages of every kind: 43 commands that are accepted and make 44 events, 5 that are rejected, 3 that are sent again,
/// 4 that become dead letters. All of them are settled when this returns.
async fn send_some_of_everything(ledger: &Ledger) {
    let publisher = Publisher::connect(ledger).await;
    publisher
        .tell_all(&[create("ACC-1", "100.00"), create("ACC-2", "0")])
        .await;
    let deposits: Vec<_> = (0..40)
        .map(|_| movement("deposit", "ACC-1", "1.00"))
        .collect();
    publisher.tell_all(&deposits).await;
    publisher
        .tell_all(&[
            transfer("ACC-1", "ACC-2", "5.00"),
            create("ACC-1", "1.00"),
            movement("withdraw", "ACC-1", "1000.00"),
            movement("withdraw", "ACC-2", "1000.00"),
            movement("deposit", "ACC-3", "1.00"),
            transfer("ACC-1", "ACC-1", "1.00"),
        ])
        .await;
    // Sent again by their publisher: the answers are the old ones, and nothing else happens.
    publisher.tell_all(&deposits[..3]).await;
    let mut other_body = movement("deposit", "ACC-1", "2.00");
    other_body["command_id"] = deposits[0]["command_id"].clone();
    publisher.tell(&other_body).await;
    let misplaced = movement("deposit", "ACC-1", "1.00").to_string();
    for (subject, payload) in [
        ("ledger.commands.ACC-1", ""),
        ("ledger.commands.ACC-1", "no command"),
        ("ledger.commands.ACC-2", &misplaced),
    ] {
        let headers = HeaderMap::new();
        let number = publisher
            .ask_with(subject, headers, payload.to_owned())
            .await;
        publisher.answer(number).await;
    }
    ledger.until_settled().await;
}

/// What has become of so many commands, by outcome and code; those that are 0 are left out, and counted.
fn commands(scrape: &Scrape) -> (BTreeMap<(&str, &str), f64>, usize) {
    let samples = &scrape.families["chronicle_commands_total"].samples;
    let counted = samples.iter().map(|sample| {
        assert_eq!(sample.labels["pipeline"], "intake");
        let labels = (
            sample.labels["outcome"].as_str(),
            sample.labels["code"].as_str(),
        );
        (labels, sample.value)
    });
    let (used, unused): (BTreeMap<_, _>, BTreeMap<_, _>) =
        counted.partition(|(_, count)| *count > 0.0);
    (used, unused.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_counted_once_by_what_became_of_it() {
    let (ledger, process) = Ledger::running().await;
    let codes = ledger::RejectionCode::ALL.len();
    assert_eq!(
        commands(&scrape(&process).await),
        (BTreeMap::new(), codes + 2),
        "what has not happened yet is there as 0"
    );
    send_some_of_everything(&ledger).await;
    let expected = BTreeMap::from([
        (("accepted", ""), 43.0),
        (("repeated", ""), 3.0),
        (("rejected", "account_exists"), 1.0),
        (("rejected", "account_not_found"), 1.0),
        (("rejected", "insufficient_funds"), 2.0),
        (("rejected", "same_account"), 1.0),
        (("dead_lettered", "idempotency_conflict"), 1.0),
        (("dead_lettered", "invalid_json"), 2.0),
        (("dead_lettered", "wrong_subject"), 1.0),
    ]);
    assert_eq!(commands(&scrape(&process).await), (expected, codes - 4));
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_feed_and_projection_counts_what_went_through_it() {
    let (ledger, process) = Ledger::running().await;
    send_some_of_everything(&ledger).await;
    let scrape = until(&process, "the projections to have caught up", |scrape| {
        let feed = [("stream", streams::EVENTS)];
        scrape.value("chronicle_stream_last_sequence", &feed) == Some(44.0)
            && lags(scrape, "chronicle_projection_lag_events") == Some(vec![0.0; PROJECTIONS.len()])
    })
    .await;
    for (metric, node, value) in [
        ("output_records_total", "commands", Some(55.0)),
        ("input_records_total", "decode", Some(55.0)),
        ("dead_lettered_records_total", "decode", Some(3.0)),
        ("dead_lettered_records_total", "validate", Some(1.0)),
        ("output_records_total", "outcomes", Some(51.0)),
        ("queue_max_batches", "decode", Some(2.0)),
        ("queue_batches", "decode", Some(0.0)),
        // A source has no queue.
        ("queue_batches", "commands", None),
    ] {
        let labels = [("pipeline", "intake"), ("node", node)];
        let found = scrape.value(&format!("chronicle_node_{metric}"), &labels);
        assert_eq!(found, value, "{metric} of {node}");
    }
    let intake = |name: &str| {
        let value = scrape.value(&format!("chronicle_{name}"), &[("pipeline", "intake")]);
        value.unwrap_or_else(|| panic!("there is no {name}"))
    };
    for (metric, value) in [
        ("pipeline_settled_records_total", 55.0),
        ("pipeline_in_flight_records", 0.0),
        ("pipeline_batch_records_sum", 55.0),
        ("pipeline_failed_runs_total", 0.0),
        ("pipeline_runs_total", 1.0),
        // 2 accounts, 40 deposits, 2 sides of a transfer; and the 3 that were sent again.
        ("feed_published_events_total", 44.0 + 3.0),
        ("feed_duplicate_events_total", 3.0),
        ("feed_republished_events_total", 3.0),
        ("feed_failed_publishes_total", 0.0),
        ("failed_appends_total", 0.0),
    ] {
        assert_eq!(intake(metric), value, "{metric}");
    }
    let source = [("pipeline", "intake"), ("node", "commands")];
    assert_eq!(
        scrape.value("chronicle_node_batches_total", &source),
        Some(intake("pipeline_batch_records_count"))
    );
    assert!(intake("append_duration_seconds_count") >= 3.0);
    // The first of the commands that came again was not known before its append.
    assert!(intake("conflicting_appends_total") >= 1.0);
    assert_eq!(
        intake("redecided_batches_total"),
        intake("conflicting_appends_total")
    );
    assert!(intake("append_duration_seconds_sum") > 0.0);
    assert_eq!(state(&scrape, "intake"), "running");
    for (metric, value) in [("offset_sequence", 44.0), ("lag_seconds", 0.0)] {
        let found = lags(&scrape, &format!("chronicle_projection_{metric}"));
        assert_eq!(found, Some(vec![value; PROJECTIONS.len()]), "{metric}");
    }
    let letters = [("stream", streams::DEAD_LETTERS)];
    assert_eq!(
        scrape.value("chronicle_stream_messages", &letters),
        Some(4.0)
    );
    let memory = scrape.value("chronicle_process_resident_memory_bytes", &[]);
    assert!(memory > Some(1e6), "{memory:?}");
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_makes_no_scrape_wait() {
    let postgres = testing::Postgres::start().await;
    let ledger = Ledger::over(
        postgres.fresh_database("event_store").await,
        postgres.fresh_database("read_model").await,
    )
    .await;
    let process = ledger.run(&[], &[]).await;
    let publisher = Publisher::connect(&ledger).await;
    publisher.tell(&create("ACC-1", "100.00")).await;
    let all = ["event_store", "nats", "read_model"];
    let is_well = |scrape: &Scrape| {
        are_up(scrape, &all)
            && lags(scrape, "chronicle_projection_lag_events") == Some(vec![0.0; PROJECTIONS.len()])
    };
    until(&process, "all to be well", is_well).await;

    postgres.pause();
    publisher.ask(&movement("deposit", "ACC-1", "1.00")).await;
    let away = until(&process, "the databases to be missed", |scrape| {
        are_up(scrape, &["nats"])
    })
    .await;
    assert_eq!(
        lags(&away, "chronicle_projection_lag_up"),
        Some(vec![0.0; PROJECTIONS.len()])
    );
    for family in ["offset_sequence", "lag_events", "lag_seconds"] {
        let samples = &away.families[&format!("chronicle_projection_{family}")].samples;
        assert!(samples.is_empty(), "{samples:?}");
    }
    assert_eq!(
        away.value("chronicle_commands_total", &[("outcome", "accepted")]),
        Some(1.0)
    );
    until(&process, "the append that hangs to be seen", |scrape| {
        let working = ("chronicle_node_working_seconds", [("node", "validate")]);
        scrape.value(working.0, &working.1) > Some(1.0)
    })
    .await;

    postgres.resume();
    until(&process, "all to be well again", |scrape| {
        let accepted = scrape.value("chronicle_commands_total", &[("outcome", "accepted")]);
        is_well(scrape) && accepted == Some(2.0)
    })
    .await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_that_is_away_is_seen_and_makes_no_scrape_wait() {
    let (ledger, process) = Ledger::running().await;
    ledger.nats.stop().await;
    let away = until(&process, "NATS to be missed", |scrape| {
        let attempt = scrape.value("chronicle_pipeline_attempt_runs", &[("pipeline", "intake")]);
        are_up(scrape, &["event_store", "read_model"]) && attempt >= Some(2.0)
    })
    .await;
    assert_eq!(state(&away, "intake"), "retrying");
    assert!(
        away.value(
            "chronicle_pipeline_failed_runs_total",
            &[("pipeline", "intake")]
        ) >= Some(2.0)
    );
    assert_eq!(
        lags(&away, "chronicle_projection_lag_up"),
        Some(vec![0.0; PROJECTIONS.len()])
    );
    assert_eq!(
        lags(&away, "chronicle_projection_offset_sequence"),
        Some(vec![0.0; PROJECTIONS.len()])
    );
    assert!(
        away.families["chronicle_stream_messages"]
            .samples
            .is_empty()
    );

    ledger.nats.restart().await.expect("it starts");
    let back = until(&process, "NATS to be found", |scrape| {
        are_up(scrape, &["event_store", "nats", "read_model"])
            && state(scrape, "intake") == "running"
    })
    .await;
    let intake = [("pipeline", "intake")];
    assert_eq!(
        back.value("chronicle_pipeline_attempt_runs", &intake),
        Some(0.0)
    );
    assert!(back.value("chronicle_pipeline_failed_runs_total", &intake) >= Some(2.0));
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_has_stopped_lags_by_events_and_by_time() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    publisher.tell(&create("ACC-1", "100.00")).await;
    // Not in one batch with what stops them.
    until(&process, "the account to be applied", |scrape| {
        lags(scrape, "chronicle_projection_offset_sequence") == Some(vec![1.0; PROJECTIONS.len()])
    })
    .await;
    let mut raw = RawPublisher::connect(&ledger).await;
    raw.store(b"ledger.events.ACC-1", b"NATS/1.0\r\n\r\n", b"no event")
        .await;
    for _ in 0..2 {
        publisher.tell(&movement("deposit", "ACC-1", "1.00")).await;
    }
    let stopped = until(&process, "three messages to be missing", |scrape| {
        lags(scrape, "chronicle_projection_lag_events") == Some(vec![3.0; PROJECTIONS.len()])
    })
    .await;
    assert_eq!(
        lags(&stopped, "chronicle_projection_lag_up"),
        Some(vec![1.0; PROJECTIONS.len()])
    );
    assert_eq!(
        lags(&stopped, "chronicle_projection_offset_sequence"),
        Some(vec![1.0; PROJECTIONS.len()])
    );
    let before = lags(&stopped, "chronicle_projection_lag_seconds").expect("it is known");
    let after = until(&process, "the lag to grow", |scrape| {
        let age = lags(scrape, "chronicle_projection_lag_seconds").expect("it is known");
        age.iter()
            .zip(&before)
            .all(|(after, before)| *after > before + 4.0)
    })
    .await;
    for projection in PROJECTIONS {
        assert_eq!(
            state(&after, &format!("projection.{projection}")),
            "stopped"
        );
    }
    assert_eq!(state(&after, "intake"), "running");
    assert_eq!(process.stop().await, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_partitions_count_apart_and_a_process_shows_only_what_it_runs() {
    let ledger = Ledger::new().await;
    let process = ledger
        .run(&["--partitions", "2", "--only", "intake"], &[])
        .await;
    let publisher = Publisher::connect(&ledger).await;
    let accounts: Vec<_> = (0..20)
        .map(|number| create(&format!("ACC-{number}"), "1.00"))
        .collect();
    publisher.tell_all(&accounts).await;
    let scrape = until(&process, "the first look at the servers", |scrape| {
        !scrape.families["chronicle_server_up"].samples.is_empty()
    })
    .await;
    let accepted = |pipeline| {
        let labels = [("pipeline", pipeline), ("outcome", "accepted")];
        scrape
            .value("chronicle_commands_total", &labels)
            .expect("it is counted")
    };
    let (first, second) = (accepted("intake.0"), accepted("intake.1"));
    assert!(first > 0.0 && second > 0.0, "{first}, {second}");
    assert_eq!(first + second, 20.0);
    let servers = scrape.by("chronicle_server_up", "server");
    assert_eq!(
        servers.into_keys().collect::<Vec<_>>(),
        ["event_store", "nats"]
    );
    assert!(
        scrape.families["chronicle_projection_lag_up"]
            .samples
            .is_empty()
    );
    assert_eq!(process.stop().await, Some(0));
}
