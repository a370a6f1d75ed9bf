//! `chronicle dead-letter`, over letters that the test buries as a pipeline does.

mod cli_support;

use std::sync::Arc;
use std::time::SystemTime;

use cli_support::{Place, deposit, held};
use engine::{Cause, DeadLetter, Message};
use serde_json::{Value, json};
use transport::streams::Limits;
use transport::{dead_letter, headers};

/// What was given up, at `position` of the commands.
fn letter(position: u64, subject: &str, payload: &[u8]) -> DeadLetter {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    DeadLetter {
        origin: Arc::new(Message {
            position,
            subject: subject.to_owned(),
            headers: vec![
                header(headers::CONTENT_TYPE, "text/plain"),
                header(headers::REPLY_TO, "_INBOX.somebody"),
                header(headers::MESSAGE_ID, "the-publishers-own"),
            ],
            payload: payload.to_vec().into(),
            // Part of the letter's id: LEDGER_COMMANDS-<position>-0.
            stored_at: SystemTime::UNIX_EPOCH,
        }),
        node: "decode".to_owned(),
        cause: Cause {
            code: "invalid_json",
            message: "the body is no JSON object".to_owned(),
        },
    }
}

/// Buries it, `times` times over.
async fn bury(place: &Place, letter: &DeadLetter, times: usize) {
    for copy in 0..times {
        let max = place.nats.client.server_info().max_payload;
        for mut part in dead_letter::encode(letter, SystemTime::now(), max) {
            if copy > 0 {
                // As after JetStream's window for duplicates.
                part.headers
                    .insert(headers::MESSAGE_ID, format!("copy-{copy}").as_str());
            }
            let published =
                place
                    .nats
                    .jetstream
                    .publish_with_headers(part.subject, part.headers, part.payload);
            published
                .await
                .expect("NATS runs")
                .await
                .expect("the stream takes it");
        }
    }
}

#[tokio::test]
async fn no_letters_is_one_line() {
    let place = Place::new().await;
    for made in [false, true] {
        if made {
            place.dead_letters().await;
        }
        place
            .chronicle(&["dead-letter", "list"])
            .await
            .exits(0)
            .prints("there are no dead letters");
        place
            .chronicle(&["dead-letter", "list", "-o", "json"])
            .await
            .exits(0)
            .prints_nothing();
        for task in ["show", "retry"] {
            let done = place
                .chronicle(&["dead-letter", task, "LEDGER_COMMANDS-1-0"])
                .await;
            done.exits(1)
                .says("there is no dead letter \"LEDGER_COMMANDS-1-0\"")
                .says("none at all")
                .prints_nothing();
        }
    }
}

#[tokio::test]
async fn letters_are_listed_and_shown_whatever_they_are_made_of() {
    let place = Place::new().await;
    place.dead_letters().await;
    bury(
        &place,
        &letter(7, "ledger.commands.0.ACC-1", b"{\"type\": \"depos"),
        1,
    )
    .await;
    bury(
        &place,
        &letter(8, "ledger.commands.0.ACC-2", &[0, 159, 255, b'A']),
        2,
    )
    .await;
    bury(&place, &letter(9, "ledger.commands.0.ACC-3", &large()), 1).await;
    place
        .nats
        .jetstream
        .publish("ledger.dead_letters.stray", "?".into())
        .await
        .unwrap()
        .await
        .unwrap();

    let list = place
        .chronicle(&["dead-letter", "list", "-o", "json"])
        .await
        .exits(0)
        .says("was put there by something else");
    let lines = list.lines();
    let column = |name: &str| {
        lines
            .iter()
            .map(|line| line[name].clone())
            .collect::<Vec<Value>>()
    };
    assert_eq!(
        column("id"),
        [
            json!("LEDGER_COMMANDS-7-0"),
            json!("LEDGER_COMMANDS-8-0"),
            json!("LEDGER_COMMANDS-9-0")
        ]
    );
    assert_eq!(column("bytes"), [json!(15), json!(4), json!(1_048_576)]);
    assert_eq!(column("subject")[2], "ledger.commands.0.ACC-3");
    let table = place
        .chronicle(&["dead-letter", "list"])
        .await
        .exits(0)
        .prints("invalid_json");
    assert_eq!(table.out.lines().count(), 4, "{table:#?}");

    let show =
        |id: &'static str| async { place.chronicle(&["dead-letter", "show", id]).await.exits(0) };
    show("LEDGER_COMMANDS-7-0")
        .await
        .prints("{\"type\": \"depos")
        .prints("header     Content-Type: text/plain")
        .prints("decode");
    show("LEDGER_COMMANDS-8-0")
        .await
        .prints("00000000  00 9f ff 41 ")
        .prints("|...A|");
    let document = place
        .chronicle(&["-o", "json", "dead-letter", "show", "LEDGER_COMMANDS-9-0"])
        .await
        .exits(0)
        .document();
    assert_eq!(
        document["payload_base64"].as_str().unwrap().len(),
        1_048_576_usize.div_ceil(3) * 4
    );
    assert_eq!(document["code"], "invalid_json");
}

/// As large as NATS takes it: the letter lies in several messages.
fn large() -> Vec<u8> {
    (0..1_048_576_u32)
        .map(|index| (index % 251).to_le_bytes()[0])
        .collect()
}

#[tokio::test]
async fn a_letter_that_has_lost_a_part_can_be_listed_and_discarded() {
    let place = Place::new().await;
    let stream = place.dead_letters().await;
    bury(&place, &letter(9, "ledger.commands.0.ACC-3", &large()), 1).await;
    stream.delete_message(1).await.unwrap();
    place
        .chronicle(&["dead-letter", "list"])
        .await
        .exits(0)
        .prints("incomplete");
    let list = place
        .chronicle(&["dead-letter", "list", "-o", "json"])
        .await
        .exits(0)
        .document();
    assert_eq!(list["bytes"], Value::Null);
    for task in ["show", "retry"] {
        place
            .chronicle(&["dead-letter", task, "LEDGER_COMMANDS-9-0"])
            .await
            .exits(1)
            .says("has only")
            .prints_nothing();
    }
    let discard = [
        "dead-letter",
        "discard",
        "LEDGER_COMMANDS-9-0",
        "--reason",
        "torn",
        "-o",
        "json",
    ];
    let record = place.chronicle(&discard).await.exits(0).document();
    assert_eq!(record["payload_sha256"], Value::Null);
    place
        .chronicle(&["dead-letter", "list"])
        .await
        .exits(0)
        .prints("there are no dead letters");
}

#[tokio::test]
async fn a_retried_letter_goes_in_as_it_was_and_only_then_leaves() {
    let place = Place::new().await;
    let letters = place.dead_letters().await;
    let original = deposit(1);
    bury(
        &place,
        &letter(7, "ledger.commands.0.ACC-1", original.as_bytes()),
        2,
    )
    .await;
    let retry = ["dead-letter", "retry", "LEDGER_COMMANDS-7-0"];
    // No stream takes it: the letter stays.
    place
        .chronicle(&retry)
        .await
        .exits(3)
        .says("still among the dead letters")
        .prints_nothing();
    assert_eq!(held(&letters).await.len(), 2);

    let commands = place.commands(&Limits::default()).await;
    place
        .chronicle(&retry)
        .await
        .exits(0)
        .prints("published again to ledger.commands.ACC-1");
    let messages = held(&commands).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].payload, original.as_bytes());
    assert_eq!(messages[0].subject, "ledger.commands.0.ACC-1");
    let mut kept = messages[0].headers.clone();
    kept.sort();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        kept,
        [
            header(headers::REPLY_TO, "_INBOX.somebody"),
            header(headers::CONTENT_TYPE, "text/plain")
        ]
    );
    assert_eq!(held(&letters).await, [], "both copies have left");
    place
        .chronicle(&retry)
        .await
        .exits(1)
        .says("there is no dead letter");
}

#[tokio::test]
async fn what_was_no_command_cannot_be_retried() {
    let place = Place::new().await;
    let letters = place.dead_letters().await;
    place.commands(&Limits::default()).await;
    bury(&place, &letter(7, "ledger.events.ACC-1", b"x"), 1).await;
    let done = place
        .chronicle(&["dead-letter", "retry", "LEDGER_COMMANDS-7-0"])
        .await;
    done.exits(2)
        .says("that is no subject of commands")
        .prints_nothing();
    assert_eq!(held(&letters).await.len(), 1);
}

#[tokio::test]
async fn a_discard_leaves_a_record_that_is_no_letter() {
    let place = Place::new().await;
    let letters = place.dead_letters().await;
    bury(&place, &letter(7, "ledger.commands.0.ACC-1", b"hello"), 1).await;
    let discard = [
        "dead-letter",
        "discard",
        "LEDGER_COMMANDS-7-0",
        "--reason",
        "a test's, not a command",
        "-o",
        "json",
    ];
    let document = place.chronicle(&discard).await.exits(0).document();
    let messages = held(&letters).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].subject, "ledger.dead_letters.discarded");
    assert_eq!(
        messages[0].header("Chronicle-Dead-Letter-Discarded"),
        Some("LEDGER_COMMANDS-7-0")
    );
    let record: Value = serde_json::from_slice(&messages[0].payload).unwrap();
    assert_eq!(record, document);
    for (field, value) in [
        ("id", json!("LEDGER_COMMANDS-7-0")),
        ("code", json!("invalid_json")),
        ("subject", json!("ledger.commands.0.ACC-1")),
        ("buried_because", json!("the body is no JSON object")),
        ("discarded_by", json!("tester")),
        ("reason", json!("a test's, not a command")),
        ("payload_bytes", json!(5)),
        (
            "payload_sha256",
            json!("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
        ),
    ] {
        assert_eq!(record[field], value, "{field}");
    }
    place
        .chronicle(&["dead-letter", "list"])
        .await
        .exits(0)
        .prints("there are no dead letters");
}
