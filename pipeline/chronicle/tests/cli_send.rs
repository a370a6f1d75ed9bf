//! `chronicle send`, one command and many, with a ledger that the test plays.

mod cli_support;

use std::time::Duration;

use cli_support::{Place, accepted, deposit, finish, held, id, play, rejected};
use serde_json::{Value, json};
use tokio::time::Instant;
use transport::headers;
use transport::streams::Limits;

#[tokio::test]
async fn where_no_stream_of_commands_is_nothing_is_sent() {
    let place = Place::new().await;
    place
        .chronicle(&["send", "deposit", "A", "1"])
        .await
        .exits(3)
        .says("there is no stream LEDGER_COMMANDS, so nothing was sent")
        .prints_nothing();
}

#[tokio::test]
async fn a_command_without_an_answer_waits_in_the_stream_and_can_be_asked_for() {
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let command_id = id(1);
    let arguments = [
        "send",
        "transfer",
        "A",
        "B",
        "25.00",
        "--command-id",
        &command_id,
        "--wait-seconds",
        "1",
    ];
    let more = [
        "--description",
        "rent",
        "--actor",
        "teller",
        "--metadata",
        "invoice=7=7",
        "--expected-version",
        "3",
    ];
    place
        .chronicle(&[&arguments[..], &more].concat())
        .await
        .exits(3)
        .says("It is not lost")
        .says(&format!("chronicle outcome {command_id}"))
        .prints_nothing();
    let messages = held(&stream).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].subject, "ledger.commands.0.A");
    assert_eq!(
        messages[0].header(headers::CONTENT_TYPE),
        Some("application/json")
    );
    assert!(messages[0].header(headers::REPLY_TO).is_some());
    assert_eq!(
        serde_json::from_slice::<Value>(&messages[0].payload).unwrap(),
        json!({"command_id": command_id, "type": "transfer", "from_account_id": "A", "to_account_id": "B", "amount": "25.00",
               "description": "rent", "actor": "teller", "metadata": {"invoice": "7=7"}, "expected_version": 3})
    );
}

/// What each subcommand puts on the wire, but for the command's id.
#[allow(clippy::too_many_lines)] // a table of cases
#[tokio::test]
async fn every_flag_has_its_field() {
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let (hold_id, command_id) = (id(7), id(8));
    let cases: [(&[&str], Value); 26] = [
        (
            &["freeze-account", "A", "--reason", "a lost card"],
            json!({"type": "freeze_account", "account_id": "A", "reason": "a lost card", "scope": "all"}),
        ),
        (
            &["freeze-account", "A", "--reason", "x", "--scope", "debits"],
            json!({"type": "freeze_account", "account_id": "A", "reason": "x", "scope": "debits"}),
        ),
        (
            &["unfreeze-account", "A", "--scope", "credits"],
            json!({"type": "unfreeze_account", "account_id": "A", "scope": "credits"}),
        ),
        (
            &["close-account", "A", "--sweep-to-account-id", "B"],
            json!({"type": "close_account", "account_id": "A", "sweep_to_account_id": "B"}),
        ),
        (
            &["set-overdraft-limit", "A", "50"],
            json!({"type": "set_overdraft_limit", "account_id": "A", "overdraft_limit": "50"}),
        ),
        (
            &[
                "set-account-rules",
                "A",
                "--minimum-balance",
                "-10",
                "--maximum-balance",
                "100.00",
                "--daily-debit-amount-max",
                "50",
                "--daily-debit-count-max",
                "3",
                "--allowed-counterparty",
                "B",
                "--allowed-counterparty",
                "C",
            ],
            json!({"type": "set_account_rules", "account_id": "A", "minimum_balance": "-10", "maximum_balance": "100.00",
                   "daily_debit_amount_max": "50", "daily_debit_count_max": 3, "allowed_counterparties": ["B", "C"]}),
        ),
        (
            &["set-account-rules", "A", "--no-counterparties"],
            json!({"type": "set_account_rules", "account_id": "A", "allowed_counterparties": []}),
        ),
        (
            &["set-account-rules", "A", "--none"],
            json!({"type": "set_account_rules", "account_id": "A"}),
        ),
        (
            &[
                "update-account",
                "A",
                "--owner-name",
                "Alice",
                "--account-metadata",
                "tier=gold",
            ],
            json!({"type": "update_account", "account_id": "A", "owner_name": "Alice", "account_metadata": {"tier": "gold"}}),
        ),
        (
            &["update-account", "A", "--no-account-metadata"],
            json!({"type": "update_account", "account_id": "A", "account_metadata": {}}),
        ),
        (
            &[
                "hold",
                "A",
                "25.00",
                "--hold-id",
                &hold_id,
                "--currency",
                "USD",
                "--hold-expires-at",
                "2126-01-31T12:00:00Z",
            ],
            json!({"type": "hold", "account_id": "A", "amount": "25.00", "hold_id": hold_id, "currency": "USD",
                   "hold_expires_at": "2126-01-31T12:00:00.000000Z"}),
        ),
        (
            &["capture", "A", &hold_id],
            json!({"type": "capture", "account_id": "A", "hold_id": hold_id}),
        ),
        (
            &[
                "capture",
                "A",
                &hold_id,
                "5",
                "--final",
                "--to-account-id",
                "B",
            ],
            json!({"type": "capture", "account_id": "A", "hold_id": hold_id, "amount": "5", "final": true, "to_account_id": "B"}),
        ),
        (
            &["release", "A", &hold_id, "5"],
            json!({"type": "release", "account_id": "A", "hold_id": hold_id, "amount": "5"}),
        ),
        (
            &["reverse", "A", &command_id, "--reason", "a mistake"],
            json!({"type": "reverse", "account_id": "A", "reversed_command_id": command_id, "reason": "a mistake"}),
        ),
        (
            &[
                "deposit",
                "A",
                "1",
                "--effective-at",
                "2026-01-31T01:00:00+01:00",
            ],
            json!({"type": "deposit", "account_id": "A", "amount": "1", "effective_at": "2026-01-31T00:00:00.000000Z"}),
        ),
        (
            &[
                "withdraw",
                "A",
                "1",
                "--effective-at",
                "2026-01-31T00:00:00Z",
            ],
            json!({"type": "withdraw", "account_id": "A", "amount": "1", "effective_at": "2026-01-31T00:00:00.000000Z"}),
        ),
        (
            &[
                "transfer",
                "A",
                "B",
                "1",
                "--effective-at",
                "2026-01-31T00:00:00Z",
            ],
            json!({"type": "transfer", "from_account_id": "A", "to_account_id": "B", "amount": "1", "effective_at": "2026-01-31T00:00:00.000000Z"}),
        ),
        (
            &[
                "capture",
                "A",
                &command_id,
                "--effective-at",
                "2026-01-31T00:00:00Z",
            ],
            json!({"type": "capture", "account_id": "A", "hold_id": command_id, "effective_at": "2026-01-31T00:00:00.000000Z"}),
        ),
        (
            &[
                "reverse",
                "A",
                &command_id,
                "--reason",
                "x",
                "--effective-at",
                "2026-01-31T00:00:00Z",
            ],
            json!({"type": "reverse", "account_id": "A", "reversed_command_id": command_id, "reason": "x", "effective_at": "2026-01-31T00:00:00.000000Z"}),
        ),
        (
            &["reverse", "A", &command_id, "5.00", "--reason", "x"],
            json!({"type": "reverse", "account_id": "A", "reversed_command_id": command_id, "amount": "5.00", "reason": "x"}),
        ),
        (
            &[
                "post",
                "--entry",
                "A:debit:5.00:USD",
                "--entry",
                "B:credit:5",
            ],
            json!({"type": "post", "entries": [
                {"account_id": "A", "direction": "debit", "amount": "5.00", "currency": "USD"},
                {"account_id": "B", "direction": "credit", "amount": "5"}]}),
        ),
        (
            &[
                "post",
                "--entry",
                "A:debit:5",
                "--entry",
                "B:credit:5",
                "--effective-at",
                "2026-01-31T00:00:00Z",
            ],
            json!({"type": "post", "effective_at": "2026-01-31T00:00:00.000000Z", "entries": [
                {"account_id": "A", "direction": "debit", "amount": "5"},
                {"account_id": "B", "direction": "credit", "amount": "5"}]}),
        ),
        (
            &[
                "exchange",
                "A",
                "B",
                "25.00",
                "--rate",
                "0.92",
                "--from-clearing-account-id",
                "D-USD",
                "--to-clearing-account-id",
                "D-EUR",
            ],
            json!({"type": "exchange", "from_account_id": "A", "to_account_id": "B", "amount": "25.00", "rate": "0.92",
                "from_clearing_account_id": "D-USD", "to_clearing_account_id": "D-EUR"}),
        ),
        (
            &[
                "exchange",
                "A",
                "B",
                "25.00",
                "--to-amount",
                "22.50",
                "--from-clearing-account-id",
                "D-USD",
                "--to-clearing-account-id",
                "D-EUR",
                "--effective-at",
                "2026-01-31T00:00:00Z",
            ],
            json!({"type": "exchange", "from_account_id": "A", "to_account_id": "B", "amount": "25.00", "to_amount": "22.50",
                "from_clearing_account_id": "D-USD", "to_clearing_account_id": "D-EUR",
                "effective_at": "2026-01-31T00:00:00.000000Z"}),
        ),
        (
            &[
                "withdraw",
                "A",
                "1",
                "--expected-version",
                "3",
                "--if-balance-at-least",
                "-5",
                "--not-before",
                "2026-01-31T12:00:00.000001Z",
                "--expires-at",
                "2126-01-31T13:00:00+01:00",
            ],
            json!({"type": "withdraw", "account_id": "A", "amount": "1", "expected_version": 3, "if_balance_at_least": "-5",
                   "not_before": "2026-01-31T12:00:00.000001Z", "expires_at": "2126-01-31T12:00:00.000000Z"}),
        ),
    ];
    for (arguments, _) in &cases {
        place
            .chronicle(&[&["send", "--wait-seconds", "0"], *arguments].concat())
            .await
            .exits(3)
            .says("It is not lost");
    }
    let messages = held(&stream).await;
    assert_eq!(messages.len(), cases.len());
    for (message, (arguments, expected)) in messages.iter().zip(&cases) {
        let mut sent: Value = serde_json::from_slice(&message.payload).unwrap();
        sent.as_object_mut().unwrap().remove("command_id");
        assert_eq!(sent, *expected, "{arguments:?}");
    }
}

#[tokio::test]
async fn a_hold_without_a_name_gets_one_that_is_printed_and_stays_when_it_is_sent_again() {
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let command_id = id(1);
    let arguments = ["send", "hold", "A", "25", "--command-id", &command_id];
    place
        .chronicle(&[&arguments[..], &["--wait-seconds", "0"]].concat())
        .await
        .exits(3)
        .says(&format!("(hold {command_id})"));
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let _ledger = play(&place, &stream, move |_, command| {
        sender.send(command["hold_id"].clone()).unwrap();
        Some(match command["amount"].as_str() {
            Some("25") => accepted(command),
            _ => rejected(command, "insufficient_funds"),
        })
    })
    .await;
    place
        .chronicle(&arguments)
        .await
        .exits(0)
        .prints(&format!("command {command_id} accepted"))
        .prints(&format!("hold {command_id}"));
    let document = place
        .chronicle(&[&arguments[..], &["-o", "json"]].concat())
        .await
        .exits(0)
        .document();
    let mut expected = accepted(&json!({"command_id": command_id, "account_id": "A"}));
    expected["hold_id"] = json!(command_id);
    assert_eq!(document, expected);
    for _ in 0..3 {
        assert_eq!(seen.recv().await, Some(json!(command_id)));
    }
    // Without a command's id, both are made up. What was refused holds nothing.
    let made_up = place
        .chronicle(&["send", "hold", "A", "25", "-o", "json"])
        .await
        .exits(0)
        .document();
    assert_eq!(seen.recv().await, Some(made_up["hold_id"].clone()));
    let refused = place.chronicle(&["send", "hold", "A", "26"]).await.exits(1);
    assert!(!refused.out.contains("\nhold "), "{refused:#?}");
}

#[tokio::test]
async fn the_answer_is_printed_as_it_was_received_and_decides_the_exit_code() {
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let _ledger = play(&place, &stream, |_, command| {
        Some(match command["amount"].as_str() {
            Some("1") => accepted(command),
            Some("2") => rejected(command, "insufficient_funds"),
            _ => json!({"status": "rejected", "events": [], "rejection": {"code": "wrong_subject", "message": "m"},
                        "dead_letter_id": "LEDGER_COMMANDS-3"}),
        })
    })
    .await;
    let command_id = id(1);
    let send = async |amount: &str, form: &str| {
        let arguments = [
            "-o",
            form,
            "send",
            "deposit",
            "A",
            amount,
            "--command-id",
            &command_id,
        ];
        place.chronicle(&arguments).await
    };
    let document = send("1", "json").await.exits(0).document();
    assert_eq!(
        document,
        accepted(&json!({"command_id": command_id, "account_id": "A"}))
    );
    send("1", "table")
        .await
        .exits(0)
        .prints(&format!("command {command_id} accepted"))
        .prints("VERSION");
    assert_eq!(
        send("2", "json").await.exits(1).document()["rejection"]["code"],
        "insufficient_funds"
    );
    send("2", "table")
        .await
        .exits(1)
        .prints("rejected: insufficient_funds: because of insufficient_funds");
    assert_eq!(
        send("3", "json").await.exits(1).document()["dead_letter_id"],
        "LEDGER_COMMANDS-3"
    );
    send("3", "table")
        .await
        .exits(1)
        .prints("chronicle dead-letter show LEDGER_COMMANDS-3");
}

#[tokio::test]
async fn a_file_goes_in_its_own_order_and_every_line_gets_its_answer() {
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let _ledger = play(&place, &stream, move |sequence, command| {
        sender.send(command["command_id"].as_str().unwrap().to_owned()).unwrap();
        Some(match sequence % 10 {
            0 => rejected(command, "insufficient_funds"),
            // A code from a later version of the ledger.
            5 => rejected(command, "account_on_the_moon"),
            7 => json!({"status": "rejected", "events": [], "rejection": {"code": "idempotency_conflict", "message": "m"},
                        "dead_letter_id": format!("LEDGER_COMMANDS-{sequence}")}),
            _ => accepted(command),
        })
    })
    .await;
    // The same id comes several times: every line is answered for itself.
    let numbers: Vec<u64> = (1..=500)
        .map(|line| if line % 50 == 0 { 1 } else { line })
        .collect();
    let lines: Vec<String> = numbers.iter().map(|number| deposit(*number)).collect();
    let file = place.file("commands.ndjson", &lines);
    let done = place
        .chronicle(&["send", "--file", &file, "--in-flight", "32", "-o", "json"])
        .await
        .exits(1);
    let summary = done.document();
    assert_eq!(summary["commands"], 500);
    assert_eq!(summary["accepted"], 350);
    assert_eq!(
        summary["rejected"],
        json!({"account_on_the_moon": 50, "insufficient_funds": 50})
    );
    assert_eq!(summary["dead_letters"], json!({"idempotency_conflict": 50}));
    assert_eq!(
        (&summary["malformed"], &summary["unanswered"]),
        (&json!(0), &json!(0))
    );
    assert!(
        summary["seconds"].as_f64().unwrap() > 0.0
            && summary["commands_per_second"].as_f64().unwrap() > 0.0
    );
    assert!(
        done.err
            .contains("commands.ndjson:5: rejected: account_on_the_moon"),
        "{done:#?}"
    );
    assert!(
        done.err.contains("further rejections are only counted"),
        "{done:#?}"
    );
    let mut order = Vec::new();
    while let Ok(command_id) = seen.try_recv() {
        order.push(command_id);
    }
    assert_eq!(
        order,
        numbers.iter().map(|number| id(*number)).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_line_that_is_no_command_is_told_with_its_place_and_the_others_go_on() {
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let _ledger = play(&place, &stream, |_, command| Some(accepted(command))).await;
    let long = format!(
        r#"{{"command_id":"{}","description":"{}"}}"#,
        id(9),
        "x".repeat(300_000)
    );
    let lines = [
        deposit(1),
        String::new(),
        "{".to_owned(),
        long,
        "  \t".to_owned(),
        format!("  {}\r", deposit(2)),
    ];
    let input = lines.join("\n");
    let done = place
        .chronicle_reading(&["send", "--file", "-", "-o", "json"], &input)
        .await
        .exits(1)
        .says("stdin:3: the body is no JSON object")
        .says("stdin:4: a command has at most 262144 bytes");
    let summary = done.document();
    assert_eq!(
        (
            &summary["commands"],
            &summary["accepted"],
            &summary["malformed"]
        ),
        (&json!(4), &json!(2), &json!(2))
    );
    let table = place
        .chronicle_reading(&["send", "--file", "-"], &input)
        .await
        .exits(1)
        .prints("malformed");
    assert!(table.out.contains("commands a second"), "{table:#?}");
    place
        .chronicle_reading(&["send", "--file", "-"], &deposit(3))
        .await
        .exits(0);
    place
        .chronicle_reading(&["send", "--file", "-"], "")
        .await
        .exits(0);
}

#[tokio::test]
async fn a_full_stream_is_waited_for_and_nothing_is_lost() {
    const COMMANDS: u64 = 300;
    let place = Place::new().await;
    let stream = place
        .commands(&Limits {
            commands_max: 10,
            ..Limits::default()
        })
        .await;
    let lines: Vec<String> = (1..=COMMANDS).map(deposit).collect();
    let file = place.file("commands.ndjson", &lines);
    let child = place
        .command(&["send", "--file", &file, "-o", "json"])
        .spawn()
        .unwrap();
    // The ledger comes late: by then the stream is full and has refused some.
    let started = Instant::now();
    while stream.get_info().await.unwrap().state.messages < 10 {
        assert!(
            started.elapsed() < cli_support::DEADLINE,
            "nothing was sent"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let _ledger = play(&place, &stream, |_, command| Some(accepted(command))).await;
    let done = finish(child).await.exits(0).says("the stream is full (");
    assert_eq!(done.document()["accepted"], COMMANDS);
}

#[tokio::test]
async fn where_nobody_answers_it_gives_up_and_says_where_to_go_on() {
    const COMMANDS: u64 = 50;
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let lines: Vec<String> = (1..=COMMANDS).map(deposit).collect();
    let file = place.file("commands.ndjson", &lines);
    let arguments = [
        "send",
        "--file",
        &file,
        "--wait-seconds",
        "1",
        "--in-flight",
        "5",
        "-o",
        "json",
    ];
    let done = place
        .chronicle(&arguments)
        .await
        .exits(3)
        .says("no outcome came for 5 s")
        .says("from line ");
    let summary = done.document();
    let unanswered = summary["unanswered"].as_u64().unwrap();
    let sent = stream.get_info().await.unwrap().state.messages;
    assert_eq!(
        (summary["commands"].as_u64().unwrap(), sent),
        (unanswered, unanswered)
    );
    assert!(unanswered < COMMANDS, "it would go on for ever: {summary}");
    assert_eq!(summary["resume_from_line"], unanswered + 1);
}

#[tokio::test]
async fn with_no_time_to_wait_everything_is_published_all_the_same() {
    const COMMANDS: u64 = 50;
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let lines: Vec<String> = (1..=COMMANDS).map(deposit).collect();
    let file = place.file("commands.ndjson", &lines);
    let arguments = [
        "send",
        "--file",
        &file,
        "--wait-seconds",
        "0",
        "--in-flight",
        "5",
        "-o",
        "json",
    ];
    let summary = place.chronicle(&arguments).await.exits(3).document();
    assert_eq!(summary["unanswered"], COMMANDS);
    assert_eq!(stream.get_info().await.unwrap().state.messages, COMMANDS);
}

#[tokio::test]
async fn nats_may_go_away_and_come_back_in_the_middle() {
    const COMMANDS: u64 = 3_000;
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let lines: Vec<String> = (1..=COMMANDS).map(deposit).collect();
    let file = place.file("commands.ndjson", &lines);
    // Answers may get lost with the connection, and no event store is known here: what is lost stays unanswered.
    let child = place
        .command(&[
            "send",
            "--file",
            &file,
            "--wait-seconds",
            "20",
            "--in-flight",
            "100000",
            "-o",
            "json",
        ])
        .spawn()
        .unwrap();
    let started = Instant::now();
    while stream
        .get_info()
        .await
        .is_ok_and(|info| info.state.messages < 200)
    {
        assert!(
            started.elapsed() < cli_support::DEADLINE,
            "nothing was sent"
        );
    }
    place.server.restart().await.expect("NATS starts again");
    // Only now does anybody answer, so that every answer can arrive.
    let stream = place
        .nats
        .jetstream
        .get_stream(stream.cached_info().config.name.clone())
        .await
        .unwrap();
    let _ledger = play(&place, &stream, |_, command| Some(accepted(command))).await;
    let done = finish(child).await.exits(0);
    assert_eq!(done.document()["accepted"], COMMANDS, "{done:#?}");
}

/// A deposit as a command of a batch.
fn of_batch(amount: &str) -> String {
    format!(r#"{{"type":"deposit","account_id":"A","amount":{amount}}}"#)
}

#[tokio::test]
async fn a_batch_is_the_lines_of_a_file_byte_for_byte() {
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let lines = [
        of_batch("1.10"),
        String::new(),
        format!("  {} ", of_batch("\"2\"")),
    ];
    let file = place.file("batch.ndjson", &lines);
    let command_id = id(1);
    let arguments = [
        "send",
        "--wait-seconds",
        "0",
        "batch",
        &file,
        "--command-id",
        &command_id,
    ];
    place
        .chronicle(
            &[
                &arguments[..],
                &["--actor", "teller", "--expected-version", "3"],
            ]
            .concat(),
        )
        .await
        .exits(3)
        .says("It is not lost");
    let input = lines.join("\n");
    place
        .chronicle_reading(&["send", "--wait-seconds", "0", "batch", "-"], &input)
        .await
        .exits(3);
    let messages = held(&stream).await;
    assert_eq!(messages.len(), 2);
    let text = String::from_utf8(messages[0].payload.to_vec()).unwrap();
    assert!(
        text.ends_with(&format!(
            r#","commands":[{},{}]}}"#,
            of_batch("1.10"),
            of_batch("\"2\"")
        )),
        "{text}"
    );
    let sent: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        [
            &sent["command_id"],
            &sent["type"],
            &sent["actor"],
            &sent["expected_version"]
        ],
        [
            &json!(command_id),
            &json!("batch"),
            &json!("teller"),
            &json!(3)
        ]
    );
    assert_eq!(messages[0].subject, "ledger.commands.0.A");
}

#[tokio::test]
async fn what_is_wrong_with_a_batch_is_said_with_its_line_and_nothing_is_sent() {
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let good = of_batch("1");
    for (lines, says) in [
        (vec![], "stdin has no commands; a batch has at least one"),
        (vec!["", "  "], "stdin has no commands"),
        (
            vec![good.as_str(), "", "{"],
            "stdin:3: the command is no JSON",
        ),
        // No line can be more than one command.
        (
            vec![good.as_str(), "{},{}"],
            "stdin:2: the command is no JSON",
        ),
        (vec!["{}],\"x\":[{}"], "stdin:1: the command is no JSON"),
        (
            vec!["", "7"],
            "stdin:2: must be an object, and this is a number",
        ),
        (
            vec![good.as_str(), "", r#"{"type":"deposit","account_id":"A"}"#],
            "stdin:3: the field amount is missing",
        ),
        (
            vec![r#"{"type":"batch","commands":[]}"#],
            "stdin:1: a batch has no batch in it",
        ),
        (
            vec![
                r#"{"command_id":"6f1c2a3e-58b1-4c0e-9a53-0d8f6c1f7b11","type":"deposit","account_id":"A","amount":"1"}"#,
            ],
            "stdin:1: deposit in a batch has no field \"command_id\"",
        ),
        (
            vec![good.as_str(); 1_001],
            "stdin:1001: a batch has at most 1000 commands",
        ),
    ] {
        place
            .chronicle_reading(&["send", "batch", "-"], &lines.join("\n"))
            .await
            .exits(2)
            .says(says)
            .prints_nothing();
    }
    // More than a pipe holds.
    let long = of_batch("1").replace('}', &format!(r#","description":"{}"}}"#, "x".repeat(2_000)));
    let file = place.file("long.ndjson", &vec![long; 200]);
    place
        .chronicle(&["send", "batch", &file])
        .await
        .exits(2)
        .says("long.ndjson:127: a batch has at most 262144 bytes, and with this line it has more");
    place
        .chronicle(&["send", "batch", "nowhere.ndjson"])
        .await
        .exits(2)
        .says("nowhere.ndjson cannot be read");
    for (entry, says) in [
        ("A", "--entry is ACCOUNT:DIRECTION:AMOUNT[:CURRENCY]"),
        (
            "A:debit:1:USD:x",
            "--entry is ACCOUNT:DIRECTION:AMOUNT[:CURRENCY]",
        ),
        ("A:sideways:1", "entries[0]: direction"),
        ("A:debit:much", "entries[0]: amount"),
        ("A b:debit:1", "entries[0]: account_id"),
    ] {
        place
            .chronicle(&["send", "post", "--entry", entry])
            .await
            .exits(2)
            .says(says);
    }
    for (price, says) in [
        (&[][..], "--rate <RATE>"),
        (
            &["--rate", "1", "--to-amount", "1"],
            "cannot be used with '--to-amount",
        ),
        (&["--rate", "much"], "rate"),
    ] {
        let exchange = [
            "send",
            "exchange",
            "A",
            "B",
            "1",
            "--from-clearing-account-id",
            "C",
            "--to-clearing-account-id",
            "D",
        ];
        place
            .chronicle(&[&exchange[..], price].concat())
            .await
            .exits(2)
            .says(says);
    }
    assert_eq!(held(&stream).await.len(), 0);
}

#[tokio::test]
async fn an_answer_says_which_command_of_a_batch_made_which_event() {
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let _ledger = play(&place, &stream, |_, command| {
        let event = |part: u64| json!({"account_id": "A", "version": 2 + part, "event_id": command["command_id"], "part": part});
        Some(json!({"command_id": command["command_id"], "status": "accepted", "events": [event(0), event(1)]}))
    })
    .await;
    let input = [of_batch("1"), of_batch("2")].join("\n");
    place
        .chronicle_reading(&["send", "batch", "-"], &input)
        .await
        .exits(0)
        .prints("COMMAND")
        .prints("commands[1]");
}
