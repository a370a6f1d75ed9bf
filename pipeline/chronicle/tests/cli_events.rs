//! `chronicle events`, over a feed that the test fills.

mod cli_support;

use std::process::Stdio;
use std::time::Duration;

use cli_support::feed::{fill, genuine_and_damaged};
use cli_support::{DEADLINE, Place, finish, interrupt};
use ledger::codec::json;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

fn sequences(lines: &[Value]) -> Vec<u64> {
    lines
        .iter()
        .map(|line| line["sequence"].as_u64().expect("it is a number"))
        .collect()
}

#[tokio::test]
async fn where_no_feed_is_it_says_so() {
    let place = Place::new().await;
    place
        .chronicle(&["events"])
        .await
        .exits(1)
        .says("there is no feed LEDGER_EVENTS")
        .prints_nothing();
    place.feed().await;
    place
        .chronicle(&["events"])
        .await
        .exits(0)
        .says("the feed is empty")
        .prints_nothing();
}

#[tokio::test]
async fn a_range_of_the_feed_is_printed_in_order_with_its_sequences() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A", "B"], 10).await;
    let all = place.chronicle(&["events", "-o", "json"]).await.exits(0);
    assert_eq!(all.err, "");
    let lines = all.lines();
    assert_eq!(sequences(&lines), (1..=20).collect::<Vec<_>>());
    // The event is the canonical JSON, whose hash can be checked.
    let event = lines[12]["event"].to_string();
    json::decode_event(event.as_bytes())
        .unwrap()
        .check_hash()
        .unwrap();
    let some = place
        .chronicle(&[
            "events",
            "--from-sequence",
            "9",
            "--to-sequence",
            "11",
            "-o",
            "json",
        ])
        .await
        .exits(0);
    assert_eq!(sequences(&some.lines()), [9, 10, 11]);
    let of_one = place
        .chronicle(&["events", "--account", "B", "-o", "json"])
        .await
        .exits(0);
    assert_eq!(sequences(&of_one.lines()), (11..=20).collect::<Vec<_>>());
    assert_eq!(of_one.err, "", "the others' sequences are not missing");
    let nobodys = place
        .chronicle(&["events", "--account", "C", "-o", "json"])
        .await
        .exits(0);
    assert_eq!((nobodys.out.as_str(), nobodys.err.as_str()), ("", ""));
    place
        .chronicle(&["events", "--from-sequence", "50"])
        .await
        .exits(0)
        .says("the feed ends at sequence 20")
        .prints_nothing();
    let table = place
        .chronicle(&["events", "--to-sequence", "2"])
        .await
        .exits(0)
        .prints("SEQUENCE")
        .prints("MoneyDeposited");
    assert!(
        table.out.contains("+5.00") && table.out.contains("105.00"),
        "{table:#?}"
    );
    assert_eq!(table.out.lines().count(), 3);
}

#[tokio::test]
async fn what_the_feed_no_longer_has_is_said_and_the_rest_is_printed() {
    let place = Place::new().await;
    let stream = place.feed().await;
    fill(&place, &["A"], 10).await;
    for sequence in [5, 6, 10] {
        stream.delete_message(sequence).await.unwrap();
    }
    stream.purge().sequence(3).await.unwrap();
    place
        .nats
        .jetstream
        .publish("ledger.events.A", "no event".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let done = place
        .chronicle(&["events", "-o", "json"])
        .await
        .exits(0)
        .says("the feed no longer has sequence 1: it begins at 3")
        .says("sequences 5 to 6 are missing")
        .says("sequence 10 is missing")
        .says("sequence 11 (ledger.events.A) is no event");
    assert_eq!(sequences(&done.lines()), [3, 4, 7, 8, 9]);
    // A hole at the very end is seen, too.
    place
        .chronicle(&["events", "--to-sequence", "10"])
        .await
        .exits(0)
        .says("sequence 10 is missing");
    stream.purge().await.unwrap();
    place
        .chronicle(&["events"])
        .await
        .exits(0)
        .says("it begins at 12")
        .prints_nothing();
}

#[tokio::test]
async fn follow_prints_what_comes_and_ends_well_at_an_interrupt() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 2).await;
    let mut child = place.command(&["events", "--follow"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = tokio::time::timeout(DEADLINE, lines.next_line())
            .await
            .expect("a line comes")
            .unwrap();
        line.expect("it goes on")
    };
    assert!(next().await.contains("SEQUENCE"));
    assert!(next().await.contains("AccountCreated"));
    assert!(next().await.contains("MoneyDeposited"));
    fill(&place, &["B"], 1).await;
    assert!(next().await.contains("AccountCreated"));
    // The server may go away meanwhile.
    place.server.restart().await.unwrap();
    place.nats.client.flush().await.unwrap();
    fill(&place, &["C"], 1).await;
    assert!(next().await.contains(" C "));
    interrupt(child.id().unwrap());
    finish(child).await.exits(0);
}

#[tokio::test]
async fn an_event_that_is_not_what_its_hash_says_is_not_shown_as_one() {
    let place = Place::new().await;
    place.feed().await;
    let (genuine, damaged) = genuine_and_damaged("A");
    place.publish("ledger.events.A", damaged).await;
    place
        .publish("ledger.events.A", json::encode_event(&genuine))
        .await;
    let done = place
        .chronicle(&["events", "-o", "json"])
        .await
        .exits(0)
        .says("sequence 1 (ledger.events.A) is no event: ");
    assert_eq!(sequences(&done.lines()), [2]);
}

#[tokio::test]
async fn a_feed_that_is_being_restored_is_not_shown_as_if_it_was_whole() {
    let place = Place::new().await;
    place.restored_feed().await;
    let (event, _) = genuine_and_damaged("A");
    place
        .publish("ledger.restored_events.A", json::encode_event(&event))
        .await;
    for arguments in [&["events"][..], &["events", "--follow"]] {
        place
            .chronicle(arguments)
            .await
            .exits(1)
            .says("the feed is being restored (restoration restoration-1)")
            .says("Wait until it is whole")
            .says("chronicle replay --from-event-store")
            .prints_nothing();
    }
}

#[tokio::test]
async fn whoever_follows_is_told_when_another_feed_takes_the_place_of_this_one() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 1).await;
    let mut child = place
        .command(&["events", "--follow", "-o", "json"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(DEADLINE, lines.next_line()).await;
    assert!(first.unwrap().unwrap().is_some());
    transport::restoring::remove(&place.nats.jetstream)
        .await
        .unwrap();
    place.restored_feed().await;
    let (event, _) = genuine_and_damaged("B");
    for _ in 0..3 {
        place
            .publish("ledger.restored_events.B", json::encode_event(&event))
            .await;
    }
    let done = finish(child)
        .await
        .exits(3)
        .says("the feed was lost and made anew");
    assert!(!done.err.contains("is missing"), "{done:#?}");
    let rest = lines.next_line().await.unwrap();
    assert_eq!(rest, None, "nothing of the other feed");
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 300).await;
    for form in ["json", "table"] {
        let mut child = place
            .command(&["events", "-o", form])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(Duration::from_secs(30), lines.next_line())
            .await
            .unwrap()
            .unwrap();
        assert!(first.is_some());
        drop(lines);
        let done = finish(child).await.exits(0);
        assert_eq!(done.err, "");
    }
}
