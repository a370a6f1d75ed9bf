//! `chronicle send --file X.csv --mapping M.toml`: rows become commands, with a ledger that the test plays, and once with
//! a real one.

mod cli_support;
mod support;

use cli_support::{Done, Place, accepted, held, play};
use serde_json::{Value, json};
use sqlx::Row;
use support::Ledger;
use transport::streams::Limits;

/// A place with a mapping and a table in it.
async fn place(mapping: &str, table: &str) -> Place {
    let place = Place::new().await;
    place.file("mapping.toml", &[mapping.to_owned()]);
    place.file("table.csv", &[table.to_owned()]);
    place
}

/// Sends the table and does not wait for outcomes.
async fn send(place: &Place) -> Done {
    let arguments = [
        "send",
        "--file",
        "table.csv",
        "--mapping",
        "mapping.toml",
        "--wait-seconds",
        "0",
        "-o",
        "json",
    ];
    place.chronicle(&arguments).await
}

/// What the stream of commands got from it, without ids.
async fn commands(mapping: &str, table: &str) -> (Done, Vec<Value>) {
    let place = place(mapping, table).await;
    let stream = place.commands(&Limits::default()).await;
    let done = send(&place).await;
    let mut commands = Vec::new();
    for message in held(&stream).await {
        let mut command: Value = serde_json::from_slice(&message.payload).expect("it is JSON");
        let fields = command.as_object_mut().expect("it is an object");
        fields.remove("command_id").expect("it has an id");
        commands.push(command);
    }
    (done, commands)
}

const PAYROLL: &str = r#"
type = "transfer"
[columns]
from_account_id = "From"
to_account_id = "To"
amount = "Amount"
description = "Purpose"
metadata.date = "Date"
[constants]
currency = "EUR"
actor = "payroll"
metadata.source = "bank"
"#;

#[tokio::test]
async fn each_row_becomes_the_command_that_the_mapping_says() {
    let table = "\u{feff}Date,From,To,Amount,Purpose,Unused\r\n2026-01-31,FIRM,ANN, 1500.00 ,\"Salary, \"\"January\"\"\",x\r\n\r\n\
                 2026-01-31,FIRM,BOB,1200,,\r\n";
    let (done, commands) = commands(PAYROLL, table).await;
    assert_eq!(done.exits(3).document()["commands"], 2);
    assert_eq!(
        commands,
        [
            json!({"type": "transfer", "from_account_id": "FIRM", "to_account_id": "ANN", "amount": "1500.00", "currency": "EUR",
                   "description": "Salary, \"January\"", "actor": "payroll", "metadata": {"date": "2026-01-31", "source": "bank"}}),
            json!({"type": "transfer", "from_account_id": "FIRM", "to_account_id": "BOB", "amount": "1200", "currency": "EUR",
                   "actor": "payroll", "metadata": {"date": "2026-01-31", "source": "bank"}}),
        ]
    );
}

#[tokio::test]
async fn a_banks_statement_says_by_the_sign_what_a_row_is() {
    let mapping = r#"
        delimiter = ";"
        decimal_mark = ","
        skip_lines = 2
        [types]
        positive = "deposit"
        negative = "withdraw"
        [columns]
        amount = "Betrag"
        description = "Text"
        [constants]
        account_id = "GIRO"
        "#;
    let table = "Konto;123\n\nText;Betrag\nMiete;-1.250,50\nLohn;+3 000,00\nZins;0,01\n";
    let (_, commands) = commands(mapping, table).await;
    let told: Vec<_> = commands
        .iter()
        .map(|it| (it["type"].as_str().unwrap(), it["amount"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ("withdraw", "1250.50"),
            ("deposit", "3000.00"),
            ("deposit", "0.01")
        ]
    );
}

#[tokio::test]
async fn the_example_is_what_the_documentation_shows_and_can_be_sent() {
    let read = |name| std::fs::read_to_string(support::example(name)).expect("it is there");
    let mapping = read("statement.toml");
    let page = read("../docs/export.md");
    let (_, shown) = mapping
        .split_once('\n')
        .expect("the first line says what it is for");
    assert!(
        page.contains(&format!("```toml\n{shown}```")),
        "docs/export.md shows another mapping"
    );
    let (done, commands) = commands(&mapping, &read("statement.csv")).await;
    let summary = done.document();
    assert_eq!(
        (&summary["commands"], &summary["malformed"]),
        (&json!(5), &json!(0))
    );
    assert_eq!(
        commands[0],
        json!({"type": "withdraw", "account_id": "GIRO", "amount": "1250.50", "currency": "EUR", "description": "Miete; Januar",
               "actor": "import", "metadata": {"date": "02.01.2026", "reference": "R-1001"}})
    );
    assert_eq!(commands[4]["description"], "Zins \"Sparbuch\"");
}

#[tokio::test]
async fn a_column_may_say_what_a_row_is_and_the_other_fields_are_left_out_where_they_are_empty() {
    let mapping = r#"
        header = false
        [types]
        column = 1
        values.new = "create_account"
        values.in = "deposit"
        [columns]
        account_id = 2
        amount = 3
        owner_name = 4
        currency = 5
        "#;
    let table = "new,A,,Ann,USD\nin,A,5.00,,\nout,A,1.00,,\n";
    let (done, commands) = commands(mapping, table).await;
    assert_eq!(
        commands,
        [
            json!({"type": "create_account", "account_id": "A", "owner_name": "Ann", "currency": "USD"}),
            json!({"type": "deposit", "account_id": "A", "amount": "5.00"}),
        ]
    );
    done.says("table.csv:3: the mapping's types.values has nothing for \"out\"");
}

#[tokio::test]
async fn a_row_may_be_an_exchange() {
    let mapping = r#"
        type = "exchange"
        decimal_mark = ","
        [columns]
        amount = "Sold"
        rate = "Rate"
        to_amount = "Bought"
        [constants]
        from_account_id = "A"
        to_account_id = "B"
        from_clearing_account_id = "C"
        to_clearing_account_id = "D"
        "#;
    let table = "Sold,Rate,Bought\n\"1.000,00\",\"0,92\",\n25,,\"22,5\"\n";
    let (_, commands) = commands(mapping, table).await;
    let exchange = |amount: &str, price: &str, value: &str| {
        json!({"type": "exchange", "from_account_id": "A", "to_account_id": "B", "from_clearing_account_id": "C",
            "to_clearing_account_id": "D", "amount": amount, price: value})
    };
    assert_eq!(
        commands,
        [
            exchange("1000.00", "rate", "0.92"),
            exchange("25", "to_amount", "22.5"),
        ]
    );
}

#[tokio::test]
async fn a_bad_row_is_told_with_its_line_and_its_neighbours_go_on() {
    let table = "Date,From,To,Amount,Purpose\n\
                 d,A,B,1,good\n\
                 d,A,B,many,bad\n\
                 d,A,B,1\n\
                 d,A,B,1,\"two\nlines\"\n\
                 d,A,B,1,\"not closed\n\
                 d,A,B,1,good\n\
                 d,A.B,B,1,bad\n\
                 d,A,,1,bad\n\
                 d,A,B,1,good\n";
    let (done, commands) = commands(PAYROLL, table).await;
    let summary = done.document();
    assert_eq!(
        (&summary["commands"], &summary["malformed"]),
        (&json!(9), &json!(5))
    );
    let said: Vec<&str> = commands
        .iter()
        .map(|it| it["description"].as_str().unwrap())
        .collect();
    assert_eq!(said, ["good", "two\nlines", "good", "good"]);
    done.says("table.csv:3: ")
        .says("amount")
        .says("table.csv:4: a row has 5 columns here, and this has 4")
        .says("table.csv:7: a quote is opened and not closed")
        .says("table.csv:9: ")
        .says("table.csv:10: the field to_account_id is missing");
}

/// The ids of the commands that a table becomes.
async fn ids(place: &Place, table: &str) -> Vec<String> {
    place.file("table.csv", &[table.to_owned()]);
    let stream = place.commands(&Limits::default()).await;
    stream.purge().await.expect("it can be emptied");
    send(place).await;
    let id = |payload: &[u8]| {
        let command: Value = serde_json::from_slice(payload).expect("it is JSON");
        command["command_id"]
            .as_str()
            .expect("it has an id")
            .to_owned()
    };
    held(&stream)
        .await
        .iter()
        .map(|it| id(&it.payload))
        .collect()
}

#[tokio::test]
async fn the_same_row_is_the_same_command_whatever_happens_around_it() {
    const HEADER: &str = "Date,From,To,Amount,Purpose\n";
    let place = place(PAYROLL, "").await;
    let first = ids(
        &place,
        &format!("{HEADER}d,A,B,1,x\nd,A,B,1,x\nd,A,B,2,y\n"),
    )
    .await;
    assert_eq!(first.len(), 3);
    assert!(first[0] != first[1], "two equal rows are two commands");
    // Quoted and ended otherwise; grown; one row mended.
    let again = ids(
        &place,
        &format!("{HEADER}e,A,B,9,new\r\n\"d\",A,B,\"1\",x\r\nd,A,B,1,x\nd,A,B,2,mended\n"),
    )
    .await;
    assert_eq!(again[1..3], first[..2]);
    assert!(!first.contains(&again[0]) && !first.contains(&again[3]));

    // Derived from a column, everything else may change.
    let mapping = format!("{PAYROLL}[command_id]\nderived_from = [\"Date\"]\n");
    place.file("mapping.toml", &[mapping]);
    let first = ids(
        &place,
        &format!("{HEADER}2026-01,A,B,1,x\n2026-02,A,B,1,x\n"),
    )
    .await;
    let again = ids(&place, &format!("{HEADER}2026-02,A,B,1,z\n")).await;
    assert_eq!(again[0], first[1]);

    // As a column has it.
    let mapping = format!("{PAYROLL}[command_id]\ncolumn = \"Purpose\"\n");
    place.file("mapping.toml", &[mapping]);
    let own = cli_support::id(7);
    assert_eq!(
        ids(&place, &format!("{HEADER}d,A,B,1,{own}\nd,A,B,1,\n")).await,
        [own]
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_call_is_said_before_anything_is_sent() {
    let table = "Date,From,To,Amount,Amount\nd,A,B,1,2\n";
    let place = place(PAYROLL, table).await;
    let stream = place.commands(&Limits::default()).await;
    send(&place)
        .await
        .exits(2)
        .says("table.csv has more than one column \"Amount\"")
        .prints_nothing();
    place.file("table.csv", &["Date,From,To\nd,A,B".to_owned()]);
    send(&place)
        .await
        .exits(2)
        .says("table.csv has no column \"Amount\"; it has Date, From, To");
    place.file("table.csv", &[String::new()]);
    send(&place).await.exits(2).says("table.csv has no header");
    place.file(
        "mapping.toml",
        &["type = \"deposit\"\n[columns]\namuont = \"A\"".to_owned()],
    );
    send(&place)
        .await
        .exits(2)
        .says("mapping.toml: columns.amuont is no field of a command");
    place
        .chronicle(&["send", "--file", "table.csv"])
        .await
        .exits(2)
        .says("table.csv is CSV by its name: give a --mapping");
    place
        .chronicle(&["send", "--file", "table.csv", "--mapping", "none.toml"])
        .await
        .exits(2)
        .says("none.toml cannot be read");
    place
        .chronicle(&["send", "--mapping", "mapping.toml", "deposit", "A", "1"])
        .await
        .exits(2)
        .says("--mapping belongs to a --file");
    assert_eq!(held(&stream).await.len(), 0);
}

#[tokio::test]
async fn rows_may_come_from_stdin_when_the_mapping_says_what_they_are_told_by() {
    let place = place(PAYROLL, "").await;
    let stream = place.commands(&Limits::default()).await;
    let answer = |command: &Value| json!({"command_id": command["command_id"], "account_id": "A"});
    let _ledger = play(&place, &stream, move |_, it| Some(accepted(&answer(it)))).await;
    let table = "Date,From,To,Amount,Purpose\nd,A,B,1,x\n";
    let arguments = ["send", "--file", "-", "--mapping", "mapping.toml"];
    place
        .chronicle_reading(&arguments, table)
        .await
        .exits(2)
        .says("stdin has no name to derive command ids from");
    place.file(
        "mapping.toml",
        &[format!("namespace = \"payroll\"{PAYROLL}")],
    );
    place
        .chronicle_reading(&arguments, table)
        .await
        .exits(0)
        .prints("accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_sent_twice_changes_nothing_the_second_time() {
    let (ledger, process) = Ledger::running().await;
    let folder = ledger.folder.path();
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("it can be written");
        path.to_str().expect("the path is UTF-8").to_owned()
    };
    let mapping = file(
        "mapping.toml",
        "[types]\ncolumn = \"Kind\"\n[columns]\naccount_id = \"Account\"\nowner_name = \"Owner\"\ncurrency = \"Currency\"\n\
         amount = \"Amount\"\n",
    );
    let mut table = "Kind,Account,Owner,Currency,Amount\ncreate_account,A,Ann,USD,\n".to_owned();
    for _ in 0..200 {
        table.push_str("deposit,A,,,0.50\n");
    }
    table.push_str("withdraw,A,,,1000.00\n");
    let table = file("table.csv", &table);
    let send = ["send", "--file", &table, "--mapping", &mapping];
    for _ in 0..2 {
        let summary = ledger.json(&send, 1).await;
        assert_eq!(summary["accepted"], 201, "{summary}");
        assert_eq!(
            summary["rejected"],
            json!({"insufficient_funds": 1}),
            "{summary}"
        );
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM events) AS events, (SELECT count(*) FROM commands) AS commands,
                (SELECT balance_after::text FROM events ORDER BY version DESC LIMIT 1) AS balance",
        )
        .fetch_one(&ledger.event_store().await)
        .await
        .expect("the event store can be read");
        let found: (i64, i64, String) =
            (row.get("events"), row.get("commands"), row.get("balance"));
        assert_eq!(found, (201, 202, "100.00".to_owned()));
    }
    ledger.verify().await;
    assert_eq!(process.stop().await, Some(0));
}

/// Tables have dates as often as instants; a date is its beginning in UTC.
#[tokio::test]
async fn a_business_date_can_be_a_day_or_an_instant() {
    let mapping = r#"
        type = "deposit"
        [columns]
        account_id = "Account"
        amount = "Amount"
        effective_at = "Value date"
        [constants]
        effective_at = 2026-01-01
        "#;
    let table = "Account,Amount,Value date\nA,1,2026-01-31\nA,2,2026-01-31T12:00:00+01:00\nA,3,\nA,4,2026-02-30\nA,5,31.1.2026\n";
    let (done, commands) = commands(mapping, table).await;
    let dates: Vec<&Value> = commands
        .iter()
        .map(|command| &command["effective_at"])
        .collect();
    assert_eq!(
        dates,
        [
            "2026-01-31T00:00:00Z",
            "2026-01-31T12:00:00+01:00",
            "2026-01-01T00:00:00Z"
        ]
    );
    done.exits(3)
        .says("table.csv:5: ")
        .says("table.csv:6: ")
        .says("effective_at: a timestamp is RFC 3339");
}
