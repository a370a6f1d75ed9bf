//! `chronicle replay --into subject`: what the messages are, who keeps them, and where they never go.

mod cli_support;

use std::collections::BTreeMap;

use async_nats::jetstream::stream;
use cli_support::feed::fill;
use cli_support::{DEADLINE, Done, Place, held};
use engine::Message;
use futures::StreamExt;
use transport::headers;

impl Place {
    /// Replays into this subject.
    async fn replay_into(&self, subject: &str, arguments: &[&str]) -> Done {
        let into = ["replay", "--into", "subject", subject];
        self.chronicle(&[&into, arguments].concat()).await
    }

    /// A stream that takes what is replayed.
    async fn replays(&self, messages_max: i64) -> stream::Stream {
        let config = stream::Config {
            name: "REPLAYS".to_owned(),
            subjects: vec!["replay.>".to_owned()],
            max_messages: messages_max,
            discard: stream::DiscardPolicy::New,
            ..stream::Config::default()
        };
        let made = self.nats.jetstream.create_stream(config).await;
        made.expect("the stream can be made")
    }
}

/// Publishes what the feed has once more with the headers that the pipelines give it, and one of somebody else's.
async fn with_headers(place: &Place) {
    let feed = place.feed().await;
    fill(place, &["A"], 5).await;
    let messages = held(&feed).await;
    feed.purge().await.expect("it works");
    for message in messages {
        let event = ledger::codec::json::decode_event(&message.payload).expect("it works");
        let mut map = async_nats::HeaderMap::new();
        map.insert(headers::CONTENT_TYPE, "application/json");
        map.insert(headers::EVENT_TYPE, event.data.type_name());
        map.insert(headers::MESSAGE_ID, event.event_id.to_string());
        map.append("Traced-By", "one");
        map.append("Traced-By", "two");
        let published =
            place
                .nats
                .jetstream
                .publish_with_headers(message.subject, map, message.payload);
        published.await.expect("it works").await.expect("it works");
    }
}

fn all(message: &Message) -> BTreeMap<&str, Vec<&str>> {
    let mut map: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in &message.headers {
        map.entry(name).or_default().push(value);
    }
    map
}

#[tokio::test]
async fn messages_have_their_bytes_and_headers_and_the_mark_of_the_replay() {
    let place = Place::new().await;
    with_headers(&place).await;
    let feed = held(&place.feed().await).await;
    let replays = place.replays(1_000).await;
    place
        .replay_into("replay.events", &["--from-sequence", "6", "--replay-id", "r1"])
        .await
        .exits(0)
        .prints("replayed 5 events into subject replay.events, kept by the stream REPLAYS, as replay r1");
    let replayed = held(&replays).await;
    assert_eq!((feed.len(), replayed.len()), (5, 5));
    for (original, message) in feed.iter().zip(&replayed) {
        assert_eq!(message.subject, "replay.events");
        assert_eq!(message.payload, original.payload);
        let id = original.header(headers::MESSAGE_ID).unwrap();
        let (id, sequence) = (format!("r1:{id}"), original.position.to_string());
        let mut expected = all(original);
        expected.insert(headers::MESSAGE_ID, vec![&id]);
        expected.insert(headers::REPLAY, vec!["r1"]);
        expected.insert(headers::SEQUENCE, vec![&sequence]);
        assert_eq!(all(message), expected);
    }
}

#[tokio::test]
async fn a_replay_that_goes_on_does_not_repeat_itself_and_another_one_does() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 10).await;
    let replays = place.replays(1_000).await;
    let go = async |arguments: &[&str]| {
        let done = place
            .replay_into("replay.x", &[arguments, &["-o", "json"]].concat())
            .await
            .exits(0);
        let report = done.document();
        let count = replays.get_info().await.unwrap().state.messages;
        (report["duplicates"].as_u64().unwrap(), count)
    };
    assert_eq!(go(&["--replay-id", "one"]).await, (0, 10));
    assert_eq!(
        go(&["--replay-id", "one", "--from-sequence", "8"]).await,
        (3, 10)
    );
    assert_eq!(go(&["--replay-id", "two"]).await, (0, 20));
    assert_eq!(go(&[]).await, (0, 30));
}

#[tokio::test]
async fn a_stream_that_takes_no_more_ends_it_with_the_command_that_goes_on() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 10).await;
    let replays = place.replays(4).await;
    let stopped = place
        .replay_into("replay.x", &["--replay-id", "r"])
        .await
        .exits(3)
        .says("sequence 5 was not published: the stream is full")
        .says("replayed up to sequence 4, included")
        .says(
            "chronicle replay --from-sequence 5 --to-sequence 10 --into subject replay.x --replay-id r",
        );
    assert!(stopped.out.is_empty());
    let mut config = replays.cached_info().config.clone();
    config.max_messages = 100;
    place.nats.jetstream.update_stream(config).await.unwrap();
    let going_on = [
        "--from-sequence",
        "5",
        "--to-sequence",
        "10",
        "--replay-id",
        "r",
    ];
    place.replay_into("replay.x", &going_on).await.exits(0);
    let sequences: Vec<String> = held(&replays)
        .await
        .iter()
        .map(|message| message.header(headers::SEQUENCE).unwrap().to_owned())
        .collect();
    assert_eq!(
        sequences,
        ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"]
    );
}

#[tokio::test]
async fn without_a_stream_whoever_listens_gets_it_and_it_says_so() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 700).await;
    let mut heard = place.nats.client.subscribe("elsewhere").await.unwrap();
    place.nats.client.flush().await.unwrap();
    place
        .replay_into("elsewhere", &["--dry-run"])
        .await
        .exits(0)
        .prints("which no stream keeps: only whoever listens gets it");
    place
        .replay_into("elsewhere", &[])
        .await
        .exits(0)
        .prints("replayed 700 events into subject elsewhere, which no stream keeps");
    for sequence in 1..=700_u64 {
        let message = tokio::time::timeout(DEADLINE, heard.next()).await;
        let message = message.expect("it comes").expect("and there are more");
        let map = message.headers.expect("it has headers");
        assert_eq!(
            map.get(headers::SEQUENCE).unwrap().as_str(),
            sequence.to_string()
        );
    }
}

#[tokio::test]
async fn nothing_is_replayed_onto_what_the_ledger_or_nats_lives_by() {
    let place = Place::new().await;
    place.feed().await;
    fill(&place, &["A"], 1).await;
    for (subject, words) in [
        ("ledger.events.A", "is a live one (ledger.events.>)"),
        ("ledger.events", "is a live one"),
        ("ledger.commands.A", "is a live one (ledger.commands.>)"),
        ("ledger.outcomes.x", "is a live one"),
        ("ledger.dead_letters.x", "is a live one"),
        ("$JS.API.STREAM.PURGE.LEDGER_EVENTS", "belongs to NATS"),
        ("_INBOX.x", "belongs to NATS"),
        ("replay.*", "is no subject to publish under"),
        (">", "is no subject to publish under"),
        ("a b", "is no subject to publish under"),
    ] {
        place.replay_into(subject, &[]).await.exits(2).says(words);
    }
    // An operator may have given one of the ledger's streams another subject.
    let mut feed = place.feed().await.cached_info().config.clone();
    feed.subjects.push("also.events".to_owned());
    place.nats.jetstream.update_stream(feed).await.unwrap();
    place
        .replay_into("also.events", &[])
        .await
        .exits(2)
        .says("is taken by the stream LEDGER_EVENTS, which the ledger lives by");
    assert_eq!(held(&place.feed().await).await.len(), 1);
}
