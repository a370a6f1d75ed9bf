//! `chronicle feed restore`: the feed is made anew from the event store, whatever dies on the way, and nobody applies
//! anything twice.

mod support;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};
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
    for words in [
        "removes the feed",
        "MiB, and the feed keeps at most 4096.0 MiB",
        "it has room for it",
        "intake waits",
        "tells the projections",
    ] {
        assert!(told.contains(words), "{told}");
    }
    assert_eq!(order(&ledger).await, before);
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_everything_nothing_is_begun_and_newer_events_alone_can_be_restored() {
    let (ledger, process, _) = with_history("no room", 2_500).await;
    assert_eq!(process.stop().await, Some(0));
    let (events, before) = (ledger.stored_events().await, order(&ledger).await);
    let small = [&RESTORE[..], &["--feed-mib-max", "1"]].concat();
    let plan = ledger.json(&[&small[..], &["--dry-run"]].concat(), 0).await;
    assert_eq!(plan["fits"], false, "{plan}");
    assert_eq!(plan["events"], events.len());
    assert_eq!(plan["limits"]["bytes_max"], 1_048_576);
    let refused = ledger.chronicle(&small).await;
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let bytes = plan["bytes"].as_u64().expect("it is a number");
    let enough = format!("--feed-mib-max {}", bytes.div_ceil(1024 * 1024));
    for words in [
        "has no room for everything",
        "Nothing was changed",
        &enough,
        "--since",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(order(&ledger).await, before);
    let open = ledger
        .json(&["feed", "restore", "--replace", "--dry-run"], 0)
        .await;
    assert_eq!(open["feed"]["state"], "open");

    let mut times: Vec<_> = events.iter().map(|event| event.recorded_at).collect();
    times.sort_unstable();
    let since = times[times.len() - 200];
    let newer = events
        .iter()
        .filter(|event| event.recorded_at >= since)
        .count();
    let since = since.to_string();
    dies_at(
        &ledger,
        &[&RESTORE[..], &["--rate", "50"]].concat(),
        "in_feed_restoration",
        1,
    )
    .await;
    let other = ledger
        .chronicle(&["feed", "restore", "--since", &since])
        .await;
    assert!(text(&other.stderr).contains("was begun with everything"));
    let newer_only = [&small[..], &["--since", &since]].concat();
    let plan = ledger
        .json(&[&newer_only[..], &["--dry-run"]].concat(), 0)
        .await;
    assert_eq!(plan["events"], newer);
    let done = ledger.json(&newer_only, 0).await;
    assert_eq!(done["events_published"], newer);
    assert_eq!(order(&ledger).await.len(), newer);
    let process = ledger.run(&[], &[]).await;
    ledger.until_converged().await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// The feed as it is now.
async fn feed_now(ledger: &Ledger) -> Stream {
    let nats = ledger.connect().await;
    let stream = streams::existing(&nats.jetstream, streams::EVENTS).await;
    stream.expect("NATS answers").expect("the feed is there")
}

/// Changes the feed's settings, as an operator does with the tools of NATS.
async fn change_feed(ledger: &Ledger, change: impl FnOnce(&mut Config)) {
    let mut config = feed_now(ledger).await.cached_info().config.clone();
    change(&mut config);
    let nats = ledger.connect().await;
    let changed = nats.jetstream.update_stream(config).await;
    changed.expect("it can be changed");
}

/// Waits until a restoration has published something.
async fn until_begun(ledger: &Ledger) {
    eventually("a restoration to have begun", || async {
        let nats = ledger.connect().await;
        let stream = streams::existing(&nats.jetstream, streams::EVENTS).await;
        stream.is_ok_and(|stream| {
            stream.is_some_and(|stream| {
                restoring::restoration(&stream).is_some() && stream.cached_info().state.messages > 0
            })
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_fills_up_all_the_same_says_what_to_do_and_goes_on_with_more_room() {
    let (ledger, process, _) = with_history("filled up", 400).await;
    assert_eq!(process.stop().await, Some(0));
    let slowly = [&RESTORE[..], &["--rate", "100"]].concat();
    let restoring = ledger.chronicle(&slowly);
    let filling = async {
        until_begun(&ledger).await;
        let full = feed_now(&ledger).await.cached_info().state.bytes;
        let full = i64::try_from(full).expect("it is small");
        change_feed(&ledger, |config| config.max_bytes = full).await;
    };
    let (stopped, ()) = tokio::join!(restoring, filling);
    let said = text(&stopped.stderr);
    assert_eq!(stopped.status.code(), Some(4), "{said}");
    for words in [
        "maximum bytes exceeded",
        "--feed-mib-max",
        "--since",
        "--abandon",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // What was measured is an estimate: it says so, and tries.
    let plan = ledger.json(&["feed", "restore", "--dry-run"], 0).await;
    assert_eq!(plan["fits"], false, "{plan}");
    assert_eq!(plan["events"], ledger.stored_events().await.len(), "{plan}");
    let again = ledger.chronicle(&["feed", "restore"]).await;
    let said = text(&again.stderr);
    assert_eq!(again.status.code(), Some(4), "{said}");
    for words in [
        "It goes on as far as there is room",
        "--feed-mib-max 1",
        "--abandon",
        "maximum bytes exceeded",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let done = ledger
        .json(&["feed", "restore", "--feed-mib-max", "64"], 0)
        .await;
    assert_eq!(done["resumed"], true);
    assert_eq!(
        feed_now(&ledger).await.cached_info().config.max_bytes,
        64 << 20
    );
    check_feed(&ledger, ledger.stored_events().await.len()).await;
}

/// A restoration with these flags stops before it has removed anything.
async fn refuses_what_nats_has_not_got(ledger: &Ledger, flags: &[&str]) {
    let refused = ledger.chronicle(&[&RESTORE[..], flags].concat()).await;
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_made_anew_is_as_the_old_one_was_unless_a_flag_says_otherwise() {
    const DAYS: Duration = Duration::from_hours(24 * 30);
    let (ledger, process, _) = with_history("as it was", 100).await;
    assert_eq!(process.stop().await, Some(0));
    change_feed(&ledger, |config| {
        config.max_bytes = 100 << 20;
        config.max_messages = 1_000_000;
        config.max_age = DAYS;
        config.description = Some("ours".to_owned());
    })
    .await;
    let before = feed_now(&ledger).await.cached_info().config.clone();
    let plan = ledger
        .json(&[&RESTORE[..], &["--dry-run"]].concat(), 0)
        .await;
    let limits = json!({"bytes_max": 100 << 20, "messages_max": 1_000_000, "messages_per_account_max": null,
        "age_seconds_max": DAYS.as_secs(), "replicas": 1});
    assert_eq!(plan["limits"], limits, "{plan}");
    assert_eq!(plan["fits"], true);
    // The environment is for feeds that are missing.
    let restored = ledger
        .command()
        .args(RESTORE)
        .env("CHRONICLE_FEED_MIB_MAX", "7")
        .output()
        .await
        .expect("chronicle can be started");
    let said = text(&restored.stderr);
    assert!(restored.status.success(), "{said}");
    let feed = feed_now(&ledger).await;
    let (now, state) = (&feed.cached_info().config, &feed.cached_info().state);
    assert_eq!(
        (&now.subjects, now.max_bytes, now.max_messages, now.max_age),
        (
            &before.subjects,
            before.max_bytes,
            before.max_messages,
            before.max_age
        )
    );
    assert_eq!(
        (&now.description, now.discard),
        (&before.description, before.discard)
    );
    assert!(now.subject_transform.is_none(), "{now:?}");
    // What was planned is what it took, and a little more.
    let planned = plan["bytes"].as_u64().expect("it is a number");
    assert!(
        (state.bytes..state.bytes + state.bytes / 10).contains(&planned),
        "{planned} were planned, and it took {}",
        state.bytes
    );

    let larger = [&RESTORE[..], &["--feed-mib-max", "200"]].concat();
    ledger.json(&larger, 0).await;
    let now = feed_now(&ledger).await.cached_info().config.clone();
    assert_eq!((now.max_bytes, now.max_age), (200 << 20, DAYS));
    // More than there is: this is known before anything is removed.
    let order_before = order(&ledger).await;
    refuses_what_nats_has_not_got(&ledger, &["--feed-mib-max", "4000000000"]).await;
    refuses_what_nats_has_not_got(&ledger, &["--stream-replicas", "3"]).await;
    let now = feed_now(&ledger).await.cached_info().config.clone();
    assert_eq!(now.max_bytes, 200 << 20);
    change_feed(&ledger, |config| config.max_bytes = -1).await;
    refuses_what_nats_has_not_got(&ledger, &["--feed-mib-max", "4000000000"]).await;
    change_feed(&ledger, |config| config.max_bytes = 200 << 20).await;
    assert_eq!(order(&ledger).await, order_before);

    // Also when the old one is gone, and the new one not yet made.
    dies_at(&ledger, &RESTORE, "after_feed_removed", 1).await;
    let kept = restoring::kept(&ledger.connect().await.jetstream).await;
    assert!(kept.expect("NATS answers").is_some());
    let plan = ledger.json(&["feed", "restore", "--dry-run"], 0).await;
    assert_eq!(plan["feed"]["state"], "missing");
    assert_eq!(plan["limits"]["bytes_max"], 200 << 20, "{plan}");
    ledger.json(&["feed", "restore"], 0).await;
    let now = feed_now(&ledger).await.cached_info().config.clone();
    assert_eq!((now.max_bytes, now.max_age), (200 << 20, DAYS));
    assert_eq!(now.description, before.description);
    let kept = restoring::kept(&ledger.connect().await.jetstream).await;
    assert!(kept.expect("NATS answers").is_none());

    wipe_nats(&ledger).await;
    let restored = ledger
        .command()
        .args(["feed", "restore"])
        .env("CHRONICLE_FEED_MIB_MAX", "7")
        .output()
        .await
        .expect("chronicle can be started");
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    assert_eq!(
        feed_now(&ledger).await.cached_info().config.max_bytes,
        7 << 20
    );
    check_feed(&ledger, ledger.stored_events().await.len()).await;
}

const ABANDON: [&str; 3] = ["feed", "restore", "--abandon"];

/// Lets NATS forget the ids of the feed's messages sooner than usual, so that a test need not wait as long.
async fn forgetting_soon(ledger: &Ledger) {
    change_feed(ledger, |config| {
        config.duplicate_window = Duration::from_secs(5);
    })
    .await;
}

/// Given up while it runs, or after it has died, and whatever dies while it is given up: intake goes on, what was waiting is
/// decided, read models miss nothing, and nobody is shown a part of the past.
#[tokio::test(flavor = "multi_thread")]
async fn a_restoration_that_is_given_up_leaves_a_feed_that_is_open_and_empty() {
    let (ledger, process, mut workload) = with_history("given up", 300).await;
    forgetting_soon(&ledger).await;
    let untouched = ledger.json(&ABANDON, 0).await;
    assert_eq!(untouched["state"], "open");

    let slowly = [&RESTORE[..], &["--rate", "20"]].concat();
    let giving_up = async {
        until_begun(&ledger).await;
        ledger.json(&ABANDON, 0).await
    };
    let (stopped, done) = tokio::join!(ledger.chronicle(&slowly), giving_up);
    let said = text(&stopped.stderr);
    assert_eq!(stopped.status.code(), Some(4), "{said}");
    assert!(said.contains("takes no restored events any more"), "{said}");
    assert!(done["events_removed"].as_u64() > Some(0), "{done}");
    assert_eq!(done["adopted"].as_array().map(Vec::len), Some(5), "{done}");
    workload.publish(100).await;
    until_settled(&ledger).await;
    ledger.until_converged().await;

    dies_at(
        &ledger,
        &[&RESTORE[..], &["--rate", "50"]].concat(),
        "in_feed_restoration",
        2,
    )
    .await;
    let plan = ledger
        .chronicle(&[&ABANDON[..], &["--dry-run"]].concat())
        .await;
    let told = text(&plan.stdout);
    for words in [
        "gives restoration",
        "intake goes on",
        "readers of the feed do without its past",
        "they take what they lack from the event store",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let publishing = workload.publish_stubbornly(100);
    let giving_up = async {
        for point in ["after_feed_closed", "after_feed_emptied"] {
            dies_at(&ledger, &ABANDON, point, 1).await;
            let refused = ledger.chronicle(&["feed", "restore"]).await;
            let said = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(4), "{said}");
            assert!(said.contains("is being given up"), "{said}");
            let events = ledger.chronicle(&["events"]).await;
            assert!(text(&events.stderr).contains("is being restored"));
        }
        ledger.json(&ABANDON, 0).await
    };
    let ((), done) = tokio::join!(publishing, giving_up);
    assert_eq!(done["events_removed"], 0, "{done}");
    workload.check_agreement(&ledger).await;
    ledger.until_converged().await;
    let messages = ledger.messages(streams::EVENTS).await;
    let first = messages.first().expect("what came behind is there");
    assert_eq!(first.position, done["next_sequence"]);
    let marked = |message: &engine::Message| message.header(headers::RESTORED).is_some();
    assert!(!messages.iter().any(marked));
    let events = ledger.chronicle(&["events", "--to-sequence", "1"]).await;
    let said = text(&events.stderr);
    assert!(said.contains("the feed no longer has sequence 1"), "{said}");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));

    // And it can be restored later.
    let done = ledger.json(&RESTORE, 0).await;
    assert_eq!(done["resumed"], false);
    check_feed(&ledger, ledger.stored_events().await.len()).await;
}

/// Intake dies when a batch is committed and not yet published; a restoration publishes it, and is given up; intake, begun
/// again, publishes it under the same ids.
#[tokio::test(flavor = "multi_thread")]
async fn what_intake_publishes_behind_a_restoration_that_was_given_up_is_no_duplicate() {
    let (ledger, process, mut workload) = with_history("given up, no duplicate", 100).await;
    forgetting_soon(&ledger).await;
    assert_eq!(process.stop().await, Some(0));
    let before = order(&ledger).await;
    let mut process = ledger
        .start(&[], &[("CHRONICLE_FAULT", "after_commit:1")])
        .await;
    let publishing = workload.publish_stubbornly(20);
    let dying = async {
        process.ended().await;
        let committed = ledger.stored_events().await;
        let unpublished: Vec<EventId> = committed
            .iter()
            .map(|event| event.event_id)
            .filter(|event_id| !before.contains(event_id))
            .collect();
        assert!(!unpublished.is_empty(), "something was committed");
        dies_at(&ledger, &RESTORE, "before_feed_opens", 1).await;
        let restored = order(&ledger).await;
        assert!(
            unpublished
                .iter()
                .all(|event_id| restored.contains(event_id))
        );
        let done = ledger
            .command()
            .args(ABANDON)
            .output()
            .await
            .expect("chronicle can be started");
        let said = text(&done.stderr);
        assert!(done.status.success(), "{said}");
        assert!(
            said.contains("until NATS no longer takes for duplicates"),
            "{said}"
        );
        (unpublished, ledger.run(&[], &[]).await)
    };
    let ((), (unpublished, process)) = tokio::join!(publishing, dying);
    workload.check_agreement(&ledger).await;
    ledger.until_converged().await;
    let feed = ledger.feed().await;
    let is_in_feed = |event_id| feed.iter().any(|event| event.event_id == event_id);
    assert!(unpublished.into_iter().all(is_in_feed));
    // Each account goes on without a hole. (What is older is there again if its command came twice.)
    let newer = ledger.stored_events().await;
    let newer = newer
        .iter()
        .filter(|event| !before.contains(&event.event_id));
    assert!(newer.map(|event| event.event_id).all(is_in_feed));
    let mut heads = BTreeMap::new();
    for event in feed
        .iter()
        .filter(|event| !before.contains(&event.event_id))
    {
        let version = event.version.get();
        let head = heads.entry(&event.account_id).or_insert(version);
        let account = &event.account_id;
        assert!(version <= *head + 1, "{version} of {account} after {head}");
        *head = version.max(*head);
    }
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// What somebody has set on the old feed is not in the way of the new one, also not of giving it up.
#[tokio::test(flavor = "multi_thread")]
async fn no_setting_of_the_old_feed_keeps_the_new_one_closed() {
    let (ledger, process, _) = with_history("settings in the way", 60).await;
    assert_eq!(process.stop().await, Some(0));
    let events = ledger.stored_events().await.len();
    change_feed(&ledger, |config| {
        config.discard = DiscardPolicy::New;
        config.max_messages_per_subject = 100_000;
        config.discard_new_per_subject = true;
        config.deny_purge = true;
        config.duplicate_window = Duration::from_secs(1);
    })
    .await;
    ledger.json(&RESTORE, 0).await;
    check_feed(&ledger, events).await;
    let now = feed_now(&ledger).await.cached_info().config.clone();
    assert_eq!((now.deny_purge, now.discard_new_per_subject), (true, false));
    assert_eq!(now.max_messages_per_subject, 100_000);

    // Begun, begun anew, and given up.
    let slowly = [&RESTORE[..], &["--rate", "20"]].concat();
    for _ in 0..2 {
        dies_at(&ledger, &slowly, "in_feed_restoration", 2).await;
        let now = feed_now(&ledger).await.cached_info().config.clone();
        assert!(!now.deny_purge);
    }
    let done = ledger.json(&ABANDON, 0).await;
    assert!(done["events_removed"].as_u64() > Some(0), "{done}");
    let now = feed_now(&ledger).await;
    let (config, state) = (&now.cached_info().config, &now.cached_info().state);
    assert!(restoring::restoration(&now).is_none());
    assert_eq!((config.deny_purge, state.messages), (true, 0));
    let ours = |name: &String| name.starts_with("chronicle-");
    assert!(!config.metadata.keys().any(ours), "{:?}", config.metadata);

    // Set while it is restored: it is refused before it is closed for the restoration, which goes on.
    dies_at(&ledger, &slowly, "in_feed_restoration", 2).await;
    change_feed(&ledger, |config| config.deny_purge = true).await;
    let refused = ledger.chronicle(&ABANDON).await;
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    for words in ["nats stream rm LEDGER_EVENTS", "adopt-stream"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    ledger.json(&["feed", "restore"], 0).await;
    check_feed(&ledger, events).await;
}

/// What a restoration keeps of a feed counts when that feed is gone, and then also for who gives the restoration up.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_feed_counts_only_when_that_feed_is_gone() {
    let (ledger, process, _) = with_history("kept", 60).await;
    assert_eq!(process.stop().await, Some(0));
    let nats = ledger.connect().await;
    let old = feed_now(&ledger).await;
    let mut settings = old.cached_info().config.clone();
    settings.max_bytes = 77 << 20;
    // A restoration that dies when it has kept them, and before the feed is removed.
    let keep = restoring::keep(&nats.jetstream, &old, &settings).await;
    keep.expect("they are kept");
    change_feed(&ledger, |config| config.max_bytes = 50 << 20).await;
    let plan = [&RESTORE[..], &["--dry-run"]].concat();
    let planned = ledger.json(&plan, 0).await;
    assert_eq!(planned["limits"]["bytes_max"], 50 << 20, "{planned}");
    assert_eq!(planned["limits_of"], Value::Null);
    let open = ledger.json(&ABANDON, 0).await;
    assert_eq!(
        (&open["state"], &open["kept"]),
        (&json!("open"), &Value::Null)
    );
    let kept = restoring::kept(&nats.jetstream).await;
    assert!(kept.expect("NATS answers").is_none());

    // One that dies behind the removal, and is given up: the feed is as it was.
    dies_at(&ledger, &RESTORE, "after_feed_removed", 1).await;
    let dry = [&ABANDON[..], &["--dry-run"]].concat();
    let planned = ledger.json(&dry, 0).await;
    let removed = streams::identity(&old);
    assert_eq!(planned["made_as"], removed, "{planned}");
    let done = ledger.json(&ABANDON, 0).await;
    assert_eq!(
        (&done["made_as"], &done["events_removed"]),
        (&json!(removed), &json!(0))
    );
    assert_eq!(done["adopted"].as_array().map(Vec::len), Some(5), "{done}");
    let now = feed_now(&ledger).await;
    assert!(restoring::restoration(&now).is_none());
    assert_eq!(now.cached_info().config.max_bytes, 50 << 20);
    let kept = restoring::kept(&nats.jetstream).await;
    assert!(kept.expect("NATS answers").is_none());

    // Intake was quicker, and has made one with its own limits: this is said.
    dies_at(&ledger, &RESTORE, "after_feed_removed", 1).await;
    let process = ledger.start(&[], &[]).await;
    eventually("intake to have made the feed", || async {
        let feed = streams::existing(&nats.jetstream, streams::EVENTS).await;
        feed.is_ok_and(|feed| feed.is_some())
    })
    .await;
    process.kill().await;
    let open = ledger.json(&ABANDON, 0).await;
    assert_eq!(open["kept"]["limits"]["bytes_max"], 50 << 20, "{open}");
    let told = ledger.chronicle(&ABANDON).await;
    let told = text(&told.stdout);
    for words in [
        "keeps at most 4096.0 MiB",
        "kept 50.0 MiB",
        "nats stream rm LEDGER_EVENTS_SETTINGS",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let planned = ledger.json(&plan, 0).await;
    assert_eq!(planned["limits"]["bytes_max"], 50 << 20, "{planned}");
    assert_eq!(planned["limits_of"], streams::identity(&now));
    ledger.json(&RESTORE, 0).await;
    let now = feed_now(&ledger).await;
    assert_eq!(now.cached_info().config.max_bytes, 50 << 20);
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
        until_begun(&ledger).await;
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
