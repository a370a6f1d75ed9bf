//! `chronicle feed restore`: the feed is made anew from the event store, whatever dies on the way, and nobody applies
//! anything twice.

mod support;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use ledger::EventId;
use serde_json::{Value, json};
use support::random::Random;
use support::workload::{Workload, until_settled};
use support::{Ledger, Process, eventually, text};
use transport::{headers, restoring, streams};

const RESTORE: [&str; 3] = ["feed", "restore", "--replace"];

/// A ledger with some history, and a process with all pipelines that has applied it.
async fn with_history(name: &str, commands: usize) -> (Ledger, Process, Workload) {
    let (ledger, process) = Ledger::running().await;
    let mut workload = Workload::new(&ledger, Random::seeded(name)).await;
    workload.publish(commands).await;
    until_settled(&ledger).await;
    ledger.until_converged().await;
    (ledger, process, workload)
}

/// The feed has every event of the event store, each account's in order and without a hole; and so many of them say that
/// they were put back.
async fn check_feed(ledger: &Ledger, restored: usize) {
    ledger.check_feed_is_complete().await;
    ledger.check_feed_is_in_order().await;
    let messages = ledger.messages(streams::EVENTS).await;
    let marked = messages
        .iter()
        .filter(|message| message.header(headers::RESTORED).is_some());
    assert_eq!(marked.count(), restored);
}

/// The ids of the feed's events, in order.
async fn order(ledger: &Ledger) -> Vec<EventId> {
    let feed = ledger.feed().await;
    feed.iter().map(|event| event.event_id).collect()
}

/// How often each transaction was applied: the rows, by their key.
async fn lines(ledger: &Ledger) -> BTreeMap<String, Vec<i64>> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT account_id, version FROM transactions ORDER BY account_id, version")
            .fetch_all(&ledger.read_model().await)
            .await
            .expect("the read model can be read");
    let mut lines: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (account_id, version) in rows {
        lines.entry(account_id).or_default().push(version);
    }
    lines
}

async fn wipe_nats(ledger: &Ledger) {
    ledger.nats.kill().await;
    std::fs::remove_dir_all(ledger.nats.folder().join("data")).expect("it can be removed");
    ledger.nats.restart().await.expect("it starts");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_all_of_nats_was_lost_one_command_brings_the_feed_back() {
    let (ledger, process, mut workload) = with_history("wiped, restored", 200).await;
    let (before, applied) = (ledger.stored_events().await.len(), lines(&ledger).await);
    assert_eq!(process.stop().await, Some(0));
    wipe_nats(&ledger).await;

    let done = ledger.json(&RESTORE, 0).await;
    assert_eq!(done["events_published"], before);
    assert_eq!(done["resumed"], false);
    assert_eq!(done["adopted"].as_array().map(Vec::len), Some(5));
    check_feed(&ledger, before).await;

    let process = ledger.run(&[], &[]).await;
    ledger.until_converged().await;
    assert_eq!(lines(&ledger).await, applied);
    let mut after = workload.continued(&ledger).await;
    after.publish(150).await;
    after.check_agreement(&ledger).await;
    ledger.until_converged().await;
    check_feed(&ledger, before).await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// Intake waits while the feed is not whole, projections go on by themselves, and commands have their outcomes afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn under_load_what_is_recorded_meanwhile_comes_behind_what_is_restored() {
    let (ledger, process, mut workload) = with_history("restored under load", 200).await;
    let before = ledger.stored_events().await.len();
    let answers = workload.answers();
    let publishing = workload.publish_stubbornly(300);
    let arguments = [&RESTORE[..], &["--rate", "400"]].concat();
    let restoring = async {
        answers.until(230).await;
        ledger.json(&arguments, 0).await
    };
    let ((), done) = tokio::join!(publishing, restoring);
    let published = done["events_published"].as_u64().expect("a number");
    assert!(published >= before as u64, "{done}");
    workload.check_agreement(&ledger).await;
    ledger.until_converged().await;
    check_feed(&ledger, usize::try_from(published).expect("it is small")).await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// Kills a restoration at the nth pass of a fault point.
async fn dies_at(ledger: &Ledger, arguments: &[&str], point: &str, nth: u64) {
    let died = ledger
        .command()
        .args(arguments)
        .env("CHRONICLE_FAULT", format!("{point}:{nth}"))
        .output()
        .await
        .expect("chronicle can be started");
    assert_eq!(died.status.code(), None, "{}", text(&died.stderr));
    assert!(text(&died.stderr).contains(point), "{}", text(&died.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restoration_that_is_killed_anywhere_goes_on_to_the_same_feed() {
    let (ledger, process, _) = with_history("restored and killed", 400).await;
    assert_eq!(process.stop().await, Some(0));
    let events = ledger.stored_events().await.len();
    ledger.json(&RESTORE, 0).await;
    let undisturbed = order(&ledger).await;
    assert_eq!(undisturbed.len(), events);

    // A page has 50 events, by the rate that is asked for.
    let replace = [&RESTORE[..], &["--rate", "50"]].concat();
    let go_on = ["feed", "restore", "--rate", "5000"];
    dies_at(&ledger, &replace, "after_feed_removed", 1).await;
    for nth in 1..=4 {
        let slowly: &[&str] = if nth == 1 {
            &["feed", "restore", "--rate", "50"]
        } else {
            &replace
        };
        dies_at(&ledger, slowly, "in_feed_restoration", nth).await;
        let nats = ledger.connect().await;
        let stream = streams::existing(&nats.jetstream, streams::EVENTS).await;
        let stream = stream.expect("NATS answers").expect("it was begun");
        assert!(restoring::restoration(&stream).is_some());
        // Of the page that was sent last, nothing need have reached the stream; those before it lie a second back.
        let stored = stream.cached_info().state.messages;
        assert!(nth == 1 || stored > 0);
        let plan = ledger.json(&["feed", "restore", "--dry-run"], 0).await;
        assert_eq!(plan["feed"]["state"], "restoring");
        let done = ledger.json(&go_on, 0).await;
        assert_eq!(done["resumed"], stored > 0, "{done}");
        assert_eq!(order(&ledger).await, undisturbed, "killed at {nth}");
    }
    for _ in 0..5 {
        // Killed from outside, whenever.
        let mut child = ledger
            .command()
            .args(["feed", "restore", "--replace", "--rate", "500"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chronicle can be started");
        tokio::time::sleep(Duration::from_millis(
            Random::seeded("killed").below(900) + 50,
        ))
        .await;
        child.kill().await.expect("it can be killed");
        // Perhaps it had ended, or had not begun.
        ledger
            .chronicle(&["feed", "restore", "--rate", "5000"])
            .await;
        if order(&ledger).await != undisturbed {
            ledger.json(&RESTORE, 0).await;
        }
        assert_eq!(order(&ledger).await, undisturbed);
    }
    dies_at(&ledger, &RESTORE, "before_feed_opens", 1).await;
    let process = ledger.start(&[], &[]).await;
    process.until_logged("is being restored").await;
    let done = ledger.json(&go_on, 0).await;
    assert_eq!(done["events_published"], 0);
    assert_eq!(order(&ledger).await, undisturbed);
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_there_is_removed_by_order_only_and_a_plan_changes_nothing() {
    let (ledger, process, _) = with_history("a plan", 60).await;
    let before = order(&ledger).await;
    let refused = ledger.chronicle(&["feed", "restore"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("--replace"),
        "{}",
        text(&refused.stderr)
    );
    let plan = ledger
        .json(&["feed", "restore", "--replace", "--dry-run"], 0)
        .await;
    assert_eq!(plan["feed"]["state"], "open");
    assert_eq!(plan["feed"]["messages"], before.len());
    assert_eq!(plan["events"], ledger.stored_events().await.len());
    let told = ledger
        .chronicle(&["feed", "restore", "--replace", "--dry-run"])
        .await;
    let told = text(&told.stdout);
    for words in ["removes the feed", "intake waits", "tells the projections"] {
        assert!(told.contains(words), "{told}");
    }
    assert_eq!(order(&ledger).await, before);
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_everything_it_stops_and_newer_events_alone_can_be_restored() {
    let (ledger, process, _) = with_history("no room", 2_500).await;
    assert_eq!(process.stop().await, Some(0));
    let events = ledger.stored_events().await;
    let small = [&RESTORE[..], &["--feed-mib-max", "1"]].concat();
    let full = ledger.chronicle(&small).await;
    let said = text(&full.stderr);
    assert_eq!(full.status.code(), Some(4), "{said}");
    for words in ["maximum bytes exceeded", "--max-bytes", "--since"] {
        assert!(said.contains(words), "{said}");
    }

    let mut times: Vec<_> = events.iter().map(|event| event.recorded_at).collect();
    times.sort_unstable();
    let since = times[times.len() - 200];
    let newer = events
        .iter()
        .filter(|event| event.recorded_at >= since)
        .count();
    let since = since.to_string();
    let other = ledger
        .chronicle(&["feed", "restore", "--since", &since])
        .await;
    assert!(text(&other.stderr).contains("was begun with everything"));
    let done = ledger
        .json(&[&small[..], &["--since", &since]].concat(), 0)
        .await;
    assert_eq!(done["events_published"], newer);
    assert_eq!(order(&ledger).await.len(), newer);
    let process = ledger.run(&[], &[]).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_restorations_at_once_one_stops_and_the_feed_is_whole() {
    let (ledger, process, _) = with_history("two at once", 400).await;
    assert_eq!(process.stop().await, Some(0));
    let events = ledger.stored_events().await.len();
    let first = async {
        ledger
            .chronicle(&[
                "-o",
                "json",
                "feed",
                "restore",
                "--replace",
                "--rate",
                "200",
            ])
            .await
    };
    let second = async {
        eventually("the first to have begun", || async {
            let nats = ledger.connect().await;
            let stream = streams::existing(&nats.jetstream, streams::EVENTS).await;
            stream.is_ok_and(|stream| {
                stream.is_some_and(|stream| {
                    restoring::restoration(&stream).is_some()
                        && stream.cached_info().state.messages > 0
                })
            })
        })
        .await;
        ledger
            .chronicle(&["-o", "json", "feed", "restore", "--rate", "5000"])
            .await
    };
    let (first, second) = tokio::join!(first, second);
    let ended: Vec<_> = [&first, &second].map(|one| one.status.code()).into();
    assert!(ended.contains(&Some(0)), "{}", text(&second.stderr));
    check_feed(&ledger, events).await;
    let whole: Value = serde_json::from_slice(if first.status.success() {
        &first.stdout
    } else {
        &second.stdout
    })
    .expect("it is JSON");
    assert_eq!(whole["last_sequence"], json!(events));
    let process = ledger.run(&[], &[]).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
