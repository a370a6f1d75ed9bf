//! hledger and Beancount on exported books: they take them, find every assertion true, and have the balances that
//! `chronicle account --at` says, at several dates. `.ci/export` gets both programs and runs these.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use ledger::codec::json;
use serde_json::Value;

use crate::book::{Book, Past, batched, book, command, eventful, large, small};
use crate::texts::{TEXTS, nasty};

type Balances = BTreeMap<String, String>;

/// Runs a program, which must be there and be content; answers with what it prints.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; `.ci/export` gets it"));
    let said = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8(output.stdout).expect("it prints UTF-8");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {said}\n{printed}"
    );
    printed
}

fn write(folder: &Path, name: &str, journal: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, journal).expect("it can be written");
    path.to_str().expect("the path is UTF-8").to_owned()
}

/// The balances at the end of a day that hledger computes.
fn hledger(file: &str, date: &str) -> Balances {
    let next = next_day(date);
    let arguments = [
        "-f",
        file,
        "balance",
        "--flat",
        "--no-total",
        "--empty",
        "--end",
        &next,
        "--output-format",
        "json",
        "assets:",
    ];
    let report: Value = serde_json::from_str(&run("hledger", &arguments)).expect("it is JSON");
    let row = |row: &Value| {
        let name = row[0].as_str().unwrap().strip_prefix("assets:").unwrap();
        let amounts = row[3].as_array().unwrap();
        let quantity = amounts.first().map(|amount| &amount["aquantity"]);
        let number = |name: &str| quantity.map_or(0, |quantity| quantity[name].as_i64().unwrap());
        (
            name.to_owned(),
            (number("decimalMantissa"), number("decimalPlaces")),
        )
    };
    let rows = report[0].as_array().unwrap().iter().map(row);
    rows.map(|(name, (mantissa, places))| (name, decimal(mantissa, places)))
        .collect()
}

/// A number without the zeros at its end: programs show more of them or fewer.
fn decimal(mantissa: i64, places: i64) -> String {
    let text = rust_decimal::Decimal::new(mantissa, u32::try_from(places).unwrap());
    text.normalize().to_string()
}

fn without_zeros(balances: Balances) -> Balances {
    let normal = |text: String| {
        let number: rust_decimal::Decimal = text.parse().expect("it is a number");
        number.normalize().to_string()
    };
    balances
        .into_iter()
        .map(|(id, balance)| (id, normal(balance)))
        .collect()
}

/// What Beancount makes of a file: the balances by the ledger's ids at the ends of some days, and all narrations.
fn beancount(file: &str, dates: &[&str]) -> Value {
    const SCRIPT: &str = r#"
import collections, datetime, json, sys
from beancount import loader
from beancount.core import data
entries, errors, _ = loader.load_file(sys.argv[1])
assert not errors, errors
ids = {e.account: e.meta["account_id"] for e in entries if isinstance(e, data.Open) and "account_id" in e.meta}
balances = {}
for date in sys.argv[2:]:
    end = datetime.date.fromisoformat(date)
    sums = {ids[e.account]: 0 for e in entries if isinstance(e, data.Open) and e.account in ids and e.date <= end}
    for e in data.filter_txns(entries):
        for posting in e.postings if e.date <= end else []:
            if posting.account in ids:
                sums[ids[posting.account]] += posting.units.number
    balances[date] = {id: str(number) for id, number in sums.items()}
narrations = [e.narration for e in data.filter_txns(entries)]
print(json.dumps({"balances": balances, "narrations": narrations}))
"#;
    let arguments = [&["-c", SCRIPT, file], dates].concat();
    serde_json::from_str(&run("python3", &arguments)).expect("it is JSON")
}

fn next_day(date: &str) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let date = time::Date::parse(date, format).expect("it is a date");
    date.next_day().expect("there is one").to_string()
}

/// Exports a book as of each instant, and as of the last one for each day.
async fn check(book: &Book, dates: &[&str], instants: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for at in instants {
        let expected = without_zeros(book.balances(at).await);
        let journal = book.export("hledger", at).await;
        let file = write(folder.path(), "book.journal", &journal);
        run("hledger", &["-f", &file, "check", "--strict"]);
        let date = &at[..10];
        assert_eq!(hledger(&file, date), expected, "hledger, {at}");

        let journal = book.export("beancount", at).await;
        let file = write(folder.path(), "book.beancount", &journal);
        run("bean-check", &[&file]);
        let found = beancount(&file, &[date])["balances"][date].clone();
        let found: Balances = serde_json::from_value(found).unwrap();
        assert_eq!(without_zeros(found), expected, "Beancount, {at}");
    }
    // The files are those of the last instant, which lies behind all dates.
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let found = beancount(&file("book.beancount"), dates);
    for date in dates {
        let expected = without_zeros(book.balances(&format!("{date}T23:59:59.999999Z")).await);
        let by_hledger = hledger(&file("book.journal"), date);
        assert_eq!(by_hledger, expected, "hledger, {date}");
        let by_beancount: Balances =
            serde_json::from_value(found["balances"][*date].clone()).unwrap();
        assert_eq!(without_zeros(by_beancount), expected, "Beancount, {date}");
    }
}

#[tokio::test]
#[ignore = "needs hledger and Beancount: run .ci/export"]
async fn both_find_the_balances_of_a_small_book_at_every_instant() {
    check_at_every_instant(&book(&small()).await).await;
}

#[tokio::test]
#[ignore = "needs hledger and Beancount: run .ci/export"]
async fn both_find_the_balances_of_a_book_with_holds_and_closings_at_every_instant() {
    check_at_every_instant(&book(&eventful()).await).await;
}

#[tokio::test]
#[ignore = "needs hledger and Beancount: run .ci/export"]
async fn both_find_the_balances_of_a_book_with_batches_and_postings_at_every_instant() {
    check_at_every_instant(&book(&batched()).await).await;
}

#[tokio::test]
#[ignore = "needs hledger and Beancount: run .ci/export"]
async fn both_find_the_balances_of_batches_and_postings_of_a_thousand() {
    let book = book(&large()).await;
    let dates = ["2026-02-02", "2026-02-03", "2026-02-04", "2026-02-05"];
    check(&book, &dates, &["2026-02-07T00:00:00Z"]).await;
}

async fn check_at_every_instant(book: &Book) {
    let mut instants: Vec<String> = book
        .events
        .iter()
        .map(|event| event.recorded_at.to_string())
        .collect();
    instants.push("2026-02-04T00:00:00Z".to_owned());
    instants.dedup();
    let instants: Vec<&str> = instants.iter().map(String::as_str).collect();
    let dates = [
        "2026-01-30",
        "2026-01-31",
        "2026-02-01",
        "2026-02-02",
        "2026-02-03",
    ];
    check(book, &dates, &instants).await;
}

#[tokio::test]
#[ignore = "needs hledger and Beancount: run .ci/export"]
async fn both_take_any_text_and_any_name() {
    let book = book(&nasty()).await;
    let dates = ["2026-01-01", "2026-02-01", "2026-02-15"];
    check(
        &book,
        &dates,
        &["2026-02-10T12:00:00Z", "2026-03-01T00:00:00Z"],
    )
    .await;

    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = "2026-03-01T00:00:00Z";
    let journal = book.export("beancount", at).await;
    let file = write(folder.path(), "book.beancount", &journal);
    let found = beancount(&file, &[]);
    let narrations: Vec<String> = serde_json::from_value(found["narrations"].clone()).unwrap();
    let journal = book.export("hledger", at).await;
    let file = write(folder.path(), "book.journal", &journal);
    let printed = run(
        "hledger",
        &["-f", &file, "print", "--output-format", "json"],
    );
    let transactions: Value = serde_json::from_str(&printed).unwrap();
    let told: Vec<&Value> = transactions.as_array().unwrap().iter().collect();
    for text in TEXTS {
        let is_it = |found: &str| decoded(found) == text;
        assert!(narrations.iter().any(|it| is_it(it)), "Beancount, {text:?}");
        let with_it: Vec<&&Value> = told
            .iter()
            .filter(|it| is_it(it["tdescription"].as_str().unwrap()))
            .collect();
        assert!(with_it.len() >= 3, "hledger, {text:?}");
        let tags = |transaction: &Value| -> BTreeMap<String, String> {
            let pairs: Vec<(String, String)> =
                serde_json::from_value(transaction["ttags"].clone()).unwrap();
            pairs
                .into_iter()
                .map(|(name, value)| (decoded(&name), decoded(&value)))
                .collect()
        };
        // The three of the text's own day have it in every tag, too.
        let full = with_it.iter().map(|it| tags(it)).filter(|tags| {
            tags.get("metadata.date:")
                .is_some_and(|value| value == text)
                && tags.get("metadata.a,b").is_some_and(|value| value == text)
                && tags.get("actor").is_some_and(|value| value == text)
        });
        assert_eq!(full.count(), 3, "hledger's tags, {text:?}: {with_it:#?}");
        let reasons = told.iter().filter(|it| {
            let tags = tags(it);
            it["tdescription"] == "reversal"
                && tags.get("reason").is_some_and(|reason| reason == text)
                && tags.contains_key("reversed_command_id")
        });
        assert_eq!(reasons.count(), 1, "the reversal because of {text:?}");
    }
    // Nothing of it was taken for something else.
    let transfers_and_all = book.events.len() - TEXTS.len();
    let own = |it: &&&Value| it["tdescription"] != "balance";
    assert_eq!(told.iter().filter(own).count(), transfers_and_all);
    assert_eq!(narrations.len(), transfers_and_all);
}

#[tokio::test]
#[ignore = "needs hledger and Beancount: run .ci/export"]
async fn both_take_the_largest_amounts() {
    let past: Past = [
        r#""type":"create_account","account_id":"A","owner_name":"A","currency":"USD","initial_balance":"9999999999999999999999999.99""#,
        r#""type":"create_account","account_id":"B","owner_name":"B","currency":"USD","initial_balance":"0.01""#,
        r#""type":"withdraw","account_id":"A","amount":"0.02""#,
        r#""type":"transfer","from_account_id":"A","to_account_id":"B","amount":"9999999999999999999999999.96""#,
    ]
    .into_iter()
    .zip(1..)
    .map(|(fields, number)| (format!("2026-01-0{number}T00:00:00Z"), command(number, fields)))
    .collect();
    let book = book(&past).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = "2026-01-31T00:00:00Z";
    let journal = book.export("hledger", at).await;
    assert!(journal.contains("== 9999999999999999999999999.97 USD"));
    run(
        "hledger",
        &[
            "-f",
            &write(folder.path(), "book.journal", &journal),
            "check",
            "--strict",
        ],
    );
    let journal = book.export("beancount", at).await;
    run(
        "bean-check",
        &[&write(folder.path(), "book.beancount", &journal)],
    );
}

#[tokio::test]
#[ignore = "needs hledger and Beancount: run .ci/export"]
async fn both_find_one_unit_of_the_last_digit() {
    let book = book(&small()).await;
    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = "2026-02-03T00:00:00Z";
    for (format, program, before, after) in [
        ("hledger", "hledger", "== 74.50 USD", "== 74.51 USD"),
        ("hledger", "hledger", "== 1000 JPY", "== 1001 JPY"),
        (
            "hledger",
            "hledger",
            "assets:K  0.125 BHD",
            "assets:K  0.126 BHD",
        ),
        (
            "beancount",
            "bean-check",
            "  74.50 ~ 0 USD",
            "  74.51 ~ 0 USD",
        ),
        (
            "beancount",
            "bean-check",
            "  0.125 ~ 0 BHD",
            "  0.126 ~ 0 BHD",
        ),
        (
            "beancount",
            "bean-check",
            "Assets:J  -500 JPY",
            "Assets:J  -501 JPY",
        ),
    ] {
        let journal = book.export(format, at).await;
        assert_eq!(journal.matches(before).count(), 1, "{before}");
        let file = write(folder.path(), "wrong", &journal.replace(before, after));
        let file = if format == "hledger" {
            format!("journal:{file}")
        } else {
            file
        };
        let arguments: &[&str] = match program {
            "hledger" => &["-f", &file, "check"],
            _ => &[&file],
        };
        let status = Command::new(program)
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; `.ci/export` gets it"))
            .status;
        assert!(!status.success(), "{program} takes {after}");
    }
}

/// A text that was percent-encoded, as `docs/export.md` says.
fn decoded(text: &str) -> String {
    let decoded = percent_decoded(text.as_bytes());
    String::from_utf8(decoded).expect("it was UTF-8")
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = bytes;
    while let Some((first, others)) = rest.split_first() {
        let code = others.get(..2).and_then(|code| hex::decode(code).ok());
        if let Some(code) = code.filter(|_| *first == b'%') {
            decoded.extend(code);
            rest = &others[2..];
        } else {
            decoded.push(*first);
            rest = others;
        }
    }
    decoded
}

/// The households of `examples/`, each command at noon of the day that it has in its metadata.
fn households() -> Past {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/household.ndjson");
    let input = std::fs::read_to_string(path).expect("the example is there");
    let mut date = "2018-01-01".to_owned();
    let command = |line: &str| {
        let command = json::decode_command(line.as_bytes()).expect("it is a command");
        let value: Value = serde_json::from_str(line).expect("it is JSON");
        // Time never goes back.
        let own = value["metadata"]["date"]
            .as_str()
            .unwrap_or(&date)
            .to_owned();
        date = date.clone().max(own);
        (format!("{date}T12:00:00Z"), command)
    };
    input.lines().map(command).collect()
}

#[tokio::test]
#[ignore = "needs hledger and Beancount: run .ci/export"]
async fn both_find_the_balances_of_two_households_over_eight_years() {
    let book = book(&households()).await;
    let dates = [
        "2018-01-01",
        "2018-12-31",
        "2020-02-29",
        "2022-07-15",
        "2025-01-01",
        "2026-01-31",
    ];
    check(
        &book,
        &dates,
        &["2019-06-30T23:59:59.999999Z", "2026-11-01T00:00:00Z"],
    )
    .await;
}
