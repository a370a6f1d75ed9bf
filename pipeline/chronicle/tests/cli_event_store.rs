//! What the client subcommands read from the event store: `account`, `history`, `outcome`, and the outcomes of commands
//! whose answers got lost.

mod cli_support;

use cli_support::event_store::{ask, event_store, process};
use cli_support::{Done, Place, deposit, id, play};
use ledger::codec::json;
use serde_json::{Value, json};
use transport::streams::Limits;

/// Opens account `A` with 100.00 USD.
fn open(number: u64) -> String {
    format!(
        r#"{{"command_id":"{}","type":"create_account","account_id":"A","owner_name":"O\u001b[2J","currency":"USD","initial_balance":"100"}}"#,
        id(number)
    )
}

/// More than there is.
fn withdraw(number: u64) -> String {
    format!(
        r#"{{"command_id":"{}","type":"withdraw","account_id":"A","amount":"100000"}}"#,
        id(number)
    )
}

#[tokio::test]
async fn an_account_is_shown_as_it_is_now() {
    let (store, url) = event_store().await;
    ask(&url, &["account", "A"])
        .await
        .exits(1)
        .says("there is no account A")
        .prints_nothing();
    process(&store, &[open(1), deposit(2)]).await;
    let account = ask(&url, &["account", "A", "-o", "json"])
        .await
        .exits(0)
        .document();
    for (field, value) in [
        ("balance", json!("101.00")),
        ("available", json!("101.00")),
        ("overdraft_limit", json!("0.00")),
        ("currency", json!("USD")),
        ("status", json!("active")),
        ("version", json!(2)),
    ] {
        assert_eq!(account[field], value, "{field}");
    }
    let table = ask(&url, &["account", "A"])
        .await
        .exits(0)
        .prints("101.00 USD");
    assert!(
        table.out.contains("O\\u{1b}[2J"),
        "an owner's name does not move the cursor: {table:#?}"
    );
}

#[tokio::test]
async fn a_history_of_several_pages_comes_whole_and_in_order() {
    const EVENTS: u64 = 1_100;
    let (store, url) = event_store().await;
    ask(&url, &["history", "A"])
        .await
        .exits(1)
        .says("there is no account A")
        .prints_nothing();
    let commands: Vec<String> = std::iter::once(open(1))
        .chain((2..=EVENTS).map(deposit))
        .collect();
    process(&store, &commands).await;
    let versions = |done: &Done| {
        done.lines()
            .iter()
            .map(|event| event["version"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    let all = ask(&url, &["history", "A", "-o", "json"]).await.exits(0);
    assert_eq!(versions(&all), (1..=EVENTS).collect::<Vec<_>>());
    // Each line is the event's canonical JSON: its hash can be checked.
    for line in all.out.lines() {
        json::decode_event(line.as_bytes())
            .unwrap()
            .check_hash()
            .unwrap();
    }
    let some = ask(
        &url,
        &[
            "history",
            "A",
            "--after-version",
            "498",
            "--limit",
            "4",
            "-o",
            "json",
        ],
    )
    .await
    .exits(0);
    assert_eq!(versions(&some), [499, 500, 501, 502]);
    let exact = ask(
        &url,
        &[
            "history",
            "A",
            "--after-version",
            "600",
            "--limit",
            "500",
            "-o",
            "json",
        ],
    )
    .await
    .exits(0);
    assert_eq!(versions(&exact), (601..=EVENTS).collect::<Vec<_>>());
    let table = ask(&url, &["history", "A"])
        .await
        .exits(0)
        .prints("+100.00")
        .prints("AccountCreated");
    assert_eq!(u64::try_from(table.out.lines().count()), Ok(EVENTS + 1));
    ask(&url, &["history", "A", "--after-version", "5000"])
        .await
        .exits(0)
        .says("its newest is 1100")
        .prints_nothing();
}

#[tokio::test]
async fn an_outcome_comes_with_what_was_asked_for_and_when() {
    let (store, url) = event_store().await;
    process(&store, &[open(1), withdraw(2)]).await;
    let accepted = ask(&url, &["outcome", &id(1), "-o", "json"])
        .await
        .exits(0)
        .document();
    assert_eq!(
        (&accepted["status"], &accepted["events"][0]["version"]),
        (&json!("accepted"), &json!(1))
    );
    assert_eq!(accepted["command"]["type"], "create_account");
    assert!(accepted["recorded_at"].as_str().unwrap().ends_with('Z'));
    // A rejection is an outcome: the question is answered.
    let rejected = ask(&url, &["outcome", &id(2), "-o", "json"])
        .await
        .exits(0)
        .document();
    assert_eq!(rejected["rejection"]["code"], "insufficient_funds");
    ask(&url, &["outcome", &id(2)])
        .await
        .exits(0)
        .prints("rejected: insufficient_funds")
        .prints("decided at");
    ask(&url, &["outcome", &id(3)])
        .await
        .exits(1)
        .says("LEDGER_COMMANDS")
        .says("chronicle dead-letter list")
        .prints_nothing();
}

/// Moves a part of the deposit `id(2)` back.
fn reverse(number: u64, amount: &str) -> String {
    format!(
        r#"{{"command_id":"{}","type":"reverse","account_id":"A","reversed_command_id":"{}","amount":"{amount}","reason":"a\u001b mistake","description":"sorry"}}"#,
        id(number),
        id(2)
    )
}

#[tokio::test]
async fn a_reversal_and_what_it_reverses_tell_of_each_other() {
    let (store, url) = event_store().await;
    let events = process(
        &store,
        &[open(1), deposit(2), reverse(3, "0.25"), reverse(4, "0.5")],
    )
    .await;
    let links = async |number: u64| {
        let mut outcome = ask(&url, &["outcome", &id(number), "-o", "json"])
            .await
            .exits(0)
            .document();
        [outcome["reverses"].take(), outcome["reversed_by"].take()]
    };
    assert_eq!(links(1).await, [Value::Null, Value::Null]);
    let reversal = |number: u64, amount: &str, recorded_at| json!({"command_id": id(number), "amount": amount, "reason": "a\u{1b} mistake", "recorded_at": recorded_at});
    let by = json!({"reversed": "0.75", "rest": "0.25", "currency": "USD", "has_more": false, "reversals": [
        reversal(3, "0.25", events[2].recorded_at), reversal(4, "0.50", events[3].recorded_at)]});
    assert_eq!(links(2).await, [Value::Null, by]);
    let of_deposit = json!({"command_id": id(2), "amount": "0.50", "currency": "USD", "reason": "a\u{1b} mistake"});
    assert_eq!(links(4).await, [of_deposit, Value::Null]);

    ask(&url, &["outcome", &id(2)])
        .await
        .exits(0)
        .prints("reversed   0.75 USD, and 0.25 not")
        .prints("REVERSED BY")
        .prints(&id(4))
        .prints("a\\u{1b} mistake");
    ask(&url, &["outcome", &id(3)])
        .await
        .exits(0)
        .prints(&format!(
            "reverses   0.25 USD of command {}: a\\u{{1b}} mistake",
            id(2)
        ));
    let told = format!("sorry; back from command {}: a\\u{{1b}} mistake", id(2));
    ask(&url, &["history", "A"]).await.exits(0).prints(&told);
    ask(&url, &["explain", "A"])
        .await
        .exits(0)
        .prints(&told)
        .prints(&format!("reverse 0.5 of command {}: a", id(2)))
        .prints("add up to 100.25 USD");
    let explained = ask(&url, &["explain", "A", "-o", "json"])
        .await
        .exits(0)
        .lines();
    let reversed: Vec<_> = explained[..4]
        .iter()
        .map(|line| &line["reversed_command_id"])
        .collect();
    assert_eq!(
        json!(reversed),
        json!([id(2), id(2), Value::Null, Value::Null])
    );
}

#[tokio::test]
async fn of_many_reversals_the_first_are_told_and_the_sum_is_that_of_all() {
    const REVERSALS: u64 = 101;
    let (store, url) = event_store().await;
    let deposit = deposit(2).replace("1.00", "1.01");
    let reversals = (3..3 + REVERSALS).map(|number| reverse(number, "0.01"));
    let (last, others): (Vec<_>, Vec<_>) = [open(1), deposit]
        .into_iter()
        .chain(reversals)
        .partition(|command| command.contains(&id(2 + REVERSALS)));
    process(&store, &others).await;
    for (more, reversed) in [(&[][..], "1.00"), (&last[..], "1.01")] {
        process(&store, more).await;
        let outcome = ask(&url, &["outcome", &id(2), "-o", "json"])
            .await
            .exits(0)
            .document();
        let by = &outcome["reversed_by"];
        assert_eq!(by["reversals"].as_array().map(Vec::len), Some(100));
        assert_eq!(
            (&by["reversed"], &by["has_more"]),
            (&json!(reversed), &json!(!more.is_empty()))
        );
    }
    ask(&url, &["outcome", &id(2)])
        .await
        .exits(0)
        .prints("1.01 USD, and 0.00 not")
        .says("the first 100 reversals, and there are more");
}

#[tokio::test]
async fn outcomes_whose_answers_got_lost_are_looked_up() {
    let (store, url) = event_store().await;
    let place = Place::new().await;
    let stream = place.commands(&Limits::default()).await;
    let _mute = play(&place, &stream, |_, _| None).await;
    process(&store, &[open(1), deposit(2), withdraw(3)]).await;
    let one = [
        "send",
        "deposit",
        "A",
        "1.0",
        "--command-id",
        &id(2),
        "--wait-seconds",
        "1",
        "--event-store-url",
        &url,
    ];
    let document = place
        .chronicle(&[&one[..], &["-o", "json"]].concat())
        .await
        .exits(0)
        .document();
    assert_eq!(document["events"][0]["version"], 2);
    let other = [
        "send",
        "deposit",
        "A",
        "7",
        "--command-id",
        &id(2),
        "--wait-seconds",
        "1",
        "--event-store-url",
        &url,
    ];
    place
        .chronicle(&other)
        .await
        .exits(1)
        .says("idempotency_conflict")
        .prints_nothing();

    let conflict = deposit(2).replace("1.00", "7");
    let file = place.file(
        "commands.ndjson",
        &[open(1), deposit(2), withdraw(3), conflict, deposit(2)],
    );
    let many = [
        "send",
        "--file",
        &file,
        "--event-store-url",
        &url,
        "-o",
        "json",
    ];
    let summary: Value = place.chronicle(&many).await.exits(1).document();
    assert_eq!(summary["accepted"], 3);
    assert_eq!(summary["rejected"], json!({"insufficient_funds": 1}));
    assert_eq!(summary["dead_letters"], json!({"idempotency_conflict": 1}));
    assert_eq!(summary["unanswered"], 0);
    let seconds = summary["seconds"].as_f64().unwrap();
    assert!(
        seconds < 20.0,
        "they are looked up long before the wait is over: {seconds}"
    );
    // What the event store does not know either stays unanswered.
    let file = place.file("unknown.ndjson", &[deposit(2), deposit(9)]);
    let many = [
        "send",
        "--file",
        &file,
        "--event-store-url",
        &url,
        "--wait-seconds",
        "3",
        "-o",
        "json",
    ];
    let summary = place.chronicle(&many).await.exits(3).document();
    assert_eq!(
        (&summary["accepted"], &summary["unanswered"]),
        (&json!(1), &json!(1))
    );
}

fn of_batch(fields: &str) -> String {
    format!(r#"{{"command_id":"{}","type":"batch",{fields}}}"#, id(3))
}

#[tokio::test]
async fn a_batch_is_told_command_by_command() {
    let (store, url) = event_store().await;
    let done = of_batch(
        r#""description":"pay\u001b day","commands":[{"type":"create_account","account_id":"B","owner_name":"B","currency":"USD"},
           {"type":"transfer","from_account_id":"A","to_account_id":"B","amount":"30.5","description":"rent"},
           {"type":"post","entries":[{"account_id":"B","direction":"debit","amount":"1"},{"account_id":"A","direction":"credit","amount":"1"}]}]"#,
    );
    let refused = of_batch(
        r#""commands":[{"type":"deposit","account_id":"A","amount":"1"},{"type":"withdraw","account_id":"A","amount":"5000"}]"#,
    )
    .replace(&id(3), &id(4));
    process(&store, &[open(1), deposit(2), done, refused]).await;
    let outcome = ask(&url, &["outcome", &id(3)])
        .await
        .exits(0)
        .prints("accepted")
        .prints("command    batch of 3 commands: pay\\u{1b} day")
        .prints("transfer 30.5 from A to B");
    // Five events of three commands, and the three commands.
    assert_eq!(outcome.out.matches("commands[").count(), 8, "{outcome:#?}");
    let parts = ask(&url, &["outcome", &id(3), "-o", "json"])
        .await
        .exits(0)
        .document();
    let parts: Vec<_> = parts["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["part"])
        .collect();
    assert_eq!(json!(parts), json!([0, 1, 1, 2, 2]));

    let outcome = ask(&url, &["outcome", &id(4)])
        .await
        .exits(0)
        .prints("rejected: insufficient_funds: commands[1] (withdraw): account A has 72.50 USD")
        .prints("withdraw 5000 from A");
    assert!(
        !outcome.out.contains("deposit"),
        "only the one that was refused: {outcome:#?}"
    );

    let history = ask(&url, &["history", "A"]).await.exits(0);
    let history = history
        .prints(&format!("{} commands[1]", id(3)))
        .prints("rent")
        .prints("in posting ");
    assert!(
        !history.out.contains("pay"),
        "a batch's words are its own: {history:#?}"
    );
    ask(&url, &["explain", "A"])
        .await
        .exits(0)
        .prints("post 1 from B, 1 to A (commands[2] of batch of 3 commands)")
        .prints("add up to 71.50 USD");
    let explained = ask(&url, &["explain", "A", "-o", "json"])
        .await
        .exits(0)
        .lines();
    assert_eq!(
        json!([
            explained[0]["part"],
            explained[0]["command"]["type"],
            explained[1]["part"],
            explained[1]["command"]["type"]
        ]),
        json!([2, "post", 1, "transfer"])
    );
    assert_eq!(explained[2].get("part"), None);
}
