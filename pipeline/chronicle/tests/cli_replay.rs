//! `chronicle replay` out of a feed that the test fills: lines, files, and what the feed no longer has.

mod cli_support;

use std::time::{Duration, Instant};

use cli_support::feed::{fill, genuine_and_damaged};
use cli_support::{DEADLINE, Done, Place, finish, interrupt};
use ledger::codec::json;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use transport::headers;

impl Place {
    /// Runs `chronicle replay`.
    async fn replay(&self, arguments: &[&str]) -> Done {
        self.chronicle(&[&["replay"], arguments].concat()).await
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).expect("the file is there")
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("the file can be written");
    }

    /// When the feed stored a message, as the command line takes it.
    async fn stored_at(&self, sequence: u64) -> String {
        let stream = self.feed().await;
        let message = stream.get_raw_message(sequence).await.expect("it is there");
        ledger::Timestamp::from_date_time(message.time).to_string()
    }

    /// Runs the command that a replay has said goes on.
    async fn go_on(&self, done: &Done) -> Done {
        let (_, line) = done
            .err
            .split_once("What goes on: chronicle ")
            .unwrap_or_else(|| panic!("it says how to go on: {done:#?}"));
        let words: Vec<&str> = line
            .lines()
            .next()
            .expect("a line")
            .split_whitespace()
            .collect();
        self.chronicle(&words).await
    }
}

fn sequences(lines: &[Value]) -> Vec<u64> {
    lines
        .iter()
        .map(|line| line["sequence"].as_u64().expect("it is a number"))
        .collect()
}

#[tokio::test]
async fn a_replay_to_stdout_is_what_events_prints() {
    let place = Place::new().await;
    place
        .replay(&["--into", "stdout"])
        .await
        .exits(1)
        .says("there is no feed LEDGER_EVENTS");
    place.feed().await;
    place
        .replay(&["--into", "stdout"])
        .await
        .exits(0)
        .prints_nothing();
    fill(&place, &["A", "B"], 10).await;
    let events = place.chronicle(&["events", "-o", "json"]).await.exits(0);
    let all = place
        .replay(&["--into", "stdout"])
        .await
        .exits(0)
        .says("replayed 20 events into stdout");
    assert_eq!(all.out, events.out);
    let event = all.lines()[12]["event"].to_string();
    let event = json::decode_event(event.as_bytes()).expect("it is an event");
    event.check_hash().expect("it is as it was");
}

#[tokio::test]
async fn an_event_that_is_not_what_its_hash_says_is_left_out_and_this_is_said() {
    let place = Place::new().await;
    place.feed().await;
    let (genuine, damaged) = genuine_and_damaged("A");
    place.publish("ledger.events.A", damaged).await;
    place
        .publish("ledger.events.A", json::encode_event(&genuine))
        .await;
    let done = place
        .replay(&["--into", "-", "-o", "json"])
        .await
        .exits(0)
        .says("sequence 1 (ledger.events.A) is no event, and is left out: ");
    assert_eq!(sequences(&done.lines()), [2]);
}

#[tokio::test]
async fn a_feed_that_is_being_restored_is_not_replayed_as_if_it_was_whole() {
    let place = Place::new().await;
    place.restored_feed().await;
    let (event, _) = genuine_and_damaged("A");
    place
        .publish("ledger.restored_events.A", json::encode_event(&event))
        .await;
    for more in [&[][..], &["--dry-run"]] {
        place
            .replay(&[&["--into", "-"], more].concat())
            .await
            .exits(1)
            .says("the feed is being restored (restoration restoration-1)")
            .says("chronicle replay --from-event-store")
            .prints_nothing();
    }
}

#[tokio::test]
async fn a_replay_can_be_of_a_range_an_account_and_a_type() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A", "B"], 10).await;
    for (arguments, expected) in [
        (
            &["--from-sequence", "9", "--to-sequence", "11"][..],
            (9..=11).collect::<Vec<u64>>(),
        ),
        (&["--account", "B"], (11..=20).collect()),
        (&["--account", "NOBODY"], vec![]),
        (&["--type", "AccountCreated"], vec![1, 11]),
        (
            &[
                "--account",
                "B",
                "--type",
                "MoneyDeposited",
                "--to-sequence",
                "13",
            ],
            vec![12, 13],
        ),
        (&["--from-sequence", "50"], vec![]),
    ] {
        let done = place
            .replay(&[arguments, &["--into", "-"]].concat())
            .await
            .exits(0);
        assert_eq!(sequences(&done.lines()), expected, "{arguments:?}");
    }
    place
        .replay(&["--from-sequence", "9", "--to-sequence", "30", "--into", "-"])
        .await
        .exits(0)
        .says("the feed ends at sequence 20");
    place
        .replay(&["--from-sequence", "9", "--to-sequence", "8", "--into", "-"])
        .await
        .exits(2)
        .says("the end lies before the beginning");
    place
        .replay(&["--type", "MoneyStolen", "--into", "-"])
        .await
        .exits(2)
        .says("there is no such type of event; there are AccountCreated");
}

#[tokio::test]
async fn times_are_those_at_which_the_feed_stored_an_event() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 9).await;
    let (third, sixth) = (place.stored_at(3).await, place.stored_at(6).await);
    let done = place
        .replay(&["--from-time", &third, "--to-time", &sixth, "--into", "-"])
        .await
        .exits(0);
    assert_eq!(sequences(&done.lines()), [3, 4, 5, 6]);
    let later = place
        .replay(&["--from-time", "2100-01-01T00:00:00Z", "--into", "-"])
        .await
        .exits(0);
    later.prints_nothing();
}

#[tokio::test]
async fn what_the_feed_no_longer_has_is_refused_unless_it_may_be_missing() {
    let place = Place::new().await;
    let stream = place.feed().await;
    fill(&place, &["A"], 10).await;
    stream.delete_message(6).await.unwrap();
    stream.delete_message(7).await.unwrap();
    stream.purge().sequence(3).await.unwrap();
    place
        .replay(&["--into", "-"])
        .await
        .exits(1)
        .says("the feed no longer has sequence 1: it begins at 3")
        .says("--from-event-store")
        .prints_nothing();
    place
        .replay(&["--from-time", "2020-01-01T00:00:00Z", "--into", "-"])
        .await
        .exits(1)
        .says("what it may have had before, since 2020-01-01T00:00:00.000000Z, it no longer has");
    let broken = place
        .replay(&["--from-sequence", "3", "--into", "-"])
        .await
        .exits(1)
        .says("sequences 6 to 7 are missing from the feed")
        .says("--skip-missing");
    assert_eq!(sequences(&broken.lines()), [3, 4, 5]);
    place
        .replay(&["--from-sequence", "3", "--account", "A", "--into", "-"])
        .await
        .exits(1)
        .says("before sequence 8, versions 6 to 7 of the account are missing");
    let done = place
        .replay(&["--skip-missing", "--into", "-", "-o", "json"])
        .await
        .exits(0)
        .says("the feed no longer has sequence 1")
        .says("sequences 6 to 7 are missing from the feed, and left out");
    assert_eq!(sequences(&done.lines()), [3, 4, 5, 8, 9, 10]);
    let report = done.err.lines().last().expect("it says what was done");
    let report: Value = serde_json::from_str(report).expect("as JSON");
    assert_eq!(report["replayed"], 6, "{report}");
    assert_eq!(report["missing"], 2, "{report}");
    // The newest messages may be gone, too.
    stream.delete_message(10).await.unwrap();
    place
        .replay(&["--from-sequence", "8", "--into", "-"])
        .await
        .exits(1)
        .says("sequence 10 is missing from the feed");
    stream.purge().await.unwrap();
    place
        .replay(&["--into", "-"])
        .await
        .exits(1)
        .says("it begins at 11");
}

#[tokio::test]
async fn what_is_no_event_is_left_out_and_said() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 2).await;
    let garbage = place
        .nats
        .jetstream
        .publish("ledger.events.A", "no event".into());
    garbage.await.unwrap().await.unwrap();
    fill(&place, &["B"], 1).await;
    let done = place
        .replay(&["--into", "-"])
        .await
        .exits(0)
        .says("sequence 3 (ledger.events.A) is no event, and is left out")
        .says("1 that are no events");
    assert_eq!(sequences(&done.lines()), [1, 2, 4]);
}

#[tokio::test]
async fn an_event_of_a_newer_version_is_not_left_out_but_ends_it() {
    let place = Place::new().await;
    let feed = place.feed().await;
    fill(&place, &["A"], 2).await;
    let newer = feed.get_raw_message(2).await.unwrap();
    let mut map = async_nats::HeaderMap::new();
    map.insert(headers::SCHEMA_VERSION, "1000");
    let published = place
        .nats
        .jetstream
        .publish_with_headers(newer.subject, map, newer.payload);
    published.await.unwrap().await.unwrap();
    let done = place
        .replay(&["--into", "-"])
        .await
        .exits(1)
        .says("sequence 3: the event has schema version 1000")
        .says("upgrade this process first");
    assert_eq!(sequences(&done.lines()), [1, 2]);
}

#[tokio::test]
async fn a_file_is_resumed_behind_its_last_complete_line_and_never_overwritten() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 10).await;
    let whole = place.replay(&["--into", "stdout"]).await.exits(0).out;
    place
        .replay(&["--to-sequence", "4", "--into", "events.ndjson"])
        .await
        .exits(0)
        .prints("replayed 4 events into events.ndjson");
    let before = place.read("events.ndjson");
    assert!(whole.starts_with(&before) && before.lines().count() == 4);
    place
        .replay(&["--into", "events.ndjson"])
        .await
        .exits(2)
        .says("events.ndjson is there already")
        .says("--resume");
    assert_eq!(place.read("events.ndjson"), before);
    // As if it had been killed within a line.
    place.write("events.ndjson", &whole[..before.len() + 25]);
    place
        .replay(&["--into", "events.ndjson", "--resume"])
        .await
        .exits(0)
        .says("25 bytes of an unfinished line at its end are taken away")
        .prints("replayed 6 events");
    assert_eq!(place.read("events.ndjson"), whole);
    place
        .replay(&["--into", "events.ndjson", "--resume"])
        .await
        .exits(0)
        .prints("replayed 0 events");
    assert_eq!(place.read("events.ndjson"), whole);
}

#[tokio::test]
async fn a_file_that_does_not_fit_is_not_gone_on_with() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 5).await;
    let resume = ["--into", "x.ndjson", "--resume"];
    place.write("x.ndjson", "notes\n");
    place
        .replay(&resume)
        .await
        .exits(2)
        .says("the last line of x.ndjson is none that a replay has written");
    let whole = place.replay(&["--into", "stdout"]).await.exits(0).out;
    let two: Vec<&str> = whole.split_inclusive('\n').take(2).collect();
    place.write("x.ndjson", &two.concat());
    place
        .replay(&[&resume[..], &["--from-sequence", "4"]].concat())
        .await
        .exits(2)
        .says("there would be a hole between them");
    place
        .replay(&[&resume[..], &["--from-event-store"]].concat())
        .await
        .exits(2);
    // Another feed has other events at the same sequences.
    place
        .nats
        .jetstream
        .delete_stream("LEDGER_EVENTS")
        .await
        .unwrap();
    place.feed().await;
    fill(&place, &["A"], 5).await;
    place
        .replay(&resume)
        .await
        .exits(1)
        .says("the feed was lost and made anew since the file was begun");
    assert_eq!(place.read("x.ndjson"), two.concat());
    for (into, words) in [
        (&["subject"][..], "wants the subject's name behind it"),
        (&["subjekt", "x"], "`subject NAME` or `projection NAME`"),
        (&["."], ". is a folder"),
        (&["stdout", "--resume"], "--resume is for files"),
        (
            &["stdout", "--replay-id", "x"],
            "--replay-id is for subjects",
        ),
    ] {
        place
            .replay(&[&["--into"], into].concat())
            .await
            .exits(2)
            .says(words);
    }
}

#[tokio::test]
async fn an_interrupted_replay_says_which_command_goes_on() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 30).await;
    let whole = place.replay(&["--into", "stdout"]).await.exits(0).out;
    let mut child = place
        .command(&["replay", "--rate", "10/s", "--into", "stdout"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut printed = String::new();
    for _ in 0..3 {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await;
        printed.push_str(
            &line
                .expect("a line comes")
                .unwrap()
                .expect("there are more"),
        );
        printed.push('\n');
    }
    interrupt(child.id().unwrap());
    while let Some(line) = lines.next_line().await.unwrap() {
        printed.push_str(&line);
        printed.push('\n');
    }
    // The end was fixed when it began.
    fill(&place, &["B"], 1).await;
    let done = finish(child).await.exits(1).says("chronicle: interrupted");
    let words = done.err.replace("--rate 10/s ", "");
    let rest = place.go_on(&Done { err: words, ..done }).await.exits(0);
    assert_eq!(printed + &rest.out, whole);
}

#[tokio::test]
async fn a_rate_is_kept_and_progress_is_told_as_json() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 30).await;
    let begun = Instant::now();
    let done = place
        .replay(&["--rate", "15", "--into", "events.ndjson"])
        .await
        .exits(0);
    assert!(
        begun.elapsed() >= Duration::from_millis(29 * 1_000 / 15),
        "{done:#?}"
    );
    let line = done.err.lines().next().expect("it takes two seconds");
    let line: Value = serde_json::from_str(line).expect("it is JSON");
    let percent = line["percent"].as_f64().expect("it is known");
    assert!(percent > 3.0 && percent <= 100.0, "{line}");
    assert!(line["per_second"].as_f64().unwrap() < 20.0, "{line}");
    assert!(line["eta_seconds"].as_f64().unwrap() < 10.0, "{line}");
    assert_eq!(place.read("events.ndjson").lines().count(), 30);
    place
        .replay(&["--rate", "0", "--into", "-"])
        .await
        .exits(2)
        .says("such as 500/s");
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A", "B"], 10).await;
    place
        .replay(&[
            "--from-sequence",
            "6",
            "--rate",
            "5/s",
            "--into",
            "x.ndjson",
            "--dry-run",
        ])
        .await
        .exits(0)
        .prints("from  the feed, sequences 6 to 20")
        .prints("into  x.ndjson")
        .prints("at most 15 events, at 5 a second 3 s")
        .prints("nothing was done");
    let plan = place
        .replay(&[
            "--account",
            "B",
            "--into",
            "x.ndjson",
            "--dry-run",
            "-o",
            "json",
        ])
        .await
        .exits(0)
        .document();
    assert_eq!(plan["events_max"], 10, "{plan}");
    assert_eq!(
        (&plan["from_sequence"], &plan["to_sequence"]),
        (&1.into(), &20.into())
    );
    assert!(!place.folder.path().join("x.ndjson").exists());
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 500).await;
    let mut child = place
        .command(&["replay", "--into", "stdout"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(DEADLINE, lines.next_line()).await;
    assert!(first.expect("a line comes").unwrap().is_some());
    drop(lines);
    let done = finish(child).await.exits(0);
    assert_eq!(done.err, "");
}
