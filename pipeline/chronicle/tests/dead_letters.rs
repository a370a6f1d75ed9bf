//! What is no command becomes a dead letter, with its bytes and headers and the reason, and harms nobody.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::HeaderMap;
use base64::Engine as _;
use bytes::Bytes;
use ledger::codec::{CONTENT_TYPE_BINCODE, binary, json as json_codec};
use serde_json::{Value, json};
use support::publisher::{Publisher, create, movement, subject_of, verdict, verdicts};
use support::raw::RawPublisher;
use support::{Ledger, eventually, text};
use transport::dead_letter::Letter;
use transport::{headers, streams};

/// The server's own limit for one message.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Something that is no command, and the code that it must get.
struct Garbage {
    code: &'static str,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

fn garbage(code: &'static str, payload: impl Into<Bytes>) -> Garbage {
    Garbage {
        code,
        subject: "ledger.commands.ACC-1".to_owned(),
        headers: HeaderMap::new(),
        payload: payload.into(),
    }
}

impl Garbage {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.append(name, value);
        self
    }

    fn under(mut self, subject: &str) -> Self {
        subject.clone_into(&mut self.subject);
        self
    }
}

/// A deposit into ACC-1 that would be accepted, with some of its fields changed.
fn deposit_with(changes: &Value) -> String {
    let mut command = movement("deposit", "ACC-1", "1.00");
    let fields = command.as_object_mut().expect("it is an object");
    for (name, value) in changes.as_object().expect("it is an object") {
        fields.insert(name.clone(), value.clone());
    }
    command.to_string()
}

/// A deposit in bincode.
fn binary_deposit() -> Vec<u8> {
    let command =
        json_codec::decode_command(deposit_with(&json!({})).as_bytes()).expect("it is a command");
    binary::encode_command(&command)
}

/// Every kind of garbage that there is a code for.
fn all_kinds() -> Vec<Garbage> {
    let deposit = deposit_with(&json!({}));
    let with = |code, changes: Value| garbage(code, deposit_with(&changes));
    let doubled = deposit.replacen('{', "{\"amount\":\"2.00\",", 1);
    let mut wrong_version = binary_deposit();
    wrong_version[0] = 99;
    let mut trailing = binary_deposit();
    trailing.push(0);
    let many_fields: Value = (0..100)
        .map(|number| (format!("f{number}"), json!(1)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    vec![
        garbage("invalid_json", Bytes::new()),
        garbage(
            "invalid_json",
            deposit.as_bytes()[..deposit.len() / 2].to_vec(),
        ),
        garbage("invalid_json", format!("{deposit} and more")),
        garbage("invalid_json", "[1,2,3]"),
        garbage("invalid_json", format!("\u{feff}{deposit}")),
        garbage("invalid_json", "[".repeat(60_000)),
        garbage("invalid_json", "{\"a\":".repeat(10_000)),
        garbage(
            "not_utf8",
            vec![0x80, 0x81, 0xfe, 0xff, 0x00, 0x0a, 0x0d, 0x0a],
        ),
        garbage(
            "not_utf8",
            deposit
                .replace("ACC-1", "ACC-\u{e4}")
                .chars()
                .map(|char| u8::try_from(u32::from(char)).expect("Latin-1"))
                .collect::<Vec<u8>>(),
        ),
        garbage("too_large", vec![b' '; ledger::limits::BODY_BYTES_MAX + 1]),
        with("unknown_field", json!({"ammount": "1.00"})),
        garbage("duplicate_field", doubled),
        with("too_many_fields", many_fields),
        with("unknown_type", json!({"type": "steal"})),
        with("missing_field", json!({"amount": null})),
        with("invalid_field", json!({"description": 7})),
        with("invalid_command_id", json!({"command_id": "seven"})),
        with("invalid_account_id", json!({"account_id": "ACC 1"})),
        with("invalid_account_id", json!({"account_id": "x".repeat(65)})),
        with("invalid_amount", json!({"amount": "ten"})),
        with("invalid_amount", json!({"amount": true})),
        with("invalid_currency", json!({"currency": "dollars"})),
        with("invalid_metadata", json!({"metadata": {"a b": "c"}})),
        with("invalid_metadata", json!({"metadata": {"a": {"b": "c"}}})),
        with("text_too_long", json!({"description": "x".repeat(2_049)})),
        with("invalid_text", json!({"description": "\0"})),
        with("wrong_subject", json!({"account_id": "ACC-2"})),
        garbage("wrong_subject", deposit.clone()).under("ledger.commands.ACC-2"),
        garbage("unsupported_content_type", deposit.clone())
            .header("Content-Type", "text/xml; charset=utf-8"),
        garbage("unsupported_format_version", wrong_version)
            .header("Content-Type", CONTENT_TYPE_BINCODE),
        garbage("invalid_bincode", trailing).header("Content-Type", CONTENT_TYPE_BINCODE),
        garbage("invalid_bincode", vec![1, 2, 3]).header("Content-Type", CONTENT_TYPE_BINCODE),
    ]
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Headers by name; the values of one name keep their order.
fn by_name<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, Vec<String>> {
    let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        by_name
            .entry(name.to_owned())
            .or_default()
            .push(value.to_owned());
    }
    by_name
}

fn headers_of(letter: &Letter) -> BTreeMap<String, Vec<String>> {
    by_name(
        letter
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

/// A ledger with ACC-1 and ACC-2, each with 100.00, and a publisher.
async fn with_accounts() -> (Ledger, support::Process, Publisher) {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    let opened = publisher
        .tell_all(&[create("ACC-1", "100.00"), create("ACC-2", "100.00")])
        .await;
    assert_eq!(verdicts(&opened), BTreeMap::from([("accepted", 2)]));
    (ledger, process, publisher)
}

/// Publishes all of it between good commands, without waiting, and checks that each became the letter that it should.
async fn each_becomes_a_letter(ledger: &Ledger, publisher: &Publisher, garbage: &[Garbage]) {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for garbage in garbage {
        good.push(publisher.ask(&movement("deposit", "ACC-1", "1.00")).await);
        let mut sent = garbage.headers.clone();
        let number = publisher
            .ask_with(&garbage.subject, sent.clone(), garbage.payload.clone())
            .await;
        sent.insert(headers::REPLY_TO, publisher.reply_to(number));
        bad.push((number, sent));
    }
    good.push(publisher.ask(&movement("deposit", "ACC-1", "1.00")).await);
    for number in good {
        let answer = publisher.answer(number).await;
        assert_eq!(
            verdict(&answer),
            "accepted",
            "a neighbour of garbage: {answer}"
        );
    }
    let letters = ledger.dead_letters().await;
    let letters: BTreeMap<&str, &Letter> = letters
        .iter()
        .map(|letter| (letter.id.as_str(), letter))
        .collect();
    for (garbage, (number, sent)) in garbage.iter().zip(bad) {
        let what = text(&garbage.payload[..garbage.payload.len().min(60)]);
        let answer = publisher.answer(number).await;
        assert_eq!(verdict(&answer), garbage.code, "{what}: {answer}");
        assert_eq!(answer["events"], json!([]), "{answer}");
        let letter_id = answer["dead_letter_id"]
            .as_str()
            .expect("it names the letter");
        let letter = letters
            .get(letter_id)
            .unwrap_or_else(|| panic!("{what}: there is no letter {letter_id}"));
        assert_eq!(letter.code, garbage.code, "{what}");
        assert!(!letter.reason.is_empty(), "{what}");
        assert_eq!(answer["rejection"]["message"], letter.reason.as_str());
        assert_eq!(letter.node, "decode", "{what}");
        assert_eq!(
            letter.subject,
            garbage.subject.replace("commands.", "commands.0."),
            "{what}"
        );
        assert!(
            letter.payload == garbage.payload,
            "{what}: the bytes are not the original's"
        );
        let sent = by_name(sent.iter().flat_map(|(name, values)| {
            let values = values.iter().map(AsRef::<str>::as_ref);
            values
                .map(|value| (AsRef::<str>::as_ref(name), value))
                .collect::<Vec<_>>()
        }));
        assert_eq!(
            headers_of(letter),
            sent,
            "{what}: the headers are not the original's"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_garbage_becomes_a_letter_with_its_own_code_and_its_neighbours_are_accepted()
{
    let (ledger, process, publisher) = with_accounts().await;
    let garbage = all_kinds();
    each_becomes_a_letter(&ledger, &publisher, &garbage).await;

    assert_eq!(ledger.dead_letters().await.len(), garbage.len());
    ledger.until_settled().await;
    assert_eq!(
        ledger.balance("ACC-1").await,
        format!("{}.00", 100 + garbage.len() + 1)
    );
    assert_eq!(ledger.balance("ACC-2").await, "100.00");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_as_large_as_nats_allows_become_letters_whole() {
    let (ledger, process, publisher) = with_accounts().await;
    let noise = |length: usize| {
        (0..length)
            .map(|index| u8::try_from(index * 7 % 251).expect("it fits"))
            .collect::<Vec<u8>>()
    };
    // Headers count, and JetStream takes at most 64 KiB of them: one message of headers, one of both.
    let mut of_headers = garbage("not_utf8", noise(100));
    for number in 0..600 {
        of_headers = of_headers.header(&format!("X-{number}"), &"v".repeat(95));
    }
    let mut of_both = garbage("too_large", noise(PAYLOAD_BYTES_MAX - 64 * 1024));
    for number in 0..1_000 {
        of_both = of_both.header(&format!("X-{}", number % 7), &format!("value {number:040}"));
    }
    // The reply header has to fit, too.
    let nearly = garbage("too_large", noise(PAYLOAD_BYTES_MAX - 200));
    let small_for_ours = garbage("too_large", noise(PAYLOAD_BYTES_MAX - 5_000));
    each_becomes_a_letter(
        &ledger,
        &publisher,
        &[of_headers, of_both, nearly, small_for_ours],
    )
    .await;

    // One that asks for no answer fills the limit to the last byte.
    let exact = Bytes::from(noise(PAYLOAD_BYTES_MAX));
    let sequence = publisher
        .store("ledger.commands.ACC-1", None, exact.clone())
        .await;
    ledger.until_settled().await;
    let letters = ledger.dead_letters().await;
    assert_eq!(letters.len(), 5);
    assert!(
        letters[4]
            .id
            .starts_with(&format!("LEDGER_COMMANDS-{sequence}-")),
        "{}",
        letters[4].id
    );
    assert!(
        letters[4].payload == exact,
        "the bytes are not the original's"
    );
    assert_eq!(letters[4].headers, []);

    let shown = ledger
        .json(&["dead-letter", "show", &letters[4].id], 0)
        .await;
    assert_eq!(
        shown["payload_base64"].as_str().map(str::len),
        Some(PAYLOAD_BYTES_MAX.div_ceil(3) * 4)
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_mean_something_to_the_server_or_to_dead_letters_are_only_kept() {
    let (ledger, process, publisher) = with_accounts().await;
    // Each of these was stored by JetStream; given on as they are, they would have the dead letter refused, dropped as a
    // duplicate, or read as part of another.
    let headers = [
        vec![("Nats-Msg-Id", "mine")],
        vec![("Nats-Expected-Stream", "LEDGER_COMMANDS")],
        vec![("Nats-Expected-Last-Subject-Sequence", "0")],
        vec![("nats-expected-stream", "x"), ("NATS-MSG-ID", "y")],
        vec![
            ("Chronicle-Dead-Letter-Id", "forged"),
            ("Chronicle-Dead-Letter-Code", "forged"),
        ],
        vec![("Chronicle-Dead-Letter-Part", "1/9")],
        vec![("chronicle-dead-letter-part", "x")],
        vec![("Chronicle-Dead-Letter-Discarded", "LEDGER_COMMANDS-1")],
        vec![
            ("Chronicle-Dead-Letter-Original-Nats-Msg-Id", "forged"),
            ("Nats-Msg-Id", "mine too"),
        ],
        vec![("X", "1"), ("X", "2"), ("x", "3"), ("X", ""), ("Empty", "")],
    ];
    let garbage: Vec<Garbage> = (1..)
        .zip(&headers)
        .map(|(number, headers)| {
            // A subject that nothing was published to, for the server compares expectations with it.
            let start = garbage("invalid_json", format!("garbage {number}"))
                .under(&format!("ledger.commands.NEW-{number}"));
            headers
                .iter()
                .fold(start, |garbage, (name, value)| garbage.header(name, value))
        })
        .collect();
    each_becomes_a_letter(&ledger, &publisher, &garbage).await;
    ledger.until_settled().await;

    let listed = ledger
        .chronicle(&["-o", "json", "dead-letter", "list"])
        .await;
    let listed: BTreeSet<String> = text(&listed.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"))
        .map(|line| line["id"].as_str().expect("it has an id").to_owned())
        .collect();
    let kept = ledger.dead_letters().await;
    assert_eq!(
        listed,
        kept.iter().map(|letter| letter.id.clone()).collect()
    );
    assert_eq!(listed.len(), garbage.len());
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_subject_that_is_none_or_feeds_the_ledger_harms_nobody() {
    let (ledger, process, publisher) = with_accounts().await;
    let mut everything = publisher
        .nats
        .client
        .subscribe("evil.>")
        .await
        .expect("it can be heard");
    let subjects = [
        "ledger.commands.ACC-1",
        "ledger.events.ACC-1",
        "ledger.outcomes.x",
        "ledger.dead_letters.x",
        "ledger",
        "$JS.API.STREAM.DELETE.LEDGER_EVENTS",
        "$JS.API.STREAM.PURGE.LEDGER_COMMANDS",
        "$SYS.REQ.SERVER.PING",
        "*",
        ">",
        "evil.*",
        "evil.>",
        "evil..a",
        ".evil",
        "evil.",
        "ev il",
        "evil\tx",
        "",
        " ",
        "\u{e4}",
        &"evil.".repeat(1_000),
        "evil.fine",
    ];
    let mut accepted = 0;
    for subject in subjects {
        let mut map = HeaderMap::new();
        map.insert(headers::REPLY_TO, subject);
        let command = movement("deposit", "ACC-1", "1.00");
        publisher
            .store(
                &subject_of(&command),
                Some(map.clone()),
                command.to_string(),
            )
            .await;
        publisher
            .store("ledger.commands.ACC-1", Some(map), "garbage")
            .await;
        accepted += 1;
    }
    assert_eq!(
        verdict(&publisher.tell(&movement("deposit", "ACC-1", "1.00")).await),
        "accepted"
    );
    ledger.until_settled().await;
    assert_eq!(
        ledger.balance("ACC-1").await,
        format!("{}.00", 100 + accepted + 1)
    );

    // Each became one outcome and one letter; nothing came back into the ledger's own streams.
    let commands = i64::from(accepted) + 3;
    assert_eq!(
        ledger.counts().await,
        (commands, commands),
        "(commands, events)"
    );
    assert_eq!(
        ledger.messages_in(streams::EVENTS).await,
        u64::try_from(commands).expect("it fits")
    );
    let letters = ledger.dead_letters().await;
    assert_eq!(letters.len(), subjects.len());
    // The one good subject got its two answers, and no other.
    for _ in 0..2 {
        let answer = futures::StreamExt::next(&mut everything)
            .await
            .expect("it was answered");
        assert_eq!(answer.subject.as_str(), "evil.fine");
    }
    // Whatever was sent before the last deposit's answer has come before that.
    let more =
        tokio::time::timeout(Duration::ZERO, futures::StreamExt::next(&mut everything)).await;
    assert!(more.is_err(), "{more:?}");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// Messages that nats-server takes and async-nats does not understand: their receiver loses the connection or panics.
fn unreadable() -> Vec<(&'static str, &'static [u8])> {
    vec![
        ("not UTF-8", b"NATS/1.0\r\nNote: caf\xe9\r\n\r\n"),
        ("a name with a space", b"NATS/1.0\r\nMy Header: x\r\n\r\n"),
        ("no colon", b"NATS/1.0\r\nnothing\r\n\r\n"),
        ("another version", b"HTTP/1.1\r\nHost: x\r\n\r\n"),
        (
            "a carriage return in a value",
            b"NATS/1.0\r\nNote: a\rb\r\n\r\n",
        ),
        ("a status", b"NATS/1.0 503\n\n"),
        ("a heartbeat", b"NATS/1.0 100 Idle Heartbeat\n"),
        ("a deleted consumer", b"NATS/1.0 409 Consumer Deleted\n\n"),
        ("no messages", b"NATS/1.0 404 No Messages\n\n"),
        ("no status", b"NATS/1.0 abc\n\n"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_breaks_its_receivers_connection_becomes_a_letter_and_stops_nothing() {
    let (ledger, process, publisher) = with_accounts().await;
    let mut raw = RawPublisher::connect(&ledger).await;
    let mut waiting = Vec::new();
    let mut sent = BTreeMap::new();
    for (what, block) in unreadable() {
        waiting.push(publisher.ask(&movement("deposit", "ACC-1", "1.00")).await);
        let payload = deposit_with(&json!({}));
        let sequence = raw
            .store(b"ledger.commands.ACC-1", block, payload.as_bytes())
            .await;
        sent.insert(sequence, (what, block, payload));
    }
    waiting.push(publisher.ask(&movement("deposit", "ACC-1", "1.00")).await);
    for number in waiting {
        assert_eq!(verdict(&publisher.answer(number).await), "accepted");
    }
    ledger.until_settled().await;

    let letters = ledger.dead_letters().await;
    for (sequence, (what, block, payload)) in &sent {
        let letter = letters.iter().find(|letter| {
            letter
                .id
                .starts_with(&format!("LEDGER_COMMANDS-{sequence}-"))
        });
        let letter = letter.unwrap_or_else(|| panic!("{what}: there is no letter"));
        assert_eq!(letter.code, "invalid_headers", "{what}");
        assert_eq!(letter.payload, payload.as_bytes(), "{what}");
        let kept = letter
            .headers
            .iter()
            .find(|(name, _)| name == headers::UNREADABLE);
        let (_, kept) = kept.unwrap_or_else(|| panic!("{what}: the headers are lost"));
        assert_eq!(*kept, base64(block), "{what}: {}", letter.reason);
    }
    assert_eq!(letters.len(), sent.len());
    assert_eq!(
        ledger.balance("ACC-1").await,
        format!("{}.00", 100 + unreadable().len() + 1)
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_that_break_the_connection_cost_time_and_nothing_else() {
    const ROUNDS: usize = 40;
    let ledger = Ledger::new().await;
    // The streams are there, and nobody reads: all of it waits for the first start.
    ledger.run(&["--partitions", "2"], &[]).await.kill().await;
    let publisher = Publisher::connect(&ledger).await;
    let mut raw = RawPublisher::connect(&ledger).await;
    let accounts = ["ACC-0", "ACC-1", "ACC-2", "ACC-3"];
    let mut waiting = Vec::new();
    for account in accounts {
        waiting.push(publisher.ask(&create(account, "0")).await);
    }
    let blocks = unreadable();
    for round in 0..ROUNDS {
        for account in accounts {
            waiting.push(publisher.ask(&movement("deposit", account, "1.00")).await);
            let subject = format!("ledger.commands.{account}");
            raw.store(subject.as_bytes(), blocks[round % blocks.len()].1, b"{}")
                .await;
        }
        // A subject that is not UTF-8, or falls apart when it is split at what Unicode calls white space.
        let subject: &[u8] = if round % 2 == 0 {
            b"ledger.commands.\xff\xfe"
        } else {
            "ledger.commands.A\u{2003}B".as_bytes()
        };
        raw.store(subject, b"NATS/1.0\r\n\r\n", b"{}").await;
    }
    let bad = ROUNDS * (accounts.len() + 1);

    let process = ledger.run(&["--partitions", "2"], &[]).await;
    for number in waiting {
        assert_eq!(verdict(&publisher.answer(number).await), "accepted");
    }
    ledger.until_settled().await;
    let letters = ledger.dead_letters().await;
    let ids: BTreeSet<&str> = letters.iter().map(|letter| letter.id.as_str()).collect();
    assert_eq!(ids.len(), bad, "each has a letter");
    for account in accounts {
        assert_eq!(ledger.balance(account).await, format!("{ROUNDS}.00"));
    }
    // Intake had its trouble; the projections did not notice.
    let log = process.log();
    assert!(
        log.contains("run failed"),
        "nothing has failed, so this test shows nothing\n{log}"
    );
    let others = log
        .lines()
        .filter(|line| line.contains("run failed") && !line.contains("pipeline=\"intake"));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new());
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// The ids of `dead-letter list`.
async fn listed(ledger: &Ledger) -> Vec<String> {
    let output = ledger
        .chronicle(&["-o", "json", "dead-letter", "list"])
        .await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let ids = text(&output.stdout);
    let ids = ids
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
    ids.map(|line| line["id"].as_str().expect("it has an id").to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_shown_retried_and_discarded_from_the_command_line() {
    let (ledger, process, publisher) = with_accounts().await;
    assert_eq!(listed(&ledger).await, Vec::<String>::new());
    let mut raw = RawPublisher::connect(&ledger).await;

    // A good command whose publisher has put something into its headers that cannot be read.
    let command = movement("deposit", "ACC-1", "7.00");
    let block = b"NATS/1.0\r\nNats-Msg-Id: once\r\nX: 1\r\nX: 2\r\nUser Name: Zo\xeb\r\n\r\n";
    let sequence = raw
        .store(
            b"ledger.commands.ACC-1",
            block,
            command.to_string().as_bytes(),
        )
        .await;
    let number = publisher
        .ask_with("ledger.commands.ACC-2", HeaderMap::new(), "no command")
        .await;
    let garbage_id = publisher.answer(number).await["dead_letter_id"]
        .as_str()
        .expect("it names the letter")
        .to_owned();
    let there = listed(&ledger).await;
    assert_eq!(there.len(), 2, "{there:?}");
    assert_eq!(there[1], garbage_id);
    let good_id = there[0].clone();
    assert!(
        good_id.starts_with(&format!("LEDGER_COMMANDS-{sequence}-")),
        "{good_id}"
    );

    let shown = ledger.json(&["dead-letter", "show", &good_id], 0).await;
    assert_eq!(shown["code"], "invalid_headers", "{shown}");
    assert_eq!(shown["subject"], "ledger.commands.0.ACC-1", "{shown}");
    assert_eq!(
        shown["payload_base64"],
        base64(command.to_string().as_bytes()),
        "{shown}"
    );
    let kept: Vec<(String, String)> =
        serde_json::from_value(shown["headers"].clone()).expect("names and values");
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let unreadable = header(headers::UNREADABLE, &base64(block));
    assert_eq!(
        kept,
        [
            unreadable,
            header("Nats-Msg-Id", "once"),
            header("X", "1"),
            header("X", "2")
        ]
    );

    // Published again, without the line that could not be read, it is accepted.
    let retried = ledger.json(&["dead-letter", "retry", &good_id], 0).await;
    assert_eq!(retried["subject"], "ledger.commands.ACC-1", "{retried}");
    ledger.until_settled().await;
    assert_eq!(ledger.balance("ACC-1").await, "107.00");
    assert_eq!(listed(&ledger).await, std::slice::from_ref(&garbage_id));

    // Garbage that is retried comes back as another letter.
    let retried = ledger.json(&["dead-letter", "retry", &garbage_id], 0).await;
    eventually("the garbage to come back", || async {
        listed(&ledger).await.len() == 1
    })
    .await;
    let again_id = listed(&ledger).await.remove(0);
    assert!(
        again_id.starts_with(&format!("LEDGER_COMMANDS-{}-", retried["sequence"])),
        "{again_id}"
    );
    assert_ne!(again_id, garbage_id);

    let fails = async |arguments: &[&str], code: i32, says: &str| {
        let output = ledger.chronicle(arguments).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    };
    fails(&["dead-letter", "discard", &again_id], 2, "--reason").await;
    fails(
        &["dead-letter", "discard", &again_id, "--reason", " "],
        2,
        "a discard needs a reason",
    )
    .await;
    fails(
        &["dead-letter", "show", &garbage_id],
        1,
        &format!("there is no dead letter {garbage_id:?}"),
    )
    .await;
    fails(&["dead-letter", "retry", "nonsense"], 1, "there is one").await;
    let discarded = ledger
        .json(
            &["dead-letter", "discard", &again_id, "--reason", "test data"],
            0,
        )
        .await;
    assert_eq!(discarded["reason"], "test data", "{discarded}");
    assert_eq!(
        discarded["payload_bytes"],
        "no command".len(),
        "{discarded}"
    );
    assert_eq!(listed(&ledger).await, Vec::<String>::new());
    // The record of it stays.
    assert_eq!(ledger.messages_in(streams::DEAD_LETTERS).await, 1);
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_the_feed_that_breaks_its_receivers_connection_stops_projections_by_name_and_nothing_else()
 {
    let (ledger, process, publisher) = with_accounts().await;
    let mut raw = RawPublisher::connect(&ledger).await;
    let sequence = raw
        .store(
            b"ledger.events.ACC-1",
            b"NATS/1.0\r\nNote: caf\xe9\r\n\r\n",
            b"no event",
        )
        .await;

    let says = format!("sequence {sequence}");
    eventually("all projections to stop at it", || async {
        let Some((503, state)) = process.readyz().await else {
            return false;
        };
        let pipelines = state["pipelines"]
            .as_array()
            .expect("there are pipelines")
            .clone();
        let mut projections = pipelines.iter().filter(|pipeline| {
            let name = pipeline["pipeline"].as_str().expect("it has a name");
            name.starts_with("projection.")
        });
        projections.all(|projection| projection.to_string().contains(&says))
    })
    .await;
    // Whoever looks at the feed is told which one it is, and sees the others.
    let events = ledger.chronicle(&["-o", "json", "events"]).await;
    assert_eq!(events.status.code(), Some(0), "{}", text(&events.stderr));
    assert!(text(&events.stderr).contains(&format!("{says} (ledger.events.ACC-1) is no event")));
    assert_eq!(text(&events.stdout).lines().count(), 2);
    // Intake goes on.
    assert_eq!(
        verdict(&publisher.tell(&movement("deposit", "ACC-1", "5.00")).await),
        "accepted"
    );
    assert_eq!(process.stop().await, Some(4));

    for projection in sinks::projection::NAMES {
        let sequence = sequence.to_string();
        let arguments = [
            "projection",
            "skip",
            projection,
            "--sequence",
            &sequence,
            "--reason",
            "no event",
        ];
        let skipped = ledger.chronicle(&arguments).await;
        assert_eq!(skipped.status.code(), Some(0), "{}", text(&skipped.stderr));
    }
    let process = ledger.run(&[], &[]).await;
    eventually("the read model", || async {
        ledger.balances().await["ACC-1"].0 == "105.00"
    })
    .await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}
