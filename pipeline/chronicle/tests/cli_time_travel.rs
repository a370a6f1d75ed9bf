//! What the client subcommands tell of the past: `account --at`, `account --version`, `balances`, `explain`.

mod cli_support;

use cli_support::event_store::{ask, event_store, process};
use cli_support::{Done, deposit, id};
use ledger::{Event, Timestamp};
use serde_json::{Value, json};

/// A month after any test runs.
fn future() -> String {
    let now = time::OffsetDateTime::now_utc() + time::Duration::days(30);
    Timestamp::from_date_time(now).to_string()
}

/// `at`, moved by some microseconds, as it is written.
fn moved(at: Timestamp, microseconds: i64) -> String {
    Timestamp::from_unix_microseconds(at.unix_microseconds() + microseconds).to_string()
}

fn open(number: u64, account_id: &str, currency: &str) -> String {
    format!(
        r#"{{"command_id":"{}","type":"create_account","account_id":"{account_id}","owner_name":"O\u001b[2J","currency":"{currency}","initial_balance":"100"}}"#,
        id(number)
    )
}

fn transfer(number: u64) -> String {
    format!(
        r#"{{"command_id":"{}","type":"transfer","from_account_id":"A","to_account_id":"B","amount":"30.5","description":"rent","actor":"teller-3","metadata":{{"invoice":"77"}}}}"#,
        id(number)
    )
}

/// `A` with 100.00, 101.00, 70.50 USD, `B` with 100.00, 130.50 USD, `J` with 100 JPY, each command a transaction of its
/// own.
async fn three_accounts() -> (Vec<Event>, String) {
    let (store, url) = event_store().await;
    let mut events = Vec::new();
    for command in [
        open(1, "A", "USD"),
        open(2, "B", "USD"),
        deposit(3),
        transfer(4),
        open(5, "J", "JPY"),
    ] {
        events.extend(process(&store, &[command]).await);
    }
    (events, url)
}

#[tokio::test]
async fn an_account_is_shown_as_it_was_at_any_microsecond() {
    let (events, url) = three_accounts().await;
    let (opened, deposited) = (events[0].recorded_at, events[2].recorded_at);
    let transferred = events[3].recorded_at;
    for (at, version, balance, provisional) in [
        (moved(opened, 0), 1, "100.00", false),
        (moved(deposited, -1), 1, "100.00", false),
        (moved(deposited, 0), 2, "101.00", false),
        (moved(transferred, -1), 2, "101.00", false),
        (moved(transferred, 0), 3, "70.50", true),
    ] {
        let account = ask(&url, &["account", "A", "--at", &at, "-o", "json"])
            .await
            .exits(0)
            .document();
        let told = [
            &account["version"],
            &account["balance"],
            &account["provisional"],
        ];
        assert_eq!(
            told,
            [&json!(version), &json!(balance), &json!(provisional)],
            "{at}"
        );
        assert_eq!(
            account["as_of"],
            json!({"timestamp": at, "version": version})
        );
    }
    let now = moved(transferred, 0);
    ask(&url, &["account", "A", "--at", &now])
        .await
        .exits(0)
        .prints("70.50 USD")
        .prints(&now)
        .prints("provisional");
    ask(&url, &["account", "A", "--at", &moved(opened, 0)])
        .await
        .exits(0)
        .prints("(final)");
    // An offset is as good, and is told in UTC.
    let elsewhere = now.replace('Z', "+00:00");
    ask(&url, &["account", "A", "--at", &elsewhere])
        .await
        .exits(0)
        .prints(&now);
    let present = ask(&url, &["account", "A", "-o", "json"])
        .await
        .exits(0)
        .document();
    assert_eq!(
        present["as_of"],
        Value::Null,
        "the present is told as it always was"
    );
}

#[tokio::test]
async fn an_account_is_shown_as_it_was_after_any_version() {
    let (events, url) = three_accounts().await;
    for (version, balance, event) in [
        ("1", "100.00", &events[0]),
        ("2", "101.00", &events[2]),
        ("3", "70.50", &events[3]),
    ] {
        let account = ask(&url, &["account", "A", "--version", version, "-o", "json"])
            .await
            .exits(0)
            .document();
        assert_eq!(account["balance"], balance);
        assert_eq!(account["provisional"], false, "a version never changes");
        let as_of = json!({"timestamp": event.recorded_at, "version": event.version});
        assert_eq!(account["as_of"], as_of);
    }
    for version in ["0", "4", "18446744073709551615"] {
        ask(&url, &["account", "A", "--version", version])
            .await
            .exits(1)
            .says("has no version")
            .says("its newest is 3")
            .prints_nothing();
    }
    ask(&url, &["account", "NOBODY", "--version", "1"])
        .await
        .exits(1)
        .says("there is no account NOBODY")
        .prints_nothing();
}

#[tokio::test]
async fn before_the_opening_beyond_now_and_nowhere_are_three_answers() {
    let (events, url) = three_accounts().await;
    let opened = events[0].recorded_at;
    let before = moved(opened, -1);
    let future = future();
    for subcommand in ["account", "explain"] {
        ask(&url, &[subcommand, "A", "--at", &before])
            .await
            .exits(1)
            .says("was not open yet")
            .says(&format!("opened at {opened}"))
            .prints_nothing();
        ask(&url, &[subcommand, "A", "--at", &future])
            .await
            .exits(2)
            .says("lies in the future")
            .prints_nothing();
        ask(&url, &[subcommand, "NOBODY", "--at", &before])
            .await
            .exits(1)
            .says("there is no account NOBODY")
            .prints_nothing();
    }
    ask(&url, &["balances", "--at", &future])
        .await
        .exits(2)
        .says("lies in the future")
        .prints_nothing();
    ask(&url, &["balances", "--at", &before, "-o", "json"])
        .await
        .exits(0)
        .says("no account was open at")
        .prints_nothing();
}

/// The lines about accounts, and those about currencies, in short.
fn accounts_and_totals(done: &Done) -> (Vec<String>, Vec<String>) {
    let text = |value: &Value| value.as_str().expect("it is a text").to_owned();
    let (accounts, totals): (Vec<Value>, Vec<Value>) = done
        .lines()
        .into_iter()
        .partition(|line| line["account_id"].is_string());
    let account =
        |line: &Value| format!("{} {}", text(&line["account_id"]), text(&line["balance"]));
    let total = |line: &Value| {
        let (currency, balance) = (text(&line["currency"]), text(&line["balance"]));
        format!("{} {currency} {balance}", line["accounts"])
    };
    (
        accounts.iter().map(account).collect(),
        totals.iter().map(total).collect(),
    )
}

#[tokio::test]
async fn the_whole_book_is_shown_now_and_at_any_instant_with_its_totals() {
    let (events, url) = three_accounts().await;
    let now = ask(&url, &["balances", "-o", "json"]).await.exits(0);
    let (accounts, totals) = accounts_and_totals(&now);
    assert_eq!(accounts, ["A 70.50", "B 130.50", "J 100"]);
    assert_eq!(totals, ["1 JPY 100", "2 USD 201.00"]);
    for line in now.lines() {
        assert_eq!(line["provisional"], true);
        assert!(line["as_of"]["timestamp"].is_string());
    }

    let at = moved(events[2].recorded_at, 0);
    let then = ask(&url, &["balances", "--at", &at, "-o", "json"])
        .await
        .exits(0);
    let (accounts, totals) = accounts_and_totals(&then);
    assert_eq!(accounts, ["A 101.00", "B 100.00"]);
    assert_eq!(totals, ["2 USD 201.00"]);
    assert_eq!(
        then.lines()[0]["as_of"],
        json!({"timestamp": at, "version": 2})
    );

    let some = ask(&url, &["balances", "--limit", "1", "-o", "json"])
        .await
        .exits(0)
        .says("1 of 3 accounts are shown; the totals are those of all");
    let (accounts, totals) = accounts_and_totals(&some);
    assert_eq!(accounts, ["A 70.50"]);
    assert_eq!(totals, ["1 JPY 100", "2 USD 201.00"]);
    let table = ask(&url, &["balances"])
        .await
        .exits(0)
        .prints("ACCOUNT")
        .prints("TOTAL")
        .prints("201.00")
        .prints("as of")
        .prints("O\\u{1b}[2J");
    assert!(table.out.contains("provisional"), "{table:#?}");
}

#[tokio::test]
async fn the_rules_of_then_and_what_they_had_counted_are_told() {
    let (store, url) = event_store().await;
    let command = |number: u64, fields: &str| {
        format!(
            r#"{{"command_id":"{}","account_id":"A",{fields}}}"#,
            id(number)
        )
    };
    let mut events = Vec::new();
    for command in [
        open(1, "A", "USD"),
        command(
            2,
            r#""type":"set_account_rules","minimum_balance":"5","daily_debit_amount_max":"50","allowed_counterparties":["B"]"#,
        ),
        command(3, r#""type":"withdraw","amount":"20""#),
        command(4, r#""type":"set_account_rules""#),
    ] {
        events.extend(process(&store, &[command]).await);
    }
    let refused = command(5, r#""type":"set_account_rules""#);
    assert_eq!(process(&store, &[refused]).await, []);

    for (event, rules, day_debits) in [
        (&events[0], json!({}), Value::Null),
        (
            &events[2],
            json!({"allowed_counterparties": ["B"], "daily_debit_amount_max": "50.00", "minimum_balance": "5.00"}),
            json!({"amount": "20.00", "count": 1, "day": events[2].recorded_at.day().to_string()}),
        ),
        (&events[3], json!({}), Value::Null),
    ] {
        let at = moved(event.recorded_at, 0);
        let account = ask(&url, &["account", "A", "--at", &at, "-o", "json"])
            .await
            .exits(0)
            .document();
        assert_eq!(account["rules"], rules, "at {at}");
        assert_eq!(account["day_debits"], day_debits, "at {at}");
    }
    let at = moved(events[2].recorded_at, 0);
    ask(&url, &["account", "A", "--at", &at])
        .await
        .exits(0)
        .prints("rules            minimum balance 5.00, debits a day up to 50.00, counterparties B only")
        .prints("20.00 USD in 1 on ");
    ask(&url, &["history", "A"])
        .await
        .exits(0)
        .prints("rules: minimum balance 5.00")
        .prints("rules: none");
    ask(&url, &["explain", "A"])
        .await
        .exits(0)
        .prints("set rules of A: minimum balance 5, debits a day up to 50, counterparties B only");
}

#[tokio::test]
async fn whether_it_was_frozen_and_what_was_held_then_is_told() {
    let (store, url) = event_store().await;
    let command = |number: u64, fields: &str| {
        format!(
            r#"{{"command_id":"{}","account_id":"A",{fields}}}"#,
            id(number)
        )
    };
    let mut events = Vec::new();
    for command in [
        open(1, "A", "USD"),
        command(
            2,
            &format!(r#""type":"hold","hold_id":"{}","amount":"40""#, id(2)),
        ),
        command(
            3,
            r#""type":"freeze_account","scope":"debits","reason":"a lost\u001b card""#,
        ),
        command(4, r#""type":"unfreeze_account""#),
        command(
            5,
            &format!(r#""type":"release","hold_id":"{}","amount":"30""#, id(2)),
        ),
        command(
            6,
            r#""type":"update_account","owner_name":"P","account_metadata":{"tier":"gold"},"if_balance_at_least":"5""#,
        ),
    ] {
        events.extend(process(&store, &[command]).await);
    }
    for (event, status, reason, held, available) in [
        (&events[0], "active", json!(null), "0.00", "100.00"),
        (&events[1], "active", json!(null), "40.00", "60.00"),
        (
            &events[2],
            "debits_frozen",
            json!("a lost\u{1b} card"),
            "40.00",
            "60.00",
        ),
        (&events[3], "active", json!(null), "40.00", "60.00"),
        (&events[4], "active", json!(null), "10.00", "90.00"),
    ] {
        let at = moved(event.recorded_at, 0);
        let account = ask(&url, &["account", "A", "--at", &at, "-o", "json"])
            .await
            .exits(0)
            .document();
        let book = ask(&url, &["balances", "--at", &at, "-o", "json"])
            .await
            .exits(0)
            .lines();
        for told in [&account, &book[0]] {
            for (name, value) in [
                ("status", json!(status)),
                ("freeze_reason", reason.clone()),
                ("held", json!(held)),
                ("available", json!(available)),
            ] {
                assert_eq!(told[name], value, "{name} at {at}");
            }
        }
    }
    let frozen = moved(events[2].recorded_at, 0);
    ask(&url, &["account", "A", "--at", &frozen])
        .await
        .exits(0)
        .prints("debits_frozen (a lost\\u{1b} card)")
        .prints("40.00 USD");
    ask(&url, &["account", "A"])
        .await
        .exits(0)
        .prints("metadata         tier=gold");
    let table = ask(&url, &["balances", "--at", &frozen]).await.exits(0);
    for words in [
        "HELD",
        "AVAILABLE",
        "STATUS",
        "40.00",
        "60.00",
        "debits_frozen",
    ] {
        assert!(table.out.contains(words), "{words}: {table:#?}");
    }
    ask(&url, &["history", "A"])
        .await
        .exits(0)
        .prints("HELD")
        .prints("held +40.00")
        .prints("held -30.00");
    ask(&url, &["explain", "A"])
        .await
        .exits(0)
        .prints("freeze debits of A: a lost\\u{1b} card")
        .prints("release 30 of hold")
        .prints("update A, owner P, account metadata {tier=gold}, if the balance is at least 5")
        .prints("add up to 100.00 USD");
}

#[tokio::test]
async fn a_book_of_several_pages_comes_whole() {
    const ACCOUNTS: u64 = 1_100;
    let (store, url) = event_store().await;
    let commands: Vec<String> = (1..=ACCOUNTS)
        .map(|number| open(number, &format!("ACC-{number:05}"), "USD"))
        .collect();
    process(&store, &commands).await;
    let book = ask(&url, &["balances", "-o", "json"]).await.exits(0);
    let (accounts, totals) = accounts_and_totals(&book);
    let expected: Vec<String> = (1..=ACCOUNTS)
        .map(|number| format!("ACC-{number:05} 100.00"))
        .collect();
    assert_eq!(accounts, expected);
    assert_eq!(totals, ["1100 USD 110000.00"]);
}

#[tokio::test]
async fn a_balance_is_explained_back_to_the_opening_with_what_was_asked_for() {
    let (events, url) = three_accounts().await;
    let done = ask(&url, &["explain", "A", "-o", "json"]).await.exits(0);
    let mut lines = done.lines();
    let conclusion = lines.pop().unwrap();
    let told: Vec<[&Value; 4]> = lines
        .iter()
        .map(|line| {
            [
                &line["version"],
                &line["type"],
                &line["amount"],
                &line["balance_after"],
            ]
        })
        .collect();
    assert_eq!(
        json!(told),
        json!([
            [3, "MoneyWithdrawn", "-30.50", "70.50"],
            [2, "MoneyDeposited", "1.00", "101.00"],
            [1, "AccountCreated", "100.00", "100.00"],
        ])
    );
    let newest = &lines[0];
    for (field, value) in [
        ("account_id", json!("A")),
        ("recorded_at", json!(events[3].recorded_at)),
        ("counterparty_account_id", json!("B")),
        ("description", json!("rent")),
        ("actor", json!("teller-3")),
        ("command_id", json!(id(4))),
    ] {
        assert_eq!(newest[field], value, "{field}");
    }
    assert_eq!(newest["command"]["type"], "transfer");
    assert_eq!(newest["command"]["metadata"]["invoice"], "77");
    for (field, value) in [
        ("balance", json!("70.50")),
        ("events", json!(3)),
        ("sum", json!("70.50")),
        ("balance_before", json!("0.00")),
        ("provisional", json!(true)),
    ] {
        assert_eq!(conclusion[field], value, "{field}");
    }
    assert_eq!(conclusion["as_of"]["version"], 3);
    ask(&url, &["explain", "A"])
        .await
        .exits(0)
        .prints("A has 70.50 USD as of")
        .prints("-30.50")
        .prints("transfer 30.5 from A to B, invoice=77")
        .prints("create_account A with 100 USD")
        .prints("3 events from the opening on add up to 70.50 USD");
}

#[tokio::test]
async fn an_explanation_can_begin_in_the_past_and_end_early() {
    const EVENTS: u64 = 1_100;
    let (store, url) = event_store().await;
    let commands: Vec<String> = std::iter::once(open(1, "A", "USD"))
        .chain((2..=EVENTS).map(deposit))
        .collect();
    let events = process(&store, &commands).await;
    let all = ask(&url, &["explain", "A", "-o", "json"])
        .await
        .exits(0)
        .lines();
    let versions: Vec<u64> = all
        .iter()
        .filter_map(|line| line["version"].as_u64())
        .collect();
    assert_eq!(versions, (1..=EVENTS).rev().collect::<Vec<_>>());
    assert_eq!(all[all.len() - 1]["sum"], "1199.00");

    let at = events[600].recorded_at.to_string();
    let some = ["explain", "A", "--at", &at, "--limit", "2"];
    let lines = ask(&url, &[&some[..], &["-o", "json"]].concat())
        .await
        .exits(0)
        .lines();
    let told: Vec<&Value> = lines.iter().map(|line| &line["version"]).collect();
    assert_eq!(json!(told), json!([601, 600, null]));
    for (field, value) in [
        ("balance", "700.00"),
        ("sum", "2.00"),
        ("balance_before", "698.00"),
    ] {
        assert_eq!(lines[2][field], value, "{field}");
    }
    assert_eq!(lines[2]["provisional"], false);
    ask(&url, &some)
        .await
        .exits(0)
        .prints("698.00 USD after version 599, and 2 events add 2.00");
    let none = ask(&url, &["explain", "A", "--limit", "0", "-o", "json"])
        .await
        .exits(0)
        .document();
    assert_eq!((&none["events"], &none["sum"]), (&json!(0), &json!("0.00")));
}

#[tokio::test]
async fn a_balance_that_does_not_add_up_is_said_to_be_so() {
    for (damage, words) in [
        (
            "UPDATE events SET balance_after = 102 WHERE account_id = 'A' AND version = 2",
            "does not add up at version 2",
        ),
        (
            "DELETE FROM events WHERE account_id = 'A' AND version = 2",
            "does not add up at version 2",
        ),
        (
            "DELETE FROM commands WHERE command_type = 'deposit'",
            "is not in the event store",
        ),
    ] {
        let (_, url) = three_accounts().await;
        let owner = sqlx::PgPool::connect(&url).await.expect("it is there");
        sqlx::query(damage)
            .execute(&owner)
            .await
            .expect("the owner may");
        owner.close().await;
        ask(&url, &["explain", "A"])
            .await
            .exits(1)
            .says(words)
            .says("chronicle verify");
    }
}

/// `A` with 100.00, then 1.00 of the day before, and 30.00 to `B` of the day after.
async fn with_business_dates() -> (Vec<Event>, String, Timestamp, Timestamp) {
    const DAY: i64 = 86_400_000_000;
    let (store, url) = event_store().await;
    let mut events = process(&store, &[open(1, "A", "USD"), open(2, "B", "USD")]).await;
    let opened = events[0].recorded_at.unix_microseconds();
    let day = |days| Timestamp::from_unix_microseconds(opened + days * DAY);
    let (yesterday, tomorrow) = (day(-1), day(1));
    for command in [
        format!(
            r#"{{"command_id":"{}","type":"deposit","account_id":"A","amount":"1","effective_at":"{yesterday}"}}"#,
            id(3)
        ),
        format!(
            r#"{{"command_id":"{}","type":"transfer","from_account_id":"A","to_account_id":"B","amount":"30","effective_at":"{tomorrow}"}}"#,
            id(4)
        ),
    ] {
        events.extend(process(&store, &[command]).await);
    }
    (events, url, yesterday, tomorrow)
}

#[tokio::test]
async fn a_balance_is_told_by_business_date_as_known_now_or_then() {
    let (events, url, yesterday, tomorrow) = with_business_dates().await;
    let (opened, deposited) = (events[0].recorded_at, events[2].recorded_at);
    for (account, effective, at, balance) in [
        ("A", moved(yesterday, -1), None, "0.00"),
        ("A", moved(yesterday, 0), None, "1.00"),
        ("A", moved(opened, 0), None, "101.00"),
        ("A", moved(tomorrow, -1), None, "101.00"),
        ("A", moved(tomorrow, 0), None, "71.00"),
        ("A", moved(tomorrow, 0), Some(opened), "100.00"),
        ("A", moved(tomorrow, 0), Some(deposited), "101.00"),
        ("B", moved(tomorrow, -1), None, "100.00"),
        ("B", moved(tomorrow, 0), None, "130.00"),
    ] {
        let at = at.map(|at| moved(at, 0));
        let mut arguments = vec!["account", account, "--effective", &effective, "-o", "json"];
        arguments.extend(at.iter().flat_map(|at| ["--at", at]));
        let told = ask(&url, &arguments).await.exits(0).document();
        assert_eq!(told["balance"], balance, "{arguments:?}");
        assert_eq!(told["currency"], "USD");
        assert_eq!(told["as_of"]["effective"], effective);
        assert_eq!(told["provisional"], at.is_none(), "{arguments:?}");
        if let Some(at) = at {
            assert_eq!(told["as_of"]["timestamp"], at);
        }
    }
    let effective = moved(tomorrow, 0);
    ask(&url, &["account", "A", "--effective", &effective])
        .await
        .exits(0)
        .prints("71.00 USD")
        .prints(&format!("at or before {effective}"))
        .prints("provisional");
    // Of what was not known yet.
    let before = moved(opened, -1);
    let arguments = ["account", "A", "--effective", &effective, "--at", &before];
    ask(&url, &arguments)
        .await
        .exits(1)
        .says("was not open yet");
    let arguments = ["account", "A", "--effective", &effective, "--at", &future()];
    ask(&url, &arguments)
        .await
        .exits(2)
        .says("lies in the future");
    ask(&url, &["account", "NOBODY", "--effective", &effective])
        .await
        .exits(1)
        .says("there is no account NOBODY");
    ask(
        &url,
        &["account", "A", "--effective", &effective, "--version", "1"],
    )
    .await
    .exits(2);
}

#[tokio::test]
async fn histories_and_explanations_show_business_dates() {
    let (_, url, yesterday, tomorrow) = with_business_dates().await;
    ask(&url, &["history", "A"])
        .await
        .exits(0)
        .prints(&format!("effective {yesterday}"))
        .prints(&format!("effective {tomorrow}"));
    ask(&url, &["explain", "A"])
        .await
        .exits(0)
        .prints(&format!("deposit 1 into A, effective at {yesterday}"));
    let lines = ask(&url, &["explain", "A", "-o", "json"])
        .await
        .exits(0)
        .lines();
    let dates: Vec<&Value> = lines[..3]
        .iter()
        .map(|line| &line["effective_at"])
        .collect();
    assert_eq!(dates, [&json!(tomorrow), &json!(yesterday), &Value::Null]);
    assert_eq!(lines[0]["command"]["effective_at"], json!(tomorrow));
}
