//! From a published command to its outcome.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use futures::StreamExt;
use futures::future::join_all;
use ledger::codec::{CONTENT_TYPE_BINCODE, binary, json as json_codec};
use serde_json::{Value, json};
use support::publisher::{
    Publisher, create, id, movement, subject_of, transfer, verdict, verdicts,
};
use support::{Ledger, eventually, text};
use tokio::time::Instant;
use transport::stored::StoredMessages;
use transport::{headers, streams};

/// The names of an object's fields.
fn fields(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap_or_else(|| panic!("{value} is no object"))
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_sent_to_whoever_waits_and_to_its_own_subject_in_the_documented_shape() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    let client = &publisher.nats.client;
    let mut outcomes = client
        .subscribe("ledger.outcomes.*")
        .await
        .expect("outcomes can be heard");
    let mut replies = client
        .subscribe("waiting.here")
        .await
        .expect("replies can be heard");
    client.flush().await.expect("the server listens");

    let opening = create("ACC-1", "10.00");
    let refused = movement("withdraw", "ACC-1", "10.01");
    for command in [&opening, &refused] {
        let mut map = HeaderMap::new();
        map.insert(headers::REPLY_TO, "waiting.here");
        publisher
            .store(&subject_of(command), Some(map), command.to_string())
            .await;
    }
    let mut answers = Vec::new();
    for command in [&opening, &refused] {
        let command_id = command["command_id"].as_str().expect("it has an id");
        let outcome = outcomes.next().await.expect("an outcome comes");
        let reply = replies.next().await.expect("a reply comes");
        assert_eq!(
            outcome.subject.as_str(),
            format!("ledger.outcomes.{command_id}")
        );
        assert_eq!(outcome.payload, reply.payload);
        for message in [&outcome, &reply] {
            let content_type = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get(headers::CONTENT_TYPE));
            assert_eq!(content_type.map(AsRef::as_ref), Some("application/json"));
        }
        let answer: Value = serde_json::from_slice(&reply.payload).expect("it is JSON");
        assert_eq!(answer["command_id"], command_id);
        answers.push(answer);
    }

    let [accepted, rejected] = [&answers[0], &answers[1]];
    assert_eq!(
        fields(accepted),
        BTreeSet::from(["command_id", "events", "status"])
    );
    assert_eq!(accepted["status"], "accepted");
    let event = &accepted["events"][0];
    assert_eq!(
        fields(event),
        BTreeSet::from(["account_id", "event_id", "version"])
    );
    assert_eq!(
        (&event["account_id"], &event["version"]),
        (&json!("ACC-1"), &json!(1))
    );
    assert_eq!(accepted["events"].as_array().map(Vec::len), Some(1));

    assert_eq!(
        fields(rejected),
        BTreeSet::from(["command_id", "events", "rejection", "status"])
    );
    assert_eq!(
        (&rejected["status"], &rejected["events"]),
        (&json!("rejected"), &json!([]))
    );
    let rejection = &rejected["rejection"];
    assert_eq!(
        fields(rejection),
        BTreeSet::from(["code", "data", "message"])
    );
    assert_eq!(rejection["code"], "insufficient_funds");
    assert_eq!(
        rejection["message"],
        "account ACC-1 has 10.00 USD available, and 10.01 USD is required"
    );
    let figures = json!({"account_id": "ACC-1", "available": "10.00", "currency": "USD", "required": "10.01"});
    assert_eq!(rejection["data"], figures);

    // The event that the outcome names is the one in the feed.
    let nats = ledger.connect().await;
    let feed = StoredMessages::new(nats.jetstream, streams::EVENTS, "ledger.events.*", 1);
    let message = feed
        .at(1)
        .await
        .expect("JetStream answers")
        .expect("there is an event")
        .message;
    assert_eq!(message.subject, "ledger.events.ACC-1");
    assert_eq!(message.header(headers::EVENT_TYPE), Some("AccountCreated"));
    assert_eq!(message.header(headers::SCHEMA_VERSION), Some("1"));
    assert_eq!(
        message.header(headers::MESSAGE_ID),
        event["event_id"].as_str()
    );
    assert_eq!(
        ledger.messages_in(streams::EVENTS).await,
        1,
        "a rejection has no event"
    );
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_the_same_in_bincode_and_in_json() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    let mut first = create("ACC-1", "100");
    first["metadata"] = json!({"branch": "north", "invoice": "77"});
    let mut last = transfer("ACC-1", "ACC-2", "25.50");
    last["description"] = json!("Miete für März");
    last["actor"] = json!("teller-3");
    let commands = [
        first,
        create("ACC-2", "0"),
        movement("deposit", "ACC-2", "1.05"),
        movement("withdraw", "ACC-1", "4.5"),
        last,
    ];
    let mut answers = Vec::new();
    for command in &commands {
        let decoded =
            json_codec::decode_command(command.to_string().as_bytes()).expect("it is a command");
        let mut map = HeaderMap::new();
        map.insert(headers::CONTENT_TYPE, CONTENT_TYPE_BINCODE);
        let number = publisher
            .ask_with(&subject_of(command), map, binary::encode_command(&decoded))
            .await;
        let answer = publisher.answer(number).await;
        assert_eq!(verdict(&answer), "accepted", "{answer}");
        answers.push(answer);
    }
    assert_eq!(
        (ledger.balance("ACC-1").await, ledger.balance("ACC-2").await),
        ("70.00".into(), "26.55".into())
    );

    // The same commands in JSON are the same commands.
    assert_eq!(publisher.tell_all(&commands).await, answers);
    assert!(ledger.dead_letters().await.is_empty());
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_as_json_numbers_are_read_digit_by_digit() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    publisher.tell(&create("ACC-1", "0")).await;
    // In floating point 0.1 + 0.2 is not 0.3, and the third number has more digits than a double keeps.
    for amount in ["0.1", "0.2", "90071992547409931.23", "1e2", "5"] {
        let command_id = id();
        let body = format!(
            r#"{{"command_id":"{command_id}","type":"deposit","account_id":"ACC-1","amount":{amount}}}"#
        );
        let answer = publisher
            .answer(
                publisher
                    .ask_with("ledger.commands.ACC-1", HeaderMap::new(), body)
                    .await,
            )
            .await;
        assert_eq!(verdict(&answer), "accepted", "{amount}: {answer}");
    }
    assert_eq!(ledger.balance("ACC-1").await, "90071992547410036.53");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settled_command_leaves_the_stream_also_the_last_one() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    assert_eq!(
        verdict(&publisher.tell(&create("ACC-1", "10.00")).await),
        "accepted"
    );
    ledger.until_settled().await;
    // One that is rejected, one that is repeated and one that is no command leave it, too.
    let refused = movement("withdraw", "ACC-1", "11.00");
    for _ in 0..2 {
        assert_eq!(
            verdict(&publisher.tell(&refused).await),
            "insufficient_funds"
        );
        ledger.until_settled().await;
    }
    publisher
        .store("ledger.commands.ACC-1", None, "no command")
        .await;
    ledger.until_settled().await;
    let deposits: Vec<Value> = (0..5_000)
        .map(|_| movement("deposit", "ACC-1", "0.01"))
        .collect();
    let answers = publisher.tell_all(&deposits).await;
    assert_eq!(
        verdicts(&answers),
        BTreeMap::from([("accepted", deposits.len())])
    );
    ledger.until_settled().await;
    assert_eq!(ledger.counts().await, (5_002, 5_001), "(commands, events)");
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_command_gets_its_first_outcome_even_if_it_could_be_accepted_now() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    let early = movement("deposit", "ACC-1", "5.00");
    let not_found = publisher.tell(&early).await;
    assert_eq!(verdict(&not_found), "account_not_found");
    let opening = create("ACC-1", "10.00");
    let opened = publisher.tell(&opening).await;
    let withdrawal = movement("withdraw", "ACC-1", "50.00");
    let refused = publisher.tell(&withdrawal).await;
    assert_eq!(verdict(&refused), "insufficient_funds");
    assert_eq!(
        verdict(&publisher.tell(&movement("deposit", "ACC-1", "90.00")).await),
        "accepted"
    );

    assert_eq!(publisher.tell(&withdrawal).await, refused);
    assert_eq!(publisher.tell(&early).await, not_found);
    assert_eq!(
        publisher.tell(&opening).await,
        opened,
        "and not account_exists"
    );

    // Another process has not seen any of it.
    assert_eq!(process.stop().await, Some(0));
    let process = ledger.run(&[], &[]).await;
    assert_eq!(
        publisher.tell_all(&[withdrawal, early, opening]).await,
        [refused, not_found, opened]
    );
    assert_eq!(ledger.balance("ACC-1").await, "100.00");
    assert_eq!(ledger.counts().await, (4, 2), "(commands, events)");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_expects_a_version_is_decided_on_that_version_only() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    let expecting = |mut command: Value, version: u64| {
        command["expected_version"] = json!(version);
        command
    };
    publisher
        .tell_all(&[create("ACC-1", "10.00"), create("ACC-2", "10.00")])
        .await;
    let answers = publisher
        .tell_all(&[
            expecting(movement("deposit", "ACC-1", "1.00"), 1),
            expecting(movement("deposit", "ACC-1", "1.00"), 1),
            expecting(movement("withdraw", "ACC-1", "1.00"), 2),
            expecting(movement("withdraw", "ACC-1", "1.00"), 4),
            expecting(transfer("ACC-1", "ACC-2", "1.00"), 3),
            expecting(create("ACC-3", "0"), 0),
            expecting(create("ACC-4", "0"), 1),
        ])
        .await;
    let said: Vec<&str> = answers.iter().map(verdict).collect();
    let expected = [
        "accepted",
        "version_conflict",
        "accepted",
        "version_conflict",
        "accepted",
        "accepted",
        "version_conflict",
    ];
    assert_eq!(said, expected, "{answers:#?}");
    let figures = json!({"account_id": "ACC-1", "expected": "1", "actual": "2"});
    assert_eq!(answers[1]["rejection"]["data"], figures);

    // Of many that expect the same version, each published by a client of its own, one is accepted.
    let clients = join_all((0..16).map(|_| Publisher::connect(&ledger))).await;
    let racing = clients.iter().map(|client| {
        let command = expecting(movement("deposit", "ACC-2", "1.00"), 2);
        async move { client.tell(&command).await }
    });
    let answers = join_all(racing).await;
    assert_eq!(
        verdicts(&answers),
        BTreeMap::from([("accepted", 1), ("version_conflict", 15)])
    );
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_published_one_behind_the_other_are_decided_in_that_order() {
    const ACCOUNTS: usize = 300;
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    // Each is possible only after the one before it, and nobody waits for an answer in between.
    let commands: Vec<Value> = (0..ACCOUNTS)
        .flat_map(|number| {
            let account_id = format!("ACC-{number}");
            [
                create(&account_id, "0"),
                movement("deposit", &account_id, "20.00"),
                movement("withdraw", &account_id, "20.00"),
                movement("deposit", &account_id, "7.00"),
                transfer(&account_id, "ACC-0", "3.00"),
            ]
        })
        .collect();
    let answers = publisher.tell_all(&commands).await;
    // A transfer from the first account to itself.
    assert_eq!(verdict(&answers[4]), "same_account");
    assert_eq!(
        verdicts(&answers),
        BTreeMap::from([("accepted", commands.len() - 1), ("same_account", 1)])
    );
    let first = format!("{}.00", 7 + 3 * (ACCOUNTS - 1));
    assert_eq!(ledger.balance("ACC-0").await, first);
    eventually("the read model", || async {
        let balances = ledger.balances().await;
        balances.len() == ACCOUNTS
            && balances
                .iter()
                .all(|(account_id, (balance, _))| account_id == "ACC-0" || balance == "4.00")
            && balances["ACC-0"].0 == first
    })
    .await;
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_command_is_answered_without_waiting_for_others() {
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    publisher.tell(&create("ACC-1", "0")).await;
    let mut took = Vec::new();
    for _ in 0..50 {
        let started = Instant::now();
        assert_eq!(
            verdict(&publisher.tell(&movement("deposit", "ACC-1", "1.00")).await),
            "accepted"
        );
        took.push(started.elapsed());
    }
    took.sort();
    println!(
        "a lone command: median {:?}, slowest of {} {:?}",
        took[took.len() / 2],
        took.len(),
        took[took.len() - 1]
    );

    // The same after a restart: nobody waits for the process before this one to be given up.
    assert_eq!(process.stop().await, Some(0));
    let process = ledger.run(&[], &[]).await;
    let started = Instant::now();
    assert_eq!(
        verdict(&publisher.tell(&movement("deposit", "ACC-1", "1.00")).await),
        "accepted"
    );
    println!("the first one after a restart: {:?}", started.elapsed());
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_refuses_what_is_new_and_drops_nothing_that_waits() {
    const WAITING_MAX: usize = 10;
    let flags = ["--commands-waiting-max", "10"];
    let ledger = Ledger::new().await;
    // The first start makes the streams. Then nobody reads.
    assert_eq!(ledger.run(&flags, &[]).await.stop().await, Some(0));
    let publisher = Publisher::connect(&ledger).await;
    let mut waiting = vec![publisher.ask(&create("ACC-1", "0")).await];
    for _ in 1..WAITING_MAX {
        waiting.push(publisher.ask(&movement("deposit", "ACC-1", "1.00")).await);
    }

    for _ in 0..3 {
        let one_more = movement("deposit", "ACC-1", "100.00");
        let message = PublishMessage::build().payload(one_more.to_string().into());
        let publish = publisher
            .nats
            .jetstream
            .send_publish(subject_of(&one_more), message);
        let refused = publish
            .await
            .expect("it can be sent")
            .await
            .expect_err("the stream is full");
        assert!(
            refused.to_string().contains("maximum messages exceeded"),
            "{refused}"
        );
    }
    let sent = ledger
        .chronicle(&["send", "--wait-seconds", "1", "deposit", "ACC-1", "100.00"])
        .await;
    let said = text(&sent.stderr);
    assert_eq!(sent.status.code(), Some(3), "{said}");
    assert!(
        said.contains("full") && said.contains(streams::COMMANDS),
        "{said}"
    );
    assert_eq!(ledger.messages_in(streams::COMMANDS).await, 10);

    let process = ledger.run(&flags, &[]).await;
    for number in waiting {
        assert_eq!(verdict(&publisher.answer(number).await), "accepted");
    }
    ledger.until_settled().await;
    assert_eq!(
        verdict(&publisher.tell(&movement("deposit", "ACC-1", "1.00")).await),
        "accepted"
    );
    assert_eq!(ledger.balance("ACC-1").await, "10.00");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_one_account_share_a_partition_and_transfers_across_partitions_keep_the_books()
{
    const ACCOUNTS: usize = 16;
    const CLIENTS: usize = 8;
    const TRANSFERS_PER_CLIENT: usize = 250;
    let ledger = Ledger::new().await;
    let flags = ["--partitions", "4"];
    // The first start makes the streams. Then nobody reads.
    assert_eq!(ledger.run(&flags, &[]).await.stop().await, Some(0));
    let publisher = Publisher::connect(&ledger).await;
    let account = |number: usize| format!("ACC-{}", number % ACCOUNTS);
    let mut waiting = Vec::new();
    for number in 0..ACCOUNTS {
        waiting.push(publisher.ask(&create(&account(number), "100.00")).await);
        waiting.push(
            publisher
                .ask(&movement("deposit", &account(number), "1.00"))
                .await,
        );
    }
    let stored = StoredMessages::new(
        publisher.nats.jetstream.clone(),
        streams::COMMANDS,
        "ledger.commands.*.*",
        1,
    );
    let (messages, _) = stored.some(1, u64::MAX).await.expect("JetStream answers");
    let mut partitions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for message in &messages {
        let mut tokens = message
            .message
            .subject
            .split('.')
            .skip(2)
            .map(str::to_owned);
        let (partition, account) = (
            tokens.next().expect("a partition"),
            tokens.next().expect("an account"),
        );
        partitions.entry(account).or_default().insert(partition);
    }
    assert_eq!(messages.len(), 2 * ACCOUNTS);
    assert!(
        partitions.values().all(|partitions| partitions.len() == 1),
        "{partitions:?}"
    );
    let used: BTreeSet<&String> = partitions.values().flatten().collect();
    assert_eq!(used.into_iter().collect::<Vec<_>>(), ["0", "1", "2", "3"]);

    let process = ledger.run(&flags, &[]).await;
    for number in waiting {
        assert_eq!(verdict(&publisher.answer(number).await), "accepted");
    }
    // Every client moves money between all accounts, in amounts that often are not there: each command concerns two
    // partitions' writers, and all of them meet at the same few accounts.
    let clients = (0..CLIENTS).map(|client| {
        let ledger = &ledger;
        let transfers: Vec<Value> = (0..TRANSFERS_PER_CLIENT)
            .map(|number| {
                let from = number * (2 * client + 1) + client;
                let amount = format!("{}.{:02}", 20 + number % 80, client);
                transfer(
                    &account(from),
                    &account(from + 1 + number % (ACCOUNTS - 1)),
                    &amount,
                )
            })
            .collect();
        async move { Publisher::connect(ledger).await.tell_all(&transfers).await }
    });
    let answers: Vec<Value> = join_all(clients).await.into_iter().flatten().collect();
    let said = verdicts(&answers);
    assert_eq!(said.values().sum::<usize>(), CLIENTS * TRANSFERS_PER_CLIENT);
    assert!(
        said.keys()
            .all(|said| ["accepted", "insufficient_funds"].contains(said)),
        "{said:?}"
    );
    assert!(
        said.len() == 2 && said.values().all(|count| *count > 50),
        "this is no contention: {said:?}"
    );

    ledger.until_settled().await;
    let total = "SELECT sum(balance)::text AS total FROM account_balance";
    let pool = ledger.read_model().await;
    eventually("the read model to hold all of it", || async {
        let row = sqlx::query(total)
            .fetch_one(&pool)
            .await
            .expect("the read model can be read");
        let transfers = sqlx::query("SELECT count(*) FROM transfers WHERE status = 'completed'");
        let transfers = transfers
            .fetch_one(&pool)
            .await
            .expect("the read model can be read");
        let count: i64 = sqlx::Row::get(&transfers, 0);
        sqlx::Row::get::<String, _>(&row, "total") == "1616.00"
            && usize::try_from(count) == Ok(said["accepted"])
    })
    .await;
    assert!(ledger.dead_letters().await.is_empty());
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_another_number_of_partitions_says_so_and_leaves_the_commands_alone() {
    let ledger = Ledger::new().await;
    assert_eq!(
        ledger.run(&["--partitions", "4"], &[]).await.stop().await,
        Some(0)
    );
    let publisher = Publisher::connect(&ledger).await;
    let number = publisher.ask(&create("ACC-1", "1.00")).await;

    // One that has nothing else to do ends, with the exit code for what a person has to see to.
    let mut process = ledger
        .start(&["--partitions", "2", "--only", "intake"], &[])
        .await;
    assert_eq!(process.ended().await, Some(4), "{}", process.log());
    for words in ["LEDGER_COMMANDS", "partition(4,1)", "--partitions 2"] {
        assert!(process.log().contains(words), "{words}: {}", process.log());
    }
    // One that keeps read models up to date goes on with that, and is not ready.
    let process = ledger.start(&[], &[]).await;
    eventually("it to say that intake has stopped", || async {
        matches!(process.readyz().await, Some((503, state)) if state.to_string().contains("partition(4,1)"))
    })
    .await;
    assert_eq!(process.stop().await, Some(4));
    assert_eq!(ledger.messages_in(streams::COMMANDS).await, 1);

    let process = ledger.run(&["--partitions", "4"], &[]).await;
    assert_eq!(verdict(&publisher.answer(number).await), "accepted");
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_commands_take_seconds() {
    const COMMANDS: usize = 10_000;
    let (ledger, process) = Ledger::running().await;
    let publisher = Publisher::connect(&ledger).await;
    let accounts: Vec<Value> = (0..100)
        .map(|number| create(&format!("ACC-{number}"), "0"))
        .collect();
    let opened = publisher.tell_all(&accounts).await;
    assert_eq!(verdicts(&opened), BTreeMap::from([("accepted", 100)]));
    let deposits: Vec<Value> = (0..COMMANDS)
        .map(|number| movement("deposit", &format!("ACC-{}", number % 100), "0.01"))
        .collect();
    let started = Instant::now();
    let answers = publisher.tell_all(&deposits).await;
    println!(
        "{COMMANDS} commands, from the first publish to the last answer: {:?}",
        started.elapsed()
    );
    assert_eq!(verdicts(&answers), BTreeMap::from([("accepted", COMMANDS)]));
    assert_eq!(process.stop().await, Some(0));
}
